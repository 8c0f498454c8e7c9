"""Which examples make up which step: a pure function of the seed.

Nothing here has a state to save: step `s` of any run with the same seed reads the same examples in
the same order with the same random transforms, however many workers or processes read them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sciml.data.order import Order
from sciml.train.buckets import padded

POOL = 64
"""Batches whose examples are sorted by length together."""


class Examples(Protocol):
    """A map-style data set: examples by index, read on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Any: ...


@dataclass(frozen=True)
class MicroBatch:
    """The examples that one process puts through the model at once.

    Attributes:
        indices: of the examples.
        seed: of what is drawn for the batch as a whole, in `collate`.
        epoch: with an example's index, it seeds the random transforms of that example.
    """

    indices: tuple[int, ...]
    seed: int
    epoch: int = 0
    # A process without examples in a ragged last batch repeats one with weight 0, so that
    # every process takes part in every collective call.
    weight: float = 1.0


class Lengths(Protocol):
    """The cost of each example, in memory or on disk: read for some examples at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Plan:
    """The order of examples: shuffled each epoch, bucketed by length if lengths are known.

    Args:
        size: number of examples.
        batch_size: examples per optimiser step, over all processes.
        lengths: [size], the cost of each example; examples of similar length share a batch.
    """

    size: int
    batch_size: int
    seed: int = 0
    lengths: Lengths | None = None
    accumulate: int = 1
    rank: int = 0
    world: int = 1
    shuffle: bool = True

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.size // self.batch_size)

    def epoch(self, epoch: int, position: int = 0) -> Iterator[np.ndarray]:
        """The batches of an epoch from number `position` on, each an array of example indices."""
        order = Order(self.size, self.seed, epoch, self.shuffle)
        if self.lengths is None or not self.shuffle:
            yield from order.chunks(self.batch_size, position * self.batch_size)
        elif order.in_windows:
            # As below, but the batches of each pool are mixed among themselves.
            pool, skip = divmod(position, POOL)
            length = POOL * self.batch_size
            for number, chunk in enumerate(order.chunks(length, pool * length), pool):
                random = np.random.default_rng([self.seed, epoch, number, 1])
                batches = self._by_length(chunk)
                yield from [batches[i] for i in random.permutation(len(batches))][skip:]
                skip = 0
        else:
            random = np.random.default_rng([self.seed, epoch])
            random.permutation(self.size)  # what `order` drew: the next draw follows it
            pools = order.chunks(POOL * self.batch_size)
            batches = [batch for chunk in pools for batch in self._by_length(chunk)]
            yield from [batches[i] for i in random.permutation(len(batches))][position:]

    def _by_length(self, chunk: np.ndarray) -> list[np.ndarray]:
        """Batches of a pool of examples: similar lengths share one, and they differ by epoch."""
        lengths = self.lengths[chunk] if self.lengths is not None else np.zeros(len(chunk))
        chunk = chunk[np.argsort(lengths, kind="stable")]
        return [chunk[i : i + self.batch_size] for i in range(0, len(chunk), self.batch_size)]

    def micro_batches(self, step: int) -> Iterator[MicroBatch]:
        """This rank's share from optimiser step `step` on, `accumulate` micro-batches per step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        while True:
            for indices in self.epoch(epoch, position):
                of_rank = indices[self.rank :: self.world]
                for part, share in enumerate(np.array_split(of_rank, self.accumulate)):
                    seed = hash((self.seed, step, part, self.rank)) % 2**63
                    if len(share):
                        yield MicroBatch(tuple(share.tolist()), seed, epoch)
                    else:
                        yield MicroBatch((int(indices[0]),), seed, epoch, weight=0.0)
                step += 1
            epoch, position = epoch + 1, 0


class _Batches(Dataset):
    """Turns a `MicroBatch` into a collated batch, in a worker or in the main process.

    `seed` is that of the run, with which each example gets random transforms of its own; without it
    all examples of a micro-batch draw from one stream, as runs of version 0.1 began. `buckets` are
    the lengths that batches are padded up to.
    """

    def __init__(
        self,
        dataset: Examples,
        collate: Callable[[list[Any]], Any] | None,
        seed: int | None,
        buckets: Sequence[int] = (),
    ) -> None:
        self.dataset, self.seed, self.buckets = dataset, seed, buckets
        self.collate = collate or torch.utils.data.default_collate

    def __getitem__(self, micro: MicroBatch) -> tuple[Any, float]:
        with torch.random.fork_rng(devices=[]):
            batch = self._batch(micro)
        return padded(batch, self.buckets) if self.buckets else batch, micro.weight

    def _batch(self, micro: MicroBatch) -> Any:
        torch.default_generator.manual_seed(micro.seed)
        if self.seed is None:
            return self.collate([self.dataset[i] for i in micro.indices])
        examples = []
        for i in micro.indices:
            seed = hash((self.seed, micro.epoch, i)) % 2**63
            torch.default_generator.manual_seed(seed)
            examples.append(self.dataset[i])
        torch.default_generator.manual_seed(micro.seed)
        return self.collate(examples)


def read(
    dataset: Examples,
    collate: Callable[[list[Any]], Any] | None,
    plan: Plan,
    step: int,
    workers: int,
    pin: bool = False,
    per_example: bool = True,
    buckets: Sequence[int] = (),
) -> Iterator[tuple[Any, float]]:
    """Endless (batch, weight) pairs of this process from `step` on.

    Args:
        dataset, collate, workers: as `sciml.train.fit` has them.
        plan: the order.
        step: the first optimiser step.
        pin: copy batches to page-locked memory.
        per_example: random transforms are seeded per example, so that they depend neither on the
            number of processes nor on micro-batches.
        buckets: lengths that batches are padded up to; see `sciml.train.buckets`.
    """
    loader = DataLoader(
        _Batches(dataset, collate, plan.seed if per_example else None, buckets),
        batch_size=None,
        sampler=_Endless(plan, step),
        num_workers=workers,
        pin_memory=pin,
        # A generator of its own, so that workers do not draw from the model's random numbers.
        generator=torch.Generator().manual_seed(plan.seed),
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_ignore_signal,
    )
    # Workers are born with the signal blocked, until each ignores it: none can end in between.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_signal(_worker: int) -> None:
    """A cluster may tell all processes that time is nearly over: the training still needs this."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


@dataclass(frozen=True)
class _Endless:
    plan: Plan
    step: int

    def __iter__(self) -> Iterator[MicroBatch]:
        return self.plan.micro_batches(self.step)


def move(batch: Any, device: torch.device) -> Any:
    """`batch` on `device`: tensors, anything with `.to`, and nested containers of them."""
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(item, device) for item in batch))
    if torch.is_tensor(batch) or hasattr(batch, "to_dict"):  # a PyG batch
        # On the way back to the CPU it would be read before it is there.
        return batch.to(device, non_blocking=device.type != "cpu")
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(move(item, device) for item in batch)
    return batch
