"""Where a hard macro may be, for the legaliser and the annealer: halos, boxes to keep out of.

Between two macros there is the wider of the halos that face each other, or of the channel. Boxes to
keep out of (off the die, blockages, fences of others) need no spacing, but for fixed cells, which
halos count for. A pair that is apart by one macro's halo in x and by the other's in y would be
legal, too; it is not used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.constraints import _SIDES, keep_out, oriented_halo, region_keep_out
from sciml.placement.cost.topsum import FAST
from sciml.placement.design import MACRO, Design

GAP = 1e-9
SIDES = np.ascontiguousarray(_SIDES)


class Limits(NamedTuple):
    """Per hard macro: sizes as oriented now, halos as N, allowed orientations (bits).

    boxes[start[i] : stop[i]] (x0 y0 x1 y1, from the canvas' corner) are those macro i keeps out of,
    by its halo where `spaced` is 1; bounds[i] (alike) is the box it stays in. active 0: only
    overlap and the canvas matter.
    """

    active: int
    bounds: np.ndarray
    width: np.ndarray
    height: np.ndarray
    turns: np.ndarray
    halo: np.ndarray
    channel: float
    start: np.ndarray
    stop: np.ndarray
    boxes: np.ndarray
    spaced: np.ndarray


def limits_of(design: Design, nodes: np.ndarray) -> Limits:
    """The limits of these macros; aligned ones keep the edge where they have it now.

    Raises:
        InputError: a blockage belongs to a component that moves.
    """
    rules, canvas = design.constraints, design.canvas
    width, height = design.size()
    n = len(nodes)
    corner = np.array([canvas.x0, canvas.y0, canvas.x0, canvas.y0])
    start, stop = np.zeros(n, np.int64), np.zeros(n, np.int64)
    turns, halo = np.full(n, 255, np.int64), np.zeros((n, 4))
    boxes, spaced = np.empty((0, 4)), np.zeros(0, np.int64)
    if rules is not None:
        turns, halo = rules.allowed[nodes].astype(np.int64), rules.halo[nodes]
        cells, cells_with_halo = _obstacles(design)
        everywhere, by_region = keep_out(design, ~design.fixed), region_keep_out(design)
        region, parts, flags = rules.required_region()[nodes], [boxes], [spaced]
        for k in np.unique(region):
            start[region == k] = sum(map(len, parts))
            parts += [cells, everywhere, by_region[k], cells_with_halo]
            stop[region == k] = sum(map(len, parts))
            flags += [np.full(len(part), j == 0) for j, part in enumerate(parts[-4:])]
        boxes, spaced = np.concatenate(parts) - corner, np.concatenate(flags)
    sideways = bool((design.orientation[nodes] >= 4).any())
    return Limits(
        int(rules is not None or sideways), aligned_bounds(design, nodes) - corner,
        width[nodes], height[nodes], turns, np.ascontiguousarray(halo, np.float64),
        0.0 if rules is None else rules.channel, start, stop,
        np.ascontiguousarray(boxes, np.float64), spaced.astype(np.int64),
    )  # fmt: skip


def _obstacles(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Outlines [K, 4] of the cells that macros keep away from, without and with their halos."""
    rules = design.constraints
    if rules is None or rules.obstacles is None:
        return np.empty((0, 4)), np.empty((0, 4))
    i = rules.obstacles
    half = np.stack(design.size(), 1)[i] / 2
    centre = np.stack([design.x, design.y], 1)[i]
    boxes = np.concatenate([centre - half, centre + half], 1)
    around = oriented_halo(rules.halo, design.orientation)[i] * [-1, -1, 1, 1]
    return boxes, (boxes + around)[around.any(1)]


def bounds_of(design: Design, nodes: np.ndarray) -> np.ndarray:
    """The box [n, 4] that each of these macros stays in: the canvas, and its window."""
    rules, canvas = design.constraints, design.canvas
    bounds = np.tile([canvas.x0, canvas.y0, canvas.x1, canvas.y1], (len(nodes), 1))
    if rules is not None and rules.window is not None:
        bounds[:, :2] = np.maximum(bounds[:, :2], rules.window[nodes, :2])
        bounds[:, 2:] = np.minimum(bounds[:, 2:], rules.window[nodes, 2:])
    return bounds


def aligned_bounds(design: Design, nodes: np.ndarray) -> np.ndarray:
    """`bounds_of`, in which aligned macros keep the coordinate that they share now."""
    bounds = bounds_of(design, nodes)
    sizes, centres = np.stack(design.size(), 1)[nodes], np.stack([design.x, design.y], 1)[nodes]
    for group in design.constraints.aligned if design.constraints is not None else ():
        i, k = np.isin(nodes, group.members), group.axis
        bounds[i, k] = centres[i, k] - sizes[i, k] / 2
        bounds[i, k + 2] = centres[i, k] + sizes[i, k] / 2
    return bounds


@njit(**FAST)
def needed(c: Any, i: int, turn_i: int, j: int, turn_j: int, axis: int, after: bool) -> float:
    """The spacing of i and j along an axis; after: i is to the right of j (above it)."""
    near = axis if after else axis + 2  # the side of i that faces j: left, bottom or right, top
    far = axis + 2 if after else axis
    return max(c.halo[i, SIDES[turn_i, near]], c.halo[j, SIDES[turn_j, far]], c.channel)


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
def _spacing(c: Any, i: int, turn: int, k: int) -> tuple[float, float, float, float]:
    """How far macro i keeps away from box k with its left, bottom, right and top."""
    if not c.spaced[k]:
        return 0.0, 0.0, 0.0, 0.0
    side = SIDES[turn]
    halo = c.halo[i]
    return halo[side[0]], halo[side[1]], halo[side[2]], halo[side[3]]


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
    w = c.width[i] * 0.5 - GAP
    h = c.height[i] * 0.5 - GAP
    for k in range(c.start[i], c.stop[i]):
        left, below, right, above = _spacing(c, i, turn, k)
        if (
            x - w < c.boxes[k, 2] + left
            and x + w > c.boxes[k, 0] - right
            and y - h < c.boxes[k, 3] + below
            and y + h > c.boxes[k, 1] - above
        ):
            return False
    return True


@njit(**FAST)
def clip(c: Any, m: Any, k: int) -> None:
    """Keep the proposed centre where the macro is inside its bounds."""
    i = m.node[k]
    w = c.width[i] / 2
    h = c.height[i] / 2
    m.x[k] = min(max(m.x[k], c.bounds[i, 0] + w), c.bounds[i, 2] - w)
    m.y[k] = min(max(m.y[k], c.bounds[i, 1] + h), c.bounds[i, 3] - h)


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
            near = _spacing(c, i, turn, k)
            way_x = w + (near[0] if m.x[0] > x else near[2])
            way_y = h + (near[1] if m.y[0] > y else near[3])
            if abs(m.x[0] - x) < way_x - GAP and abs(m.y[0] - y) < way_y - GAP:
                _push(m, x, y, w + near[2], w + near[0], h + near[3], h + near[1])
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
