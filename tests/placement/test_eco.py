"""Legalise only, and engineering change orders."""

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.placement import check, legalise, read_design
from sciml.placement.rules import apply

sys.path.insert(0, str(Path(__file__).parent))
from legality_cases import ask, faults, make, scatter
from legality_package import moved, read, unavoidable

LEF = """VERSION 5.8 ;
SITE core CLASS CORE ; SIZE 0.2 BY 2 ; END core
"""
for _width in (1, 2, 3, 5):
    LEF += f"""MACRO C{_width} CLASS CORE ; SIZE {_width * 0.2:.1f} BY 2 ; SYMMETRY X Y ;
  SITE core ; PIN A DIRECTION INOUT ; PORT LAYER m1 ; RECT 0 0 0.2 0.2 ; END END A
END C{_width}
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("eco")


def design_of(folder, cells, rows=4, sites=40, nets=(), name="a.def"):
    """cells: (name, width in sites, x, y in micrometres, or None for no position)."""
    lines = [
        "VERSION 5.8 ;", "DESIGN d ;", "UNITS DISTANCE MICRONS 1000 ;",
        f"DIEAREA ( 0 0 ) ( {sites * 200} {rows * 2000} ) ;",
    ]  # fmt: skip
    for k in range(rows):
        lines.append(
            f"ROW r{k} core 0 {2000 * k} {('N', 'FS')[k % 2]} DO {sites} BY 1 STEP 200 0 ;"
        )
    lines.append(f"COMPONENTS {len(cells)} ;")
    for label, width, x, y in cells:
        where = "UNPLACED" if x is None else f"PLACED ( {round(x * 1000)} {round(y * 1000)} ) N"
        lines.append(f"- {label} C{width} + {where} ;")
    lines += ["END COMPONENTS", f"NETS {len(nets)} ;"]
    for k, members in enumerate(nets):
        lines.append(f"- n{k} " + " ".join(f"( {m} A )" for m in members) + " ;")
    lines += ["END NETS", "END DESIGN", ""]
    (folder / "a.lef").write_text(LEF + "END LIBRARY\n")
    (folder / name).write_text("\n".join(lines))
    return read_design(folder / name, lef=[folder / "a.lef"])


def scattered(folder, seed, count, rows=4, sites=40):
    r = np.random.default_rng(seed)
    cells = [(f"c{k}", int(r.choice([1, 2, 3, 5])), float(r.uniform(0, sites * 0.2 - 1)),
              float(r.uniform(0, rows * 2 - 2))) for k in range(count)]  # fmt: skip
    nets = [tuple(f"c{i}" for i in r.choice(count, 2, replace=False)) for _ in range(count)]
    return design_of(folder, cells, rows, sites, nets)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_result_is_legal_or_refused_and_then_stays(seed, folder):
    case = make(seed)
    scatter(case, seed)
    for t in case.things:
        t.turn = "N" if t.fixed else t.turn
    design = apply(read(case, folder), ask(case, seed))
    allowed = unavoidable(case)
    try:
        result = legalise(design)
    except InputError as error:
        assert "\n" not in str(error)
        return
    before = {t.name: (t.x, t.y) for t in case.things}
    moved(case, result.design)
    assert faults(case) <= allowed
    total = sum(abs(t.x - before[t.name][0]) + abs(t.y - before[t.name][1]) for t in case.things)
    sideways = any(o >= 4 for o in design.orientation)  # those are turned about their middle
    assert sideways or result.scores()["total_displacement"] == pytest.approx(total / 1000)
    again = legalise(result.design)
    assert again.scores()["total_displacement"] < 1e-6


def test_one_row_is_optimal_in_the_order_of_the_cells(folder):
    for seed in range(6):
        r = np.random.default_rng(seed)
        widths = r.choice([1, 2, 3], 4)
        wants = np.sort(r.uniform(0, 10, 4))
        cells = [(f"c{k}", int(widths[k]), wants[k] * 0.2, 0.0) for k in range(4)]
        design = design_of(folder, cells, rows=1, sites=12)
        result = legalise(design)
        best = min(
            sum(abs(p - w) for p, w in zip(places, wants, strict=True))
            for places in itertools.combinations(range(12), 4)
            if all(a + w <= b for a, w, b in zip(places, widths, [*places[1:], 12], strict=True))
        )
        assert check(result.design).legal
        # Another order may be better still; Abacus keeps that of the lower left corners.
        assert result.scores()["total_displacement"] <= 0.2 * best + 0.002  # DEF rounds to 1 nm


def test_cells_are_nearer_than_abacus_alone_leaves_them(folder):
    from sciml.placement.classical.rows import legalise_cells

    gains = []
    for seed in range(4):
        design = scattered(folder, seed, 60, rows=6, sites=60)
        abacus = legalise_cells(design)
        far = np.abs(abacus.x - design.x) + np.abs(abacus.y - design.y)
        result = legalise(design)
        assert check(result.design).legal
        gains.append(far.sum() - result.displacement.sum())
    assert min(gains) > -1e-9 and sum(gains) > 1


def test_only_new_cells_move_and_they_go_where_they_are_connected(folder):
    placed = legalise(scattered(folder, 0, 40, rows=6, sites=60)).design
    w = {n: int(round(placed.width[i] / 0.2)) for i, n in enumerate(placed.names)}
    left, low = placed.x - placed.width / 2, placed.y - placed.height / 2
    old: list[tuple] = [(n, w[n], left[i], low[i]) for i, n in enumerate(placed.names)]
    anchor = placed.names[7]
    nets = [(anchor, "new0"), ("new0", "new1")]
    new: list[tuple] = [("new0", 2, None, None), ("new1", 3, None, None)]
    design = design_of(folder, [*old, *new], 6, 60, nets)
    result = legalise(design, only_new=True)
    assert result.new.sum() == 2 and result.scores()["moved"] == 0
    assert np.array_equal(result.design.x[:40], design.x[:40])
    assert check(result.design).overlaps == 0 and check(result.design).unplaced == 0
    near = np.abs(result.design.x[40:] - placed.x[7]) + np.abs(result.design.y[40:] - placed.y[7])
    assert near.max() < 5
    with pytest.raises(InputError, match="no new node"):
        legalise(placed, only_new=True)


def test_a_changed_netlist_is_placed_near_the_old_one(folder):
    old = legalise(scattered(folder, 1, 40, rows=6, sites=60)).design
    names = list(old.names)
    # Everything at the corner, one cell gone, one larger, two new.
    cells: list[tuple] = [
        (n, int(round(old.width[i] / 0.2)), 0.0, 0.0) for i, n in enumerate(names) if i != 3
    ]
    cells[0] = (names[0], 5, 0.0, 0.0)
    cells += [("new0", 1, 6.0, 4.0), ("new1", 5, None, None)]
    design = design_of(folder, cells, 6, 60, [("new1", names[5])], name="b.def")
    result = legalise(design, near=old)
    assert check(result.design).legal
    assert set(np.flatnonzero(result.new)) == {39, 40}
    assert result.scores()["total_displacement"] < 3 and result.displacement.max() < 2.5
    assert abs(result.design.x[39] - 6) < 1 and abs(result.design.y[39] - 5) < 2.5
    kept = legalise(design, near=old, only_new=True)
    others = [i for i in range(1, 39)]
    there = [names.index(design.names[i]) for i in others]
    assert np.allclose(kept.design.x[others], old.x[there])
    with pytest.raises(InputError, match="no node of this design"):
        strangers = replace(old, names=type(old.names).of([f"z{n}" for n in names]))
        legalise(design, near=strangers)


def test_the_command_tells_how_far(folder, capsys):
    from sciml.cli import main

    scattered(folder, 2, 30)
    files = ["--lef", str(folder / "a.lef")]
    out = folder / "out.def"
    arguments = [str(folder / "a.def"), *files, "-o", str(out), "--json"]
    assert main(["placement", "legalise", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["legal"] and 0 < told["max_displacement"] <= told["total_displacement"]
    assert main(["placement", "check", str(out), *files]) == 0
    capsys.readouterr()
    # Byte for byte the input, but for coordinates.
    before, after = (folder / "a.def").read_text().split("\n"), out.read_text().split("\n")
    differing = [a for a, b in zip(before, after, strict=True) if a != b]
    assert differing and all(line.startswith("- c") for line in differing)
    near = [
        str(out),
        *files,
        "--near",
        str(folder / "a.def"),
        "-o",
        str(folder / "n.def"),
        "--json",
    ]
    assert main(["placement", "legalise", *near]) == 0
    assert json.loads(capsys.readouterr().out)["total_displacement"] == pytest.approx(
        told["total_displacement"]
    )
