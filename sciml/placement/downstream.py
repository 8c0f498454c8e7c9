"""Where do the macros go? The downstream task of placement (`sciml.objectives.downstream`): a
policy on a shared trunk learns by reinforcement on synthetic netlists."""

from __future__ import annotations

import numpy as np
import torch

from sciml.device import choose
from sciml.objectives.base import Embedder
from sciml.objectives.downstream import DownstreamTask, label_budgets
from sciml.placement.design import Design
from sciml.placement.generate import synthetic
from sciml.placement.learning.embedder import NetlistEmbedder
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.policy import GridPolicy, Player, PolicyConfig
from sciml.placement.learning.pretraining import corpus
from sciml.placement.learning.wire_mask_search import greedy
from sciml.rl.ppo import PPO, PPOConfig
from sciml.rl.rollout import Rollout
from sciml.train import TrainConfig
from sciml.trunks.base import Trunk

SCALE = 0.2
ENVIRONMENTS, STEPS = 8, 32
"""Environments side by side, and steps of each per update."""
GRID = EnvConfig(columns=24, rows=24, order="connected", reward="proxy")
LEARNING = PPOConfig(epochs=3, minibatch=ENVIRONMENTS * STEPS)
"""Whole updates as minibatches: each passes all netlists through the trunk."""
DEAD_END = 3.0
"""What an unfinished placement costs; a finished one costs about 1 to 2."""


def design(seed: int) -> Design:
    """A small synthetic design with few nets: trunks that see pairs of nodes take their square."""
    return synthetic(seed, SCALE, nets_per_node=2.0)


def downstream_task(size: float = 1.0) -> DownstreamTask:
    """Synthetic designs; those that are measured on have seeds of their own."""
    train_designs = [design(k) for k in range(max(ENVIRONMENTS, round(64 * size)))]
    test_designs = [design(900_000 + k) for k in range(max(2, round(16 * size)))]

    def finetune(trunk: Trunk, embedder: Embedder, budget: int, train: TrainConfig) -> float:
        assert isinstance(embedder, NetlistEmbedder)
        device = choose(train.device).device
        policy = GridPolicy(PolicyConfig(), trunk, embedder).to(device)
        reinforce(policy, train_designs, budget, train)
        costs = [policy.predict(d, GRID).proxy for d in test_designs]
        return float(np.mean(np.nan_to_num(costs, nan=DEAD_END)))

    all_steps = ENVIRONMENTS * STEPS * max(2, round(8 * size))
    cheapest_wire = float(np.mean([greedy_cost(d) for d in test_designs]))
    return DownstreamTask(
        "placement", "Where do the macros of a netlist go?", corpus(train_designs),
        label_budgets(all_steps), "environment steps", "mean proxy cost", -1, finetune,
        ("cheapest wire first", cheapest_wire),
    )  # fmt: skip


def greedy_cost(design: Design) -> float:
    """Proxy cost of placing every macro where its wire grows least."""
    env = PlacementEnv(design, GRID)
    return env.proxy() if greedy(env) else DEAD_END


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
