"""The proxy against the oracle's scores and against a plain implementation of its definition."""

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sciml.placement.cost.proxy import Evaluator, proxy_cost
from sciml.placement.design import ORIENTATIONS, Canvas, Grid
from sciml.placement.formats.protobuf_netlist import read_netlist
from sciml.placement.generate import NetlistConfig, netlist

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference import proxy as reference_proxy


def at_case(base, case, places):
    p = case["params"]
    grid = Grid(p["cols"], p["rows"], p["hroutes"], p["vroutes"], p["halloc"], p["valloc"],
                int(p["smooth"]))  # fmt: skip
    design = replace(base.copy(), canvas=Canvas(0, 0, p["width"], p["height"]), grid=grid)
    where = {int(k): i for i, k in enumerate(design.plc_index)}
    for index, (x, y, orientation) in places.items():
        i = where[int(index)]
        design.x[i], design.y[i] = x, y
        design.orientation[i] = 0 if orientation == "-" else ORIENTATIONS.index(orientation)
    return design


def agrees(design, scores):
    terms = Evaluator(design).terms()
    for key, value in zip(("wirelength", "density", "congestion", "proxy"), terms, strict=False):
        if scores[key] is None:
            assert np.isnan(value), key
        else:
            assert abs(value - scores[key]) < 1e-9, key


def test_costs_by_an_open_plc_client(fixture_file):
    """Made designs: all eight orientations, weighted nets, one-column grids, every smoothing."""
    cases = json.loads(fixture_file("placement/plc_client.json").read_text())["cases"]
    assert len(cases) == 36
    for case in cases:
        base = read_netlist(fixture_file(f"placement/{case['design']}.pb.txt.gz"))
        agrees(at_case(base, case, case["locations"]), case["scores"])


def test_ariane_oracle_cases(shared, clustered):
    path = shared / "data/placement/ariane133-ng45/oracle_cases.json.gz"
    cases = json.loads(gzip.open(path).read())["cases"]
    assert len(cases) == 14
    for case in cases:
        agrees(at_case(clustered, case, case["moves"]), case["scores"])


def test_toy_oracle_cases(shared):
    folder = shared / "data/placement/toy"
    cases = json.loads(gzip.open(folder / "oracle_cases_toy.json.gz").read())["cases"]
    assert len(cases) == 79
    for case in cases:
        base = read_netlist(folder / "tilos" / case["design"] / "netlist.pb.txt")
        agrees(at_case(base, case, case["locations"]), case["scores"])


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_definition(seed):
    """Random sizes, weights, orientations, grids and smoothing, without any outside file."""
    rng = np.random.default_rng(seed)
    design = netlist(NetlistConfig(macros=5, clusters=9, ports=6, nets_per_node=4), seed)
    columns, rows = (2, 3) if seed == 0 else rng.integers(3, 14, 2)
    design = replace(
        design,
        grid=replace(design.grid, columns=int(columns), rows=int(rows), smooth=seed % 3),
        net_weight=rng.choice([0.5, 1.0, 2.0, 3.25], design.nets),
    )
    free = ~design.fixed
    design.x[free] = rng.uniform(0.3, 0.7, free.sum()) * design.canvas.width
    design.y[free] = rng.uniform(0.3, 0.7, free.sum()) * design.canvas.height
    design.orientation[:5] = rng.integers(0, 8, 5)
    np.testing.assert_allclose(Evaluator(design).terms()[:3], reference_proxy(design), rtol=1e-12)


def test_top_sum_with_many_equal_values():
    from sciml.placement.cost.topsum import top_sum

    rng = np.random.default_rng(0)
    level = np.array([[0.5, 1e-3], [0.5, 1e-3]])
    for trial in range(400):
        n = int(rng.integers(4, 300))
        values = rng.integers(0, rng.integers(1, 40), n) * 0.25
        if trial % 2:
            values = values + rng.random(n) * (rng.random(n) < 0.3)
        k = int(rng.integers(1, n))
        expected = np.sort(values)[n - k :].sum()
        value = top_sum(values, values.view(np.int64), k, level, 0, 1e300)
        assert abs(value - expected) < 1e-9 * max(expected, 1)


def test_top_sum_stops_early_only_above_the_limit():
    from sciml.placement.cost.topsum import top_sum

    rng = np.random.default_rng(1)
    level = np.array([[0.5, 1e-3], [0.5, 1e-3]])
    for _ in range(200):
        values = rng.random(100)
        exact = np.sort(values)[90:].sum()
        limit = exact * rng.uniform(0.7, 1.3)
        value = top_sum(values, values.view(np.int64), 10, level, 0, limit)
        assert (value <= limit) == (exact <= limit)
        assert value <= exact + 1e-12


def test_robust_cost_rewards_no_straddling():
    """Moving a macro by half a column changes the exact blockage in steps, the robust one not."""
    design = netlist(NetlistConfig(macros=1, clusters=1, ports=0, utilisation=0.1), 0)
    grid = replace(design.grid, columns=20, rows=20, macro_routes_horizontal=5.0)
    design = replace(design, grid=grid)
    cell = design.canvas.width / 20
    totals = []
    for robust in (False, True):
        at = []
        for shift in (0.0, 0.13, 0.5, 0.77):
            moved = design.copy()
            moved.width[0], moved.height[0] = 1.5 * cell, 2 * cell
            moved.x[0] = moved.y[0] = 10 * cell + shift * cell
            e = Evaluator(moved, robust)
            state = e.load(moved)
            at.append(state.macro_h.sum())
        totals.append(np.ptp(at) / np.mean(at))
    assert totals[0] > 0.2 and totals[1] < 1e-9


def test_undefined_outside_the_canvas(small):
    small.x[0] = small.canvas.x1 + 100
    cost = proxy_cost(small)
    assert np.isnan(cost.congestion) and np.isnan(cost.proxy) and np.isfinite(cost.wirelength)
