"""Exact resumption, the global mean, and what happens when things go wrong."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.train import TrainConfig, TrainingDiverged, fit
from sciml.train.log import read_metrics
from sciml.train.state import checkpoints

PROGRAM = Path(__file__).with_name("regression_run.py")
sys.path.insert(0, str(PROGRAM.parent))
import regression_run  # noqa: E402

SMALL = ["steps=30", "batch_size=16", "checkpoint_every=5", "ema=0.9", "log_every=1"]


class Training:
    """`regression_run.py` in a process of its own, forked from one that has imported torch."""

    FORKED = multiprocessing.get_context("forkserver")
    FORKED.set_forkserver_preload(["torch._dynamo", "sciml.train.loop", "sciml.train"])

    def __init__(self, out: Path, *settings: str, pause: float = 0.0) -> None:
        self.end, other = self.FORKED.Pipe(duplex=False)
        arguments = (out, [*SMALL, *settings], pause, other)
        self.process = self.FORKED.Process(target=regression_run.process, args=arguments)
        self.process.start()
        other.close()

    def wait(self) -> tuple[int, str]:
        """Exit code, and digest of the weights or message."""
        try:
            text = self.end.recv() if self.end.poll(120) else "no answer within 120 s"
        except EOFError:  # it was stopped
            text = ""
        self.process.join(120)
        assert self.process.exitcode is not None
        return self.process.exitcode, text


def run(out: Path, *settings: str) -> str:
    code, text = Training(out, *settings).wait()
    assert code == 0, text
    return text


def losses(out: Path) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_metrics(out / "metrics.jsonl")}


def stop(out: Path, step: int, number: int, *settings: str) -> None:
    """Send a signal to a training that has written the checkpoint of this step."""
    training = Training(out, *settings, pause=0.02)
    wait_for_step(out, step)
    assert training.process.pid is not None
    os.kill(training.process.pid, number)
    code, _ = training.wait()
    assert code != 0


def wait_for_step(out: Path, step: int) -> None:
    for _ in range(3000):
        if any(number >= step for number, _ in checkpoints(out / "checkpoints")):
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was never reached")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[str, dict[int, float]]:
    out = tmp_path_factory.mktemp("whole")
    return run(out), losses(out)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_same_command_goes_on_bit_for_bit(tmp_path, uninterrupted, number, workers):
    stop(tmp_path, 10, number, f"workers={workers}")
    assert run(tmp_path, f"workers={workers}") == uninterrupted[0]
    # The log neither repeats nor loses a step.
    assert losses(tmp_path) == uninterrupted[1]
    steps = [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == sorted(set(steps))


def test_another_seed_gives_other_weights(tmp_path, uninterrupted):
    assert run(tmp_path, "seed=1") != uninterrupted[0]


def test_a_finished_run_is_not_repeated(tmp_path, uninterrupted):
    run(tmp_path)
    before = (tmp_path / "checkpoints").stat().st_mtime_ns
    assert run(tmp_path) == uninterrupted[0]
    assert (tmp_path / "checkpoints").stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_passed_over(tmp_path, uninterrupted):
    stop(tmp_path, 15, signal.SIGKILL)
    _, newest = checkpoints(tmp_path / "checkpoints")[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert run(tmp_path) == uninterrupted[0]


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    run(tmp_path)
    code, text = Training(tmp_path, "lr=0.5").wait()
    assert code == 2 and "lr was 0.001, is 0.5" in text


EXACT = ["dropout=0", "noise=0", "ema=0"]


def test_accumulation_gives_the_same_losses(tmp_path):
    run(tmp_path / "one", *EXACT)
    run(tmp_path / "three", *EXACT, "accumulate=3")
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(tmp_path, strategy):
    """203 sets of 1 to 11 elements in batches of 16: the last batch is ragged, counts differ."""
    run(tmp_path / "one", *EXACT, "accumulate=1")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            "--master-port=0",
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=localhost:0",
            PROGRAM,
            tmp_path / "two",
            *SMALL,
            *EXACT,
            f"strategy={strategy}",
        ],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 30
    assert two == pytest.approx(one, abs=1e-5)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * batch).sum() / len(batch)}


def test_the_loss_is_a_mean_over_terms_not_a_mean_of_means(tmp_path):
    class Counted(Line):
        def forward(self, batch):
            return {"loss": (self.weight * batch).mean(), "count": torch.tensor(float(len(batch)))}

    data = torch.tensor([[0.0], [0.0], [9.0]])
    config = TrainConfig(steps=1, batch_size=3, accumulate=2, warmup=0, log_every=1)
    result = fit(Counted(), data, config, out=tmp_path)
    assert result.history[0]["loss"] == pytest.approx(3.0)


def test_a_loss_that_is_not_finite_stops_with_its_batch(tmp_path):
    data = torch.ones(64, 1)
    data[40] = float("nan")
    with pytest.raises(TrainingDiverged, match="step .* is not finite"):
        fit(Line(), data, TrainConfig(batch_size=8), out=tmp_path)
    from safetensors.torch import load_file

    batch = load_file(tmp_path / "failed-batch.safetensors")["batch"]
    assert torch.isnan(batch).sum() == 1 and len(batch) == 8


def test_an_empty_data_set_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nothing to train on"):
        fit(Line(), [], TrainConfig(), out=tmp_path)


@pytest.mark.parametrize("name", ["log_every", "batch_size", "checkpoint_every"])
def test_settings_out_of_range_are_refused_before_anything_is_written(name, tmp_path):
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(InputError, match=f"{name}.*>= 1"):
        fit(Line(), torch.ones(8, 1), TrainConfig(**settings), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_early_stopping_keeps_the_best_weights(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 2.5, 9.0, 9.0])
    seen: list[float] = []

    def validate(module: Any) -> dict[str, float]:
        seen.append(float(module.weight.detach()))
        return {"loss": next(scores)}

    config = TrainConfig(steps=60, validate_every=10, patience=2, lr=0.1)
    result = fit(Line(), torch.ones(64, 1), config, out=tmp_path, validate=validate)
    assert result.steps == 40
    assert result.best == 1.0
    assert result.module.get_parameter("weight").item() == seen[1]


def test_an_unknown_metric_to_monitor_is_named(tmp_path):
    config = TrainConfig(steps=1, monitor="-acu")
    with pytest.raises(InputError, match="Did you mean 'auc'"):
        fit(Line(), torch.ones(4, 1), config, out=tmp_path, validate=lambda m: {"auc": 1.0})


def test_a_full_disk_leaves_the_last_checkpoint_loadable(tmp_path, monkeypatch):
    config: dict[str, Any] = dict(batch_size=8, checkpoint_every=4)
    with pytest.raises(InputError, match="free disk space"):
        import sciml.train.state as state

        real = state.tensors.write

        def full_after_two(path, tensors):
            if len(checkpoints(tmp_path / "checkpoints")) == 2:
                with atomic_write(path) as temporary:
                    temporary.write_bytes(b"half")
                    raise OSError(28, "No space left on device")
            return real(path, tensors)

        monkeypatch.setattr(state.tensors, "write", full_after_two)
        fit(Line(), torch.ones(64, 1), TrainConfig(steps=40, **config), out=tmp_path)
    monkeypatch.undo()
    assert [step for step, _ in checkpoints(tmp_path / "checkpoints")] == [4, 8]
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert fit(Line(), torch.ones(64, 1), TrainConfig(steps=40, **config), out=tmp_path).steps == 40


def test_metrics_are_json_lines_without_nan(tmp_path):
    fit(Line(), torch.ones(64, 1), TrainConfig(steps=3, log_every=1, clip=0), out=tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=lambda c: pytest.fail(c)) for line in lines]
    assert [r["step"] for r in records] == [1, 2, 3]
    assert {"loss", "lr", "rate", "grad_norm", "split"} <= set(records[0])


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills_at_random_moments(tmp_path):
    """Every step writes a checkpoint; every second kill waits until one is half written."""
    import random

    choose = random.Random(0)
    settings = ["steps=220", "checkpoint_every=1"]
    reference = run(tmp_path / "reference", *settings)
    out = tmp_path / "killed"
    half_written, resumed_at = 0, []
    for attempt in range(20):
        process = Training(out, *settings, pause=0.02).process
        wait_for_step(out, 10 * attempt + choose.randint(1, 9))
        time.sleep(choose.random() * 0.05)
        while attempt % 2 and process.is_alive():
            if list((out / "checkpoints").glob(".*part*")):
                break
        process.kill()
        process.join()
        half_written += bool(list((out / "checkpoints").glob(".*part*")))
        resumed_at.append(checkpoints(out / "checkpoints")[-1][0])
    assert half_written >= 5
    assert resumed_at == sorted(resumed_at) and resumed_at[-1] < 220
    assert run(out, *settings) == reference
