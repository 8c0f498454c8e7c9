"""Sweeps and runs on Ray whose driver or workers are killed end as the undisturbed ones."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RECIPE = str(Path(__file__).with_name("small_recipe.py"))
KILLS = 10


def begin(arguments: Sequence[str], pause: float) -> subprocess.Popen:
    environment = {"OMP_NUM_THREADS": "1", "SCIML_TEST_PAUSE": str(pause)}
    return subprocess.Popen(
        [sys.executable, "-m", "sciml", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def finish(arguments: Sequence[str], pause: float = 0.0) -> None:
    process = begin(arguments, pause)
    _, printed = process.communicate()
    assert process.returncode == 0, printed[-3000:]


def workers(driver: int, name: str) -> list[Any]:
    """Processes of a driver's cluster that do the work."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if f"ray::{name}" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def kill_workers(arguments: Sequence[str], name: str, out: Path, times: int) -> int:
    """Run a command and kill up to `times` workers after each has made some progress."""
    process, killed = begin(arguments, 0.005), 0

    def steps() -> int:
        return sum(path.read_bytes().count(b"\n") for path in out.rglob("metrics.jsonl"))

    seen = steps()
    while process.poll() is None:
        time.sleep(0.3)
        if killed < times and steps() > seen + random.randint(0, 2):
            for worker in workers(process.pid, name)[:1]:
                worker.kill()
                killed += 1
                time.sleep(1)
            seen = steps()
    assert process.returncode == 0, process.communicate()[1][-3000:]
    return killed


def kill_drivers(arguments: Sequence[str], out: Path, times: int) -> None:
    """Begin a command `times` times, and kill each after some progress, then let it end."""
    for _ in range(times):
        process = begin(arguments, 0.01)
        before = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
            now = sum(p.stat().st_size for p in out.rglob("metrics.jsonl") if p.exists())
            if now and now != before:
                break
        time.sleep(random.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(arguments)


def outcome(out: Path) -> tuple[Any, list[bytes]]:
    rows = json.loads((out / "results.json").read_text())["trials"]
    weights = [(out / row["folder"] / "model.safetensors") for row in rows]
    return rows, [path.read_bytes() for path, row in zip(weights, rows, strict=True)
                  if row["status"] == "finished"]  # fmt: skip


SWEEP = ["sweep", RECIPE, "--over", "train.lr=1e-4:1e-1:log", "--search", "asha", "--trials", "5",
         "--cpus", "1", "--out"]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "sweep"
    finish([*SWEEP, str(out)])
    return outcome(out)


def test_a_sweep_whose_driver_is_killed_ends_the_same(tmp_path, undisturbed):
    assert {row["status"] for row in undisturbed[0]} == {"finished", "stopped"}
    kill_drivers([*SWEEP, str(tmp_path / "sweep")], tmp_path, KILLS)
    assert outcome(tmp_path / "sweep") == undisturbed


def test_a_sweep_whose_workers_are_killed_ends_the_same(tmp_path, undisturbed):
    killed = kill_workers([*SWEEP, str(tmp_path / "sweep")], "Trial", tmp_path, KILLS)
    assert killed >= 3
    assert outcome(tmp_path / "sweep") == undisturbed


@pytest.fixture(scope="module")
def by_torchrun(tmp_path_factory):
    """Weights after two processes of torchrun."""
    out = tmp_path_factory.mktemp("torchrun") / "run"
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", "-m", "sciml", "run", RECIPE, "--out", str(out)]
    subprocess.run([sys.executable, *launch], check=True, capture_output=True)
    return (out / "model.safetensors").read_bytes()


RUN = ["run", RECIPE, "--launcher", "ray", "--workers", "2", "--out"]


def test_two_workers_that_are_killed_have_the_weights_of_torchrun(tmp_path, by_torchrun):
    out = tmp_path / "run"
    killed = kill_workers([*RUN, str(out)], "RayTrainWorker", out, 2)
    assert killed == 2
    assert (out / "model.safetensors").read_bytes() == by_torchrun


def test_a_run_whose_driver_is_killed_has_the_weights_of_torchrun(tmp_path, by_torchrun):
    kill_drivers([*RUN, str(tmp_path / "run")], tmp_path, KILLS)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == by_torchrun
