"""RL^2: several episodes of one task as one long episode (Duan et al. 2016, arXiv:1611.02779).

A recurrent policy that sees its previous action, its reward and where episodes ended learns within
its state what an ordinary one learns in its weights: the second episode of an unseen task can be
better than the first. `learn` trains sb3-contrib's RecurrentPPO (extra: rl), or PPO for the
memory-less control.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from sciml.errors import load_extra


class Trial(gymnasium.Env[np.ndarray, Any]):
    """`episodes` episodes of a task that is drawn anew at every reset.

    The observation is flat: features of the task's own, the previous action (one of n, or as it
    is), its reward, and 1 where an episode has just ended. `info["returns"]` of the last step holds
    the sum of rewards of each episode, `info["infos"]` what each told at its end.

    Args:
        draw: random generator -> a task; all have the same spaces.
        features: observation of a task -> vector; None: flattened.
    """

    def __init__(
        self, draw: Callable[[np.random.Generator], gymnasium.Env[Any, Any]], episodes: int = 3,
        features: Callable[[Any], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self.draw, self.episodes = draw, episodes
        self.features = features or (lambda o: np.asarray(o, np.float64).ravel())
        self.task = draw(np.random.default_rng(0))
        self.action_space = self.task.action_space
        observation, _ = self.task.reset(seed=0)
        size = len(self.features(observation)) + len(self._coded(None)) + 2
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def _coded(self, action: Any) -> np.ndarray:
        if isinstance(self.action_space, spaces.Discrete):
            code = np.zeros(int(self.action_space.n))
            if action is not None:
                code[int(action)] = 1
            return code
        return np.zeros(self.action_space.shape or ()) if action is None else np.asarray(action)

    def _observe(self, observation: Any, action: Any, reward: float, ended: bool) -> np.ndarray:
        parts = (self.features(observation), self._coded(action).ravel(), [reward, float(ended)])
        return np.concatenate(parts).astype(np.float32)

    def action_masks(self) -> np.ndarray:
        """Of the task, for agents that use masks."""
        inner: Any = self.task
        return np.asarray(inner.action_masks())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new task."""
        super().reset(seed=seed)
        self.task = self.draw(self.np_random)
        observation, _ = self.task.reset(seed=int(self.np_random.integers(2**31)))
        self.returns: list[float] = [0.0]
        self.infos: list[dict[str, Any]] = []
        return self._observe(observation, None, 0.0, False), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A step of the task; where its episode ends, the next one begins."""
        observation, reward, ended, cut, info = self.task.step(action)
        reward = float(reward)
        self.returns[-1] += reward
        if ended or cut:
            self.infos.append(info)
            if len(self.infos) < self.episodes:
                observation, _ = self.task.reset()
                self.returns.append(0.0)
        over = len(self.infos) == self.episodes
        told = {"returns": list(self.returns), "infos": self.infos} if over else {}
        return self._observe(observation, action, reward, ended or cut), reward, over, False, told


def learn(
    make: Callable[[], gymnasium.Env[Any, Any]], steps: int, seed: int, *, recurrent: bool = True,
    envs: int = 16, length: int = 40, width: int = 48, lr: float = 2e-3, gamma: float = 0.99,
) -> Any:  # fmt: skip
    """A model of sb3-contrib's RecurrentPPO, or of PPO without memory, after so many steps."""
    contrib = load_extra("sb3_contrib", "rl", "RL^2")
    base = load_extra("stable_baselines3", "rl", "RL^2")
    from stable_baselines3.common.vec_env import DummyVecEnv

    common: dict[str, Any] = {
        "n_steps": length, "batch_size": envs * length // 4, "n_epochs": 4, "learning_rate": lr,
        "gamma": gamma, "gae_lambda": 0.9, "ent_coef": 0.005, "seed": seed, "device": "cpu",
    }  # fmt: skip
    vector = DummyVecEnv([make] * envs)
    if recurrent:
        policy = {"lstm_hidden_size": width, "net_arch": [], "shared_lstm": True,
                  "enable_critic_lstm": False}  # fmt: skip
        model = contrib.RecurrentPPO("MlpLstmPolicy", vector, policy_kwargs=policy, **common)
    else:
        policy = {"net_arch": [width]}
        model = base.PPO("MlpPolicy", vector, policy_kwargs=policy, **common)
    return model.learn(steps)


def play(
    model: Any, env: gymnasium.Env[Any, Any], episodes: int, seed: int, sample: bool = False
) -> list[dict[str, Any]]:
    """What the last step of each episode told, with the sum of its rewards as `return`.

    Args:
        sample: draw actions from the policy instead of taking the likeliest.
    """
    out = []
    for k in range(episodes):
        observation, _ = env.reset(seed=seed + k)
        info: dict[str, Any] = {}
        state, first, total, ended = None, np.ones(1, bool), 0.0, False
        while not ended:
            action, state = model.predict(observation, state, first, deterministic=not sample)
            observation, reward, ended, cut, info = env.step(action)
            ended, first = ended or cut, np.zeros(1, bool)
            total += float(reward)
        out.append({**info, "return": total})
    return out
