"""The order in which the examples of a data set are read, made as it is needed.

Few examples are permuted as a whole. Of many, blocks of neighbours on disk are permuted, and then
the examples within a window of some blocks, as readers of shards do (WebDataset's shard shuffle and
buffer), but as a pure function of (seed, epoch, position): any position of any epoch is found
without what came before, in memory that the number of examples hardly changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

WHOLE = 1 << 20
"""Up to so many examples are permuted as a whole (8 MB)."""
BLOCK = 4096
"""Examples of a block."""
WINDOW = 64
"""Blocks whose examples are mixed."""


@dataclass(frozen=True)
class Order:
    """The order of `size` examples in one epoch, as windows that follow each other.

    Args:
        size: number of examples.
        seed, epoch: what the order is drawn from.
        shuffle: False: as they are.
        whole, block, window: see `WHOLE`, `BLOCK` and `WINDOW`.
    """

    size: int
    seed: int
    epoch: int
    shuffle: bool = True
    whole: int = WHOLE
    block: int = BLOCK
    window: int = WINDOW

    @property
    def in_windows(self) -> bool:
        """Whether there are too many examples to be permuted as a whole."""
        return self.size > self.whole

    @cached_property
    def _blocks(self) -> NDArray[np.int64]:
        """The blocks in their order, the short one at the end of the data last."""
        full, rest = divmod(self.size, self.block)
        drawn = np.random.default_rng([self.seed, self.epoch]).permutation(full)
        if not self.shuffle:
            drawn = np.arange(full)
        return np.append(drawn, full) if rest else drawn

    @property
    def windows(self) -> int:
        """Number of windows."""
        return -(-len(self._blocks) // self.window)

    def of_window(self, number: int) -> NDArray[np.int64]:
        """The examples of a window, in their order."""
        blocks = self._blocks[number * self.window : (number + 1) * self.window]
        examples = (blocks[:, None] * self.block + np.arange(self.block)).ravel()
        examples = examples[examples < self.size]
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch, number]).shuffle(examples)
        return examples

    def chunks(self, length: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Consecutive chunks of `length` examples from position `start` on; the last is shorter."""
        if not self.in_windows:
            # One generator a seed and epoch, as before there were windows: runs stay the same.
            order = np.arange(self.size)
            if self.shuffle:
                order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
            for at in range(start, self.size, length):
                yield order[at : at + length]
            return
        number, skip = divmod(start, self.window * self.block)
        left = np.zeros(0, np.int64)
        for which in range(number, self.windows):
            left = np.concatenate([left, self.of_window(which)[skip:]])
            skip = 0
            while len(left) >= length:
                yield left[:length]
                left = left[length:]
        if len(left):
            yield left
