"""A new user's files, one a science, with the commands that the demonstration's page shows.

No demonstration has seen the files, made ones and, where they are at hand, real ones; each command
gives an answer, and a file of another kind one line that names the next step.
"""

import json
import shlex
from pathlib import Path

import pytest

from sciml.cli import main
from sciml.demo.parts import parts_of


def run(command: str, *files: Path) -> int:
    words = iter(files)
    arguments = [str(next(words)) if word == "FILE" else word for word in shlex.split(command)]
    return main(arguments)


def test_the_page_shows_these_commands():
    shown = {tuple(part.own.split()[1:3]) for part in parts_of("short")}
    tried = {("jets", "tag"), ("protein", "contacts"), ("symbolic", "integrate")}
    assert tried | {("placement", "place")} <= shown


@pytest.fixture
def data(origin, request):
    """The folder of real files, or None for made ones."""
    return request.getfixturevalue("shared") / "data" if origin == "shared" else None


def test_jets(data, fixture_file, fixture_script, tmp_path):
    from sciml.jets.data.io import read_jets

    if data:
        file = data / "jets" / "JetClassII_example.parquet"
    else:
        fixture_script("jet_files").write(tmp_path, fixture_file("jets/jets.parquet"))
        file = tmp_path / "list_of_struct.parquet"
    assert run("jets tag FILE -o FILE", file, tmp_path / "scores.parquet") == 0
    scores = read_jets(tmp_path / "scores.parquet")
    assert len(scores) == len(read_jets(file)) and "score_QCD" in scores.fields


def test_proteins(data, fixture_script, tmp_path):
    if data:
        alignment = data / "protein" / "pfam40" / "PF00013" / "msa.fasta.gz"
    else:
        rows = fixture_script("pydca_scores").family()
        alignment = tmp_path / "family.fasta"
        alignment.write_text("".join(f">s{i}\n{''.join(row)}\n" for i, row in enumerate(rows)))
    assert run("protein contacts FILE -o FILE", alignment, tmp_path / "contacts.tsv") == 0
    first = (tmp_path / "contacts.tsv").read_text().splitlines()[1].split("\t")
    assert 0.0 <= float(first[2]) <= 1.0


def test_formulas(data, capsys):
    import gzip

    problem = "x**2*sqrt(3*x + 2)"
    if data:
        with gzip.open(
            data / "symbolic" / "rubi_independent_x_only.shared.jsonl.gz", "rt"
        ) as lines:
            problem = json.loads(next(lines))["integrand"]
    assert run(f"symbolic integrate {shlex.quote(problem)} --json") == 0
    assert json.loads(capsys.readouterr().out)["verified"]


def test_circuits(data, tmp_path, capsys):
    from sciml.placement import read_design, write_design
    from sciml.placement.generate import NetlistConfig, netlist

    if data:
        folder = data / "placement" / "ariane133-ng45"
        files = (folder / "netlist.pb.txt.gz", folder / "initial.plc", tmp_path / "placed.plc")
    else:
        files = tuple(tmp_path / f for f in ("netlist.pb.txt.gz", "initial.plc", "placed.plc"))
        design = netlist(NetlistConfig(macros=12, clusters=30), 4)
        write_design(design, files[0])
        write_design(read_design(files[0]), files[1])  # its indices are the file's
    assert run("placement place FILE --plc FILE -o FILE --cpu-seconds 2s --json", *files) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert result["legal"] and result["proxy"] < 2
    assert run("placement check FILE --plc FILE", files[0], files[2]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "jets tag FILE -o FILE.root",
        "protein contacts FILE -o FILE.tsv",
        "symbolic solve-file FILE -o FILE.jsonl",
        "placement place FILE -o FILE.plc --cpu-seconds 1s",
    ],
)
def test_a_file_of_another_kind(command, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("Dear diary,\n\n12 of 3\n")
    words = command.replace("FILE", str(tmp_path / "notes.txt"), 1)
    words = words.replace("FILE", str(tmp_path / "out"))
    assert main(shlex.split(words)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("sciml: error: ") and "notes.txt" in lines[-1]
    assert not list(tmp_path.glob("out*"))
