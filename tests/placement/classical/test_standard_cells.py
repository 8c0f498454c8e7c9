"""Cells end up legal, wires short, and the parts do what they say."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from sciml.errors import InputError
from sciml.placement.classical.detailed import improve_cells
from sciml.placement.classical.electrostatics import Field
from sciml.placement.classical.global_placement import GlobalConfig, GlobalPlacer
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.cost.wirelength import hpwl
from sciml.placement.design import CELL, PORT, Canvas, Rows, build
from sciml.placement.legality import check
from sciml.placement.placer import place
from sciml.placement.tokens import Names


def cells_design(n=400, macros=2, seed=0, rows=30):
    """A grid-like netlist of cells with neighbours, ports around, fixed blocks inside."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(n))
    n = side * side
    names = [f"c{i}" for i in range(n)] + [f"m{i}" for i in range(macros)]
    names += [f"p{i}" for i in range(4)]
    nodes = n + macros + 4
    width, height = np.zeros(nodes), np.zeros(nodes)
    width[:n], height[:n] = rng.integers(2, 6, n), 10.0
    width[n : n + macros], height[n : n + macros] = 40.0, 57.0
    size = rows * 10.0
    x, y = np.full(nodes, size / 2), np.full(nodes, size / 2)
    x[n : n + macros] = [60.0, 200.0][:macros]
    y[n : n + macros] = [80.0, 190.0][:macros]
    x[n + macros :], y[n + macros :] = [0, size, 0, size], [0, 0, size, size]
    kind = np.repeat([CELL, 0, PORT], [n, macros, 4])
    pins, start = [], [0]
    for r in range(side):
        for c in range(side):
            net = [r * side + c]
            net += [r * side + c + 1] if c + 1 < side else [n + macros + r % 4]
            net += [(r + 1) * side + c] if r + 1 < side else []
            pins += net
            start.append(len(pins))
    z = np.zeros(len(pins))
    return build(
        "cells", name="cells", names=Names.of(names), kind=kind, width=width, height=height,
        x=x, y=y, orientation=np.zeros(nodes), fixed=kind != CELL, pin_node=pins,
        pin_dx=z + 0.5, pin_dy=z - 1, pin_output=z > 1, net_start=start,
        net_weight=np.ones(len(start) - 1), canvas=Canvas(0.0, 0.0, size, size),
        rows=Rows(np.arange(rows) * 10.0, np.full(rows, 10.0), np.zeros(rows),
                  np.full(rows, size), np.ones(rows), np.zeros(rows, np.int8)),
    )  # fmt: skip


def test_whole_flow_is_legal_and_close_to_the_best():
    design = cells_design()
    placed = place(design, cpu_seconds=20, movable="cells", seed=1)
    assert placed.scores["legal"], check(placed.design, design).problems
    # Neighbours of a 20 x 20 grid of cells about 3.5 x 10 that lie side by side cost about
    # 3.5 + 10 a net; a random order costs hundreds.
    assert placed.scores["hpwl"] / design.nets < 32
    random = design.copy()
    rng = np.random.default_rng(0)
    random.x[:400], random.y[:400] = rng.uniform(10, 290, (2, 400))
    assert placed.scores["hpwl"] < 0.2 * hpwl(random)


def test_legalisation_keeps_what_is_legal_and_detail_only_gains():
    design = cells_design()
    rng = np.random.default_rng(2)
    design.x[:400], design.y[:400] = rng.uniform(10, 290, (2, 400))
    legal = legalise_cells(design)
    assert check(legal, design).legal
    again = legalise_cells(legal)
    assert np.abs(again.x - legal.x).max() < 1e-9 and np.array_equal(again.y, legal.y)
    better = improve_cells(legal, 5.0)
    assert check(better, design).legal and hpwl(better) < hpwl(legal)


def test_nearly_full_rows_are_still_filled():
    design = cells_design(macros=0)
    free = design.rows.height.sum() * 300 / (10.0 * 300)
    cells = design.kind == CELL
    design.width[cells] = np.floor(0.97 * free * 300 / 400 / 1.0)
    rng = np.random.default_rng(1)
    design.x[:400], design.y[:400] = rng.uniform(20, 280, (2, 400))
    placed = legalise_cells(design)
    assert check(placed, design).legal


def test_no_room_and_tall_cells_are_refused():
    design = cells_design()
    wide = replace(design, width=np.where(design.kind == CELL, 260.0, design.width))
    with pytest.raises(InputError, match="wider than all free sites|no room"):
        legalise_cells(wide)
    tall = replace(design, height=np.where(design.kind == CELL, 15.0, design.height))
    with pytest.raises(InputError, match="cell 'c0' is 15 high, rows are 10"):
        legalise_cells(tall)
    with pytest.raises(InputError, match="no rows"):
        legalise_cells(replace(design, rows=None))


def test_checker_finds_every_kind_of_fault():
    design = legalise_cells(cells_design())
    for change, key in (
        (lambda d: d.y.__setitem__(0, d.y[0] + 3), "off_row"),
        (lambda d: d.x.__setitem__(0, d.x[0] + 0.25), "off_site"),
        (lambda d: d.x.__setitem__(0, -50.0), "outside"),
        (lambda d: (d.x.__setitem__(0, d.x[1]), d.y.__setitem__(0, d.y[1])), "overlaps"),
        (lambda d: d.x.__setitem__(400, 100.0), "moved"),
    ):
        broken = design.copy()
        change(broken)
        verdict = check(broken, design)
        assert getattr(verdict, key) > 0 and not verdict.legal, key


def test_field_solves_poissons_equation():
    rng = np.random.default_rng(0)
    density = rng.random((16, 16)).astype(np.float32)
    field_x, field_y = Field(16, 16)(density)
    a = scipy.fft.dctn(density - density.mean(), type=2)
    w = np.pi * np.arange(16) / 16
    square = w[:, None] ** 2 + w[None] ** 2
    square[0, 0] = 1
    fine = np.arange(16) + 0.5
    potential = np.zeros((16, 16))
    expected = np.zeros((16, 16))
    for u in range(16):
        for v in range(16):
            if u == v == 0:
                continue
            scale = a[u, v] / square[u, v] / (4 * 256) * (2 - (u == 0)) * (2 - (v == 0))
            wave = np.outer(np.cos(w[u] * fine), np.cos(w[v] * fine))
            potential += scale * wave
            expected += scale * w[v] * np.outer(np.cos(w[u] * fine), np.sin(w[v] * fine))
    ratio = (field_x * expected).sum() / (expected**2).sum()
    np.testing.assert_allclose(field_x / ratio, expected, atol=2e-4 * np.abs(expected).max() + 1e-6)
    assert ratio > 0


def test_wire_gradient_is_the_derivative():
    design = cells_design(100)
    placer = GlobalPlacer(design, GlobalConfig(bins=32))
    rng = np.random.default_rng(3)
    x = rng.uniform(4, 28, len(placer.x)).astype(np.float32)
    y = rng.uniform(4, 28, len(placer.y)).astype(np.float32)
    exact, _ = placer.wire(x, y, 1.0)
    sharp, gradient = placer.wire(x, y, 0.05)
    # With little smoothing the gradient is that of the half-perimeter, up to kinks.
    eps, agree = np.float32(1e-2), 0
    for i in range(30):
        moved = x.copy()
        moved[i] += eps
        slope = (placer.wire(moved, y, 0.05)[0] - exact) / eps
        agree += abs(slope - gradient[0, i]) < 0.1
    assert agree >= 26


def test_seed_and_budget():
    design = cells_design(100)
    one = place(design, cpu_seconds=5, movable="cells", seed=1).design
    two = place(design, cpu_seconds=5, movable="cells", seed=1).design
    assert np.array_equal(one.x, two.x)


def test_forces_on_tensors_equal_the_compiled_ones():
    design = cells_design(100)
    compiled = GlobalPlacer(design, GlobalConfig(bins=32))
    tensors = GlobalPlacer(design, GlobalConfig(bins=32, device="cpu"))
    rng = np.random.default_rng(3)
    x = rng.uniform(4, 28, len(compiled.x)).astype(np.float32)
    y = rng.uniform(4, 28, len(compiled.y)).astype(np.float32)
    for gamma in (0.3, 4.0):
        length, pull = compiled.wire(x, y, gamma)
        other, force = tensors.wire(x, y, gamma)
        assert other == pytest.approx(length, rel=1e-5)
        np.testing.assert_allclose(force, pull, atol=2e-4 * np.abs(pull).max())
    over, crowd = compiled.crowd(x, y)
    other, push = tensors.crowd(x, y)
    assert other == pytest.approx(over, rel=1e-4) and over > 0.01
    np.testing.assert_allclose(push, crowd, atol=2e-4 * np.abs(crowd).max())


def test_global_placement_on_tensors_ends_where_the_compiled_one_does():
    design = cells_design(400)
    lengths = []
    for device in ("", "cpu"):
        placer = GlobalPlacer(design, GlobalConfig(bins=32, device=device), seed=1)
        x, y = placer.run()
        assert placer.descent is not None and placer.descent.overflow < 0.1
        lengths.append(hpwl(design.at(x, y)))
    # Rounding grows over hundreds of steps: the same quality, not the same places.
    assert lengths[1] == pytest.approx(lengths[0], rel=0.05)


def test_ctrl_c_while_macros_move_ends_at_once_and_legally(monkeypatch):
    design = cells_design()
    design = replace(design, fixed=design.kind == PORT)
    steps, crowd = [], GlobalPlacer.crowd

    def interrupted(self, x, y):
        steps.append(1)
        if len(steps) == 200:
            raise KeyboardInterrupt
        return crowd(self, x, y)

    monkeypatch.setattr(GlobalPlacer, "crowd", interrupted)
    placed = place(design, cpu_seconds=100, movable="all", seed=1)
    assert placed.stopped and len(steps) == 200
    assert placed.scores["legal"], check(placed.design, design).problems
    monkeypatch.setattr(GlobalPlacer, "crowd", crowd)
    finished = place(design, cpu_seconds=100, movable="all", seed=1)
    assert placed.scores["hpwl"] < 1.5 * finished.scores["hpwl"]  # not thrown away
