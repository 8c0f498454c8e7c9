"""Is a placement legal? An independent checker that shares no code with the placers.

Legal means: hard macros and cells do not overlap each other (more than `TOLERANCE` of a unit in
both directions), lie inside the canvas, fixed nodes are where the reference has them, and, if the
design has rows, every cell stands on a row, inside it and on its site grid. Soft macros (clusters)
and ports may overlap anything. Blocks that are fixed and overlap each other are reported, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from sciml.placement.design import CELL, MACRO, Design

TOLERANCE = 1e-6
MOST_PAIRS = 1_000_000


@dataclass
class Verdict:
    """What a check found; `problems` are sentences that name the nodes (the first 20 of a kind)."""

    problems: list[str] = field(default_factory=list)
    overlaps: int = 0
    overlap_area: float = 0.0
    outside: int = 0
    moved: int = 0
    off_row: int = 0
    off_site: int = 0

    @property
    def legal(self) -> bool:
        return not (self.overlaps + self.outside + self.moved + self.off_row + self.off_site)


@njit(cache=True)
def _pairs(
    x0: Any, x1: Any, y0: Any, y1: Any, order: Any, start: Any, item: Any, bucket: Any,
    tolerance: float, out: Any,
) -> tuple[int, float]:  # fmt: skip
    """Overlapping pairs among rectangles that are sorted by x0 in horizontal strips."""
    n = 0
    area = 0.0
    for b in range(start.shape[0] - 1):
        for p in range(start[b], start[b + 1]):
            i = order[item[p]]
            for q in range(p + 1, start[b + 1]):
                j = order[item[q]]
                if x0[j] >= x1[i] - tolerance:
                    break
                dy = min(y1[i], y1[j]) - max(y0[i], y0[j])
                # A pair that shares several strips is counted in the first one only.
                if dy > tolerance and max(bucket[i], bucket[j]) == b:
                    dx = min(x1[i], x1[j]) - x0[j]
                    if dx > tolerance:
                        if n < out.shape[0]:
                            out[n, 0] = min(i, j)
                            out[n, 1] = max(i, j)
                        n += 1
                        area += dx * dy
                        if n >= 1000000:
                            return n, area
    return n, area


def overlapping(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray, strip: float
) -> tuple[int, float, np.ndarray]:
    """(number of overlapping pairs, their area, up to 1000 of the pairs [n, 2])."""
    out = np.zeros((1000, 2), np.int64)
    if len(x) < 2:
        return 0, 0.0, out[:0]
    x0, x1, y0, y1 = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    strip = max(strip, (y1.max() - y0.min()) / 4096, 1e-12)
    low = np.floor((y0 - y0.min()) / strip + 1e-9).astype(np.int64)
    high = np.maximum(np.ceil((y1 - y0.min()) / strip - 1e-9).astype(np.int64), low + 1)
    order = np.argsort(x0, kind="stable")
    spans = (high - low)[order]
    item = np.repeat(np.arange(len(x)), spans)
    offset = np.arange(len(item)) - np.repeat(np.cumsum(spans) - spans, spans)
    strips = low[order][item] + offset
    by_strip = np.argsort(strips, kind="stable")
    start = np.searchsorted(strips[by_strip], np.arange(strips.max() + 2))
    n, area = _pairs(x0, x1, y0, y1, order, start, item[by_strip], low, TOLERANCE, out)
    return int(n), float(area), out[: min(n, 1000)]


def check(design: Design, reference: Design | None = None, tolerance: float = TOLERANCE) -> Verdict:
    """Check a placement; `reference` says where fixed nodes must be."""
    verdict = Verdict()
    names = design.names
    solid = np.flatnonzero(
        ((design.kind == MACRO) | (design.kind == CELL)) & (design.width * design.height > 0)
    )
    width, height = design.size()
    x, y = design.x, design.y
    strip = float(design.rows.height.min()) if design.rows and len(design.rows) else 0.0
    count, area, pairs = overlapping(x[solid], y[solid], width[solid], height[solid], strip)
    verdict.overlaps, verdict.overlap_area = count, area
    for a, b in pairs[:20]:
        i, j = solid[a], solid[b]
        verdict.problems.append(f"{names[int(i)]!r} and {names[int(j)]!r} overlap")
    _more(verdict, count, "overlapping pairs")

    canvas = design.canvas
    outside = solid[
        ~design.fixed[solid]
        & (
            (x[solid] - width[solid] / 2 < canvas.x0 - tolerance)
            | (x[solid] + width[solid] / 2 > canvas.x1 + tolerance)
            | (y[solid] - height[solid] / 2 < canvas.y0 - tolerance)
            | (y[solid] + height[solid] / 2 > canvas.y1 + tolerance)
        )
    ]
    verdict.outside = len(outside)
    verdict.problems += [f"{names[int(i)]!r} is outside the canvas" for i in outside[:20]]
    _more(verdict, len(outside), "nodes outside")
    if reference is not None:
        fixed = reference.fixed & (
            (np.abs(x - reference.x) > tolerance)
            | (np.abs(y - reference.y) > tolerance)
            | (design.orientation != reference.orientation)
        )
        moved = np.flatnonzero(fixed)
        verdict.moved = len(moved)
        verdict.problems += [f"fixed node {names[int(i)]!r} was moved" for i in moved[:20]]
        _more(verdict, len(moved), "moved nodes")
    if design.rows is not None and len(design.rows):
        _check_rows(design, verdict, tolerance)
    return verdict


def _check_rows(design: Design, verdict: Verdict, tolerance: float) -> None:
    rows = design.rows
    assert rows is not None
    cells = np.flatnonzero((design.kind == CELL) & ~design.fixed)
    width, height = design.size()
    left = design.x[cells] - width[cells] / 2
    bottom = design.y[cells] - height[cells] / 2
    order = np.lexsort((rows.x0, rows.y))
    row_y, row_x0, row_x1, site = rows.y[order], rows.x0[order], rows.x1[order], rows.site[order]
    on = np.zeros(len(cells), bool)
    on_site = np.zeros(len(cells), bool)
    first = np.searchsorted(row_y, bottom - tolerance)
    most = int(np.unique(np.round(row_y, 6), return_counts=True)[1].max())
    for k in range(most):  # the subrows of one row stand next to each other
        r = np.minimum(first + k, len(row_y) - 1)
        fits = (np.abs(row_y[r] - bottom) <= tolerance) & (left >= row_x0[r] - tolerance)
        fits &= left + width[cells] <= row_x1[r] + tolerance
        steps = (left - row_x0[r]) / site[r]
        on_site |= fits & (np.abs(steps - np.round(steps)) * site[r] <= max(tolerance, 1e-6))
        on |= fits
    for label, bad in (("row", ~on), ("site", on & ~on_site)):
        found = cells[bad]
        setattr(verdict, f"off_{label}", len(found))
        for i in found[:20]:
            verdict.problems.append(f"cell {design.names[int(i)]!r} is not on a {label}")
        _more(verdict, len(found), f"cells off their {label}")


def _more(verdict: Verdict, count: int, what: str) -> None:
    if count > 20:
        shown = f"at least {count:,}" if count >= MOST_PAIRS else f"{count:,}"
        verdict.problems.append(f"... {shown} {what} in all")
