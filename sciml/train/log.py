"""What a run says: one JSON line a record, a progress bar, TensorBoard if it is asked for."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sciml.paths import atomic_write

# Everything for people goes to stderr, so that stdout stays free for results.
# File names hold brackets: what is printed is data, no markup.
console = Console(stderr=True, highlight=False, markup=False)


class MetricsLog:
    """`metrics.jsonl`: one record a line, each with its `step`; a resumed run repeats none."""

    def __init__(
        self, path: Path, keep_up_to: int | None = None, tensorboard: bool = False
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        kept = [r for r in read_metrics(path) if keep_up_to is not None and r["step"] <= keep_up_to]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        temporary = path.with_suffix(".part")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        self.file = open(path, "a", encoding="utf-8", buffering=1)
        self.records = kept
        self.board = _tensorboard(path.parent) if tensorboard else None

    def write(self, step: int, **values: Any) -> None:
        record = {"step": step, **{key: _plain(value) for key, value in values.items()}}
        self.records.append(record)
        self.file.write(json.dumps(record) + "\n")
        if self.board is not None:
            for key, value in record.items():
                if isinstance(value, float):
                    self.board.add_scalar(key, value, step)

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    # JSON has no NaN or infinity; null is what every reader takes.
    if isinstance(value, float) and value != value or value in (float("inf"), float("-inf")):
        return None
    return value


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        from sciml.errors import MissingExtra

        raise MissingExtra("tensorboard", "tensorboard", "`tensorboard: true`") from error
    return SummaryWriter(str(folder / "tensorboard"))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole records of a metrics file; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if isinstance(record, dict) and "step" in record:
            records.append(record)
    return records


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a file that a recipe appends to, one JSON object a line; none without it.

    Half a line that an interruption left is cut off, so that the next row begins a line of its own.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with atomic_write(path) as part:
            part.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


class _Rate(ProgressColumn):
    """Units a second since the bar started, resumed work not counted."""

    def render(self, task: Any) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="progress.data.speed")


class Bar:
    """A progress bar with rate and time left; off a terminal, a line every half minute."""

    def __init__(self, title: str, total: int | None, done: int = 0, quiet: bool = False) -> None:
        self.title, self.total, self.done, self.quiet = title, total, done, quiet
        self.live = console.is_terminal and not quiet
        self.last = time.monotonic()
        self.note = ""
        if self.live:
            self.progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=console,
            )
            self.task = self.progress.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Bar:
        if self.live:
            self.progress.start()
        return self

    def update(self, done: int, note: str = "") -> None:
        """`done` units are finished; `note` is shown beside the bar."""
        self.done, self.note = done, note
        if self.live:
            self.progress.update(self.task, completed=done, note=note)
        elif not self.quiet and time.monotonic() - self.last > 30:
            self.last = time.monotonic()
            of = f"/{self.total:,}" if self.total else ""
            console.print(f"{self.title}: {done:,}{of} {note}")

    def advance(self, by: int = 1, note: str = "") -> None:
        self.update(self.done + by, note)

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.progress.stop()
