"""Place a design, and say what a placement is worth: the two functions most people need."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sciml.errors import InputError
from sciml.placement.classical.annealing import Annealer, AnnealingConfig, zero_start
from sciml.placement.classical.legalise import legalise_macros
from sciml.placement.classical.macro_limits import on_grid
from sciml.placement.constraints import HARD, Blockages, settled
from sciml.placement.cost.proxy import proxy_cost
from sciml.placement.cost.wirelength import hpwl
from sciml.placement.design import CELL, Design
from sciml.placement.legality import check

Method = Literal["auto", "sa", "search", "policy"]
Movable = Literal["macros", "cells", "all"]
Start = Literal["file", "zero"]


@dataclass
class Placed:
    """A finished (or stopped) search."""

    design: Design
    scores: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False
    violations: list[str] = field(default_factory=list)
    """What is not legal of what was to be moved, but for what may move in a later call (cells are
    no obstacle to macros); `scores["legal"]` is about everything."""


def score(design: Design, reference: Design | None = None) -> dict[str, Any]:
    """hpwl, the proxy and its terms, overlap area and legality of a design as placed.

    `reference` says where fixed nodes belong. Terms that are undefined (a pin outside the
    canvas) are None. The robust proxy counts blockage by area; see `cost`.
    """
    verdict = check(design, reference)
    cost = proxy_cost(design).as_dict()
    values = {"hpwl": hpwl(design), **cost, "overlap_area": verdict.overlap_area}
    shown: dict[str, Any] = {k: float(v) if np.isfinite(v) else None for k, v in values.items()}
    return {**shown, "legal": verdict.legal, "canvas": design.canvas_from}


def place(
    design: Design,
    *,
    budget: float = 60.0,
    seed: int = 0,
    start: Start = "zero",
    method: Method = "auto",
    movable: Movable = "macros",
    config: AnnealingConfig | None = None,
    policy: str | Path | None = None,
    by_moves: bool = False,
    state: str | Path | None = None,
    resume: bool = True,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Placed:
    """Find a good legal placement within a budget of CPU-seconds.

    Args:
        design: the netlist; fixed nodes stay where they are.
        budget: CPU-seconds of search (moves, if `by_moves`).
        seed: of every random choice.
        start: "zero" forgets the places of all movable nodes, "file" starts from them.
        method: "sa" anneals the proxy; "search" is the greedy, beam and evolutionary search on
            the wire mask; "policy" lets a trained network propose; "auto" anneals macros and
            places cells electrostatically.
        movable: "macros" (hard and soft), "cells" (standard cells only) or "all".
        config: of the annealing.
        policy: for method "policy": a file that `GridPolicy.save` wrote.
        state: a file to save the search to after every stage and to resume it from.
        report: called with a dictionary of progress after every stage.

    Rules of the files (`constraints`) are kept. Cells that do not move are no obstacle to macros,
    unless the file fixes them.

    Raises:
        InputError: no legal start exists, the design has nothing to move, or a rule cannot be kept.
    """
    began = time.process_time()
    original = design
    if movable not in ("macros", "cells", "all"):
        raise InputError(f"movable must be macros, cells or all, got {movable!r}")
    has_cells = bool(((design.kind == CELL) & ~design.fixed).any())
    if movable == "macros":
        design = _with_fixed_cells(design)
        design = replace(design, fixed=design.fixed | (design.kind == CELL))
    elif movable == "cells":
        design = replace(design, fixed=design.fixed | (design.kind != CELL))
    if bool(design.fixed.all()):
        raise InputError("nothing is movable in this design", where=design.source)

    evaluations, history, stopped = 0, [], False
    found: Any
    if has_cells and movable != "macros":
        from sciml.placement.classical.standard_cells import place_cells

        found = place_cells(design, budget=budget, seed=seed, start=start, report=report)
        result, history, stopped = found.design, found.history, found.stopped
        evaluations = found.evaluations
    elif method in ("search", "policy"):
        from sciml.placement.learning.tree_search import search_macros

        _refuse_rules(design, method)
        chosen: Any = None
        if method == "policy":
            from sciml.placement.learning.policy import GridPolicy

            if policy is None:
                raise InputError("method policy needs a trained policy; none comes with sciml",
                                 hint="Give --policy FILE, the policy.safetensors of `sciml run "
                                      "circuit_placement`, or use --method sa")  # fmt: skip
            chosen = GridPolicy.from_pretrained(policy)
        found = search_macros(design, budget, seed, policy=chosen, report=report)
        result, history, stopped = found.design, found.history, found.stopped
        evaluations = found.evaluations
    else:
        config = config or AnnealingConfig()
        if start == "zero":
            starts = [zero_start(design, seed * 1009 + k) for k in range(config.chains)]
        else:
            starts = [legalise_macros(design)] * config.chains
        annealer = Annealer(starts[0], config, seed, budget, by_moves, starts)
        if resume and state is not None and Path(state).exists():
            annealer.resume(state)

        def after_stage(row: dict[str, float]) -> None:
            if state is not None:
                annealer.save(state)
            if report is not None:
                report(row)

        best = annealer.run(after_stage)
        stopped = annealer.stage < config.stages and not annealer.idle
        result, history, evaluations = best.result(), annealer.history, annealer.moves
    result = replace(result, fixed=original.fixed, constraints=original.constraints)
    result = settled(result, ~design.fixed)
    if not (has_cells and movable != "macros"):
        snapped = on_grid(result)
        if len(check(snapped).problems) <= len(check(result).problems):
            result = snapped  # else sizes or distances are no whole steps of the grid
    scores = score(result, original)
    scores |= {"cpu_seconds": time.process_time() - began, "evaluations": evaluations}
    violations = []
    if not scores["legal"]:
        later = design.fixed & ~original.fixed
        violations = check(result, original).among(~design.fixed, later)
    return Placed(result, scores, history, stopped, violations)


def _with_fixed_cells(design: Design) -> Design:
    """What a LEF/DEF fixes is in the way of macros also if it is a cell."""
    rules = design.constraints
    i = np.flatnonzero(design.fixed & (design.kind == CELL) & (design.width * design.height > 0))
    if rules is None or not len(i):
        return design
    w, h = (size[i] / 2 for size in design.size())
    x, y, blocks = design.x[i], design.y[i], rules.blockages
    more = Blockages(
        np.concatenate([blocks.boxes, np.stack([x - w, y - h, x + w, y + h], 1)]),
        np.append(blocks.kind, np.full(len(i), HARD, np.int8)),
        np.append(blocks.density, np.ones(len(i))), np.append(blocks.owner, np.full(len(i), -1)),
    )  # fmt: skip
    return replace(design, constraints=replace(rules, blockages=more))


def _refuse_rules(design: Design, method: str) -> None:
    """The searches on the wire mask know overlap and the canvas, and nothing else."""
    rules = design.constraints
    if rules is None:
        return
    found = [rule for rule in rules.named() if rule != "SYMMETRY"]  # macros start as N
    if found:
        raise InputError(f"--method {method} does not yet honour {', '.join(found)}",
                         where=design.source, hint="Use --method sa")  # fmt: skip
