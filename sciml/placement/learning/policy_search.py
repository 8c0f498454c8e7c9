"""Placements that a trained policy proposes: sampled episodes, Monte Carlo tree search."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sciml.placement.design import Design
from sciml.placement.learning.env import PlacementEnv
from sciml.placement.learning.policy import PlacementPolicy
from sciml.placement.learning.wire_mask_search import After, SearchState, report_nothing
from sciml.rl.ppo import MaskedCategorical
from sciml.rl.search import Node, TreeSearch


def sample_policy(
    env: PlacementEnv,
    policy: PlacementPolicy,
    seconds: float,
    max_episodes: int = 10**9,
    after: After = report_nothing,
    resumed: SearchState | None = None,
) -> SearchState:
    """The best of a policy's placements, its mode first; `resumed`: state of an earlier call."""
    state = resumed or SearchState()
    player = policy.player([env])
    if state.random is not None:
        torch.set_rng_state(torch.from_numpy(np.array(state.random)))
    began = time.process_time() - state.cpu_seconds
    with torch.no_grad():
        while state.evaluations < max_episodes and (
            state.evaluations == 0 or time.process_time() - began < seconds
        ):
            observation, info = env.reset()
            ended = False
            while not ended:
                logits, _, _ = player([0], [observation])
                mask = torch.from_numpy(info["action_mask"])[None]
                chosen = MaskedCategorical(logits, mask)
                action = chosen.mode() if state.evaluations == 0 else chosen.sample()
                observation, _, ended, _, info = env.step(int(action[0]))
            following = state
            if not info["dead_end"]:
                following = state.better(env.proxy(), env.placement())
            state = replace(
                following, evaluations=state.evaluations + 1, random=torch.get_rng_state().numpy(),
                cpu_seconds=time.process_time() - began,
            )  # fmt: skip
            after(state)
    return state


def tree(
    env: PlacementEnv,
    policy: PlacementPolicy,
    seconds: float,
    simulations: int = 64,
    branches: int = 6,
) -> tuple[float, Design | None, int]:
    """(proxy, placement, simulations): one placement by Monte Carlo tree search.

    The policy's probabilities and values guide the tree (PUCT); the most visited action is taken
    and its subtree kept. Every macro has an equal share of the `seconds` that are left, but at
    least one simulation, which is one call of the network.
    """
    player = policy.player([env])
    began = time.process_time()

    def evaluate(state: _Position) -> tuple[list[tuple[int, float]], float]:
        if state.ended:
            return [], 0.0
        with torch.no_grad():
            logits, value, _ = player([0], [state.observation])
        priors = MaskedCategorical(logits, torch.from_numpy(state.mask)[None]).log_probs[0].exp()
        prior, cell = priors.topk(min(branches, int(state.mask.sum())))
        return list(zip(cell.tolist(), prior.tolist(), strict=True)), float(value)

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
