"""Search on the wire mask, without a network: greedy, beam, evolution.

Greedy puts every macro on the allowed cell that costs least wire (the heuristic of MaskPlace, Lai
et al. 2022). Beam search keeps several partial placements. Evolution (WireMask-EA, Shi et al. 2023)
mutates a genotype, a desired corner for each macro, and decodes it by the greedy rule near these
corners, so that every individual is legal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sciml.placement.design import Design
from sciml.placement.learning.env import PlacementEnv
from sciml.rl.search import beam_search


@dataclass(frozen=True)
class SearchState:
    """The state of a search between two evaluations: the best so far, and how to go on."""

    cost: float = np.inf
    """Proxy of the best placement."""
    best: Design | None = None
    evaluations: int = 0
    cpu_seconds: float = 0.0
    random: Any = None
    """State of the random generator: a dictionary (numpy) or bytes (torch); None: as seeded."""
    genotype: np.ndarray | None = None
    """Of evolution: the parent's desired corners [macros, 2] over the canvas size."""

    def better(self, cost: float, placement: Design) -> SearchState:
        """With this placement, if it costs less."""
        return replace(self, cost=cost, best=placement) if cost < self.cost else self

    def arrays(self) -> dict[str, Any]:
        """For a file: the best placement as coordinates."""
        best, random = self.best, self.random
        values = {
            "cost": self.cost, "evaluations": self.evaluations,
            "proposing_seconds": self.cpu_seconds, "genotype": self.genotype,
            "random": json.dumps(random) if isinstance(random, dict) else random,
        }  # fmt: skip
        if best is not None:
            values |= {"best_x": best.x, "best_y": best.y, "best_orientation": best.orientation}
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], design: Design) -> SearchState:
        """The inverse of `arrays`, for the design that was searched."""
        random: Any = arrays.get("random")
        if random is not None and random.dtype.kind == "U":
            random = json.loads(str(random))
        best = None
        if "best_x" in arrays:
            best = design.at(arrays["best_x"], arrays["best_y"], arrays["best_orientation"])
        return cls(
            float(arrays["cost"]), best, int(arrays["evaluations"]),
            float(arrays["proposing_seconds"]), random, arrays.get("genotype"),
        )  # fmt: skip


After = Callable[[SearchState], None]
"""Called with the state after every evaluation."""


def report_nothing(state: SearchState) -> None:
    """The caller only wants the result."""


def greedy(env: PlacementEnv) -> bool:
    """Place all macros greedily; False at a dead end."""
    env.reset()
    for _ in range(len(env.nodes)):
        action = env.greedy_action()
        if action < 0:
            return False
        *_, info = env.step(action)
        if info.get("dead_end"):
            return False
    return True


def beam(env: PlacementEnv, width: int = 4, branches: int = 4) -> bool:
    """Place all macros by beam search on the growth of wire; False at a dead end."""
    env.reset()
    n = len(env.nodes)

    def expand(state: tuple[float, Any]) -> list[tuple[float, tuple[float, Any]]]:
        total, saved = state
        env.restore(saved)
        wire_x, wire_y = env.wire()
        wire = np.where(env.count == 0, wire_x[None] + wire_y[:, None], np.inf).ravel()
        count = min(branches, int(np.isfinite(wire).sum()))
        children = []
        for cell in np.argpartition(wire, count - 1)[:count] if count else []:
            env.restore(saved)
            env.step(int(cell))
            grown = total + float(wire[cell])
            children.append((-grown, (grown, env.state())))
        return children

    _, (_, best) = beam_search((0.0, env.state()), expand, width, n)
    env.restore(best)
    return env.placed == n


def decode(env: PlacementEnv, genotype: np.ndarray, pull: float) -> bool:
    """Place every macro on the allowed cell with least wire + pull x distance to its gene."""
    env.reset()
    canvas = env.design.canvas
    columns, rows = np.arange(env.columns), np.arange(env.rows)
    for k in range(len(env.nodes)):
        wire_x, wire_y = env.wire()
        weight = pull * max(float(env.weight[: env.nets].sum()), 1.0)
        wire_x += weight * np.abs(columns * env.cell_width - genotype[k, 0] * canvas.width)
        wire_y += weight * np.abs(rows * env.cell_height - genotype[k, 1] * canvas.height)
        cost = np.where(env.count == 0, wire_x[None] + wire_y[:, None], np.inf)
        cell = int(cost.argmin())
        if not np.isfinite(cost.ravel()[cell]):
            return False
        *_, info = env.step(cell)
        if info.get("dead_end"):
            return False
    return True


def evolve(
    env: PlacementEnv,
    seconds: float,
    rng: np.random.Generator,
    max_evaluations: int = 10**9,
    after: After = report_nothing,
    resumed: SearchState | None = None,
) -> SearchState:
    """A (1 + 1) evolution within `seconds` of CPU time; `resumed`: the state of an earlier call."""
    state = resumed or SearchState()
    began = time.process_time() - state.cpu_seconds
    n = len(env.nodes)

    def done(following: SearchState) -> SearchState:
        following = replace(
            following, evaluations=state.evaluations + 1, random=rng.bit_generator.state,
            cpu_seconds=time.process_time() - began,
        )  # fmt: skip
        after(following)
        return following

    if state.random is not None:
        rng.bit_generator.state = state.random
    if state.genotype is None:
        greedily = greedy(env) or beam(env)
        genotype = np.clip(np.nan_to_num(env.corner, nan=0.5), 0, None)
        state = replace(
            state, genotype=genotype / [env.design.canvas.width, env.design.canvas.height]
        )
        if greedily:
            state = done(state.better(env.proxy(), env.placement()))
    while state.evaluations < max_evaluations and time.process_time() - began < seconds:
        assert state.genotype is not None
        child = state.genotype.copy() if state.best is not None else rng.random((n, 2))
        for _ in range(1 + rng.poisson(1.0)):
            i, j = rng.integers(0, n, 2)
            if rng.random() < 0.5:
                child[[i, j]] = child[[j, i]]
            else:
                child[i] = np.clip(child[i] + rng.normal(0, 0.2, 2), 0, 1)
        following = state
        if decode(env, child, pull=float(rng.choice([0.3, 1.0, 3.0]))):
            cost = env.proxy()
            if cost < state.cost:
                following = replace(state, cost=cost, best=env.placement(), genotype=child)
        state = done(following)
    return state
