"""One process or two, DDP or FSDP2: the same training, and a run moves from one to the other."""

import inspect
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.train import Interrupted, TrainingDiverged, fit, parallel
from sciml.train.log import read_metrics
from sciml.train.sampler import Plan, read
from sciml.train.state import checkpoints

sys.path.insert(0, str(Path(__file__).parent))
from matrix_run import CELLS, Model, Noisy, config

PROGRAM = Path(__file__).with_name("matrix_run.py")
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d",
    "--rdzv-endpoint=localhost:0",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
CORNERS = ["ema-probes-1-fsdp", "ema-patience-3-ddp", "plain-none-3-fsdp", "ema-validation-3-fsdp"]


def end_all(process: subprocess.Popen[str]) -> None:
    """Kill a process with all its descendants, as a node that fails does."""
    table = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, table.splitlines())}
    doomed = [process.pid]
    for pid in doomed:  # grows while it is read
        doomed += [child for child, parent in parents.items() if parent == pid]
    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def program(processes: int, *arguments: Any) -> dict[str, Any]:
    start = [sys.executable] if processes == 1 else TORCHRUN
    done = subprocess.run(
        [*start, PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, timeout=900, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def all_jobs(folder: Path, cells: list[str]) -> dict[str, Any]:
    """Results of all jobs by name; three programs for them, because a start is what costs."""
    results = program(1, folder, "whole,begin", *cells)
    results |= program(2, folder, "continue,world", *cells)
    return results | program(1, folder, "end", *cells)


def check_moves(results: dict[str, Any], cells: list[str]) -> None:
    """1 -> 2 -> 1 processes, each part ended by SIGUSR1, against one process throughout."""
    for cell in cells:
        stopped = [results[job][cell]["stopped"] for job in ("begin", "continue", "end")]
        assert stopped == [True, True, False], cell
        end, whole = results["end"][cell], results["whole"][cell]
        assert end["losses"] == pytest.approx(whole["losses"], abs=1e-5), cell
        assert end["weights"] == pytest.approx(whole["weights"], abs=1e-4), cell


@pytest.fixture(scope="module")
def corners(tmp_path_factory) -> dict[str, Any]:
    return all_jobs(tmp_path_factory.mktemp("corners"), CORNERS)


@pytest.mark.timeout(900)
def test_a_run_moves_between_one_and_two_processes(corners):
    check_moves(corners, CORNERS)
    assert "valid 10" in corners["end"]["ema-patience-3-ddp"]["losses"]
    assert "valid 12" not in corners["end"]["ema-patience-3-ddp"]["losses"]  # it stopped early


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_combination_moves_between_one_and_two_processes(tmp_path):
    assert len(CELLS) == 32
    check_moves(all_jobs(tmp_path, CELLS), CELLS)


@pytest.mark.timeout(900)
def test_two_processes_resume_bitwise_with_dropout_share_buffers_and_diverge_together(corners):
    results = corners["world"]
    for cell in ("ema-validation-1-ddp", "ema-validation-1-fsdp"):
        assert results[cell] == {"stopped": True, "same": True}, cell
    assert results["buffers"]["equal"] and results["buffers"]["moved"] != 1.0
    for strategy in ("ddp", "fsdp"):
        nan = results[f"nan-{strategy}"]
        assert "loss of step 0 is not finite" in nan["message"] and nan["same"] and nan["saved"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("objective", "sciences"), [("jepa", 1), ("moco", 1), ("jepa", 2), ("moco", 2)]
)
def test_pretraining_is_sharded(tmp_path, objective, sciences):
    """Probes call parts of the module; of two sciences, a process's share may lack one."""
    random_numbers = np.random.default_rng(0)
    for i in range(60):
        np.savez(
            tmp_path / f"{i:03d}.npz", x=random_numbers.normal(size=(5, 3)), y=i % 2,
            pos=random_numbers.normal(size=(5, 3)) * (1 + 2 * (i % 2)),
        )  # fmt: skip
    data = [f"graphs:{tmp_path}", "jets-sample/train.parquet"][:sciences]
    losses = {}
    for strategy in ("ddp", "fsdp"):
        out = tmp_path / strategy
        command = [
            *TORCHRUN, "-m", "sciml", "run", "pretrain", "--data", *data, "--tiny", "--out", out,
            "--objective", objective, "--train.strategy", strategy, "--train.device", "cpu",
            "--train.ema", "0.9", "--train.log-every", "1", "--train.batch-size", "6",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr[-3000:]
        assert (out / "trunk").exists() and (out / "report.html").exists()
        records = read_metrics(out / "metrics.jsonl")
        losses[strategy] = [r["loss"] for r in records if r["split"] == "train"]
    assert losses["fsdp"] == pytest.approx(losses["ddp"], rel=1e-3)


def test_a_device_that_processes_cannot_share_is_refused(monkeypatch):
    def refusal(device: str) -> str:
        with pytest.raises(InputError) as caught:
            parallel._check_device(torch.device(device))
        return str(caught.value)

    parallel._check_device(torch.device("cpu"))
    assert "cannot train on 'mps'" in refusal("mps") and "train.device=cpu" in refusal("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    parallel._check_device(torch.device("cpu"))
    parallel._check_device(torch.device("cuda"))
    assert "use train.device=cuda" in refusal("cuda:0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert "3 processes" in refusal("cuda") and "--nproc-per-node" in refusal("cuda")


def examples(world: int, workers: int, accumulate: int, **more: Any) -> list[torch.Tensor]:
    """Every example of the first 12 steps, as the processes together read them."""
    drawn: list[torch.Tensor] = []
    for rank in range(world):
        plan = Plan(43, 8, 5, None, accumulate, rank, world)
        batches = read(Noisy(), None, plan, 0, workers, **more)
        for _ in range(12 * accumulate):
            batch, weight = next(batches)
            drawn += list(batch) if weight else []
    return sorted(drawn, key=lambda row: row.tolist())


def test_transforms_depend_on_the_example_alone():
    one = torch.stack(examples(1, 0, 1))
    for world, workers, accumulate in ((2, 0, 1), (1, 2, 1), (3, 0, 2)):
        assert torch.equal(torch.stack(examples(world, workers, accumulate)), one)
    # The control: one stream per micro-batch, as version 0.1 had it.
    assert not torch.equal(torch.stack(examples(2, 0, 1, per_example=False)), one)
    assert len({tuple(row.tolist()) for row in one}) == len(one)  # another noise each epoch


def test_readers_outlive_the_signal_that_time_is_nearly_over():
    batches = read(Noisy(), None, Plan(43, 8), 0, 2)
    first, _ = next(batches)
    for reader in multiprocessing.active_children():
        os.kill(int(reader.pid or 0), signal.SIGUSR1)
    for _ in range(20):
        batch, _ = next(batches)
    assert batch.shape == first.shape or len(batch) == 3


@pytest.mark.parametrize("rank", ["0", "1"])
def test_an_error_of_all_processes_is_printed_by_the_first(monkeypatch, capsys, rank):
    def diverge(arguments):
        raise TrainingDiverged("the loss is not finite")

    monkeypatch.setattr("sciml.cli._dispatch", diverge)
    monkeypatch.setenv("RANK", rank)
    assert main(["run"]) == 2
    assert ("not finite" in capsys.readouterr().err) == (rank == "0")


def test_a_run_that_began_before_goes_on_with_its_seeding(tmp_path, monkeypatch):
    """A manifest without `seeded_per_example`, as version 0.1 wrote it."""
    seedings = []

    def noted(*arguments):
        seedings.append(inspect.signature(read).bind(*arguments).arguments["per_example"])
        return read(*arguments)

    monkeypatch.setattr("sciml.train.loop.read", noted)
    with pytest.raises(Interrupted):
        fit(Model(4), Noisy(), config("plain-none-1-ddp"), out=tmp_path, quiet=True)
    _, path = checkpoints(tmp_path / "checkpoints")[-1]
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["notes"].pop("seeded_per_example") is True
    del manifest["check"]
    path.with_suffix(".json").write_text(json.dumps(manifest))
    assert fit(Model(), Noisy(), config("plain-none-1-ddp"), out=tmp_path, quiet=True).steps == 12
    assert seedings == [True, False]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_that_are_killed_end_bit_for_bit(tmp_path, strategy):
    settings = [
        "steps=120", "batch_size=16", "checkpoint_every=2", "ema=0.9", "log_every=1",
        f"strategy={strategy}",
    ]  # fmt: skip
    regression = PROGRAM.with_name("regression_run.py")

    def start(out: Path, pause: str = "0") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*TORCHRUN, regression, out, *settings], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**ENVIRONMENT, "PAUSE": pause}
        )  # fmt: skip

    digests = start(tmp_path / "whole").communicate()[0].split()
    choose, out = random.Random(1), tmp_path / "killed"
    for attempt in range(4):
        process = start(out, "0.02")
        goal = 8 * attempt + choose.randint(2, 8)
        while process.poll() is None:
            if any(step >= goal for step, _ in checkpoints(out / "checkpoints")):
                break
            time.sleep(0.01)
        time.sleep(choose.random() * 0.1)
        end_all(process)
        process.communicate()
    assert checkpoints(out / "checkpoints")[-1][0] < 120
    assert start(out).communicate()[0].split() == digests and len(set(digests)) == 1
