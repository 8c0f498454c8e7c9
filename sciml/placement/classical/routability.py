"""Room for wires: cells in crowded places count as wider than they are.

Between rounds of global placement, the demand for wires (`routing.demand`) over the supply tells
how crowded each global cell is, and the cells in crowded ones are inflated, as in RePlAce (Cheng,
Kahng, Kang and Wang, IEEE TCAD 2019, section V). What a cell was inflated by stays free sites
beside it when rows and detailed placement give it its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from sciml.config import Range
from sciml.errors import InputError
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.classical.segments import free_segments, groups
from sciml.placement.design import Design
from sciml.placement.routing.demand import crowding
from sciml.placement.routing.grid import RoutingGrid


@dataclass(frozen=True)
class RoutabilityConfig:
    """How cells are inflated."""

    rounds: Annotated[int, Range(min=1)] = 3
    """Rounds of inflation, at most."""
    overflow: Annotated[float, Range(min=0, max=1)] = 0.2
    """Overflow of the density at which global placement stops for a round."""
    power: Annotated[float, Range(min=0)] = 1.5
    """A cell is inflated by this power of demand over supply, where that is above `full`; RePlAce
    takes 2.33, which costs more wire and gains no more here."""
    full: Annotated[float, Range(min=0)] = 1.0
    """Demand over supply that is crowded."""
    largest: Annotated[float, Range(min=1)] = 2.5
    """Most that a cell is inflated by, over all rounds."""
    density: Annotated[float, Range(min=0, max=1)] = 0.92
    """Inflated cells fill at most this share of the free sites."""
    least: Annotated[float, Range(min=0)] = 0.01
    """Stop when a round inflates the cells by less than this share of their area."""


def inflate(
    design: Design, cells: np.ndarray, ratio: np.ndarray, grid: RoutingGrid,
    config: RoutabilityConfig,
) -> np.ndarray:  # fmt: skip
    """Ratios [n] of inflated to true width after one more round, for these cells.

    Args:
        ratio: those before.
    """
    row, column = grid.cells_of(np.stack([design.x[cells], design.y[cells]], 1))
    crowded = crowding(design, grid)[row, column] / config.full
    wanted = np.minimum(ratio * np.maximum(crowded, 1.0) ** config.power, config.largest)
    width = design.width[cells]
    room = config.density * _room(design) - float((ratio * width).sum())
    grown = float(((wanted - ratio) * width).sum())
    return ratio + (wanted - ratio) * np.clip(room / max(grown, 1e-30), 0.0, 1.0)


def _room(design: Design) -> float:
    """Length of free row segments that the lowest cells may use [design units]."""
    group = groups(design)[-1]
    absent = np.zeros(design.nodes, bool)
    absent[group.cells] = True
    free = free_segments(design, group.rows, absent)
    return float((free.capacity * free.pitch).sum())


def widened(design: Design, cells: np.ndarray, ratio: np.ndarray) -> Design:
    """The same design with inflated cells, for global placement."""
    width = design.width.copy()
    width[cells] *= ratio
    return replace(design, width=width)


def padded(
    design: Design, cells: np.ndarray, ratio: np.ndarray, finish: Callable[[Design], Design]
) -> Design:
    """Legalise, `finish`, and give back the free sites beside each cell.

    Shares of a site are rounded at random, so that their sum stays. If the rows cannot hold the
    padded cells, half as much is tried, and then none.
    """
    assert design.rows is not None
    site = float(design.rows.site[0])
    extra = (ratio - 1) * design.width[cells] / site
    chance = np.random.default_rng(0).random(len(cells))
    for share in (1.0, 0.5, 0.0):
        sites = np.floor(share * extra + chance * (share > 0))
        width = design.width.copy()
        width[cells] = np.ceil(width[cells] / site - 1e-6) * site + sites * site
        try:
            legal = finish(legalise_cells(replace(design, width=width)))
        except InputError:
            if share == 0:
                raise
            continue
        x = legal.x.copy()
        x[cells] += np.floor(sites / 2) * site - (width[cells] - design.width[cells]) / 2
        return replace(legal, width=design.width, x=x)
    raise AssertionError("unreachable")
