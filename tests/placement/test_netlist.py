"""Netlists with fewer pins; what has no position pulls nothing."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement import hpwl, place, read_design, score
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.netlist import chosen_nets, chosen_pins, without_pins

LEF = """VERSION 5.8 ;
SITE core CLASS CORE ; SIZE 0.2 BY 2 ; END core
MACRO INV CLASS CORE ; SIZE 0.4 BY 2 ; SYMMETRY X Y ; SITE core ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 0.1 0.2 0.1 0.2 ; END END A
  PIN Z DIRECTION OUTPUT ; PORT LAYER m1 ; RECT 0.3 1.8 0.3 1.8 ; END END Z
END INV
MACRO RAM CLASS BLOCK ; SIZE 10 BY 10 ; SYMMETRY X Y ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 4 4 6 6 ; END END A
END RAM
END LIBRARY
"""


def design_of(folder, port="+ PLACED ( 90000 90000 ) N", cells="UNPLACED"):
    lines = [f"- c{k} INV + {cells} ;" for k in range(40)]
    nets = [f"- n{k} ( c{k} Z ) ( m A ) ( PIN p ) ;" for k in range(40)]
    (folder / "a.lef").write_text(LEF)
    (folder / "a.def").write_text("\n".join([
        "VERSION 5.8 ;", "DESIGN d ;", "UNITS DISTANCE MICRONS 1000 ;",
        "DIEAREA ( 0 0 ) ( 100000 100000 ) ;", "COMPONENTS 41 ;", *lines, "- m RAM + UNPLACED ;",
        "END COMPONENTS", "PINS 1 ;", f"- p + NET n0 {port} ;", "END PINS", "NETS 40 ;", *nets,
        "END NETS", "END DESIGN", "",
    ]))  # fmt: skip
    return read_design(folder / "a.def")


def test_cells_without_a_position_pull_no_macro_to_the_corner(tmp_path):
    design = design_of(tmp_path)
    with pytest.warns(UserWarning, match="have no position"):
        placed = place(design, max_moves=20_000, seed=1)
    m = 40
    assert placed.design.x[m] > 75 and placed.design.y[m] > 75  # at the port, not in between
    assert placed.design.pins == design.pins
    assert score(placed.design)["hpwl"] < 40 * 20
    unplaced = score(design)
    assert unplaced["hpwl"] == 0  # one placed pin in every net
    port_alone = score(design_of(tmp_path, port=""))
    assert port_alone["hpwl"] == 0
    at_corner = design_of(tmp_path, cells="PLACED ( 0 0 ) N")
    assert score(at_corner)["hpwl"] > 0


def test_searches_on_the_wire_mask_refuse_fixed_cells(tmp_path):
    design = design_of(tmp_path, cells="FIXED ( 0 0 ) N")
    with pytest.raises(InputError, match="does not yet honour.* fixed cells"):
        place(design, method="search", max_moves=10)


def test_pins_are_chosen_net_by_net():
    design = netlist(NetlistConfig(macros=6, clusters=12, ports=5, nets_per_node=4), 0)
    rng = np.random.default_rng(0)
    design.x[:], design.y[:] = rng.uniform(0, 100, (2, design.nodes))
    keep = rng.random(design.pins) < 0.6
    reduced = chosen_pins(design, keep)
    assert reduced.nets == design.nets
    for k in range(design.nets):
        a, b = design.net_start[k : k + 2]
        c, d = reduced.net_start[k : k + 2]
        expected = design.pin_node[a:b][keep[a:b]]
        assert reduced.pin_node[c:d].tolist() == expected.tolist()
    some = rng.random(design.nets) < 0.5
    total = hpwl(chosen_nets(design, some)) + hpwl(chosen_nets(design, ~some))
    assert total == pytest.approx(hpwl(design))
    absent = rng.random(design.nodes) < 0.3
    assert not absent[without_pins(design, absent).pin_node].any()
    assert without_pins(design, np.zeros(design.nodes, bool)) is design
