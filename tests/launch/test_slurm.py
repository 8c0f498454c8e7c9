"""Runs on SLURM: the script, preemption at random moments, and wrong launches.

SLURM is played by stubs of sbatch, srun and scontrol; the script, torchrun and the run are real.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sciml import recipes
from sciml.cli import main
from sciml.errors import InputError
from sciml.files import locks
from sciml.launch import slurm
from sciml.train.state import checkpoints

RECIPE = Path(__file__).with_name("small_recipe.py")
SBATCH = """#!/bin/sh
echo "$2" > "$STUBS/script"
echo 4242
"""
SRUN = """#!{python}
import os, signal, subprocess, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
nodes = int(os.environ["SLURM_NNODES"])
tasks = []
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: [task.send_signal(number) for task in tasks])
for rank in range(nodes):
    step = {{"SLURM_STEP_NUM_TASKS": str(nodes), "SLURM_PROCID": str(rank)}}
    tasks.append(subprocess.Popen(words, env={{**os.environ, **step}}))
sys.exit(max(abs(task.wait()) for task in tasks))
"""
SCONTROL = """#!/bin/sh
[ "$1" = show ] && echo localhost
[ "$1" = requeue ] && echo "$2" >> "$STUBS/requeued"
exit 0
"""


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """A folder with a SLURM that runs nothing by itself."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    texts = {"sbatch": SBATCH, "srun": SRUN.format(python=sys.executable), "scontrol": SCONTROL}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STUBS", str(folder))
    return folder


def digest(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


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


class Cluster:
    """Starts the script that was submitted, once per attempt."""

    def __init__(self, stubs: Path, nodes: int, out: Path) -> None:
        self.stubs, self.nodes, self.out, self.attempts = stubs, nodes, out, 0

    def start(self, pause: str = "0") -> subprocess.Popen[str]:
        job = {
            "SLURM_JOB_ID": "4242", "SLURM_NNODES": str(self.nodes), "SLURM_JOB_NODELIST": "x",
            "SLURM_RESTART_COUNT": str(self.attempts), "SCIML_TEST_PAUSE": pause,
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.attempts += 1
        return subprocess.Popen(
            ["bash", (self.stubs / "script").read_text().strip()], text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **job},
        )  # fmt: skip

    def preempt(self, step: int, number: int, delay: float) -> None:
        """Start it and end it by a signal after a step."""
        process = self.start("0.01")
        while process.poll() is None:
            if any(done >= step for done, _ in checkpoints(self.out / "checkpoints")):
                break
            time.sleep(0.01)
        time.sleep(delay)
        if number == signal.SIGKILL:
            end_all(process)
        else:
            process.send_signal(number)  # to the script alone, as --signal=B: has it
        _, errors = process.communicate()
        assert process.returncode != 0, errors


def submit(out: Path, nodes: int, *more: str) -> None:
    arguments = ["--out", str(out), "--train.steps", "80", *more]
    engine = ["--submit", "slurm", "--nodes", str(nodes), "--gpus", "0", "--time", "4:00:00"]
    assert main(["run", str(RECIPE), *arguments, *engine]) == 0


@pytest.mark.timeout(600)
def test_a_job_that_is_told_to_end_is_queued_again_and_ends_as_the_plain_run(tmp_path, stubs):
    plain, out = tmp_path / "plain", tmp_path / "job"
    submit(out, 1)
    cluster = Cluster(stubs, 1, out)
    cluster.preempt(4, signal.SIGUSR1, 0.0)
    assert (stubs / "requeued").read_text() == "4242\n"
    reached = checkpoints(out / "checkpoints")[-1][0]
    assert 4 <= reached < 80
    last = cluster.start()
    assert last.communicate() and last.returncode == 0
    assert (stubs / "requeued").read_text() == "4242\n"  # a finished run is not
    assert main(["run", str(RECIPE), "--out", str(plain), "--train.steps", "80"]) == 0
    assert digest(out) == digest(plain)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_nodes_preempted_at_random_moments_end_as_the_plain_run(tmp_path, stubs, strategy):
    choose = random.Random(4)
    plain, out = tmp_path / "plain", tmp_path / "job"
    submit(out, 2, "--train.strategy", strategy)
    cluster = Cluster(stubs, 2, out)
    kinds = [signal.SIGUSR1, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    for attempt, number in enumerate(kinds):
        cluster.preempt(8 * attempt + choose.randint(1, 7), number, choose.random() * 0.2)
    assert checkpoints(out / "checkpoints")[-1][0] < 80
    last = cluster.start()
    assert last.communicate() and last.returncode == 0
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0", "-m", "sciml", "run", str(RECIPE), "--out", str(plain),
        "--train.steps", "80", "--train.strategy", strategy,
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert digest(out) == digest(plain)


def test_the_script_asks_for_what_the_command_names(tmp_path, stubs, capsys):
    arguments = ["run", str(RECIPE), "--submit", "slurm", "--nodes", "3", "--gpus", "8",
                 "--partition", "gpu large", "--mem", "64G", "--cpus", "16", "--out",
                 str(tmp_path / "run"), "--train.device", "cuda"]  # fmt: skip
    assert main(arguments) == 0
    assert "submitted job 4242" in capsys.readouterr().out
    text = (tmp_path / "run" / slurm.SCRIPT).read_text()
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    for line in ("--nodes=3", "--gpus-per-node=8", "--partition='gpu large'", "--mem=64G",
                 "--signal=B:USR1@120", "--requeue", "--cpus-per-task=16",
                 "--ntasks-per-node=1"):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    assert "--nnodes 3 --nproc-per-node 8" in text
    assert f"-m sciml run {RECIPE} --out {tmp_path / 'run'} --train.device cuda &" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nodes", "0"], "--nodes must be >= 1, got 0"),
        (["--time", "tomorrow"], "--time 'tomorrow' is no time limit"),
        (["--time", "2"], "--time 2 is too short"),
        (["--launcher", "ray"], "exclude each other"),
        (["--train.stepz", "3"], "did you mean --train.steps"),
        (["--submit", "pbs"], "invalid choice: 'pbs'"),
    ],
)
def test_a_wrong_submission_is_refused_and_nothing_written(tmp_path, stubs, words, message):
    out = tmp_path / "run"
    with pytest.raises(InputError, match=message):
        recipe = recipes.load(str(RECIPE))
        slurm.submit(recipe, str(RECIPE), ["--submit", "slurm", "--out", str(out), *words])
    assert not out.exists() and not (stubs / "script").exists()


def test_without_sbatch_the_script_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["run", str(RECIPE), "--submit", "slurm", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "no `sbatch`" in error and f"Run `sbatch {tmp_path / 'run' / slurm.SCRIPT}`" in error
    assert slurm.missing() == ["sbatch", "srun", "scontrol"]


def test_processes_that_do_not_know_of_each_other_are_refused(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    command = ["run", str(RECIPE), "--out", str(out)]
    messages = []
    for rank in range(4):
        monkeypatch.setenv("SLURM_PROCID", str(rank))
        assert main(command) == 2
        messages.append(capsys.readouterr().err)
    assert messages[1:] == ["", "", ""] and not out.exists()
    assert "srun started 4 processes" in messages[0]
    assert "--submit slurm --nodes 2 --gpus 2" in messages[0]
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert main([*command, "--train.steps", "1"]) == 0


def test_the_lock_of_a_job_ends_when_slurm_queues_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    elsewhere = locks.Owner("node3:abc", 12, "5", "now", "sciml run", "/7/0")
    lock = tmp_path / locks.NAME
    lock.write_text(json.dumps(elsewhere.__dict__))
    with locks.locked(tmp_path):
        assert json.loads(lock.read_text())["job"] == "/7/1"
    for other in ("/7/1", "/8/0", ""):  # the same attempt, another job, no job
        lock.write_text(json.dumps({**elsewhere.__dict__, "job": other}))
        with pytest.raises(InputError, match="in use by process 12 on node3"):
            with locks.locked(tmp_path):
                pass


@pytest.mark.parametrize(("size", "rank"), [
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "PMI_RANK"),
])  # fmt: skip
def test_processes_of_mpi_are_refused_and_shown_torchrun(tmp_path, monkeypatch, capsys, size, rank):
    out = tmp_path / "run"
    monkeypatch.setenv(size, "4")
    monkeypatch.setenv("SLURM_PROCID", "0")  # of the batch script that starts mpirun
    messages = []
    for number in range(4):
        monkeypatch.setenv(rank, str(number))
        assert main(["run", str(RECIPE), "--out", str(out)]) == 2
        messages.append(capsys.readouterr().err)
    assert messages[1:] == ["", "", ""] and not out.exists()
    assert "started 4 processes" in messages[0] and messages[0].count("\n") == 1
    assert f"torchrun --nproc-per-node 4 -m sciml run {RECIPE} --out {out}" in messages[0]


def test_a_dry_run_prints_the_script_that_would_be_submitted(tmp_path, stubs, capsys):
    out = tmp_path / "run"
    command = ["run", str(RECIPE), "--submit", "slurm", "--nodes", "2", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert not out.exists() and not (stubs / "script").exists()
    assert main(command) == 0
    assert (out / slurm.SCRIPT).read_text() == shown
    assert main(["run", str(RECIPE), "--out", str(out), "--dry-run"]) == 2  # only of a submission
    assert "unknown option --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "seconds"), [
    ("90", 5400), ("2:30", 150), ("4:00:00", 14400), ("1-12", 129600), ("1-12:30", 131400),
    ("2-0:0:5", 172805), ("0", 0),
])  # fmt: skip
def test_time_limits_are_read_as_slurm_does(limit, seconds):
    assert slurm._seconds(limit) == seconds


def test_a_percent_sign_in_a_path_is_no_pattern_of_slurm(tmp_path, stubs):
    out = tmp_path / "top 10%j"
    assert main(["run", str(RECIPE), "--submit", "slurm", "--out", str(out)]) == 0
    text = (out / slurm.SCRIPT).read_text()
    assert f"#SBATCH --output='{tmp_path}/top 10%%j/slurm-%j.log'\n" in text
