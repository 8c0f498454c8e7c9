"""Compiled routing of nets into difference arrays, as the congestion of the proxy cost counts it.

An interval a..b of one row costs two additions; one prefix sum over the grid then gives the usage
of every cell. Horizontal maps are laid out [column, row] and vertical ones [row, column], so that
each prefix sum adds whole vectors. p and s are `proxy_kernels.Problem` and `State`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.cost.topsum import INLINE


@njit(**INLINE)
def add_h(s: Any, row: int, a: int, b: int, w: float) -> None:
    """Horizontal demand w in cells a .. b-1 (or b .. a-1) of one row."""
    s.diff_h[np.uint32(min(a, b)), np.uint32(row)] += w
    s.diff_h[np.uint32(max(a, b)), np.uint32(row)] -= w


@njit(**INLINE)
def add_v(s: Any, column: int, a: int, b: int, w: float) -> None:
    """Wire `w` along a grid column between rows a and b, as differences that are summed later."""
    s.diff_v[np.uint32(min(a, b)), np.uint32(column)] += w
    s.diff_v[np.uint32(max(a, b)), np.uint32(column)] -= w


@njit(**INLINE)
def route(p: Any, s: Any, net: int, sign: float) -> None:
    """Add (sign 1) or remove (sign -1) the route of one net at its pins' present cells."""
    a = p.net_start[net]
    b = p.net_start[net + 1]
    C = p.columns
    w = p.net_demand[net] * sign
    source = s.pin_cell[a]
    sr = s.pin_row[a]
    sc = source - sr * C
    if b - a == 2:
        t = s.pin_cell[a + 1]
        if t != source:
            tr = s.pin_row[a + 1]
            tc = t - tr * C
            add_h(s, sr, sc, tc, w)
            add_v(s, tc, sr, tr, w)
        return
    s.clock[0] += 1
    key = s.clock[0]
    n = 0
    for i in range(a, b):  # without a branch, which could not be predicted
        c = np.uint32(s.pin_cell[i])
        s.cells[n] = c
        s.cell_rows[n] = s.pin_row[i]
        n += s.stamp[c] != key
        s.stamp[c] = key
    if n == 1:
        return
    if n != 3:
        for i in range(1, n):
            tr = s.cell_rows[i]
            tc = s.cells[i] - tr * C
            add_h(s, sr, sc, tc, w)
            add_v(s, tc, sr, tr, w)
        return
    y1 = s.cell_rows[0]
    x1 = s.cells[0] - y1 * C
    y2 = s.cell_rows[1]
    x2 = s.cells[1] - y2 * C
    y3 = s.cell_rows[2]
    x3 = s.cells[2] - y3 * C
    if x1 > x2 or (x1 == x2 and y1 > y2):
        x1, x2, y1, y2 = x2, x1, y2, y1
    if x2 > x3 or (x2 == x3 and y2 > y3):
        x2, x3, y2, y3 = x3, x2, y3, y2
    if x1 > x2 or (x1 == x2 and y1 > y2):
        x1, x2, y1, y2 = x2, x1, y2, y1
    if x1 < x2 and x2 < x3 and min(y1, y3) < y2 and y2 < max(y1, y3):
        add_h(s, y1, x1, x2, w)
        add_h(s, y2, x2, x3, w)
        add_v(s, x2, y1, y2, w)
        add_v(s, x3, y2, y3, w)
    elif x2 == x3 and x1 < x2 and y1 < min(y2, y3):
        add_h(s, y1, x1, x2, w)
        add_v(s, x2, y1, max(y2, y3), w)
    elif y2 == y3:
        add_h(s, y1, x1, x2, w)
        add_h(s, y2, x2, x3, w)
        add_v(s, x2, y1, y2, w)
    else:
        low = min(x1, min(x2, x3))
        high = max(x1, max(x2, x3))
        if y1 > y2 or (y1 == y2 and x1 > x2):
            x1, x2, y1, y2 = x2, x1, y2, y1
        if y2 > y3 or (y2 == y3 and x2 > x3):
            x2, x3, y2, y3 = x3, x2, y3, y2
        if y1 > y2 or (y1 == y2 and x1 > x2):
            x1, x2, y1, y2 = x2, x1, y2, y1
        add_h(s, y2, low, high, w)
        add_v(s, x1, y1, y2, w)
        add_v(s, x3, y2, y3, w)


@njit(**INLINE)
def reroute(p: Any, s: Any, pin: int, cell: int, row: int) -> None:
    """Reroute a pin's net after the pin moved to another cell, and store the cell.

    A net of four or more cells is a star around the cell of its first pin, so that only the ray of
    this pin changes, if no other pin shares it; smaller nets are routed anew.
    """
    net = p.pin_net[pin]
    a = p.net_start[net]
    b = p.net_start[net + 1]
    old = s.pin_cell[pin]
    if b - a > 3 and pin != a:
        left = 0  # other pins in the old cell, and in the new one
        entered = 0
        for i in range(a, b):
            c = s.pin_cell[i]
            left += c == old
            entered += c == cell
        left -= 1
        # Different cells of the others, of which four are enough.
        one = s.pin_cell[a]
        two = one
        three = one
        count = 1
        for i in range(a + 1, b):
            c = s.pin_cell[i]
            if i == pin or c == one or c == two or c == three:
                continue
            count += 1
            if count == 2:
                two = c
                three = c
            elif count == 3:
                three = c
            else:
                break
        if count == 4 or (count == 3 and left == 0 and entered == 0):
            C = p.columns
            w = p.net_demand[net]
            sr = s.pin_row[a]
            sc = one - sr * C
            if left == 0:
                tr = s.pin_row[pin]
                tc = old - tr * C
                add_h(s, sr, sc, tc, -w)
                add_v(s, tc, sr, tr, -w)
            if entered == 0:
                tc = cell - row * C
                add_h(s, sr, sc, tc, w)
                add_v(s, tc, sr, row, w)
            s.pin_cell[pin] = cell
            s.pin_row[pin] = row
            return
    route(p, s, net, -1.0)
    s.pin_cell[pin] = cell
    s.pin_row[pin] = row
    route(p, s, net, 1.0)
