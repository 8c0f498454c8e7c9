"""Parts of the demonstration as child processes, a few at a time, with the time left for all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml.demo.parts import Part, Size, parts_of, share_of
from sciml.errors import InputError
from sciml.files import kept, locks
from sciml.train.log import console, time_left

NOTE = "demo.json"
"""What a finished part says of itself, in its folder."""
LOG = "log.txt"
"""What a part printed."""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Parts run side by side, so each has one thread."""


def note_of(folder: Path) -> dict[str, Any]:
    """What a finished part says of itself, if its report is unchanged; else nothing."""
    if not (folder / NOTE).exists():
        return {}
    try:
        note = kept.read(folder / NOTE)
    except (OSError, ValueError) as error:
        kept.warn(f"{folder / NOTE} is damaged ({error}); this part runs again")
        return {}
    return note if kept.intact(folder, note.get("files", {})) else {}


def make(name: str, folder: Path, size: Size) -> None:
    """Make a part in this process, and its note."""
    part = next(part for part in parts_of(size) if part.name == name)
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    if size == "full":  # a recipe has its own lock
        part.run(folder, tiny=False)
    else:
        with locks.locked(folder):
            part.run(folder, tiny=size == "tiny")
    own, children = (resource.getrusage(who) for who in
                     (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    kept.write(folder / NOTE, {
        "size": size, "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(cpu, 1), "files": kept.digests(folder, folder / "report.html"),
    })  # fmt: skip


@dataclass
class Running:
    """A part that is being made."""

    part: Part
    process: subprocess.Popen[bytes]
    began: float


class Schedule:
    """Which parts wait, run, are done and have failed.

    Args:
        parts: in the order in which they begin.
        out: the folder of the demonstration.
        size: of the parts.
        workers: parts at the same time; 0 = one per core.
    """

    def __init__(self, parts: list[Part], out: Path, size: Size, workers: int = 0) -> None:
        self.parts, self.out, self.size = parts, out, size
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.workers = min(workers or cores or 1, len(parts))
        notes = {part.name: note_of(out / part.name) for part in parts}
        self.done: dict[str, dict[str, Any]] = {name: n for name, n in notes.items() if n}
        self.failed: dict[str, str] = {}
        self.running: dict[str, Running] = {}
        self.waiting = [part for part in parts if part.name not in self.done]
        self._pace: list[float] = []  # wall seconds per expected CPU second of finished parts

    @property
    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.waiting and not self.running

    def state(self, name: str) -> str:
        """ "done", "running", "failed" or "waiting"."""
        groups: dict[str, Container[str]] = {
            "done": self.done,
            "running": self.running,
            "failed": self.failed,
        }
        return next((state for state, names in groups.items() if name in names), "waiting")

    def seconds_left(self) -> float:
        """Wall-clock seconds until all parts are done, as fast as those that are [s]."""
        pace = sum(self._pace) / len(self._pace) if self._pace else 1.0
        now = time.monotonic()
        ends = [
            max(pace * self._expected(r.part) - (now - r.began), 1.0)
            for r in self.running.values()
        ]  # fmt: skip
        lanes = sorted([*ends, *[0.0] * (self.workers - len(ends))])
        for part in self.waiting:
            lanes[0] += pace * self._expected(part)
            lanes.sort()
        return lanes[-1] if lanes else 0.0

    def _expected(self, part: Part) -> float:
        return part.cpu_seconds * share_of(self.size)

    def run(self, changed: Callable[[], None], every: float = 0.25) -> None:
        """Make all parts; `changed` is called whenever one begins or ends.

        An interruption (Ctrl-C, SIGTERM) stops the children, too.
        """
        before = signal.signal(signal.SIGTERM, _stop)
        shown = time.monotonic()
        try:
            with console.status("", refresh_per_second=2) as status:
                while not self.finished:
                    if self._step():
                        changed()
                        shown = 0.0
                    line = f"{len(self.done)} of {len(self.parts)} parts done, about " \
                           f"{time_left(self.seconds_left())} left for all"  # fmt: skip
                    status.update(line)
                    if not console.is_terminal and time.monotonic() - shown > 30:
                        shown = time.monotonic()
                        if not self.finished:
                            console.print(line)
                    time.sleep(every)
        finally:
            for running in self.running.values():
                with suppress(OSError):
                    running.process.terminate()
            for running in self.running.values():
                running.process.wait()
            signal.signal(signal.SIGTERM, before)

    def _step(self) -> bool:
        """Take in what ended, begin what may; whether anything changed."""
        changed = False
        for name, running in list(self.running.items()):
            code = running.process.poll()
            if code is not None:
                del self.running[name]
                self._ended(running, code)
                changed = True
        while self.waiting and len(self.running) < self.workers:
            part = self.waiting.pop(0)
            self.running[part.name] = self._begin(part)
            console.print(f"begun: {part.name.replace('_', ' ')}. {part.question}", soft_wrap=True)
            changed = True
        return changed

    def _begin(self, part: Part) -> Running:
        folder = self.out / part.name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sciml.demo", part.name, str(folder), self.size]
        with open(folder / LOG, "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **ONE_THREAD},
            )  # fmt: skip
        return Running(part, process, time.monotonic())

    def _ended(self, running: Running, code: int) -> None:
        part, folder = running.part, self.out / running.part.name
        seconds = time.monotonic() - running.began
        note = note_of(folder) if code == 0 else {}
        if not note:
            lines = (folder / LOG).read_text("utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else f"exit code {code}"
            self.failed[part.name] = f"{last} (all of it: {folder / LOG})"
            return
        self.done[part.name] = note
        self._pace.append(seconds / self._expected(part))
        console.print(
            f"done: {part.name.replace('_', ' ')}, {note['cpu_seconds']:.0f} CPU s in "
            f"{seconds:.0f} s",
            soft_wrap=True,
        )


def _stop(*_: object) -> None:
    raise KeyboardInterrupt("stopped; the same command goes on")


def main(arguments: list[str]) -> int:
    """`python -m sciml.demo NAME FOLDER SIZE`: a part, as a child process of the demonstration."""
    name, folder, size = arguments
    try:
        make(name, Path(folder), size)  # type: ignore[arg-type]
    except InputError as error:
        print(f"sciml: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
