"""A policy and value for placing macros: the shared graph trunk and a head over the grid.

The trunk reads the whole netlist once; at every step the head sees the maps of the environment
(allowed cells, wire growth, filled cells), the embedding of the macro to place and that of the
netlist, and scores every cell. A learned multiple of the wire growth is added to the scores, so
that an untrained head is a noisy greedy placer and training departs from it where that pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.config import Range, from_dict, to_dict
from sciml.placement.design import Design
from sciml.placement.learning.embedder import NetlistEmbedder, collate, netlist_graph
from sciml.placement.learning.env import PlacementEnv
from sciml.trunks.base import Trunk
from sciml.trunks.message_passing import MessagePassing, MessagePassingConfig
from sciml.weights import files, loading

MAPS = 3


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
    """Leave the trunk and the embedder as they are."""


class GridPolicy(nn.Module):
    """logits [B, rows * columns] and value [B] from observations; see the module.

    Args:
        config: sizes.
        trunk: one of another kind than `config.trunk`, or with weights.
        embedder: with weights.
    """

    def __init__(
        self,
        config: PolicyConfig | None = None,
        trunk: Trunk | None = None,
        embedder: NetlistEmbedder | None = None,
    ) -> None:
        super().__init__()
        self.config = config or PolicyConfig()
        c = self.config
        self.trunk: Trunk = MessagePassing(c.trunk) if trunk is None else trunk
        h, d = c.channels, self.trunk.dim
        self.embedder = embedder or NetlistEmbedder(d, self.trunk.pair_dim)
        self.first = nn.Conv2d(MAPS + 2, h, 5, padding=2)
        self.middle = nn.Conv2d(h, h, 5, padding=4, dilation=2)
        self.last = nn.Conv2d(h, 1, 1)
        self.context = nn.Linear(2 * d + 1, 4 * h)
        self.greedy = nn.Parameter(torch.tensor(3.0))
        self.critic = nn.Sequential(
            nn.Linear(h + 2 * d + 1 + MAPS, 64), nn.GELU(), nn.Linear(64, 1)
        )
        nn.init.normal_(self.last.weight, std=0.01)
        if c.frozen:
            for part in (self.trunk, self.embedder):
                part.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> GridPolicy:
        """A policy that comes with the package, by name, or what `save` wrote, by path.

        Raises:
            InputError: there is none of that name, or the file is no policy.
        """
        described, state, path = files.read(name_or_path, "placement_policy", "placement policy")
        config = from_dict(PolicyConfig, described, where=str(path))
        policy = loading.build(lambda: cls(config), state, where=path)
        loading.load_state(policy, state, where=path)
        return policy

    def save(self, path: str | Path) -> Path:
        """Write the weights with the configuration, as one .safetensors file."""
        return files.write(path, self.state_dict(), "placement_policy", to_dict(self.config))

    def encode(self, graph: Any) -> tuple[Tensor, Tensor]:
        """(rows of all nodes and nets [S, dim], one vector a netlist [B, dim])."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            encoded = self.trunk(self.embedder(graph))
        return encoded.nodes, encoded.graph

    def forward(
        self, maps: Tensor, macro: Tensor, netlist: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        """maps [B, 3, R, C], macro and netlist [B, dim], progress [B] -> logits, value."""
        h, context = self.features(maps, macro, netlist, progress)
        logits = self.last(h)[:, 0] - self.greedy * maps[:, 1]
        pooled = torch.cat([h.mean((2, 3)), context, maps.mean((2, 3))], -1)
        return logits.flatten(1), self.critic(pooled)[:, 0]

    def features(
        self, maps: Tensor, macro: Tensor, netlist: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the heads see: [B, channels, R, C] and the context [B, 2 dim + 1]."""
        R, C = maps.shape[-2:]
        y = torch.linspace(-1, 1, R, device=maps.device)[:, None].expand(R, C)
        x = torch.linspace(-1, 1, C, device=maps.device)[None].expand(R, C)
        place = torch.stack([x, y]).expand(len(maps), 2, R, C)
        context = torch.cat([macro, netlist, progress[:, None]], -1)
        a, b, c, d = self.context(context)[..., None, None].chunk(4, 1)
        h = torch.relu(self.first(torch.cat([maps, place], 1)) * (1 + a) + b)
        return torch.relu(self.middle(h) * (1 + c) + d) + h, context


class Player:
    """A policy bound to environments: what `Rollout` and `PPO` call.

    Args:
        policy: the network. envs: environments with equal grids, of any designs.
    """

    def __init__(self, policy: GridPolicy, envs: Sequence[PlacementEnv]) -> None:
        self.policy = policy
        designs: list[Design] = []
        self.which: list[int] = []
        for env in envs:  # environments may share a design
            known = [k for k, d in enumerate(designs) if d is env.design]
            self.which.append(known[0] if known else len(designs))
            if not known:
                designs.append(env.design)
        self.graph = collate([netlist_graph(d) for d in designs])
        self.row = [env.nodes + int(self.graph.ptr[k]) for env, k in zip(envs, self.which,
                                                                         strict=True)]  # fmt: skip
        self.total = [len(env.nodes) for env in envs]
        self._cached: tuple[Tensor, Tensor] | None = None

    def refresh(self) -> None:
        """Forget the netlists' embeddings; call after the weights change."""
        self._cached = None

    def inputs(self, numbers: Sequence[int], observations: Sequence[Any]) -> dict[str, Tensor]:
        maps = np.stack(
            [np.stack([o["mask"], np.minimum(o["wire"], 8), np.minimum(o["filled"], 2)])
             for o in observations]
        )  # fmt: skip
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
        """[B, channels] what a policy, this one or a copy, sees of the grid, for `CURL`."""
        nodes, graph = policy.encode(self.graph)
        macro, netlist = nodes[inputs["row"]], graph[inputs["design"]]
        return policy.features(inputs["maps"], macro, netlist, inputs["progress"])[0].mean((2, 3))

    def _head(
        self, inputs: dict[str, Tensor], nodes: Tensor, graph: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits, value = self.policy(
            inputs["maps"], nodes[inputs["row"]], graph[inputs["design"]], inputs["progress"]
        )
        return logits, value


def shifted(inputs: dict[str, Tensor], most: int) -> dict[str, Tensor]:
    """Another view of observations: maps moved by up to `most` cells each way, nothing beyond."""
    maps = inputs["maps"]
    B, _, R, C = maps.shape
    by = torch.randint(0, 2 * most + 1, (2, B, 1), device=maps.device)
    row = by[0] + torch.arange(R, device=maps.device)
    column = by[1] + torch.arange(C, device=maps.device)
    wide = nn.functional.pad(maps, (most, most, most, most))
    each = torch.arange(B, device=maps.device)[:, None, None]
    moved = wide.permute(0, 2, 3, 1)[each, row[:, :, None], column[:, None]]
    return inputs | {"maps": moved.permute(0, 3, 1, 2)}
