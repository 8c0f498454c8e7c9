"""Where the nodes of a known netlist are, as one small .npz: for runs that keep many placements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sciml.paths import atomic_write
from sciml.placement.design import Design


def write_coordinates(path: Path, design: Design) -> None:
    """Write centres [N; design units] and orientations."""
    with atomic_write(path) as part, open(part, "wb") as stream:
        np.savez(stream, x=design.x, y=design.y, turned=design.orientation)


def read_coordinates(path: Path, design: Design) -> Design:
    """The design with the coordinates that `write_coordinates` kept of it."""
    with np.load(path, allow_pickle=False) as data:
        return design.at(data["x"], data["y"], data["turned"])
