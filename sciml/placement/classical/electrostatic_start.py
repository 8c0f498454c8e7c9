"""A start for the annealing of macros: electrostatic global placement, then legal positions.

Wires pull and charges push hard and soft macros at once (`global_placement`), which orders a
design of many macros in about a second, where annealing from a random order needs a minute. What
is ordered must not be melted again: the annealing then begins cool (`hot`).
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from sciml.errors import InputError
from sciml.placement.classical.annealing import zero_start
from sciml.placement.classical.global_placement import GlobalConfig, GlobalPlacer
from sciml.placement.classical.legalise import legalise_macros
from sciml.placement.design import CELL, MACRO, Design

CONFIG = GlobalConfig(bins=64, target=0.7, calm=0.02, overflow=0.1)
"""Coarse bins and white space, so that the legaliser moves little."""
FEWEST = 200
"""Movable macros from which on it is worth its time."""
SECONDS_PER_MACRO = 0.08
"""Budget per movable macro above which annealing from a random order is as good."""
HOT = 0.05
"""First temperature of the annealing after it, in mean uphill moves."""
MOVES_PER_SECOND = 200_000
"""For budgets in moves."""


def pays(design: Design, cpu_seconds: float, max_moves: int | None = None) -> bool:
    """Whether the budget is so short for the size that this start is the better one."""
    seconds = cpu_seconds if max_moves is None else max_moves / MOVES_PER_SECOND
    movable = int((~design.fixed & (design.kind <= 1)).sum())
    return movable >= FEWEST and seconds < SECONDS_PER_MACRO * movable


def electrostatic_start(design: Design, seed: int, seconds: float = np.inf) -> tuple[Design, float]:
    """(the start, CPU-seconds it took); it does not depend on positions of movable nodes.

    Falls back on `zero_start` where the macros do not fit near where they came to rest. `seconds`
    bounds the global placement.

    Raises:
        InputError: there is no legal start at all.
    """
    sizes = {}
    for key, near, far in (("width", 0, 2), ("height", 1, 3)):
        size = getattr(design, key).copy()
        if design.constraints is not None:  # room for halos
            halo = design.constraints.halo[:, [near, far]].sum(1)
            size += np.where(design.kind == MACRO, halo, 0.0)
        size[design.kind == CELL] = 0.0  # cells are placed later
        sizes[key] = size
    orientation = np.where(design.fixed, design.orientation, 0)
    upright = design.at(design.x, design.y, orientation)
    GlobalPlacer(replace(upright, **sizes), replace(CONFIG, iterations=1)).run()  # compiled
    began = time.process_time()
    placer = GlobalPlacer(replace(upright, **sizes), CONFIG, seed)
    x, y = placer.run(seconds)
    canvas = design.canvas
    x = np.where(design.fixed, design.x, np.clip(x, canvas.x0, canvas.x1))
    y = np.where(design.fixed, design.y, np.clip(y, canvas.y0, canvas.y1))
    try:
        start = legalise_macros(upright.at(x, y))
    except InputError:
        start = zero_start(design, seed)
    return start, time.process_time() - began
