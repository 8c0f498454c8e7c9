"""`sciml jets explain`: the page, and one line for every fault."""

import pytest

from sciml.cli import main
from sciml.jets.data.sample import shipped


def run(*arguments):
    return main(["jets", "explain", *map(str, arguments)])


def test_a_page(tmp_path, capsys):
    out = tmp_path / "why.html"
    assert run(shipped("test"), "-o", out, "--jets", 3, "--max-jets", 300) == 0
    assert "of 300 jets" in capsys.readouterr().err
    page = out.read_text()
    for words in ("Jet 3: ", "Occlusion", "Integrated gradients", "Attention roll-out",
                  "rank correlation", "physicist", "heavy particle", "plain head"):  # fmt: skip
        assert words in page, words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jets", "300"), "no jet 300"),
        (("--signal", "Tbq"), "Tbqq"),
        (("--signal", "QCD"), "both QCD"),
        (("--model", "contacts-small"), "contacts-small"),
    ],
)
def test_faults_are_one_line(tmp_path, capsys, arguments, words):
    assert run(shipped("test"), "-o", tmp_path / "why.html", "--max-jets", 200, *arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) <= 2


def test_the_page_is_named_as_one(tmp_path, capsys):
    assert run(shipped("test"), "-o", tmp_path / "why.pdf") == 2
    assert ".html" in capsys.readouterr().err
