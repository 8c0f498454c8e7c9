"""Logs of a run: one JSON line per record, and a progress bar."""

from __future__ import annotations

import hashlib
import json
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

from sciml.errors import InputError, unwritable
from sciml.files.jsons import valid
from sciml.files.kept import append, warn
from sciml.paths import atomic_write

# Everything for people goes to stderr, so that stdout stays free for results.
# File names hold brackets: what is printed is data, no markup.
console = Console(stderr=True, highlight=False, markup=False)


class MetricsLog:
    """`metrics.jsonl`: one record per line, each with its `step`; a resumed run repeats none.

    Args:
        path: the file.
        keep_up_to: the step that a run resumes from; None starts a new log.
        mark: the value of `mark` at that step; without it, records up to that step are kept.
    """

    def __init__(
        self,
        path: Path,
        keep_up_to: int | None = None,
        mark: dict[str, Any] | None = None,
    ) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        records = b""
        if keep_up_to is None and content.strip() and not _records(content):
            raise InputError("exists, and no training wrote it", where=path,
                             hint="Move it away, or train in another folder")  # fmt: skip
        if keep_up_to is not None:
            records = content[: mark["bytes"]] if mark else b""
            if mark is None or hashlib.sha256(records).hexdigest() != mark["sha256"]:
                lines = content.splitlines(keepends=True)
                early = [line for line in lines if -1 < _step(line) <= keep_up_to]
                records = b"".join(early)
                if mark is not None:
                    warn(f"{path} was changed or cut; {len(early)} complete records are kept")
        if content != records:
            with atomic_write(path) as part:
                part.write_bytes(records)
        self.records = _records(records)
        self._digest, self._bytes = hashlib.sha256(records), len(records)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(path, "ab", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from error

    @property
    def mark(self) -> dict[str, Any]:
        """How much was written, for a checkpoint: the rest is cut off when the run resumes."""
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}

    def write(self, step: int, **values: Any) -> dict[str, Any]:
        """Append a record, and return it.

        Raises:
            InputError: the disk is full; the file is as before.
        """
        record = valid({"step": step, **values})
        self.records.append(record)
        line = append(self.file, json.dumps(record))
        self._digest.update(line)
        self._bytes += len(line)
        return record

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete records of a metrics file; all else, such as a line cut short, is skipped."""
    return _records(path.read_bytes()) if path.exists() else []


def _records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if _step(line) >= 0]


def _step(line: bytes) -> int:
    """The step of a record; -1 for a line that is not one."""
    try:
        record = json.loads(line)
    except ValueError:
        return -1
    step = record.get("step") if isinstance(record, dict) else None
    return step if type(step) is int else -1


def time_left(seconds: float) -> str:
    """A duration for people: "40 s", "3 min", "2 h 10 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds)):.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class _Rate(ProgressColumn):
    """Units per second since the bar started, not counting resumed work."""

    def render(self, task: Any) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="progress.data.speed")


class Bar:
    """A progress bar with rate and time left; without a terminal, a line every half minute."""

    def __init__(self, title: str, total: int | None, done: int = 0, quiet: bool = False) -> None:
        self.title, self.total, self.done = title, total, done
        self.quiet = quiet or console.quiet
        self.live = console.is_terminal and not self.quiet
        self.first, self.began = done, time.monotonic()
        self.last = self.began
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
            rate = (done - self.first) / (self.last - self.began)
            left = ""
            if self.total and rate > 0:
                left = f", about {time_left((self.total - done) / rate)} left"
            console.print(f"{self.title}: {done:,}{of}{left} {note}".rstrip())

    def advance(self, by: int = 1, note: str = "") -> None:
        self.update(self.done + by, note)

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.progress.stop()
