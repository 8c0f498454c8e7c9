"""Global routing: cases that can be solved by hand, and its parts beside other solvers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from sciml.errors import InputError
from sciml.placement.cost.wirelength import net_steiner
from sciml.placement.design import CELL, MACRO, Canvas, Grid, build
from sciml.placement.generate import standard_cells
from sciml.placement.routing.demand import crowding, wire_demand
from sciml.placement.routing.grid import routing_grid
from sciml.placement.routing.kernels import Edges, Price, corners_of, line_cost, pattern, search
from sciml.placement.routing.router import RouterConfig, _maze, route
from sciml.placement.tokens import Names

PRICE = Price(3.0, np.inf)


def circuit(columns, rows, nets, tracks=(1.0, 1.0), macro=None):
    """Nets between global cells (column, row) of one micrometre, pins in their middles."""
    cells = [cell for net in nets for cell in net]
    x = np.array([c[0] for c in cells]) + 0.5
    y = np.array([c[1] for c in cells]) + 0.5
    kind, size = np.full(len(cells), CELL), np.zeros(len(cells))
    width, height = size, size
    if macro is not None:
        x, y, width, height = (
            np.append(a, b) for a, b in zip((x, y, width, height), macro, strict=True)
        )
        kind = np.append(kind, MACRO)
    n = len(kind)
    design = build(
        "hand", name="hand", names=Names.of([f"n{i}" for i in range(n)]), kind=kind, width=width,
        height=height, x=x, y=y, orientation=np.zeros(n), fixed=np.ones(n, bool),
        pin_node=np.arange(len(cells)), pin_dx=np.zeros(len(cells)), pin_dy=np.zeros(len(cells)),
        pin_output=np.zeros(len(cells), bool),
        net_start=np.concatenate([[0], np.cumsum([len(net) for net in nets])]),
        net_weight=np.ones(len(nets)), canvas=Canvas(0, 0, columns, rows),
        grid=Grid(macro_routes_horizontal=57.031, macro_routes_vertical=56.818),
    )  # fmt: skip
    return replace(design, tracks=tracks)


def test_one_net_takes_the_shortest_way():
    routed = route(circuit(6, 5, [[(0, 0), (4, 3)]]), 1.0)
    assert routed.length == 7.0 and routed.overflow == 0 and routed.bends == 1
    assert routed.across.sum() == 4 and routed.up.sum() == 3


def test_pins_of_one_global_cell_need_no_wire():
    assert route(circuit(4, 4, [[(1, 1), (1, 1)], [(2, 2)]]), 1.0).length == 0.0


def test_three_pins_meet_in_a_point():
    routed = route(circuit(6, 6, [[(0, 0), (4, 0), (2, 3)]]), 1.0)
    assert routed.length == 7.0  # 4 along, 3 up from (2, 0): a spanning tree has 4 + 5


def test_two_nets_on_one_track_part():
    """The second takes a detour of two edges, by a neighbouring row."""
    routed = route(circuit(6, 3, [[(0, 1), (5, 1)], [(0, 1), (5, 1)]], (1.0, 2.0)), 1.0)
    assert routed.overflow == 0 and routed.length == 12.0


def test_two_diagonals_take_both_ls():
    routed = route(circuit(5, 5, [[(0, 0), (4, 4)], [(0, 0), (4, 4)]]), 1.0)
    assert routed.overflow == 0 and routed.length == 16.0 and routed.rounds == 0


@pytest.mark.parametrize("wires", [1, 2, 3, 5])
def test_a_cut_that_is_too_narrow_overflows_by_the_rest(wires):
    """Two rows hold one wire each across the middle: the rest is overflow, however it is routed."""
    nets = [[(0, 0), (1, 0)]] * wires
    routed = route(circuit(2, 2, nets), 1.0)
    assert routed.across.sum() >= wires
    assert routed.overflow == max(wires - 2, 0)


def test_a_wall_with_a_gate():
    """A macro across all rows but the highest: three wires go through the gate or over it."""
    macro = (3.5, 2.0, 1.0, 4.0)  # column 3, rows 0 to 3 of 5
    nets = [[(0, 0), (6, 0)]] * 3
    free = route(circuit(7, 5, nets, (2.0, 3.0)), 1.0)
    assert free.overflow == 0 and free.length == 20.0  # two rows: two of 6 and one of 8
    walled = route(circuit(7, 5, nets, (2.0, 3.0), macro), 1.0)
    gate = walled.grid.across[:, 2]
    assert np.allclose(gate, [1, 1, 1, 1, 2])  # the mean of a covered and a free cell
    assert walled.overflow == 0
    blocked = route(circuit(7, 5, nets, (0.5, 3.0), macro), 1.0)
    # Whatever crosses the cut is at least 3 wires on 4 x 0.25 + 0.5 tracks at both edges of the
    # wall, and on 5 x 0.5 at the four others.
    assert blocked.overflow_horizontal >= 2 * 1.5 + 4 * 0.5 - 1e-9


def test_overflow_is_never_below_the_cuts_and_reaches_them():
    """Random two-pin nets on a strip of one row: the demand of each edge is known."""
    rng = np.random.default_rng(3)
    ends = rng.integers(0, 8, (30, 2))
    nets = [[(a, 0), (b, 0)] for a, b in ends]
    routed = route(circuit(8, 2, nets, (3.0, 0.001)), 1.0, RouterConfig(rounds=0))
    cut = [((ends.min(1) <= k) & (ends.max(1) > k)).sum() for k in range(7)]
    assert np.array_equal(routed.across.sum(0), cut)
    assert routed.overflow_horizontal == np.maximum(np.array(cut) - 3.0, 0).sum()


def random_edges(rng, rows, columns):
    def edges(shape):
        return Edges(
            rng.integers(0, 3, shape).astype(float), rng.integers(0, 4, shape).astype(float),
            rng.integers(0, 3, shape) * 0.5,
        )  # fmt: skip

    return edges((rows, columns - 1)), edges((rows - 1, columns))


@pytest.mark.parametrize("seed", range(20))
def test_the_maze_finds_a_way_as_cheap_as_dijkstra(seed):
    rng = np.random.default_rng(seed)
    R, C = rng.integers(2, 9, 2)
    h, v = random_edges(rng, R, C)
    index = np.arange(R * C).reshape(R, C)
    pairs = [(index[r, c], index[r, c + 1], line_cost(h, v, r, c, r, c + 1, PRICE))
             for r in range(R) for c in range(C - 1)]  # fmt: skip
    pairs += [(index[r, c], index[r + 1, c], line_cost(h, v, r, c, r + 1, c, PRICE))
              for r in range(R - 1) for c in range(C)]  # fmt: skip
    a, b, cost = map(np.array, zip(*pairs, strict=True))
    far = dijkstra(coo_matrix((cost, (a, b)), (R * C, R * C)), directed=False)
    maze = _maze((R, C))
    for _ in range(10):
        end = np.array([rng.integers(R), rng.integers(C), rng.integers(R), rng.integers(C)],
                       np.int32)  # fmt: skip
        if (end[:2] == end[2:]).all():
            continue
        search(h, v, maze, end, PRICE, int(R + C))
        out = np.zeros((R * C, 2), np.int32)
        n = corners_of(maze, end, C, out)
        assert out[0].tolist() == end[2:].tolist() and out[n - 1].tolist() == end[:2].tolist()
        assert all((p == q).sum() == 1 for p, q in itertools.pairwise(out[:n]))
        length = sum(line_cost(h, v, *p, *q, PRICE) for p, q in itertools.pairwise(out[:n]))
        assert length == pytest.approx(far[index[end[0], end[1]], index[end[2], end[3]]])


@pytest.mark.parametrize("seed", range(20))
def test_patterns_are_the_cheapest_of_their_kind(seed):
    rng = np.random.default_rng(seed)
    h, v = random_edges(rng, 6, 7)
    r0, c0, r1, c1 = end = np.array([rng.integers(6), rng.integers(7), rng.integers(6),
                                     rng.integers(7)], np.int32)  # fmt: skip

    def cost(corners):
        return sum(line_cost(h, v, *p, *q, PRICE) for p, q in itertools.pairwise(corners))

    ls = [[(r0, c0), (r0, c1), (r1, c1)], [(r0, c0), (r1, c0), (r1, c1)]]
    zs = [[(r0, c0), (r0, c), (r1, c), (r1, c1)] for c in range(min(c0, c1), max(c0, c1) + 1)]
    zs += [[(r0, c0), (r, c0), (r, c1), (r1, c1)] for r in range(min(r0, r1), max(r0, r1) + 1)]
    for bends, ways in ((1, ls), (2, zs)):
        out = np.zeros((4, 2), np.int32)
        n = pattern(h, v, end, PRICE, bends, out)
        assert out[n - 1].tolist() == [r1, c1]
        assert cost(out[:n].tolist()) == pytest.approx(min(map(cost, ways)))


def test_a_routed_design_has_its_steiner_length_where_there_is_room():
    design = replace(standard_cells(400, seed=2), tracks=(50.0, 50.0))
    rng = np.random.default_rng(0)
    movable = ~design.fixed
    design = design.at(
        np.where(movable, rng.uniform(0, design.canvas.x1, design.nodes), design.x),
        np.where(movable, rng.uniform(0, design.canvas.y1, design.nodes), design.y),
    )
    routed = route(design, 2.0)
    grid = routed.grid
    row, column = grid.cells_of(design.pin_xy())
    middles = np.stack([column * grid.width, row * grid.height], 1)
    on_grid = replace(design, pin_node=np.arange(design.pins), pin_dx=np.zeros(design.pins),
                      pin_dy=np.zeros(design.pins), orientation=np.zeros(design.pins, np.int8),
                      x=middles[:, 0], y=middles[:, 1])  # fmt: skip
    assert routed.overflow == 0
    assert routed.length == pytest.approx(net_steiner(on_grid).sum(), rel=0.01)


def test_rerouting_lowers_the_overflow_and_uses_no_less_wire():
    design = replace(standard_cells(600, seed=3), tracks=(1.5, 1.5))
    rng = np.random.default_rng(0)
    movable = ~design.fixed
    design = design.at(
        np.where(movable, rng.normal(0.5, 0.15, design.nodes) * design.canvas.x1, design.x),
        np.where(movable, rng.normal(0.5, 0.15, design.nodes) * design.canvas.y1, design.y),
    )
    first = route(design, config=RouterConfig(rounds=0))
    last = route(design)
    assert first.overflow > 0 and last.overflow < 0.6 * first.overflow
    assert last.length >= first.length - 1e-6
    assert last.overflow == pytest.approx(
        np.maximum(last.across - last.grid.across, 0).sum()
        + np.maximum(last.up - last.grid.up, 0).sum()
    )


def test_rudy_spreads_each_direction_over_the_box():
    design = circuit(4, 4, [[(0, 0), (2, 1)], [(3, 0), (3, 3)]])
    horizontal, vertical = wire_demand(design, routing_grid(design, 1.0))
    # Net 1: 2 wide and 1 high, from (.5, .5) to (2.5, 1.5): half of its wire in each row.
    assert np.allclose(horizontal[:2, :3], [[0.25, 0.5, 0.25]] * 2)
    assert np.allclose(vertical[:2, :3], [[0.125, 0.25, 0.125]] * 2)
    assert np.allclose(vertical[:, 3], [0.5, 1, 1, 0.5]) and horizontal[:, 3].sum() == 0
    assert crowding(design, routing_grid(design, 1.0)).max() == 1.0


def test_tracks_are_asked_for():
    design = replace(circuit(4, 4, [[(0, 0), (2, 1)]]), tracks=None)
    with pytest.raises(InputError, match="no routing tracks"):
        routing_grid(design)
    with pytest.raises(InputError, match="two numbers > 0"):
        routing_grid(replace(design, tracks=(1.0, -2.0)))
    with pytest.raises(InputError, match="must be > 0 um, got 0"):
        routing_grid(replace(design, tracks=(1.0, 1.0)), 0.0)
