"""The command `sciml demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from sciml.demo.page import write_page
from sciml.demo.parts import Part, Size, parts_of
from sciml.demo.schedule import Schedule, note_of
from sciml.errors import InputError, unknown
from sciml.files import locks
from sciml.train.log import console


def demo(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/demo"),
    tiny: bool = False,
    full: bool = False,
    only: tuple[str, ...] = (),
    workers: int = 0,
) -> int:
    """Four sciences on one page, without network: shipped weights, then small trainings.

    The page exists from the start and fills as parts finish. The same command goes on where it was
    stopped. Exit code 1: a part failed.

    Args:
        out: Where everything goes; OUT/report.html is the page.
        tiny: A minute or two, to see that it runs.
        full: The recipes of the four sciences instead, at demonstration size: half an hour.
        only: Parts to make; all if none is named.
        workers: Parts at the same time; 0 = one per core.
    """
    if tiny and full:
        raise InputError("--tiny and --full exclude each other")
    if workers < 0:
        raise InputError(f"--workers must be >= 0, got {workers}")
    size: Size = "tiny" if tiny else "full" if full else "short"
    every = parts_of(size)
    for name in only:
        if name not in (names := [part.name for part in every]):
            raise unknown("part of the demonstration", name, names)
    parts = [part for part in every if not only or part.name in only]
    page = out / "report.html"
    with locks.locked(out):
        _refuse_other(out, page, every, size)
        schedule = Schedule(parts, out, size, workers)
        write_page(page, schedule)
        console.print(f"open {page}: it fills as parts finish", soft_wrap=True)
        schedule.run(changed=lambda: write_page(page, schedule))
        locks.remove_leftovers(out)
    for name, message in schedule.failed.items():
        console.print(f"{name} failed: {message}", soft_wrap=True)
    console.print(f"the report: {page}", soft_wrap=True)
    return 1 if schedule.failed else 0


def _refuse_other(out: Path, page: Path, parts: tuple[Part, ...], size: Size) -> None:
    """Refuse a folder with another page or with parts of another size."""
    if page.exists() and "demonstration" not in page.read_text("utf-8", errors="replace"):
        raise InputError("exists, and is not of a demonstration", where=page,
                         hint="Choose another --out")  # fmt: skip
    for part in parts:
        if (note := note_of(out / part.name)) and note.get("size") != size:
            raise InputError(
                f"holds this part at another size ({note.get('size', 'of an earlier version')})",
                where=out / part.name, hint="Choose another --out, or remove the folder",
            )  # fmt: skip
