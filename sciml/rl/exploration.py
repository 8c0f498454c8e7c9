"""Rewards for what is new, or for what is not: wrappers of any gymnasium environment.

| wrapper | reward | source |
|---|---|---|
| `CountBonus` | + weight / sqrt(visits of the state and action) | Strehl and Littman 2008; Bellemare 2016 |
| `RNDBonus` | + weight x error of predicting a random network, normalised | Burda et al. 2018 |
| `SMiRL` | + weight x log density of the states of the episode so far | Berseth et al. 2019 |

SMiRL is the opposite of the two: it pays for surprises avoided, which makes an agent seek orderly
states where its world is not.
"""  # noqa: E501

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

Step = tuple[Any, float, bool, bool, dict[str, Any]]


class Bonus(gymnasium.Wrapper[Any, Any, Any, Any], ABC):
    """A reward is added to that of the environment; `info["bonus"]` tells it.

    Args:
        weight: multiplies it.
        features: observation -> vector of float; None: the observation, flattened.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], weight: float = 1.0,
        features: Callable[[Any], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(env)
        self.weight = weight
        self.features = features or (lambda o: np.asarray(o, np.float64).ravel())

    @abstractmethod
    def bonus(self, before: np.ndarray, action: Any, after: np.ndarray) -> float:
        """The reward of a step, from the features of both states."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """See the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.state = self.features(observation)
        return observation, info

    def step(self, action: Any) -> Step:
        """See the environment."""
        observation, reward, ended, cut, info = self.env.step(action)
        after = self.features(observation)
        bonus = self.weight * self.bonus(self.state, action, after)
        self.state = after
        return observation, float(reward) + bonus, ended, cut, {**info, "bonus": bonus}

    def action_masks(self) -> np.ndarray:
        """Of the environment, for MaskablePPO."""
        inner: Any = self.env
        return np.asarray(inner.action_masks())


class CountBonus(Bonus):
    """Counts pairs of state and action, over all episodes."""

    def __init__(self, env: gymnasium.Env[Any, Any], weight: float = 1.0, **options: Any) -> None:
        super().__init__(env, weight, **options)
        self.visits: Counter[bytes] = Counter()

    def bonus(self, before: np.ndarray, action: Any, after: np.ndarray) -> float:
        """1 / sqrt(visits), this one included."""
        key = before.round(3).tobytes() + np.asarray(action).tobytes()
        self.visits[key] += 1
        return float(self.visits[key] ** -0.5)


class RNDBonus(Bonus):
    """A network learns to predict a random one on the states that are visited."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], weight: float = 1.0, width: int = 32, seed: int = 0,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(env, weight, **options)
        observation, _ = env.reset()
        size = len(self.features(observation))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.target, self.predictor = (
                nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width))
                for _ in range(2)
            )
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), 1e-3)
        self.scale = 0.0

    def bonus(self, before: np.ndarray, action: Any, after: np.ndarray) -> float:
        """The squared error over its running root mean square; then one step of learning."""
        x = torch.as_tensor(after, dtype=torch.float32)
        with torch.no_grad():
            target = self.target(x)
        loss = nn.functional.mse_loss(self.predictor(x), target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        error = float(loss.detach())
        self.scale = max(self.scale * 0.99 + 0.01 * error, 1e-12) if self.scale else error
        return min(error / self.scale, 5.0)


class SMiRL(Bonus):
    """log p(state) under independent normal distributions of the states of the episode so far.

    The statistics are part of the observation, as the paper demands: without them the reward
    depends on what the agent cannot see. So the observation becomes a flat vector: the features,
    their means and deviations, and the share of `length` that has passed.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], weight: float = 1.0, length: int = 100, **options: Any
    ) -> None:
        super().__init__(env, weight, **options)
        self.length = length
        self.count: int = 0
        self.total: np.ndarray = np.zeros(0)
        self.squares: np.ndarray = np.zeros(0)
        observation, _ = env.reset()
        self.size = len(self.features(observation))
        self.observation_space = spaces.Box(-np.inf, np.inf, (3 * self.size + 1,), np.float32)

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the states, with one state of deviation 1 in advance."""
        mean = self.total / self.count
        return mean, np.sqrt(np.maximum((self.squares + 1) / (self.count + 1) - mean**2, 1e-2))

    def _observe(self) -> np.ndarray:
        parts = (self.state, *self._moments(), [self.count / self.length])
        return np.concatenate(parts).astype(np.float32)

    def _remember(self, state: np.ndarray) -> None:
        self.count += 1
        self.total = self.total + state
        self.squares = self.squares + state**2

    def bonus(self, before: np.ndarray, action: Any, after: np.ndarray) -> float:
        """Mean log density per feature of the new state, which then joins the statistics."""
        mean, deviation = self._moments()
        score = -0.5 * ((after - mean) / deviation) ** 2 - np.log(deviation)
        self._remember(after)
        return float(score.mean() - 0.5 * np.log(2 * np.pi))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Forget the states of the last episode."""
        _, info = super().reset(seed=seed, options=options)
        self.count, self.total, self.squares = 0, np.zeros(self.size), np.zeros(self.size)
        self._remember(self.state)
        return self._observe(), info

    def step(self, action: Any) -> Step:
        """See `Bonus`."""
        _, reward, ended, cut, info = super().step(action)
        return self._observe(), reward, ended, cut, info
