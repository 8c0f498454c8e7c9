"""Is a placement legal? An independent checker that shares no code with the placers.

Legal means, for hard macros and cells: no two overlap (by more than `TOLERANCE` of a unit in both
directions); all lie inside the die, also what is fixed; fixed nodes are where the reference has
them; a cell stands on a row, inside it, on its site grid and turned as the row is (but for a mirror
in y), a cell of several rows' height on as many rows with the right supply below; and what the
files demand holds: SYMMETRY, blockages, halos, regions (see `constraints`). Soft macros (clusters)
and ports may stand anywhere.

Every object that breaks a rule is named, a line for each; what is remarkable but allowed (a fixed
block inside a blockage, a member outside its GUIDE) is a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from sciml.placement.constraints import (
    FENCE,
    GUIDE,
    HARD,
    MIRRORED,
    PARTIAL,
    UPRIGHT,
    inside_polygon,
    turned_halo,
)
from sciml.placement.design import CELL, MACRO, ORIENTATIONS, Design

TOLERANCE = 1e-6
MOST_PAIRS = 100_000
"""Pairs that are named; of more, every node that overlaps something is named once."""

RULES = {
    "unplaced": "nodes without a place",
    "overlaps": "pairs of nodes that overlap",
    "outside": "nodes outside the die",
    "moved": "fixed nodes that were moved",
    "off_row": "cells that are not on a row",
    "off_site": "cells that are off their site",
    "turned": "nodes turned as their row or SYMMETRY does not allow",
    "blocked": "nodes in placement blockages, and PARTIAL ones that are too full",
    "halos": "nodes in the halo of another",
    "regions": "members outside their region, strangers inside a fence",
}


@dataclass
class Verdict:
    """What a check found: counts by rule (see `RULES`), and a sentence for every finding."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nodes: list[tuple[int, ...]] = field(default_factory=list)
    """Of every problem, the indices of the nodes that it is about."""
    unplaced: int = 0
    overlaps: int = 0
    overlap_area: float = 0.0
    outside: int = 0
    moved: int = 0
    off_row: int = 0
    off_site: int = 0
    turned: int = 0
    blocked: int = 0
    halos: int = 0
    regions: int = 0

    @property
    def legal(self) -> bool:
        return not any(getattr(self, rule) for rule in RULES)

    def as_dict(self) -> dict[str, Any]:
        counts = {rule: getattr(self, rule) for rule in RULES}
        return {"legal": self.legal, **counts, "overlap_area": self.overlap_area,
                "problems": self.problems, "notes": self.notes}  # fmt: skip

    def add(self, rule: str, line: str, *nodes: int) -> None:
        setattr(self, rule, getattr(self, rule) + 1)
        self.say(line, *nodes)

    def say(self, line: str, *nodes: int) -> None:
        self.problems.append(line)
        self.nodes.append(nodes)

    def involving(self, chosen: np.ndarray, but: np.ndarray) -> list[str]:
        """The problems that a `chosen` node has a part in and no node of `but` (masks)."""
        return [
            line
            for line, nodes in zip(self.problems, self.nodes, strict=True)
            if any(chosen[i] for i in nodes) and not any(but[i] for i in nodes)
        ]


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


@njit(cache=True)
def _overlapped(
    x0: Any, x1: Any, y0: Any, y1: Any, order: Any, start: Any, item: Any, tolerance: float,
    furthest: Any, found: Any,
) -> None:  # fmt: skip
    """found[i]: rectangle i overlaps another; both ways from each, to the first hit."""
    for b in range(start.shape[0] - 1):
        reach = -np.inf
        for p in range(start[b], start[b + 1]):
            reach = max(reach, x1[order[item[p]]])
            furthest[p] = reach
        for p in range(start[b], start[b + 1]):
            i = order[item[p]]
            if found[i]:
                continue
            for q in range(p + 1, start[b + 1]):
                j = order[item[q]]
                if x0[j] >= x1[i] - tolerance:
                    break
                if min(y1[i], y1[j]) - max(y0[i], y0[j]) > tolerance and (
                    min(x1[i], x1[j]) - x0[j] > tolerance
                ):
                    found[i] = found[j] = True
                    break
            q = p - 1
            while not found[i] and q >= start[b] and furthest[q] > x0[i] + tolerance:
                j = order[item[q]]
                if min(y1[i], y1[j]) - max(y0[i], y0[j]) > tolerance and (
                    min(x1[i], x1[j]) - x0[i] > tolerance
                ):
                    found[i] = found[j] = True
                q -= 1


def overlapping(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray, strip: float
) -> tuple[int, float, np.ndarray, np.ndarray]:
    """(number of overlapping pairs, their area, up to `MOST_PAIRS` of them [n, 2], who overlaps).

    Counting ends at a million pairs; the last [N] bool is complete all the same.
    """
    out = np.zeros((1000, 2), np.int64)
    found = np.zeros(len(x), bool)
    if len(x) < 2:
        return 0, 0.0, out[:0], found
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
    args = (x0, x1, y0, y1, order, start, item[by_strip])
    n, area = _pairs(*args, low, TOLERANCE, out)
    if n > len(out):
        out = np.zeros((min(n, MOST_PAIRS), 2), np.int64)
        n, area = _pairs(*args, low, TOLERANCE, out)
    if n > len(out):
        _overlapped(*args, TOLERANCE, np.empty(len(item)), found)
    found[out[: min(n, len(out))].ravel()] = True
    return int(n), float(area), out[: min(n, len(out))], found


def check(design: Design, reference: Design | None = None, tolerance: float = TOLERANCE) -> Verdict:
    """Check a placement; `reference` says where fixed nodes must be."""
    verdict = Verdict()
    names = design.names
    hard = (design.kind == MACRO) | (design.kind == CELL)
    if design.constraints is not None:
        for i in np.flatnonzero(hard & design.constraints.unplaced).tolist():
            verdict.add("unplaced", f"{names[i]!r} is not placed", i)
        hard &= ~design.constraints.unplaced
    solid = np.flatnonzero(hard & (design.width * design.height > 0))
    width, height = design.size()
    x, y = design.x, design.y
    strip = float(design.rows.height.min()) if design.rows and len(design.rows) else 0.0
    count, area, pairs, found = overlapping(x[solid], y[solid], width[solid], height[solid], strip)
    verdict.overlaps, verdict.overlap_area = count, area
    for a, b in solid[pairs].tolist():
        verdict.say(f"{names[a]!r} and {names[b]!r} overlap", a, b)
    if count > len(pairs):
        named = np.unique(pairs)
        rest = np.setdiff1d(np.flatnonzero(found), named)
        for i in solid[rest].tolist():
            verdict.say(f"{names[i]!r} overlaps others", i)
        verdict.say(f"... at least {count:,} overlapping pairs in all")

    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
    canvas, rules = design.canvas, design.constraints
    die = np.array([[canvas.x0, canvas.y0, canvas.x1, canvas.y1]])
    if rules is not None and rules.die is not None:
        die = inside_polygon(rules.die)
    what = "canvas" if rules is None else "die"
    for i in solid[~_inside(boxes[solid], die, tolerance)].tolist():
        fixed = " (fixed)" if design.fixed[i] else ""
        verdict.add("outside", f"{names[i]!r} is outside the {what}{fixed}", i)
    if reference is not None:
        fixed_away = reference.fixed & (
            (np.abs(x - reference.x) > tolerance)
            | (np.abs(y - reference.y) > tolerance)
            | (design.orientation != reference.orientation)
        )
        for i in np.flatnonzero(fixed_away).tolist():
            verdict.add("moved", f"fixed node {names[i]!r} was moved", i)
    if design.rows is not None and len(design.rows):
        _check_rows(design, solid[design.kind[solid] == CELL], verdict, tolerance)
    if rules is not None:
        _check_turns(design, solid, verdict)
        _check_blockages(design, solid, boxes, verdict, tolerance)
        _check_halos(design, solid, boxes, verdict, tolerance)
        _check_regions(design, solid, boxes, verdict, tolerance)
    return verdict


# -- rectangles ----------------------------------------------------------------------------
def _inside(boxes: np.ndarray, union: np.ndarray, tolerance: float) -> np.ndarray:
    """Which boxes [N, 4] lie in a union of boxes [K, 4]."""
    t = tolerance
    inside = np.zeros(len(boxes), bool)
    for x0, y0, x1, y1 in union:
        inside |= (
            (boxes[:, 0] >= x0 - t) & (boxes[:, 1] >= y0 - t)
            & (boxes[:, 2] <= x1 + t) & (boxes[:, 3] <= y1 + t)
        )  # fmt: skip
    if len(union) > 1:
        for i in np.flatnonzero(~inside):
            left = [tuple(boxes[i])]
            for piece in union:
                left = [part for box in left for part in _minus(box, piece, t)]
            inside[i] = not left
    return inside


def _minus(box: tuple[float, ...], other: np.ndarray, t: float) -> list[tuple[float, ...]]:
    """Up to four boxes: what is left of one outside another, slivers thinner than t dropped."""
    x0, y0, x1, y1 = box
    a, b, c, d = other
    if a >= x1 or c <= x0 or b >= y1 or d <= y0:
        return [box]
    parts = [(x0, y0, min(a, x1), y1), (max(c, x0), y0, x1, y1)]
    low, high = max(x0, a), min(x1, c)
    parts += [(low, y0, high, min(b, y1)), (low, max(d, y0), high, y1)]
    return [p for p in parts if p[2] - p[0] > t and p[3] - p[1] > t]


def _touching(boxes: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices of the boxes [N, 4] that overlap one box."""
    x0, y0, x1, y1 = other
    return np.flatnonzero(
        (np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0) > tolerance)
        & (np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0) > tolerance)
    )


def _shown(box: np.ndarray) -> str:
    return "({:.9g} {:.9g}) ({:.9g} {:.9g})".format(*box)


# -- rows ----------------------------------------------------------------------------------
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

        usable[of_cell] [n, rows]: which rows may serve whom. One on whose sites the cell is comes
        first.
        """
        t = self.tolerance
        found, on_site = np.full(len(bottom), -1), np.zeros(len(bottom), bool)
        first = np.searchsorted(self.y, bottom - t)
        for k in range(self.most + 1):
            r = np.minimum(first + k, len(self.y) - 1)
            fits = (np.abs(self.y[r] - bottom) <= t) & (left >= self.x0[r] - t)
            fits &= right <= self.x1[r] + t
            fits &= usable[of_cell, self.order[r]]
            steps = (left - self.x0[r]) / self.site[r]
            aligned = fits & (np.abs(steps - np.round(steps)) * self.site[r] <= max(t, 1e-6))
            found = np.where(aligned & ~on_site | fits & (found < 0), self.order[r], found)
            on_site |= aligned
        return found, on_site


def _check_rows(design: Design, cells: np.ndarray, verdict: Verdict, tolerance: float) -> None:
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
    # A cell of k rows' height needs the rows above it, too.
    own = rows.height[np.maximum(row, 0)]
    levels = np.where(row >= 0, np.maximum(np.round(high / own), 1), 1).astype(np.int64)
    whole = (np.abs(high - levels * own) <= max(tolerance, 1e-6)) | (high < own)
    whole &= levels <= len(rows)
    mirrored = len(np.unique(UPRIGHT[rows.orientation])) > 1
    supply = np.zeros(len(cells), bool)
    for k in range(1, int(levels[whole].max(initial=1))):
        part = np.flatnonzero((levels > k) & whole & (row >= 0))
        above, _ = index.find(
            bottom[part] + k * own[part], left[part], right[part], usable, of_cell[part]
        )
        lost = above < 0
        lost |= np.abs(rows.height[np.maximum(above, 0)] - own[part]) > tolerance
        whole[part[lost]] = False
        if mirrored:
            expected = UPRIGHT[rows.orientation[row[part]]] * (-1) ** k
            supply[part] |= UPRIGHT[rows.orientation[np.maximum(above, 0)]] != expected
    movable = ~design.fixed[cells]
    for i in cells[movable & (row < 0)].tolist():
        verdict.add("off_row", f"cell {names[i]!r} is not on a row", i)
    for i in cells[movable & (row >= 0) & ~whole].tolist():
        verdict.add("off_row", f"cell {names[i]!r} is not on whole rows one above the other", i)
    for i in cells[movable & (row >= 0) & ~on_site].tolist():
        verdict.add("off_site", f"cell {names[i]!r} is not on a site", i)
    # Orientation: as the row's; an even number of rows only cares about the supply below.
    free = np.zeros(len(rows), bool) if rows.any_turn is None else rows.any_turn
    turn, of_row = design.orientation[cells], rows.orientation[np.maximum(row, 0)]
    wrong = (turn != of_row) & (turn != MIRRORED[of_row])
    even = (levels % 2 == 0) & whole
    if even.any():
        rail = rules.rail[cells] if rules is not None else np.ones(len(cells), np.int8)
        wrong = np.where(even, (turn >= 4) | (UPRIGHT[of_row] != rail), wrong)
    wrong = (wrong | supply) & whole & (row >= 0) & ~free[np.maximum(row, 0)]
    for k in np.flatnonzero(wrong).tolist():
        name, needed = names[int(cells[k])], ORIENTATIONS[of_row[k]]
        line = f"cell {name!r} is turned {ORIENTATIONS[turn[k]]} in a row {needed}"
        if even[k] or supply[k]:
            line = (f"cell {name!r} of {levels[k]} rows' height has the wrong supply below: "
                    f"it starts in a row {needed}")  # fmt: skip
        verdict.add("turned", line, int(cells[k]))


def _usable(design: Design, cells: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([sort, rows] which rows serve a sort of cell, sort of each cell).

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


# -- rules of the files --------------------------------------------------------------------
def _check_turns(design: Design, solid: np.ndarray, verdict: Verdict) -> None:
    rules = design.constraints
    assert rules is not None
    for i in solid[(rules.allowed[solid] >> design.orientation[solid]) & 1 == 0].tolist():
        turned = ORIENTATIONS[design.orientation[i]]
        can = [o for k, o in enumerate(ORIENTATIONS) if rules.allowed[i] >> k & 1]
        verdict.add("turned", f"{design.names[i]!r} is turned {turned}: its SYMMETRY allows "
                              f"{' '.join(can)}", i)  # fmt: skip


def _check_blockages(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names, blocks = design.names, rules.blockages
    for k in range(len(blocks)):
        box = blocks.boxes[k]
        inside = solid[_touching(boxes[solid], box, tolerance)]
        inside = inside[inside != blocks.owner[k]]
        if blocks.kind[k] == PARTIAL:
            cells = inside[(design.kind[inside] == CELL) & ~rules.late[inside]]
            if not len(cells):
                continue
            part = boxes[cells]
            w = np.minimum(part[:, 2], box[2]) - np.maximum(part[:, 0], box[0])
            h = np.minimum(part[:, 3], box[3]) - np.maximum(part[:, 1], box[1])
            room = (box[2] - box[0]) * (box[3] - box[1])
            if (w * h).sum() > blocks.density[k] * room * (1 + 1e-9) + tolerance:
                verdict.add("blocked", f"PARTIAL placement blockage {_shown(box)} is "
                            f"{(w * h).sum() / room:.4g} full, {blocks.density[k]:g} is allowed: "
                            + ", ".join(repr(names[int(i)]) for i in cells),
                            *cells.tolist())  # fmt: skip
            continue
        soft = "" if blocks.kind[k] == HARD else "SOFT "
        for i in inside.tolist():
            if design.fixed[i]:
                verdict.notes.append(f"fixed {names[i]!r} is in the {soft}placement blockage "
                                     f"{_shown(box)}")  # fmt: skip
            elif not (soft and rules.late[i]):
                verdict.add("blocked", f"{names[i]!r} is in the {soft}placement blockage "
                                       f"{_shown(box)}", i)  # fmt: skip


def _check_halos(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names = design.names
    around = turned_halo(rules.halo, design.orientation)
    for i in solid[rules.halo[solid].any(1)].tolist():
        wide = boxes[i] + around[i] * [-1, -1, 1, 1]
        for j in solid[_touching(boxes[solid], wide, tolerance)].tolist():
            if j == i or (rules.halo_soft[i] and rules.late[j]):
                continue
            # Two blocks that stand in each other's halos are one violation.
            other = boxes[j] + around[j] * [-1, -1, 1, 1]
            both = rules.halo[j].any() and not (rules.halo_soft[j] and rules.late[i])
            if both and j < i and len(_touching(boxes[i : i + 1], other, tolerance)):
                continue
            verdict.add("halos", f"{names[j]!r} is in the halo of {names[i]!r}", j, i)


def _check_regions(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names = design.names
    for k, region in enumerate(rules.regions):
        members = solid[rules.region[solid] == k]
        lost = members[~_inside(boxes[members], region.boxes, tolerance)]
        for i in lost.tolist():
            if region.kind == GUIDE:
                verdict.notes.append(f"{names[i]!r} is outside its GUIDE region {region.name!r}")
            else:
                verdict.add("regions", f"{names[i]!r} is outside its region {region.name!r}", i)
        if region.kind != FENCE:
            continue
        others = solid[rules.region[solid] != k]
        strangers = {
            int(i) for box in region.boxes for i in others[_touching(boxes[others], box, tolerance)]
        }
        for i in sorted(strangers):
            verdict.add("regions", f"{names[i]!r} is no member of the FENCE region "
                                   f"{region.name!r} that it is in", i)  # fmt: skip
