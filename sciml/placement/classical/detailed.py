"""Detailed placement of legal standard cells: wires get shorter, and the placement stays legal.

Passes follow each other while they gain: best positions in every row (`detailed_rows`), moves and
swaps into the optimal region (`detailed_moves`), exchanges of independent cells
(`detailed_matching`), and orders of neighbours (`detailed_reorder`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sciml.placement.classical.detailed_matching import match_cells, matching_bins
from sciml.placement.classical.detailed_moves import move_cells
from sciml.placement.classical.detailed_reorder import reorder_cells
from sciml.placement.classical.detailed_rows import best_positions
from sciml.placement.classical.detailed_slots import Slots, slots_of
from sciml.placement.classical.detailed_wire import (
    Places,
    Wires,
    places_of,
    wire_length,
    wires_of,
)
from sciml.placement.classical.segments import free_segments, groups, suits
from sciml.placement.constraints import UPRIGHT
from sciml.placement.design import CELL, Design

IN_Y = np.array([0, 1, 1, 0, 0, 1, 1, 0])
"""1: this orientation is mirrored in y (left and right are exchanged)."""
TURN = np.array([[0, 3], [2, 1]])
"""The orientation by (mirrored in y, flipped in x)."""
BINS = (6.0, 12.0, 24.0)
"""Sides of the squares that cells are exchanged in [rows], one after the other."""
REACH, NEARBY = 2, 3
"""Rows above and below, and cells to either side, that a cell is tried at in its region."""


def improve_cells(
    design: Design, seconds: float = 20.0, passes: int = 40, least: float = 2e-4,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Design:  # fmt: skip
    """Shorten a legal placement without making it illegal, for at most `seconds` of CPU time.

    Single-row cells move; multi-row cells stay. Nets count with their weights.

    Args:
        passes: rounds of all moves, at most.
        least: stop when a round shortens the wires by less than this share.
        report: called after each part of a round with `hpwl` (weighted) and `cpu_seconds` so far.
    """
    movable = (design.kind == CELL) & ~design.fixed
    if design.rows is None or movable.sum() < 2:
        return design
    group = groups(design)[-1]
    cells = group.cells
    if group.levels > 1 or len(cells) < 2:
        return design
    began = time.process_time()
    absent = np.zeros(design.nodes, bool)
    absent[cells] = True
    free = free_segments(design, group.rows, absent)
    cell_class, fits, turns = suits(design, group, free)
    up = np.ones(design.nodes)
    up[cells] = UPRIGHT[design.orientation[cells]]
    mirror, head = IN_Y[design.orientation[cells]], (up[cells] < 0).astype(np.int64)
    cell_class, side = _sides(cell_class, fits, turns, mirror, head)
    slots = slots_of(design, cells, free, cell_class, side)
    wires = wires_of(design, up)
    places = places_of(design, wires, up, len(slots.new_site))
    total = wire_length(wires, places)
    rng = np.random.default_rng(0)

    def spent() -> float:
        return time.process_time() - began

    for k in range(passes):
        before = total
        for part in _parts(wires, places, slots, cells, k, rng):
            total -= part()[0]
            if report is not None:
                report({"hpwl": total, "cpu_seconds": spent()})
            if spent() > seconds:
                break
        if spent() > seconds or before - total < least * total:
            break
        slots = _spread(slots)
    orientation = design.orientation.copy()
    upright = orientation[cells] < 4
    orientation[cells] = np.where(
        upright, TURN[mirror, (places.up[cells] < 0).astype(int)], orientation[cells]
    )
    return design.at(places.x, places.y, orientation)


def _parts(
    wires: Wires, places: Places, slots: Slots, cells: np.ndarray, k: int,
    rng: np.random.Generator,
) -> list[Callable[[], tuple[float, int]]]:  # fmt: skip
    """The parts of round k; each returns (gain, moves)."""
    row = 2 * slots.half_height
    side = BINS[k % len(BINS)] * row
    order = cells[rng.permutation(len(cells))]
    shift = float(rng.uniform(0, side))

    def matching() -> tuple[float, int]:
        chosen, bin_of = matching_bins(slots, cells, places.x, places.y, side, shift)
        return match_cells(wires, places, slots, chosen, bin_of)

    return [
        lambda: best_positions(wires, places, slots),
        lambda: move_cells(wires, places, slots, order, REACH, NEARBY),
        matching,
        lambda: reorder_cells(wires, places, slots),
    ]


def _spread(slots: Slots) -> Slots:
    """Spare room again where insertions have used it up."""
    if (slots.counts < np.diff(slots.first) - 2).all():
        return slots
    room = slots.counts + slots.counts // 4 + 8
    first = np.concatenate([[0], np.cumsum(room)])
    cells = np.full(first[-1], -1, np.int64)
    for s, n in enumerate(slots.counts.tolist()):
        cells[first[s] : first[s] + n] = slots.slots[slots.first[s] : slots.first[s] + n]
    return slots._replace(first=first, slots=cells)


def _sides(
    cell_class: np.ndarray,
    fits: np.ndarray,
    turns: np.ndarray,
    mirror: np.ndarray,
    head: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(class, side): the +-1 of each class of cells in each segment; 0 where it may not go.

    Classes are split by the present orientation: no cell is mirrored in y, and where rows do not
    state an orientation, cells keep theirs.
    """
    parts = []
    for mirrored in (0, 1):
        for on_head in (0, 1):
            up = np.where(turns < 0, 1 - 2 * on_head, UPRIGHT[turns])
            parts.append(np.where(fits & ((turns < 0) | (IN_Y[turns] == mirrored)), up, 0))
    return cell_class + len(fits) * (2 * mirror + head), np.concatenate(parts).astype(np.float64)
