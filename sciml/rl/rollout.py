"""Collecting experience from several environments side by side.

Environments follow gymnasium's step API and put `action_mask` into `info`. They may be of
different designs; the policy is called once per step with the observations of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.rl.ppo import Experience, MaskedCategorical, advantages

Policy = Callable[[list[int], list[Any]], tuple[Tensor, Tensor, dict[str, Tensor]]]
"""(environment numbers, observations) -> logits [B, A], value [B], inputs to store, by name."""


@dataclass
class Collected:
    """The result of a rollout: experience in the order [time, environment] and ended episodes."""

    experience: Experience
    returns: list[float] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)


class Rollout:
    """Steps all environments together and starts a new episode when one ends.

    >>> rollout = Rollout(envs, policy)
    >>> batch = rollout.collect(128, gamma=1.0, lmbda=0.95)
    """

    def __init__(self, envs: Sequence[Any], policy: Policy, seed: int = 0) -> None:
        self.envs, self.policy = list(envs), policy
        self.observations, self.masks = [], []
        for k, env in enumerate(self.envs):
            observation, info = env.reset(seed=seed + k)
            self.observations.append(observation)
            self.masks.append(info["action_mask"])
        self.running = np.zeros(len(self.envs))

    @torch.no_grad()
    def collect(self, steps: int, gamma: float, lmbda: float) -> Collected:
        """`steps` steps of every environment, with advantages and value targets."""
        every = list(range(len(self.envs)))
        rows: dict[str, list[Tensor]] = {}
        inputs: dict[str, list[Tensor]] = {}
        out = Collected(experience=None)  # type: ignore[arg-type]
        for _ in range(steps):
            logits, value, stored = self.policy(every, self.observations)
            mask = torch.as_tensor(np.stack(self.masks), device=logits.device)
            chosen = MaskedCategorical(logits, mask)
            action = chosen.sample()
            reward, ended, cut = [], [], []
            final: list[tuple[int, Any]] = []
            for k, env in enumerate(self.envs):
                observation, r, terminated, truncated, info = env.step(int(action[k]))
                reward.append(r)
                ended.append(terminated)
                cut.append(truncated)
                self.running[k] += r
                if terminated or truncated:
                    out.returns.append(float(self.running[k]))
                    out.infos.append(info)
                    out.owner.append(k)
                    self.running[k] = 0.0
                    if truncated and not terminated:
                        final.append((k, observation))
                    observation, info = env.reset()
                self.observations[k], self.masks[k] = observation, info["action_mask"]
            row = {
                "action": action,
                "log_prob": chosen.log_prob(action),
                "value": value,
                "mask": mask,
                "reward": torch.tensor(reward, dtype=value.dtype, device=value.device),
                "terminated": torch.tensor(ended, device=value.device),
                "done": torch.tensor(ended, device=value.device)
                | torch.tensor(cut, device=value.device),
                "cut_value": torch.zeros_like(value),
            }
            if final:  # a truncated episode continues in the value of its last state
                which = [k for k, _ in final]
                _, last, _ = self.policy(which, [o for _, o in final])
                row["cut_value"][which] = last
            for key, tensor in row.items():
                rows.setdefault(key, []).append(tensor)
            for key, tensor in stored.items():
                inputs.setdefault(key, []).append(tensor)
        _, last_value, _ = self.policy(every, self.observations)
        data = {key: torch.stack(values) for key, values in rows.items()}
        following = torch.cat([data["value"][1:], last_value[None]])
        following = torch.where(data["done"], data["cut_value"], following)
        advantage, target = advantages(
            data["reward"], data["value"], following, data["terminated"], data["done"], gamma, lmbda
        )
        out.experience = Experience(
            inputs={k: torch.stack(v).flatten(0, 1) for k, v in inputs.items()},
            mask=data["mask"].flatten(0, 1),
            action=data["action"].flatten(),
            log_prob=data["log_prob"].flatten(),
            value=data["value"].flatten(),
            advantage=advantage.flatten(),
            target=target.flatten(),
        )
        return out

    def state(self) -> dict[str, Any]:
        """For a bitwise resume; environments must have `state()` and `restore()`."""
        return {
            "envs": [env.state() for env in self.envs],
            "running": self.running.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        for k, (env, saved) in enumerate(zip(self.envs, state["envs"], strict=True)):
            env.restore(saved)
            self.observations[k] = env.observation()
            self.masks[k] = env.action_mask()
        self.running[:] = state["running"]


def as_tensors(value: Any) -> Any:
    """Nested dictionaries and lists with arrays as tensors, as `torch.load` reads them safely."""
    if isinstance(value, dict):
        return {key: as_tensors(v) for key, v in value.items()}
    if isinstance(value, list):
        return [as_tensors(v) for v in value]
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def as_arrays(value: Any) -> Any:
    """The inverse of `as_tensors`."""
    if isinstance(value, dict):
        return {key: as_arrays(v) for key, v in value.items()}
    if isinstance(value, list):
        return [as_arrays(v) for v in value]
    return value.numpy() if isinstance(value, Tensor) else value
