"""The command line end to end, on a small design."""

import json

import numpy as np
import pytest

from sciml.cli import main
from sciml.placement import read_design, write_design
from sciml.placement.generate import NetlistConfig, netlist

KEYS = ("hpwl", "wirelength", "density", "congestion", "proxy", "overlap_area", "legal")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("design")
    write_design(netlist(NetlistConfig(macros=6, clusters=15, ports=8), 1), folder / "n.pb.txt")
    return folder


def run(capsys, *words):
    code = main(["placement", *map(str, words)])
    return code, capsys.readouterr()


def test_place_score_check_convert_draw(files, tmp_path, capsys):
    out = tmp_path / "placed.plc"
    code, output = run(capsys, "place", files / "n.pb.txt", "-o", out, "--cpu-seconds", "0.3s",
                     "--seed", 1, "--json")  # fmt: skip
    assert code == 0
    placed = json.loads(output.out)
    assert {*KEYS, "cpu_seconds", "evaluations"} <= set(placed) and placed["legal"] is True
    code, output = run(capsys, "score", files / "n.pb.txt", "--plc", out, "--json")
    scored = json.loads(output.out)
    assert code == 0 and all(scored[k] == pytest.approx(placed[k], rel=1e-9) for k in KEYS)
    assert run(capsys, "check", files / "n.pb.txt", "--plc", out)[0] == 0
    broken = read_design(files / "n.pb.txt", plc=out)
    broken.x[1], broken.y[1] = broken.x[0], broken.y[0]
    with pytest.warns(UserWarning, match="oriented otherwise than in the netlist"):
        write_design(broken, tmp_path / "broken.plc")
    code, output = run(capsys, "check", files / "n.pb.txt", "--plc", tmp_path / "broken.plc")
    assert code == 1 and "'macro_0' and 'macro_1' overlap" in output.out
    assert run(capsys, "convert", files / "n.pb.txt", tmp_path / "c.aux", "--plc", out)[0] == 0
    assert np.isclose(read_design(tmp_path / "c.aux").x[0], read_design(files / "n.pb.txt",
                                                                        plc=out).x[0])  # fmt: skip
    for kind, head in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".html", b"<!doctype")):
        picture = tmp_path / f"d{kind}"
        assert run(capsys, "draw", files / "n.pb.txt", "--plc", out, "-o", picture)[0] == 0
        assert picture.read_bytes().startswith(head)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("place", "n.pb.txt", "-o", "x.plc", "--cpu-seconds", "soon"),
            "--cpu-seconds must be a time",
        ),
        (("place", "n.pb.txt", "-o", "x.docx"), "unknown kind of output"),
        (("place", "n.pb.txt", "-o", "x.plc", "--movable", "cells"), "nothing is movable"),
        (("draw", "n.pb.txt", "-o", "x.bmp"), "a picture ends in"),
        (("score", "n.pb.txt", "--pl", "x.pl"), "--pl belongs to a Bookshelf design"),
        (("score", "nothing.aux"), "no such file"),
        (("score", "n.pb.txt", "--canvas", "0", "5"), "--canvas must be two numbers > 0"),
    ],
)
def test_mistakes_are_one_line(words, message, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [files / w if w == "n.pb.txt" else w for w in words]
    code, output = run(capsys, *words)
    assert code == 2 and message in output.err and output.err.strip().count("\n") == 0


def test_interrupt_writes_the_best_and_resume_finishes(files, tmp_path, capsys, monkeypatch):
    from sciml.placement.classical import annealing

    out = tmp_path / "p.plc"
    original = annealing.Annealer._record

    def stop(self, progress):
        original(self, progress)
        if self.stage == 5:  # the state is that of the fourth stage
            raise KeyboardInterrupt

    monkeypatch.setattr(annealing.Annealer, "_record", stop)
    code, output = run(capsys, "place", files / "n.pb.txt", "-o", out, "--cpu-seconds", 0.3)
    assert code == 0 and "--resume goes on" in output.out and out.exists()
    assert run(capsys, "check", files / "n.pb.txt", "--plc", out)[0] == 0
    monkeypatch.setattr(annealing.Annealer, "_record", original)
    code, output = run(
        capsys, "place", files / "n.pb.txt", "-o", out, "--cpu-seconds", 0.3, "--resume"
    )
    assert code == 0 and "stopped early" not in output.out
    assert not (tmp_path / ".p.plc.search.npz").exists()


def test_old_options_work_with_a_note(files, tmp_path, capsys):
    out = tmp_path / "old.plc"
    words = ("place", files / "n.pb.txt", "--output", out, "--budget", "0.05s", "--json")
    code, output = run(capsys, *words)
    assert code == 0 and out.exists() and json.loads(output.out)["legal"] is True
    assert output.err.splitlines()[:2] == [
        "sciml: note: --output is now --out", "sciml: note: --budget is now --cpu-seconds"
    ]  # fmt: skip
    code, output = run(capsys, "draw", files / "n.pb.txt", "--output", tmp_path / "old.svg")
    assert code == 0 and "--output is now --out" in output.err


def test_flat_designs_of_standard_cells_are_made_and_placed(tmp_path, capsys):
    assert main(["data", "make", "netlists", "-o", str(tmp_path), "--count", "1", "--cells",
                 "60"]) == 0  # fmt: skip
    design, out = tmp_path / "cells_00000", tmp_path / "out.pl"
    words = ("place", design, "-o", out, "--movable", "cells", "--cpu-seconds", 1, "--json")
    capsys.readouterr()
    code, output = run(capsys, *words)
    assert code == 0 and json.loads(output.out)["legal"] is True
    assert run(capsys, "check", design, "--pl", out)[0] == 0


def test_steiner_lengths_are_scored_on_demand(files, capsys):
    code, output = run(capsys, "score", files / "n.pb.txt", "--steiner", "--json")
    scores = json.loads(output.out)
    assert code == 0 and scores["hpwl"] <= scores["steiner_length"] <= 1.5 * scores["hpwl"]
    assert "steiner_length" not in json.loads(run(capsys, "score", files / "n.pb.txt",
                                                  "--json")[1].out)  # fmt: skip


def test_options_that_a_method_cannot_honour_are_refused(files, tmp_path, capsys):
    for words, message in (
        (
            ("--method", "search", "--chains", 2),
            "cannot honour `config` (chains, workers, centred)",
        ),
        (("--method", "search", "--start", "file"), "cannot honour `start`"),
        (("--policy", "p.safetensors"), 'method "sa" cannot honour `policy`'),
        (("--method", "electrostatic"), "only macros move here"),
        (("--cpu-seconds", 1, "--max-moves", 10), "give one of them"),
    ):
        code, output = run(capsys, "place", files / "n.pb.txt", "-o", tmp_path / "o.plc", *words)
        assert code == 2 and message in output.err and not (tmp_path / "o.plc").exists()


def test_a_derived_canvas_is_said_once_and_in_the_json(files, tmp_path, capsys):
    plc = next(files.glob("*.plc"))
    alone = tmp_path / "alone.pb.txt"
    alone.write_text((files / "n.pb.txt").read_text())
    code, output = run(capsys, "score", alone, "--json")
    assert code == 0 and json.loads(output.out)["canvas"] == "derived"
    assert "was derived from the nodes" in output.err and output.err.strip().count("\n") == 0
    for words, expected in ((("--plc", plc), "plc"), (("--canvas", 900, 900), "given")):
        code, output = run(capsys, "score", alone, *words, "--json")
        assert code == 0 and json.loads(output.out)["canvas"] == expected and not output.err


FLOORPLAN = """VERSION 5.8 ;
DESIGN t ;
UNITS DISTANCE MICRONS 1000 ;
DIEAREA ( 0 0 ) ( 30000 20000 ) ;
ROWS
END DESIGN
""".replace(
    "ROWS",
    "\n".join(
        f"ROW r{k} unknown 0 {2000 * k} {('N', 'FS')[k % 2]} DO 75 BY 1 STEP 400 0 ;"
        for k in range(10)
    ),
)


def flat(cells=40):
    """A netlist of standard cells 0.8 x 2 around one macro, as Circuit Training writes it."""
    node = 'node {{ name: "{}" {} attr {{ key: "type" value {{ placeholder: "{}" }} }} {} }}\n'
    number = 'attr {{ key: "{}" value {{ f: {} }} }}'.format
    size = number("width", 0.8) + number("height", 2) + number("x", 5) + number("y", 5)
    text = node.format("M", "", "MACRO", number("width", 6) + number("height", 5)
                       + number("x", 15) + number("y", 10))  # fmt: skip
    for k in range(cells):
        sinks = f'input: "c{(k + 1) % cells}" input: "c{(k * 7 + 3) % cells}"'
        text += node.format(f"c{k}", sinks, "STDCELL", size)
    return text


def test_a_flat_netlist_gets_its_rows_from_a_floorplan(tmp_path, capsys):
    netlist_file, rows, out = (tmp_path / n for n in ("n.pb.txt", "f.def", "out/o.plc"))
    netlist_file.write_text(flat())
    rows.write_text(FLOORPLAN)
    words = ("place", netlist_file, "-o", out, "--movable", "cells", "--cpu-seconds", 0.5)
    code, output = run(capsys, *words)
    assert code == 2 and "Give --rows FLOORPLAN.def" in output.err.splitlines()[-1]
    code, output = run(capsys, *words, "--rows", rows, "--json")
    assert code == 0 and json.loads(output.out)["legal"] is True and not output.err
    assert run(capsys, "check", netlist_file, "--plc", out, "--rows", rows)[0] == 0
    placed = read_design(netlist_file, plc=out, rows=rows)
    bottom = np.round((placed.y[1:] - 1) / 2).astype(int)
    assert np.isin(placed.orientation[1:], [0, 2]).tolist() == (bottom % 2 == 0).tolist()
    assert run(capsys, "check", netlist_file, "--rows", rows)[0] == 1  # all on a heap
    code, output = run(capsys, "score", tmp_path / "f.def", "--rows", rows)
    assert code == 2 and "--rows belongs to a .pb.txt" in output.err
    rows.write_text(FLOORPLAN.replace("ROW ", "#"))
    code, output = run(capsys, *words, "--rows", rows)
    assert code == 2 and "has no ROW" in output.err
