"""Behavioural cloning: a policy learns from placements that a search made.

A good placement of a design is replayed in the environment: at each step the target is the allowed
cell nearest to where the search put the macro.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sciml.placement.design import Design
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.policy import GridPolicy, Player
from sciml.rl.ppo import MaskedCategorical


def replay(design: Design, target: Design, config: EnvConfig) -> tuple[PlacementEnv, list[Any]]:
    """(environment, [(observation, cell, mask)]) that follows `target` as closely as possible."""
    env = PlacementEnv(design, config)
    observation, info = env.reset()
    steps: list[Any] = []
    canvas = target.canvas
    x = (target.x[env.nodes] - canvas.x0) / canvas.width
    y = (target.y[env.nodes] - canvas.y0) / canvas.height
    for k in range(len(env.nodes)):
        cell = env.nearest(x[k], y[k])
        if cell < 0:
            break
        steps.append((observation, cell, info["action_mask"]))
        observation, _, ended, _, info = env.step(cell)
        if ended:
            break
    return env, steps


def imitate(
    policy: GridPolicy,
    pairs: Sequence[tuple[Design, Design]],
    config: EnvConfig,
    epochs: int = 10,
    lr: float = 1e-3,
    batch: int = 64,
) -> list[float]:
    """Train the policy on replayed placements by cross-entropy; returns the loss of each epoch."""
    replays = [replay(design, target, config) for design, target in pairs]
    player = Player(policy, [env for env, _ in replays])
    numbers = [k for k, (_, steps) in enumerate(replays) for _ in steps]
    samples = [step for _, steps in replays for step in steps]
    if not samples:
        return []
    inputs = player.inputs(numbers, [o for o, _, _ in samples])
    cells = torch.tensor([c for _, c, _ in samples])
    masks = torch.from_numpy(np.stack([m for _, _, m in samples]))
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for index in torch.randperm(len(cells)).split(batch):
            logits, _ = player.evaluate({k: v[index] for k, v in inputs.items()})
            loss = -MaskedCategorical(logits, masks[index]).log_prob(cells[index]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(index)
        losses.append(total / len(cells))
    return losses
