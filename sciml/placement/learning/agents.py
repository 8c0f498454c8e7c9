"""Agents of other libraries on `PlacementEnv`: what they see, and how their policies are kept.

The libraries want one array as observation: `AgentView` stacks the maps. Agents with continuous
actions give the macro's centre in [0, 1]^2, which becomes the nearest allowed cell
(`ContinuousView`). A trained policy is saved as weights in safetensors and read into a policy that
is built here, so that nothing is unpickled; `place(method="policy", policy=FILE)` takes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.masks import MOST
from sciml.placement.learning.policy import MAPS, GridPolicy, PlacementPolicy, map_stack
from sciml.rl import agents
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

CHANNELS = MAPS + 3
"""The maps of `policy.map_stack`, and planes of the macro's width, height and of progress."""
SHARP = 10.0
"""Values of actions times this are logits, where a policy has values alone."""


def view(observation: dict[str, np.ndarray], macros: int) -> np.ndarray:
    """[9, rows, columns] float32; see `CHANNELS`."""
    maps = map_stack(observation)
    planes = np.empty((3, *maps.shape[1:]), np.float32)
    width, height = observation["macro"][:2]
    planes[0], planes[1], planes[2] = width, height, observation["node"][0] / macros
    return np.concatenate([maps, planes])


class AgentView(gymnasium.Wrapper[Any, Any, Any, Any]):
    """`PlacementEnv` with one array as observation, and masks where MaskablePPO looks for them."""

    env: PlacementEnv

    def __init__(self, env: PlacementEnv) -> None:
        super().__init__(env)
        self.observation_space, self.action_space = view_spaces(env.rows, env.columns, False)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See `PlacementEnv`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return view(observation, len(self.env.nodes)), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See `PlacementEnv`."""
        observation, reward, ended, cut, info = self.env.step(self.cell(action))
        return view(observation, len(self.env.nodes)), reward, ended, cut, info

    def cell(self, action: Any) -> int:
        """The cell that an action means."""
        return int(action)

    def action_masks(self) -> np.ndarray:
        """Allowed cells, [rows * columns] bool."""
        return self.env.action_mask()


class MaskedView(AgentView):
    """The same with the mask as a part of the observation, where torchrl looks for it."""

    def __init__(self, env: PlacementEnv) -> None:
        super().__init__(env)
        allowed = spaces.Box(0, 1, (env.rows * env.columns,), np.bool_)  # type: ignore[arg-type]
        parts: Any = {"maps": self.observation_space, "action_mask": allowed}
        space: Any = spaces.Dict(parts)
        self.observation_space = space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """See `PlacementEnv`."""
        maps, info = super().reset(seed=seed, options=options)
        return {"maps": maps, "action_mask": info["action_mask"]}, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See `PlacementEnv`."""
        maps, reward, ended, cut, info = super().step(action)
        return {"maps": maps, "action_mask": info["action_mask"]}, reward, ended, cut, info


class ContinuousView(AgentView):
    """The same with the macro's centre over the canvas as action, [2] in 0 to 1."""

    def __init__(self, env: PlacementEnv) -> None:
        super().__init__(env)
        self.observation_space, self.action_space = view_spaces(env.rows, env.columns, True)

    def cell(self, action: Any) -> int:
        """The nearest allowed cell."""
        x, y = (float(v) for v in np.clip(action, 0, 1))
        return self.env.nearest(x, y)


def view_spaces(rows: int, columns: int, continuous: bool) -> tuple[spaces.Box, Any]:
    """Spaces of the observations and actions of a view."""
    seen = spaces.Box(0, MOST, (CHANNELS, rows, columns), np.float32)
    return seen, spaces.Box(0, 1, (2,), np.float32) if continuous else spaces.Discrete(
        rows * columns
    )


class MapFeatures(nn.Module):
    """A small convolutional network: a score of each cell, and means over the canvas.

    maps [..., 9, rows, columns] -> [..., rows * columns + channels]. In the form of the libraries'
    extractors of features.
    """

    def __init__(self, observation_space: spaces.Box, channels: int = 16) -> None:
        super().__init__()
        count, rows, columns = observation_space.shape
        self.features_dim = rows * columns + channels
        self.first = nn.Conv2d(count, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Features of a batch."""
        h = torch.relu(self.first(maps.flatten(0, -4) if maps.ndim > 4 else maps))
        h = torch.relu(self.second(h)) + h
        features = torch.cat([self.score(h).flatten(1), h.mean((2, 3))], 1)
        return features.unflatten(0, maps.shape[:-3]) if maps.ndim > 4 else features


POLICY: dict[str, Any] = {
    "features_extractor_class": MapFeatures, "normalize_images": False, "net_arch": [64],
}  # fmt: skip
"""`policy_kwargs` of every agent."""


class MapActorCritic(nn.Module):
    """`actor`: logits of cells [..., rows * columns], `critic`: value [..., 1]; for torchrl."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        seen, _ = view_spaces(rows, columns, False)

        def head(size: int) -> nn.Module:
            features = MapFeatures(seen)
            width = features.features_dim
            return nn.Sequential(features, nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, size))

        self.actor, self.critic = head(rows * columns), head(1)


class AgentPolicy(nn.Module, Pretrained):
    """A policy that an agent of another library learned.

    Args:
        agent: its name among `sciml.rl.agents.NAMES`.
        rows, columns: of the grid that it learned on.
        network: the library's policy; None: a new one.
    """

    ENTRY = "placement_agent"
    KIND = "placement agent"

    def __init__(
        self, agent: str, rows: int, columns: int, network: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.agent, self.rows, self.columns = agent, rows, columns
        if network is None and agent == "torchrl_ppo":
            network = MapActorCritic(rows, columns)
        elif network is None:
            seen, acts = view_spaces(rows, columns, agent in agents.CONTINUOUS)
            own = {"n_critics": 1} if agent == "ddpg" else {}
            network = agents.policy_class(agent)(seen, acts, lambda _: 0.0, **POLICY, **own)
        self.network: Any = network

    def describe(self) -> dict[str, Any]:
        """See `Pretrained`."""
        return {"agent": self.agent, "rows": self.rows, "columns": self.columns}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path
    ) -> AgentPolicy:
        """See `Pretrained`."""
        agent: Any
        rows: Any
        columns: Any
        agent, rows, columns = (description.get(key) for key in ("agent", "rows", "columns"))
        if agent not in agents.NAMES or not all(
            isinstance(n, int) and 0 < n <= 1024 for n in (rows, columns)
        ):
            raise InputError("describes no agent that is known", where=path,
                             hint=f"Agents are {', '.join(agents.NAMES)}")  # fmt: skip
        return loading.restore(lambda: cls(agent, rows, columns), tensors, where=path)

    @property
    def grid(self) -> EnvConfig:
        """Settings of the environment that it learned in."""
        return EnvConfig(columns=self.columns, rows=self.rows)

    def player(self, envs: Sequence[PlacementEnv]) -> AgentPlayer:
        """What `Rollout` and the searches call."""
        return AgentPlayer(self, envs)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the cells [B, rows * columns] and values [B] of views."""
        policy, name = self.network, self.agent
        if name == "torchrl_ppo":
            return policy.actor(maps), policy.critic(maps)[:, 0]
        if name in ("dqn", "double_dqn", "discor"):
            q = policy.q_net(maps)
        elif name == "qr_dqn":
            q = policy.quantile_net(maps).mean(1)
        elif name in agents.CONTINUOUS:
            action = policy.actor(maps, deterministic=True) if name == "sac" else policy.actor(maps)
            return self._around((action + 1) / 2, maps), maps.new_zeros(len(maps))
        else:
            distribution = policy.get_distribution(maps).distribution
            return distribution.logits, policy.predict_values(maps)[:, 0]
        return SHARP * q, q.max(1).values

    def _around(self, at: Tensor, maps: Tensor) -> Tensor:
        """Logits that fall with the distance [cells] of a macro's centre in each cell from `at`."""
        R, C = self.rows, self.columns
        width, height = maps[:, MAPS, 0, 0], maps[:, MAPS + 1, 0, 0]
        x = torch.arange(C) + C * (width / 2 - at[:, 0])[:, None]
        y = torch.arange(R) + R * (height / 2 - at[:, 1])[:, None]
        return -0.5 * (x[:, None] ** 2 + y[:, :, None] ** 2).flatten(1)


def read_policy(path: str | Path) -> PlacementPolicy:
    """A policy for `place`: one of ours, or that of an agent.

    Raises:
        InputError: the file holds neither.
    """
    from sciml.files import tensors
    from sciml.weights import find

    _, metadata = tensors.header(find(path))
    kind: Any = AgentPolicy if AgentPolicy.ENTRY in metadata else GridPolicy
    return kind.from_pretrained(path, device="cpu")


class AgentPlayer:
    """An agent's policy bound to environments; see `policy.Player`."""

    def __init__(self, policy: AgentPolicy, envs: Sequence[PlacementEnv]) -> None:
        self.policy, self.macros = policy, [len(env.nodes) for env in envs]
        for env in envs:
            if (env.rows, env.columns) != (policy.rows, policy.columns):
                raise InputError(f"the agent learned on {policy.columns} x {policy.rows} cells, "
                                 f"not {env.columns} x {env.rows}")  # fmt: skip

    def __call__(
        self, numbers: Sequence[int], observations: Sequence[Any]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        views = [view(o, self.macros[k]) for k, o in zip(numbers, observations, strict=True)]
        maps = torch.from_numpy(np.stack(views))
        with torch.no_grad():
            return *self.policy(maps), {"maps": maps}
