"""Sweeps and runs on Ray whose driver or workers are killed end as the undisturbed ones."""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RECIPE = str(Path(__file__).with_name("small_recipe.py"))
KILLS = 10
PAUSE = 0.01
"""Seconds that an example takes."""


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A cluster that outlives the drivers, as a large one does, and saves their starts."""
    from sciml.launch.ray_cluster import SETTINGS

    folder = tempfile.mkdtemp(prefix="ray")  # its path must be short, for the names of sockets
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Nobody else may use it: the token is its own, and drivers have it from the environment.
    own = {"RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_AUTH_MODE": "token",
           "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # fmt: skip
    command = ["-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block",
               f"--port={port}", "--num-cpus=2", "--include-dashboard=false",
               "--disable-usage-stats", f"--temp-dir={folder}"]  # fmt: skip
    settings = os.environ | SETTINGS | own
    del settings["RAY_ADDRESS"]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=settings,
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        time.sleep(0.2)
    time.sleep(5)  # until its machine has joined
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        yield process.pid
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait(60)
    for child in psutil.wait_procs(children, 10)[1]:
        child.kill()
    shutil.rmtree(folder, ignore_errors=True)
    PRINTED.unlink(missing_ok=True)


PRINTED = Path(tempfile.gettempdir()) / f"sciml-kills-{os.getpid()}.log"
"""What the last command printed: a file, since a pipe that nobody reads would stop the command."""


def begin(arguments: Sequence[str], pause: float) -> subprocess.Popen:
    environment = {"OMP_NUM_THREADS": "1", "SCIML_TEST_PAUSE": str(pause)}
    with PRINTED.open("w") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", "sciml", *arguments],
            stdout=subprocess.DEVNULL, stderr=printed, env=os.environ | environment,
        )  # fmt: skip


def ended_well(process: subprocess.Popen) -> None:
    assert process.wait() == 0, PRINTED.read_text()[-3000:]


def finish(arguments: Sequence[str], pause: float = 0.0) -> None:
    ended_well(begin(arguments, pause))


def workers(cluster: int, name: str) -> list[Any]:
    """Processes of a cluster that do the work."""
    found = []
    for process in psutil.Process(cluster).children(recursive=True):
        try:
            if f"ray::{name}" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def records(out: Path) -> int:
    """Lines in all metrics of a run or of the runs of a sweep."""
    return sum(path.read_bytes().count(b"\n") for path in out.rglob("metrics.jsonl"))


def kill_workers(
    cluster: int, arguments: Sequence[str], name: str, parts: Sequence[Path], times: int
) -> int:
    """Run a command and kill a worker up to `times` times in each part, after some progress."""
    process = begin(arguments, PAUSE)
    seen, killed = {part: records(part) for part in parts}, dict.fromkeys(parts, 0)
    while process.poll() is None:
        time.sleep(0.1)
        for part in parts:
            ahead = records(part) - seen[part]
            if killed[part] < times and ahead > random.randint(0, 4):
                for worker in workers(cluster, name)[:1]:
                    worker.kill()
                    killed[part] += 1
                    time.sleep(1)
                    seen[part] = records(part)
    ended_well(process)
    return sum(killed.values())


def kill_drivers(arguments: Sequence[str], out: Path, times: int) -> int:
    """Begin a command up to `times` times, and kill it after some progress, then let it end."""
    for killed in range(times):
        before = records(out)
        process = begin(arguments, PAUSE)
        while process.poll() is None and records(out) <= before:
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.5))
        if process.poll() is not None:
            ended_well(process)
            return killed
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(arguments)
    return times


def outcome(out: Path) -> tuple[Any, list[bytes]]:
    rows = json.loads((out / "results.json").read_text())["trials"]
    weights = [(out / row["folder"] / "model.safetensors") for row in rows]
    return rows, [path.read_bytes() for path, row in zip(weights, rows, strict=True)
                  if row["status"] == "finished"]  # fmt: skip


SWEEP = ["sweep", RECIPE, "--over", "train.lr=1e-4:1e-1:log", "--trials", "5", "--cpus", "1",
         "--train.steps", "40"]  # fmt: skip
ASHA = [*SWEEP, "--search", "asha", "--grace", "4", "--out"]


def undisturbed(command: Sequence[str], folder: Path) -> Any:
    finish([*command, str(folder / "undisturbed")])
    return outcome(folder / "undisturbed")


def test_a_sweep_whose_driver_is_killed_ends_the_same(tmp_path):
    expected = undisturbed(ASHA, tmp_path)
    assert {row["status"] for row in expected[0]} == {"finished", "stopped"}
    out = tmp_path / "sweep"
    assert kill_drivers([*ASHA, str(out)], out, KILLS) == KILLS
    assert outcome(out) == expected
    # what a person sees is the same, too, but for the folder in the command
    pages = [(folder / "report.html").read_text().replace(str(folder), "OUT")
             for folder in (out, tmp_path / "undisturbed")]  # fmt: skip
    assert pages[0] == pages[1]


def test_a_sweep_whose_workers_are_killed_ends_the_same(tmp_path, cluster):
    command = [*SWEEP, "--out"]
    expected = undisturbed(command, tmp_path)
    out = tmp_path / "sweep"
    trials = [out / "trials" / f"{number:03d}" for number in range(5)]
    killed = kill_workers(cluster, [*command, str(out)], "ResourceTrainable", trials, KILLS // 5)
    assert killed == KILLS
    assert outcome(out) == expected


@pytest.fixture(scope="module")
def by_torchrun(tmp_path_factory):
    """Weights after two processes of torchrun."""
    out = tmp_path_factory.mktemp("torchrun") / "run"
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", "-m", "sciml", "run", RECIPE, "--train.steps=120"]
    subprocess.run(
        [sys.executable, *launch, "--out", str(out)], check=True, capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return (out / "model.safetensors").read_bytes()


RUN = ["run", RECIPE, "--train.steps", "120", "--launcher", "ray", "--workers", "2", "--out"]


def test_two_workers_that_are_killed_have_the_weights_of_torchrun(tmp_path, cluster, by_torchrun):
    out = tmp_path / "run"
    assert kill_workers(cluster, [*RUN, str(out)], "RayTrainWorker", [out], KILLS) == KILLS
    assert (out / "model.safetensors").read_bytes() == by_torchrun


def test_a_run_whose_driver_is_killed_has_the_weights_of_torchrun(tmp_path, by_torchrun):
    out = tmp_path / "run"
    assert kill_drivers([*RUN, str(out)], out, KILLS) == KILLS
    assert (out / "model.safetensors").read_bytes() == by_torchrun
