"""Detailed placement of legal standard cells: reorder neighbours, swap, move into gaps.

FastPlace-DP (Pan, Viswanathan and Chu, ICCAD 2005): the optimal region of a cell is the median box
of its nets; it moves there by a swap with a cell of equal width or into a free gap, and windows of
three neighbours are reordered. Only moves that shorten the half-perimeter are made.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.segments import free_segments, groups, suits
from sciml.placement.constraints import UPRIGHT
from sciml.placement.design import CELL, Design

IN_Y = np.array([0, 1, 1, 0, 0, 1, 1, 0])
"""1: this orientation is mirrored in y (left and right are exchanged)."""

_FAST: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy",
    "fastmath": {"contract", "nsz", "reassoc", "nnan"},
}  # fmt: skip


@njit(**_FAST)
def _cost(
    net: int, start: Any, node: Any, dx: Any, dy: Any, up: Any, x: Any, y: Any
) -> float:  # fmt: skip
    a = start[net]
    x0 = x[node[a]] + dx[a]
    x1 = x0
    y0 = y[node[a]] + dy[a] * up[node[a]]
    y1 = y0
    for p in range(a + 1, start[net + 1]):
        px = x[node[p]] + dx[p]
        py = y[node[p]] + dy[p] * up[node[p]]
        x0 = min(x0, px)
        x1 = max(x1, px)
        y0 = min(y0, py)
        y1 = max(y1, py)
    return x1 - x0 + y1 - y0


@njit(**_FAST)
def _nets_cost(
    cells: Any, n: int, nets: Any, nets_start: Any, stamp: Any, clock: Any,
    start: Any, node: Any, dx: Any, dy: Any, up: Any, x: Any, y: Any,
) -> float:  # fmt: skip
    """Half-perimeter of all nets of some cells, each counted once."""
    clock[0] += 1
    total = 0.0
    for k in range(n):
        i = cells[k]
        for q in range(nets_start[i], nets_start[i + 1]):
            net = nets[q]
            if stamp[net] != clock[0]:
                stamp[net] = clock[0]
                total += _cost(net, start, node, dx, dy, up, x, y)
    return total


@njit(**_FAST)
def _median_box(
    i: int, nets: Any, nets_start: Any, start: Any, node: Any, dx: Any, dy: Any, up: Any, x: Any,
    y: Any, work: Any, out: Any,
) -> bool:  # fmt: skip
    """The optimal region of cell i: medians of its nets' extents without it."""
    n = 0
    for q in range(nets_start[i], nets_start[i + 1]):
        net = nets[q]
        if start[net + 1] - start[net] > 64 or n + 2 > work.shape[1]:
            continue
        x0 = np.inf
        x1 = -np.inf
        y0 = np.inf
        y1 = -np.inf
        for p in range(start[net], start[net + 1]):
            if node[p] == i:
                continue
            px = x[node[p]] + dx[p]
            py = y[node[p]] + dy[p] * up[node[p]]
            x0 = min(x0, px)
            x1 = max(x1, px)
            y0 = min(y0, py)
            y1 = max(y1, py)
        if x1 >= x0:
            work[0, n] = x0
            work[0, n + 1] = x1
            work[1, n] = y0
            work[1, n + 1] = y1
            n += 2
    if n == 0:
        return False
    for axis in range(2):
        for a in range(1, n):  # insertion cell_class: a handful of numbers
            v = work[axis, a]
            b = a - 1
            while b >= 0 and work[axis, b] > v:
                work[axis, b + 1] = work[axis, b]
                b -= 1
            work[axis, b + 1] = v
        out[2 * axis] = work[axis, n // 2 - 1]
        out[2 * axis + 1] = work[axis, n // 2]
    return True


@njit(**_FAST)
def _find(slots: Any, a: int, b: int, value: float, left: Any) -> int:
    """First k in a .. b with left[slots[k]] >= value."""
    while a < b:
        m = (a + b) // 2
        if left[slots[m]] < value:
            a = m + 1
        else:
            b = m
    return a


@njit(**_FAST)
def improve(
    cells: Any, width: Any, slots: Any, first: Any, where: Any, row_y: Any, row_x: Any,
    row_end: Any, half: Any, half_h: Any, pitch: float, cell_class: Any, segment_of: Any, side: Any,
    nets: Any, nets_start: Any, start: Any, node: Any, dx: Any, dy: Any, up: Any, x: Any, y: Any,
    left: Any, stamp: Any, clock: Any,
) -> tuple[float, int]:  # fmt: skip
    """One pass of swaps with equal cells near each cell's optimal region. Returns (gain, swaps).

    side[class, segment]: +1 or -1, a cell of this class is upright or flipped there, 0: it may not
    be placed there; up: whether every node is upright (+1) or flipped (-1) now.
    """
    gain = 0.0
    changes = 0
    work = np.empty((2, 128))
    box = np.empty(4)
    pair = np.empty(2, np.int64)
    rows = row_y.shape[0]
    for i in cells:
        if not _median_box(i, nets, nets_start, start, node, dx, dy, up, x, y, work, box):
            continue
        tx = min(max(x[i], box[0]), box[1])
        ty = min(max(y[i], box[2]), box[3])
        if abs(tx - x[i]) + abs(ty - y[i]) < pitch:
            continue
        middle = np.searchsorted(row_y, ty - half_h)
        best = -1e-6
        partner = -1
        for s in range(max(middle - 4, 0), min(middle + 4, rows)):
            if row_x[s] > tx or row_end[s] < tx or side[cell_class[i], s] == 0:
                continue
            k = _find(slots, first[s], first[s + 1], tx - half[i], left)
            for q in range(max(k - 3, first[s]), min(k + 3, first[s + 1])):
                j = slots[q]
                if half[j] != half[i] or j == i or side[cell_class[j], segment_of[i]] == 0:
                    continue
                pair[0] = i
                pair[1] = j
                before = _nets_cost(
                    pair, 2, nets, nets_start, stamp, clock, start, node, dx, dy, up, x, y
                )
                up_i = up[i]
                up_j = up[j]
                x[i], x[j] = x[j], x[i]
                y[i], y[j] = y[j], y[i]
                up[i] = side[cell_class[i], s]
                up[j] = side[cell_class[j], segment_of[i]]
                after = _nets_cost(
                    pair, 2, nets, nets_start, stamp, clock, start, node, dx, dy, up, x, y
                )
                x[i], x[j] = x[j], x[i]
                y[i], y[j] = y[j], y[i]
                up[i] = up_i
                up[j] = up_j
                if after - before < best:
                    best = after - before
                    partner = j
        if partner >= 0:
            j = partner
            x[i], x[j] = x[j], x[i]
            y[i], y[j] = y[j], y[i]
            left[i], left[j] = left[j], left[i]
            segment_of[i], segment_of[j] = segment_of[j], segment_of[i]
            up[i] = side[cell_class[i], segment_of[i]]
            up[j] = side[cell_class[j], segment_of[j]]
            slots[where[i]], slots[where[j]] = j, i
            where[i], where[j] = where[j], where[i]
            gain -= best
            changes += 1
    return gain, changes


@njit(**_FAST)
def reorder(
    width: Any, slots: Any, first: Any, where: Any, half: Any, pitch: float, nets: Any,
    nets_start: Any, start: Any, node: Any, dx: Any, dy: Any, up: Any, x: Any, y: Any, left: Any,
    stamp: Any, clock: Any, row_x: Any, row_end: Any,
) -> tuple[float, int]:  # fmt: skip
    """One pass over windows of three neighbours: the best order, packed to the left or right.

    Single cells also slide into the gaps beside them.
    """
    perms = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    gain = 0.0
    changes = 0
    run = np.empty(3, np.int64)
    was = np.empty(3)
    keep = np.empty(3)
    for s in range(first.shape[0] - 1):
        for k in range(first[s], first[s + 1]):
            n = min(3, first[s + 1] - k)
            for t in range(n):
                run[t] = slots[k + t]
                was[t] = left[run[t]]
            low = row_x[s] if k == first[s] else left[slots[k - 1]] + width[slots[k - 1]] * pitch
            high = row_end[s] if k + n >= first[s + 1] else left[slots[k + n]]
            before = _nets_cost(
                run, n, nets, nets_start, stamp, clock, start, node, dx, dy, up, x, y
            )
            best = before - 1e-6
            choice = -1
            for o in range(6 if n == 3 else 1):
                total = 0
                for t in range(n):
                    total += width[run[t]]
                slack = high - low - total * pitch
                for mode in range(3 if slack > 0.5 * pitch else 1):
                    # Where the window began, at the left end of its space, or at the right end.
                    edge = min(max(was[0], low), low + slack)
                    if mode == 1:
                        edge = low
                    elif mode == 2:
                        edge = low + slack
                    for t in range(n):
                        i = run[perms[o, t]] if n == 3 else run[t]
                        x[i] = edge + half[i]
                        edge += width[i] * pitch
                    after = _nets_cost(
                        run, n, nets, nets_start, stamp, clock, start, node, dx, dy, up, x, y
                    )
                    if after < best:
                        best = after
                        choice = o * 3 + mode
                        for t in range(n):
                            keep[t] = x[run[t]]
            if choice < 0:
                for t in range(n):
                    x[run[t]] = was[t] + half[run[t]]
                continue
            for t in range(n):
                x[run[t]] = keep[t]
                left[run[t]] = keep[t] - half[run[t]]
            o = choice // 3
            if n == 3:
                for t in range(3):
                    i = run[perms[o, t]]
                    slots[k + t] = i
                    where[i] = k + t
            gain += before - best
            changes += 1
    return gain, changes


def improve_cells(design: Design, seconds: float = 20.0, passes: int = 8) -> Design:
    """Shorten a legal placement without making it illegal, for at most `seconds` of CPU time.

    Single-row cells move; multi-row cells stay.
    """
    movable = (design.kind == CELL) & ~design.fixed
    if design.rows is None or movable.sum() < 2:
        return design
    group = groups(design)[-1]
    cells = group.cells
    if group.levels > 1 or len(cells) < 2:
        return design
    began = time.process_time()
    absent = np.zeros(design.nodes, bool)
    absent[cells] = True
    free = free_segments(design, group.rows, absent)
    row_y, row_x = free.y, free.x
    pitch = float(free.pitch[0])
    row_end = row_x + free.sites * pitch
    cell_class, fits, turns = suits(design, group, free)
    # Pin offsets of an upright cell; `up` says which cells are flipped.
    up = np.ones(design.nodes)
    up[cells] = UPRIGHT[design.orientation[cells]]
    xy = design.pin_xy()
    dx, dy = xy[:, 0] - design.x[design.pin_node], xy[:, 1] - design.y[design.pin_node]
    dy *= up[design.pin_node]
    degree = np.diff(design.net_start)
    keep = (degree >= 2)[np.repeat(np.arange(design.nets), degree)]
    start = np.concatenate([[0], np.cumsum(degree[degree >= 2])])
    node, dx, dy = design.pin_node[keep], dx[keep], dy[keep]
    net_of = np.repeat(np.arange(len(start) - 1), np.diff(start))
    # One cell hardly changes a net of more than 400 pins.
    small = (np.diff(start) <= 400)[net_of]
    pairs = np.unique(node[small].astype(np.int64) * len(start) + net_of[small])
    owner, nets = np.divmod(pairs, len(start))
    nets_start = np.searchsorted(owner, np.arange(design.nodes + 1))
    width = np.maximum(np.ceil(design.width / pitch - 1e-6), 1).astype(np.int64)
    x, y = design.x.copy(), design.y.copy()
    half = design.width / 2
    left = x - half
    bottom = y - design.height / 2
    # The segment of each cell: the last one of its row that begins at or before it.
    level, level_start = np.unique(row_y, return_index=True)
    level_end = np.append(level_start[1:], len(row_y))
    row_index = np.clip(np.searchsorted(level, bottom[cells] - 1e-6), 0, len(level) - 1)
    segment = np.empty(len(cells), np.int64)
    for k, (r, value) in enumerate(
        zip(row_index.tolist(), (left[cells] + 1e-6).tolist(), strict=True)
    ):
        a, b = level_start[r], level_end[r]
        segment[k] = a + max(int(np.searchsorted(row_x[a:b], value, side="right")) - 1, 0)
    order = np.lexsort((left[cells], segment))
    slots = cells[order].astype(np.int64)
    first = np.searchsorted(segment[order], np.arange(len(row_y) + 1))
    where, segment_of = np.zeros(design.nodes, np.int64), np.zeros(design.nodes, np.int64)
    where[slots] = np.arange(len(slots))
    segment_of[cells] = segment
    mirror, head = IN_Y[design.orientation[cells]], (up[cells] < 0).astype(np.int64)
    class_of = np.zeros(design.nodes, np.int64)
    class_of[cells], side = _sides(cell_class, fits, turns, mirror, head)
    stamp, clock = np.zeros(len(start), np.int64), np.zeros(1, np.int64)
    half_h = float(design.height[cells[0]] / 2)
    shared = (nets, nets_start, start, node, dx, dy, up, x, y, left, stamp, clock)
    for _ in range(passes):
        swapped, _ = improve(cells, width, slots, first, where, row_y, row_x, row_end, half,
                             half_h, pitch, class_of, segment_of, side, *shared)  # fmt: skip
        slid, _ = reorder(width, slots, first, where, half, pitch, *shared, row_x, row_end)
        if time.process_time() - began > seconds or swapped + slid < pitch:
            break
    orientation = design.orientation.copy()
    upright = orientation[cells] < 4
    orientation[cells] = np.where(
        upright, TURN[mirror, (up[cells] < 0).astype(int)], orientation[cells]
    )
    return design.at(x, y, orientation)


TURN = np.array([[0, 3], [2, 1]])
"""The orientation by (mirrored in y, flipped in x)."""


def _sides(
    cell_class: np.ndarray,
    fits: np.ndarray,
    turns: np.ndarray,
    mirror: np.ndarray,
    head: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(class, side): the +-1 of each class of cells in each segment; 0 where it may not go.

    Classes are split by the present orientation: no cell is mirrored in y, and where rows do not
    state an orientation, cells keep theirs.
    """
    parts = []
    for mirrored in (0, 1):
        for on_head in (0, 1):
            up = np.where(turns < 0, 1 - 2 * on_head, UPRIGHT[turns])
            parts.append(np.where(fits & ((turns < 0) | (IN_Y[turns] == mirrored)), up, 0))
    return cell_class + len(fits) * (2 * mirror + head), np.concatenate(parts).astype(np.float64)
