"""One function over many inputs, as tasks on a Ray cluster; results in the order of the inputs.

A task whose process dies, or that fails for a reason of the machine, is tried again. One that
refuses its input is not: the same file would be refused again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sciml.errors import InputError
from sciml.launch import ray_cluster
from sciml.train.log import Bar

RETRIES = 3
"""How often a task is tried again."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result for an input."""

    reason: str


def run(
    function: Callable[[Any], Any], inputs: Sequence[Any], workers: int = 0, *, title: str = "files"
) -> list[Any]:
    """`function` of each input, or a `Failure`, in order.

    Each task has as many threads as this process, so that its results are the same to the bit. The
    inputs and results go from process to process; paths must mean the same file everywhere.

    Args:
        function: importable by its name, as are the inputs.
        inputs: one for each task.
        workers: tasks at a time on a local cluster; 0 = as many as there are processors for.
        title: of the progress bar.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: a negative number of workers.
    """
    if workers < 0:
        raise InputError(f"--workers must be >= 0, got {workers}")
    threads = ray_cluster.threads()
    with ray_cluster.cluster("--launcher ray", threads * workers) as ray:
        place = (os.getcwd(), list(sys.path), threads)
        gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
        ray_cluster.require(ray, "a task of --launcher ray", 1, threads, gpus)
        task = ray.remote(
            num_cpus=threads, num_gpus=gpus, max_retries=RETRIES, retry_exceptions=True
        )(_call)
        results: list[Any] = []
        with Bar(title, len(inputs)) as bar:
            waiting = [task.remote(function, one, place) for one in inputs]
            for reference in waiting:
                try:
                    results.append(ray.get(reference))
                except ray.exceptions.RayError as error:
                    lines = [line for line in str(error).splitlines() if line.strip()]
                    results.append(Failure(lines[-1].strip() if lines else type(error).__name__))
                bar.advance()
    return results


def _call(function: Callable[[Any], Any], one: Any, place: tuple[str, list[str], int]) -> Any:
    import torch

    folder, paths, threads = place
    os.chdir(folder)
    sys.path[:] = paths
    torch.set_num_threads(threads)
    try:
        return function(one)
    except InputError as error:
        return Failure(str(error))


def refuse(failed: Sequence[tuple[str, Failure]], count: int, what: str) -> None:
    """List what failed, as an error of the whole command.

    Args:
        failed: name and failure of each.
        count: of all inputs.
        what: they are: `files`, `chains`.

    Raises:
        InputError: something failed.
    """
    if failed:
        listed = "; ".join(f"{name} ({failure.reason})" for name, failure in failed)
        raise InputError(
            f"{len(failed)} of {count} {what} failed, the others are written: {listed}"
        )
