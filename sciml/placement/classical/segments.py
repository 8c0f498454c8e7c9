"""Free segments of rows, and which cells may be placed in each.

A segment is a run of free sites of a row. Fixed objects, macros with their halos, blockages (SOFT
ones too: this is initial placement) and everything off the die occupy sites; regions and PARTIAL
blockages cut rows into segments that are open to some cells only, or may be filled only in part.
Rows that reach past the die end there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError
from sciml.placement.constraints import (
    ANY_ORIENTATION,
    FENCE,
    MIRRORED,
    PARTIAL,
    UPRIGHT,
    keep_out,
    oriented_halo,
)
from sciml.placement.design import CELL, PORT, Design, Rows

EPS = 1e-6


@dataclass(frozen=True)
class Segments:
    """Free parts of rows, sorted by y then x: first site x, number of sites, site pitch, height.

    capacity: sites that may be filled; row: index of the row; area: index into `areas`, the
    regions (-1: none) whose members may be placed here.
    """

    y: np.ndarray
    x: np.ndarray
    sites: np.ndarray
    pitch: np.ndarray
    height: np.ndarray
    capacity: np.ndarray
    row: np.ndarray
    area: np.ndarray
    areas: list[frozenset[int]]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Group:
    """Cells of one height (and site), and the rows that they may start in, of that height."""

    cells: np.ndarray
    rows: Rows
    levels: int
    rail: int


def groups(design: Design) -> list[Group]:
    """The movable cells by height, the highest first.

    Raises:
        InputError: no rows, vertical rows, a height that is no multiple of a row's, or no rows
            with the right power rail for multi-row cells.
    """
    rows, rules = design.rows, design.constraints
    if rows is None or not len(rows):
        raise InputError("has no rows to put cells on", where=design.source,
                         hint="Give --rows FLOORPLAN.def to a .pb.txt; a Bookshelf design needs "
                              "a .scl, a DEF needs ROW")  # fmt: skip
    cells = np.flatnonzero((design.kind == CELL) & ~design.fixed)
    if not len(cells):
        return []
    if (rows.orientation >= 4).any():
        raise InputError("rows on their side (E, W) are not supported", where=design.source)
    site, rail = np.full(len(cells), -1), np.ones(len(cells), np.int8)
    if rules is not None:
        rail = rules.rail[cells]
        known_sites = {name for name in rules.sites if name in (rows.sites or ())}
        names = np.array([name in known_sites for name in rules.sites] + [False])
        site = np.where(names[rules.site[cells]], rules.site[cells], -1)
    keys = np.stack([np.round(design.height[cells], 6), site], 1)
    out = []
    for high, of_site in np.unique(keys, axis=0)[::-1]:
        members = (keys == [high, of_site]).all(1)
        usable = np.ones(len(rows), bool)
        if of_site >= 0 and rules is not None and rows.sites is not None:
            usable = np.array([name == rules.sites[int(of_site)] for name in rows.sites])
        same = usable & (np.abs(rows.height - high) <= EPS)
        base = same if same.any() else usable & (rows.height <= rows.height[usable].min() + EPS)
        own = _part(rows, base)
        levels = int(round(high / float(own.height[0])))
        if not 1 <= levels <= len(rows) or abs(high - levels * own.height[0]) > EPS:
            i = int(cells[members][0])
            raise InputError(
                f"cell {design.names[i]!r} is {design.height[i]:g} high, rows are "
                f"{own.height[0]:g}", where=design.source,
            )  # fmt: skip
        # A cell of an even number of rows may be flipped: only the rail at the bottom counts.
        for bottom in np.unique(rail[members]) if levels % 2 == 0 else [0]:
            part = cells[members & ((rail == bottom) | (bottom == 0))]
            start = _stacked(own, levels, int(bottom)) if levels > 1 else own
            if not len(start):
                raise InputError(
                    f"no {levels} rows one above the other have the supply that cell "
                    f"{design.names[int(part[0])]!r} needs", where=design.source,
                )  # fmt: skip
            out.append(Group(part, start, levels, int(bottom)))
    return out


def _part(rows: Rows, chosen: np.ndarray) -> Rows:
    index = np.flatnonzero(chosen)
    return Rows(
        rows.y[index], rows.height[index], rows.x0[index], rows.x1[index], rows.site[index],
        rows.orientation[index],
        None if rows.any_orientation is None else rows.any_orientation[index],
        None if rows.sites is None else tuple(rows.sites[i] for i in index),
    )  # fmt: skip


def _stacked(rows: Rows, levels: int, rail: int) -> Rows:
    """Rows of `levels` times the height that do not overlap, from the bottom up.

    rail: +1 or -1: they begin in a row that is upright or flipped; 0: in any.
    """
    mirrored = len(np.unique(UPRIGHT[rows.orientation])) > 1
    high = float(rows.height[0])
    stacked_parts, top = [], -np.inf
    y = np.round(rows.y, 6)
    by_level = {value: np.flatnonzero(y == value) for value in np.unique(y)}
    for value, members in by_level.items():
        if value < top - EPS:
            continue
        if rail:
            fitting = UPRIGHT[rows.orientation[members]] == rail
            members = members[
                fitting if rows.any_orientation is None else fitting | rows.any_orientation[members]
            ]
        parts = [(int(i), float(rows.x0[i]), float(rows.x1[i])) for i in members]
        for k in range(1, levels):
            above = by_level.get(np.round(value + k * high, 6), np.empty(0, np.int64))
            if mirrored:
                above_turn = UPRIGHT[rows.orientation[above]]
            parts = [
                (i, max(a, float(rows.x0[j])), min(b, float(rows.x1[j])))
                for i, a, b in parts
                for n, j in enumerate(above)
                if (not mirrored
                    or above_turn[n] == UPRIGHT[rows.orientation[i]] * (-1) ** k)
                and min(b, float(rows.x1[j])) - max(a, float(rows.x0[j])) > EPS
            ]  # fmt: skip
        if parts:
            stacked_parts += parts
            top = value + levels * high
    index = np.array([i for i, _, _ in stacked_parts], np.int64)
    part = _part(rows, np.isin(np.arange(len(rows)), []))
    if not stacked_parts:
        return part
    # From the first complete site of the row at the bottom.
    x0 = np.array([rows.x0[i] + np.ceil((a - rows.x0[i]) / rows.site[i] - EPS) * rows.site[i]
                   for i, a, _ in stacked_parts])  # fmt: skip
    return Rows(
        rows.y[index], rows.height[index] * levels, x0, np.array([b for _, _, b in stacked_parts]),
        rows.site[index], rows.orientation[index],
        None if rows.any_orientation is None else rows.any_orientation[index],
        None if rows.sites is None else tuple(rows.sites[i] for i in index),
    )  # fmt: skip


def free_segments(design: Design, rows: Rows, absent: np.ndarray) -> Segments:
    """Free segments of these rows; all nodes with an area are obstacles, but for `absent` (a mask).

    Raises:
        InputError: a blockage belongs to a component that moves.
    """
    width, height = design.size()
    rules = design.constraints
    solid = np.flatnonzero(~absent & (design.kind != PORT) & (width * height > 0))
    half = np.stack([width, height], 1)[solid] / 2
    centre = np.stack([design.x, design.y], 1)[solid]
    boxes = np.concatenate([centre - half, centre + half], 1)
    partial = np.empty((0, 4))
    density = np.empty(0)
    if rules is not None:
        around = oriented_halo(rules.halo, design.orientation)[solid]
        partial, density = _partial(design, solid[design.kind[solid] == CELL])
        boxes = np.concatenate([boxes + around * [-1, -1, 1, 1], keep_out(design, absent)])
    x0, y0, x1, y1 = boxes.T
    canvas = design.canvas
    areas: list[frozenset[int]] = [frozenset([-1])]
    records: list[tuple[float, float, int, float, float, int, int, int]] = []
    for k in range(len(rows)):
        site, left = float(rows.site[k]), float(rows.x0[k])
        bottom, top = float(rows.y[k]), float(rows.y[k] + rows.height[k])
        total = int(np.floor((min(float(rows.x1[k]), canvas.x1) - left) / site + EPS))
        if bottom < canvas.y0 - EPS or top > canvas.y1 + EPS:
            continue
        hit = np.flatnonzero(
            (y0 < top - EPS) & (y1 > bottom + EPS) & (x1 > left + EPS) & (x0 < rows.x1[k] - EPS)
        )
        next_site = max(int(np.ceil((canvas.x0 - left) / site - EPS)), 0)
        runs = []
        for j in hit[np.argsort(x0[hit], kind="stable")]:
            first = int(np.floor((x0[j] - left) / site + EPS))
            if first > next_site:
                runs.append((next_site, min(first, total)))
            next_site = max(next_site, int(np.ceil((x1[j] - left) / site - EPS)))
        if next_site < total:
            runs.append((next_site, total))
        pieces = [(a, b, b - a, 0) for a, b in runs]
        if rules is not None and (rules.regions or len(partial)):
            pieces = _cut(design, rows, k, runs, partial, density, areas)
        for a, b, capacity, area in pieces:
            records.append((bottom, left + a * site, b - a, site, top - bottom, capacity, k, area))
    records.sort()
    columns = [np.array(c) for c in zip(*records, strict=True)] or [np.empty(0)] * 8
    y, x, sites, pitch, high, capacities, row, area_of = columns
    integers = [c.astype(np.int64) for c in (sites, capacities, row, area_of)]
    return Segments(y, x, integers[0], pitch, high, integers[1], integers[2], integers[3], areas)


def _partial(design: Design, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PARTIAL blockages, and the density that movable cells may still add to each."""
    rules = design.constraints
    assert rules is not None
    blocks = rules.blockages
    use = blocks.kind == PARTIAL
    boxes, density = blocks.boxes[use], blocks.density[use].copy()
    cells = cells[~rules.late[cells]]
    width, height = design.size()
    for k, (x0, y0, x1, y1) in enumerate(boxes):
        w = np.minimum(design.x[cells] + width[cells] / 2, x1)
        w -= np.maximum(design.x[cells] - width[cells] / 2, x0)
        h = np.minimum(design.y[cells] + height[cells] / 2, y1)
        h -= np.maximum(design.y[cells] - height[cells] / 2, y0)
        covered = float((np.maximum(w, 0) * np.maximum(h, 0)).sum())
        density[k] = max(density[k] - covered / max((x1 - x0) * (y1 - y0), 1e-30), 0.0)
    return boxes, density


def _cut(
    design: Design, rows: Rows, k: int, runs: list[tuple[int, int]], partial: np.ndarray,
    density: np.ndarray, areas: list[frozenset[int]],
) -> list[tuple[int, int, int, int]]:  # fmt: skip
    """Sites cut where regions and PARTIAL blockages begin and end: (a, b, capacity, area)."""
    rules = design.constraints
    assert rules is not None
    bottom, top = float(rows.y[k]), float(rows.y[k] + rows.height[k])
    left, site = float(rows.x0[k]), float(rows.site[k])
    parts = [partial, *(r.boxes for r in rules.regions)]
    near = [p[(p[:, 1] < top - EPS) & (p[:, 3] > bottom + EPS)] for p in parts]
    edges = np.unique(np.round((np.concatenate(near)[:, [0, 2]].ravel() - left) / site, 6))
    out: list[tuple[int, int, int, int]] = []
    for begin, end in runs:
        cuts = [begin, *edges[(edges > begin) & (edges < end)].tolist(), end]
        pieces: list[tuple[int, int, float, frozenset[int]]] = []
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):
            a, b = int(np.ceil(low - EPS)), int(np.floor(high + EPS))
            if b <= a:
                continue
            x = left + (low + high) / 2 * site
            over = [p[(p[:, 0] < x) & (p[:, 2] > x)] for p in near]
            fences = {n for n, r in enumerate(rules.regions)
                      if r.kind == FENCE and len(over[n + 1])}  # fmt: skip
            who = {n for n in range(len(rules.regions))
                   if fences <= {n} and _covers(over[n + 1], bottom, top)}  # fmt: skip
            area_here = frozenset(who | (set() if fences else {-1}))
            here_partial = (partial[:, 0] < x) & (partial[:, 2] > x)
            here_partial &= (partial[:, 1] < top - EPS) & (partial[:, 3] > bottom + EPS)
            max_density = float(density[here_partial].min(initial=1.0))
            if (
                pieces
                and pieces[-1][1] == a
                and pieces[-1][2:] == (1.0, area_here)
                and max_density == 1.0
            ):
                a = pieces.pop()[0]
            pieces.append((a, b, max_density, area_here))
        for a, b, max_density, area_here in pieces:
            if area_here not in areas:
                areas.append(area_here)
            capacity = int(np.floor(max_density * (b - a) + 1e-9))
            if area_here and capacity:
                out.append((a, b, capacity, areas.index(area_here)))
    return out


def _covers(boxes: np.ndarray, bottom: float, top: float) -> bool:
    """Do boxes that all lie over one x cover bottom .. top without a gap?"""
    covered_to = bottom
    for _, y0, _, y1 in boxes[np.argsort(boxes[:, 1])] if len(boxes) else []:
        if y0 <= covered_to + EPS:
            covered_to = max(covered_to, y1)
    return bool(len(boxes)) and covered_to >= top - EPS


def suits(
    design: Design, group: Group, free: Segments
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(class of each cell, [class, segment] may it be placed there, with which orientation).

    Cells of a class have the same allowed orientations and region. Orientation -1: it is kept.
    """
    rules, cells = design.constraints, group.cells
    if rules is None:
        allowed, region = np.full(len(cells), ANY_ORIENTATION), np.full(len(cells), -1)
    else:
        allowed, region = rules.allowed[cells].astype(np.int64), rules.required_region()[cells]
    classes, cell_class = np.unique(np.stack([allowed, region], 1), axis=0, return_inverse=True)
    fits = np.zeros((len(classes), len(free)), bool)
    turns = np.full((len(classes), len(free)), -1, np.int64)
    of_row = group.rows.orientation[free.row]
    any_orientation = np.zeros(len(free), bool)
    if group.rows.any_orientation is not None:
        any_orientation = group.rows.any_orientation[free.row]
    for s, (bits, k) in enumerate(classes.tolist()):
        area_here = np.array([k in area for area in free.areas], bool)
        fits[s] = area_here[free.area]
        choices = [of_row, MIRRORED[of_row]]
        if group.levels % 2 == 0:  # may be flipped
            choices += [np.zeros_like(of_row), np.full_like(of_row, 2)]
        for turn in reversed(choices):
            turns[s] = np.where((bits >> turn.astype(np.int64)) & 1 == 1, turn, turns[s])
        fits[s] &= (turns[s] >= 0) | any_orientation
        turns[s] = np.where(any_orientation, -1, turns[s])
    return cell_class.ravel(), fits, turns
