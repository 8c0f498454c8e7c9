"""Cases from the field: made files, and ../shared/cases/placement where it is at hand."""

import numpy as np
import pytest

from sciml.cli import main
from sciml.placement import check, hpwl, read_design
from sciml.placement.placer import place


@pytest.fixture(scope="module")
def cases(origin, request, fixture_script, tmp_path_factory):
    if origin == "shared":
        return request.getfixturevalue("shared") / "cases/placement"
    folder = tmp_path_factory.mktemp("cases")
    fixture_script("layout_files").write(folder)
    return folder


@pytest.mark.parametrize(
    "name, movable",
    [("halo/halo", "macros"), ("symmetry/sym", "macros"), ("blockage/partblock", "cells"),
     ("die/poly", "cells")],
)  # fmt: skip
def test_rules_of_where_things_stand_are_kept(name, movable, cases):
    design = read_design(cases / f"{name}.def")
    assert not check(design).legal  # all on a heap
    result = place(design, cpu_seconds=0.5, movable=movable, seed=1)
    placed = result.design
    assert result.scores["legal"] and check(placed, design).legal
    width, height = placed.size()
    if name == "halo/halo":
        for i in range(4):
            for j in range(i):
                gap_x = abs(placed.x[i] - placed.x[j]) - (width[i] + width[j]) / 2
                gap_y = abs(placed.y[i] - placed.y[j]) - (height[i] + height[j]) / 2
                assert max(gap_x, gap_y) > 3 - 1e-9
    if name == "symmetry/sym":
        assert not placed.orientation.any()
    if name == "blockage/partblock":
        assert (placed.y - height / 2 > 20 - 1e-9).all()
        row = np.round((placed.y - height / 2) / 2).astype(int)
        assert np.array_equal(placed.orientation, np.where(row % 2 == 0, 0, 3))
    if name == "die/poly":
        assert ((placed.x + width / 2 < 20 + 1e-9) | (placed.y + height / 2 < 20 + 1e-9)).all()


def test_a_fixed_macro_outside_is_named(cases, capsys):
    assert main(["placement", "check", str(cases / "die/L10.def")]) == 1
    assert "'m0' is outside the die (fixed)" in capsys.readouterr().out


@pytest.mark.parametrize("name, high", [("t", 2.0), ("t2", 2.0)])
def test_a_sites_size_need_not_come_first(name, high, cases):
    folder = cases / "site"
    rows = read_design(folder / f"{name}.def", lef=[folder / "t.lef"]).rows
    assert rows is not None and np.allclose(rows.height, high)


@pytest.mark.parametrize(
    "name, length", [("synthesized/mustjoin", 3.2), ("lef58_multiline/t", 0.0)]
)  # fmt: skip
def test_what_a_placer_does_not_need_is_passed_over(name, length, cases):
    assert hpwl(read_design(cases / f"{name}.def")) == pytest.approx(length)


@pytest.mark.parametrize("number", ["-1e308", "-1e39", "-1e9", "1e400", "nan"])
def test_coordinates_beyond_lef_and_def_are_one_line(number, cases, tmp_path, capsys):
    for name in ("d.def", "lib.lef"):
        text = (cases / "abort" / name).read_text()
        (tmp_path / name).write_text(text.replace("-1e308", number))
    assert main(["placement", "score", str(tmp_path / "d.def")]) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1 and ("32-bit" in output or "finite number" in output)
