"""The page of the demonstration, written anew whenever a part begins or ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sciml.demo.parts import Part
from sciml.demo.schedule import Schedule
from sciml.report import Page
from sciml.train.log import time_left

RELOAD = '<meta http-equiv="refresh" content="5">'
"""While parts are missing, a browser that shows the page reads it again every five seconds."""


def write_page(path: Path, schedule: Schedule) -> None:
    """Write the page of all parts as far as they are done."""
    joined(schedule).write(path)


def joined(schedule: Schedule) -> Page:
    """The page: what was asked and what it cost, then the page of every part that is done."""
    page = Page(
        "Four sciences, one package",
        lead="A demonstration in some minutes of two cores, on data that the package brings or "
        "makes. First what its shipped weights and exact tools do, beside the classical method of "
        "the field; then one small training per science, with pretraining and without, whichever "
        "wins. What so short a training shows is the way, not what the field can do.",
    )
    if not schedule.finished:
        page.html(RELOAD)
        page.text(
            f"**{len(schedule.done)} of {len(schedule.parts)} parts are done**, about "
            f"{time_left(schedule.seconds_left())} left for all. The page reads itself again."
        )
    for part in schedule.parts:
        state = schedule.state(part.name)
        if state == "done":
            page.extend(Page.read(schedule.out / part.name / "report.html"))
            page.text("On files of your own:")
            page.command(part.own)
    page.heading("What it took")
    page.table(
        [_row(part, schedule) for part in schedule.parts],
        "Each part has one thread; CPU time includes compiling what is compiled at first use.",
        file="demo.json of each part",
    )
    return page


def _row(part: Part, schedule: Schedule) -> dict[str, Any]:
    note = schedule.done.get(part.name, {})
    return {
        "part": part.name.replace("_", " "), "question": part.question,
        "state": schedule.state(part.name), "CPU time [s]": note.get("cpu_seconds"),
        "wall time [s]": note.get("seconds"),
    }  # fmt: skip
