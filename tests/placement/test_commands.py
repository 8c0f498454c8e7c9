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
    code, said = run(capsys, "place", files / "n.pb.txt", "-o", out, "--budget", "0.3s", "--seed",
                     1, "--json")  # fmt: skip
    assert code == 0
    placed = json.loads(said.out)
    assert {*KEYS, "cpu_seconds", "evaluations"} <= set(placed) and placed["legal"] is True
    code, said = run(capsys, "score", files / "n.pb.txt", "--plc", out, "--json")
    scored = json.loads(said.out)
    assert code == 0 and all(scored[k] == pytest.approx(placed[k], rel=1e-9) for k in KEYS)
    assert run(capsys, "check", files / "n.pb.txt", "--plc", out)[0] == 0
    broken = read_design(files / "n.pb.txt", plc=out)
    broken.x[1], broken.y[1] = broken.x[0], broken.y[0]
    with pytest.warns(UserWarning, match="turned otherwise than in the netlist"):
        write_design(broken, tmp_path / "broken.plc")
    code, said = run(capsys, "check", files / "n.pb.txt", "--plc", tmp_path / "broken.plc")
    assert code == 1 and "'macro_0' and 'macro_1' overlap" in said.out
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
        (("place", "n.pb.txt", "-o", "x.plc", "--budget", "soon"), "--budget must be a time"),
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
    code, said = run(capsys, *words)
    assert code == 2 and message in said.err and said.err.strip().count("\n") == 0


def test_interrupt_writes_the_best_and_resume_finishes(files, tmp_path, capsys, monkeypatch):
    from sciml.placement import annealing

    out = tmp_path / "p.plc"
    original = annealing.Annealer._record

    def stop(self, progress):
        original(self, progress)
        if self.stage == 5:
            self.save(tmp_path / ".p.plc.search.npz")
            raise KeyboardInterrupt

    monkeypatch.setattr(annealing.Annealer, "_record", stop)
    code, said = run(capsys, "place", files / "n.pb.txt", "-o", out, "--budget", 0.3)
    assert code == 0 and "--resume goes on" in said.out and out.exists()
    assert run(capsys, "check", files / "n.pb.txt", "--plc", out)[0] == 0
    monkeypatch.setattr(annealing.Annealer, "_record", original)
    code, said = run(capsys, "place", files / "n.pb.txt", "-o", out, "--budget", 0.3, "--resume")
    assert code == 0 and "stopped early" not in said.out
    assert not (tmp_path / ".p.plc.search.npz").exists()


def test_a_derived_canvas_is_said_once_and_in_the_json(files, tmp_path, capsys):
    plc = next(files.glob("*.plc"))
    alone = tmp_path / "alone.pb.txt"
    alone.write_text((files / "n.pb.txt").read_text())
    code, said = run(capsys, "score", alone, "--json")
    assert code == 0 and json.loads(said.out)["canvas"] == "derived"
    assert "was derived from the nodes" in said.err and said.err.strip().count("\n") == 0
    for words, expected in ((("--plc", plc), "plc"), (("--canvas", 900, 900), "given")):
        code, said = run(capsys, "score", alone, *words, "--json")
        assert code == 0 and json.loads(said.out)["canvas"] == expected and not said.err
