"""Contrastive learning: two views of one example are alike, views of different ones are not.

SimCLR with the NT-Xent loss (Chen et al. 2020, arXiv:2002.05709, eq. 1) and MoCo with a queue and a
slowly moving key encoder (He et al. 2019, arXiv:1911.05722, algorithm 1). Where the data bring
views of their own (`batch.other`), those are compared, augmented, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.objectives.base import Embedder, mlp, wide
from sciml.train.parallel import many
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data

Augment = Callable[["Data"], "Data"]


def needs_views(augment: Augment | None, name: str) -> Augment:
    """`augment`, or an error that explains why it is needed."""
    if augment is None:
        raise InputError(
            f"the objective {name!r} compares two views of an example and needs `augment`",
            hint="Give a function raw batch -> raw batch; a corpus without one can use 'masked'",
        )
    return augment


def two_views(batch: Data, augment: Augment) -> list[Data]:
    """Two random views: of each example, or of it and of its row in the batch `batch.other`."""
    return [augment(batch), augment(batch.other if "other" in batch else batch)]


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, *, all_processes: bool = True
) -> tuple[Tensor, Tensor]:
    """Normalised temperature-scaled cross-entropy over both directions of each pair.

    Args:
        first: [B, D] embeddings of one view each.
        second: [B, D] embeddings of the other views, row by row.
        temperature: of the softmax.
        all_processes: whether negatives come from all processes, of which each calls this; not
            where all have the same examples, as in an evaluation.

    Returns:
        (loss: mean over the 2B anchors, accuracy: share of anchors closest to their partner).
        The mean is over the anchors of this process.
    """
    both = F.normalize(wide(torch.stack([first, second])), dim=-1)
    every, before = _gather(both) if all_processes and many() else (both, 0)
    anchors, candidates = both.flatten(0, 1), every.flatten(0, 1)
    size, total = both.shape[1], every.shape[1]
    here = torch.arange(size, device=both.device) + before
    own = torch.cat([here, here + total])
    partner = torch.cat([here + total, here])
    logits = anchors @ candidates.T / temperature
    logits = logits.scatter(1, own[:, None], -torch.inf)
    loss = F.cross_entropy(logits, partner)
    return loss, (logits.argmax(1) == partner).float().mean().detach()


def _gather(values: Tensor) -> tuple[Tensor, int]:
    """[V, B, D] of each process -> [V, sum of B, D] and how many B are of the processes before this
    one; gradients flow back to their owners. Every process takes part, with B = 0 if need be."""
    from torch.distributed.nn.functional import all_gather

    size = torch.full((1,), values.shape[1], device=values.device)
    counts = torch.cat(all_gather(size)).tolist()
    before = sum(counts[: dist.get_rank()])
    if not max(counts):
        return values, before
    padded = F.pad(values, (0, 0, 0, max(counts) - values.shape[1]))
    parts = [part[:, :n] for part, n in zip(all_gather(padded), counts, strict=True)]
    return torch.cat(parts, 1), before


@dataclass(frozen=True)
class SimCLRConfig:
    """The projection and the softmax."""

    temperature: Annotated[float, Range(min=0, exclusive=True)] = 0.2
    """Of the softmax over candidates; lower looks harder at near misses."""
    width: Annotated[int, Range(min=2)] = 128
    """Width of the space where views are compared."""


class SimCLR(nn.Module):
    """NT-Xent between the projected graph embeddings of two augmented views."""

    Config = SimCLRConfig
    collective = True
    """A training forward pass waits for that of every other process."""

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: SimCLRConfig | None = None,
        *,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.augment = needs_views(augment, "simclr")
        self.projector = mlp(trunk.dim, trunk.dim, self.config.width)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Losses of a raw batch of at least two graphs."""
        views = two_views(batch, self.augment)
        first, second = (self.projector(self.trunk(self.embedder(view)).graph) for view in views)
        loss, accuracy = nt_xent(
            first, second, self.config.temperature, all_processes=self.training
        )
        count = torch.full((), 2.0 * len(first), device=first.device)
        return {"loss": loss, "count": count, "accuracy": accuracy}


@dataclass(frozen=True)
class MoCoConfig(SimCLRConfig):
    """The queue of negatives and the key encoder's inertia."""

    queue: Annotated[int, Range(min=1)] = 4096
    """Number of keys of earlier batches that serve as negatives."""
    momentum: Annotated[float, Range(min=0, max=1)] = 0.99
    """Share of its own weights that the key encoder keeps in each step."""


class MoCo(nn.Module):
    """Queries of one view against the key of the other and a queue of earlier keys.

    The engine calls `after_step`, which moves the key encoder and enqueues the keys of all training
    passes since, of all processes, oldest out first. The queue starts with random directions, as in
    the paper.
    """

    Config = MoCoConfig
    queue: Tensor
    pointer: Tensor

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: MoCoConfig | None = None,
        *,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.augment = needs_views(augment, "moco")
        self.projector = mlp(trunk.dim, trunk.dim, self.config.width)
        self.key = frozen_copy(nn.ModuleList([trunk, embedder, self.projector]))
        queue = F.normalize(torch.randn(self.config.queue, self.config.width), dim=-1)
        self.register_buffer("queue", queue)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.fresh = queue[:0]

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Losses of a raw batch; in training mode its keys will join the queue."""
        view, other = two_views(batch, self.augment)
        query = F.normalize(wide(self.projector(self.trunk(self.embedder(view)).graph)), dim=-1)
        with torch.no_grad():
            trunk, embedder, projector = self.key.children()
            keys = F.normalize(wide(projector(trunk(embedder(other)).graph)), dim=-1)
        positive = (query * keys).sum(-1, keepdim=True)
        negative = query @ self.queue.T
        logits = torch.cat([positive, negative], 1) / self.config.temperature
        loss = F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))
        if self.training:
            self.fresh = torch.cat([self.fresh.to(keys), keys])[-len(self.queue) :]
        return {
            "loss": loss,
            "count": torch.full((), float(len(query)), device=query.device),
            "accuracy": (logits.argmax(1) == 0).float().mean().detach(),
        }

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """[B, width] keys replace the B oldest ones; of several processes, all keys join."""
        if many():
            keys = _gather(keys.to(self.queue)[None])[0][0]
        keys = keys[-len(self.queue) :]
        at = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[at] = keys
        self.pointer.copy_((self.pointer + len(keys)) % len(self.queue))

    def after_step(self, step: int) -> None:
        """key <- momentum * key + (1 - momentum) * query, weight by weight; fresh keys join."""
        # Here and not in the forward pass, which a process whose batch has no such examples lacks.
        self.enqueue(self.fresh)
        self.fresh = self.fresh[:0]
        move_average(
            self.key,
            nn.ModuleList([self.trunk, self.embedder, self.projector]),
            self.config.momentum,
        )

    def train(self, mode: bool = True) -> MoCo:
        """Training mode for all but the key encoder, which has no dropout."""
        super().train(mode)
        self.key.eval()
        return self


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that learns only through `move_average`."""
    return copy.deepcopy(module).requires_grad_(False).eval()


@torch.no_grad()
def move_average(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """average <- momentum * average + (1 - momentum) * module, in place; buffers are copied."""
    for mean, weight in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(weight.detach().to(mean), 1 - momentum)
    for own, value in zip(average.buffers(), module.buffers(), strict=True):
        own.copy_(value)
