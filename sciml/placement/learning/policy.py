"""A policy and value for placing macros: the shared graph trunk and a head over the grid.

The trunk reads the whole netlist once; at every step the head sees the maps of the environment
(allowed cells, wire growth, filled cells, density, congestion, nearness to the guide), the
embedding of the macro to place and that of the netlist, and scores every cell. Learned multiples of
wire growth and nearness are added to the scores, so that an untrained head already places near the
guide where the wire is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sciml import trunks
from sciml.config import Range, from_dict, to_dict
from sciml.placement.design import Design
from sciml.placement.learning.embedder import NetlistEmbedder, collate, netlist_graph
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.prediction import ArrayResult
from sciml.rl.ppo import MaskedCategorical
from sciml.trunks.base import Trunk
from sciml.trunks.message_passing import MessagePassing, MessagePassingConfig
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

MAPS = 6
"""Maps that the head sees: those of version 0.1 (mask, wire, filled) first."""
NEAR = 0.1
"""Width of the map of nearness, over the canvas."""


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the policy network."""

    trunk: MessagePassingConfig = field(
        default_factory=lambda: MessagePassingConfig(
            dim=48, pair_dim=8, depth=2, heads=4, hypergraph=True, kinds=2, edges="given"
        )
    )
    """The graph trunk over the netlist."""
    channels: Annotated[int, Range(min=4)] = 24
    """Feature maps of the grid head."""
    frozen: bool = False
    """Do not train the trunk and the embedder."""
    maps: Annotated[int, Range(min=3, max=MAPS)] = MAPS
    """Maps that the head sees; those that version 0.1 trained see the first 3."""


@dataclass(frozen=True, eq=False, repr=False)
class PredictedPlacement(ArrayResult):
    """Macros as a policy places them; used as an array, it is `centres`."""

    ARRAY = "centres"
    centres: np.ndarray
    """[macros, 2] x and y [design units], in the order of `nodes`."""
    nodes: np.ndarray
    """[macros] indices of the nodes, in the order in which they were placed."""
    log_probabilities: np.ndarray
    """[macros] of the chosen cells; NaN from a dead end on."""
    design: Design
    """The design with the macros there and the soft macros around them."""
    complete: bool
    """False: some macro had no allowed cell."""
    proxy: float
    """Proxy cost, with the soft macros settled around them; NaN where it is not complete."""


class GridPolicy(nn.Module, Pretrained):
    """logits [B, rows * columns] and value [B] from observations; see the module.

    Args:
        config: sizes.
        trunk: in place of a new `config.trunk`: of another kind, or pretrained.
        embedder: in place of a new one.
    """

    ENTRY = "placement_policy"
    KIND = "placement policy"

    def __init__(
        self,
        config: PolicyConfig | None = None,
        trunk: Trunk | None = None,
        embedder: NetlistEmbedder | None = None,
    ) -> None:
        super().__init__()
        c = config or PolicyConfig()
        if isinstance(trunk, MessagePassing):
            c = replace(c, trunk=trunk.config)
        self.config = c
        self.trunk: Trunk = MessagePassing(c.trunk) if trunk is None else trunk
        h, d = c.channels, self.trunk.dim
        self.embedder = embedder or NetlistEmbedder(d, self.trunk.pair_dim)
        self.first = nn.Conv2d(c.maps + 2, h, 5, padding=2)
        self.middle = nn.Conv2d(h, h, 5, padding=4, dilation=2)
        self.last = nn.Conv2d(h, 1, 1)
        self.context = nn.Linear(2 * d + 1, 4 * h)
        self.greedy = nn.Parameter(torch.tensor(3.0 if c.maps < MAPS else 1.0))
        if c.maps == MAPS:
            self.guided = nn.Parameter(torch.tensor(4.0))
        self.critic = nn.Sequential(
            nn.Linear(h + 2 * d + 1 + c.maps, 64), nn.GELU(), nn.Linear(64, 1)
        )
        nn.init.normal_(self.last.weight, std=0.01)
        if c.frozen:
            for part in (self.trunk, self.embedder):
                part.requires_grad_(False)

    def describe(self) -> dict[str, Any]:
        """See `Pretrained`; a trunk that is no `MessagePassing` is named with its settings."""
        described = to_dict(self.config)
        if not isinstance(self.trunk, MessagePassing):
            described["trunk"] = to_dict(self.trunk.config)
            described["trunk_name"] = trunks.name_of(type(self.trunk))
        return described

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path, **options: Any
    ) -> GridPolicy:
        """See `Pretrained`; `own_trunk` of the options is the trunk of your own in the file."""
        own_trunk = options.pop("own_trunk", None)
        if options:
            raise TypeError(f"GridPolicy takes no option {sorted(options)}")

        def make() -> GridPolicy:
            settings = {"maps": 3, **description}  # version 0.1 did not say
            name, trunk = settings.pop("trunk_name", None), None
            if name is not None:
                kind = trunks.named_in_file(str(name), own_trunk, where=path)
                trunk = kind(from_dict(kind.Config, settings.pop("trunk", {}), where=str(path)))
            return cls(from_dict(PolicyConfig, settings, where=str(path)), trunk)

        return loading.restore(make, tensors, where=path)

    def predict(self, design: Design, config: EnvConfig | None = None) -> PredictedPlacement:
        """Place every movable macro on its likeliest allowed cell.

        Args:
            design: fixed nodes stay.
            config: the grid and the order of the macros.
        """
        env = PlacementEnv(design, config or EnvConfig())
        player = Player(self, [env])
        observation, info = env.reset()
        log_probs = np.full(len(env.nodes), np.nan)
        ended = False
        while not ended:
            with torch.no_grad():
                logits, _, _ = player([0], [observation])
            allowed = torch.from_numpy(info["action_mask"])[None].to(logits.device)
            cells = MaskedCategorical(logits, allowed)
            action = cells.mode()
            if env.placed < len(env.nodes):
                log_probs[env.placed] = float(cells.log_prob(action)[0])
            observation, _, ended, _, info = env.step(int(action[0]))
        placed = env.placement()
        return PredictedPlacement(
            np.stack([placed.x, placed.y], 1)[env.nodes], env.nodes, log_probs, placed,
            complete=not info["dead_end"], proxy=np.nan if info["dead_end"] else env.proxy(),
        )  # fmt: skip

    @property
    def grid(self) -> EnvConfig:
        """Settings of an environment that it can place in."""
        return EnvConfig(columns=48, rows=48, order="connected")

    def player(self, envs: Sequence[PlacementEnv]) -> Player:
        """What `Rollout` and the searches call."""
        return Player(self, envs)

    def encode(self, graph: Any) -> tuple[Tensor, Tensor]:
        """(rows of all nodes and nets [S, dim], one vector per netlist [B, dim])."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            encoded = self.trunk(self.embedder(graph))
        return encoded.nodes, encoded.graph

    def forward(
        self, maps: Tensor, macro: Tensor, netlist: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        """maps [B, maps, R, C], macro and netlist [B, dim], progress [B] -> logits, value."""
        maps = maps[:, : self.config.maps]
        h, context = self.features(maps, macro, netlist, progress)
        logits = self.last(h)[:, 0] - self.greedy * maps[:, 1]
        if self.config.maps == MAPS:
            logits = logits + self.guided * maps[:, 5]
        pooled = torch.cat([h.mean((2, 3)), context, maps.mean((2, 3))], -1)
        return logits.flatten(1), self.critic(pooled)[:, 0]

    def features(
        self, maps: Tensor, macro: Tensor, netlist: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Inputs of the heads: [B, channels, R, C] and the context [B, 2 dim + 1]."""
        maps, (R, C) = maps[:, : self.config.maps], maps.shape[-2:]
        y = torch.linspace(-1, 1, R, device=maps.device)[:, None].expand(R, C)
        x = torch.linspace(-1, 1, C, device=maps.device)[None].expand(R, C)
        coordinates = torch.stack([x, y]).expand(len(maps), 2, R, C)
        context = torch.cat([macro, netlist, progress[:, None]], -1)
        a, b, c, d = self.context(context)[..., None, None].chunk(4, 1)
        h = torch.relu(self.first(torch.cat([maps, coordinates], 1)) * (1 + a) + b)
        return torch.relu(self.middle(h) * (1 + c) + d) + h, context


class PlacementPolicy(Protocol):
    """What the searches need of a policy: `GridPolicy`, `agents.AgentPolicy`."""

    @property
    def grid(self) -> EnvConfig:
        """Settings of an environment that it can place in."""

    def player(self, envs: Sequence[PlacementEnv]) -> Any:
        """(numbers, observations) -> logits [B, cells], value [B], inputs to store, by name."""


class Player:
    """A policy bound to environments: what `Rollout` and `PPO` call.

    The network computes where its weights are; what goes in and comes out is on the CPU.

    Args:
        policy: the network.
        envs: environments with equal grids, of any designs.
    """

    def __init__(self, policy: GridPolicy, envs: Sequence[PlacementEnv]) -> None:
        self.policy = policy
        designs: list[Design] = []
        self.which: list[int] = []
        for env in envs:  # environments may share a design
            index = next((k for k, d in enumerate(designs) if d is env.design), len(designs))
            self.which.append(index)
            if index == len(designs):
                designs.append(env.design)
        self.device = next(policy.parameters()).device
        self.graph = collate([netlist_graph(d) for d in designs]).to(self.device)
        self.row = [env.nodes + int(self.graph.ptr[k]) for env, k in zip(envs, self.which,
                                                                         strict=True)]  # fmt: skip
        self.total = [len(env.nodes) for env in envs]
        self._cached: tuple[Tensor, Tensor] | None = None

    def refresh(self) -> None:
        """Forget the netlists' embeddings; call after the weights change."""
        self._cached = None

    def inputs(self, numbers: Sequence[int], observations: Sequence[Any]) -> dict[str, Tensor]:
        """What the head takes from observations, as tensors with one row for each."""
        maps = np.stack([map_stack(o) for o in observations])
        row, design, progress = [], [], []
        for k, o in zip(numbers, observations, strict=True):
            i = int(o["node"][0])
            row.append(int(self.row[k][i % self.total[k]]))
            design.append(self.which[k])
            progress.append(i / self.total[k])
        return {
            "maps": torch.from_numpy(maps.astype(np.float32)),
            "row": torch.tensor(row),
            "design": torch.tensor(design),
            "progress": torch.tensor(progress, dtype=torch.float32),
        }

    def __call__(
        self, numbers: Sequence[int], observations: Sequence[Any]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        if self._cached is None:
            with torch.no_grad():
                self._cached = self.policy.encode(self.graph)
        inputs = self.inputs(numbers, observations)
        return *self._head(inputs, *self._cached), inputs

    def evaluate(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The same with gradients, through the trunk."""
        return self._head(inputs, *self.policy.encode(self.graph))

    def features(self, policy: Any, inputs: dict[str, Tensor]) -> Tensor:
        """[B, channels] mean features of the grid by a policy, this one or a copy, for `CURL`."""
        nodes, graph = policy.encode(self.graph)
        on_device = {key: value.to(self.device) for key, value in inputs.items()}
        macro, netlist = nodes[on_device["row"]], graph[on_device["design"]]
        features, _ = policy.features(on_device["maps"], macro, netlist, on_device["progress"])
        return features.mean((2, 3)).cpu()

    def _head(
        self, inputs: dict[str, Tensor], nodes: Tensor, graph: Tensor
    ) -> tuple[Tensor, Tensor]:
        on_device = {key: value.to(self.device) for key, value in inputs.items()}
        macro, netlist = nodes[on_device["row"]], graph[on_device["design"]]
        logits, value = self.policy(on_device["maps"], macro, netlist, on_device["progress"])
        return logits.cpu(), value.cpu()


def map_stack(observation: dict[str, np.ndarray]) -> np.ndarray:
    """[6, rows, columns] float32: mask, wire, filled, density, congestion, nearness to the guide of
    a macro's centre in each cell."""
    o = observation
    rows, columns = o["mask"].shape
    width, height, x, y = o["macro"]
    along = np.arange(columns, dtype=np.float32) / columns + width / 2 - x
    up = np.arange(rows, dtype=np.float32) / rows + height / 2 - y
    near = np.exp(-0.5 * (along[None] ** 2 + up[:, None] ** 2) / NEAR**2)
    return np.stack([o["mask"], o["wire"], o["filled"], o["density"], o["congestion"], near])


def shifted(inputs: dict[str, Tensor], max_shift: int) -> dict[str, Tensor]:
    """Another view of observations: maps shifted by up to `max_shift` cells, padded with zeros."""
    maps = inputs["maps"]
    B, _, R, C = maps.shape
    by = torch.randint(0, 2 * max_shift + 1, (2, B, 1), device=maps.device)
    row = by[0] + torch.arange(R, device=maps.device)
    column = by[1] + torch.arange(C, device=maps.device)
    padded = nn.functional.pad(maps, (max_shift, max_shift, max_shift, max_shift))
    each = torch.arange(B, device=maps.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[each, row[:, :, None], column[:, None]]
    return inputs | {"maps": moved.permute(0, 3, 1, 2)}
