"""Pile-up: further collisions of the same bunch crossing, and which tracks are theirs.

Soft inelastic collisions of Pythia 8, each used many times, turned about the beam and moved along
it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sciml.jets.simulation import flavour_truth as truth
from sciml.jets.simulation.detector import Particles
from sciml.jets.simulation.events import pythia_module

BEAM_SPOT = 45.0
"""Width [mm] of the collisions along the beam; the selected one is at 0."""
MAX_DZ = 5.0
"""Tracks with a larger |dz| [mm] are taken for pile-up and left out, as by charged-hadron
subtraction."""
POOL = 200
"""Pile-up collisions made per chunk; each is used many times, turned about the beam."""


class Events:
    """Endless iterator over the collisions of a process.

    Args:
        name: a key of `flavour_truth.PROCESSES`, or "pile-up".
        seed: Pythia's.
        shower: a key of `processes.SHOWERS`.
    """

    def __init__(self, name: str, seed: int, shower: str = "pythia") -> None:
        self.pythia = pythia_module().Pythia("", False)
        for line in truth.settings(name, seed, shower):
            if not self.pythia.readString(line):
                raise RuntimeError(f"Pythia refused the setting {line!r}")
        if not self.pythia.init():
            raise RuntimeError(f"Pythia could not be started for {name!r}")
        self._charges: dict[int, float] = {}

    def __next__(self) -> truth.Collision:
        while not self.pythia.next():
            pass
        return truth.read(self.pythia.event, self._charges)


class PileUp:
    """Further collisions of the same bunch crossing.

    Args:
        mean: of their Poisson-distributed number.
        seed: Pythia's.
    """

    def __init__(self, mean: float, seed: int) -> None:
        self.mean = mean
        self.pool: list[Particles] = []
        if mean:
            events = Events("pile-up", seed)
            self.pool = [next(events).particles for _ in range(POOL)]

    def overlay(self, particles: Particles, rng: np.random.Generator) -> tuple[Particles, int]:
        """(these particles, then those of further collisions, number of further collisions)."""
        if not self.mean:
            return particles, 0
        count = int(rng.poisson(self.mean))
        parts = [particles]
        for number in rng.integers(POOL, size=count):
            angle, z = rng.uniform(-np.pi, np.pi), BEAM_SPOT * rng.normal()
            parts.append(_moved(self.pool[number], angle, z))
        together = Particles(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return together, count


def of_selected_collision(
    candidates: NDArray[np.float64], source: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which candidates charged-hadron subtraction keeps: those without a track, and tracks near
    the selected collision.

    Args:
        candidates, source: what `detector.simulate_with_sources` gives.
    """
    return (source < 0) | (np.abs(candidates[:, 8]) < MAX_DZ)


def _moved(p: Particles, angle: float, z: float) -> Particles:
    """Particles turned about the beam and moved along it."""
    c, s = math.cos(angle), math.sin(angle)
    return p._replace(
        px=c * p.px - s * p.py, py=s * p.px + c * p.py, x=c * p.x - s * p.y, y=s * p.x + c * p.y,
        z=p.z + z,
    )  # fmt: skip
