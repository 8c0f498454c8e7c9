"""Physical measures beside the proxy: half-perimeter, Steiner trees, RUDY.

Steiner trees: for two and three pins the half-perimeter is exact; larger nets start from Prim's
minimum spanning tree, which is at most 1.5 times the shortest Steiner tree (Hwang 1976), and are
improved by merging two edges that meet into a star around their median point, best gain first,
until none gains. RUDY (Spindler and Johannes 2007) spreads a net's wire over its bounding box.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.design import Design


@njit(cache=True, nogil=True)
def _half_perimeters(start: Any, xy: Any, out: Any) -> None:
    for n in range(start.shape[0] - 1):
        a = start[n]
        b = start[n + 1]
        if b - a < 2:
            out[n] = 0.0
            continue
        x0 = xy[a, 0]
        x1 = x0
        y0 = xy[a, 1]
        y1 = y0
        for i in range(a + 1, b):
            x0 = min(x0, xy[i, 0])
            x1 = max(x1, xy[i, 0])
            y0 = min(y0, xy[i, 1])
            y1 = max(y1, xy[i, 1])
        out[n] = x1 - x0 + y1 - y0


def net_hpwl(design: Design) -> np.ndarray:
    """Half-perimeter of every net [M, design units], pin offsets and orientations included."""
    out = np.zeros(design.nets)
    _half_perimeters(design.net_start, design.pin_xy(), out)
    return out


def hpwl(design: Design) -> float:
    """Sum of the half-perimeters over all nets, unweighted [design units]."""
    return float(net_hpwl(design).sum())


@njit(cache=True, nogil=True)
def steiner_points(n: int) -> int:
    """The most points that `steiner_tree` adds to n."""
    return n - 2 if 2 < n <= 400 else 0  # a larger net is a clock or a reset: spanning tree only


@njit(cache=True, nogil=True)
def _steiner(px: Any, py: Any) -> float:
    """Length of a short rectilinear Steiner tree over the points."""
    n = px.shape[0]
    if n < 2:
        return 0.0
    if n <= 3:
        return px.max() - px.min() + py.max() - py.min()
    points = n + steiner_points(n)
    x = np.empty(points)
    y = np.empty(points)
    x[:n] = px
    y[:n] = py
    one = np.empty(points, np.int64)
    two = np.empty(points, np.int64)
    return steiner_tree(x, y, n, one, two)[0]


@njit(cache=True, nogil=True)
def steiner_tree(x: Any, y: Any, n: int, one: Any, two: Any) -> tuple[float, int]:
    """A short rectilinear Steiner tree over the first n >= 2 points. Returns (length, edges).

    x, y have room for `steiner_points(n)` more points, one and two (the ends of edges) for as many
    edges as points.
    """
    extra = steiner_points(n)
    nearest = np.empty(n, np.int64)
    distance = np.empty(n)
    for i in range(n):
        nearest[i] = 0
        distance[i] = abs(x[i] - x[0]) + abs(y[i] - y[0])
    distance[0] = -1.0
    length = 0.0
    m = 0
    for _ in range(n - 1):
        best = -1
        for i in range(n):
            if distance[i] >= 0 and (best < 0 or distance[i] < distance[best]):
                best = i
        length += distance[best]
        one[m] = nearest[best]
        two[m] = best
        m += 1
        distance[best] = -1.0
        for i in range(n):
            if distance[i] >= 0:
                d = abs(x[i] - x[best]) + abs(y[i] - y[best])
                if d < distance[i]:
                    distance[i] = d
                    nearest[i] = best
    points = n
    while points < n + extra:
        gain = 1e-12
        ga = -1
        gb = -1
        gx = 0.0
        gy = 0.0
        for a in range(m):
            for b in range(a + 1, m):
                u = one[a]
                v = two[a]
                w = -1
                if one[b] == u or two[b] == u:
                    w = one[b] + two[b] - u
                elif one[b] == v or two[b] == v:
                    w = one[b] + two[b] - v
                    u, v = v, u
                if w < 0:
                    continue
                mx = max(min(x[u], x[v]), min(max(x[u], x[v]), x[w]))
                my = max(min(y[u], y[v]), min(max(y[u], y[v]), y[w]))
                saved = abs(mx - x[u]) + abs(my - y[u])
                if saved > gain:  # two edges u-v, u-w become a star: shorter by |median - u|
                    gain = saved
                    ga = a
                    gb = b
                    gx = mx
                    gy = my
        if ga < 0:
            break
        u = one[ga]
        v = two[ga]
        w = -1
        if one[gb] == u or two[gb] == u:
            w = one[gb] + two[gb] - u
        else:
            w = one[gb] + two[gb] - v
            u, v = v, u
        x[points] = gx
        y[points] = gy
        one[ga] = points
        two[ga] = u
        one[gb] = points
        two[gb] = v
        one[m] = points
        two[m] = w
        m += 1
        points += 1
        length -= gain
    return length, m


@njit(cache=True, nogil=True)
def _steiner_all(start: Any, xy: Any, out: Any) -> None:
    for n in range(start.shape[0] - 1):
        a = start[n]
        b = start[n + 1]
        out[n] = _steiner(xy[a:b, 0].copy(), xy[a:b, 1].copy())


def net_steiner(design: Design) -> np.ndarray:
    """Length of a rectilinear Steiner tree of every net [M]; at most 1.5 times the shortest."""
    out = np.zeros(design.nets)
    _steiner_all(design.net_start, design.pin_xy(), out)
    return out


@njit(cache=True, nogil=True)
def _rudy(start: Any, xy: Any, box: Any, out: Any) -> None:
    R, C = out.shape
    gw = (box[2] - box[0]) / C
    gh = (box[3] - box[1]) / R
    for n in range(start.shape[0] - 1):
        a = start[n]
        b = start[n + 1]
        if b - a < 2:
            continue
        x0 = xy[a:b, 0].min() - box[0]
        x1 = xy[a:b, 0].max() - box[0]
        y0 = xy[a:b, 1].min() - box[1]
        y1 = xy[a:b, 1].max() - box[1]
        # A flat box is as high as a hundredth of a cell, so that its wire is not lost.
        if x1 - x0 < 0.01 * gw:
            x0, x1 = (x0 + x1) / 2 - 0.005 * gw, (x0 + x1) / 2 + 0.005 * gw
        if y1 - y0 < 0.01 * gh:
            y0, y1 = (y0 + y1) / 2 - 0.005 * gh, (y0 + y1) / 2 + 0.005 * gh
        demand = (x1 - x0 + y1 - y0) / ((x1 - x0) * (y1 - y0))
        for r in range(max(int(y0 / gh), 0), min(int(y1 / gh), R - 1) + 1):
            dy = min(y1, (r + 1) * gh) - max(y0, r * gh)
            if dy <= 0:
                continue
            for c in range(max(int(x0 / gw), 0), min(int(x1 / gw), C - 1) + 1):
                dx = min(x1, (c + 1) * gw) - max(x0, c * gw)
                if dx > 0:
                    out[r, c] += demand * dx * dy / (gw * gh)


def rudy(design: Design, columns: int = 64, rows: int = 64) -> np.ndarray:
    """Wire length per area of every grid cell [rows, columns; 1 / design unit]."""
    out = np.zeros((rows, columns))
    canvas = design.canvas
    box = np.array([canvas.x0, canvas.y0, canvas.x1, canvas.y1])
    _rudy(design.net_start, design.pin_xy(), box, out)
    return out
