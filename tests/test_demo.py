"""The demonstration: parts as child processes, each kept when it is done, on one page."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sciml import recipes
from sciml.cli import main
from sciml.demo import command, parts, schedule
from sciml.demo.page import RELOAD, joined
from sciml.demo.parts import FULL, SHORT, Part
from sciml.report import Page


def counting(folder: Path, tiny: bool) -> None:
    """A part that counts how often it was made."""
    count = folder / "made"
    count.write_text(count.read_text() + "x" if count.exists() else "x")
    page = Page("Counting", lead=f"tiny {tiny}")
    page.heading("Numbers")
    page.write(folder / "report.html")


@pytest.fixture
def two(monkeypatch, tmp_path):
    """Two parts that take no time, made in this process."""
    fakes = tuple(Part(n, f"{n}?", 10.0, f"{__name__}:counting", "sciml own") for n in ("a", "b"))

    class Made:
        """A child process that has already ended."""

        def __init__(self, words, **_):
            name, folder, size = words[3:]
            self.code = 0
            try:
                if size == "tiny" and name == "b":
                    raise ValueError("b cannot be made")
                counting(Path(folder), size == "tiny")
                real = schedule.kept.digests(Path(folder), Path(folder) / "report.html")
                note = {"size": size, "seconds": 1.0, "cpu_seconds": 2.0, "files": real}
                schedule.kept.write(Path(folder) / schedule.NOTE, note)
            except ValueError as error:
                (Path(folder) / schedule.LOG).write_text(f"Traceback\nValueError: {error}\n")
                self.code = 1

        def poll(self):
            return self.code

    monkeypatch.setattr(parts, "SHORT", fakes)
    monkeypatch.setattr(schedule.subprocess, "Popen", Made)
    return tmp_path / "out"


def test_one_page_of_all_parts_and_nothing_twice(two, capsys):
    for _ in range(2):
        assert main(["demo", "--out", str(two)]) == 0
    assert (two / "a" / "made").read_text() == "x"
    text = (two / "report.html").read_text()
    assert text.count("tiny False") >= 2 and text.count("sciml own") == 2 and "a?" in text
    assert RELOAD not in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert f"open {two / 'report.html'}" in capsys.readouterr().err


def test_a_part_that_fails_is_named_and_the_others_are_shown(two, capsys):
    assert main(["demo", "--tiny", "--out", str(two)]) == 1
    assert "b failed: ValueError: b cannot be made" in capsys.readouterr().err
    text = (two / "report.html").read_text()
    assert "tiny True" in text and "failed" in text
    assert (two / "a" / "made").read_text() == "x"


def test_a_damaged_part_is_made_again(two, capsys):
    assert main(["demo", "--out", str(two), "--only", "a"]) == 0
    assert not (two / "b").exists()
    with open(two / "a" / "report.html", "a") as file:
        file.write("more")
    assert main(["demo", "--out", str(two), "--only", "a"]) == 0
    assert "damaged" in capsys.readouterr().err
    assert (two / "a" / "made").read_text() == "xx"


def test_another_size_or_another_page_is_not_overwritten(two, capsys):
    assert main(["demo", "--out", str(two)]) == 0
    assert main(["demo", "--out", str(two), "--tiny"]) == 2
    assert "another size (short)" in capsys.readouterr().err
    (two / "report.html").write_text("mine")
    assert main(["demo", "--out", str(two)]) == 2
    assert (two / "report.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "jetz"], "Did you mean 'jets'"),
        (["--tiny", "--full"], "exclude"),
        (["--workers", "-1"], ">= 0"),
    ],
)
def test_wrong_flags_are_one_line(flags, message, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_page_exists_from_the_start_and_reads_itself_again(tmp_path):
    plan = schedule.Schedule(list(SHORT), tmp_path, "short", workers=2)
    text = str(joined(plan))
    assert RELOAD in text and "0 of 8 parts are done" in text
    assert text.count("waiting") == len(SHORT)


def test_time_left_counts_workers_and_the_pace_of_finished_parts(tmp_path):
    plan = schedule.Schedule(list(SHORT), tmp_path, "short", workers=1)
    total = sum(part.cpu_seconds for part in SHORT)
    assert plan.seconds_left() == pytest.approx(total)
    plan._pace = [2.0]
    assert plan.seconds_left() == pytest.approx(2 * total)
    plan.workers = 2
    assert total <= plan.seconds_left() <= 1.2 * total


def test_every_part_is_there_and_every_recipe_takes_its_flags():
    for part in SHORT:
        module, _, function = part.make.partition(":")
        assert callable(getattr(__import__(module, fromlist=["_"]), function))
    for part in FULL:
        _, name, *settings = part.make.split()
        recipe = recipes.load(name)
        recipes.parse_flags(type(recipe.config()), settings)
    assert command.parts_of("full") == FULL


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_stops_the_children_and_the_same_command_goes_on(tmp_path):
    words = [sys.executable, "-m", "sciml", "demo", "--tiny", "--out", str(tmp_path)]
    words += ["--only", "integrals", "contacts"]
    run = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while not (tmp_path / "integrals" / schedule.LOG).exists():
        time.sleep(0.2)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 130
    assert RELOAD in (tmp_path / "report.html").read_text()
    assert subprocess.run(words).returncode == 0
    assert RELOAD not in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_parts_at_their_smallest(tmp_path):
    assert main(["demo", "--tiny", "--out", str(tmp_path)]) == 0
    page = Page.read(tmp_path / "report.html")
    assert len(page.cards) == len(SHORT)
    for card in page.cards:
        assert card.question and card.answer and len(card.estimates) >= 2
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", page.parts[0])
