"""What users reported of other readers and placers, rebuilt by hand: each a kind of fault.

The parts of a small library and floorplan are put together anew for every report.
"""

import warnings

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement import check, hpwl, place, read_design
from sciml.placement.legality import check as check_design

TECH = """VERSION 5.8 ;
UNITS
  DATABASE MICRONS 1000 ;
END UNITS
MANUFACTURINGGRID 0.005 ;
SITE core
  CLASS CORE ;
  SIZE 0.2 BY 2 ;
END core
"""
CELL = """MACRO INV
  CLASS CORE ;
  SIZE 0.4 BY 2 ;
  SYMMETRY X Y ;
  SITE core ;
  PIN A
    DIRECTION INPUT ;
    PORT
      LAYER m1 ;
      RECT 0.05 0.2 0.15 0.4 ;
    END
  END A
  PIN Z
    DIRECTION OUTPUT ;
    PORT
      LAYER m1 ;
      RECT 0.25 1.6 0.35 1.8 ;
    END
  END Z
END INV
"""
RAM = """MACRO RAM
  CLASS BLOCK ;
  SIZE 6 BY 8 ;
  SYMMETRY X Y ;
  PIN D
    DIRECTION INPUT ;
    PORT
      LAYER m1 ;
      RECT 0 4 0.2 4.2 ;
    END
  END D
END RAM
"""
NETS = "NETS 1 ;\n- n ( a Z ) ( b A ) ;\nEND NETS\n"


def rows(count=10, sites=100):
    return "".join(
        f"ROW r{k} core 0 {2000 * k} {'FS' if k % 2 else 'N'} DO {sites} BY 1 STEP 200 0 ;\n"
        for k in range(count)
    )


def floorplan(components, *, nets=NETS, before="", after="", die="( 0 0 ) ( 20000 20000 )"):
    """A DEF of 20 x 20 um with ten rows."""
    return (
        f"VERSION 5.8 ;\nDESIGN d ;\nUNITS DISTANCE MICRONS 1000 ;\nDIEAREA {die} ;\n{before}"
        f"{rows()}COMPONENTS {components.count('- ')} ;\n{components}END COMPONENTS\n{after}{nets}"
        "END DESIGN\n"
    )


TWO = "- a INV + PLACED ( 0 0 ) N ;\n- b INV + PLACED ( 2000 0 ) N ;\n"
LENGTH = 1.8 + 1.4  # from Z of a at (0.3, 1.7) to A of b at (2.1, 0.3)


@pytest.fixture
def read(tmp_path):
    def read(text, *libraries):
        (tmp_path / "d.def").write_text(text)
        paths = []
        for k, library in enumerate(libraries or (TECH + CELL + RAM,)):
            paths.append(tmp_path / f"l{k}.lef")
            paths[-1].write_text(library)
        return read_design(tmp_path / "d.def", lef=paths)

    return read


def test_a_component_over_several_lines(read):
    """TritonCTS #13: a reader that went line by line."""
    text = TWO.replace(" INV", "\n\n   INV").replace("( ", "(\n ").replace("+ ", "\n  +\t")
    assert hpwl(read(floorplan(text))) == pytest.approx(LENGTH)


def test_unplaced_components_with_a_point_are_started_there(read):
    """KLayout #1307: UNPLACED ( x y ) orient was dropped."""
    design = read(floorplan(TWO.replace("PLACED", "UNPLACED")))
    assert not design.fixed[:2].any()
    placed = place(design, cpu_seconds=1, movable="cells").design
    assert check(placed, design).legal


def test_sections_that_a_placer_does_not_need(read):
    """KLayout #1307, OpenROAD #6883 and #9691, DREAMPlace #50."""
    before = (
        "COMPONENTMASKSHIFT m3 v2 m2 ;\n"
        "VIAS 1 ;\n- v + VIARULE 'gen' + CUTSIZE 76 76 + LAYERS m1 v1 m2\n"
        "  + CUTSPACING 148 148 + ENCLOSURE 130 0 0 130 + ROWCOL 17 2 ;\nEND VIAS\n"
    )
    after = (
        "SPECIALNETS 1 ;\n- VDD ( * VDD ) + RECT m1 ( 3 7 ) ( 11 17 ) + MASK 2\n"
        "  + POLYGON m2 ( 0 0 ) ( 5 0 ) ( 5 9 ) + VIA v ( 1 1 ) + USE POWER ;\nEND SPECIALNETS\n"
        "IOTIMINGS 1 ;\n- ( PIN a ) + RISE SLEWRATE 5 5 + FALL SLEWRATE 5 5\n"
        "  + CAPACITANCE 2 ;\nEND IOTIMINGS\n"
        "SCANCHAINS 1 ;\n- s + START a Z + FLOATING a ( IN A ) ( OUT Z ) + STOP b A ;\n"
        "END SCANCHAINS\n"
    )
    assert hpwl(read(floorplan(TWO, before=before, after=after))) == pytest.approx(LENGTH)


def test_a_pin_with_several_ports(read):
    """DREAMPlace #194: a crash on DEF pins with PORT."""
    pins = (
        "PINS 1 ;\n- p + NET n + DIRECTION INPUT + USE SIGNAL\n"
        "  + PORT + LAYER m1 ( 0 0 ) ( 200 200 ) + PLACED ( 0 9900 ) N\n"
        "  + PORT + LAYER m1 ( 0 0 ) ( 200 200 ) + PLACED ( 19800 9900 ) N ;\nEND PINS\n"
    )
    nets = "NETS 1 ;\n- n ( PIN p ) ( a A ) ;\nEND NETS\n"
    design = read(floorplan(TWO, nets=nets, after=pins))
    assert hpwl(design) == pytest.approx(9.7)  # from (0.1, 10) to (0.1, 0.3)


def test_a_library_alone_has_no_site(read):
    """DREAMPlace #207: macros without the technology's LEF crashed the reader."""
    design = read(floorplan(TWO), CELL + RAM)
    assert np.allclose(design.rows.height, 2)  # rows abut


def test_a_macro_that_is_called_macro(read):
    """hammer #570: the word MACRO as a name; words of LEF as names of pins."""
    library = CELL.replace("INV", "MACRO").replace("PIN A", "PIN SITE").replace("END A", "END SITE")
    text = floorplan(TWO.replace("INV", "MACRO"), nets=NETS.replace("b A", "b SITE"))
    assert hpwl(read(text, TECH + library)) == pytest.approx(LENGTH)


def test_units_of_a_cells_library_and_sites_before_units(read):
    """skywater-pdk #134 (UNITS in every LEF, not alike), OpenLane #1364 (SITE before UNITS)."""
    head, units = TECH.split("UNITS\n")[0], "UNITS\n  DATABASE MICRONS 2000 ;\nEND UNITS\n"
    site = "SITE core" + TECH.split("SITE core")[1]
    cells = head + "UNITS\n  DATABASE MICRONS 200 ;\nEND UNITS\n" + CELL + RAM + "END LIBRARY\n"
    design = read(floorplan(TWO), head + site + units + "END LIBRARY\n", cells)
    assert hpwl(design) == pytest.approx(LENGTH) and np.allclose(design.rows.height, 2)


def test_no_space_before_a_semicolon(read):
    """hammer #246: SIZE 0.4 BY 2; is written by some tools."""
    design = read(floorplan(TWO), (TECH + CELL + RAM).replace(" ;", ";"))
    assert hpwl(design) == pytest.approx(LENGTH)


def test_a_pin_that_the_library_does_not_have(read):
    """DREAMPlace #37, ChiPBench #6: an index error deep inside."""
    with pytest.raises(InputError, match="unknown pin of INV 'o'"):
        read(floorplan(TWO, nets=NETS.replace("b A", "b o")))


def test_only_macros_and_nothing_for_a_cell_placer(read, tmp_path, capsys):
    """OpenROAD-flow-scripts #1682: global placement of a design with only macros failed."""
    read(floorplan("- a RAM + PLACED ( 0 0 ) N ;\n", nets="NETS 0 ;\nEND NETS\n"))
    command = ["placement", "place", str(tmp_path / "d.def"), "-o", str(tmp_path / "o.def")]
    assert main([*command, "--movable", "cells", "--cpu-seconds", "1"]) == 2
    assert "nothing is movable" in capsys.readouterr().err
    assert main([*command, "--movable", "all", "--cpu-seconds", "1"]) == 0


@pytest.mark.parametrize("where, legal", [("-9000 0", False), ("-3000 0", False), ("0 0", True)])
def test_fixed_macros_without_pins_outside_the_die(where, legal, read):
    """OpenROAD #9060 and #9085: fixed macros outside, or partly inside, the placement area."""
    text = f"- m RAM + FIXED ( {where} ) N ;\n- k RAM + PLACED ( 9000 9000 ) N ;\n" + TWO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = read(floorplan(text))
        placed = place(design, cpu_seconds=0.5, movable="all", seed=1)
    verdict = check_design(placed.design, design)
    assert verdict.legal == legal and not placed.violations
    assert legal or any("'m' is outside the die (fixed)" in line for line in verdict.problems)
    # Whatever is movable keeps clear of the part that is inside.
    k = 1
    assert (
        placed.design.x[k] - 3 >= 6 + float(where.split()[0]) / 1000 - 1e-6
        or placed.design.y[k] - 4 >= 8 - 1e-6
    )


def test_macros_on_the_grid_stay_inside_the_die(read):
    """OpenROAD #11278: snapping moved a macro past the edge, and the result was refused."""
    die = "( 0 0 ) ( 12003 8003 )"  # two RAMs and 3 nm, on a grid of 5 nm
    text = "- a RAM + PLACED ( 0 0 ) N ;\n- b RAM + PLACED ( 1 1 ) N ;\n"
    nets = "NETS 1 ;\n- n ( a D ) ( b D ) ;\nEND NETS\n"
    design = read(floorplan(text, nets=nets, die=die))
    for seed in range(3):
        placed = place(design, cpu_seconds=0.2, seed=seed)
        assert placed.scores["legal"], placed.violations
        corner = np.stack([placed.design.x[:2] - 3, placed.design.y[:2] - 4])
        assert np.allclose(corner / 0.005, np.round(corner / 0.005), atol=1e-6)


def test_cells_next_to_fixed_tap_and_end_cells(read):
    """OpenLane #4: a cell slid onto a tap cell that abuts an end cap."""
    fixed = "".join(
        f"- e{k} INV + FIXED ( 0 {2000 * k} ) {'FS' if k % 2 else 'N'} ;\n"
        f"- t{k} INV + FIXED ( 400 {2000 * k} ) {'FS' if k % 2 else 'N'} ;\n"
        for k in range(10)
    )
    moving = "".join(f"- u{k} INV + UNPLACED ;\n" for k in range(200))
    nets = "NETS 199 ;\n"
    nets += "".join(f"- n{k} ( u{k} Z ) ( u{k + 1} A ) ;\n" for k in range(199)) + "END NETS\n"
    design = read(floorplan(fixed + moving, nets=nets))
    placed = place(design, cpu_seconds=2, movable="cells")
    assert placed.scores["legal"], check(placed.design, design).problems[:3]


def test_halos_of_fixed_macros_hold_for_what_moves(read):
    """OpenROAD-flow-scripts #4415, ecc-tools #165: halos of fixed macros were lost."""
    text = "- m RAM + FIXED ( 6000 6000 ) N + HALO 2000 2000 2000 2000 ;\n"
    text += "".join(f"- u{k} INV + UNPLACED ;\n" for k in range(60))
    nets = "NETS 60 ;\n"
    nets += "".join(f"- n{k} ( u{k} Z ) ( m D ) ;\n" for k in range(60)) + "END NETS\n"
    design = read(floorplan(text, nets=nets))
    placed = place(design, cpu_seconds=2, movable="cells").design
    u = slice(1, 61)
    inside = (np.abs(placed.x[u] - 9) < 5.2 - 1e-6) & (np.abs(placed.y[u] - 10) < 7 - 1e-6)
    assert not inside.any() and check(placed, design).legal


def test_ports_that_nothing_may_be_kept_out_of(tmp_path):
    """ripple #11: terminal_NI nodes of the DAC 2012 contest lie in the core and block nothing."""
    (tmp_path / "d.aux").write_text("RowBasedPlacement : d.nodes d.nets d.pl d.scl\n")
    (tmp_path / "d.nodes").write_text(
        "UCLA nodes 1.0\nNumNodes : 4\nNumTerminals : 1\n"
        "C4 12 15\nC5 12 15\nC6 6 15\nT1 1 1 terminal_NI\n"
    )
    (tmp_path / "d.pl").write_text(
        "UCLA pl 1.0\nC4 0 0 : N\nC5 0 0 : N\nC6 0 0 : N\nT1 5 5 : N /FIXED_NI\n"
    )
    (tmp_path / "d.nets").write_text(
        "UCLA nets 1.0\nNumNets : 2\nNumPins : 5\nNetDegree : 2 N4\nC6 I : -1 -4.5\n"
        "T1 O : 0 0\nNetDegree : 3 N5\nC4 I : 2 -4.5\nC6 I : -1 4.5\nC5 O : -1 4.5\n"
    )
    row = (
        "CoreRow Horizontal\n Coordinate : {}\n Height : 15\n Sitewidth : 1\n Sitespacing : 1\n"
        " Siteorient : N\n Sitesymmetry : Y\n SubrowOrigin : 0 NumSites : 30\nEnd\n"
    )
    (tmp_path / "d.scl").write_text("UCLA scl 1.0\nNumRows : 1\n" + row.format(0))
    design = read_design(tmp_path / "d.aux")
    placed = place(design, cpu_seconds=0.5, movable="cells")
    assert placed.scores["legal"]  # 30 sites, all full: one lies over the port
