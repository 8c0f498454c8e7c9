"""`sciml run RECIPE --launcher ray`: the same recipe on the workers of a Ray cluster.

Ray Train starts the processes and joins them to torch's process group, as torchrun does, and starts
them again when one dies; the recipe, its loop and its checkpoints are those of every other run.
The run's folder must be seen by all workers under the same path.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sciml.errors import InputError
from sciml.files import locks
from sciml.launch import ray_cluster
from sciml.paths import atomic_write
from sciml.recipes import Recipe, Request

FAILURES = 3
"""How often the workers are started again without a new checkpoint."""
REFUSED = ".refused"
"""Holds why a worker refused the run."""


def run(recipe: Recipe, request: Request) -> None:
    """Run a recipe on `request.workers` processes of a Ray cluster.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: as `recipes.run`, or the workers died more than `FAILURES` times since the last
            checkpoint.
    """
    out = request.out.resolve()
    scratch = out.parent / f".{out.name}.ray"  # Ray's own notes, which nobody reads
    cluster = ray_cluster.cluster(
        "--launcher ray", request.workers, show=True, library="ray.train.torch"
    )
    with locks.locked_file(out), cluster as ray:
        from ray import train
        from ray.train.torch import TorchTrainer

        gpus = bool(ray.cluster_resources().get("GPU", 0))
        ray_cluster.require(ray, "--workers", request.workers, 1, int(gpus))
        job = {
            "recipe": str(recipe.path),
            "arguments": [*request.arguments, f"--out={out}"],
            "out": str(out),
            "refused": str(scratch / REFUSED),
            "folder": os.getcwd(),
            "paths": sys.path,
            "threads": _threads(request.workers),
        }
        while True:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            trainer = TorchTrainer(
                _work,
                train_loop_config=job,
                scaling_config=train.ScalingConfig(num_workers=request.workers, use_gpu=gpus),
                run_config=train.RunConfig(
                    name="train",
                    storage_path=str(scratch),
                    failure_config=train.FailureConfig(max_failures=FAILURES),
                ),
            )
            reached = _last_checkpoint(out)
            try:
                trainer.fit()
                if (scratch / REFUSED).exists():
                    raise InputError((scratch / REFUSED).read_text(encoding="utf-8"))
                return
            except train.TrainingFailedError as error:
                if _last_checkpoint(out) != reached:
                    continue  # machines that come and go may do so for as long as the run gets on
                raise InputError(
                    f"the workers failed {FAILURES + 1} times without a new checkpoint; "
                    f"the last time: {_last_line(error)}",
                    where=request.out,
                    hint="The same command goes on from the last checkpoint",
                ) from error
            finally:
                shutil.rmtree(scratch, ignore_errors=True)


def _last_checkpoint(out: Path) -> int:
    """When the newest checkpoint of a run or of its parts was written [ns]; 0: there is none."""
    times = [0]
    for path in out.rglob("step-*.json"):
        with suppress(FileNotFoundError):  # it has just been replaced
            times.append(path.stat().st_mtime_ns)
    return max(times)


def _work(job: dict[str, Any]) -> None:
    """What each worker does: the whole recipe, as a member of the process group."""
    import torch
    import torch.distributed as dist
    from ray import train

    from sciml import recipes

    sys.path[:] = job["paths"]
    os.chdir(job["folder"])
    refused = Path(job["refused"])
    torch.set_num_threads(job["threads"])
    try:
        recipes.run(recipes.load(job["recipe"]), job["arguments"])
    except Exception as error:
        if isinstance(error, InputError):
            with atomic_write(refused) as part:
                part.write_text(str(error), encoding="utf-8")
        elif not refused.exists():
            raise
        # Not a failure to Ray, which would start the workers again for nothing. The others notice
        # by their broken connections.
        if dist.is_initialized():
            dist.destroy_process_group()
        return
    train.report({"folder": job["out"]})  # the checkpoints are in there


def _threads(workers: int) -> int:
    """Threads of torch per worker: as torchrun has it, one if there are several workers."""
    if workers > 1:
        return int(os.environ.get("OMP_NUM_THREADS", "1"))
    return ray_cluster.threads()


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
