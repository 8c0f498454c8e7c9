"""Agents of Stable-Baselines3, sb3-contrib and torchrl on any environment, by name.

| name | method | actions |
|---|---|---|
| dqn | Q-learning with a network (Mnih et al. 2015) | discrete |
| double_dqn | with double targets (van Hasselt et al. 2016) | discrete |
| discor | with weights against wrong targets (Kumar et al. 2020) | discrete |
| qr_dqn | quantiles of the return (Dabney et al. 2018) | discrete |
| a2c | advantage actor-critic (Mnih et al. 2016) | discrete |
| ppo, torchrl_ppo | proximal policy optimisation (Schulman et al. 2017) | discrete |
| maskable_ppo | the same with action masks (Huang and Ontanon 2022) | discrete |
| trpo | trust regions by a bound on the KL divergence (Schulman et al. 2015) | discrete |
| ddpg, td3, sac | deterministic and soft actor-critics (Lillicrap 2016, Fujimoto 2018, Haarnoja 2018) | continuous |

Needs the extra `rl`. Weights are saved by those who build the policies (`placement.learning.agents`):
the libraries' own files hold pickles, which are never read.
"""  # noqa: E501

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sciml.errors import load_extra, unknown

Settings = dict[str, Any]
_OFF_POLICY: Settings = {
    "learning_rate": 5e-4, "buffer_size": 20_000, "learning_starts": 200, "batch_size": 64,
    "gamma": 0.99, "train_freq": 4, "gradient_steps": 1,
}  # fmt: skip
_Q: Settings = _OFF_POLICY | {
    "target_update_interval": 200, "exploration_fraction": 0.4, "exploration_final_eps": 0.05,
}  # fmt: skip
_PPO: Settings = {
    "learning_rate": 5e-4, "n_steps": 64, "batch_size": 64, "n_epochs": 4, "gamma": 0.99,
    "ent_coef": 0.01,
}  # fmt: skip
AGENTS: dict[str, tuple[str, str, str, Settings]] = {
    "dqn": ("stable_baselines3", "DQN", "MlpPolicy", _Q),
    "double_dqn": ("sciml.rl.dqn", "DoubleDQN", "MlpPolicy", _Q),
    "discor": ("sciml.rl.dqn", "DisCorDQN", "MlpPolicy", _Q),
    "qr_dqn": ("sb3_contrib", "QRDQN", "MlpPolicy", _Q),
    "a2c": ("stable_baselines3", "A2C", "MlpPolicy", {"n_steps": 16, "gamma": 0.99,
                                                     "ent_coef": 0.01}),
    "ppo": ("stable_baselines3", "PPO", "MlpPolicy", _PPO),
    "maskable_ppo": ("sb3_contrib", "MaskablePPO", "MlpPolicy", _PPO),
    "trpo": ("sb3_contrib", "TRPO", "MlpPolicy", {"n_steps": 64, "batch_size": 64,
                                                 "gamma": 0.99}),
    "ddpg": ("stable_baselines3", "DDPG", "MlpPolicy", _OFF_POLICY),
    "td3": ("stable_baselines3", "TD3", "MlpPolicy", _OFF_POLICY),
    "sac": ("stable_baselines3", "SAC", "MlpPolicy", _OFF_POLICY),
}  # fmt: skip
"""name -> module, class, policy and settings (for some thousand steps); `torchrl_ppo` apart."""
NOISE = 0.2
"""Deviation of the noise on actions of deterministic policies, where actions go from -1 to 1."""
CONTINUOUS = ("ddpg", "td3", "sac")
NAMES = (*AGENTS, "torchrl_ppo")


def algorithm(name: str) -> type[Any]:
    """The class of an agent.

    Raises:
        InputError: no such agent, or the extra is not installed.
    """
    if name not in AGENTS:
        raise unknown("agent", name, NAMES)
    module, kind, _, _ = AGENTS[name]
    load_extra("sb3_contrib", "rl", f"agent {name}")
    return getattr(importlib.import_module(module), kind)


def policy_class(name: str) -> type[Any]:
    """The class of an agent's policy, a torch module that is built from spaces alone."""
    return algorithm(name).policy_aliases[AGENTS[name][2]]


def build(
    name: str, envs: Sequence[Callable[[], Any]], seed: int, policy: Settings, workers: int = 1,
    **settings: Any,
) -> Any:  # fmt: skip
    """An agent on several environments, not yet trained.

    Args:
        name: one of `AGENTS`.
        envs: make the environments, each its own; with `workers` > 1 in processes of their own.
        policy: `policy_kwargs` of the library.
        settings: in place of those of `AGENTS`.
    """
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.noise import NormalActionNoise
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    kind = algorithm(name)

    def monitored(make: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: Monitor(make())

    makers = [monitored(make) for make in envs]
    vector = SubprocVecEnv(makers) if workers > 1 else DummyVecEnv(makers)
    values = {**AGENTS[name][3], **settings}
    if name in ("ddpg", "td3"):  # deterministic policies explore by noise alone
        size = vector.action_space.shape or ()
        values.setdefault("action_noise", NormalActionNoise(np.zeros(size), np.full(size, NOISE)))
    own = dict(policy)  # DDPG writes into it
    return kind(AGENTS[name][2], vector, seed=seed, policy_kwargs=own, device="cpu", **values)


def train(agent: Any, steps: int, after: Callable[[int, float, dict[str, Any]], None]) -> None:
    """Train for so many environment steps, over all environments.

    Args:
        after: called at each end of an episode with the steps and CPU-seconds so far and its info.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    began = time.process_time()

    class Episodes(BaseCallback):
        def _on_step(self) -> bool:
            for info in self.locals["infos"]:
                if "episode" in info:
                    after(self.num_timesteps, time.process_time() - began, info)
            return True

    agent.learn(steps, callback=Episodes())
