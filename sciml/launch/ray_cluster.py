"""A Ray cluster for one command: the one that RAY_ADDRESS names, else a local one for its time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sciml.errors import InputError, load_extra
from sciml.train.log import console

ATTEMPTS = 3
"""How often a connection is tried: Ray gives up on a busy machine after half a minute."""

ANSWER = 10
"""Seconds in which a cluster has to answer."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_worker_niceness": "0",  # of 15, which starves them on a machine with other work
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in every process
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Ray's
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs have logs of their own
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, which can be repeated
}


@contextmanager
def cluster(
    purpose: str, cpus: int = 0, *, show: bool = False, library: str = "ray"
) -> Iterator[Any]:
    """The module `ray`, connected to a cluster.

    Args:
        purpose: what needs it, as the subject of a sentence.
        cpus: processors that a local cluster offers at least, however many the machine has.
        show: print what the workers print.
        library: part of Ray that is used, which may lack packages of its own.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: no cluster can be reached or started.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = load_extra("ray", "ray", purpose)
    load_extra(library, "ray", purpose)
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": show}
    if address := os.environ.get("RAY_ADDRESS"):
        _refuse_silent(address)
    else:
        # "local": not one that somebody happens to have started on this machine.
        count = max(cpus, os.cpu_count() or 1)
        options |= {"address": "local", "num_cpus": count, "include_dashboard": False}
    _connect(ray, options)
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Refuse an address at which nothing answers: Ray would wait for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not (host and port.isdigit()):
        return  # `auto`, or a form that only Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error})",
            hint="Start one with `ray start --head`, or unset RAY_ADDRESS to use this machine",
        ) from error


def _connect(ray: Any, options: dict[str, Any]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises this very class where its start takes too long
            ray.shutdown()
            if attempt == ATTEMPTS - 1 or os.environ.get("RAY_ADDRESS"):
                reason = str(error).strip().partition("\n")[0]
                hint = "Is the machine busy? The same command tries again"
                if os.environ.get("RAY_ADDRESS"):
                    hint = (
                        "Is it of this version of Ray, and does it ask for a token "
                        "(RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)?"
                    )
                raise InputError(
                    f"the Ray cluster cannot be reached or started: {reason}", hint=hint
                ) from error


def require(ray: Any, purpose: str, count: int, cpus: float, gpus: float) -> None:
    """Refuse what this machine can never start, where Ray would wait without a word.

    A cluster that RAY_ADDRESS names may grow: there a line says what is waited for.

    Args:
        ray: the module, connected.
        purpose: what needs it, as the subject of a sentence.
        count: processes that run together.
        cpus, gpus: of each.

    Raises:
        InputError: a local cluster has too few processors or GPUs.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    places = 0.0
    for machine in machines:
        wanted = [(machine.get("CPU", 0.0), cpus), (machine.get("GPU", 0.0), gpus)]
        places += min((has // each for has, each in wanted if each), default=count)
    if places >= count:
        return
    have = [f"{sum(m.get(kind, 0) for m in machines):g}" for kind in ("CPU", "GPU")]
    line = (
        f"{purpose} needs {count} x ({cpus:g} processors, {gpus:g} GPUs); {len(machines)} machines "
        f"with {have[0]} processors and {have[1]} GPUs in all have no place for that"
    )
    if not os.environ.get("RAY_ADDRESS"):
        raise InputError(line, hint="Ask for less, or name a larger cluster by RAY_ADDRESS")
    console.print(f"waiting: {line}", soft_wrap=True)


def threads() -> int:
    """Threads that torch uses in this process; workers take as many, so that sums of floating-point
    numbers come out the same."""
    import torch

    return torch.get_num_threads()
