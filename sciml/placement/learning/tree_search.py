"""Search on the wire mask: greedy, beam, evolution, and a policy's proposals; then annealing.

Greedy puts every macro on the allowed cell that costs least wire (MaskPlace's heuristic). Beam
search keeps several partial placements. Evolution (WireMask-EA, Shi et al. 2023) mutates the
*wishes* of macros, and every wish is decoded by the greedy rule near it, so that every individual
is legal. A trained policy may propose placements instead, by sampling and by tree search. The best
by proxy starts an annealing that is cooler than one from scratch; the whole budget is shared and
counted in CPU-seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.placement.classical.annealing import Annealer, AnnealingConfig
from sciml.placement.design import Design
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.rl.search import Node, TreeSearch, beam_search

FIRST_SHARE = 0.1
"""Share of the budget that looks for a start."""
WARM = 0.25
"""First temperature of the annealing after it, where a start from scratch takes 0.5; found on
synthetic designs, where 0.06 leaves macros in a poor start's order and 0.5 forgets it."""


Keep = Callable[[float, Design], None]
"""Told (proxy, placement) whenever a search has found a better one: what Ctrl-C leaves."""


def _forget(cost: float, placed: Design) -> None:
    """Whoever calls only wants the result."""


@dataclass
class Found:
    """The best placement of a search."""

    design: Design
    cost: float
    evaluations: int
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


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
        wire = np.where(env.count == 0, env.fx[None] + env.fy[:, None], np.inf).ravel()
        most = min(branches, int(np.isfinite(wire).sum()))
        out = []
        for cell in np.argpartition(wire, most - 1)[:most] if most else []:
            env.restore(saved)
            env.step(int(cell))
            grown = total + float(wire[cell])
            out.append((-grown, (grown, env.state())))
        return out

    _, (_, best) = beam_search((0.0, env.state()), expand, width, n)
    env.restore(best)
    return env.placed == n


def decode(env: PlacementEnv, wish: np.ndarray, pull: float) -> bool:
    """Place every macro on the allowed cell with least wire + pull x way from its wish."""
    env.reset()
    canvas = env.design.canvas
    columns, rows = np.arange(env.config.columns), np.arange(env.config.rows)
    for k in range(len(env.nodes)):
        nets = max(int(env.nets.start[k + 1] - env.nets.start[k]), 1)
        fx = env.fx + pull * nets * np.abs(columns * env.gw - wish[k, 0] * canvas.width)
        fy = env.fy + pull * nets * np.abs(rows * env.gh - wish[k, 1] * canvas.height)
        cost = np.where(env.count == 0, fx[None] + fy[:, None], np.inf)
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
    most: int = 10**9,
    keep: Keep = _forget,
) -> tuple[float, Design | None, int]:
    """(proxy, placement, evaluations) of a (1 + 1) evolution of wishes within `seconds`."""
    began = time.process_time()
    n = len(env.nodes)
    best_cost, best, tried = np.inf, None, 0
    if greedy(env) or beam(env):
        best_cost, best, tried = env.proxy(), env.placement(), 1
        keep(best_cost, best)
    wish = np.clip(np.nan_to_num(env.corner, nan=0.5), 0, None)
    wish = wish / [env.design.canvas.width, env.design.canvas.height]
    while tried < most and time.process_time() - began < seconds:
        child = wish.copy() if best is not None else rng.random((n, 2))
        for _ in range(1 + rng.poisson(1.0)):
            i, j = rng.integers(0, n, 2)
            if rng.random() < 0.5:
                child[[i, j]] = child[[j, i]]
            else:
                child[i] = np.clip(child[i] + rng.normal(0, 0.2, 2), 0, 1)
        tried += 1
        if decode(env, child, pull=float(rng.choice([0.3, 1.0, 3.0]))):
            cost = env.proxy()
            if cost < best_cost:
                best_cost, best, wish = cost, env.placement(), child
                keep(best_cost, best)
    return best_cost, best, tried


def sample_policy(
    env: PlacementEnv, policy: Any, seconds: float, most: int = 10**9, keep: Keep = _forget
) -> tuple[float, Design | None, int]:
    """(proxy, placement, episodes): the best of a policy's placements, its mode first."""
    import torch

    from sciml.placement.learning.policy import Player
    from sciml.rl.ppo import MaskedCategorical

    player = Player(policy, [env])
    began = time.process_time()
    best_cost, best, tried = np.inf, None, 0
    with torch.no_grad():
        while tried < most and (tried == 0 or time.process_time() - began < seconds):
            observation, info = env.reset()
            ended = False
            while not ended:
                logits, _, _ = player([0], [observation])
                mask = torch.from_numpy(info["action_mask"])[None]
                chosen = MaskedCategorical(logits, mask)
                action = chosen.mode() if tried == 0 else chosen.sample()
                observation, _, ended, _, info = env.step(int(action[0]))
            tried += 1
            if not info["dead_end"]:
                cost = env.proxy()
                if cost < best_cost:
                    best_cost, best = cost, env.placement()
                    keep(best_cost, best)
    return best_cost, best, tried


def tree(
    env: PlacementEnv, policy: Any, seconds: float, simulations: int = 64, branches: int = 6
) -> tuple[float, Design | None, int]:
    """(proxy, placement, simulations): one placement by Monte Carlo tree search.

    The policy's probabilities and values guide the tree; the move that was visited most is made
    and its subtree kept. Every macro has an even share of the `seconds` that are left, but at least
    one simulation, which is one call of the network.
    """
    import torch

    from sciml.placement.learning.policy import Player
    from sciml.rl.ppo import MaskedCategorical

    player = Player(policy, [env])
    began = time.process_time()

    def evaluate(state: _Position) -> tuple[list[tuple[int, float]], float]:
        if state.ended:
            return [], 0.0
        with torch.no_grad():
            logits, value, _ = player([0], [state.observation])
        chances = MaskedCategorical(logits, torch.from_numpy(state.mask)[None]).log_probs[0].exp()
        most = min(branches, int(state.mask.sum()))
        chance, cell = chances.topk(most)
        return list(zip(cell.tolist(), chance.tolist(), strict=True)), float(value)

    def step(state: _Position, cell: int) -> tuple[float, _Position]:
        env.restore(state.saved)
        observation, reward, ended, _, info = env.step(cell)
        return reward, _Position(env.state(), observation, info["action_mask"], ended, info)

    observation, info = env.reset()
    start = _Position(env.state(), observation, info["action_mask"], False, info)
    root: Node[int] = Node(start)
    search: TreeSearch[_Position, int] = TreeSearch(evaluate, step)
    done = 0
    left = len(env.nodes) + env.config.refine
    while not root.state.ended:
        now = time.process_time()
        until = now + (began + seconds - now) / left
        visits = root.visits
        n = 0 if root.children and now >= until else simulations

        def late(until: float = until) -> bool:
            return time.process_time() >= until

        cell = search.run(root, n, late)
        done += root.visits - visits
        if cell is None:
            break
        root = search.descend(root, cell)
        left -= 1
    env.restore(root.state.saved)
    if not root.state.ended or root.state.info["dead_end"]:
        return np.inf, None, done
    return env.proxy(), env.placement(), done


@dataclass
class _Position:
    """A partial placement in the tree."""

    saved: dict[str, np.ndarray]
    observation: dict[str, np.ndarray]
    mask: np.ndarray
    ended: bool
    info: dict[str, Any]


def search_macros(
    design: Design,
    budget: float,
    seed: int = 0,
    policy: Any = None,
    report: Callable[[dict[str, float]], None] | None = None,
    config: EnvConfig | None = None,
) -> Found:
    """Search for a start, then anneal from it.

    Args:
        budget: CPU-seconds in all. Ctrl-C ends early and keeps the best.
        policy: a `GridPolicy` that proposes the start; None = evolution.

    Raises:
        InputError: no legal placement was found.
    """
    import torch

    rng = np.random.default_rng([seed, 9])
    torch.manual_seed(seed)
    began = time.process_time()
    env = PlacementEnv(design, config or EnvConfig(columns=48, rows=48, order="connected"))
    cost, tried, stopped = np.inf, 0, False
    best: Design | None = None

    def keep(better: float, placed: Design) -> None:
        nonlocal cost, best
        if better < cost:
            cost, best = better, placed

    try:
        if policy is None:
            tried = evolve(env, FIRST_SHARE * budget, rng, keep=keep)[2]
        else:
            tried = sample_policy(env, policy, 0.5 * FIRST_SHARE * budget, keep=keep)[2]
            found = tree(env, policy, 0.5 * FIRST_SHARE * budget)
            tried += found[2]
            if found[1] is not None:
                keep(found[0], found[1])
            if best is None and (greedy(env) or beam(env)):  # all proposals were dead ends
                keep(env.proxy(), env.placement())
    except KeyboardInterrupt:
        if best is None:
            raise
        stopped = True
    if best is None:
        raise InputError("no legal placement was found on the grid", where=design.source,
                         hint="Use --method sa, or more --budget")  # fmt: skip
    from sciml.placement.learning.env import draw_soft

    start = draw_soft(best)
    spent = time.process_time() - began
    history = [{"cpu_seconds": spent, "proxy": cost, "best": cost}]
    if stopped:
        return Found(start, cost, tried, True, history)
    left = max(budget - spent, 0.1)
    annealer = Annealer(start, AnnealingConfig(hot=WARM), seed, left)
    chain = annealer.run(report)
    history += [row | {"cpu_seconds": spent + row["cpu_seconds"]} for row in annealer.history]
    stopped = annealer.stage < annealer.config.stages
    return Found(chain.result(), chain.best, tried + annealer.moves, stopped, history)
