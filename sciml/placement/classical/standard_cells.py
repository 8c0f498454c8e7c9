"""A complete legal placement with standard cells: global, macros, rows, detailed.

Movable macros are placed together with the cells first, then legalised and fixed, and the cells
are placed anew around them. For routability, rounds follow in which cells in crowded places count
as wider (`routability`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sciml.placement.classical.detailed import improve_cells
from sciml.placement.classical.global_placement import Descent, GlobalConfig, GlobalPlacer
from sciml.placement.classical.legalise import is_free, legalise_macros
from sciml.placement.classical.macro_limits import snap_to_grid
from sciml.placement.classical.routability import (
    RoutabilityConfig,
    inflate,
    padded,
    widened,
)
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.classical.segments import groups
from sciml.placement.constraints import keep_out
from sciml.placement.cost.wirelength import hpwl
from sciml.placement.design import MACRO, SOFT, Design
from sciml.placement.generate import standard_cells
from sciml.placement.routing.grid import routing_grid
from sciml.placement.saved_search import SavedSearch

ROUGH = GlobalConfig(bins=128, target=0.85, overflow=0.03, calm=0.03)
"""For the macros: coarse bins, and white space between them so that the legaliser moves little."""
AROUND = GlobalConfig(first_weight=0.1)
"""For the cells around the legal macros, from where they were: a strong density from the start."""


@dataclass(frozen=True)
class Stage:
    """One global placement: from where, until which share of the budget, and how."""

    begin: str
    until: float
    config: GlobalConfig
    widen: bool = False
    """Inflate cells in crowded places first."""


def stages(
    macros: bool, begin: str, routability: RoutabilityConfig | None = None
) -> list[Stage]:  # fmt: skip
    """The global placements of a flow, with or without movable macros."""
    begin = "zero" if begin == "zero" else "file"
    if macros:
        out = [Stage(begin, 0.3, ROUGH), Stage("file", 0.6, AROUND)]
    else:
        out = [Stage(begin, 0.55, GlobalConfig())]
    if routability is not None:
        early = routability.overflow
        out[-1] = replace(out[-1], config=replace(out[-1].config, overflow=early))
        for k in range(1, routability.rounds + 1):
            config = AROUND if k == routability.rounds else replace(AROUND, overflow=early)
            share = out[-1].until + 0.15 / routability.rounds
            out.append(Stage("file", share, config, widen=True))
    return out


@dataclass(frozen=True)
class CellPlacement:
    """A legal placement and how it came about."""

    design: Design
    evaluations: int
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def place_cells(
    design: Design,
    cpu_seconds: float = 60.0,
    seed: int = 0,
    start: str = "zero",
    report: Callable[[dict[str, float]], None] | None = None,
    saved: SavedSearch | None = None,
    routability: RoutabilityConfig | None = None,
) -> CellPlacement:
    """Place the movable cells (and macros) of a design with rows within a budget of CPU-seconds.

    Ctrl-C during global placement legalises what there is.

    Args:
        routability: leave room for wires where they are crowded.

    Raises:
        InputError: no rows, no room, a macro without a legal place, or no `tracks` where wires
            are to have room.
    """
    lowest = groups(design)[-1].cells  # refuses what cannot be placed before the work begins
    if routability is not None:
        routing_grid(design)
    keep_out(design, ~design.fixed)
    saved = saved or SavedSearch(None, {})
    earlier = saved.load()
    macros = bool(((design.kind <= SOFT) & ~design.fixed).any())
    history: list[dict[str, float]] = []
    evaluations, first, stopped = 0, 0, False
    rounds = stages(macros, start, routability)
    placed, ratio = design, np.ones(len(lowest))
    if earlier:
        placed = design.at(earlier["x"], earlier["y"], earlier["orientation"])
        first, evaluations = int(earlier["round"]), int(earlier["evaluations"])
        history = json.loads(str(earlier["history"]))
        ratio = earlier.get("ratio", ratio)
        if first and macros:
            placed = _with_fixed_macros(placed)

    def state(number: int, descent: Descent | None = None) -> dict[str, Any]:
        return {
            "round": number, "evaluations": evaluations, "history": json.dumps(history),
            "x": placed.x, "y": placed.y, "orientation": placed.orientation, "ratio": ratio,
            **(descent.arrays() if descent is not None else {}),
        }  # fmt: skip

    for k, stage in list(enumerate(rounds))[first:]:
        last = k == len(rounds) - 1
        resumed = k == first and "u" in earlier
        if stage.widen and not resumed and routability is not None:
            before = ratio
            ratio = inflate(placed, lowest, before, routing_grid(placed), routability)
            width = placed.width[lowest]
            if not last and ((ratio - before) * width).sum() < routability.least * width.sum():
                continue
        wide = widened(placed, lowest, ratio) if stage.widen else placed
        placer = GlobalPlacer(wide, stage.config, seed, stage.begin)
        if resumed:
            placer.descent = Descent.of(earlier)
        spent = placer.descent.spent if placer.descent is not None else 0.0
        left = max(stage.until * cpu_seconds - saved.cpu_seconds + spent, 1.0)

        def after(row: dict[str, float], k: int = k, placer: GlobalPlacer = placer) -> None:
            saved.offer(lambda: state(k, placer.descent))
            if report is not None:
                report(row)

        try:
            x, y = placer.run(left, after)
        except KeyboardInterrupt:
            stopped = True
            saved.save(state(k, placer.descent))
            x, y = placer.centres(placer.now())
        placed = placed.at(x, y)
        descent = placer.descent
        evaluations += descent.step if descent is not None else 0
        history.append({
            "cpu_seconds": saved.cpu_seconds, "hpwl": hpwl(placed),
            "overflow": descent.overflow if descent is not None else 1.0,
        })  # fmt: skip
        if k == 0 and macros:
            placed = _with_fixed_macros(_snap_macros(snap_to_grid(legalise_macros(placed))))
        if stopped:
            break
        saved.save(state(k + 1))

    def improved(row: dict[str, float]) -> None:
        row = {**row, "cpu_seconds": saved.cpu_seconds}
        history.append(row)
        if report is not None:
            report({**row, "progress": 1.0})  # global placement is done

    def detailed(legal: Design) -> Design:
        nonlocal stopped
        history.append({"cpu_seconds": saved.cpu_seconds, "hpwl": hpwl(legal)})
        if stopped:
            return legal
        try:
            left = max(cpu_seconds - saved.cpu_seconds, 0.5)
            return improve_cells(legal, left, report=improved)
        except KeyboardInterrupt:
            stopped = True
            return legal

    if routability is None:
        legal = detailed(legalise_cells(placed))
    else:
        legal = padded(placed, lowest, ratio, detailed)
    history.append({"cpu_seconds": saved.cpu_seconds, "hpwl": hpwl(legal)})
    return CellPlacement(replace(legal, fixed=design.fixed), evaluations, stopped, history)


@functools.cache
def compile_first() -> None:
    """Place a few cells, so that a budget does not go into compiling (25 s on a new machine)."""
    place_cells(standard_cells(40), cpu_seconds=1e9)


def _with_fixed_macros(design: Design) -> Design:
    return replace(design, fixed=design.fixed | (design.kind == MACRO) | (design.kind == SOFT))


def _snap_macros(design: Design) -> Design:
    """Lower-left corners of macros on rows and sites, unless that overlaps something."""
    rows = design.rows
    assert rows is not None
    x, y = design.x.copy(), design.y.copy()
    width, height = design.size()
    levels = np.unique(rows.y)
    macros = np.flatnonzero(design.kind == MACRO)
    site, left = float(rows.site[0]), float(rows.x0.min())
    for i in macros[~design.fixed[macros]]:
        corner_x, corner_y = x[i] - width[i] / 2, y[i] - height[i] / 2
        new_x = left + np.round((corner_x - left) / site) * site + width[i] / 2
        new_y = levels[np.abs(levels - corner_y).argmin()] + height[i] / 2
        others = macros[macros != i]
        if is_free(design.at(x, y), int(i), others, new_x, new_y):
            x[i], y[i] = new_x, new_y
    return design.at(x, y)
