"""Callbacks get every event and record; trackers write what a reader of their files finds again."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sciml.errors import MissingExtra
from sciml.train import Callback, Interrupted, TrainConfig, fit
from sciml.train.log import read_metrics

SETTINGS: dict[str, Any] = dict(
    steps=8, batch_size=4, log_every=2, validate_every=4, checkpoint_every=4, device="cpu"
)


class Line(nn.Module):
    """Stops itself by a signal after a step."""

    def __init__(self, stop_after: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.stop_after = stop_after

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": ((self.weight - batch) ** 2).mean()}

    def after_step(self, step: int) -> None:
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGUSR1)


def train(out: Path, stop_after: int = 0, **more: Any) -> None:
    settings = {**SETTINGS, **more.pop("settings", {})}
    fit(
        Line(stop_after), torch.zeros(16, 1), TrainConfig(**settings), out=out, quiet=True,
        validate=lambda module: {"loss": float(module.get_parameter("weight").detach())}, **more,
    )  # fmt: skip


class Listener(Callback):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def start(self, run):
        self.events.append(("start", (run["step"], run["total"], run["settings"]["steps"])))

    def step(self, record):
        self.events.append(("step", record["step"]))

    def validation(self, record):
        self.events.append(("validation", record["step"]))

    def checkpoint(self, record):
        assert record["path"].exists()
        self.events.append(("checkpoint", record["step"]))

    def end(self, record):
        self.events.append(("end", (record["step"], record["done"])))


def test_events_come_in_order_and_log_gets_every_record(tmp_path):
    records: list[dict] = []
    listener = Listener()
    with pytest.raises(Interrupted):
        train(tmp_path, 5, callbacks=[listener], log=records.append)
    assert listener.events == [
        ("start", (0, 8, 8)), ("step", 2), ("step", 4), ("validation", 4), ("checkpoint", 4),
        ("step", 6), ("checkpoint", 6), ("end", (6, False)),
    ]  # fmt: skip
    again = Listener()
    train(tmp_path, callbacks=[again], log=records.append)
    assert again.events == [
        ("start", (6, 8, 8)), ("step", 8), ("validation", 8), ("checkpoint", 8), ("end", (8, True)),
    ]  # fmt: skip
    assert records == read_metrics(tmp_path / "metrics.jsonl") and len(records) == 6
    finished = Listener()
    train(tmp_path, callbacks=[finished])
    assert finished.events == []


def test_the_end_is_told_after_an_error_too(tmp_path):
    class Fails(Listener):
        def validation(self, record):
            raise RuntimeError("no more")

    listener = Fails()
    with pytest.raises(RuntimeError, match="no more"):
        train(tmp_path, callbacks=[listener])
    assert listener.events[-1] == ("end", (4, False))


def stopped_and_resumed(out: Path, **settings: Any) -> list[dict[str, Any]]:
    with pytest.raises(Interrupted):
        train(out, 5, settings=settings)
    train(out, settings=settings)
    return read_metrics(out / "metrics.jsonl")


def expected(records: list[dict[str, Any]], name: str) -> list[tuple[int, Any]]:
    split, _, key = name.partition("/")
    return [(r["step"], pytest.approx(r[key], abs=1e-6)) for r in records if r["split"] == split]


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = stopped_and_resumed(tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("train/loss", "train/lr", "valid/loss"):
        assert [(e.step, e.value) for e in events.Scalars(name)] == expected(records, name)


@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    records = stopped_and_resumed(tmp_path, mlflow=True)
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("sciml").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["batch_size"] == "4"
    for name in ("train/loss", "valid/loss"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [(m.step, m.value) for m in history] == expected(records, name)


@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    stopped_and_resumed(tmp_path, wandb=True)
    number = json.loads((tmp_path / "trackers.json").read_text())["wandb"]
    files = list(tmp_path.glob(f"wandb/offline-run-*-{number}/run-{number}.wandb"))
    assert len(files) == 2  # one a part, of one run
    assert all(b"valid/loss" in file.read_bytes() for file in files)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(
    tmp_path, monkeypatch, name
):
    import sys

    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'sciml\[{name}\]'"):
        train(tmp_path / "out", settings={name: True})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fails", [{4}, {2, 4, 6, 8}])
def test_a_tracker_that_fails_later_does_not_end_the_training(tmp_path, monkeypatch, capsys, fails):
    from sciml.train import trackers

    taken: list[int] = []

    class Away(trackers._Tracker):
        def write(self, step: int, numbers: dict[str, float]) -> None:
            if step in fails:
                raise ConnectionError("the server is gone\nand so on")
            taken.append(step)

        def close(self, record: dict[str, Any]) -> None:
            taken.append(-1)

    monkeypatch.setattr(trackers, "chosen", lambda config: [Away()])
    monkeypatch.setattr("sciml.train.loop.chosen", trackers.chosen)
    train(tmp_path)
    steps = [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")]
    told = capsys.readouterr().err
    assert "Away did not take step 4 (the server is gone)" in told
    if len(fails) == 1:
        assert taken == [*(step for step in steps if step not in fails), -1]
    else:
        assert "nothing more is sent to it" in told and told.count("did not take") == 3
        assert -1 not in taken
