"""Position mask and wire mask: where the next macro may go, and what wire each cell costs.

Cell (c, r) stands for the macro's lower-left corner at the lower-left corner of that cell.

* The position mask is exact: a macro at (c, r) is inside the canvas and overlaps no placed one.
  Every placed rectangle forbids a rectangle of corners; these are added in a difference array and
  summed once, O(placed + cells).
* The wire mask (MaskPlace, Lai et al. 2022) is the growth of the half-perimeter of the macro's
  nets, given the pins that are placed. It is separable, f(c) + g(r): one pass over the nets for
  each axis instead of one over the nets for every cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from sciml.placement.design import MACRO, ROTATION, Design

EPS = 1e-9
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
    count: Any, wire_x: Any, wire_y: Any, filled: Any, mask: Any, wire: Any, filled_out: Any
) -> None:  # fmt: skip
    """Maps of an observation in two passes.

    mask int8: allowed; wire float32: f(c) + g(r) over its mean where allowed;
    filled_out: max(filled, 0).
    """
    R = count.shape[0]
    C = count.shape[1]
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
            wire[r, c] = (np.float32(wire_x[c]) + g) * scale * np.float32(mask[r, c])
        for c in range(C):
            filled_out[r, c] = max(filled[r, c], np.float32(0.0))


@njit(fastmath={"contract", "nsz", "reassoc", "nnan"}, **_FAST)
def wire_axis(
    first: int, last: int, nets: Any, low: Any, high: Any, weight: Any, pin_low: Any,
    pin_high: Any, step: float, out: Any,
) -> None:  # fmt: skip
    """Growth of the nets' extents along one axis for a corner at 0, step, 2 step, ...

    low, high [nets]: extent of each net's placed pins (low > high: none is placed);
    pin_low, pin_high: extreme offsets from the corner of the macro's own pins in each net.
    """
    for c in range(out.shape[0]):
        out[c] = 0.0
    for k in range(first, last):
        n = nets[k]
        w = weight[n]
        if low[n] > high[n]:
            own = w * (pin_high[k] - pin_low[k])
            for c in range(out.shape[0]):
                out[c] += own
            continue
        a = low[n] - pin_low[k]
        b = high[n] - pin_high[k]
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


@njit(**_FAST)
def extend(
    first: int, last: int, nets: Any, low: Any, high: Any, pin_low: Any, pin_high: Any, at: float
) -> None:
    """Grow the nets' extents along one axis by a macro whose corner is at `at`."""
    for k in range(first, last):
        n = nets[k]
        low[n] = min(low[n], at + pin_low[k])
        high[n] = max(high[n], at + pin_high[k])


@dataclass
class MacroNets:
    """For each macro (in `nodes`) its nets and the extreme offsets of its pins, N orientation."""

    nodes: np.ndarray
    start: np.ndarray
    nets: np.ndarray
    pin_low: np.ndarray  # [2, entries], offsets from the lower-left corner
    pin_high: np.ndarray
    weight: np.ndarray
    fixed_low: np.ndarray  # [2, nets], extent of the pins of nodes that are not in `nodes`
    fixed_high: np.ndarray


def macro_nets(design: Design, nodes: np.ndarray, others: np.ndarray) -> MacroNets:
    """Gather the nets of `nodes`; pins of the nodes marked in `others` count as placed."""
    pins, canvas = design.pin_node, design.canvas
    net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    low = np.full((2, design.nets), np.inf)
    high = np.full((2, design.nets), -np.inf)
    xy = design.pin_xy() - [canvas.x0, canvas.y0]
    fixed_pin = others[pins]
    for axis in range(2):
        np.minimum.at(low[axis], net_of[fixed_pin], xy[fixed_pin, axis])
        np.maximum.at(high[axis], net_of[fixed_pin], xy[fixed_pin, axis])
    rank = np.full(design.nodes, -1)
    rank[nodes] = np.arange(len(nodes))
    own = np.flatnonzero(rank[pins] >= 0)
    a, b, c, d = ROTATION[design.orientation[pins[own]]].T
    width, height = design.size()
    dx = a * design.pin_dx[own] + b * design.pin_dy[own] + width[pins[own]] / 2
    dy = c * design.pin_dx[own] + d * design.pin_dy[own] + height[pins[own]] / 2
    key = rank[pins[own]].astype(np.int64) * max(design.nets, 1) + net_of[own]
    pairs, entry = np.unique(key, return_inverse=True)
    pin_low, pin_high = np.full((2, len(pairs)), np.inf), np.full((2, len(pairs)), -np.inf)
    for axis, offset in enumerate((dx, dy)):
        np.minimum.at(pin_low[axis], entry, offset)
        np.maximum.at(pin_high[axis], entry, offset)
    node, net = np.divmod(pairs, max(design.nets, 1))
    return MacroNets(
        nodes=nodes,
        start=np.searchsorted(node, np.arange(len(nodes) + 1)),
        nets=net,
        pin_low=pin_low,
        pin_high=pin_high,
        weight=np.ones(design.nets),
        fixed_low=low,
        fixed_high=high,
    )


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
