"""Deep Q-learning beyond that of Stable-Baselines3: double targets, and DisCor's weights.

Double DQN (van Hasselt, Guez and Silver 2016, arXiv:1509.06461, eq. 4): the online network chooses
the next action, the target network values it. DisCor (Kumar, Gupta and Levine 2020,
arXiv:2003.07305, algorithm 2): transitions whose targets are likely to be wrong count less, by
exp(-gamma E / tau), where E(s', a') estimates the error of the target's own value and is learned
from |Q - y| + gamma E(s', a'). tau is a running mean of the errors.

Needs the extra `rl`.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import load_extra

load_extra("stable_baselines3", "rl", "deep Q-learning")

from stable_baselines3 import DQN  # noqa: E402
from stable_baselines3.common.utils import polyak_update  # noqa: E402


def discor_weights(next_error: Tensor, gamma: Tensor | float, tau: Tensor | float) -> Tensor:
    """Weights of transitions with mean 1: softmax(-gamma next_error / tau) times their number.

    Args:
        next_error: [B] estimated error of Q at the next state and action; 0 after an end.
    """
    return torch.softmax(-gamma * next_error / tau, 0) * len(next_error)


class DoubleDQN(DQN):
    """Stable-Baselines3's DQN with double targets."""

    def next_actions(self, observations: Any) -> Tensor:
        """[B, 1] the actions that are valued at the next states."""
        return self.q_net(observations).argmax(1, keepdim=True)

    def weights(self, batch: Any, actions: Tensor, error: Tensor, discount: Any) -> Tensor | None:
        """[B, 1] weights of the losses; None: all the same.

        Args:
            actions: of `next_actions`. error: [B, 1] of Q against its target, without gradients.
        """
        return None

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Gradient steps on batches of the replay buffer, as the parent takes them."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        assert self.replay_buffer is not None
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            discount = self.gamma if batch.discounts is None else batch.discounts
            with torch.no_grad():
                actions = self.next_actions(batch.next_observations)
                following = self.q_net_target(batch.next_observations).gather(1, actions)
                target = batch.rewards + (1 - batch.dones) * discount * following
            value = self.q_net(batch.observations).gather(1, batch.actions.long())
            weight = self.weights(batch, actions, (value - target).detach(), discount)
            loss = nn.functional.smooth_l1_loss(value, target, reduction="none")
            loss = (loss if weight is None else weight * loss).mean()
            losses.append(loss.item())
            self.policy.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))


class DisCorDQN(DoubleDQN):
    """Double DQN whose losses are weighted by DisCor; see the module.

    The error network is a second Q-network (`error_net`) with an optimiser of its own.
    """

    first_tau = 10.0
    """tau before errors are known, in units of reward."""
    momentum = 0.99
    """Of the running mean that tau is."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.error_net = self.policy.make_q_net().to(self.device)
        self.error_target = copy.deepcopy(self.error_net)
        rate = self.lr_schedule(1)
        self.error_optimizer = torch.optim.Adam(self.error_net.parameters(), lr=rate)
        self.tau_of_errors = self.first_tau

    def weights(self, batch: Any, actions: Tensor, error: Tensor, discount: Any) -> Tensor | None:
        """DisCor's, after a step of the error network towards |error| + discount E(s', a')."""
        with torch.no_grad():
            following = self.error_target(batch.next_observations).gather(1, actions)
            following = (1 - batch.dones) * following.clamp(min=0)
            target = error.abs() + discount * following
        estimate = self.error_net(batch.observations).gather(1, batch.actions.long())
        loss = nn.functional.smooth_l1_loss(estimate, target)
        self.error_optimizer.zero_grad()
        loss.backward()
        self.error_optimizer.step()
        mean = float(estimate.detach().clamp(min=0).mean())
        self.tau_of_errors += (1 - self.momentum) * (mean - self.tau_of_errors)
        tau = max(self.tau_of_errors, 1e-3)
        return discor_weights((discount * following)[:, 0], 1.0, tau)[:, None]

    def _on_step(self) -> None:
        super()._on_step()
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            pairs = self.error_net.parameters(), self.error_target.parameters()
            polyak_update(*pairs, self.tau)

    def _excluded_save_params(self) -> list[str]:
        own = ["error_net", "error_target", "error_optimizer"]
        return [*super()._excluded_save_params(), *own]
