"""`place` and `score`: place a design, and evaluate a placement."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.classical.annealing import Annealer, AnnealingConfig, zero_start
from sciml.placement.classical.electrostatic_start import HOT, electrostatic_start, pays
from sciml.placement.classical.legalise import legalise_macros
from sciml.placement.classical.macro_limits import snap_to_grid
from sciml.placement.constraints import mark_placed
from sciml.placement.cost.proxy import proxy_cost
from sciml.placement.cost.wirelength import hpwl, net_steiner
from sciml.placement.design import CELL, Design
from sciml.placement.legality import check
from sciml.placement.netlist import without_unplaced
from sciml.placement.saved_search import SavedSearch, digest, numbers_digest
from sciml.renamed import renamed

Method = Literal["auto", "sa", "search", "policy", "electrostatic"]
Movable = Literal["macros", "cells", "all"]
Start = Literal["auto", "zero", "file", "electrostatic"]
Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Placed:
    """A finished (or stopped) search."""

    design: Design
    scores: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False
    violations: list[str] = field(default_factory=list)
    """Rules that nodes which were to be moved break, without those that a later call may mend
    (cells are no obstacle to macros); `scores["legal"]` is about everything."""


def score(
    design: Design, reference: Design | None = None, *, steiner: bool = False
) -> dict[str, Any]:
    """hpwl, the proxy and its terms, overlap area and legality of a design as placed.

    Nets count without the pins of nodes that have no position. Terms that are undefined (a pin
    outside the canvas) are None. The robust proxy counts blockage by area; see `cost`.

    Args:
        reference: the design whose fixed nodes must not have moved.
        steiner: also the total length of rectilinear Steiner trees [design units].
    """
    verdict = check(design, reference)
    design = without_unplaced(design)
    values = {"hpwl": hpwl(design)}
    if steiner:
        values["steiner_length"] = float(net_steiner(design).sum())
    values |= {**proxy_cost(design).as_dict(), "overlap_area": verdict.overlap_area}
    scores: dict[str, Any] = {k: float(v) if np.isfinite(v) else None for k, v in values.items()}
    return {**scores, "legal": verdict.legal, "canvas": design.canvas_from}


Function = TypeVar("Function", bound=Callable[..., Any])


def _with_by_moves(function: Function) -> Function:
    """`budget=N, by_moves=True` of version 0.1 is `max_moves=N`."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "by_moves" in kwargs:
            warnings.warn(
                "`by_moves` of place is now `max_moves`", DeprecationWarning, stacklevel=2
            )
            if kwargs.pop("by_moves"):
                budget = kwargs.pop("budget", kwargs.pop("cpu_seconds", 60))
                kwargs["max_moves"] = int(np.ceil(budget))
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


@_with_by_moves
@renamed(budget="cpu_seconds")
def place(
    design: Design,
    *,
    cpu_seconds: float | None = None,
    max_moves: int | None = None,
    seed: int = 0,
    start: Start = "auto",
    method: Method = "auto",
    movable: Movable = "macros",
    config: AnnealingConfig | None = None,
    policy: str | Path | None = None,
    net_weights: np.ndarray | None = None,
    routability: bool = False,
    state: str | Path | None = None,
    resume: bool = True,
    report: Report | None = None,
) -> Placed:
    """Find a good legal placement within a budget.

    Args:
        design: the netlist; fixed nodes stay where they are.
        cpu_seconds: CPU time of the search [s]; 60 if there is no `max_moves`.
        max_moves: moves of the search instead of time: the outcome then depends on nothing but the
            seed. Not for "electrostatic".
        seed: of every random choice.
        start: "zero" forgets the coordinates of all movable nodes, "file" starts from them ("sa"
            and "electrostatic"); "electrostatic" forgets them, too, and lets "sa" begin from an
            electrostatic placement; "auto" does so if the budget is short for the size.
        method: "sa" anneals the proxy of macros; "search" is the greedy, beam and evolutionary
            search on the wire mask, then annealing; "policy" lets a trained network propose what is
            annealed; "electrostatic" is global placement of standard cells (and macros), legalised
            and improved; "auto" is "electrostatic" where standard cells move, else "sa".
        movable: "macros" (hard and soft), "cells" (standard cells only) or "all".
        config: of the annealing ("sa" only).
        policy: for method "policy" and no other: a file that `GridPolicy.save` or
            `AgentPolicy.save` wrote (agents of other libraries; extra: rl).
        routability: cells leave room for wires where these are crowded ("electrostatic" only;
            needs `Design.tracks`).
        state: a file (.npz) that the search is saved to, with any method.
        resume: continue the search in `state`, if there is one.
        report: called with a dictionary of progress after every stage.

    Rules of the files (`constraints`) are kept. Cells that do not move are no obstacle to macros,
    unless the file fixes them.

    Raises:
        InputError: an unknown name, an argument that the method cannot honour, no legal start, a
            design without anything to move, or a rule that cannot be kept.
    """
    for kind, value, names in (
        ("method", method, Method), ("movable", movable, Movable), ("start", start, Start),
    ):  # fmt: skip
        if value not in get_args(names):
            raise unknown(f"`{kind}`", str(value), get_args(names))
    original = design
    if net_weights is not None:
        design = replace(design, net_weight=design.net_weight * _checked(net_weights, design))
    design = with_obstacles(design)
    if movable == "macros":
        design = replace(design, fixed=design.fixed | (design.kind == CELL))
    elif movable == "cells":
        design = replace(design, fixed=design.fixed | (design.kind != CELL))
    nowhere = without_unplaced(design, ~design.fixed)
    if nowhere is not design:
        warnings.warn(
            "cells or ports have no position: nets count without them, so that the macros are "
            'placed by what else they are connected to. Movable "all" places cells, too',
            stacklevel=2,
        )  # fmt: skip
        design = nowhere
    if bool(design.fixed.all()):
        raise InputError("nothing is movable in this design", where=design.source)
    cells_move = bool(((design.kind == CELL) & ~design.fixed).any())
    if method == "auto":
        method = "electrostatic" if cells_move else "sa"
    _refuse_arguments(
        method, cells_move, cpu_seconds=cpu_seconds, max_moves=max_moves, config=config,
        policy=policy, start=None if start in ("auto", "zero") else start,
        routability=routability or None,
    )  # fmt: skip
    if method in ("search", "policy"):
        _refuse_rules(design, method)
    budget = 60.0 if cpu_seconds is None else cpu_seconds
    if start == "auto":
        short = method == "sa" and config is None and pays(design, budget, max_moves)
        start = "electrostatic" if short else "zero"
    if method == "electrostatic":
        from sciml.placement.classical.standard_cells import compile_first

        compile_first()
    saved = SavedSearch(state, {
        "method": method, "seed": seed, "cpu_seconds": budget, "max_moves": max_moves,
        "netlist": digest(design), "start": start,
        **({} if net_weights is None else {"net_weights": numbers_digest(net_weights)}),
        **({"routability": True} if routability else {}),
    }, resume)  # fmt: skip

    refuse_soft_fixed_cells(design)
    result: Any
    if method == "electrostatic":
        from sciml.placement.classical.routability import RoutabilityConfig
        from sciml.placement.classical.standard_cells import place_cells

        room = RoutabilityConfig() if routability else None
        result = place_cells(design, budget, seed, start, report, saved, room)
    elif method == "sa":
        result = _anneal(design, config, seed, start, budget, max_moves, report, saved)
    else:
        from sciml.placement.learning.macro_search import search_macros

        network: Any = None
        if method == "policy":
            from sciml.placement.learning.agents import read_policy

            assert policy is not None
            network = read_policy(policy)
        result = search_macros(
            design, budget, seed, network, report, max_moves=max_moves, saved=saved
        )
    spent = saved.cpu_seconds  # of the search, without judging it
    places = result.design
    placed = original.at(places.x, places.y, places.orientation)
    placed = mark_placed(placed, ~design.fixed)
    if method != "electrostatic":
        placed = on_grid(placed)
    scores = score(placed, original)
    scores |= {"cpu_seconds": spent, "evaluations": result.evaluations}
    violations = []
    if not scores["legal"]:
        later = design.fixed & ~original.fixed
        violations = check(placed, original).involving(~design.fixed, later)
    return Placed(placed, scores, result.history, result.stopped, violations)


def _checked(net_weights: np.ndarray, design: Design) -> np.ndarray:
    factors = np.asarray(net_weights, np.float64)
    if factors.shape != (design.nets,):
        raise InputError(f"`net_weights` must have one number per net, {design.nets:,}, got shape "
                         f"{factors.shape}", where=design.source)  # fmt: skip
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise InputError("`net_weights` must be finite numbers >= 0", where=design.source)
    return factors


def on_grid(design: Design) -> Design:
    """Movable macros on the manufacturing grid, where sizes and distances are multiples of it."""
    snapped = snap_to_grid(design)
    better = len(check(snapped).problems) <= len(check(design).problems)
    return snapped if better else design


@dataclass(frozen=True)
class _Annealed:
    """The result of annealing, with the attributes of the other methods' results."""

    design: Design
    evaluations: int
    stopped: bool
    history: list[dict[str, float]]


def _anneal(
    design: Design, config: AnnealingConfig | None, seed: int, start: Start, cpu_seconds: float,
    max_moves: int | None, report: Report | None, saved: SavedSearch,
) -> _Annealed:  # fmt: skip
    hot = HOT if start == "electrostatic" else AnnealingConfig.hot
    config = config or AnnealingConfig(hot=hot)
    if start == "electrostatic":
        limit = 0.5 * cpu_seconds if max_moves is None else np.inf
        begin, spent = electrostatic_start(design, seed, limit)
        cpu_seconds = max(cpu_seconds - spent, 0.1 * cpu_seconds)
        starts = [begin] * config.chains
    elif start == "zero":
        starts = [zero_start(design, seed * 1009 + k) for k in range(config.chains)]
    else:
        starts = [legalise_macros(design)] * config.chains
    annealer = Annealer(starts[0], config, seed, cpu_seconds, max_moves, starts)
    if earlier := saved.load():
        annealer.restore(earlier, saved.path)

    def after_stage(row: dict[str, float]) -> None:
        saved.save(annealer.state())
        if report is not None:
            report(row)

    best = annealer.run(after_stage)
    stopped = annealer.stage < config.stages and not annealer.idle
    return _Annealed(best.result(), annealer.moves, stopped, annealer.history)


HONOURED = {
    "sa": {"cpu_seconds", "max_moves", "config", "start"},
    "search": {"cpu_seconds", "max_moves"},
    "policy": {"cpu_seconds", "max_moves", "policy"},
    "electrostatic": {"cpu_seconds", "start", "routability"},
}
"""method -> the arguments that it takes, among those that not every method takes."""
DETAILS = {"config": " (chains, workers, centred)"}


def _refuse_arguments(method: str, cells_move: bool, **arguments: Any) -> None:
    """Refuse what the method cannot honour; None: not given."""
    if cells_move != (method == "electrostatic"):
        moving = "standard cells" if cells_move else "only macros"
        other = "electrostatic" if cells_move else "sa"
        raise InputError(
            f'method "{method}" does not fit: {moving} move here', hint=f"Use {other} or auto"
        )
    for name, value in arguments.items():
        if value is not None and name not in HONOURED[method]:
            takers = [m for m in HONOURED if name in HONOURED[m]]
            raise InputError(
                f'method "{method}" cannot honour `{name}`{DETAILS.get(name, "")}',
                hint=f"Leave it out, or use method {' or '.join(takers)}",
            )
    if arguments["cpu_seconds"] is not None and arguments["max_moves"] is not None:
        raise InputError("`cpu_seconds` and `max_moves` are both budgets: give one of them")
    for name in ("cpu_seconds", "max_moves"):
        if arguments[name] is not None and not arguments[name] > 0:
            raise InputError(f"`{name}` must be > 0, got {arguments[name]}")
    if method == "policy" and arguments["policy"] is None:
        raise InputError("method policy needs a trained policy; none comes with sciml",
                         hint="Give --policy FILE, the policy.safetensors of `sciml run "
                              "circuit_placement`, or use --method sa")  # fmt: skip


def with_obstacles(design: Design) -> Design:
    """Cells that a LEF/DEF fixes are obstacles to macros, too."""
    rules = design.constraints
    cells = np.flatnonzero(
        design.fixed & (design.kind == CELL) & (design.width * design.height > 0)
    )
    if rules is None or not len(cells):
        return design
    return replace(design, constraints=replace(rules, obstacles=cells))


def refuse_soft_fixed_cells(design: Design) -> None:
    """Rows give cells their places, not windows."""
    rules = design.constraints
    if rules is None or rules.window is None:
        return
    bound = (design.kind == CELL) & ~design.fixed & np.isfinite(rules.window).any(1)
    for i in np.flatnonzero(bound)[:1].tolist():
        raise InputError(f"cell {design.names[i]!r} is soft-fixed and moves: only macros can be "
                         "soft-fixed", where=design.source, hint="Fix the cell")  # fmt: skip


def _refuse_rules(design: Design, method: str) -> None:
    """The searches on the wire mask only keep macros apart and on the canvas."""
    rules = design.constraints
    if rules is None:
        return
    broken = [rule for rule in rules.named() if rule != "SYMMETRY"]  # macros start as N
    if broken:
        raise InputError(f"--method {method} does not yet honour {', '.join(broken)}",
                         where=design.source, hint="Use --method sa")  # fmt: skip
