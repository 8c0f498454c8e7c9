"""What must not change the answer, and what must change it in a known way."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.placement.cost.proxy import Evaluator, proxy_cost
from sciml.placement.cost.wirelength import _steiner, hpwl, net_hpwl, net_steiner, rudy
from sciml.placement.design import ROTATION
from sciml.placement.placer import score
from sciml.placement.tokens import Names


def permuted(design, rng):
    """The same circuit with nodes, nets and sinks in another order and new names."""
    nodes, nets = rng.permutation(design.nodes), rng.permutation(design.nets)
    rank = np.argsort(nodes)
    pins = []
    for n in nets:
        a, b = design.net_start[n], design.net_start[n + 1]
        pins += [a, *rng.permutation(np.arange(a + 1, b))]
    keys = ("kind", "width", "height", "x", "y", "orientation", "fixed")
    return replace(
        design,
        names=Names.of([f"renamed_{i}" for i in range(design.nodes)]),
        **{k: getattr(design, k)[nodes] for k in keys},
        pin_node=rank[design.pin_node[pins]].astype(np.int32),
        pin_dx=design.pin_dx[pins],
        pin_dy=design.pin_dy[pins],
        pin_output=design.pin_output[pins],
        net_start=np.concatenate([[0], np.cumsum(np.diff(design.net_start)[nets])]),
        net_weight=design.net_weight[nets],
    )


def test_order_and_names_do_not_matter(small):
    other = permuted(small, np.random.default_rng(0))
    one, two = score(small), score(other)
    assert one.pop("canvas") == two.pop("canvas")
    for key, value in one.items():
        assert two[key] == pytest.approx(value, rel=1e-11), key
    assert net_steiner(other).sum() == pytest.approx(net_steiner(small).sum(), rel=1e-2)


def test_nets_of_one_pin_change_nothing(small):
    lonely = replace(
        small,
        net_start=np.append(small.net_start, small.pins + np.arange(1, 4)),
        net_weight=np.append(small.net_weight, [1.0, 5.0, 7.0]),
        pin_node=np.append(small.pin_node, [0, 1, 9]).astype(np.int32),
        pin_dx=np.append(small.pin_dx, [0.0, 1.0, 0.0]),
        pin_dy=np.append(small.pin_dy, [0.0, 1.0, 0.0]),
        pin_output=np.append(small.pin_output, [True] * 3),
    )
    assert score(lonely) == score(small)
    assert net_steiner(lonely).sum() == net_steiner(small).sum()
    assert np.array_equal(rudy(lonely), rudy(small))


def transposed(design):
    turn = {0: 0, 1: 1, 2: 3, 3: 2}
    return replace(
        design,
        x=design.y.copy(), y=design.x.copy(), width=design.height, height=design.width,
        pin_dx=design.pin_dy, pin_dy=design.pin_dx,
        orientation=np.array([turn[int(o)] for o in design.orientation], np.int8),
        canvas=replace(design.canvas, x1=design.canvas.y1, y1=design.canvas.x1),
        grid=replace(
            design.grid, columns=design.grid.rows, rows=design.grid.columns,
            routes_horizontal=design.grid.routes_vertical,
            routes_vertical=design.grid.routes_horizontal,
            macro_routes_horizontal=design.grid.macro_routes_vertical,
            macro_routes_vertical=design.grid.macro_routes_horizontal,
        ),
    )  # fmt: skip


def test_transposing_the_design_transposes_its_measures(small):
    """All but the routes of the proxy, whose rule (horizontal first) is not symmetric."""
    other = transposed(small)
    assert hpwl(other) == pytest.approx(hpwl(small))
    np.testing.assert_allclose(rudy(other), rudy(small).T, rtol=1e-9, atol=1e-12)
    one, two = Evaluator(small, robust=True), Evaluator(other, robust=True)
    a, b = one.load(small), two.load(other)
    p = one.problem
    shape = (p.rows, p.columns)
    np.testing.assert_allclose(
        b.density.reshape(shape[::-1]).T, a.density.reshape(shape), atol=1e-12
    )
    np.testing.assert_allclose(b.macro_v, a.macro_h, atol=1e-12)
    assert b.cost[0] == pytest.approx(a.cost[0]) and b.cost[1] == pytest.approx(a.cost[1])


def test_scaling_lengths_and_supply_leaves_the_proxy(small):
    k = 3.7
    grid = small.grid
    scaled = replace(
        small,
        **{key: getattr(small, key) * k for key in
           ("x", "y", "width", "height", "pin_dx", "pin_dy")},
        canvas=replace(small.canvas, x1=small.canvas.x1 * k, y1=small.canvas.y1 * k),
        grid=replace(
            grid, routes_horizontal=grid.routes_horizontal / k,
            routes_vertical=grid.routes_vertical / k,
            macro_routes_horizontal=grid.macro_routes_horizontal / k,
            macro_routes_vertical=grid.macro_routes_vertical / k,
        ),
    )  # fmt: skip
    assert proxy_cost(scaled).proxy == pytest.approx(proxy_cost(small).proxy, rel=1e-9)


def test_orientations_form_the_dihedral_group():
    maps = [np.array([[a, b], [c, d]]) for a, b, c, d in ROTATION]
    for one in maps:
        for two in maps:
            assert any(np.array_equal(one @ two, three) for three in maps)
    assert len({m.tobytes() for m in maps}) == 8


def brute_steiner(points):
    """The shortest Steiner tree over the Hanan grid, by trying all sets of Steiner points."""
    import itertools

    xs, ys = np.unique(points[:, 0]), np.unique(points[:, 1])
    hanan = [(x, y) for x in xs for y in ys if not ((points == (x, y)).all(1)).any()]
    best = np.inf
    for count in range(min(len(points) - 1, 4)):
        for extra in itertools.combinations(hanan, count):
            nodes = np.array([*points.tolist(), *extra])
            d = np.abs(nodes[:, None] - nodes[None]).sum(-1)
            todo, far, total = set(range(1, len(nodes))), d[0].copy(), 0.0
            while todo:
                k = min(todo, key=lambda i: far[i])
                total += far[k]
                todo.remove(k)
                far = np.minimum(far, d[k])
            best = min(best, total)
    return best


def test_steiner_trees_against_brute_force():
    rng = np.random.default_rng(0)
    ratios = []
    for n in (2, 3, 4, 4, 4, 5, 5, 5):
        for _ in range(4):
            points = rng.integers(0, 30, (n, 2)).astype(float)
            points = np.unique(points, axis=0)
            best, length = brute_steiner(points), _steiner(*points.astype(float).T.copy())
            assert length >= best - 1e-9
            ratios.append(length / max(best, 1e-9))
    assert max(ratios) <= 1.15 and np.mean(ratios) < 1.02


def test_steiner_is_between_half_perimeter_and_spanning_tree(small):
    tree, half = net_steiner(small), net_hpwl(small)
    assert (tree >= half - 1e-9).all()
    few = np.diff(small.net_start) <= 3
    np.testing.assert_allclose(tree[few], half[few])
