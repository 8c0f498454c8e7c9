"""Which cell stands where in the rows: the state that detailed placement changes.

Cells of a segment stand in `slots` from left to right; behind them is spare room for insertions.
Positions are whole sites from the left of the segment.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.classical.detailed_wire import FAST, LARGEST_TRIAL, put
from sciml.placement.classical.segments import Segments
from sciml.placement.design import Design

LONGEST_PUSH = 8
"""Neighbours that one insertion may push to either side."""


class Slots(NamedTuple):
    """Segments [S]: y of the bottom, x of site 0, sites, capacity and used sites, levels of y.

    first [S + 1], counts [S]: each segment's part of `slots`. Nodes [N]: width in sites, half the
    width, first site, segment, class. side [class, S]: +1 or -1, a cell of the class is upright
    or flipped there; 0: it may not be placed there. order: the cells that move.
    """

    y: np.ndarray
    x: np.ndarray
    sites: np.ndarray
    capacity: np.ndarray
    used: np.ndarray
    level_y: np.ndarray
    level_start: np.ndarray
    first: np.ndarray
    counts: np.ndarray
    slots: np.ndarray
    width: np.ndarray
    half: np.ndarray
    site: np.ndarray
    segment: np.ndarray
    cell_class: np.ndarray
    side: np.ndarray
    moves: np.ndarray
    new_site: np.ndarray
    pitch: float
    half_height: float


def slots_of(
    design: Design, cells: np.ndarray, free: Segments, cell_class: np.ndarray, side: np.ndarray
) -> Slots:
    """The slots of legally placed cells."""
    pitch = float(free.pitch[0])
    width = np.maximum(np.ceil(design.width / pitch - 1e-6), 1).astype(np.int64)
    left = design.x - design.width / 2
    bottom = design.y - design.height / 2
    level_y, level_start = np.unique(free.y, return_index=True)
    level_start = np.append(level_start, len(free)).astype(np.int64)
    middle = 0.5 * (level_y[1:] + level_y[:-1])
    level_of = np.searchsorted(middle, bottom[cells])
    # The segment of each cell: the last one of its row that begins at or before it.
    span = float(np.abs(free.x).max(initial=0) + np.abs(left[cells]).max(initial=0)) * 2 + 1
    level_of_segment = np.repeat(np.arange(len(level_y)), np.diff(level_start))
    keys = level_of_segment * span + free.x
    found = np.searchsorted(keys, level_of * span + left[cells] + 1e-4 * pitch, side="right") - 1
    segment = np.maximum(found, level_start[level_of])
    site = np.zeros(design.nodes, np.int64)
    site[cells] = np.round((left[cells] - free.x[segment]) / pitch).astype(np.int64)
    segment_of = np.zeros(design.nodes, np.int64)
    segment_of[cells] = segment
    count = np.bincount(segment, minlength=len(free))
    room = count + count // 4 + 8
    first = np.concatenate([[0], np.cumsum(room)])
    ordered = np.lexsort((site[cells], segment))
    slots = np.full(first[-1], -1, np.int64)
    rank = np.arange(len(cells)) - np.repeat(np.cumsum(count) - count, count)
    slots[first[segment[ordered]] + rank] = cells[ordered]
    used = np.bincount(segment, width[cells], len(free)).astype(np.int64)
    class_of = np.zeros(design.nodes, np.int64)
    class_of[cells] = cell_class
    moves = np.zeros(design.nodes, np.bool_)
    moves[cells] = True
    return Slots(
        free.y, free.x, free.sites, free.capacity, used, level_y, level_start, first, count, slots,
        width, design.width / 2, site, segment_of, class_of, side, moves,
        np.zeros(max(LARGEST_TRIAL, int(room.max())), np.int64), pitch,
        float(design.height[cells[0]] / 2),
    )  # fmt: skip


@njit(**FAST)
def slot_at(slots: Any, s: int, site: int) -> int:
    """The first slot of segment s whose cell begins at `site` or behind it."""
    a = slots.first[s]
    b = a + slots.counts[s]
    while a < b:
        m = (a + b) // 2
        if slots.site[slots.slots[m]] < site:
            a = m + 1
        else:
            b = m
    return a


@njit(**FAST)
def stand(slots: Any, places: Any, n: int, i: int, s: int, site: int) -> int:
    """Cell i is moved to a site of segment s as the n-th of a trial; returns n + 1."""
    slots.new_site[n] = site
    return put(
        places, n, i, slots.x[s] + site * slots.pitch + slots.half[i],
        slots.y[s] + slots.half_height, slots.side[slots.cell_class[i], s],
    )  # fmt: skip


@njit(**FAST)
def insert(
    slots: Any, places: Any, n: int, i: int, s: int, gap: int, site: int, behind: int, leaves: bool
) -> int:  # fmt: skip
    """Put cell i at a site of segment s between slots gap - 1 and `behind`, pushing neighbours.

    Cell i itself is passed over where it stands in the way, if its present place becomes free
    (`leaves`); else a push that reaches it fails. Returns the size of the trial, or -(size + 1) if
    it fails.
    """
    start = n
    n = stand(slots, places, n, i, s, site)
    edge = site + slots.width[i]
    q = behind
    end = slots.first[s] + slots.counts[s]
    while q < end:
        j = slots.slots[q]
        q += 1
        if j == i and leaves:
            continue
        if slots.site[j] >= edge:
            break
        if j == i or n - start > LONGEST_PUSH or n >= LARGEST_TRIAL - 1:
            return -(n + 1)
        n = stand(slots, places, n, j, s, edge)
        edge += slots.width[j]
    if edge > slots.sites[s]:
        return -(n + 1)
    middle = n
    edge = site
    q = gap - 1
    while q >= slots.first[s]:
        j = slots.slots[q]
        q -= 1
        if j == i and leaves:
            continue
        if slots.site[j] + slots.width[j] <= edge:
            break
        if j == i or n - middle > LONGEST_PUSH or n >= LARGEST_TRIAL - 1:
            return -(n + 1)
        edge -= slots.width[j]
        n = stand(slots, places, n, j, s, edge)
    if edge < 0:
        return -(n + 1)
    return n


@njit(**FAST)
def settle(slots: Any, places: Any, n: int) -> None:
    """The first sites of all cells of an accepted trial."""
    for k in range(n):
        slots.site[places.cells[k]] = slots.new_site[k]


@njit(**FAST)
def take_out(slots: Any, q: int) -> None:
    """Remove the cell of a slot from its segment."""
    i = slots.slots[q]
    s = slots.segment[i]
    for k in range(q, slots.first[s] + slots.counts[s] - 1):
        slots.slots[k] = slots.slots[k + 1]
    slots.counts[s] -= 1
    slots.used[s] -= slots.width[i]


@njit(**FAST)
def put_in(slots: Any, i: int, s: int, q: int) -> None:
    """Insert a cell into segment s before slot q; there must be room."""
    for k in range(slots.first[s] + slots.counts[s], q, -1):
        slots.slots[k] = slots.slots[k - 1]
    slots.slots[q] = i
    slots.counts[s] += 1
    slots.used[s] += slots.width[i]
    slots.segment[i] = s


@njit(**FAST)
def room_for(slots: Any, i: int, s: int) -> bool:
    """May cell i stand in segment s, by class and capacity?"""
    if slots.side[slots.cell_class[i], s] == 0:
        return False
    if slots.segment[i] == s:
        return True
    return (
        slots.used[s] + slots.width[i] <= slots.capacity[s]
        and slots.counts[s] < slots.first[s + 1] - slots.first[s]
    )
