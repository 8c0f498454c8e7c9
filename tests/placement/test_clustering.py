"""Flat netlists become clustered ones of Circuit Training's kind."""

import json

import numpy as np
import pytest

from sciml.errors import InputError, MissingExtra
from sciml.placement import cluster, hpwl, place, proxy_cost, read_design, write_design
from sciml.placement.design import CELL, MACRO, SOFT
from sciml.placement.generate import standard_cells


@pytest.fixture(scope="module")
def flat():
    """Synthetic cells, of which the largest are macros."""
    design = standard_cells(1200, seed=3)
    largest = np.argsort(-design.width * design.height)[:4]
    largest = largest[design.kind[largest] == CELL]
    design.kind[largest] = MACRO
    design.width[largest], design.height[largest] = 12.0, 9.0
    rng = np.random.default_rng(0)
    pins = np.flatnonzero(design.kind[design.pin_node] == MACRO)
    design.pin_dx[pins], design.pin_dy[pins] = np.round(rng.uniform(-4, 4, (2, len(pins))), 3)
    design.x[:] = rng.uniform(design.canvas.x0 + 6, design.canvas.x1 - 6, design.nodes)
    design.y[:] = rng.uniform(design.canvas.y0 + 5, design.canvas.y1 - 5, design.nodes)
    return design


def brute_force(flat, index):
    """{(driver, sinks)}: weight of all nets between different nodes of the clustered design."""
    nets: dict = {}
    for k in range(flat.nets):
        pins = []
        for p in range(flat.net_start[k], flat.net_start[k + 1]):
            node = flat.pin_node[p]
            pin = (index[node], flat.pin_dx[p], flat.pin_dy[p]) if flat.kind[node] == MACRO else (
                index[node], 0.0, 0.0)  # fmt: skip
            if pin not in pins:
                pins.append(pin)
        if len({i for i, _, _ in pins}) > 1:
            key = (pins[0], tuple(sorted(pins[1:])))
            nets[key] = nets.get(key, 0.0) + flat.net_weight[k]
    return nets


def test_nets_areas_and_places_are_those_of_the_parts(flat):
    pytest.importorskip("mtkahypar")
    result = cluster(flat, 12, seed=1)
    design, index = result.design, result.index
    assert (design.kind == SOFT).sum() == 12 and (design.kind == MACRO).sum() == 4
    here = {}
    for k in range(design.nets):
        pins = [(int(design.pin_node[p]), design.pin_dx[p], design.pin_dy[p])
                for p in range(design.net_start[k], design.net_start[k + 1])]  # fmt: skip
        here[pins[0], tuple(sorted(pins[1:]))] = design.net_weight[k]
    assert here == brute_force(flat, index)
    area = (flat.width * flat.height)[flat.kind == CELL]
    parts = index[flat.kind == CELL]
    sizes = np.bincount(parts[parts >= 0], area[parts >= 0], design.nodes)[design.kind == SOFT]
    soft = design.where(SOFT)
    assert (
        np.allclose(sizes, design.width[soft] ** 2) and (design.width == design.height)[soft].all()
    )
    assert sizes.max() <= 1.06 * sizes.mean()
    for k in soft[:3]:
        members = np.flatnonzero(index == k)
        weights = (flat.width * flat.height)[members]
        assert design.x[k] == pytest.approx(np.average(flat.x[members], weights=weights))
    again = cluster(flat, 12, seed=1)
    assert np.array_equal(again.index, index)  # deterministic


def test_parts_keep_together_what_is_connected(flat):
    pytest.importorskip("mtkahypar")
    result = cluster(flat, 12)
    rng = np.random.default_rng(0)
    at_random = result.index.copy()
    cells = flat.kind == CELL
    at_random[cells] = rng.permutation(result.index[cells])
    between = sum(brute_force(flat, result.index).values())
    assert between < 0.6 * sum(brute_force(flat, at_random).values())


def test_from_flat_files_to_placed_macros_without_another_tool(flat, tmp_path, capsys):
    pytest.importorskip("mtkahypar")
    from sciml.cli import main

    write_design(flat, tmp_path / "flat.def")
    files = [str(tmp_path / "flat.def"), "--lef", str(tmp_path / "flat.lef")]
    netlist = str(tmp_path / "netlist.pb.txt")
    assert main(["placement", "cluster", *files, "-o", netlist, "--clusters", "10", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["soft_macros"] == 10 and told["net_weight"] > told["nets"] > 0
    clustered = read_design(netlist)
    assert hpwl(clustered) > 0 and np.isfinite(proxy_cost(clustered).wirelength)
    placed = place(clustered, max_moves=2000).design
    (tmp_path / "placed").mkdir()
    write_design(placed, tmp_path / "placed" / "netlist.pb.txt")
    near = ["--near", str(tmp_path / "placed" / "netlist.pb.txt"), "--movable", "macros"]
    out = tmp_path / "out.def"
    main(["placement", "legalise", *files, *near, "-o", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["new"] == 0
    back = read_design(out, lef=[tmp_path / "flat.lef"])
    for i in placed.where(MACRO):
        j = list(back.names).index(placed.names[i])
        assert abs(back.x[j] - placed.x[i]) + abs(back.y[j] - placed.y[i]) < 3
        assert back.orientation[j] == placed.orientation[i] or told["legal"]


def test_what_cannot_be_clustered_is_one_line(flat, monkeypatch):
    for arguments, message in (
        ({"clusters": 0}, "must be 1 to"), ({"clusters": 10**6}, "must be 1 to"),
        ({"imbalance": 0}, "imbalance"), ({"utilisation": 1.5}, "utilisation"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            cluster(flat, **arguments)
    import sys

    from sciml.placement import clustering

    clustering._library.cache_clear()
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    with pytest.raises(MissingExtra, match=r"sciml\[placement\]"):
        cluster(flat, 4)
    clustering._library.cache_clear()
