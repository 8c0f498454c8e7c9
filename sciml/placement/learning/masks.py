"""Position mask and wire mask: where the next macro may go, and what wire each cell costs.

Cell (c, r) stands for the macro's lower-left corner at the lower-left corner of that cell.

* The position mask is exact: a macro at (c, r) is inside the canvas and overlaps no placed one.
  Every placed rectangle forbids a rectangle of corners; these are added in a difference array and
  summed once, O(placed + cells).
* The wire mask (MaskPlace, Lai et al. 2022) is the growth of the weighted half-perimeter of the
  macro's nets over that of their other pins, all of which have positions. It is separable,
  f(c) + g(r), and so is the choice between mirrored orientations: one pass over the nets for each
  axis and side instead of one over the nets for every cell and orientation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.design import MACRO, Design

MOST = 8.0
"""Largest value of a map."""
_FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_FAST)
def forbidden(
    n: int, left: Any, bottom: Any, right: Any, top: Any,
    w: float, h: float, cell_width: float, cell_height: float, W: float, H: float, out: Any,
) -> int:  # fmt: skip
    """out[r, c] = number of placed rectangles that a w x h macro at (c, r) would overlap.

    Cells at which the macro leaves the canvas count one more. `out` is [rows, columns] int32.
    Returns the number of allowed cells.
    """
    R = out.shape[0]
    C = out.shape[1]
    out[:] = 0
    # The last corner that keeps the macro inside.
    last_c = min(int(np.floor((W - w) / cell_width + 1e-7)), C - 1)
    last_r = min(int(np.floor((H - h) / cell_height + 1e-7)), R - 1)
    for j in range(n):
        # Corners x with left - w < x < right overlap, strictly.
        c0 = max(int(np.floor((left[j] - w) / cell_width + 1e-7)) + 1, 0)
        c1 = min(int(np.ceil(right[j] / cell_width - 1e-7)) - 1, C - 1)
        r0 = max(int(np.floor((bottom[j] - h) / cell_height + 1e-7)) + 1, 0)
        r1 = min(int(np.ceil(top[j] / cell_height - 1e-7)) - 1, R - 1)
        if c0 > c1 or r0 > r1:
            continue
        for c in range(c0, c1 + 1):
            out[r0, c] += 1
        if r1 + 1 < R:
            for c in range(c0, c1 + 1):
                out[r1 + 1, c] -= 1
    for r in range(1, R):  # rows are added as vectors
        for c in range(C):
            out[r, c] += out[r - 1, c]
    allowed = 0
    for r in range(R):
        for c in range(last_c + 1 if r <= last_r else 0, C):
            out[r, c] += 1
        for c in range(C):
            allowed += out[r, c] == 0
    return allowed


@njit(**_FAST)
def cover(filled: Any, x0: float, y0: float, x1: float, y1: float, sign: float) -> None:
    """Add the share of every cell that a rectangle [cells] covers; `filled` is [rows, columns]."""
    R = filled.shape[0]
    C = filled.shape[1]
    for r in range(max(int(np.floor(y0)), 0), min(int(np.ceil(y1)), R)):
        dy = sign * (min(y1, r + 1.0) - max(y0, float(r)))
        for c in range(max(int(np.floor(x0)), 0), min(int(np.ceil(x1)), C)):
            filled[r, c] += np.float32(dy * (min(x1, c + 1.0) - max(x0, float(c))))


@njit(fastmath={"contract", "nsz", "reassoc", "nnan"}, **_FAST)
def observe(
    count: Any, wire_x: Any, wire_y: Any, filled: Any, density: Any, value_h: Any, value_v: Any,
    row: Any, column: Any, mask: Any, maps: Any,
) -> None:  # fmt: skip
    """Maps of an observation.

    mask int8: allowed; maps [4, rows, columns] float32: f(c) + g(r) over its mean where allowed,
    the share that placed macros cover, then density and congestion (the larger of both directions)
    of the proxy's grid, whose `row` and `column` hold the middle of each cell. All are cut at MOST.
    """
    R = count.shape[0]
    C = count.shape[1]
    most = np.float32(MOST)
    zero = np.float32(0.0)
    columns = value_h.shape[0]
    allowed = 0
    total = 0.0
    for r in range(R):
        n = 0
        for c in range(C):
            mask[r, c] = count[r, c] == 0
        for c in range(C):
            n += mask[r, c]
        part = 0.0
        for c in range(C):
            part += wire_x[c] * mask[r, c]
        allowed += n
        total += part + n * wire_y[r]
    scale = np.float32(allowed / max(total, 1e-12 * allowed)) if allowed else np.float32(1.0)
    for r in range(R):
        g = np.float32(wire_y[r])
        for c in range(C):
            wire = (np.float32(wire_x[c]) + g) * scale * np.float32(mask[r, c])
            maps[0, r, c] = min(max(wire, zero), most)
        for c in range(C):
            maps[1, r, c] = min(max(filled[r, c], zero), most)
        at = row[r]
        for c in range(C):
            maps[2, r, c] = min(max(np.float32(density[at * columns + column[c]]), zero), most)
        for c in range(C):
            use = max(value_h[column[c], at], value_v[at, column[c]])
            maps[3, r, c] = min(max(np.float32(use), zero), most)


@njit(**_FAST)
def net_extents(
    p: Any, s: Any, i: int, low: Any, high: Any, pin_low: Any, pin_high: Any, weight: Any
) -> int:
    """Of each net of node i: where its other pins are, and how far its own pins reach.

    Args:
        p, s: constants and state of the proxy (`proxy_kernels`); all nodes have positions.
        low, high: [2, nets] extent of the other pins, low > high if there is none.
        pin_low, pin_high: [2, nets] extreme offsets of its own pins from its corner, oriented N.

    Returns:
        the number of nets.
    """
    n = 0
    for q in range(p.node_net_start[i], p.node_net_start[i + 1]):
        net = p.node_nets[q]
        weight[n] = p.net_weight[net]
        for axis in range(2):
            low[axis, n] = np.inf
            high[axis, n] = -np.inf
            pin_low[axis, n] = np.inf
            pin_high[axis, n] = -np.inf
        for pin in range(p.net_start[net], p.net_start[net + 1]):
            if p.pin_node[pin] == i:
                x = p.pin_dx[pin] + p.width[i] / 2
                y = p.pin_dy[pin] + p.height[i] / 2
                pin_low[0, n] = min(pin_low[0, n], x)
                pin_high[0, n] = max(pin_high[0, n], x)
                pin_low[1, n] = min(pin_low[1, n], y)
                pin_high[1, n] = max(pin_high[1, n], y)
            else:
                x = s.pin_x[pin]
                y = s.pin_y[pin]
                low[0, n] = min(low[0, n], x)
                high[0, n] = max(high[0, n], x)
                low[1, n] = min(low[1, n], y)
                high[1, n] = max(high[1, n], y)
        n += 1
    return n


@njit(fastmath={"contract", "nsz", "reassoc", "nnan"}, **_FAST)
def wire_axis(
    nets: int, low: Any, high: Any, weight: Any, pin_low: Any, pin_high: Any, size: float,
    mirrored: bool, step: float, out: Any,
) -> None:  # fmt: skip
    """Growth of the nets' extents along one axis for a corner at 0, step, 2 step, ...

    Arguments are those of `net_extents` along this axis; `mirrored`: the node of this size is
    turned over, so that its pins are at size - offset.
    """
    for c in range(out.shape[0]):
        out[c] = 0.0
    for k in range(nets):
        w = weight[k]
        first = size - pin_high[k] if mirrored else pin_low[k]
        last = size - pin_low[k] if mirrored else pin_high[k]
        if low[k] > high[k]:
            own = w * (last - first)
            for c in range(out.shape[0]):
                out[c] += own
            continue
        a = low[k] - first
        b = high[k] - last
        for c in range(out.shape[0]):
            x = c * step
            out[c] += w * (max(a - x, 0.0) + max(x - b, 0.0))


@njit(**_FAST)
def cheapest(count: Any, wire_x: Any, wire_y: Any, bits: Any) -> tuple[int, float]:
    """(allowed cell r * columns + c of the least f(c) + g(r), its value); -1 if there is none.

    `bits` is fx seen as int64: numbers >= 0 keep their order, and compilers vectorise minima of
    integers only.
    """
    none = np.int64(9218868437227405311)  # the largest double
    best = np.inf
    row = -1
    column = 0
    for r in range(count.shape[0]):
        least = none
        for c in range(count.shape[1]):
            least = min(least, bits[c] if count[r, c] == 0 else none)
        if least != none:
            at = column
            if row < 0 or bits[column] != least or count[r, column] != 0:
                at = 0
                while bits[at] != least or count[r, at] != 0:
                    at += 1
            if wire_x[at] + wire_y[r] < best:
                best = wire_x[at] + wire_y[r]
                row = r
                column = at
    return (row * count.shape[1] + column if row >= 0 else -1), best


def order_of(design: Design, by: str = "area") -> np.ndarray:
    """Movable hard macros in the order of placement.

    "area": largest first; "nets": most nets first; "connected": next is the one with most nets to
    placed macros; "given": as in the file.
    """
    nodes = np.flatnonzero((design.kind == MACRO) & ~design.fixed)
    area = (design.width * design.height)[nodes]
    net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    if by == "given" or not len(nodes):
        return nodes
    if by == "area":
        return nodes[np.lexsort((nodes, -area))]
    degree = np.bincount(design.pin_node, minlength=design.nodes)[nodes]
    if by == "nets":
        return nodes[np.lexsort((nodes, -area, -degree))]
    placed_net = np.zeros(design.nets, bool)
    placed_net[net_of[design.fixed[design.pin_node]]] = True
    nets_of = [np.unique(net_of[design.pin_node == i]) for i in nodes]
    left = list(range(len(nodes)))
    order = []
    while left:
        best = max(left, key=lambda k: (int(placed_net[nets_of[k]].sum()), float(area[k]), -k))
        left.remove(best)
        placed_net[nets_of[best]] = True
        order.append(best)
    return nodes[order]
