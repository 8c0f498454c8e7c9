"""Macro legaliser: the nearest free position for each hard macro, largest macro first.

Candidates are the desired position itself, a raster over the canvas, and the positions where the
macro touches an edge of a placed one (or keeps the distance that halos demand); each is tested
exactly. Boxes to keep out of (`macro_limits`) count as placed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.placement.classical.macro_limits import GAP, limits_of
from sciml.placement.constraints import mark_placed, oriented_halo
from sciml.placement.design import MACRO, Design


@njit(cache=True, nogil=True)
def _need(halo: Any, other: Any, solid: int, axis: int, after: bool) -> float:
    """Spacing along an axis (0 x, 1 y) to a placed macro; after: to the right of it, above it."""
    if solid == 0:
        return 0.0
    return max(halo[axis], other[axis + 2]) if after else max(halo[axis + 2], other[axis])


@njit(cache=True, nogil=True)
def _free(
    x: float, y: float, w: float, h: float, halo: Any, placed: Any, halos: Any, solid: Any
) -> bool:
    for j in range(placed.shape[0]):
        dx = x - placed[j, 0]
        dy = y - placed[j, 1]
        if abs(dx) >= (w + placed[j, 2]) * 0.5 + _need(halo, halos[j], solid[j], 0, dx > 0) - GAP:
            continue
        if abs(dy) < (h + placed[j, 3]) * 0.5 + _need(halo, halos[j], solid[j], 1, dy > 0) - GAP:
            return False
    return True


@njit(cache=True, nogil=True)
def _beside(
    j: int, size: float, axis: int, after: bool, halo: Any, placed: Any, halos: Any, solid: Any
) -> float:
    """The coordinate at which a macro of this size abuts j, on one side of it."""
    distance = (placed[j, axis + 2] + size) * 0.5 + _need(halo, halos[j], solid[j], axis, after)
    return placed[j, axis] + distance if after else placed[j, axis] - distance


@njit(cache=True, nogil=True)
def _nearest(
    wx: float, wy: float, w: float, h: float, halo: Any, box: Any, raster: int,
    placed: Any, halos: Any, solid: Any,
) -> tuple[float, float, float]:  # fmt: skip
    """(distance, x, y) of the best free candidate; distance inf if there is none.

    placed [n, 4]: x y width height of obstacles; halos [n, 4] of them; solid [n]: 0 for a box to
    keep out of, which needs no spacing.
    """
    lx = box[0] + w / 2
    hx = box[2] - w / 2
    ly = box[1] + h / 2
    hy = box[3] - h / 2
    best = np.inf
    bx = 0.0
    by = 0.0
    n = placed.shape[0]
    if hx < lx - GAP or hy < ly - GAP:
        return best, bx, by
    wx = min(max(wx, lx), hx)
    wy = min(max(wy, ly), hy)
    if _free(wx, wy, w, h, halo, placed, halos, solid):
        return 0.0, wx, wy
    for j in range(n):  # abutting an obstacle, the other coordinate as desired
        for side in range(4):
            x = wx
            y = wy
            if side < 2:
                x = _beside(j, w, 0, side == 0, halo, placed, halos, solid)
            else:
                y = _beside(j, h, 1, side == 2, halo, placed, halos, solid)
            d = abs(x - wx) + abs(y - wy)
            if d < best and lx - GAP <= x <= hx + GAP and ly - GAP <= y <= hy + GAP:
                if _free(x, y, w, h, halo, placed, halos, solid):
                    best = d
                    bx = x
                    by = y
    for a in range(raster + 1):
        x = lx + (hx - lx) * a / raster
        if abs(x - wx) >= best:
            continue
        for b in range(raster + 1):
            y = ly + (hy - ly) * b / raster
            d = abs(x - wx) + abs(y - wy)
            if d < best and _free(x, y, w, h, halo, placed, halos, solid):
                best = d
                bx = x
                by = y
    for i in range(n):  # in the corners of two obstacles
        for si in range(2):
            x = _beside(i, w, 0, si == 0, halo, placed, halos, solid)
            if x < lx - GAP or x > hx + GAP or abs(x - wx) >= best:
                continue
            for j in range(n):
                for sj in range(2):
                    y = _beside(j, h, 1, sj == 0, halo, placed, halos, solid)
                    d = abs(x - wx) + abs(y - wy)
                    if d < best and ly - GAP <= y <= hy + GAP:
                        if _free(x, y, w, h, halo, placed, halos, solid):
                            best = d
                            bx = x
                            by = y
    return best, bx, by


def legalise_macros(design: Design, raster: int = 96) -> Design:
    """The design with its movable hard macros at free positions near where they were.

    Orientations that SYMMETRY forbids become N. Fixed macros stay and are obstacles.

    Args:
        design: its positions are the desired ones.
        raster: number of raster steps in each direction.

    Raises:
        InputError: there is no free position for a macro.
    """
    design = _with_allowed_turns(design)
    width, height = design.size()
    macros = design.where(MACRO)
    fixed = macros[design.fixed[macros]]
    movable = macros[~design.fixed[macros]]
    canvas = design.canvas
    box = np.array([canvas.x0, canvas.y0, canvas.x1, canvas.y1])
    area = (width * height)[movable]
    limits = limits_of(design, macros)
    low, high = limits.boxes[:, :2], limits.boxes[:, 2:]
    boxes = np.concatenate([(low + high) / 2 + box[:2], high - low], 1)
    rank = np.zeros(design.nodes, np.int64)
    rank[macros] = np.arange(len(macros))
    around = np.zeros((design.nodes, 4))
    around[macros] = oriented_halo(limits.halo, design.orientation[macros])
    x, y = design.x.copy(), design.y.copy()
    for order in (
        movable[np.argsort(-area, kind="stable")],
        movable[np.lexsort((x[movable], -height[movable]))],
    ):
        placed = [np.stack([design.x, design.y, width, height], 1)[fixed]]
        halos = [around[fixed]]
        failed = -1
        for i in order:
            k = int(rank[i])
            part = boxes[limits.start[k] : limits.stop[k]]
            d, px, py = _nearest(
                design.x[i], design.y[i], width[i], height[i], around[i], box, raster,
                np.concatenate([part, *placed]),
                np.concatenate([np.zeros((len(part), 4)), *halos]),
                np.repeat([0, 1], [len(part), sum(map(len, placed))]),
            )  # fmt: skip
            if not np.isfinite(d):
                failed = int(i)
                break
            x[i], y[i] = px, py
            placed.append(np.array([[px, py, width[i], height[i]]]))
            halos.append(around[i : i + 1])
        if failed < 0:
            return mark_placed(design.at(x, y), movable)
        design = design.at(*_shelves(design, movable, width, height))
    raise InputError(
        f"no free place for macro {design.names[failed]!r} "
        f"({width[failed]:g} x {height[failed]:g})",
        where=design.source,
        hint="The macros fill the canvas too tightly: enlarge it or free some fixed blocks",
    )


def is_free(design: Design, i: int, others: np.ndarray, x: float, y: float) -> bool:
    """Is x, y free for macro i, with these other macros where they are?"""
    width, height = design.size()
    limits = limits_of(design, np.append(others, i))
    canvas, eps = design.canvas, 1e-9
    if not (canvas.x0 <= x - width[i] / 2 and x + width[i] / 2 <= canvas.x1 + eps):
        return False
    if not (canvas.y0 <= y - height[i] / 2 and y + height[i] / 2 <= canvas.y1 + eps):
        return False
    part = limits.boxes[limits.start[-1] : limits.stop[-1]]
    part = part + [canvas.x0, canvas.y0, canvas.x0, canvas.y0]
    low, high = part[:, :2], part[:, 2:]
    halos = oriented_halo(limits.halo, design.orientation[np.append(others, i)])
    return bool(_free(
        x, y, width[i], height[i], halos[-1],
        np.concatenate([
            np.concatenate([(low + high) / 2, high - low], 1),
            np.stack([design.x, design.y, width, height], 1)[others],
        ]),
        np.concatenate([np.zeros((len(part), 4)), halos[:-1]]),
        np.repeat([0, 1], [len(part), len(others)]),
    ))  # fmt: skip


def _with_allowed_turns(design: Design) -> Design:
    rules = design.constraints
    if rules is None:
        return design
    wrong = (rules.allowed >> design.orientation & 1) == 0
    wrong &= (design.kind == MACRO) & ~design.fixed
    return design.at(design.x, design.y, np.where(wrong, 0, design.orientation))


def _shelves(
    design: Design, movable: np.ndarray, width: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Macros side by side in rows of falling height, from the lower left."""
    x, y = design.x.copy(), design.y.copy()
    left, bottom, shelf_height = design.canvas.x0, design.canvas.y0, 0.0
    for i in movable[np.argsort(-height[movable], kind="stable")]:
        if left + width[i] > design.canvas.x1 + GAP:
            left, bottom, shelf_height = design.canvas.x0, bottom + shelf_height, 0.0
        x[i], y[i] = left + width[i] / 2, bottom + height[i] / 2
        left, shelf_height = left + width[i], max(shelf_height, height[i])
    return x, y


def spread_macros(design: Design, rng: np.random.Generator) -> Design:
    """A legal start that does not depend on present positions: random order, even rows."""
    macros = design.where(MACRO)
    movable = macros[~design.fixed[macros]]
    if not len(movable):
        return design
    width, height = design.size()
    canvas = design.canvas
    order = rng.permutation(movable)
    high = float(height[movable].max())
    rows = len(order) if high <= 0 else max(int(canvas.height // high), 1)
    per_row = np.array_split(order, min(rows, len(order)))
    x, y = design.x.copy(), design.y.copy()
    for r, members in enumerate(per_row):
        room = canvas.width - width[members].sum()
        gap = max(room, 0.0) / (len(members))
        left = canvas.x0 + gap / 2
        for i in members:
            x[i] = min(left + width[i] / 2, canvas.x1 - width[i] / 2)
            y[i] = canvas.y0 + (r + 0.5) * canvas.height / len(per_row)
            left += width[i] + gap
    return legalise_macros(design.at(x, y))
