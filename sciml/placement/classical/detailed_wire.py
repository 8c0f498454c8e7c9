"""Half-perimeters that follow moves of cells: the incremental part of detailed placement.

The box of every net is kept. Where a pin moves that lay inside its net's box, the box can only
grow, in constant time; where one moves inwards from the edge, the net is looked at anew.
`wire_length` is the readable reference; tests hold both equal after thousands of moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.design import Design

FAST: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy",
    "fastmath": {"contract", "nsz", "reassoc", "nnan"},
}  # fmt: skip


class Wires(NamedTuple):
    """Nets of two or more pins [M + 1, P], and the pins of every node [N + 1, P] by CSR.

    dx, dy: offsets from the centre of an upright node; weight: of the nets.
    """

    start: np.ndarray
    node: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    weight: np.ndarray
    net: np.ndarray
    pins: np.ndarray
    pins_start: np.ndarray


class Places(NamedTuple):
    """Where nodes are [N], the boxes of the nets [M, 4: x0, x1, y0, y1], and work space.

    up: +1 upright, -1 flipped. changed, count: nets that the trial touches; cells, was: the nodes
    that it moves and where they were; trial_box: boxes after it; stamp, clock: which nets are seen.
    outline: per net of one cell, the box without it and its own pins' extent.
    """

    x: np.ndarray
    y: np.ndarray
    up: np.ndarray
    box: np.ndarray
    trial_box: np.ndarray
    stamp: np.ndarray
    again: np.ndarray
    clock: np.ndarray
    changed: np.ndarray
    cells: np.ndarray
    was: np.ndarray
    outline: np.ndarray


LARGEST_TRIAL = 64
"""Cells that one trial of insertions or exchanges may move."""


def wires_of(design: Design, up: np.ndarray) -> Wires:
    """The nets of a design whose nodes are upright (+1) or flipped (-1) now."""
    xy = design.pin_xy()
    dx, dy = xy[:, 0] - design.x[design.pin_node], xy[:, 1] - design.y[design.pin_node]
    dy *= up[design.pin_node]
    degree = np.diff(design.net_start)
    keep = np.repeat(degree >= 2, degree)
    node = design.pin_node[keep].astype(np.int64)
    start = np.concatenate([[0], np.cumsum(degree[degree >= 2])])
    net = np.repeat(np.arange(len(start) - 1), np.diff(start))
    pins = np.argsort(node, kind="stable")
    pins_start = np.searchsorted(node[pins], np.arange(design.nodes + 1))
    return Wires(start, node, dx[keep], dy[keep], design.net_weight[degree >= 2], net, pins,
                 pins_start)  # fmt: skip


def places_of(design: Design, wires: Wires, up: np.ndarray, trial: int) -> Places:
    """State for the nodes where they are now, with room for trials of so many moves."""
    nets, most = len(wires.weight), int(np.diff(wires.pins_start).max(initial=1))
    places = Places(
        design.x.copy(), design.y.copy(), up.copy(), np.zeros((nets, 4)), np.zeros((nets, 4)),
        np.zeros(nets, np.int64), np.zeros(nets, np.bool_), np.zeros(2, np.int64),
        np.zeros(nets, np.int64), np.zeros(trial, np.int64), np.zeros((trial, 3)),
        np.zeros((most, 9)),
    )  # fmt: skip
    measure(wires, places)
    return places


def wire_length(wires: Wires, places: Places) -> float:
    """Weighted half-perimeter of all nets, from the pins themselves."""
    x = places.x[wires.node] + wires.dx
    y = places.y[wires.node] + wires.dy * places.up[wires.node]
    first = wires.start[:-1]
    spans = [np.maximum.reduceat(c, first) - np.minimum.reduceat(c, first) for c in (x, y)]
    return float((wires.weight * (spans[0] + spans[1])).sum())


@njit(**FAST)
def _box(wires: Any, places: Any, net: int, out: Any) -> None:
    a = wires.start[net]
    x0 = x1 = places.x[wires.node[a]] + wires.dx[a]
    y0 = y1 = places.y[wires.node[a]] + wires.dy[a] * places.up[wires.node[a]]
    for p in range(a + 1, wires.start[net + 1]):
        i = wires.node[p]
        px = places.x[i] + wires.dx[p]
        py = places.y[i] + wires.dy[p] * places.up[i]
        x0 = min(x0, px)
        x1 = max(x1, px)
        y0 = min(y0, py)
        y1 = max(y1, py)
    out[0] = x0
    out[1] = x1
    out[2] = y0
    out[3] = y1


@njit(**FAST)
def measure(wires: Any, places: Any) -> None:
    """The boxes of all nets."""
    for net in range(wires.weight.shape[0]):
        _box(wires, places, net, places.box[net])


@njit(**FAST)
def put(places: Any, n: int, i: int, x: float, y: float, up: float) -> int:
    """Node i is moved as the n-th of a trial; returns n + 1."""
    places.cells[n] = i
    places.was[n, 0] = places.x[i]
    places.was[n, 1] = places.y[i]
    places.was[n, 2] = places.up[i]
    places.x[i] = x
    places.y[i] = y
    places.up[i] = up
    return n + 1


@njit(**FAST)
def undo(places: Any, n: int) -> None:
    """Take the n moves of the trial back."""
    for k in range(n - 1, -1, -1):
        i = places.cells[k]
        places.x[i] = places.was[k, 0]
        places.y[i] = places.was[k, 1]
        places.up[i] = places.was[k, 2]


@njit(**FAST)
def keep(places: Any) -> None:
    """The boxes after the last trial are the boxes now."""
    for k in range(places.clock[1]):
        net = places.changed[k]
        for t in range(4):
            places.box[net, t] = places.trial_box[net, t]


@njit(**FAST)
def change(wires: Any, places: Any, n: int) -> float:
    """How much longer the n moves of the trial make the wires (negative: shorter)."""
    places.clock[0] += 1
    clock = places.clock[0]
    count = 0
    for k in range(n):
        i = places.cells[k]
        old_x = places.was[k, 0]
        old_y = places.was[k, 1]
        old_up = places.was[k, 2]
        for q in range(wires.pins_start[i], wires.pins_start[i + 1]):
            p = wires.pins[q]
            net = wires.net[p]
            box = places.box[net]
            trial = places.trial_box[net]
            if places.stamp[net] != clock:
                places.stamp[net] = clock
                places.changed[count] = net
                count += 1
                places.again[net] = False
                for t in range(4):
                    trial[t] = box[t]
            px = old_x + wires.dx[p]
            py = old_y + wires.dy[p] * old_up
            nx = places.x[i] + wires.dx[p]
            ny = places.y[i] + wires.dy[p] * places.up[i]
            # Rounding may leave the pin a little inside the edge that it makes.
            eps = 1e-9 * (1.0 + abs(px) + abs(py))
            if (
                (nx > px and px <= box[0] + eps) or (nx < px and px >= box[1] - eps)
                or (ny > py and py <= box[2] + eps) or (ny < py and py >= box[3] - eps)
            ):  # fmt: skip
                places.again[net] = True
            trial[0] = min(trial[0], nx)
            trial[1] = max(trial[1], nx)
            trial[2] = min(trial[2], ny)
            trial[3] = max(trial[3], ny)
    places.clock[1] = count
    total = 0.0
    for k in range(count):
        net = places.changed[k]
        box = places.box[net]
        trial = places.trial_box[net]
        if places.again[net]:
            _box(wires, places, net, trial)
        total += wires.weight[net] * (
            (trial[1] - trial[0] + trial[3] - trial[2]) - (box[1] - box[0] + box[3] - box[2])
        )
    return total


@njit(**FAST)
def outline(wires: Any, places: Any, i: int, rows: Any) -> int:
    """The nets of node i without it: rows[k] = box (x0, x1, y0, y1), own extent, weight.

    Returns how many; nets that have no other pins are left out.
    """
    count = 0
    places.clock[0] += 1
    clock = places.clock[0]
    for q in range(wires.pins_start[i], wires.pins_start[i + 1]):
        p = wires.pins[q]
        net = wires.net[p]
        if places.stamp[net] == clock:  # two pins on one net
            continue
        places.stamp[net] = clock
        row = rows[count]
        low_x = low_y = np.inf
        high_x = high_y = -np.inf
        for r in range(q, wires.pins_start[i + 1]):
            o = wires.pins[r]
            if wires.net[o] == net:
                low_x = min(low_x, wires.dx[o])
                high_x = max(high_x, wires.dx[o])
                low_y = min(low_y, wires.dy[o])
                high_y = max(high_y, wires.dy[o])
        row[4] = low_x
        row[5] = high_x
        row[6] = low_y
        row[7] = high_y
        row[8] = wires.weight[net]
        box = places.box[net]
        x = places.x[i]
        eps = 1e-9 * (1.0 + abs(x) + abs(places.y[i]))
        bottom = places.y[i] + min(low_y * places.up[i], high_y * places.up[i])
        top = places.y[i] + max(low_y * places.up[i], high_y * places.up[i])
        if (
            x + low_x > box[0] + eps and x + high_x < box[1] - eps
            and bottom > box[2] + eps and top < box[3] - eps
        ):  # fmt: skip
            for t in range(4):
                row[t] = box[t]
            count += 1
            continue
        x0 = y0 = np.inf
        x1 = y1 = -np.inf
        for o in range(wires.start[net], wires.start[net + 1]):
            j = wires.node[o]
            if j == i:
                continue
            px = places.x[j] + wires.dx[o]
            py = places.y[j] + wires.dy[o] * places.up[j]
            x0 = min(x0, px)
            x1 = max(x1, px)
            y0 = min(y0, py)
            y1 = max(y1, py)
        if x1 >= x0:
            row[0] = x0
            row[1] = x1
            row[2] = y0
            row[3] = y1
            count += 1
    return count


@njit(**FAST)
def length_at(rows: Any, count: int, x: float, y: float, up: float) -> float:
    """Weighted half-perimeter of the nets of an outline with its node at x, y."""
    total = 0.0
    for k in range(count):
        row = rows[k]
        low = row[6] if up > 0 else -row[7]
        high = row[7] if up > 0 else -row[6]
        span = max(row[1], x + row[5]) - min(row[0], x + row[4])
        span += max(row[3], y + high) - min(row[2], y + low)
        total += row[8] * span
    return total


@njit(**FAST)
def best_region(rows: Any, count: int, work: Any, out: Any) -> None:
    """out = x0, x1, y0, y1: the box in which the nets of an outline are shortest.

    The weighted median of the nets' ends (Goto's optimal region); work: room for 4 x count numbers.
    """
    for axis in range(2):
        n = 2 * count
        total = 0.0
        for k in range(count):
            middle = 0.5 * (rows[k, 4 + 2 * axis] + rows[k, 5 + 2 * axis]) if axis == 0 else 0.0
            for side in range(2):
                value = rows[k, 2 * axis + side] - middle
                b = 2 * k + side - 1
                while b >= 0 and work[0, b] > value:
                    work[0, b + 1] = work[0, b]
                    work[1, b + 1] = work[1, b]
                    b -= 1
                work[0, b + 1] = value
                work[1, b + 1] = rows[k, 8]
            total += 2 * rows[k, 8]
        so_far = 0.0
        k = 0
        while k < n - 1 and so_far + work[1, k] < 0.5 * total * (1 - 1e-12):
            so_far += work[1, k]
            k += 1
        out[2 * axis] = work[0, k]
        if k < n - 1 and so_far + work[1, k] <= 0.5 * total * (1 + 1e-12):
            k += 1
        out[2 * axis + 1] = work[0, k]
