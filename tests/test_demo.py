"""The demonstration: all four parts, each resumable, one page."""

import re

import pytest

from sciml import demo, recipes
from sciml.cli import main
from sciml.report import Page

FAKE = '''"""A recipe that counts how often it ran."""
from dataclasses import dataclass

from sciml.report import Page


@dataclass(frozen=True)
class Config:
    """Settings."""

    size: int = 3
    """How large."""


TINY = {"size": 1}


def main(config, out):
    ran = out / "ran"
    ran.write_text(ran.read_text() + "x" if ran.exists() else "x")
    page = Page("Counting", lead=f"size {config.size}")
    page.heading("Again")
    page.write(out / "report.html")
'''


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Two parts that take no time."""
    (tmp_path / "fake.py").write_text(FAKE)
    load = recipes.load
    monkeypatch.setattr(recipes, "load", lambda name: load(str(tmp_path / "fake.py")))
    two = tuple(demo.Part(name, "--size 2", f"{name}?", "sciml own") for name in ("one", "two"))
    monkeypatch.setattr(demo, "PARTS", two)
    return tmp_path / "out"


def test_one_page_of_all_parts_and_nothing_twice(parts, capsys):
    for _ in range(2):
        assert main(["demo", "--out", str(parts)]) == 0
    assert (parts / "one" / "ran").read_text() == "x"
    assert "done already" in " ".join(capsys.readouterr().err.split())
    text = (parts / "report.html").read_text()
    assert text.count("size 2") == 2 and text.count("sciml own") == 2 and "one?" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_other_settings_do_not_overwrite(parts, capsys):
    assert main(["demo", "--out", str(parts), "--only", "one"]) == 0
    assert main(["demo", "--out", str(parts), "--only", "one", "--tiny"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()[-1]) > 20
    assert (parts / "one" / "ran").read_text() == "x"
    assert not (parts / "two").exists()


def test_an_unknown_part(parts, capsys):
    assert main(["demo", "--out", str(parts), "--only", "on"]) == 2
    assert "Did you mean 'one'" in capsys.readouterr().err


def test_every_part_is_a_recipe_whose_flags_exist():
    assert [part.recipe for part in demo.PARTS] == [
        "jet_tagging", "protein_structure", "symbolic_math", "circuit_placement"
    ]  # fmt: skip
    for part in demo.PARTS:
        recipe = recipes.load(part.recipe)
        recipes.parse_flags(type(recipe.config()), part.settings.split())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_four_at_their_smallest(tmp_path):
    assert main(["demo", "--tiny", "--out", str(tmp_path)]) == 0
    page = Page.read(tmp_path / "report.html")
    for word in ("Jet tagging", "Protein contacts", "Symbolic mathematics", "Circuit placement"):
        assert word in page.parts[0]
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", page.parts[0])
