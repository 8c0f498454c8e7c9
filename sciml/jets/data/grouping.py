"""Groups of jets of similar length, so that little of a padded batch is padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WIDTH_STEP = 4
"""Lengths are rounded up to a multiple of this many particles."""
UNLIMITED = 1 << 40


@dataclasses.dataclass
class Group:
    """`rows` of a batch of jets, cut to their first `width` particles, with their mask."""

    rows: Tensor
    width: int
    mask: Tensor


def group_by_length(
    mask: Tensor, *, step: int = WIDTH_STEP, min_width: int = 1, max_size: int = UNLIMITED
) -> list[Group]:
    """The rows of a mask [B, N] in groups of similar length, shortest first; every row once.

    Args:
        mask: True for a particle; in each row the particles come first.
        step: round lengths up to a multiple of this.
        min_width: smallest width of a group.
        max_size: largest size (rows x width) of a group, unless one row alone has more.
    """
    lengths = mask.sum(1)
    order = torch.argsort(lengths, stable=True)
    ascending = lengths[order].tolist()
    widths = [min(max(-(-n // step) * step, min_width), mask.shape[1]) for n in ascending]
    groups, start = [], 0
    for end in range(1, len(widths) + 1):
        last = end == len(widths)
        if last or widths[end] != widths[start] or (end + 1 - start) * widths[start] > max_size:
            rows = order[start:end]
            width = max(ascending[end - 1], min_width)
            groups.append(Group(rows, width, mask[rows, :width]))
            start = end
    return groups


def runs(groups: list[Group], max_size: int) -> list[list[Group]]:
    """Consecutive groups of at most `max_size` in all; one group alone may be larger."""
    batches: list[list[Group]] = []
    size = 0
    for group in groups:
        size += group.mask.numel()
        if not batches or size > max_size:
            batches.append([])
            size = group.mask.numel()
        batches[-1].append(group)
    return batches


def by_length(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], mask: Tensor, *,
    min_width: int, max_size: int,
) -> Tensor:  # fmt: skip
    """`function(*inputs, mask)`, a row [B, ...] for each jet, computed in groups.

    Args:
        function: of the inputs and the mask of a group.
        inputs: [B, N, ...].
        mask: [B, N] bool, as for `group_by_length`.
        min_width, max_size: of a group, see there.
    """
    groups = group_by_length(mask, min_width=min(min_width, mask.shape[1]), max_size=max_size)
    found = torch.cat([function(*(x[g.rows, : g.width] for x in inputs), g.mask) for g in groups])
    rows = torch.cat([group.rows for group in groups])
    return torch.empty_like(found).index_copy(0, rows, found)
