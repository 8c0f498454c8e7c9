"""Compiled routing of two-pin segments: L and Z patterns, and mazes.

A path is a list of corners (row, column); it uses every edge between them. The cost of an edge that
holds `demand` wires grows when one more does not fit, and with its history (PathFinder, McMurchie
and Ebeling 1995); it is never below 1. Pattern routing: Kastner, Bozorgzadeh and Sarrafzadeh (IEEE
TCAD 2002). Mazes: A* (Hart, Nilsson and Raphael 1968) in a window around the segment.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

_FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
LOADED = 0.5
"""What a full edge costs more than an empty one, before it is overfull."""


class Price(NamedTuple):
    """What overflow costs: `penalty` for each wire too many, of which at most `most` count.

    All of them (infinity) where nets negotiate; one (1) where no change may add to the overflow.
    """

    penalty: float
    most: float


class Edges(NamedTuple):
    """Edges of one direction: horizontal ones [R, C - 1] or vertical ones [R - 1, C]."""

    supply: np.ndarray
    demand: np.ndarray
    history: np.ndarray


class Paths(NamedTuple):
    """Ends of segments [S, 4] (row, column, row, column), and corners of paths in one pool."""

    ends: np.ndarray
    first: np.ndarray
    number: np.ndarray
    pool: np.ndarray
    used: np.ndarray


class Maze(NamedTuple):
    """Work space of the maze router, one entry a global cell (and a heap)."""

    best: np.ndarray
    came: np.ndarray
    seen: np.ndarray
    clock: np.ndarray
    key: np.ndarray
    item: np.ndarray


@njit(**_FAST)
def _cost(e: Any, r: int, c: int, price: Any) -> float:
    after = e.demand[r, c] + 1
    supply = e.supply[r, c]
    cost = 1 + LOADED * min(after / max(supply, 1e-9), 1.0) if supply > 0 else 1 + LOADED
    if after > supply:
        cost += price.penalty * min(after - supply, price.most)
    return cost * (1 + e.history[r, c])


@njit(**_FAST)
def line_cost(h: Any, v: Any, r0: int, c0: int, r1: int, c1: int, price: Any) -> float:
    """Cost of a straight line."""
    total = 0.0
    for c in range(min(c0, c1), max(c0, c1)):
        total += _cost(h, r0, c, price)
    for r in range(min(r0, r1), max(r0, r1)):
        total += _cost(v, r, c0, price)
    return total


@njit(**_FAST)
def use(h: Any, v: Any, corners: Any, wires: float) -> None:
    """Add (or remove) wires along a path [n, 2]."""
    for k in range(corners.shape[0] - 1):
        r0 = min(corners[k, 0], corners[k + 1, 0])
        r1 = max(corners[k, 0], corners[k + 1, 0])
        c0 = min(corners[k, 1], corners[k + 1, 1])
        c1 = max(corners[k, 1], corners[k + 1, 1])
        for c in range(c0, c1):
            h.demand[r0, c] += wires
        for r in range(r0, r1):
            v.demand[r, c0] += wires


@njit(**_FAST)
def crowded(h: Any, v: Any, corners: Any) -> bool:
    """Does the path use an overfull edge?"""
    for k in range(corners.shape[0] - 1):
        r0 = min(corners[k, 0], corners[k + 1, 0])
        r1 = max(corners[k, 0], corners[k + 1, 0])
        c0 = min(corners[k, 1], corners[k + 1, 1])
        c1 = max(corners[k, 1], corners[k + 1, 1])
        for c in range(c0, c1):
            if h.demand[r0, c] > h.supply[r0, c]:
                return True
        for r in range(r0, r1):
            if v.demand[r, c0] > v.supply[r, c0]:
                return True
    return False


@njit(**_FAST)
def pattern(h: Any, v: Any, end: Any, price: Any, bends: int, out: Any) -> int:
    """The cheapest L (bends 1) or Z (bends 2) between two cells. Returns its corners, in `out`."""
    r0, c0, r1, c1 = end
    out[0, 0] = r0
    out[0, 1] = c0
    if r0 == r1 or c0 == c1:
        out[1, 0] = r1
        out[1, 1] = c1
        return 2
    best = np.inf
    way = 0
    at = 0
    step = 1 if c1 > c0 else -1
    left = 0.0
    right = line_cost(h, v, r1, c0, r1, c1, price)
    for c in range(c0, c1 + step, step):  # along r0, then column c, then along r1
        if bends > 1 or c == c0 or c == c1:
            cost = left + line_cost(h, v, r0, c, r1, c, price) + right
            if cost < best:
                best = cost
                way = 0
                at = c
        if c != c1:
            e = min(c, c + step)
            left += _cost(h, r0, e, price)
            right -= _cost(h, r1, e, price)
    if bends > 1:
        step = 1 if r1 > r0 else -1
        left = _cost(v, min(r0, r0 + step), c0, price)
        right = line_cost(h, v, r0 + step, c1, r1, c1, price)
        for r in range(r0 + step, r1, step):  # along c0, then row r, then along c1
            cost = left + line_cost(h, v, r, c0, r, c1, price) + right
            if cost < best:
                best = cost
                way = 1
                at = r
            e = min(r, r + step)
            left += _cost(v, e, c0, price)
            right -= _cost(v, e, c1, price)
    n = 1
    for k in range(2):
        row = (r0 if k == 0 else r1) if way == 0 else at
        column = at if way == 0 else (c0 if k == 0 else c1)
        if row != out[n - 1, 0] or column != out[n - 1, 1]:
            out[n, 0] = row
            out[n, 1] = column
            n += 1
    if out[n - 1, 0] != r1 or out[n - 1, 1] != c1:
        out[n, 0] = r1
        out[n, 1] = c1
        n += 1
    return n


@njit(**_FAST)
def _push(m: Any, size: int, key: float, item: int) -> int:
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if m.key[parent] <= key:
            break
        m.key[i] = m.key[parent]
        m.item[i] = m.item[parent]
        i = parent
    m.key[i] = key
    m.item[i] = item
    return size + 1


@njit(**_FAST)
def _pop(m: Any, size: int) -> int:
    """Remove the least, which the caller has read; returns the new size."""
    size -= 1
    key = m.key[size]
    item = m.item[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and m.key[child + 1] < m.key[child]:
            child += 1
        if m.key[child] >= key:
            break
        m.key[i] = m.key[child]
        m.item[i] = m.item[child]
        i = child
    m.key[i] = key
    m.item[i] = item
    return size


@njit(**_FAST)
def search(h: Any, v: Any, m: Any, end: Any, price: Any, margin: int) -> None:
    """Fill `m.came` with the cheapest way from the first end, until the second is reached."""
    C = v.supply.shape[1]
    R = h.supply.shape[0]
    r0, c0, r1, c1 = end
    low_r = max(min(r0, r1) - margin, 0)
    high_r = min(max(r0, r1) + margin, R - 1)
    low_c = max(min(c0, c1) - margin, 0)
    high_c = min(max(c0, c1) + margin, C - 1)
    m.clock[0] += 1
    now = m.clock[0]
    goal = r1 * C + c1
    start = r0 * C + c0
    m.seen[start] = now
    m.best[start] = 0.0
    m.came[start] = start
    size = _push(m, 0, float(abs(r1 - r0) + abs(c1 - c0)), start)
    while size > 0:
        key = m.key[0]
        i = m.item[0]
        size = _pop(m, size)
        if i == goal:
            return
        r = i // C
        c = i - r * C
        here = m.best[i]
        if key > here + abs(r1 - r) + abs(c1 - c) + 1e-9:
            continue  # a better way was found since
        for k in range(4):
            if k == 0:
                if c == low_c:
                    continue
                j = i - 1
                step = _cost(h, r, c - 1, price)
            elif k == 1:
                if c == high_c:
                    continue
                j = i + 1
                step = _cost(h, r, c, price)
            elif k == 2:
                if r == low_r:
                    continue
                j = i - C
                step = _cost(v, r - 1, c, price)
            else:
                if r == high_r:
                    continue
                j = i + C
                step = _cost(v, r, c, price)
            cost = here + step
            if m.seen[j] != now or cost < m.best[j] - 1e-12:
                m.seen[j] = now
                m.best[j] = cost
                m.came[j] = i
                away = abs(r1 - j // C) + abs(c1 - j % C)
                size = _push(m, size, cost + away, j)


@njit(**_FAST)
def corners_of(m: Any, end: Any, columns: int, out: Any) -> int:
    """Corners of the way that `search` found, from the second end to the first.

    Returns their number; only the first len(out) are written.
    """
    goal = end[2] * columns + end[3]
    i = goal
    n = 0
    last = 0
    while True:
        j = m.came[i]
        if i == goal or j == i or j - i != last:
            if n < out.shape[0]:
                out[n, 0] = i // columns
                out[n, 1] = i % columns
            n += 1
        if j == i:
            return n
        last = j - i
        i = j


@njit(**_FAST)
def route_patterns(h: Any, v: Any, paths: Any, chosen: Any, price: Any, bends: int) -> None:
    """Route these segments with patterns, one after the other; each has four slots in the pool."""
    for s in chosen:
        a = paths.first[s]
        use(h, v, paths.pool[a : a + paths.number[s]], -1.0)
        n = pattern(h, v, paths.ends[s], price, bends, paths.pool[a : a + 4])
        paths.number[s] = n
        use(h, v, paths.pool[a : a + n], 1.0)


@njit(**_FAST)
def find_crowded(h: Any, v: Any, paths: Any, out: Any) -> None:
    """out[s]: does segment s use an overfull edge?"""
    for s in range(out.shape[0]):
        a = paths.first[s]
        out[s] = crowded(h, v, paths.pool[a : a + paths.number[s]])


@njit(**_FAST)
def route_mazes(h: Any, v: Any, m: Any, paths: Any, chosen: Any, price: Any, margin: int) -> int:
    """Route these segments anew if they are still crowded. Returns how many are done: fewer than
    all when the pool is full."""
    C = v.supply.shape[1]
    for k in range(chosen.shape[0]):
        s = chosen[k]
        a = paths.first[s]
        old = paths.pool[a : a + paths.number[s]]
        if not crowded(h, v, old):
            continue
        use(h, v, old, -1.0)
        search(h, v, m, paths.ends[s], price, margin)
        begin = paths.used[0]
        n = corners_of(m, paths.ends[s], C, paths.pool[begin:])
        if begin + n > paths.pool.shape[0]:
            use(h, v, old, 1.0)
            return k
        paths.first[s] = begin
        paths.number[s] = n
        paths.used[0] = begin + n
        use(h, v, paths.pool[begin : begin + n], 1.0)
    return chosen.shape[0]
