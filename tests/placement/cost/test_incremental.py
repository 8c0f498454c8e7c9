"""Moves give the cost of a full evaluation, and refused moves leave nothing behind."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.placement.cost.incremental import Incremental
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.routing_kernels import reroute, route
from sciml.placement.generate import NetlistConfig, netlist


@pytest.mark.parametrize("smooth", [0, 2])
@pytest.mark.parametrize("robust", [False, True])
def test_moves_equal_full_evaluation(small, smooth, robust):
    design = replace(small, grid=replace(small.grid, smooth=smooth))
    moves = Incremental(design, robust)
    rng = np.random.default_rng(1)
    movable = np.flatnonzero(~design.fixed)
    done = 0
    for k in range(400):
        i, j = rng.choice(movable, 2, replace=False)
        before = moves.proxy
        limit = before * rng.choice([0.999, 1.0, 1.01, 100.0])
        if k % 3 == 0:
            now = moves.swap(i, j, limit)
        else:
            x = rng.uniform(0.3, 0.7) * design.canvas.width
            y = rng.uniform(0.3, 0.7) * design.canvas.height
            now = moves.move(i, x, y, int(rng.integers(8)) if i < 8 else None, limit)
        assert now <= max(limit, before)
        done += now != before
        exact = Evaluator(moves.design(), robust).terms()
        if np.isfinite(exact[3]):
            assert abs(exact[3] - now) < 1e-12
    assert done > 100


def test_a_refused_move_leaves_every_array_as_it_was(small):
    moves = Incremental(small)
    state = moves.state
    keep = {k: getattr(state, k).copy() for k in state._fields}
    rng = np.random.default_rng(2)
    for _ in range(100):
        i, j = rng.choice(np.flatnonzero(~small.fixed), 2, replace=False)
        x, y = rng.uniform(0.3, 0.7, 2) * [small.canvas.width, small.canvas.height]
        moves.move(i, x, y, limit=-1.0)
        moves.swap(i, j, limit=-1.0)
    for key in ("x", "y", "orientation", "pin_x", "pin_y", "pin_cell", "pin_row", "net_length",
                "density", "macro_h", "macro_v", "diff_h", "diff_v", "cost"):  # fmt: skip
        assert np.array_equal(getattr(state, key), keep[key]), key


def test_a_pin_outside_the_grid_is_refused(small):
    moves = Incremental(small)
    before = moves.proxy
    assert moves.move(0, -1e6, 0.0) == before
    assert moves.design().x[0] == small.x[0]


@pytest.mark.parametrize("grid", [(3, 2), (4, 4), (11, 9)])
def test_a_ray_at_a_time_equals_whole_nets(grid):
    """Few cells, so that pins of large nets share them; all sizes of nets, their first pin too."""
    design = netlist(NetlistConfig(macros=12, clusters=30, ports=10, degree=6.0), 4)
    design = replace(design, grid=replace(design.grid, columns=grid[0], rows=grid[1]))
    evaluator = Evaluator(design)
    p, state = evaluator.problem, evaluator.load(design)
    assert np.diff(p.net_start).max() >= 8 and np.diff(p.net_start).min() == 2
    rng = np.random.default_rng(3)
    by_rays = 0
    for pin in rng.integers(0, len(p.pin_net), 400):
        cell = int(rng.integers(0, p.columns * p.rows))
        if cell == state.pin_cell[pin]:
            continue
        clock = int(state.clock[0])  # only whole nets are looked through for equal cells
        reroute(p, state, int(pin), cell, cell // p.columns)
        large = np.diff(p.net_start)[p.pin_net[pin]] > 2
        by_rays += large and int(state.clock[0]) == clock
        state_h, state_v = state.diff_h.copy(), state.diff_v.copy()
        state.diff_h[:], state.diff_v[:] = 0, 0
        for net in range(len(p.net_weight)):
            route(p, state, net, 1.0)
        # what is beyond the last cell of an interval does not count
        np.testing.assert_allclose(state_h.cumsum(0)[:-1], state.diff_h.cumsum(0)[:-1], atol=1e-9)
        np.testing.assert_allclose(state_v.cumsum(0)[:-1], state.diff_v.cumsum(0)[:-1], atol=1e-9)
    assert by_rays > 10
