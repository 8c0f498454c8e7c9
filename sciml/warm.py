"""`sciml doctor --warm`: compile now what is compiled at first use, so that no first command waits.

Kernels of numba are kept on disk: beside the package, or in the user's cache where that folder
cannot be written, or where `NUMBA_CACHE_DIR` says. Each task does in small what a first command
does, in a process of its own, as many at a time as there are cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def tag() -> None:
    """Jets: tag the sample, fit trees to its observables."""
    from sciml.jets import JetTagger
    from sciml.jets.data.sample import JetSample, shipped

    tagger = JetTagger.from_pretrained("jets-tiny", device="cpu")
    tagger.predict(JetSample.read(shipped("test"), classes=tagger.classes))


def contacts() -> None:
    """Proteins: contacts of a generated family."""
    from sciml.protein import ContactPredictor
    from sciml.protein.contacts.synthetic_families import families

    family = families(1, 0, length=(40, 44), depth=(60, 100))[0]
    ContactPredictor.from_pretrained("contacts-small", device="cpu").predict(family.alignment)


def generate() -> None:
    """Formulas: generators of integrals and of random functions."""
    from sciml.symbolic.generate import integrals

    integrals.bwd(0, 0, 16)
    integrals.random_functions(0, 0, 16, 8)


def place() -> None:
    """Circuits: read, place macros by annealing, score."""
    from sciml.placement import place as place_macros
    from sciml.placement import read_design
    from sciml.placement.formats.io import write_design
    from sciml.placement.generate import synthetic
    from sciml.placement.placer import score

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "netlist.pb.txt"
        write_design(synthetic(0, 0.3), path)
        placed = place_macros(read_design(path), cpu_seconds=0.2, method="sa")
    score(placed.design)


def place_cells() -> None:
    """Circuits: place standard cells electrostatically, on rows."""
    from sciml.placement import place as place_all
    from sciml.placement.generate import standard_cells

    place_all(standard_cells(300), cpu_seconds=1, movable="cells")


TASKS: dict[str, Callable[[], None]] = {
    "jets": tag, "proteins": contacts, "formulas": generate, "circuits": place,
    "standard cells": place_cells,
}  # fmt: skip
"""What is compiled, by what it is for."""


def warm(workers: int = 0) -> int:
    """Run all tasks as child processes and say what each took.

    Args:
        workers: at the same time; 0 = one per core.

    Returns:
        how many failed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting, failed = list(TASKS), 0
    running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (workers or cores or 1):
                name = waiting.pop(0)
                command = [sys.executable, "-m", "sciml.warm", name]
                child = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
                running[name] = child, time.monotonic()
            for name, (child, began) in list(running.items()):
                if child.poll() is None:
                    continue
                del running[name]
                assert child.stderr is not None
                lines = child.stderr.read().decode(errors="replace").strip().splitlines()
                child.stderr.close()
                if child.returncode:
                    failed += 1
                    print(f"{name}: failed ({lines[-1] if lines else child.returncode})")
                else:
                    print(f"{name}: compiled, or read, in {time.monotonic() - began:.0f} s")
            time.sleep(0.1)
    finally:
        for child, _ in running.values():
            child.kill()
            child.wait()
    return failed


if __name__ == "__main__":
    TASKS[sys.argv[1]]()
