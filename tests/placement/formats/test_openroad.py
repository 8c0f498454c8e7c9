"""The Tcl script of macro placements says to Tcl what the design says."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement import read_design, write_design
from sciml.placement.design import ORIENTATIONS
from sciml.placement.formats.openroad import tcl_word

tkinter = pytest.importorskip("tkinter", reason="Python without Tcl")

LEF = """SITE core CLASS CORE ; SIZE 0.2 BY 2 ; END core
MACRO RAM CLASS BLOCK ; SIZE 3 BY 2 ; SYMMETRY X Y R90 ;
  PIN A DIRECTION INPUT ; PORT LAYER m1 ; RECT 0 0 0.1 0.1 ; END END A
END RAM
END LIBRARY
"""
NAMES = ["u/ram\\[0\\]", "plain", "a{b", "c}d{e", "$x[y]", "back\\", "x\\{y", "z.z"]


def evaluated(lines):
    """The arguments of place_macro as a Tcl interpreter hands them over."""
    tcl = tkinter.Tcl()
    tcl.eval("set all {}; proc place_macro {args} { lappend ::all $args }")
    tcl.eval(lines)
    return [tcl.splitlist(call) for call in tcl.splitlist(tcl.eval("set all"))]


@pytest.fixture
def design(tmp_path):
    (tmp_path / "a.lef").write_text(LEF)
    lines = [f"- {name} RAM + PLACED ( {k * 5000} 500 ) {ORIENTATIONS[k]} ;"
             for k, name in enumerate(NAMES)]  # fmt: skip
    text = "DESIGN d ;\nUNITS DISTANCE MICRONS 1000 ;\nDIEAREA ( 0 0 ) ( 90000 90000 ) ;\n"
    text += f"COMPONENTS {len(lines) + 1} ;\n" + "\n".join(lines)
    text += "\n- stays RAM + FIXED ( 0 50000 ) N ;\nEND COMPONENTS\nEND DESIGN\n"
    (tmp_path / "a.def").write_text(text)
    return read_design(tmp_path / "a.def")


def test_tcl_reads_the_names_corners_and_orientations_of_the_design(design, tmp_path):
    (path,) = write_design(design, tmp_path / "macros.tcl")
    calls = evaluated(path.read_text())
    assert [call[1] for call in calls] == list(design.names[: len(NAMES)])
    assert [call[3] for call in calls] == [f"{5 * k} 0.5" for k in range(len(NAMES))]
    words = "R0 R180 MY MX R270 R90 MYR90 MXR90".split()  # N S FN FS E W FE FW
    assert [call[5] for call in calls] == words


@pytest.mark.parametrize(
    "name", [*NAMES, "\\", "{", "}", "a b", 'q"u', "semi;x", "\\}", "#x", "a\\{b}"]
)
def test_any_name_is_one_word_of_tcl(name):
    assert tkinter.Tcl().splitlist(tcl_word(name)) == (name,)


def test_without_movable_macros_there_is_nothing_to_write(design, tmp_path):
    design.fixed = np.ones(design.nodes, bool)
    with pytest.raises(InputError, match="no placed movable macro"):
        write_design(design, tmp_path / "macros.tcl")
