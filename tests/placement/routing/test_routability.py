"""Cells leave room for wires, and the command line tells whether there is enough."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement import check, place, write_design
from sciml.placement.classical.routability import RoutabilityConfig, inflate, padded
from sciml.placement.classical.segments import groups
from sciml.placement.classical.standard_cells import stages
from sciml.placement.generate import standard_cells
from sciml.placement.routing.grid import routing_grid
from sciml.placement.routing.router import route


@pytest.fixture(scope="module")
def crowded():
    """A design that is short of tracks where its cells crowd."""
    return replace(standard_cells(1500, seed=1), tracks=(0.3, 0.3))


def test_overflow_falls_and_the_placement_stays_legal(crowded):
    overflow = {False: 0.0, True: 0.0}
    for seed in range(3):
        for routability in overflow:
            placed = place(
                crowded, cpu_seconds=20, movable="cells", seed=seed, routability=routability
            ).design
            assert check(placed, crowded).legal, check(placed, crowded).problems[:3]
            assert np.array_equal(placed.width, crowded.width)
            overflow[routability] += route(placed).overflow
    assert overflow[False] > 60 and overflow[True] < 0.8 * overflow[False], overflow


def test_padding_leaves_free_sites_and_keeps_cells_on_sites(crowded):
    cells = groups(crowded)[-1].cells
    rng = np.random.default_rng(0)
    size = crowded.canvas
    design = crowded.copy()
    design.x[cells] = rng.uniform(0, size.x1, len(cells))
    design.y[cells] = rng.uniform(0, size.y1, len(cells))
    ratio = rng.uniform(1, 1.3, len(cells))
    seen = {}

    def finish(wide):
        seen["wide"] = wide
        return wide

    legal = padded(design, cells, ratio, finish)
    assert check(legal, design).legal
    wide = seen["wide"]
    # No site more or less than asked for, but for rounding, and every cell inside its room.
    extra = (wide.width - legal.width)[cells]
    assert (np.abs(extra - (ratio - 1) * legal.width[cells]) < 1).all()
    assert extra.sum() == pytest.approx(((ratio - 1) * legal.width[cells]).sum(), rel=0.05)
    assert (np.abs(legal.x - wide.x)[cells] <= extra / 2 + 1e-9).all()
    assert np.array_equal(legal.y, wide.y)


def test_rows_that_cannot_hold_the_room_get_less(crowded):
    cells = groups(crowded)[-1].cells
    legal = padded(crowded, cells, np.full(len(cells), 2.0), lambda wide: wide)
    assert check(legal, crowded).legal


def test_inflation_follows_the_demand_and_is_bounded(crowded):
    config = RoutabilityConfig()
    cells = groups(crowded)[-1].cells
    rng = np.random.default_rng(1)
    design = crowded.copy()
    design.x[cells] = rng.normal(0.5, 0.1, len(cells)) * crowded.canvas.x1
    design.y[cells] = rng.normal(0.5, 0.1, len(cells)) * crowded.canvas.y1
    ratio = inflate(design, cells, np.ones(len(cells)), routing_grid(design), config)
    away = np.hypot(design.x[cells] / crowded.canvas.x1 - 0.5,
                    design.y[cells] / crowded.canvas.y1 - 0.5)  # fmt: skip
    assert ratio[away < 0.05].mean() > 1.1 and np.allclose(ratio[away > 0.35], 1)
    assert ratio.max() <= config.largest + 1e-9
    free = float(crowded.rows.x1[0] * len(crowded.rows))
    assert (ratio * design.width[cells]).sum() <= config.density * free + 1e-6
    roomy = replace(design, tracks=(1000.0, 1000.0))
    same = inflate(roomy, cells, np.ones(len(cells)), routing_grid(roomy), config)
    assert np.array_equal(same, np.ones(len(cells)))


def test_stages_end_with_a_full_spread():
    for macros in (False, True):
        plan = stages(macros, "zero", RoutabilityConfig(rounds=2))
        assert [s.widen for s in plan] == [False] * (1 + macros) + [True, True]
        assert [s.config.overflow for s in plan[-3:]] == [0.2, 0.2, 0.1]
        assert all(a.until < b.until <= 0.75 for a, b in zip(plan, plan[1:], strict=False))


def test_it_resumes_to_the_same_placement(crowded, tmp_path):
    calls = 0

    def stop(row):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt

    state = tmp_path / "state.npz"
    options: dict[str, Any] = {"cpu_seconds": 500, "movable": "cells", "routability": True}
    whole = place(crowded, **options)
    part = place(crowded, **options, state=state, report=stop)
    assert part.stopped
    again = place(crowded, **options, state=state)
    assert np.array_equal(again.design.x, whole.design.x)


def test_refusals(crowded):
    with pytest.raises(InputError, match="no routing tracks"):
        place(replace(crowded, tracks=None), cpu_seconds=1, movable="cells", routability=True)
    from sciml.placement.generate import synthetic

    with pytest.raises(InputError, match="cannot honour `routability`"):
        place(synthetic(1), cpu_seconds=1, routability=True)


def test_from_the_command_line(crowded, tmp_path, capsys):
    aux = tmp_path / "cells.aux"
    write_design(crowded, aux)
    assert main(["placement", "route", str(aux)]) == 2
    assert "--tracks HORIZONTAL VERTICAL" in capsys.readouterr().err
    picture = tmp_path / "map.png"
    placed = tmp_path / "placed.pl"
    assert main(["placement", "place", str(aux), "-o", str(placed), "--movable", "cells",
                 "--cpu-seconds", "5", "--routability", "--tracks", "0.3", "0.3",
                 "--json"]) == 0  # fmt: skip
    capsys.readouterr()
    command = ["placement", "route", str(aux), "--pl", str(placed), "--tracks", "0.3", "0.3"]
    assert main([*command, "--json", "-o", str(picture)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["overflow"] >= 0 and told["length"] > 0 and picture.stat().st_size > 1000
    assert main([*command, "--gcell", "-1"]) == 2
    assert "must be > 0 um" in capsys.readouterr().err
