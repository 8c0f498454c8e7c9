"""Legal places for hard macros: the nearest free one, largest macro first.

Candidates are the wish itself, a raster over the canvas, and the places where the macro touches
an edge of what is already placed; each is tested exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.placement.design import MACRO, Design

GAP = 1e-9


@njit(cache=True, nogil=True)
def _free(
    x: float, y: float, w: float, h: float, px: Any, py: Any, pw: Any, ph: Any, n: int
) -> bool:
    for j in range(n):
        if abs(px[j] - x) < (w + pw[j]) * 0.5 - GAP and abs(py[j] - y) < (h + ph[j]) * 0.5 - GAP:
            return False
    return True


@njit(cache=True, nogil=True)
def _nearest(
    wx: float, wy: float, w: float, h: float, box: Any, raster: int,
    px: Any, py: Any, pw: Any, ph: Any, n: int,
) -> tuple[float, float, float]:  # fmt: skip
    """(distance, x, y) of the best free candidate; distance inf if there is none."""
    lx = box[0] + w / 2
    hx = box[2] - w / 2
    ly = box[1] + h / 2
    hy = box[3] - h / 2
    best = np.inf
    bx = 0.0
    by = 0.0
    if hx < lx - GAP or hy < ly - GAP:
        return best, bx, by
    wx = min(max(wx, lx), hx)
    wy = min(max(wy, ly), hy)
    if _free(wx, wy, w, h, px, py, pw, ph, n):
        return 0.0, wx, wy
    for j in range(n):  # touching what is placed, at the wished other coordinate
        for side in range(4):
            x = wx
            y = wy
            if side < 2:
                x = px[j] + (pw[j] + w) * (0.5 if side == 0 else -0.5)
            else:
                y = py[j] + (ph[j] + h) * (0.5 if side == 2 else -0.5)
            d = abs(x - wx) + abs(y - wy)
            if d < best and lx - GAP <= x <= hx + GAP and ly - GAP <= y <= hy + GAP:
                if _free(x, y, w, h, px, py, pw, ph, n):
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
            if d < best and _free(x, y, w, h, px, py, pw, ph, n):
                best = d
                bx = x
                by = y
    for i in range(n):  # in the corners that two placed rectangles make
        for si in range(2):
            x = px[i] + (pw[i] + w) * (0.5 if si == 0 else -0.5)
            if x < lx - GAP or x > hx + GAP or abs(x - wx) >= best:
                continue
            for j in range(n):
                for sj in range(2):
                    y = py[j] + (ph[j] + h) * (0.5 if sj == 0 else -0.5)
                    d = abs(x - wx) + abs(y - wy)
                    if d < best and ly - GAP <= y <= hy + GAP:
                        if _free(x, y, w, h, px, py, pw, ph, n):
                            best = d
                            bx = x
                            by = y
    return best, bx, by


def legalise_macros(design: Design, raster: int = 96, grid: float = 0.0) -> Design:
    """The design with its movable hard macros at free places near where they were.

    Args:
        design: wished places; fixed macros stay and are obstacles.
        raster: number of raster steps in each direction.
        grid: snap lower-left corners to multiples of this (0: anywhere).

    Raises:
        InputError: no free place was found for a macro.
    """
    width, height = design.size()
    macros = design.where(MACRO)
    fixed = macros[design.fixed[macros]]
    movable = macros[~design.fixed[macros]]
    canvas = design.canvas
    box = np.array([canvas.x0, canvas.y0, canvas.x1, canvas.y1])
    area = (width * height)[movable]
    x, y = design.x.copy(), design.y.copy()
    for order in (
        movable[np.argsort(-area, kind="stable")],
        movable[np.lexsort((x[movable], -height[movable]))],
    ):
        total = len(macros)
        placed = np.zeros((4, max(total, 1)))
        n = len(fixed)
        for row, values in enumerate((design.x, design.y, width, height)):
            placed[row, :n] = values[fixed]
        failed = -1
        for i in order:
            d, px, py = _nearest(
                design.x[i],
                design.y[i],
                width[i],
                height[i],
                box,
                raster,
                placed[0],
                placed[1],
                placed[2],
                placed[3],
                n,
            )
            if not np.isfinite(d):
                failed = int(i)
                break
            x[i], y[i] = px, py
            placed[:, n] = px, py, width[i], height[i]
            n += 1
        if failed < 0:
            return design.at(x, y)
        design = design.at(*_shelves(design, movable, width, height))
    raise InputError(
        f"no free place for macro {design.names[failed]!r} "
        f"({width[failed]:g} x {height[failed]:g})",
        where=design.source,
        hint="The macros fill the canvas too tightly: enlarge it or free some fixed blocks",
    )


def _shelves(
    design: Design, movable: np.ndarray, width: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Macros side by side in rows of falling height, from the lower left."""
    x, y = design.x.copy(), design.y.copy()
    left, bottom, tall = design.canvas.x0, design.canvas.y0, 0.0
    for i in movable[np.argsort(-height[movable], kind="stable")]:
        if left + width[i] > design.canvas.x1 + GAP:
            left, bottom, tall = design.canvas.x0, bottom + tall, 0.0
        x[i], y[i] = left + width[i] / 2, bottom + height[i] / 2
        left, tall = left + width[i], max(tall, height[i])
    return x, y


def spread_macros(design: Design, rng: np.random.Generator) -> Design:
    """A legal start that uses no given place: macros in random order in even rows."""
    macros = design.where(MACRO)
    movable = macros[~design.fixed[macros]]
    if not len(movable):
        return design
    width, height = design.size()
    canvas = design.canvas
    order = rng.permutation(movable)
    high = float(height[movable].max())
    rows = max(int(canvas.height // high), 1)
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
