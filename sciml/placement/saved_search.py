"""The file from which an interrupted search is resumed: arrays in one .npz, written atomically.

Each method of `place` has its own arrays; this module adds the settings, so that a search is never
resumed with another netlist, seed or budget, and the CPU time spent so far.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.design import Design

Arrays = dict[str, np.ndarray]
INTERVAL = 1.0
"""Shortest time between two states given to `offer` that are saved [s]."""


def digest(design: Design) -> str:
    """Digest of a netlist: sizes, pins, nets and which nodes are fixed."""
    parts = (design.kind, design.width, design.height, design.fixed, design.pin_node,
             design.pin_dx, design.pin_dy, design.net_start)  # fmt: skip
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]


def numbers_digest(values: np.ndarray) -> str:
    """Digest of numbers in double precision."""
    return hashlib.sha256(np.asarray(values, np.float64).tobytes()).hexdigest()[:16]


class SavedSearch:
    """Saves the state of a search, and loads that of an earlier call.

    Args:
        path: the .npz; None: nothing is saved and nothing resumed.
        settings: plain values by name that must be the same on resuming.
        resume: load what is at `path`; else it is overwritten.
    """

    def __init__(
        self, path: str | Path | None, settings: Mapping[str, Any], resume: bool = True
    ) -> None:
        self.path = None if path is None else Path(path)
        self.settings = dict(settings)
        self.resumes = resume
        self.earlier = 0.0
        """CPU-seconds of the calls before this one."""
        self.began = time.process_time()
        self.last = time.monotonic()

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds of the search so far, over all calls."""
        return self.earlier + time.process_time() - self.began

    def load(self) -> Arrays:
        """The arrays of an earlier call; empty if there was none.

        Raises:
            InputError: the file is damaged, or of another search.
        """
        if self.path is None or not self.resumes or not self.path.exists():
            return {}
        try:
            with open(self.path, "rb") as stream, np.load(stream, allow_pickle=False) as data:
                arrays = {key: data[key] for key in data.files}
            settings = json.loads(str(arrays.pop("settings"))) if "settings" in arrays else {}
            self.earlier = float(arrays.pop("cpu_seconds", np.zeros(())))
        except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile) as error:
            raise InputError(f"cannot be resumed from: {error}", where=self.path) from None
        settings = settings or {"method": "sa"}  # version 0.1 could save annealing alone
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise InputError(
                    f"was saved with another {name} ({value}, now {self.settings.get(name)})",
                    where=self.path, hint="Use the same command, or remove this file",
                )  # fmt: skip
        return arrays

    def save(self, arrays: Mapping[str, Any]) -> None:
        """Write this state."""
        if self.path is None:
            return
        extra = {"settings": json.dumps(self.settings), "cpu_seconds": self.cpu_seconds}
        with atomic_write(self.path) as part, open(part, "wb") as stream:
            values: dict[str, Any] = {k: np.asarray(v) for k, v in {**arrays, **extra}.items()}
            np.savez(stream, **values)
        self.last = time.monotonic()

    def offer(self, arrays: Callable[[], Mapping[str, Any]]) -> None:
        """Save if the last state is older than `INTERVAL`."""
        if self.path is not None and time.monotonic() - self.last > INTERVAL:
            self.save(arrays())
