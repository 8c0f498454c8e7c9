"""Parts of a data set: examples held out by a seed, and the rest, in memory for few of them.

The rest of many examples is not a list of indices but a rule: number i of what is left is found
from the sorted indices that were taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.data.order import WHOLE
from sciml.errors import InputError


class Without:
    """All indices below `size` but some: `rest[i]` and `rest[array]`, without a list of them.

    Args:
        size: number of examples.
        taken: sorted indices that are left out.
    """

    def __init__(self, size: int, taken: NDArray[np.int64]) -> None:
        self.size = size
        # How many indices of the rest lie before each that was taken.
        self._before = taken - np.arange(len(taken))

    def __len__(self) -> int:
        return self.size - len(self._before)

    def __getitem__(self, i: Any) -> Any:
        i = np.asarray(i)
        return i + np.searchsorted(self._before, i, side="right")


Indices = NDArray[np.int64] | Without


def split(
    size: int, count: int, seed: int, where: object = None
) -> tuple[Indices, NDArray[np.int64]]:
    """(rest, held-out) indices, sorted, drawn by the seed.

    Args:
        size: number of examples.
        count: how many are held out.
        seed: of the draw.
        where: what a message names.

    Raises:
        InputError: nothing would be left.
    """
    if count >= size:
        raise InputError(f"needs at least 2 examples, got {size}", where=where)
    random = np.random.default_rng(seed)
    if size <= WHOLE:
        order = random.permutation(size)
        return np.sort(order[count:]), np.sort(order[:count])
    held_out = np.sort(random.choice(size, count, replace=False, shuffle=False))
    return Without(size, held_out), held_out


def sample(indices: Indices, labels: Any, count: int, seed: int) -> NDArray[np.int64]:
    """At most `count` labelled examples (label >= 0) among `indices`, drawn by the seed.

    Args:
        indices: of examples.
        labels: of all examples, in memory or on disk.
        count: how many are wanted.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    if not isinstance(indices, Without):
        labelled = indices[labels[indices] >= 0]
        return np.asarray(labelled[random.permutation(len(labelled))[:count]])
    tried = indices[random.choice(len(indices), min(len(indices), 20 * count), replace=False)]
    return np.asarray(tried[labels[tried] >= 0][:count])


class Part(Sequence):
    """Some examples of a data set."""

    def __init__(self, dataset: Any, indices: Indices) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.dataset[int(self.indices[i])]


class PartOf:
    """The values of some examples, of an array in memory or on disk: `part[array]`."""

    def __init__(self, values: Any, indices: Indices) -> None:
        self.values, self.indices = values, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.values[self.indices[i]]
