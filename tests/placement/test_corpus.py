"""Every broken file is refused in one line that says what is wrong; odd but valid ones are read."""

from pathlib import Path

import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement import read_design
from sciml.placement.design import PORT
from sciml.placement.legality import check

CORPUS = Path(__file__).parents[1] / "corpus/placement"

BOOKSHELF = {
    "macro_larger_than_canvas": "'m' .* is larger than the canvas",
    "area_larger_than_canvas": "movable area .* is larger than the canvas",
    "duplicate_name": "line 5: node 'a' is defined twice",
    "unknown_name_in_nets": "unknown node 'zebra'",
    "unknown_name_in_pl": "unknown node 'zebra'",
    "negative_size": "width of 'a' must be >= 0, got -4",
    "nan_size": "line 4: width must be a finite number, got 'nan'",
    "infinite_place": "x must be a finite number, got 'inf'",
    "numpins_mismatch": "NumPins is 9, but there are 2",
    "truncated_nets": "NumNets is 2, but there are 1",
    "numnodes_mismatch": "NumNodes is 9, but there are 4",
    "no_nets_file": "names x.nets, which is not there",
    "bad_orientation": "unknown orientation 'Q'",
    "bad_direction": "direction must be I, O or B",
    "placed_twice": "'a' is placed twice",
    "row_without_sites": "the row has no numsites",
}
PROTOBUF = {
    "pb_truncated": "the file ends inside a block",
    "pb_empty": "no `node",
    "pb_duplicate": "'M0' is defined twice",
    "pb_unknown_input": "unknown input 'M0/Z'.*Did you mean 'M0/A'",
    "pb_unknown_macro": "unknown macro 'Q'",
    "pb_unknown_type": "type 'CLOUD'",
    "pb_negative_width": "width of 'M0' must be >= 0, got -20",
    "pb_nan": "width must be a finite number",
    "pb_not_a_number": "width must be a finite number, got 'wide'",
    "pb_stray_brace": "stray '}'",
    "pb_unquoted_name": "must be a quoted name",
    "pb_bad_orientation": "unknown orientation 'UP'",
}
LEFDEF = {
    "def_unknown_cell": "'u1' is a 'NAND', which is in no LEF",
    "def_unknown_component": "unknown component 'u9'",
    "def_unknown_pin": "unknown pin of RAM 'Q'",
    "def_unknown_port": "unknown port 'out'",
    "def_truncated": "no END NETS",
    "def_nan": "must be a finite number, got 'nan'",
    "def_orientation": "unknown orientation 'UP'",
    "def_units": "UNITS must be > 0",
    "def_row": "expected ROW name site x y",
    "def_twice": "'u1' is defined twice",
    "lef_truncated": "the file ends inside a block",
    "lef_negative": "must be >= 0",
    "lef_not_a_number": "expected a finite number, got 'three'",
}
PLC = {
    "plc_unknown_index": "index 99 is no macro or port",
    "plc_pin_index": "index 2 is no macro or port",
    "plc_words": "expected `index x y orientation fixed`",
    "plc_nan": "the place of node 1 is not finite",
    "plc_orientation": "unknown orientation 'UP'",
    "plc_columns": "columns must be a whole number",
    "plc_grid": "impossible grid",
    "plc_macro_too_large": "is larger than the canvas",
}


def refused(pattern, *args, **kwargs):
    with pytest.raises(InputError, match=pattern) as caught:
        read_design(*args, **kwargs)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", BOOKSHELF)
def test_bookshelf(name):
    refused(BOOKSHELF[name], CORPUS / name / "x.aux")


@pytest.mark.parametrize("name", PROTOBUF)
def test_protobuf(name):
    refused(PROTOBUF[name], CORPUS / f"{name}.pb.txt")


@pytest.mark.parametrize("name", LEFDEF)
def test_lefdef(name):
    refused(LEFDEF[name], CORPUS / name / "x.def")


@pytest.mark.parametrize("name", PLC)
def test_plc(name):
    refused(PLC[name], CORPUS / "good.pb.txt", plc=CORPUS / "plc" / f"{name}.plc")


def test_a_wrong_count_is_one_warning(capsys):
    with pytest.warns(UserWarning, match="COMPONENTS says 3, but there are 2") as output:
        design = read_design(CORPUS / "def_count/x.def")
    assert len(output) == 1 and (design.kind != PORT).sum() == 2
    assert main(["placement", "score", str(CORPUS / "def_count")]) == 0
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_broken_archive_and_missing_files():
    refused("cannot be read", CORPUS / "broken_gzip.pb.txt.gz")
    refused("no such file", CORPUS / "nothing.aux")
    refused("unknown kind of design", CORPUS / "plc/good.plc")


def test_good_files_are_good():
    design = read_design(CORPUS / "good.pb.txt", plc=CORPUS / "plc/good.plc")
    assert (design.nodes, design.nets, design.pins) == (3, 2, 4)
    assert design.canvas.x1 == 100 and design.grid.columns == 4
    design = read_design(CORPUS / "good_bookshelf")
    assert design.summary() == "x: 1 macro, 2 cells, 1 port; 2 nets, 5 pins"
    design = read_design(CORPUS / "good_def")
    assert design.summary() == "top: 1 macro, 1 cell, 1 port; 2 nets, 4 pins"
    assert design.fixed.tolist() == [False, True, True] and design.rows and len(design.rows) == 2


def test_odd_bookshelf_is_read():
    """Comments, floats, colons without blanks, nets of 0 and 1 pins, terminal_NI, rotations."""
    design = read_design(CORPUS / "odd_but_fine")
    assert design.nets == 3 and design.pins == 4 and design.width[0] == 4.5
    turned_width, turned_height = design.size()
    assert (turned_width[2], turned_height[2]) == (30, 20)
    assert design.x[2] == 40 + 15 and design.y[2] == 20 + 10
    first = design.net_start[2]
    assert design.names[int(design.pin_node[first])] == "b"  # the driver comes first
    assert check(design).legal  # the terminal_NI under cell a may be there


def test_fixed_overlap_is_named(capsys):
    verdict = check(read_design(CORPUS / "fixed_overlap"))
    assert verdict.overlaps == 1 and verdict.problems[0] == "'b' and 'm' overlap"
    assert main(["placement", "check", str(CORPUS / "fixed_overlap")]) == 1
    assert "'b' and 'm' overlap" in capsys.readouterr().out


def test_command_line_says_it_in_one_line(capsys):
    code = main(["placement", "score", str(CORPUS / "numpins_mismatch")])
    assert code == 2
    error = capsys.readouterr().err.strip()
    assert "NumPins is 9" in error and "\n" not in error and "Traceback" not in error
