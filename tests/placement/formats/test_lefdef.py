"""What a DEF and its LEF may say beside what a placer needs: options, strings, shapes, counts."""

import gzip

import numpy as np
import pytest

from sciml.placement import hpwl, read_design
from sciml.placement.formats.lef import read_lef

LEF = """VERSION 5.8 ;
UNITS
  DATABASE MICRONS 1000 ;
END UNITS
PROPERTYDEFINITIONS
  MACRO LEF58_EDGE STRING ;
END PROPERTYDEFINITIONS
SITE unit  # the size comes last
  SYMMETRY Y ;
  CLASS CORE ;
  SIZE 0.2 BY 2 ;
END unit
BEGINEXT "maker"
  MACRO nothing - to see ;
ENDEXT
MACRO INV
  CLASS CORE ;
  SIZE 0.4 BY 2.0 ;
  PROPERTY LEF58_EDGE "
    EDGE LEFT ; END INV
    EDGE RIGHT ; " ;
  SITE unit ;
  PIN A
    DIRECTION INPUT ;
    PROPERTY note "a \\" quote
      ; END A" ;
    PORT
      LAYER m1 ;
      RECT 0.05 0.2 0.15 0.4 ; # middle 0.1 0.3
    END
  END A
  PIN Z
    DIRECTION OUTPUT ;
    PORT
      LAYER m1 ;
      RECT MASK 1 0.25 1.6 0.35 1.8 ;
    END
  END Z
END INV
"""
DEF = """VERSION 5.8 ;
DIVIDERCHAR "|" ; BUSBITCHARS "<>" ;
DESIGN d ;
UNITS DISTANCE MICRONS 1000 ;
PROPERTYDEFINITIONS
  ROW kind STRING ; COMPONENTPIN note STRING ; DESIGN who STRING "me ; END DESIGN" ;
END PROPERTYDEFINITIONS
DIEAREA ( 0 0 ) ( 40000 4e4 ) ;
ROW r0 unit 0 0 N DO 200 BY 1 STEP 200 0 + PROPERTY kind "a ; b" ;
COMPONENTS 2 ;
- a\\[0\\]|x INV + PLACED ( 0 0 ) N + PROPERTY note "( b A )
   ; - c INV" ;
- b INV # + PLACED ( 1 1 ) N
  + SOURCE DIST + PLACED ( 2000 0 ) N ;
END COMPONENTS
PINS 1 ;
- p + NET n + DIRECTION INPUT + USE SIGNAL + LAYER m1 ( -10 0 ) ( 30 100 ) + PLACED ( 0 9000 ) E ;
END PINS
SPECIALNETS 1 ;
- VDD ( * VDD ) + ROUTED m1 100 ( 0 0 ) ( 100 * ) + USE POWER ;
END SPECIALNETS
NETS 3 ;
- MUSTJOIN ( a\\[0\\]|x Z ) ;
NET ;
- q ( * VDD ) + USE POWER ;
END NETS
END DESIGN
"""
JOINED = "( a\\[0\\]|x Z + SYNTHESIZED ) ( b A )"


def read(folder, net, text=DEF, lef=LEF):
    (folder / "d.lef").write_text(lef)
    (folder / "d.def").write_text(text.replace("NET ;", f"- n {net} ;"))
    return read_design(folder / "d.def")


@pytest.mark.parametrize(
    "net",
    [
        JOINED,
        JOINED + ' + SOURCE NETLIST + USE CLOCK + WEIGHT 3 + PROPERTY note "- ( PIN p ) ;\n"',
        JOINED + " + NONDEFAULTRULE none + ROUTED m1 ( 0 0 ) ( 9 * ) via NEW m2 ( 9 0 0 ) ( * 8 )",
        "( b A ) ( a\\[0\\]|x Z + SYNTHESIZED ) + FIXEDBUMP + SHIELDNET VDD + XTALK 3",
        JOINED + " + SUBNET s ( b A ) ( PIN p ) + ORIGINAL q + ESTCAP 3 + PATTERN STEINER",
        "( a\\[0\\]|x Z + SYNTHESIZED ) # ( PIN p )\n ( b A + SYNTHESIZED )",
    ],
)
def test_options_of_nets_and_pins_are_passed_over(net, tmp_path):
    design = read(tmp_path, net)
    assert hpwl(design) == pytest.approx(3.2) and list(design.names[:2]) == ["a\\[0\\]|x", "b"]
    assert design.net_weight[1] == (3 if "WEIGHT" in net else 1)
    assert len(design.rows) == 1 and design.rows.height[0] == 2


def test_a_packed_file_and_other_marks(tmp_path):
    text = DEF.replace('"|"', '"\\"').replace('"<>"', '"()"').replace("NET ;", f"- n {JOINED} ;")
    (tmp_path / "d.def.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d.lef.gz").write_bytes(gzip.compress((LEF + "END LIBRARY\n").encode()))
    assert hpwl(read_design(tmp_path / "d.def.gz")) == pytest.approx(3.2)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_section_is_read_whatever_its_count(count, tmp_path):
    text = DEF.replace("COMPONENTS 2", f"COMPONENTS {count}").replace("NETS 3", "NETS 99")
    with pytest.warns(UserWarning) as output:
        design = read(tmp_path, JOINED, text)
    assert len(output) == 1 and f"COMPONENTS says {count}, but there are 2" in str(
        output[0].message
    )
    assert "NETS says 99" in str(output[0].message) and hpwl(design) == pytest.approx(3.2)


SHAPES = "+ LAYER m1 ( -10 0 ) ( 30 100 )"  # the middle is 10 50


@pytest.mark.parametrize(
    "shapes, turn, middle",
    [
        (f"{SHAPES} + PLACED ( 0 9000 )", "N", (10, 9050)),
        (f"{SHAPES} + PLACED ( 0 9000 )", "S", (-10, 8950)),
        (f"{SHAPES} + PLACED ( 0 9000 )", "W", (-50, 9010)),
        (f"{SHAPES} + PLACED ( 0 9000 )", "E", (50, 8990)),
        (f"{SHAPES} + FIXED ( 0 9000 )", "FN", (-10, 9050)),
        (f"{SHAPES} + FIXED ( 0 9000 )", "FS", (10, 8950)),
        (f"{SHAPES} + COVER ( 0 9000 )", "FE", (-50, 8990)),
        (f"{SHAPES} + COVER ( 0 9000 )", "FW", (50, 9010)),
        ("+ LAYER m1 MASK 1 SPACING 5 ( -10 0 ) ( 0 100 ) + LAYER m2 ( 0 0 ) ( 30 20 )"
         " + PLACED ( 0 9000 )", "N", (10, 9050)),
        ("+ POLYGON m1 ( -10 0 ) ( 30 * ) ( * 100 ) ( -10 * ) + PLACED ( 0 9000 )", "N",
         (10, 9050)),
        ("+ PLACED ( 0 9000 )", "FS", (0, 9000)),
        (f"+ PORT {SHAPES} + PLACED ( 0 9000 ) N + PORT + LAYER m1 ( 0 0 ) ( 8 8 ) "
         "+ PLACED ( 70 0 )", "S", (10, 9050)),
    ],
)  # fmt: skip
def test_a_pins_point_is_the_middle_of_its_turned_shapes(shapes, turn, middle, tmp_path):
    text = DEF.replace(f"{SHAPES} + PLACED ( 0 9000 ) E", f"{shapes} {turn}")
    assert text != DEF or turn == "E"
    design = read(tmp_path, JOINED, text)
    assert np.allclose([design.x[2] * 1000, design.y[2] * 1000], middle)


@pytest.mark.parametrize(
    "shapes, middle",
    [
        ("RECT ITERATE 0.1 0.2 0.2 0.4 DO 3 BY 2 STEP 0.1 1.0 ;", (0.25, 0.8)),
        ("RECT MASK 2 ( 0.1 0.2 ) ( 0.3 0.4 ) ;", (0.2, 0.3)),
        ("WIDTH 0.2 ; PATH 0.1 0.2 0.1 1.2 ;", (0.1, 0.7)),
        ("POLYGON 0 0 0.2 0 0.2 1 0.1 1 0.1 0.5 0 0.5 ;", (0.1, 0.5)),
        ("VIA 9 9 via1 ; RECT 0 0 0.1 0.1 ;", (0.05, 0.05)),
    ],
)
def test_a_pin_is_in_the_middle_of_shapes_of_every_kind(shapes, middle, tmp_path):
    lef = LEF.replace("RECT 0.05 0.2 0.15 0.4 ; # middle 0.1 0.3", shapes)
    (tmp_path / "d.lef").write_text(lef)
    pin = read_lef([tmp_path / "d.lef"]).macros["INV"].pins["A"]
    assert (pin.x, pin.y) == pytest.approx(middle)


def test_a_path_is_as_wide_as_its_layer_where_nothing_else_is_said(tmp_path):
    layer = "LAYER m1 TYPE ROUTING ; SPACING 0.3 ; WIDTH 0.4 ; END m1\nMACRO INV"
    path = "PATH 0.1 0.5 0.1 1.5 ;"
    lef = LEF.replace("MACRO INV", layer).replace("RECT 0.05 0.2 0.15 0.4 ;", path)
    (tmp_path / "d.lef").write_text(lef)
    pin = read_lef([tmp_path / "d.lef"]).macros["INV"].pins["A"]
    assert pin.bottom == pytest.approx(0.3)


def test_a_macro_that_is_defined_twice_is_told(tmp_path):
    one = "VERSION 5.8 ;\nMACRO A CLASS CORE ; SIZE {} BY 2 ; END A\nEND LIBRARY\n"
    for name, width in (("a", 1), ("b", 1), ("c", 3)):
        (tmp_path / f"{name}.lef").write_text(one.format(width))
    with pytest.warns(UserWarning, match="MACRO A is defined again, alike"):
        read_lef([tmp_path / "a.lef", tmp_path / "b.lef"])
    with pytest.warns(UserWarning, match="MACRO A is defined again, otherwise: the first"):
        library = read_lef([tmp_path / "a.lef", tmp_path / "c.lef"])
    assert library.macros["A"].width == 1  # as in OpenROAD


def test_tracks_are_those_of_the_routing_layers_above_the_lowest(tmp_path):
    layers = "".join(
        f"LAYER {name}\n  TYPE {kind} ;\n  DIRECTION {direction} ;\n  PITCH {pitch} ;\n"
        f"  SPACING 0.1 ;\n  WIDTH 0.1 ;\nEND {name}\n"
        for name, kind, direction, pitch in (
            ("m1", "ROUTING", "HORIZONTAL", "0.2"), ("v1", "CUT", "NONE", "9"),
            ("m2", "ROUTING", "VERTICAL", "0.25 0.4"), ("m3", "ROUTING", "HORIZONTAL", "0.3 0.5"),
            ("m4", "ROUTING", "VERTICAL", "1"), ("m5", "ROUTING", "HORIZONTAL", "1.0"),
        )
    )  # fmt: skip
    design = read(tmp_path, JOINED, lef=layers + LEF)
    assert design.tracks == pytest.approx((1 / 0.5 + 1, 1 / 0.25 + 1))
    assert read(tmp_path, JOINED).tracks is None
