"""Where do the macros go? The question of placement to a shared trunk
(`sciml.objectives.downstream`), answered by reinforcement learning in synthetic netlists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sciml.objectives.base import Embedder
from sciml.objectives.corpus import Corpus
from sciml.objectives.downstream import DownstreamTask, label_budgets
from sciml.placement.design import Design
from sciml.placement.generate import netlist, randomised
from sciml.placement.learning.embedder import NetlistEmbedder
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.policy import GridPolicy, Player, PolicyConfig
from sciml.placement.learning.pretraining import corpus
from sciml.rl.ppo import PPO, PPOConfig
from sciml.rl.rollout import Rollout
from sciml.train import TrainConfig
from sciml.trunks.base import Trunk

SCALE = 0.2
ENVIRONMENTS, STEPS = 8, 32
"""Environments side by side, and steps of each in an update."""
GRID = EnvConfig(columns=24, rows=24, order="connected", reward="proxy")
LEARNING = PPOConfig(epochs=3, minibatch=ENVIRONMENTS * STEPS)
"""Whole updates as minibatches: each passes all netlists through the trunk."""


def design(seed: int) -> Design:
    """A synthetic design with its properties drawn anew, and few nets: trunks that see pairs of
    nodes take their square."""
    drawn = randomised(np.random.default_rng([seed, 5]), SCALE)
    return netlist(replace(drawn, nets_per_node=2.0), seed)


def downstream_task(size: float = 1.0) -> DownstreamTask:
    """Synthetic designs; those that are measured on have seeds of their own."""
    designs = [design(k) for k in range(max(ENVIRONMENTS, round(64 * size)))]
    test = [design(900_000 + k) for k in range(max(2, round(16 * size)))]

    def answer(trunk: Trunk, embedder: Embedder, amount: int, train: TrainConfig) -> float:
        assert isinstance(embedder, NetlistEmbedder)
        policy = GridPolicy(PolicyConfig(), trunk, embedder)
        reinforce(policy, designs, amount, train)
        return float(np.mean([placed(policy, d) for d in test]))

    everything = ENVIRONMENTS * STEPS * max(2, round(8 * size))
    data: Corpus = corpus(designs)
    return DownstreamTask(
        "placement", "Where do the macros of a netlist go?", data, label_budgets(everything),
        "environment steps", "mean proxy cost", -1, answer,
        ("cheapest wire first", float(np.mean([greedy(d) for d in test]))),
    )  # fmt: skip


def reinforce(policy: GridPolicy, designs: list[Design], steps: int, train: TrainConfig) -> None:
    """PPO for about this many environment steps in all, at least one in each environment."""
    rng = np.random.default_rng(train.seed)
    torch.manual_seed(train.seed)
    chosen = rng.choice(len(designs), ENVIRONMENTS, replace=False)
    envs = [PlacementEnv(designs[k], GRID) for k in chosen]
    player = Player(policy, envs)
    rollout = Rollout(envs, player, seed=train.seed)
    parameters = [p for p in policy.parameters() if p.requires_grad]
    trainer = PPO(policy, player.evaluate, torch.optim.Adam(parameters, 1e-3), LEARNING)
    left = max(1, steps // ENVIRONMENTS)
    while left > 0:
        now = min(left, STEPS)
        trainer.step(rollout.collect(now, LEARNING.gamma, LEARNING.lmbda).experience)
        player.refresh()
        left -= now


def placed(policy: GridPolicy, design: Design) -> float:
    """Proxy cost of the placement that takes the policy's likeliest cell at every step."""
    env = PlacementEnv(design, GRID)
    player = Player(policy, [env])

    def choose(observation: Any, mask: np.ndarray) -> int:
        logits, _, _ = player([0], [observation])
        return int(logits[0].masked_fill(~torch.from_numpy(mask), -torch.inf).argmax())

    return finished(env, choose)


def greedy(design: Design) -> float:
    """Proxy cost of placing every macro where its wire grows least."""
    env = PlacementEnv(design, GRID)
    return finished(env, lambda observation, mask: env.greedy_action())


def finished(env: PlacementEnv, choose: Any) -> float:
    """Proxy cost at the end of an episode, `DEAD_END` where some macro found no place."""
    observation, info = env.reset()
    ended = False
    while not ended:
        action = choose(observation, info["action_mask"])
        observation, _, ended, _, info = env.step(action)
    return env.proxy() if not info["dead_end"] else DEAD_END


DEAD_END = 3.0
"""What an unfinished placement costs; a finished one costs about 1 to 2."""
