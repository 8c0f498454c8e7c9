"""Standard cells onto rows and sites: the Abacus legaliser.

Abacus (Spindler, Schlichtmann and Johannes, ISPD 2008): cells from left to right, each tried in the
rows near it; within a segment of a row the cells keep their order and the cost, the squared
displacement weighted by width, is minimal: clusters of abutting cells are merged and moved as one.
Segments are what fixed blocks, macros, halos and blockages leave of a row, cut where fences and
PARTIAL blockages begin and end (`segments`). Positions are multiples of the site throughout.
Multi-row cells come first, on rows of their height, and are fixed for the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.placement.classical.segments import Group, free_segments, groups, suits
from sciml.placement.constraints import mark_placed
from sciml.placement.design import CELL, Design

_FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_FAST)
def _try_row(
    s: int, target: float, w: int, sites: Any, capacity: Any, used: Any, tail: Any,
    c_x: Any, c_w: Any, c_q: Any, c_e: Any, c_prev: Any,
) -> float:  # fmt: skip
    """Where the cell would start [sites from the segment's left] if appended; -1: no space."""
    if used[s] + w > capacity[s]:
        return -1.0
    target = min(max(target, 0.0), float(sites[s] - w))
    k = tail[s]
    if k < 0 or c_x[k] + c_w[k] <= target:
        return target
    e = c_e[k] + w
    q = c_q[k] + w * (target - c_w[k])
    width = c_w[k] + w
    x = min(max(q / e, 0.0), float(sites[s] - width))
    k = c_prev[k]
    while k >= 0 and c_x[k] + c_w[k] > x:
        q = c_q[k] + q - e * c_w[k]
        e += c_e[k]
        width += c_w[k]
        x = min(max(q / e, 0.0), float(sites[s] - width))
        k = c_prev[k]
    return x + width - w


@njit(**_FAST)
def _abacus(
    order: Any, x: Any, y: Any, width: Any, cell_class: Any, fits: Any, row_y: Any, row_x: Any,
    sites: Any, capacity: Any, pitch: float, level_y: Any, level_start: Any, used: Any, tail: Any,
    c_x: Any, c_w: Any, c_q: Any, c_e: Any, c_prev: Any, segment_of: Any, cell_prev: Any, last: Any,
    c_last: Any,
) -> int:  # fmt: skip
    """segment_of[i] = segment of cell i. Returns the first cell without one, or -1."""
    n_levels = level_y.shape[0]
    clusters = 0
    for t in range(order.shape[0]):
        i = order[t]
        w = width[i]
        middle = np.searchsorted(level_y, y[i])
        best = np.inf
        best_s = -1
        down = middle - 1
        up = middle
        while True:
            d_down = y[i] - level_y[down] if down >= 0 else np.inf
            d_up = level_y[up] - y[i] if up < n_levels else np.inf
            if min(d_down, d_up) >= best:
                break
            if d_down <= d_up:
                level = down
                dy = d_down
                down -= 1
            else:
                level = up
                dy = d_up
                up += 1
            for s in range(level_start[level], level_start[level + 1]):
                target = (x[i] - row_x[s]) / pitch
                # A lower bound of the displacement, before anything is computed.
                lower_bound = max(-target, target + w - sites[s], 0.0) * pitch
                if lower_bound + dy >= best or not fits[cell_class[i], s]:
                    continue
                position = _try_row(
                    s, target, w, sites, capacity, used, tail, c_x, c_w, c_q, c_e, c_prev
                )
                if position >= 0:
                    cost = abs(position - target) * pitch + dy
                    if cost < best:
                        best = cost
                        best_s = s
        if best_s < 0:
            return i
        s = best_s
        target = min(max((x[i] - row_x[s]) / pitch, 0.0), float(sites[s] - w))
        segment_of[i] = s
        used[s] += w
        cell_prev[i] = last[s]
        last[s] = i
        k = tail[s]
        if k < 0 or c_x[k] + c_w[k] <= target:
            k = clusters
            clusters += 1
            c_prev[k] = tail[s]
            c_e[k] = w
            c_q[k] = w * target
            c_w[k] = w
            tail[s] = k
        else:
            c_e[k] += w
            c_q[k] += w * (target - c_w[k])
            c_w[k] += w
        c_last[k] = i
        c_x[k] = min(max(c_q[k] / c_e[k], 0.0), float(sites[s] - c_w[k]))
        while c_prev[k] >= 0 and c_x[c_prev[k]] + c_w[c_prev[k]] > c_x[k]:
            j = c_prev[k]
            c_q[j] += c_q[k] - c_e[k] * c_w[j]
            c_e[j] += c_e[k]
            c_w[j] += c_w[k]
            c_last[j] = i
            k = j
            tail[s] = k
            c_x[k] = min(max(c_q[k] / c_e[k], 0.0), float(sites[s] - c_w[k]))
    return -1


@njit(**_FAST)
def _settle(
    segments: int, tail: Any, c_x: Any, c_w: Any, c_prev: Any, c_last: Any, cell_prev: Any,
    last: Any, width: Any, sites: Any, start: Any,
) -> None:  # fmt: skip
    """Round clusters to sites from the right, pushed left where they would overlap."""
    for s in range(segments):
        limit = sites[s]
        i = last[s]
        k = tail[s]
        while k >= 0:
            position = min(int(np.round(c_x[k])), limit - c_w[k])
            # The cells to the left need their space, too.
            end = position + c_w[k]
            before = c_last[c_prev[k]] if c_prev[k] >= 0 else -1
            while i != before:
                end -= width[i]
                start[i] = end
                i = cell_prev[i]
            limit = position
            k = c_prev[k]


@njit(**_FAST)
def _repack(order: Any, first: Any, width: Any, sites: Any, start: Any) -> None:
    """Push cells to the right where rounding left one below 0 or on its neighbour."""
    for s in range(first.shape[0] - 1):
        edge = 0
        for k in range(first[s], first[s + 1]):
            i = order[k]
            start[i] = max(start[i], edge)
            edge = start[i] + width[i]
        limit = sites[s]
        for k in range(first[s + 1] - 1, first[s] - 1, -1):
            i = order[k]
            start[i] = min(start[i], limit - width[i])
            limit = start[i]


def legalise_cells(design: Design) -> Design:
    """All movable cells on rows and sites, oriented as these are, without overlap.

    Raises:
        InputError: no rows, rows on their side or with unequal sites, a cell whose height is no
            multiple of a row's, or no space left.
    """
    movable = (design.kind == CELL) & ~design.fixed
    placed, left = design, movable
    for group in groups(design):
        members = np.zeros(design.nodes, bool)
        members[group.cells] = True
        # Cells of later groups are not yet obstacles; those of earlier ones are.
        placed = _legalise_group(placed, group, left)
        left = left & ~members
    return mark_placed(placed, movable)


def _legalise_group(design: Design, group: Group, absent: np.ndarray) -> Design:
    cells = group.cells
    free = free_segments(design, group.rows, absent)
    if not len(free):
        raise InputError("no free row is left for cells", where=design.source)
    if np.ptp(free.pitch) > 1e-9:
        raise InputError("rows of unequal sites are not supported", where=design.source)
    site = float(free.pitch[0])
    y, x, sites = free.y, free.x, free.sites
    width = np.maximum(np.ceil(design.width[cells] / site - 1e-6), 1).astype(np.int64)
    if width.sum() > free.capacity.sum():
        raise InputError("the cells are wider than all free sites", where=design.source)
    cell_class, fits, turns = suits(design, group, free)
    left = design.x[cells] - design.width[cells] / 2
    bottom = design.y[cells] - design.height[cells] / 2
    level_y, level_start = np.unique(y, return_index=True)
    level_start = np.append(level_start, len(y))
    n, m = len(cells), len(y)
    order = np.argsort(left, kind="stable")
    orders = [order]
    if len(fits) > 1:  # if that fails: first those with few suitable sites
        choice = np.array([free.capacity[row].sum() for row in fits])
        orders.append(order[np.argsort(choice[cell_class[order]], kind="stable")])
    for order in orders:
        ints = [np.full(k, -1, np.int64) for k in (m, n, n, n, m, n)]
        tail, c_prev, segment_of, cell_prev, last, c_last = ints
        c_x, c_q, c_e = np.zeros(n), np.zeros(n), np.zeros(n)
        c_w, used, start = np.zeros(n, np.int64), np.zeros(m, np.int64), np.zeros(n, np.int64)
        failed = _abacus(
            order, left, bottom, width, cell_class, fits, y, x, sites, free.capacity, site, level_y,
            level_start, used, tail, c_x, c_w, c_q, c_e, c_prev, segment_of, cell_prev, last,
            c_last,
        )  # fmt: skip
        if failed < 0:
            break
    if failed >= 0:
        raise InputError(
            f"no room for cell {design.names[int(cells[failed])]!r}", where=design.source,
            hint="The free segments of the rows that it may be placed in are too full",
        )  # fmt: skip
    _settle(m, tail, c_x, c_w, c_prev, c_last, cell_prev, last, width, sites, start)
    in_order = np.lexsort((np.argsort(order), segment_of))
    first = np.searchsorted(segment_of[in_order], np.arange(m + 1))
    _repack(in_order, first, width, sites, start)
    new_x, new_y, orientation = design.x.copy(), design.y.copy(), design.orientation.copy()
    new_x[cells] = x[segment_of] + start * site + design.width[cells] / 2
    new_y[cells] = y[segment_of] + design.height[cells] / 2
    orientation_of = turns[cell_class, segment_of]
    orientation[cells] = np.where(orientation_of >= 0, orientation_of, orientation[cells])
    return design.at(new_x, new_y, orientation)
