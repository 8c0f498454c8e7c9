"""TensorBoard, MLflow and Weights & Biases as callbacks; each writes to the run's folder.

MLflow writes to the server that MLFLOW_TRACKING_URI names, if it does; W&B stays offline unless
WANDB_MODE says otherwise (`wandb sync OUT/wandb/offline-run-*` uploads later). A resumed training
goes on in the same run of the tracker.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sciml.errors import load_extra
from sciml.files.kept import warn
from sciml.paths import atomic_write
from sciml.train.callbacks import Callback, Record
from sciml.train.config import TrainConfig

NUMBERS = "trackers.json"
"""File in the run's folder with the names by which trackers know the run."""
PROJECT = "sciml"
PATIENCE = 3
"""Failures in a row after which nothing more is sent to a tracker."""


def chosen(config: TrainConfig) -> list[Callback]:
    """The trackers that the settings ask for.

    Raises:
        MissingExtra: one of them is not installed.
    """
    kinds: dict[str, Callable[[], Callback]] = {
        "tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB,
    }  # fmt: skip
    return [kind() for name, kind in kinds.items() if getattr(config, name)]


def _numbers(record: Record) -> dict[str, float]:
    """The metrics of a record, named SPLIT/METRIC."""
    return {
        f"{record['split']}/{name}": float(value)
        for name, value in record.items()
        if name not in ("step", "split") and isinstance(value, int | float)
    }


def _known(out: Path) -> dict[str, str]:
    try:
        content = json.loads((out / NUMBERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(out: Path, tracker: str, number: str) -> None:
    with atomic_write(out / NUMBERS) as part:
        part.write_text(json.dumps({**_known(out), tracker: number}), encoding="utf-8")


class _Tracker(Callback, ABC):
    """Sends the numbers of each record to `write`.

    A tracker that cannot be begun ends the training. One that fails later, such as a server that is
    gone, does not: a line says so, and after `PATIENCE` failures in a row nothing is sent to it.
    """

    failures = 0

    def step(self, record: Record) -> None:
        """See `Callback`."""
        self._try(f"step {record['step']}", lambda: self.write(record["step"], _numbers(record)))

    def validation(self, record: Record) -> None:
        """See `Callback`."""
        self.step(record)

    def end(self, record: Record) -> None:
        """See `Callback`."""
        self._try("the end of the run", lambda: self.close(record))

    def _try(self, what: str, send: Callable[[], None]) -> None:
        if self.failures == PATIENCE:
            return
        try:
            send()
            self.failures = 0
        except Exception as error:
            self.failures += 1
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            last = "; nothing more is sent to it" if self.failures == PATIENCE else ""
            name = type(self).__name__
            warn(f"{name} did not take {what} ({reason}){last}; metrics.jsonl has it")

    @abstractmethod
    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Send the numbers of a step."""

    @abstractmethod
    def close(self, record: Record) -> None:
        """Close the run."""


class TensorBoard(_Tracker):
    """OUT/tensorboard, for `tensorboard --logdir OUT`."""

    def __init__(self) -> None:
        load_extra("tensorboard", "tensorboard", "`train.tensorboard`")
        from torch.utils.tensorboard import SummaryWriter

        self.kind = SummaryWriter

    def start(self, run: Record) -> None:
        """Open the files; what a stopped run wrote after its last checkpoint is hidden."""
        self.board = self.kind(str(run["out"] / "tensorboard"), purge_step=run["step"] + 1)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """See `_Tracker`."""
        for name, value in numbers.items():
            self.board.add_scalar(name, value, step)

    def close(self, record: Record) -> None:
        """Close the files."""
        self.board.close()


class MLflow(_Tracker):
    """A run of the experiment `sciml` in OUT/mlruns, or on a tracking server."""

    def __init__(self) -> None:
        self.mlflow: Any = load_extra("mlflow", "mlflow", "`train.mlflow`")

    def start(self, run: Record) -> None:
        """Open the run, and note its settings if it is new."""
        out = run["out"]
        address = os.environ.get("MLFLOW_TRACKING_URI")
        if not address:
            # Files are enough for one run; MLflow itself prefers a data base.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            address = (out / "mlruns").resolve().as_uri()
        self.client = self.mlflow.MlflowClient(tracking_uri=address)
        self.number = _known(out).get("mlflow", "")
        if not self.number:
            experiment = self.client.get_experiment_by_name(PROJECT)
            place = experiment.experiment_id if experiment else None
            place = place or self.client.create_experiment(PROJECT)
            self.number = self.client.create_run(place, run_name=run["title"]).info.run_id
            _remember(out, "mlflow", self.number)
            for name, value in {**run["settings"], "parameters": run["parameters"]}.items():
                self.client.log_param(self.number, name, value)
        else:
            self.client.update_run(self.number, status="RUNNING")

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """See `_Tracker`."""
        now = int(time.time() * 1000)
        metric = self.mlflow.entities.Metric
        self.client.log_batch(
            self.number, metrics=[metric(name, value, now, step) for name, value in numbers.items()]
        )

    def close(self, record: Record) -> None:
        """Close the run."""
        self.client.set_terminated(self.number, "FINISHED" if record["done"] else "KILLED")


class WandB(_Tracker):
    """A run of the project `sciml` in OUT/wandb."""

    def __init__(self) -> None:
        self.wandb: Any = load_extra("wandb", "wandb", "`train.wandb`")

    def start(self, run: Record) -> None:
        """Open the run."""
        out = run["out"]
        number = _known(out).get("wandb")
        if not number:
            number = uuid.uuid4().hex[:8]
            _remember(out, "wandb", number)
        mode = os.environ.get("WANDB_MODE", "offline")
        # Offline, a part of a run is a file of its own; those of one id are joined by `wandb sync`.
        resume = {"resume": "allow"} if mode == "online" else {}
        self.run = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), id=number, mode=mode,
            name=run["title"], config={**run["settings"], "parameters": run["parameters"]},
            reinit="create_new", **resume,
        )  # fmt: skip

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """See `_Tracker`."""
        self.run.log(numbers, step=step)

    def close(self, record: Record) -> None:
        """Close the run."""
        self.run.finish(exit_code=0 if record["done"] else 1)
