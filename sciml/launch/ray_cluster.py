"""A Ray cluster for one command: the one that RAY_ADDRESS names, else a local one for its time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sciml.errors import load_extra

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in every process
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Ray's
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs have logs of their own
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, which can be repeated
}


@contextmanager
def cluster(purpose: str, cpus: int = 0, *, show: bool = False) -> Iterator[Any]:
    """The module `ray`, connected to a cluster.

    Args:
        purpose: what needs it, as the subject of a sentence.
        cpus: processors that a local cluster offers at least, however many the machine has.
        show: print what the workers print.

    Raises:
        MissingExtra: Ray is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = load_extra("ray", "ray", purpose)
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": show}
    if not os.environ.get("RAY_ADDRESS"):
        options |= {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    ray.init(**options)
    try:
        yield ray
    finally:
        ray.shutdown()


def threads() -> int:
    """Threads that torch uses in this process; workers take as many, so that sums of floating-point
    numbers come out the same."""
    import torch

    return torch.get_num_threads()
