"""Detailed placement: every part is exact in what it claims, and nothing becomes illegal."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

from sciml.placement.classical import detailed
from sciml.placement.classical.detailed_matching import assign, match_cells, matching_bins
from sciml.placement.classical.detailed_moves import move_cells
from sciml.placement.classical.detailed_reorder import reorder_cells
from sciml.placement.classical.detailed_rows import best_positions, isotonic
from sciml.placement.classical.detailed_slots import slots_of
from sciml.placement.classical.detailed_wire import measure, places_of, wire_length, wires_of
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.classical.segments import free_segments, groups, suits
from sciml.placement.constraints import UPRIGHT
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.design import CELL
from sciml.placement.generate import standard_cells
from sciml.placement.legality import check


@pytest.fixture(scope="module")
def legal():
    """300 cells at random legal places; rows upright and flipped in turn, weights, pin offsets."""
    design = standard_cells(300, seed=4)
    rng = np.random.default_rng(1)
    cells = design.kind == CELL
    design.x[cells] = rng.uniform(0, design.canvas.width, cells.sum())
    design.y[cells] = rng.uniform(0, design.canvas.height, cells.sum())
    rows = design.rows
    assert rows is not None
    turned = replace(rows, orientation=np.where(np.arange(len(rows)) % 2, 3, 0).astype(np.int8))
    half = 0.4 * design.width[design.pin_node]
    design = replace(
        design, rows=turned, net_weight=rng.uniform(0.5, 3.0, design.nets),
        pin_dx=np.round(rng.uniform(-1, 1, design.pins) * half, 1),
        pin_dy=np.where(cells[design.pin_node], rng.uniform(-3, 3, design.pins), 0.0),
    )  # fmt: skip
    return legalise_cells(design)


def state(design):
    group = groups(design)[-1]
    absent = np.zeros(design.nodes, bool)
    absent[group.cells] = True
    free = free_segments(design, group.rows, absent)
    up = np.ones(design.nodes)
    up[group.cells] = UPRIGHT[design.orientation[group.cells]]
    mirror = detailed.IN_Y[design.orientation[group.cells]]
    classes = detailed._sides(*suits(design, group, free), mirror, (up[group.cells] < 0) * 1)
    slots = slots_of(design, group.cells, free, *classes)
    wires = wires_of(design, up)
    return wires, places_of(design, wires, up, len(slots.new_site)), slots, group.cells


def weighted(design):
    return float((net_hpwl(design) * design.net_weight).sum())


def test_every_part_gains_what_it_says_and_the_kept_boxes_stay_true(legal):
    wires, places, slots, cells = state(legal)
    assert wire_length(wires, places) == pytest.approx(weighted(legal), rel=1e-12)
    parts = {
        "rows": lambda: best_positions(wires, places, slots),
        "moves": lambda: move_cells(wires, places, slots, cells, 2, 3),
        "matching": lambda: match_cells(
            wires, places, slots, *matching_bins(slots, cells, places.x, places.y, 60.0, 0.0)
        ),
        "reordering": lambda: reorder_cells(wires, places, slots),
    }
    for _ in range(3):
        for name, part in parts.items():
            before = wire_length(wires, places)
            gain, moves = part()
            after = wire_length(wires, places)
            assert before - after == pytest.approx(gain, rel=1e-9, abs=1e-7), name
            assert gain > 0 or moves == 0, name
            kept = places.box.copy()
            measure(wires, places)
            np.testing.assert_allclose(kept, places.box, atol=1e-7, err_msg=name)
            _stand_in_order(slots, places, cells)


def _stand_in_order(slots, places, cells):
    """No overlap, sites and slots agree, every cell stands in one slot."""
    seen = []
    for s, n in enumerate(slots.counts.tolist()):
        members = slots.slots[slots.first[s] : slots.first[s] + n]
        seen += members.tolist()
        ends = slots.site[members] + slots.width[members]
        assert (slots.site[members][1:] >= ends[:-1]).all()
        assert n == 0 or (slots.site[members[0]] >= 0 and ends[-1] <= slots.sites[s])
        assert slots.used[s] == slots.width[members].sum() <= slots.capacity[s]
        assert (slots.segment[members] == s).all()
        left = slots.x[s] + slots.site[members] * slots.pitch
        np.testing.assert_allclose(left + slots.half[members], places.x[members])
    assert sorted(seen) == sorted(cells.tolist())


def test_detailed_placement_is_legal_and_much_shorter(legal):
    better = detailed.improve_cells(legal, 5.0)
    assert check(better, legal).legal, check(better, legal).problems
    assert weighted(better) < 0.6 * weighted(legal)
    turned = UPRIGHT[better.orientation] != UPRIGHT[legal.orientation]
    assert turned[legal.kind == CELL].any()  # cells have the orientation of their new rows


def test_positions_in_a_row_are_the_best_of_all(legal):
    """Four cells of one row, every placement in their order tried."""
    wires, places, slots, _ = state(legal)
    while best_positions(wires, places, slots)[0] > 1e-7:  # rows change each other
        pass
    s = int(np.argmax((slots.counts >= 4) & (slots.counts * 6 < slots.sites)))
    s = int(np.argmax(slots.counts)) if slots.counts[s] < 4 else s
    members = slots.slots[slots.first[s] : slots.first[s] + slots.counts[s]]
    now = wire_length(wires, places)
    start = slots.site[members].copy()
    least = np.inf
    for k in range(len(members) - 2):
        for move in itertools.product((-2, -1, 0, 1, 2), repeat=3):
            site = start.copy()
            site[k : k + 3] += move
            if site[0] < 0 or site[-1] + slots.width[members[-1]] > slots.sites[s]:
                continue
            if (site[1:] < site[:-1] + slots.width[members][:-1]).any():
                continue
            places.x[members] = slots.x[s] + site * slots.pitch + slots.half[members]
            least = min(least, wire_length(wires, places))
    assert least >= now - 1e-7


def test_isotonic_positions_equal_dynamic_programming():
    rng = np.random.default_rng(0)
    for _ in range(200):
        cells, most = int(rng.integers(1, 6)), int(rng.integers(0, 12))
        bends = rng.integers(0, 4, cells)
        start = np.concatenate([[0], np.cumsum(bends)])
        position = np.round(rng.uniform(-3, 15, start[-1]), 1)
        slope = rng.integers(1, 4, start[-1]).astype(float)
        first = -rng.integers(0, 5, cells).astype(float)
        grid = np.arange(most + 1)
        cost = np.array([
            first[k] * grid + sum(
                slope[b] * np.maximum(grid - position[b], 0) for b in range(start[k], start[k + 1])
            ) for k in range(cells)
        ])  # fmt: skip
        best = cost[0]
        for k in range(1, cells):
            best = np.minimum.accumulate(best) + cost[k]
        out = np.zeros(cells)
        isotonic(start, position, slope, first, rng.integers(0, most + 1, cells), most, out)
        assert (np.diff(out) >= 0).all() and out.min() >= 0 and out.max() <= most
        chosen = out.astype(int)
        assert (chosen == out).all()
        assert cost[np.arange(cells), chosen].sum() == pytest.approx(best.min(), abs=1e-9)


def test_assignment_equals_scipys():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        cost = rng.integers(-9, 9, (40, 40)).astype(float)
        place = np.zeros(40, np.int64)
        assign(cost, n, place)
        rows, columns = scipy.optimize.linear_sum_assignment(cost[:n, :n])
        assert sorted(place[:n]) == list(range(n))
        assert cost[np.arange(n), place[:n]].sum() == cost[rows, columns].sum()
