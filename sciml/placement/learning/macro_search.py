"""Search for a start on the grid, then anneal from it; one budget for both.

The start is the best by proxy that evolution on the wire mask finds (`wire_mask_search`), or that a
trained policy proposes (`policy_search`). The annealing is cooler than one from scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sciml.errors import InputError
from sciml.placement.classical.annealing import Annealer, AnnealingConfig
from sciml.placement.design import Design
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.wire_mask_search import SearchState, beam, evolve, greedy
from sciml.placement.saved_search import SavedSearch

if TYPE_CHECKING:
    from sciml.placement.learning.policy import PlacementPolicy

FIRST_SHARE = 0.1
"""Share of the budget that looks for a start."""
WARM = 0.25
"""First temperature of the annealing after it, where a start from scratch takes 0.5; found on
synthetic designs, where 0.06 leaves macros in a poor start's order and 0.5 forgets it."""
MOVES_PER_PLACEMENT = 4000
"""Moves of annealing that take about as long as one placement of all macros on the grid."""
SIMULATIONS = 64
"""Most simulations of the tree for one macro."""


@dataclass(frozen=True)
class SearchResult:
    """The best placement of a search."""

    design: Design
    cost: float
    evaluations: int
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def search_macros(
    design: Design,
    cpu_seconds: float,
    seed: int = 0,
    policy: PlacementPolicy | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    config: EnvConfig | None = None,
    max_moves: int | None = None,
    saved: SavedSearch | None = None,
) -> SearchResult:
    """Search for a start, then anneal from it.

    Args:
        cpu_seconds: budget in all. Ctrl-C ends early and keeps the best.
        policy: proposes the start; None = evolution on the wire mask.
        config: of the environment; None: a fine grid, or the one that the policy learned on.
        max_moves: budget in moves instead; the outcome then depends on nothing but the seed.
        saved: where the search is saved and goes on from.

    Raises:
        InputError: no legal placement was found.
    """
    import torch

    saved = saved or SavedSearch(None, {})
    earlier = saved.load()
    rng = np.random.default_rng([seed, 9])
    torch.manual_seed(seed)
    grid = EnvConfig(columns=48, rows=48, order="connected") if policy is None else policy.grid
    env = PlacementEnv(design, config or grid)
    state = SearchState.of(earlier, env.start_design) if earlier else SearchState()
    if "meta" not in earlier:  # the annealing has not begun
        seconds, tries = FIRST_SHARE * cpu_seconds, 10**9
        if max_moves is not None:
            seconds, tries = np.inf, max(int(FIRST_SHARE * max_moves) // MOVES_PER_PLACEMENT, 1)

        def after(latest: SearchState) -> None:
            nonlocal state
            state = latest
            saved.offer(lambda: state.arrays())

        try:
            if policy is None:
                state = evolve(env, seconds, rng, tries, after, state)
            else:
                state = _ask_policy(env, policy, seconds, tries, after, state)
        except KeyboardInterrupt:
            if state.best is None:
                raise
            saved.save(state.arrays())
            history = [{"cpu_seconds": saved.cpu_seconds, "proxy": state.cost, "best": state.cost}]
            return SearchResult(state.best, state.cost, state.evaluations, True, history)
        if state.best is None:
            raise InputError("no legal placement was found on the grid", where=design.source,
                             hint="Use --method sa, or more --cpu-seconds")  # fmt: skip
    assert state.best is not None
    spent = float(earlier.get("spent", saved.cpu_seconds))
    left = max(cpu_seconds - spent, 0.1)
    moves = None if max_moves is None else max(max_moves - int(FIRST_SHARE * max_moves), 1)
    annealer = Annealer(state.best, AnnealingConfig(hot=WARM), seed, left, moves)
    if "meta" in earlier:
        annealer.restore(earlier, saved.path)

    def after_stage(row: dict[str, float]) -> None:
        saved.save({**state.arrays(), "spent": spent, **annealer.state()})
        if report is not None:
            report(row)

    best = annealer.run(after_stage)
    history = [{"cpu_seconds": spent, "proxy": state.cost, "best": state.cost}]
    history += [row | {"cpu_seconds": spent + row["cpu_seconds"]} for row in annealer.history]
    stopped = annealer.stage < annealer.config.stages
    evaluations = state.evaluations + annealer.moves
    return SearchResult(best.result(), best.best, evaluations, stopped, history)


def _ask_policy(
    env: PlacementEnv, policy: PlacementPolicy, seconds: float, tries: int,
    after: Callable[[SearchState], None], state: SearchState,
) -> SearchState:  # fmt: skip
    """Half the budget samples the policy's placements, half searches its tree."""
    from sciml.placement.learning.policy_search import sample_policy, tree

    state = sample_policy(env, policy, 0.5 * seconds, max(tries // 2, 1), after, state)
    simulations = SIMULATIONS if np.isfinite(seconds) else min(max(tries // 2, 1), SIMULATIONS)
    cost, best, done = tree(env, policy, 0.5 * seconds, simulations)
    if best is not None:
        state = state.better(cost, best)
    state = replace(state, evaluations=state.evaluations + done)
    if state.best is None and (greedy(env) or beam(env)):  # all proposals were dead ends
        state = state.better(env.proxy(), env.placement())
    return state
