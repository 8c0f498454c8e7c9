"""Macro legaliser: the nearest free position for each hard macro, largest macro first.

Candidates are the desired position itself, a raster over where the macro may be, and the positions
where the macro touches an edge of a placed one (or keeps the distance that halos demand); each is
tested exactly. Boxes to keep out of (`macro_limits`) count as placed. Groups of aligned macros
first get a coordinate in common, the nearest to their median at which all of them have a place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.placement.classical.macro_limits import GAP, aligned_bounds, bounds_of, limits_of
from sciml.placement.constraints import Aligned, mark_placed, oriented_halo
from sciml.placement.design import MACRO, Design


@njit(cache=True, nogil=True)
def _need(halo: Any, other: Any, solid: int, axis: int, after: bool) -> float:
    """Spacing along an axis (0 x, 1 y) to an obstacle; after: to the right of it, above it."""
    if solid == 0:
        return 0.0
    if solid == 2:  # a cell
        return halo[axis + 4] if after else halo[axis + 6]
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

    halo [8]: left bottom right top, towards macros, then towards cells; box: where it may be;
    placed [n, 4]: x y width height of obstacles; halos [n, 8] of them; solid [n]: 1 a macro, 2 a
    cell, 0 a box to keep out of, which needs no spacing.
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


class _Floor:
    """Macros that have their places, and the search for a place of the next."""

    def __init__(self, design: Design, raster: int) -> None:
        self.design, self.raster = design, raster
        self.macros = design.where(MACRO)
        self.width, self.height = design.size()
        self.limits = limits_of(design, self.macros)
        self.bounds = bounds_of(design, self.macros)
        canvas = design.canvas
        low, high = self.limits.boxes[:, :2], self.limits.boxes[:, 2:]
        middle = (low + high) / 2 + [canvas.x0, canvas.y0]
        self.boxes = np.concatenate([middle, high - low], 1)
        self.rank = np.zeros(design.nodes, np.int64)
        self.rank[self.macros] = np.arange(len(self.macros))
        halo = oriented_halo(self.limits.halo, design.orientation[self.macros])
        self.halo = np.concatenate([np.maximum(halo, self.limits.channel), halo], 1)
        self.x, self.y = design.x.copy(), design.y.copy()
        self.placed: list[int] = self.macros[design.fixed[self.macros]].tolist()

    def put(self, i: int, box: np.ndarray | None = None) -> bool:
        """Give macro i the nearest free place in a box (default: its bounds), if there is one."""
        k = int(self.rank[i])
        part = slice(self.limits.start[k], self.limits.stop[k])
        shapes = np.stack([self.x, self.y, self.width, self.height], 1)[self.placed]
        boxes, spaced = self.boxes[part], self.limits.spaced[part]
        distance, x, y = _nearest(
            self.design.x[i], self.design.y[i], self.width[i], self.height[i], self.halo[k],
            self.bounds[k] if box is None else box, self.raster,
            np.concatenate([boxes, shapes]),
            np.concatenate([np.zeros((len(boxes), 8)), self.halo[self.rank[self.placed]]]),
            np.concatenate([2 * spaced, np.ones(len(shapes), np.int64)]),
        )  # fmt: skip
        if not np.isfinite(distance):
            return False
        self.x[i], self.y[i] = x, y
        self.placed.append(int(i))
        return True

    def align(self, group: Aligned) -> bool:
        """Places for a group's macros with one coordinate in common."""
        axis, members = group.axis, group.members
        half = np.stack([self.width, self.height], 1)[members, axis] / 2
        lines = np.stack([self.design.x, self.design.y], 1)[members, axis] + group.side * half
        fixed = self.design.fixed[members]
        median = float(np.median(lines))
        bounds = self.bounds[self.rank[members]]
        raster = np.linspace(bounds[:, axis].min(), bounds[:, axis + 2].max(), self.raster + 1)
        tries = lines[fixed][:1] if fixed.any() else np.concatenate([[median], lines, raster])
        rules = self.design.constraints
        if rules is not None and rules.grid and group.side:
            tries = np.round(tries / rules.grid) * rules.grid
        before = len(self.placed)
        for line in tries[np.argsort(np.abs(tries - median), kind="stable")]:
            low, high = line - (group.side + 1) * half, line - (group.side - 1) * half
            ok = bool((low >= bounds[:, axis] - GAP).all())
            ok &= bool((high <= bounds[:, axis + 2] + GAP).all())
            for k in np.flatnonzero(~fixed)[np.argsort(-half[~fixed], kind="stable")] if ok else ():
                box = bounds[k].copy()
                box[axis], box[axis + 2] = low[k], high[k]
                ok = ok and self.put(int(members[k]), box)
            if ok:
                return True
            del self.placed[before:]
        return False


def legalise_macros(design: Design, raster: int = 96) -> Design:
    """The design with its movable hard macros at free positions near where they were.

    Orientations that SYMMETRY forbids become N. Fixed macros stay and are obstacles. Aligned macros
    come first, then those that a window binds.

    Args:
        design: its positions are the desired ones.
        raster: number of raster steps in each direction.

    Raises:
        InputError: there is no free position for a macro, or no coordinate for an aligned group.
    """
    design = _with_allowed_turns(design)
    rules, macros = design.constraints, design.where(MACRO)
    width, height = design.size()
    movable = macros[~design.fixed[macros]]
    area, aligned = (width * height)[movable], np.zeros(len(movable), bool)
    groups = rules.aligned if rules is not None else ()
    for group in groups:
        aligned |= np.isin(movable, group.members)
    free = np.ones(len(movable), bool)
    if rules is not None and rules.window is not None:
        free = ~np.isfinite(rules.window[movable]).any(1)
    for order in (np.lexsort((-area, free)), np.lexsort((design.x[movable], -height[movable]))):
        floor = _Floor(design, raster)
        for group in groups:
            if not floor.align(group):
                raise InputError(
                    f"no coordinate has room for {len(group.members)} macros with their "
                    f"{group.edge} aligned", where=design.source,
                    hint="Align fewer of them, or free some room",
                )  # fmt: skip
        failed = next((i for i in movable[order[~aligned[order]]] if not floor.put(int(i))), None)
        if failed is None:
            return mark_placed(design.at(floor.x, floor.y), movable)
        design = design.at(*_shelves(design, movable, width, height))
    raise InputError(
        f"no free place for macro {design.names[failed]!r} "
        f"({width[failed]:g} x {height[failed]:g})",
        where=design.source,
        hint="The macros fill the canvas too tightly: enlarge it or free some fixed blocks",
    )


def is_free(design: Design, i: int, others: np.ndarray, x: float, y: float) -> bool:
    """Is x, y free for macro i, with these other macros where they are?"""
    floor = _Floor(design, 0)
    k, eps = int(floor.rank[i]), 1e-9
    half = np.array([floor.width[i], floor.height[i]]) / 2
    bounds = aligned_bounds(design, np.array([i]))[0]
    if not (
        (bounds[:2] - eps <= [x, y] - half).all() and ([x, y] + half <= bounds[2:] + eps).all()
    ):
        return False
    part = slice(floor.limits.start[k], floor.limits.stop[k])
    shapes = np.stack([design.x, design.y, floor.width, floor.height], 1)[others]
    spaced = floor.limits.spaced[part]
    return bool(_free(
        x, y, floor.width[i], floor.height[i], floor.halo[k],
        np.concatenate([floor.boxes[part], shapes]),
        np.concatenate([np.zeros((len(spaced), 8)), floor.halo[floor.rank[others]]]),
        np.concatenate([2 * spaced, np.ones(len(shapes), np.int64)]),
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
