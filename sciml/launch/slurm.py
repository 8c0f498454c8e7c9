"""`sciml run RECIPE --submit slurm`: a batch script that starts torchrun on every node.

The script asks SLURM for SIGUSR1 before the time is over, passes it on, waits for the checkpoint,
and queues the job again. What is killed without a signal, SLURM queues again (`--requeue`). Either
way the same command resumes in the run's folder, which all nodes must see.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sciml import recipes
from sciml.errors import InputError
from sciml.paths import atomic_write

GRACE = 120
"""Seconds between the signal and the end of a job."""
SCRIPT = "slurm.sh"
"""Name of the batch script in the run's folder."""
TOOLS = ("sbatch", "srun", "scontrol")
"""Programs of SLURM that a run needs."""
OPTIONS = {
    "time": "time limit, as SLURM has it: 4:00:00",
    "partition": "partition",
    "account": "account that is charged",
    "qos": "quality of service",
    "mem": "memory per node, such as 64G",
    "constraint": "features of the nodes",
}
"""Options of sbatch that are passed on, with a word on each."""

LAUNCHERS = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpiexec",
}
"""Variable that says how many processes there are -> what started them."""

TEMPLATE = """#!/bin/bash
# {command}
# Submitted again, it goes on from the last checkpoint.
{header}

requeue=0
run=
trap 'requeue=1; [ -n "$run" ] && kill -USR1 "$run"' USR1
trap '[ -n "$run" ] && kill -TERM "$run"' TERM
# srun does not take this over from sbatch by itself since SLURM 22.05.
[ -n "$SLURM_CPUS_PER_TASK" ] && export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# srun starts one torchrun per node; they meet on the first node and pass signals to the processes.
srun --kill-on-bad-exit=1 {python} -m torch.distributed.run \\
  --nnodes {nodes} --nproc-per-node {processes} \\
  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID-${{SLURM_RESTART_COUNT:-0}}" \\
  --rdzv-endpoint "$first:$((20000 + SLURM_JOB_ID % 12000))" \\
  --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --shutdown-timeout {wait} \\
  -m sciml run {arguments} &
run=$!
[ "$requeue" = 1 ] && kill -USR1 "$run"
wait "$run"
code=$?
while kill -0 "$run" 2>/dev/null; do  # a signal ends `wait` early
  wait "$run"
  code=$?
done
if [ "$requeue" = 1 ] && [ "$code" -ne 0 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True)
class Job:
    """What a run asks of SLURM.

    Attributes:
        nodes: machines.
        gpus: GPUs per node, each with a process of its own; 0 = one process per node on its CPUs.
        cpus: processors per node; 0 = as many as the cluster gives.
        others: options of sbatch by name.
        dry_run: only show the script.
    """

    nodes: int = 1
    gpus: int = 1
    cpus: int = 0
    others: tuple[tuple[str, str], ...] = ()
    dry_run: bool = False

    def header(self, name: str, out: Path) -> str:
        """The lines for sbatch."""
        lines = {
            "job-name": f"sciml-{name}",
            "chdir": os.getcwd(),
            "output": f"{str(out).replace('%', '%%')}/slurm-%j.log",
            "open-mode": "append",
            "nodes": str(self.nodes),
            "ntasks-per-node": "1",
            **({"gpus-per-node": str(self.gpus)} if self.gpus else {}),
            **({"cpus-per-task": str(self.cpus)} if self.cpus else {}),
            **dict(self.others),
            "signal": f"B:USR1@{GRACE}",
        }
        options = [f"#SBATCH --{key}={shlex.quote(value)}" for key, value in lines.items()]
        return "\n".join([*options, "#SBATCH --requeue"])


def parse(arguments: Sequence[str]) -> tuple[Job, list[str]]:
    """The job and the recipe's own arguments.

    Raises:
        InputError: another engine than slurm, or a value that SLURM would not take.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--submit", choices=["slurm"])
    parser.add_argument("--dry-run", action="store_true")
    for name, default in (("nodes", 1), ("gpus", 1), ("cpus", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in OPTIONS:
        parser.add_argument(f"--{name}")
    try:
        asked, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise InputError(str(error)) from error
    for name, least in (("nodes", 1), ("gpus", 0), ("cpus", 0)):
        if getattr(asked, name) < least:
            raise InputError(f"--{name} must be >= {least}, got {getattr(asked, name)}")
    if asked.time and not re.fullmatch(r"\d+|(\d+-)?\d+(:\d+){0,2}", asked.time):
        raise InputError(
            f"--time {asked.time!r} is no time limit of SLURM",
            hint="Give minutes, hours:minutes:seconds or days-hours",
        )
    if asked.time and 0 < _seconds(asked.time) <= GRACE:
        raise InputError(
            f"--time {asked.time} is too short: a job is told to end {GRACE} s before its time is "
            "over, and would do nothing but that"
        )
    if "--launcher" in (argument.partition("=")[0] for argument in rest):
        raise InputError("--submit and --launcher exclude each other")
    others = tuple((name, getattr(asked, name)) for name in OPTIONS if getattr(asked, name))
    return Job(asked.nodes, asked.gpus, asked.cpus, others, asked.dry_run), rest


def _seconds(limit: str) -> int:
    """A time limit of SLURM: minutes, minutes:seconds, hours:..., days-hours:...; 0 is none."""
    days, dash, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not dash:
        parts = [0] * (3 - len(parts)) + parts if len(parts) > 1 else [0, *parts]
    hours, minutes, seconds = [*parts, 0, 0][:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def submit(recipe: recipes.Recipe, name: str, arguments: Sequence[str]) -> None:
    """Write OUT/slurm.sh and hand it to sbatch; with `--dry-run` print it instead.

    Args:
        recipe: what runs.
        name: its name or path, as given.
        arguments: of the command line, `--submit` among them.

    Raises:
        InputError: a wrong argument, or sbatch is not there or refuses the script.
    """
    job, own_arguments = parse(arguments)
    # The device is that of the node, not of this machine.
    request = recipes.parse(recipe, own_arguments, check_devices=False)
    out = request.out.resolve()
    run = name if name in recipes.names() else str(recipe.path)
    text = TEMPLATE.format(
        command=shlex.join(["sciml", "run", name, *(a for a in arguments if a != "--dry-run")]),
        header=job.header(recipe.name, out),
        python=shlex.quote(sys.executable),
        nodes=job.nodes,
        processes=max(1, job.gpus),
        wait=GRACE - 20,
        arguments=shlex.join([run, *own_arguments]),
    )
    if job.dry_run:
        print(text, end="")
        return
    script = out / SCRIPT
    script.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(script) as part:
        part.write_text(text, encoding="utf-8")
    if shutil.which("sbatch") is None:
        raise InputError(
            "this machine has no `sbatch`, so nothing was submitted",
            where=script,
            hint=f"Run `sbatch {script}` where SLURM is",
        )
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"sbatch refuses the job: {reason}", where=script)
    number = done.stdout.strip().partition(";")[0]
    print(f"submitted job {number}: {script}; its log: {out / f'slurm-{number}.log'}")


class LoneProcesses(InputError):
    """Several processes that do not know of each other were started for one run."""

    of_all_processes = True


def refuse_lone_processes(arguments: Sequence[str]) -> None:
    """Refuse `srun -n 4 sciml run ...`, which would start four runs in one folder; mpirun likewise.

    Args:
        arguments: of `sciml run`.

    Raises:
        LoneProcesses: this is one of several tasks of SLURM or MPI, and there is no rendezvous.
    """
    launcher, tasks = next(
        ((name, os.environ[key]) for key, name in LAUNCHERS.items() if key in os.environ), ("", "1")
    )
    started_by_another = "RANK" in os.environ or "RAY_RAYLET_PID" in os.environ
    if not tasks.isdigit() or int(tasks) < 2 or started_by_another:
        return
    if launcher != "srun":
        raise LoneProcesses(
            f"{launcher} started {tasks} processes that do not know of each other",
            hint=f"Start them by torchrun: torchrun --nproc-per-node {tasks} -m sciml run "
            f"{shlex.join(arguments)}",
        )
    nodes = os.environ.get("SLURM_STEP_NUM_NODES", os.environ.get("SLURM_NNODES", "1"))
    nodes = nodes if nodes.isdigit() else "1"
    per_node = max(1, int(tasks) // max(1, int(nodes)))
    command = shlex.join(arguments)
    raise LoneProcesses(
        f"srun started {tasks} processes that do not know of each other",
        hint=f"Submit it: sciml run {command} --submit slurm --nodes {nodes} --gpus {per_node}; or "
        f"start torchrun once per node: srun --ntasks-per-node=1 torchrun --nnodes {nodes} "
        f"--nproc-per-node {per_node} --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID "
        f"--rdzv-endpoint FIRST_NODE:29400 -m sciml run {command}",
    )


def missing() -> list[str]:
    """The programs of SLURM that are not on this machine."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]
