"""What LEF and DEF say about where objects may stand: kept by `place`, reported by `check`."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.placement import check, read_design, write_design
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.placer import place

sys.path.insert(0, str(Path(__file__).parent))
from legality_cases import TURNS, faults, make, scatter
from legality_package import placed_or_refused, read, reported


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_check_names_what_a_brute_force_checker_finds(seed, folder):
    case = make(seed)
    scatter(case, seed)
    assert reported(check(read(case, folder))) == faults(case)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_place_ends_legally_or_refuses(seed, folder):
    case = make(seed)
    placed_or_refused(case, read(case, folder), seed)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
@example(seed=5638)  # cells that say Y, in a library of which another says X
def test_rules_survive_a_conversion(seed, folder):
    case = make(seed)
    scatter(case, seed)
    design = read(case, folder)
    # as a file of its own, and as the file that it was with other places
    for k, written in enumerate((replace(design, origin=None), design)):
        to = folder / f"again{k}" / "b.def"
        write_design(written, to)
        again = read_design(to, lef=[folder / "a.lef"] if written is design else [])
        assert reported(check(again)) == reported(check(design)) == faults(case)


# -- single rules, as a file says them ------------------------------------------------------
LEF = """VERSION 5.8 ;
SITE core CLASS CORE ; SIZE 0.2 BY 2 ; END core
MACRO INV CLASS CORE ; SIZE 0.4 BY 2 ; SYMMETRY X Y ; SITE core ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 0.1 0.2 0.1 0.2 ; END END A
  PIN Z DIRECTION OUTPUT ; PORT LAYER m1 ; RECT 0.3 1.8 0.3 1.8 ; END END Z
END INV
MACRO RAM CLASS BLOCK ; SIZE 10 BY 6 ; %s END RAM
END LIBRARY
"""


def design_of(folder, components, rest="", symmetry="", die="( 0 0 ) ( 40000 40000 )"):
    rows = "".join(
        f"ROW r{k} core 0 {2000 * k} {('N', 'FS')[k % 2]} DO 200 BY 1 STEP 200 0 ;\n"
        for k in range(20)
    )
    body = "".join(f"- {line} ;\n" for line in components)
    (folder / "a.lef").write_text(LEF % symmetry)
    (folder / "a.def").write_text(
        f"VERSION 5.8 ;\nDESIGN d ;\nUNITS DISTANCE MICRONS 1000 ;\nDIEAREA {die} ;\n{rows}"
        f"COMPONENTS {len(components)} ;\n{body}END COMPONENTS\n{rest}\nEND DESIGN\n"
    )
    return read_design(folder / "a.def")


@pytest.mark.parametrize(
    "symmetry, allowed",
    [("", "N"), ("X", "N FS"), ("Y", "N FN"), ("X Y", "N S FN FS"), ("R90", "N S E W"),
     ("X Y R90", "N S FN FS E W FE FW")],
)  # fmt: skip
def test_symmetry_says_how_a_block_may_be_turned(symmetry, allowed, folder):
    line = f"SYMMETRY {symmetry} ;" if symmetry else ""
    legal = []
    for turn in TURNS:
        design = design_of(folder, [f"m RAM + PLACED ( 0 0 ) {turn}"], symmetry=line)
        verdict = check(design)
        legal += [turn] if verdict.legal else []
        told_why = [f"'m' is turned {turn}: its SYMMETRY allows {allowed}"]
        assert verdict.legal or verdict.problems == told_why
    assert legal == allowed.split()
    blocks = [f"m{k} RAM + PLACED ( 0 0 ) S" for k in range(4)]
    nets = "NETS 0 ;\nEND NETS"
    placed = place(design_of(folder, blocks, nets, line), max_moves=3000)
    assert placed.scores["legal"]
    assert {TURNS[o] for o in placed.design.orientation} <= set(allowed.split())


@pytest.mark.parametrize(
    "x, halo, legal",
    [(10000, "", True), (12900, "3000 0 0 0", True), (12900, "0 0 3000 0", False),
     (13000, "3000 3000 3000 3000", True), (12999, "3000 3000 3000 3000", False),
     (12999, "SOFT 3000 3000 3000 3000", False)],
)  # fmt: skip
def test_halos_keep_everybody_away_on_the_side_they_say(x, halo, legal, folder):
    words = f" + HALO {halo}" if halo else ""
    for other in (f"m1 RAM + PLACED ( {x} 0 ) N", f"m1 INV + FIXED ( {x} 0 ) N"):
        verdict = check(design_of(folder, [f"m0 RAM + PLACED ( 0 0 ) N{words}", other]))
        assert verdict.legal == legal
        assert legal or verdict.problems == ["'m1' is in the halo of 'm0'"]


def test_later_phases_may_use_soft_halos_and_soft_blockages(folder):
    soft = "BLOCKAGES 1 ;\n- PLACEMENT + SOFT RECT ( 30000 0 ) ( 40000 40000 ) ;\nEND BLOCKAGES"
    block = "m0 RAM + PLACED ( 0 0 ) N + HALO SOFT 0 0 1000 0"
    cells = ["a INV {} + PLACED ( 10400 0 ) N", "b INV {} + PLACED ( 31000 0 ) N"]
    for source, legal in (("", False), ("+ SOURCE TIMING", True), ("+ SOURCE NETLIST", False)):
        verdict = check(design_of(folder, [block, *(c.format(source) for c in cells)], soft))
        assert verdict.legal == legal
        assert (verdict.halos, verdict.blocked) == ((0, 0) if legal else (1, 1))


def test_members_of_a_group_are_in_its_fence_and_nobody_else(folder):
    rest = """REGIONS 2 ;
- f ( 0 0 ) ( 4000 8000 ) ( 4000 0 ) ( 8000 4000 ) + TYPE FENCE ;
- g ( 20000 0 ) ( 24000 8000 ) + TYPE GUIDE ;
END REGIONS
GROUPS 2 ;
- one a* b[0] + REGION f ;
- two c + REGION g ;
END GROUPS"""
    cells = [f"{name} INV + PLACED ( 0 0 ) N" for name in ("a1", "a2", "b[0]", "c", "d")]
    design = design_of(folder, [*cells, "e INV + PLACED ( 0 0 ) N + REGION f"], rest)
    assert design.constraints.region.tolist() == [0, 0, 0, 1, -1, 0]
    verdict = check(design)
    strangers = [line for line in verdict.problems if "region" in line]
    assert strangers == [f"{c!r} is no member of the FENCE region 'f' that it is in"
                         for c in ("c", "d")]  # fmt: skip
    assert verdict.notes == ["'c' is outside its GUIDE region 'g'"]
    placed = place(design, cpu_seconds=1, movable="cells").design
    assert check(placed).legal
    inside = (placed.y < 8) & (placed.x < 4) | (placed.y < 4) & (placed.x < 8)
    assert inside.tolist() == [True, True, True, False, False, True]


def test_a_partial_blockage_is_filled_no_more_than_it_says(folder):
    rest = "BLOCKAGES 1 ;\n- PLACEMENT + PARTIAL 25 RECT ( 0 0 ) ( 40000 8000 ) ;\nEND BLOCKAGES"
    cells = [f"c{k} INV + PLACED ( {400 * k} 0 ) N" for k in range(99)]
    packed = check(design_of(folder, cells, rest))
    assert packed.blocked == 0  # 99 * 0.8 of 320 square micrometres
    more = [f"d{k} INV + PLACED ( {400 * k} 2000 ) FS" for k in range(10)]
    full = check(design_of(folder, cells + more, rest))
    assert full.blocked == 1 and "PARTIAL" in full.problems[0] and "'d9'" in full.problems[0]
    ports = "PINS 1 ;\n- p + NET n + DIRECTION INPUT + PLACED ( 0 0 ) N ;\nEND PINS\n" + rest
    nets = (
        ports
        + "\nNETS 1 ;\n- n ( PIN p ) "
        + " ".join(f"( {line.split()[0]} A )" for line in cells + more)
        + " ;\nEND NETS"
    )
    placed = place(design_of(folder, cells + more, nets), cpu_seconds=1, movable="cells")
    assert placed.scores["legal"]
    assert 0.8 * (placed.design.y[: len(cells + more)] < 8).sum() <= 0.25 * 320


def test_what_is_fixed_outside_is_named_and_never_legal(folder):
    blocks = ["m0 RAM + FIXED ( 38000 0 ) N", "m1 RAM + PLACED ( -5000 0 ) N"]
    design = design_of(folder, blocks)
    assert check(design).problems == ["'m0' is outside the die (fixed)", "'m1' is outside the die"]
    placed = place(design, max_moves=2000)
    assert placed.scores["legal"] is False
    assert check(placed.design).problems == ["'m0' is outside the die (fixed)"]


def test_a_polygon_die_has_a_notch(folder):
    die = "( 0 0 ) ( 0 40000 ) ( 20000 40000 ) ( 20000 20000 ) ( 40000 20000 ) ( 40000 0 )"
    for x, y, legal in ((0, 0, True), (10000, 20000, True), (10200, 20000, False),
                        (15000, 14000, True), (30000, 34000, False)):  # fmt: skip
        assert check(design_of(folder, [f"m RAM + FIXED ( {x} {y} ) N"], die=die)).legal == legal
    with pytest.raises(InputError, match="horizontal or vertical"):
        design_of(folder, [], die="( 0 0 ) ( 10 30 ) ( 40 0 )")
    again = "( 0 0 ) ( 0 0 ) ( 0 40000 ) ( 40000 40000 ) ( 40000 0 ) ( 20000 0 )"
    assert design_of(folder, [], die=again).constraints.die is None


@pytest.mark.parametrize(
    "rest, message",
    [
        ("BLOCKAGES 1 ;\n- PLACEMENT + HARD RECT ( 0 0 ) ( 1 1 ) ;\nEND BLOCKAGES", "'HARD'"),
        ("BLOCKAGES 1 ;\n- PLACEMENT + PARTIAL 120 RECT ( 0 0 ) ( 1 1 ) ;\nEND BLOCKAGES", "120"),
        ("BLOCKAGES 1 ;\n- PLACEMENT RECT ( 0 0 ) ( 1 ;\nEND BLOCKAGES", "expected points"),
        ("BLOCKAGES 1 ;\n- PLACEMENT + COMPONENT z RECT ( 0 0 ) ( 1 1 ) ;\nEND BLOCKAGES", "'z'"),
        ("REGIONS 1 ;\n- r ( 0 0 ) ( 1 1 ) + TYPE WALL ;\nEND REGIONS", "'WALL'"),
        ("GROUPS 1 ;\n- g m + REGION nowhere ;\nEND GROUPS", "unknown region 'nowhere'"),
        ("REGIONS 1 ;\n- r ( 0 0 ) ( 1 1 ) ;\nEND REGIONS\nGROUPS 1 ;\n- g x* + REGION r ;\n"
         "END GROUPS", "no component is called 'x\\*'"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_read_are_one_line(rest, message, folder):
    with pytest.raises(InputError, match=message):
        design_of(folder, ["m RAM + PLACED ( 0 0 ) N"], rest)


def test_what_cannot_be_honoured_is_refused_before_anything_is_placed(folder):
    block = "BLOCKAGES 1 ;\n- PLACEMENT {}RECT ( 0 0 ) ( 9000 9000 ) ;\nEND BLOCKAGES"
    design = design_of(folder, ["m RAM + PLACED ( 0 0 ) N"], block.format(""))
    with pytest.raises(InputError, match="--method search does not yet honour placement blockages"):
        place(design, method="search")
    design = design_of(folder, ["m RAM + PLACED ( 0 0 ) N"], block.format("+ COMPONENT m "))
    assert check(design).legal  # its own blockage is no obstacle to it
    with pytest.raises(InputError, match="belongs to component 'm', which moves"):
        place(design)


def test_other_formats_say_what_they_lose(folder):
    design = design_of(folder, ["m RAM + PLACED ( 0 0 ) N + HALO 1 1 1 1"])
    for name in ("x.aux", "x.pb.txt"):
        with pytest.warns(UserWarning, match="cannot say halos, SYMMETRY: not written"):
            write_design(design, folder / name)


def test_every_one_of_many_that_lie_on_a_heap_is_named(folder):
    cells = [f"c{k} INV + PLACED ( 0 0 ) N" for k in range(1600)]
    verdict = check(design_of(folder, cells))  # 1.3 million pairs
    named = {name for line in verdict.problems for name in re.findall(r"'(c\d+)'", line)}
    assert len(named) == 1600 and verdict.overlaps >= 1_000_000


def test_what_is_unplaced_is_not_legal_until_it_is_placed(folder):
    lines = ["a INV + UNPLACED", "b INV", "m RAM + UNPLACED", "c INV + PLACED ( 20000 0 ) N"]
    design = design_of(folder, lines)
    assert check(design).problems == [f"{name!r} is not placed" for name in "abm"]
    write_design(design, folder / "again" / "b.def")
    again = read_design(folder / "again" / "b.def", lef=[folder / "a.lef"])
    assert check(again).unplaced == 3
    macros = place(design, max_moves=500)
    assert check(macros.design).unplaced == 2 and not macros.scores["legal"]
    cells = place(macros.design, cpu_seconds=1, movable="cells", start="file")
    assert cells.scores["legal"]


def test_rows_of_bookshelf_say_how_cells_are_turned_if_they_differ(folder):
    design = design_of(folder, [f"c{k} INV + PLACED ( 0 {2000 * k} ) N" for k in range(4)])
    with pytest.warns(UserWarning, match="cannot say SYMMETRY"):
        write_design(design, folder / "y.aux")
    again = read_design(folder / "y.aux")
    expected = [f"cell 'c{k}' is turned N in a row FS" for k in (1, 3)]
    assert check(design).problems == check(again).problems == expected
    placed = legalise_cells(again)
    assert check(placed).legal and placed.orientation.tolist() == [0, 3, 0, 3]
    text = (folder / "y.scl").read_text()
    (folder / "y.scl").write_text(text.replace("Siteorient : FS", "Siteorient : N"))
    assert check(read_design(folder / "y.aux")).legal  # N everywhere says nothing


def test_cells_of_two_sites_stand_on_rows_of_their_own(folder):
    rows = "".join(f"ROW t{k} tall 0 {4000 * k} N DO 100 BY 1 STEP 400 0 ;\n" for k in range(10))
    lines = [f"c{k} INV + PLACED ( 0 0 ) N" for k in range(30)]
    lines += [f"t{k} TALL + PLACED ( 200 2000 ) N" for k in range(5)]
    design_of(folder, lines[:1])
    tall = (
        "SITE tall CLASS CORE ; SIZE 0.4 BY 4 ; END tall\nMACRO TALL CLASS CORE ; "
        "SIZE 0.8 BY 4 ; SITE tall ; END TALL\nEND LIBRARY"
    )
    (folder / "a.lef").write_text((LEF % "").replace("END LIBRARY", tall))
    text = (folder / "a.def").read_text().replace("COMPONENTS 1 ;\n", rows + "COMPONENTS 35 ;\n")
    text = text.replace(f"- {lines[0]} ;\n", "".join(f"- {line} ;\n" for line in lines))
    (folder / "a.def").write_text(text)
    design = read_design(folder / "a.def")
    verdict = check(design)
    assert verdict.off_row == 5 and all(f"cell 't{k}' is not on a row" in verdict.problems
                                        for k in range(5))  # fmt: skip
    placed = legalise_cells(design)
    assert check(placed).legal
    corner = placed.x[30:] - 0.4, placed.y[30:] - 2
    assert all((abs(c / s - (c / s).round()) < 1e-9).all() for c, s in zip(corner, (0.4, 4.0)))
