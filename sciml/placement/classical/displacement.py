"""Legal cells nearer to where they are wanted: gaps that are nearer, and medians within segments.

Two steps in turn. A cell moves into a gap of any row that is nearer to its place, the farthest
cells first. Then the cells of each segment, in their order, take the positions of least total
displacement: blocks of abutting cells at the median of what their cells want (isotonic regression
in L1 by pooling adjacent violators; Ayer and others 1955).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.segments import Group, Segments, free_segments, groups, suits
from sciml.placement.design import Design

_FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
ROUNDS = 6


@njit(**_FAST)
def _gap(
    s: int, w: int, target: float, sites: Any, head: Any, after: Any, start: Any, width: Any
) -> tuple[int, int]:  # fmt: skip
    """(first site of the nearest gap of w sites in a segment, the cell before it); -1: none."""
    best = np.inf
    best_start = -1
    best_before = -1
    before = -1
    low = 0
    while True:
        k = head[s] if before < 0 else after[before]
        high = (start[k] if k >= 0 else sites[s]) - w
        if high >= low:
            at = int(min(max(np.round(target), low), high))
            if abs(at - target) < best:
                best = abs(at - target)
                best_start = at
                best_before = before
        if k < 0 or (low > target and best < low - target):
            return best_start, best_before
        before = k
        low = start[k] + width[k]


@njit(**_FAST)
def _relocate(
    order: Any, left: Any, bottom: Any, width: Any, cell_class: Any, fits: Any, row_y: Any,
    row_x: Any, sites: Any, capacity: Any, pitch: float, level_y: Any, level_start: Any, used: Any,
    head: Any, after: Any, start: Any, segment: Any,
) -> int:  # fmt: skip
    """Move cells into gaps nearer to `left`, `bottom` [units]; returns how many."""
    moved = 0
    for i in order:
        s = segment[i]
        now = abs(row_x[s] + start[i] * pitch - left[i]) + abs(row_y[s] - bottom[i])
        if now < 1e-9:
            continue
        before = -1  # out of its list, so that its own place is a gap, too
        k = head[s]
        while k != i:
            before = k
            k = after[k]
        if before < 0:
            head[s] = after[i]
        else:
            after[before] = after[i]
        best = now - 1e-9
        best_s = s
        best_start = start[i]
        best_before = before
        middle = np.searchsorted(level_y, bottom[i])
        down = middle - 1
        up = middle
        while True:
            d_down = bottom[i] - level_y[down] if down >= 0 else np.inf
            d_up = level_y[up] - bottom[i] if up < level_y.shape[0] else np.inf
            dy = min(d_down, d_up)
            if dy >= best:
                break
            level = down if d_down <= d_up else up
            if d_down <= d_up:
                down -= 1
            else:
                up += 1
            for t in range(level_start[level], level_start[level + 1]):
                if not fits[cell_class[i], t]:
                    continue
                if t != s and used[t] + width[i] > capacity[t]:
                    continue
                target = (left[i] - row_x[t]) / pitch
                out = max(-target, target + width[i] - sites[t], 0.0) * pitch
                if out + dy >= best:
                    continue
                at, previous = _gap(t, width[i], target, sites, head, after, start, width)
                if at >= 0 and abs(at - target) * pitch + dy < best:
                    best = abs(at - target) * pitch + dy
                    best_s = t
                    best_start = at
                    best_before = previous
        if best_s != s or best_start != start[i]:
            moved += 1
        used[s] -= width[i]
        used[best_s] += width[i]
        segment[i] = best_s
        start[i] = best_start
        if best_before < 0:
            after[i] = head[best_s]
            head[best_s] = i
        else:
            after[i] = after[best_before]
            after[best_before] = i
    return moved


@njit(**_FAST)
def _medians(
    left: Any, width: Any, row_x: Any, sites: Any, pitch: float, head: Any, after: Any, start: Any
) -> None:  # fmt: skip
    """The positions of least total |displacement| in x of every segment, in the cells' order."""
    n = left.shape[0]
    wish = np.empty(n)  # of the block's first cell
    first = np.empty(n, np.int64)
    value = np.empty(n)
    for s in range(head.shape[0]):
        count = 0
        blocks = 0
        shift = 0
        k = head[s]
        while k >= 0:
            wish[count] = (left[k] - row_x[s]) / pitch - shift
            first[blocks] = count
            value[blocks] = wish[count]
            count += 1
            blocks += 1
            while blocks > 1 and value[blocks - 2] > value[blocks - 1]:
                blocks -= 1
                value[blocks - 1] = np.median(wish[first[blocks - 1] : count])
            shift += width[k]
            k = after[k]
        room = sites[s] - shift
        k = head[s]
        shift = 0
        b = 0
        for c in range(count):
            if b + 1 < blocks and first[b + 1] <= c:
                b += 1
            start[k] = int(min(max(np.round(value[b]), 0.0), float(room))) + shift
            shift += width[k]
            k = after[k]


def reduce_displacement(legal: Design, wanted: Design) -> Design:
    """The legal design with its movable single-row cells nearer to their places in `wanted`.

    Raises:
        InputError: as `segments.groups`.
    """
    for group in groups(legal):
        if group.levels == 1:
            legal = _reduce(legal, wanted, group)
    return legal


def _reduce(legal: Design, wanted: Design, group: Group) -> Design:
    cells = group.cells
    absent = np.zeros(legal.nodes, bool)
    absent[cells] = True
    free = free_segments(legal, group.rows, absent)
    site = float(free.pitch[0]) if len(free) else 1.0
    width = np.maximum(np.ceil(legal.width[cells] / site - 1e-6), 1).astype(np.int64)
    segment, start = _where(legal, cells, free, site)
    if (segment < 0).any():
        return legal  # what is not on a segment is not this function's to mend
    cell_class, fits, turns = suits(legal, group, free)
    left = wanted.x[cells] - wanted.width[cells] / 2
    bottom = wanted.y[cells] - wanted.height[cells] / 2
    level_y, level_start = np.unique(free.y, return_index=True)
    level_start = np.append(level_start, len(free))
    used = np.bincount(segment, width, len(free)).astype(np.int64)
    head, after = np.full(len(free), -1), np.full(len(cells), -1)
    order = np.lexsort((start, segment))
    same = segment[order[1:]] == segment[order[:-1]]
    after[order[:-1][same]] = order[1:][same]
    begins = np.append(True, ~same)
    head[segment[order[begins]]] = order[begins]

    def distance() -> np.ndarray:
        x = free.x[segment] + start * site
        return np.abs(x - left) + np.abs(free.y[segment] - bottom)

    for _ in range(ROUNDS):
        before = float(distance().sum())
        _relocate(
            np.argsort(-distance(), kind="stable"), left, bottom, width, cell_class, fits, free.y,
            free.x, free.sites, free.capacity, site, level_y, level_start, used, head, after, start,
            segment,
        )  # fmt: skip
        middle, kept = float(distance().sum()), start.copy()
        _medians(left, width, free.x, free.sites, site, head, after, start)
        if distance().sum() > middle:
            start[:] = kept
        if distance().sum() > before - 1e-6 * max(before, 1e-12):
            break
    x, y, orientation = legal.x.copy(), legal.y.copy(), legal.orientation.copy()
    x[cells] = free.x[segment] + start * site + legal.width[cells] / 2
    y[cells] = free.y[segment] + legal.height[cells] / 2
    turn = turns[cell_class, segment]
    orientation[cells] = np.where(turn >= 0, turn, orientation[cells])
    return legal.at(x, y, orientation)


def _where(
    design: Design, cells: np.ndarray, free: Segments, site: float
) -> tuple[np.ndarray, np.ndarray]:
    """(segment that each cell is on, -1 for none; its first site there)."""
    left = design.x[cells] - design.width[cells] / 2
    bottom = design.y[cells] - design.height[cells] / 2
    row = np.round(free.y, 6)
    levels = np.unique(row)
    found = np.full(len(cells), -1)
    level = np.searchsorted(levels, np.round(bottom, 6) - 1e-5)
    for k, value in enumerate(levels):
        here = np.flatnonzero((level == k) & (np.abs(bottom - value) < 1e-4))
        members = np.flatnonzero(row == value)
        slot = np.searchsorted(free.x[members], left[here] + 1e-4) - 1
        good = slot >= 0
        s = members[np.maximum(slot, 0)]
        good &= left[here] < free.x[s] + free.sites[s] * site
        found[here[good]] = s[good]
    start = np.round((left - free.x[np.maximum(found, 0)]) / site).astype(np.int64)
    return found, start
