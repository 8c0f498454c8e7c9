"""The rules of rows: cells are on rows, on their sites, oriented as these are.

Part of the checker of legality, which shares no code with the placers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciml.placement.constraints import MIRRORED, UPRIGHT
from sciml.placement.design import ORIENTATIONS, Design
from sciml.placement.overlaps import TOLERANCE

if TYPE_CHECKING:
    from sciml.placement.legality import Verdict


class _RowIndex:
    """Finds the row under a cell's edge at a height."""

    def __init__(self, design: Design, tolerance: float) -> None:
        rows = design.rows
        assert rows is not None
        self.tolerance = tolerance
        self.order = np.lexsort((rows.x0, rows.y))
        self.y, self.x0, self.x1 = rows.y[self.order], rows.x0[self.order], rows.x1[self.order]
        self.site, self.height = rows.site[self.order], rows.height[self.order]
        self.most = int(np.unique(np.round(self.y, 6), return_counts=True)[1].max())

    def find(
        self, bottom: np.ndarray, left: np.ndarray, right: np.ndarray, usable: np.ndarray,
        of_cell: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """(a row [n] that holds left .. right at y = bottom, or -1; whether left is on a site).

        usable[of_cell] [n, rows]: the rows that each cell may use. A row on whose sites the cell is
        comes first.
        """
        t = self.tolerance
        row_of, on_site = np.full(len(bottom), -1), np.zeros(len(bottom), bool)
        first = np.searchsorted(self.y, bottom - t)
        for k in range(self.most + 1):
            r = np.minimum(first + k, len(self.y) - 1)
            fits = (np.abs(self.y[r] - bottom) <= t) & (left >= self.x0[r] - t)
            fits &= right <= self.x1[r] + t
            fits &= usable[of_cell, self.order[r]]
            steps = (left - self.x0[r]) / self.site[r]
            aligned = fits & (np.abs(steps - np.round(steps)) * self.site[r] <= max(t, 1e-6))
            row_of = np.where(aligned & ~on_site | fits & (row_of < 0), self.order[r], row_of)
            on_site |= aligned
        return row_of, on_site


def check_rows(design: Design, cells: np.ndarray, verdict: Verdict, tolerance: float) -> None:
    """Add to `verdict` which cells are not on rows and sites, or in an orientation not allowed."""
    rows, rules = design.rows, design.constraints
    assert rows is not None
    names = design.names
    width, height = design.size()
    left = design.x[cells] - width[cells] / 2
    right = left + width[cells]
    bottom = design.y[cells] - height[cells] / 2
    high = height[cells]
    index = _RowIndex(design, tolerance)
    usable, of_cell = np.ones((1, len(rows)), bool), np.zeros(len(cells), np.int64)
    if np.ptp(rows.height) > tolerance or (rows.sites and len(set(rows.sites)) > 1):
        usable, of_cell = _usable(design, cells, high)
    row, on_site = index.find(bottom, left, right, usable, of_cell)
    # A multi-row cell needs the rows above it, too.
    own = rows.height[np.maximum(row, 0)]
    levels = np.where(row >= 0, np.maximum(np.round(high / own), 1), 1).astype(np.int64)
    on_whole_rows = (np.abs(high - levels * own) <= max(tolerance, 1e-6)) | (high < own)
    on_whole_rows &= levels <= len(rows)
    mirrored = len(np.unique(UPRIGHT[rows.orientation])) > 1
    supply = np.zeros(len(cells), bool)
    for k in range(1, int(levels[on_whole_rows].max(initial=1))):
        part = np.flatnonzero((levels > k) & on_whole_rows & (row >= 0))
        above, _ = index.find(
            bottom[part] + k * own[part], left[part], right[part], usable, of_cell[part]
        )
        missing = above < 0
        missing |= np.abs(rows.height[np.maximum(above, 0)] - own[part]) > tolerance
        on_whole_rows[part[missing]] = False
        if mirrored:
            expected = UPRIGHT[rows.orientation[row[part]]] * (-1) ** k
            supply[part] |= UPRIGHT[rows.orientation[np.maximum(above, 0)]] != expected
    movable = ~design.fixed[cells]
    for i in cells[movable & (row < 0)].tolist():
        verdict.add("off_row", f"cell {names[i]!r} is not on a row", i)
    for i in cells[movable & (row >= 0) & ~on_whole_rows].tolist():
        verdict.add("off_row", f"cell {names[i]!r} is not on whole rows one above the other", i)
    for i in cells[movable & (row >= 0) & ~on_site].tolist():
        verdict.add("off_site", f"cell {names[i]!r} is not on a site", i)
    # Orientation: that of the row; with an even number of rows only the rail below matters.
    free = np.zeros(len(rows), bool) if rows.any_orientation is None else rows.any_orientation
    turn, of_row = design.orientation[cells], rows.orientation[np.maximum(row, 0)]
    wrong = (turn != of_row) & (turn != MIRRORED[of_row])
    even = (levels % 2 == 0) & on_whole_rows
    if even.any():
        rail = rules.rail[cells] if rules is not None else np.ones(len(cells), np.int8)
        wrong = np.where(even, (turn >= 4) | (UPRIGHT[of_row] != rail), wrong)
    wrong = (wrong | supply) & on_whole_rows & (row >= 0) & ~free[np.maximum(row, 0)]
    for k in np.flatnonzero(wrong).tolist():
        name, needed = names[int(cells[k])], ORIENTATIONS[of_row[k]]
        line = f"cell {name!r} is turned {ORIENTATIONS[turn[k]]} in a row {needed}"
        if even[k] or supply[k]:
            line = (f"cell {name!r} of {levels[k]} rows' height has the wrong supply below: "
                    f"it starts in a row {needed}")  # fmt: skip
        verdict.add("turned", line, int(cells[k]))


def _usable(design: Design, cells: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([class, rows] the rows that a class of cells may use, class of each cell).

    Those of the cell's own site, if there are any; else all that are not higher than it.
    """
    rows, rules = design.rows, design.constraints
    assert rows is not None
    site = np.full(len(cells), -1) if rules is None else rules.site[cells]
    sorts, sort = np.unique(np.stack([np.round(high, 6), site], 1), axis=0, return_inverse=True)
    usable = rows.height[None] <= sorts[:, :1] + TOLERANCE
    if rules is not None and rows.sites is not None:
        for k, s in enumerate(sorts[:, 1].astype(int).tolist()):
            of_site = np.array([s >= 0 and name == rules.sites[s] for name in rows.sites])
            if of_site.any():
                usable[k] = of_site
    return usable, sort.ravel()
