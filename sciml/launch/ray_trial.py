"""One trial of a sweep: `sciml run` as a child process, its records reported to Ray Tune in order.

The run's folder is all that a trial has. Killed and begun again, it reports the records that the
folder holds, then lets the run go on from its checkpoint; so Tune sees what it would have seen.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from sciml.errors import InputError
from sciml.files import kept, locks
from sciml.launch.ray_metric import Metric

PAUSE = 0.1
"""Seconds between looks at a run's records."""
GRACE = 60
"""Seconds in which a run that is stopped may write its checkpoint."""
WORST = 1e300
"""Stands for a value that is not finite: schedulers take percentiles, of infinities none exists."""


@dataclass(frozen=True)
class Plan:
    """What all trials of a sweep share.

    Attributes:
        recipe: name or path of the recipe.
        arguments: of every trial.
        metric: what is reported.
        mode: min or max; a value that is not finite is reported as the worst one.
        trials: folder of the runs.
        cpus: processors of a trial, and threads of its process.
        directory: in which relative paths are meant.
    """

    recipe: str
    arguments: tuple[str, ...]
    metric: Metric
    mode: str
    trials: Path
    cpus: int
    directory: str

    def comparable(self, value: float) -> float:
        """What schedulers compare and average: a number, so NaN and infinity are the worst one."""
        worst = WORST if self.mode == "min" else -WORST
        return float(value) if math.isfinite(value) else worst

    def folder(self, number: int) -> Path:
        """The run's folder of a trial."""
        return self.trials / f"{number:03d}"

    def finished(self, number: int) -> bool:
        """Whether the run of a trial has come to its end."""
        try:
            return bool(kept.read(self._note(number))["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def finish(self, number: int) -> None:
        """Note that the run of a trial has come to its end."""
        kept.write(self._note(number), {"finished": True})

    def log(self, number: int) -> Path:
        """What the run of a trial has printed."""
        return self.trials / f"{number:03d}.log"

    def _note(self, number: int) -> Path:
        return self.trials / f"{number:03d}.json"


class Trial(tune.Trainable):
    """A trial as Ray Tune runs it: `step` gives the next record of the run.

    A result has `reports` (how many records), `step` (of the engine) and `metric`; `refused` where
    the run ended with an error of the user's input, such as a training that diverged.
    """

    def setup(self, config: dict[str, Any], plan: Plan) -> None:  # type: ignore[override]
        """Nothing is started yet: the folder may hold all that is asked for."""
        self.plan = plan
        self.process: subprocess.Popen | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial, in the worker of one that has ended: it need not start again."""
        self.cleanup()
        self.number = int(new_config["point"]["number"])
        self.flags = list(new_config["point"]["flags"])
        self.folder = self.plan.folder(self.number)
        self.process = None
        self.reports = 0
        self.last: dict[str, Any] = {}
        return True

    def step(self) -> dict[str, Any]:
        """The next record, waited for; or the end of the run."""
        while True:
            code = None if self.process is None else self.process.poll()
            records = self.plan.metric.records(self.folder)
            if len(records) > self.reports:
                record = records[self.reports]
                self.reports += 1
                value = self.plan.comparable(record[self.plan.metric.name])
                self.last = {"reports": self.reports, "step": record["step"], "metric": value}
                return dict(self.last)
            if self.plan.finished(self.number):
                return self._end()
            if self.process is None:
                self._start()
            elif code == 0:
                self.plan.finish(self.number)
            elif code == InputError.exit_code:
                return self._end(self._printed())
            elif code is not None:
                raise RuntimeError(f"trial {self.number} ended with code {code}: {self._printed()}")
            time.sleep(PAUSE)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: the run's folder has it all."""
        return {}

    def load_checkpoint(self, checkpoint: dict | None) -> None:
        """The records are reported again from the first one; ASHA passes over those it knows."""

    def _end(self, refused: str | None = None) -> dict[str, Any]:
        if refused is None and not self.reports:
            choices = ", ".join(self.plan.metric.choices(self.folder)) or "none"
            refused = f"has no record of {self.plan.metric}; records: {choices}"
            return self._lost(refused) | {"without": True}
        return dict(self.last) | {"done": True} if refused is None else self._lost(refused)

    def _lost(self, refused: str) -> dict[str, Any]:
        step = self.last.get("step", 0)
        end = {"reports": self.reports, "step": step, "metric": float("nan"), "done": True}
        return end | {"refused": refused}

    def _start(self) -> None:
        with locks.locked(self.folder, wait=True):
            pass  # an earlier child of a dead worker is about to end
        command = [sys.executable, "-m", "sciml.launch.ray_child", "run", self.plan.recipe]
        command += [*self.plan.arguments, *self.flags, f"--out={self.folder}"]
        with open(self.plan.log(self.number), "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.plan.directory,
                env=os.environ | {"OMP_NUM_THREADS": str(self.plan.cpus)},
            )  # fmt: skip

    def _printed(self) -> str:
        """The last line that the run printed."""
        text = self.plan.log(self.number).read_text(encoding="utf-8", errors="replace").strip()
        return text.rpartition("\n")[2][-500:].removeprefix("sciml: error: ")

    def cleanup(self) -> None:
        """End the run, if it still goes on, after a checkpoint."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
