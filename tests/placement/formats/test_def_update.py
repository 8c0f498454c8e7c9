"""A placed DEF is the DEF that was read, with other places and not a byte else changed."""

import gzip
import re
from dataclasses import replace

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement import check, convert, proxy_cost, read_design, write_design

LEF = """VERSION 5.8 ;
MANUFACTURINGGRID 0.005 ;
SITE core CLASS CORE ; SIZE 0.19 BY 1.4 ; END core
MACRO INV CLASS CORE ; SIZE 0.57 BY 1.4 ; SYMMETRY X Y ; SITE core ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 0.1 0.2 0.1 0.205 ; END END A
  PIN Z DIRECTION OUTPUT ; PORT LAYER m1 ; RECT 0.3 1 0.3 1 ; END END Z
END INV
MACRO RAM CLASS BLOCK ; SIZE 4.335 BY 3.115 ; SYMMETRY X Y ;
  PIN D DIRECTION INPUT ; PORT LAYER m4 ; RECT 0 0 0.1 0.1 ; END END D
END RAM
"""
ROWS = "".join(
    f"ROW r{k} core 0 {2800 * k} {('N', 'FS')[k % 2]} DO 100 BY 1 STEP 380 0 ;\n" for k in range(12)
)
DEF = f"""# made by hand
VERSION 5.8 ;
DIVIDERCHAR "/" ;\tBUSBITCHARS "[]" ;
DESIGN keep ;
UNITS DISTANCE MICRONS 2000 ;
PROPERTYDEFINITIONS
  COMPONENT note STRING ;
END PROPERTYDEFINITIONS
DIEAREA ( 0 0 ) ( 38000 33600 ) ;
{ROWS}TRACKS X 190 DO 100 STEP 380 LAYER m1 ;
VIAS 1 ;
- v0 + RECT m1 ( 0 0 ) ( 10 10 ) ;
END VIAS
COMPONENTS 8 ;
- r0 RAM
   + SOURCE DIST + PLACED ( 0 0 ) N  # left below
   + PROPERTY note "+ PLACED ( 1 1 ) N ;" ;
- r1 RAM + PLACED  ( 0\t0 )  S ;
- r2 RAM + FIXED ( 29000 27000 ) FN ;
- r3 RAM + UNPLACED ;
- c0 INV ;
- c1 INV + UNPLACED ( 7 7 ) N + WEIGHT 2 ;
- c2 INV + PLACED ( 380 2800 ) FS ;
- c3 INV + SOURCE TIMING ;
END COMPONENTS
PINS 1 ;
- p + NET n0 + DIRECTION INPUT + LAYER m1 ( 0 0 ) ( 20 20 ) + PLACED ( 0 400 ) N ;
END PINS
SPECIALNETS 1 ;
- VDD ( * VDD ) + ROUTED m1 100 ( 0 0 ) ( 38000 * ) ;
END SPECIALNETS
NETS 2 ;
- n0 ( PIN p ) ( r0 D ) ( r1 D ) ( r2 D ) ( r3 D ) ( c0 A ) ;
- n1 ( c0 Z ) ( c1 A ) ( c2 A ) + ROUTED m1 ( 0 0 ) ( 9 * ) ;
END NETS
END DESIGN
trailing words
"""
PLACE = re.compile(r"\+ (PLACED|FIXED|UNPLACED)(\s+\(\s*-?\d+\s+-?\d+\s*\)\s+[NSEWF]+)?")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.lef").write_text(LEF)
    (tmp_path / "in/x.def").write_text(DEF)
    return tmp_path / "in/x.def"


def bare(text):
    """The text without what `place` may change, its blanks made equal."""
    head, rest = text.split("COMPONENTS 8 ;")
    parts, tail = rest.split("END COMPONENTS", 1)
    lines = re.split(r'("[^"]*")', parts)
    lines[::2] = [PLACE.sub("", part) for part in lines[::2]]
    return head, "".join(lines).split(), tail


@pytest.mark.parametrize("movable", ["macros", "cells", "all"])
def test_only_places_change(movable, file, tmp_path):
    out = tmp_path / "out.def"
    words = ["place", str(file), "-o", str(out), "--cpu-seconds", "0.3s", "--movable", movable]
    assert main(["placement", *words]) == 0
    text = out.read_text()
    assert bare(text) == bare(DEF) and text != DEF
    assert not (tmp_path / "out.lef").exists()
    design = read_design(out, lef=[file.with_name("x.lef")])
    before = read_design(file)
    moved = {"macros": [0, 1, 3], "cells": [4, 5, 6, 7], "all": [0, 1, 3, 4, 5, 6, 7]}[movable]
    rest = np.setdiff1d(np.arange(8), moved)
    assert np.array_equal(design.x[rest], before.x[rest])
    assert design.constraints is not None and before.constraints is not None
    assert np.array_equal(design.constraints.unplaced[rest], before.constraints.unplaced[rest])
    assert not design.constraints.unplaced[moved].any()
    problems = check(design, before)
    later = np.zeros(design.nodes, bool)
    later[np.setdiff1d(rest, [2])] = True
    assert not problems.involving(np.isin(np.arange(design.nodes), moved), later)
    width, height = design.size()
    for corner in (design.x - width / 2, design.y - height / 2):  # macros: grid of 0.005 um
        steps = corner[[i for i in moved if i < 4]] / 0.005
        assert np.abs(steps - np.round(steps)).max(initial=0) < 1e-6


def test_nothing_changes_where_nothing_moved(file, tmp_path):
    convert(file, tmp_path / "same.def")
    assert (tmp_path / "same.def").read_bytes() == file.read_bytes()
    convert(file, tmp_path / "same.def.gz")
    assert gzip.decompress((tmp_path / "same.def.gz").read_bytes()) == file.read_bytes()


def test_another_circuit_is_written_anew(file, tmp_path):
    design = read_design(file)
    less = replace(design, net_weight=design.net_weight * 2)
    write_design(less, tmp_path / "new/a.def")
    assert (tmp_path / "new/a.lef").exists()
    assert read_design(tmp_path / "new/a.def").net_weight.tolist() == [2, 2]


def test_a_source_that_changed_meanwhile_is_refused(file, tmp_path):
    design = read_design(file)
    file.write_text(DEF.replace("- c3 INV", "- c9 INV"))
    with pytest.raises(InputError, match="was changed since it was read"):
        write_design(design, tmp_path / "out.def")
    assert not (tmp_path / "out.def").exists()


def test_bookshelf_of_a_def_is_in_database_units(file, tmp_path):
    with pytest.warns(UserWarning, match="Bookshelf cannot say"):
        convert(file, tmp_path / "x.aux")
    for ending in ("nodes", "pl", "scl"):
        body = re.sub(r"(?m)^(#|UCLA).*", "", (tmp_path / f"x.{ending}").read_text())
        assert not re.search(r"\d[.e]", body), ending
    assert " Height : 2800\n Sitewidth : 380\n" in (tmp_path / "x.scl").read_text()
    assert "\tr0\t8670\t6230\n" in (tmp_path / "x.nodes").read_text()
    offsets = [
        float(v) for v in re.findall(r": (\S+)\t(\S+)", (tmp_path / "x.nets").read_text())[0]
    ]
    assert all((2 * v).is_integer() for v in offsets)
    before, after = read_design(file), read_design(tmp_path / "x.aux")
    assert after.unit_um == 1 / 2000
    assert np.allclose(after.x * after.unit_um, before.x, atol=1e-9)
    kinds = replace(
        after, kind=before.kind, fixed=before.fixed, canvas=before.rescaled(2000).canvas
    )
    assert proxy_cost(kinds).proxy == pytest.approx(proxy_cost(before).proxy, rel=1e-9)
    convert(tmp_path / "x.aux", tmp_path / "x.pb.txt")
    in_um = read_design(tmp_path / "x.pb.txt")
    assert np.allclose(np.sort(in_um.x), np.sort(before.x), atol=1e-9)


CROWD = """VERSION 5.8 ;
DESIGN crowd ;
UNITS DISTANCE MICRONS 2000 ;
DIEAREA ( 0 0 ) ( 38000 33600 ) ;
COMPONENTS 3 ;
- f INV + FIXED ( 50000 50000 ) N ;
- r RAM + PLACED ( 0 0 ) N ;
- s RAM + PLACED ( 0 0 ) N ;
END COMPONENTS
END DESIGN
"""


def test_what_was_moved_decides_the_exit_code(file, tmp_path, capsys, monkeypatch):
    file.write_text(CROWD)  # what is fixed outside is said, but nobody asked to move it
    words = [
        "placement",
        "place",
        str(file),
        "-o",
        str(tmp_path / "o.def"),
        "--cpu-seconds",
        "0.1s",
    ]
    assert main(words) == 0
    assert "not to be moved: 'f' is outside the die (fixed)" in capsys.readouterr().err
    from sciml.placement import placer

    original = placer.mark_placed  # a placer that leaves the last two on a heap
    heap = lambda design, nodes: original(design.at(0 * design.x + 4, 0 * design.y + 4), nodes)  # noqa: E731
    monkeypatch.setattr(placer, "mark_placed", heap)
    monkeypatch.setattr(placer, "snap_to_grid", lambda design: design)
    assert main([*words, "--json"]) == 1
    output = capsys.readouterr().err
    assert output.count("\n") == 1 and "the result is not legal: 'r' and 's' overlap" in output
    assert (tmp_path / "o.def").exists()
    assert main(["placement", "check", str(tmp_path / "o.def"), "--lef",
                 str(file.with_name("x.lef"))]) == 1  # fmt: skip
