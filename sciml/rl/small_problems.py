"""Small problems whose answers are known: a chain, a two-armed bandit.

Learning methods are held to them: Q-learning to the chain's exact values, a recurrent policy to the
best that any policy can do on the bandit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Chain(gymnasium.Env[np.ndarray, np.int64]):
    """States 0 to n - 1 in a row; right leads on with probability 1 - `slip`, left back to 0.

    The observation is the state, one of n. The end of the chain pays 1 and ends the episode, a step
    left pays `small`; an episode is cut off after `limit` steps.
    """

    def __init__(self, n: int = 8, slip: float = 0.1, small: float = 0.01, limit: int = 40) -> None:
        self.n, self.slip, self.small, self.limit = n, slip, small, limit
        self.observation_space = spaces.Box(0, 1, (n,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.state = self.steps = 0

    def _observe(self) -> np.ndarray:
        return np.eye(self.n, dtype=np.float32)[self.state]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Back to state 0."""
        super().reset(seed=seed)
        self.state = self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Go right (1) or back to the start (0)."""
        self.steps += 1
        reward, ended = 0.0, False
        if int(action) == 0:
            self.state, reward = 0, self.small
        elif self.np_random.random() >= self.slip:
            ended = self.state == self.n - 1
            reward = float(ended)
            self.state = min(self.state + 1, self.n - 1)
        return self._observe(), reward, ended, self.steps >= self.limit, {}

    def values(self, gamma: float) -> np.ndarray:
        """[n, 2] exact Q of the best policy, without the limit of steps, by value iteration."""
        q = np.zeros((self.n, 2))
        for _ in range(10_000):
            v = q.max(1)
            on = np.append(gamma * v[1:], 1.0)
            new = np.stack([np.full(self.n, self.small + gamma * v[0]),
                            (1 - self.slip) * on + self.slip * gamma * v], 1)  # fmt: skip
            if np.abs(new - q).max() < 1e-12:
                break
            q = new
        return q


class Bandit(gymnasium.Env[np.ndarray, np.int64]):
    """Two arms that pay 1 with probabilities drawn anew, uniformly, for each episode of `pulls`.

    The observation holds what a meta-learner needs of the last pull (Duan et al. 2016, RL^2): one
    of two for the arm, its reward, and whether there was one.
    """

    def __init__(self, pulls: int = 10) -> None:
        self.pulls = pulls
        self.observation_space = spaces.Box(0, 1, (4,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.chance, self.done = np.zeros(2), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Two new arms."""
        super().reset(seed=seed)
        self.chance, self.done = self.np_random.random(2), 0
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Pull an arm."""
        arm = int(action)
        reward = float(self.np_random.random() < self.chance[arm])
        self.done += 1
        observation = np.array([arm == 0, arm == 1, reward, 1], np.float32)
        return observation, reward, self.done >= self.pulls, False, {}


def best_bandit_value(pulls: int) -> float:
    """The largest expected sum of rewards of any policy on `Bandit`, by dynamic programming over
    the numbers of wins and losses of both arms (Bellman 1956)."""

    @lru_cache(None)
    def value(a: int, b: int, c: int, d: int) -> float:
        if a + b + c + d == pulls:
            return 0.0
        one, two = (a + 1) / (a + b + 2), (c + 1) / (c + d + 2)
        return max(
            one * (1 + value(a + 1, b, c, d)) + (1 - one) * value(a, b + 1, c, d),
            two * (1 + value(a, b, c + 1, d)) + (1 - two) * value(a, b, c, d + 1),
        )

    return value(0, 0, 0, 0)


@lru_cache(None)
def gittins_index(wins: int, losses: int, left: int) -> float:
    """The certain reward per pull that is worth as much as an arm with Beta(wins + 1, losses + 1),
    when `left` pulls remain (the finite-horizon form of Gittins 1979; by bisection)."""

    def gain(retire: float) -> float:
        @lru_cache(None)
        def ahead(a: int, b: int, n: int) -> float:
            if n == 0:
                return 0.0
            p = (a + 1) / (a + b + 2)
            go = p * (1 - retire + ahead(a + 1, b, n - 1)) + (1 - p) * (
                -retire + ahead(a, b + 1, n - 1)
            )
            return max(0.0, go)

        return ahead(wins, losses, left)

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) > 1e-12 else (low, middle)
    return low


def play_bandit(rule: str, pulls: int, episodes: int, seed: int = 0) -> float:
    """Mean sum of rewards of a rule: "gittins", "thompson" (Thompson 1933), "ucb" (UCB1, Auer,
    Cesa-Bianchi and Fischer 2002) or "random"."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(episodes):
        chance, wins, losses = rng.random(2), np.zeros(2), np.zeros(2)
        for t in range(pulls):
            count = wins + losses
            if rule == "gittins":
                score = np.array([gittins_index(int(w), int(n), pulls - t)
                                  for w, n in zip(wins, losses, strict=True)])  # fmt: skip
            elif rule == "thompson":
                score = rng.beta(wins + 1, losses + 1)
            elif rule == "ucb":
                bonus = np.sqrt(2 * np.log(max(t, 1)) / np.maximum(count, 1))
                score = np.where(count == 0, np.inf, wins / np.maximum(count, 1) + bonus)
            else:
                score = rng.random(2)
            arm = int(rng.choice(np.flatnonzero(score == score.max())))
            won = rng.random() < chance[arm]
            wins[arm] += won
            losses[arm] += not won
            total += won
    return total / episodes
