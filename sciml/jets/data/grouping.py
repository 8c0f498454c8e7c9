"""Jets of nearly equal length together, so that little of a padded batch is padding."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

WIDTH_STEP = 4
"""Lengths are rounded up to a multiple of this many particles."""
ANY = 1 << 40


@dataclasses.dataclass
class Group:
    """`rows` of a batch of jets, cut to their first `width` places; `mask` is that part of it."""

    rows: Tensor
    width: int
    mask: Tensor


def group_by_length(
    mask: Tensor, *, step: int = WIDTH_STEP, least: int = 1, most: int = ANY
) -> list[Group]:
    """The rows of a mask [B, N] in groups of like length, shortest first; every row once.

    Args:
        mask: True for a particle; in each row the particles come first.
        step: round lengths up to a multiple of this.
        least: least width of a group.
        most: most places (rows x width) of a group, unless one row alone has more.
    """
    lengths = mask.sum(1)
    order = torch.argsort(lengths, stable=True)
    rounded = ((lengths[order] + step - 1) // step * step).clamp(min=least)
    widths = rounded.clamp(max=mask.shape[1]).tolist()
    groups, start = [], 0
    for end in range(1, len(widths) + 1):
        last = end == len(widths)
        if last or widths[end] != widths[start] or (end + 1 - start) * widths[start] > most:
            rows = order[start:end]
            width = max(int(lengths[rows].max()), least)
            groups.append(Group(rows, width, mask[rows, :width]))
            start = end
    return groups


def runs(groups: list[Group], most: int) -> list[list[Group]]:
    """Groups in order, as many at a time as have at most `most` places; one alone may have more."""
    batches: list[list[Group]] = []
    places = 0
    for group in groups:
        places += group.mask.numel()
        if not batches or places > most:
            batches.append([])
            places = group.mask.numel()
        batches[-1].append(group)
    return batches
