"""Where a hard macro may be, for the legaliser and the annealer: halos, boxes to keep out of.

Between two macros there is the wider of the halos that face each other. Boxes to keep out of (off
the die, blockages, fences of others) need no spacing. A pair that is apart by one macro's halo in x
and by the other's in y would be legal, too; it is not used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.constraints import _SIDES, keep_out, region_keep_out
from sciml.placement.cost.topsum import FAST
from sciml.placement.design import MACRO, Design

GAP = 1e-9
SIDES = np.ascontiguousarray(_SIDES)


class Limits(NamedTuple):
    """Per hard macro: sizes as oriented now, halos as N, allowed orientations (bits).

    boxes[start[i] : stop[i]] (x0 y0 x1 y1, from the canvas' corner) are those macro i keeps out of.
    active 0: only overlap and the canvas matter.
    """

    active: int
    canvas_width: float
    canvas_height: float
    width: np.ndarray
    height: np.ndarray
    turns: np.ndarray
    halo: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    boxes: np.ndarray


def limits_of(design: Design, nodes: np.ndarray) -> Limits:
    """The limits of these macros.

    Raises:
        InputError: a blockage belongs to a component that moves.
    """
    rules, canvas = design.constraints, design.canvas
    width, height = design.size()
    n = len(nodes)
    start, stop = np.zeros(n, np.int64), np.zeros(n, np.int64)
    turns, halo = np.full(n, 255, np.int64), np.zeros((n, 4))
    boxes = np.empty((0, 4))
    if rules is not None:
        turns, halo = rules.allowed[nodes].astype(np.int64), rules.halo[nodes]
        everywhere, by_region = keep_out(design, ~design.fixed), region_keep_out(design)
        region, parts = rules.required_region()[nodes], [boxes]
        for k in np.unique(region):
            of_region = np.concatenate([everywhere, by_region[k]])
            start[region == k] = sum(map(len, parts))
            parts.append(of_region)
            stop[region == k] = sum(map(len, parts))
        boxes = np.concatenate(parts) - [canvas.x0, canvas.y0, canvas.x0, canvas.y0]
    sideways = bool((design.orientation[nodes] >= 4).any())
    return Limits(
        int(rules is not None or sideways), canvas.width, canvas.height,
        width[nodes], height[nodes], turns, np.ascontiguousarray(halo, np.float64), start, stop,
        np.ascontiguousarray(boxes, np.float64),
    )  # fmt: skip


@njit(**FAST)
def needed(c: Any, i: int, turn_i: int, j: int, turn_j: int, axis: int, after: bool) -> float:
    """The spacing of i and j along an axis; after: i is to the right of j (above it)."""
    near = axis if after else axis + 2  # the side of i that faces j: left, bottom or right, top
    far = axis + 2 if after else axis
    return max(c.halo[i, SIDES[turn_i, near]], c.halo[j, SIDES[turn_j, far]])


@njit(**FAST)
def apart(
    c: Any, i: int, x: float, y: float, turn: int, j: int, xj: float, yj: float, turn_j: int
) -> bool:
    """Do macros i and j keep their spacing?"""
    gap_x = abs(x - xj) - (c.width[i] + c.width[j]) * 0.5
    gap_y = abs(y - yj) - (c.height[i] + c.height[j]) * 0.5
    if gap_x >= needed(c, i, turn, j, turn_j, 0, x > xj) - GAP:
        return True
    return gap_y >= needed(c, i, turn, j, turn_j, 1, y > yj) - GAP


@njit(**FAST)
def clear(p: Any, s: Any, c: Any, i: int, x: float, y: float, turn: int, other: int) -> bool:
    """Is x, y (from the canvas' corner) legal for hard macro i, macro `other` aside?"""
    for j in range(p.hard):
        if (
            j != i
            and j != other
            and not apart(c, i, x, y, turn, j, s.x[j], s.y[j], s.orientation[j])
        ):
            return False
    for k in range(c.start[i], c.stop[i]):
        if (
            x - c.width[i] * 0.5 < c.boxes[k, 2] - GAP
            and x + c.width[i] * 0.5 > c.boxes[k, 0] + GAP
            and y - c.height[i] * 0.5 < c.boxes[k, 3] - GAP
            and y + c.height[i] * 0.5 > c.boxes[k, 1] + GAP
        ):
            return False
    return True


@njit(**FAST)
def clip(c: Any, m: Any, k: int) -> None:
    """Keep the proposed centre where the macro is inside the canvas."""
    i = m.node[k]
    m.x[k] = min(max(m.x[k], c.width[i] / 2), c.canvas_width - c.width[i] / 2)
    m.y[k] = min(max(m.y[k], c.height[i] / 2), c.canvas_height - c.height[i] / 2)


@njit(**FAST)
def _push(
    m: Any, x: float, y: float, left: float, right: float, below: float, above: float
) -> None:
    """Push out of an obstacle centred at x, y, the shorter way; the distances are per side."""
    dx = m.x[0] - x
    dy = m.y[0] - y
    way_x = right if dx > 0 else left
    way_y = above if dy > 0 else below
    if way_x - abs(dx) < way_y - abs(dy):
        m.x[0] = x + (way_x if dx > 0 else -way_x)
    else:
        m.y[0] = y + (way_y if dy > 0 else -way_y)


@njit(**FAST)
def slide(p: Any, s: Any, c: Any, m: Any) -> bool:
    """Push the proposed position out of what it hits; False if that does not help."""
    i = m.node[0]
    turn = m.orientation[0]
    clip(c, m, 0)
    for _ in range(3):
        hit = False
        for j in range(p.hard):
            if j == i or apart(c, i, m.x[0], m.y[0], turn, j, s.x[j], s.y[j], s.orientation[j]):
                continue
            w = (c.width[i] + c.width[j]) * 0.5
            h = (c.height[i] + c.height[j]) * 0.5
            _push(
                m, s.x[j], s.y[j],
                w + needed(c, i, turn, j, s.orientation[j], 0, False),
                w + needed(c, i, turn, j, s.orientation[j], 0, True),
                h + needed(c, i, turn, j, s.orientation[j], 1, False),
                h + needed(c, i, turn, j, s.orientation[j], 1, True),
            )  # fmt: skip
            hit = True
            break
        for k in range(c.start[i], c.stop[i]):
            x = (c.boxes[k, 0] + c.boxes[k, 2]) * 0.5
            y = (c.boxes[k, 1] + c.boxes[k, 3]) * 0.5
            w = (c.boxes[k, 2] - c.boxes[k, 0] + c.width[i]) * 0.5
            h = (c.boxes[k, 3] - c.boxes[k, 1] + c.height[i]) * 0.5
            if abs(m.x[0] - x) < w - GAP and abs(m.y[0] - y) < h - GAP:
                _push(m, x, y, w, w, h, h)
                hit = True
                break
        if not hit:
            return True
        clip(c, m, 0)
    return clear(p, s, c, i, m.x[0], m.y[0], turn, -1)


def snap_to_grid(design: Design) -> Design:
    """Lower-left corners of movable macros on the manufacturing grid, rounded left and down.

    All move the same way by less than a step, so that distances that are multiples of the grid,
    between macros and to blockages and the die, stay.
    """
    rules = design.constraints
    if rules is None or not rules.grid:
        return design
    step = rules.grid
    width, height = design.size()
    x, y = design.x.copy(), design.y.copy()
    i = np.flatnonzero((design.kind == MACRO) & ~design.fixed)
    for axis, size in ((x, width), (y, height)):
        axis[i] = np.floor((axis[i] - size[i] / 2) / step + 1e-5) * step + size[i] / 2
    return design.at(x, y)
