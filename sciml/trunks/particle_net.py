"""ParticleNet: convolution over the nearest neighbours, which are found anew in every block.

Qu and Gouskos 2020 (arXiv:1902.08570), after EdgeConv (Wang et al. 2019, arXiv:1801.07829).

    block 1 looks for neighbours among the given coordinates, the others among features
    edge (i, j): (x_i, x_j - x_i) -> 3 x [linear, batch norm, ReLU] -> mean over j
    x_i <- ReLU(mean + shortcut(x_i)); graph = mean over real particles

Padding is kept away as in the authors' code: it lies infinitely far from every particle, has
features zero, and is a neighbour only where a graph has fewer than k + 1 particles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import mean_nodes, optional
from sciml.nn.neighbours import knn_dense
from sciml.trunks.base import Encoded, Trunk, TrunkConfig

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


@dataclass(frozen=True)
class ParticleNetConfig(TrunkConfig):
    """Settings of `ParticleNet`."""

    in_dim: Annotated[int, Range(min=0)] = 0
    """Width of node features, in; 0 = `dim`, the width of those that come out."""
    channels: tuple[int, ...] = ()
    """Width of every block, the last equal to `dim`; empty = dim/4, dim/2, dim."""
    layers: Annotated[int, Range(min=1)] = 3
    """Linear layers of a block."""
    k: Annotated[int, Range(min=1)] = 16
    """Neighbours of a node."""
    coordinates: str = "pos"
    """Key of the batch among which block 1 looks for neighbours ("node_points": angles relative
    to the jet's axis); empty = among features, like the later blocks."""


class EdgeConv(nn.Module):
    """One block: [B, N, width_in] -> [B, N, width_out]."""

    def __init__(self, width_in: int, width_out: int, layers: int) -> None:
        super().__init__()
        widths = [2 * width_in] + [width_out] * layers
        self.convs = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(widths[:-1], widths[1:])
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width_out) for _ in range(layers))
        if width_in != width_out:
            self.shortcut: nn.Module = nn.Linear(width_in, width_out, bias=False)
            self.shortcut_norm: nn.Module = nn.BatchNorm1d(width_out)
        else:
            self.shortcut, self.shortcut_norm = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """x [B, N, width_in], neighbours [B, N, k] -> [B, N, width_out]."""
        b, n, k = neighbours.shape
        # The first layer of (x_i, x_j - x_i) is one matrix on x_i plus one on x_j: k times less
        # work than on the edges themselves.
        own, relative = self.convs[0].get_parameter("weight").chunk(2, dim=1)
        first = F.linear(x, own - relative).flatten(0, 1)
        second = F.linear(x, relative).flatten(0, 1)
        rows = neighbours + n * torch.arange(b, device=x.device).view(b, 1, 1)
        edges = first.unsqueeze(1) + second.index_select(0, rows.flatten()).view(b * n, k, -1)
        edges = F.relu(self.norms[0](edges.flatten(0, 1)))
        for conv, norm in zip(self.convs[1:], self.norms[1:]):
            edges = F.relu(norm(conv(edges)))
        mean = edges.view(b, n, k, -1).mean(2)
        shortcut = self.shortcut_norm(self.shortcut(x).flatten(0, 1)).view_as(mean)
        return F.relu(mean + shortcut)


class ParticleNet(Trunk):
    """Dynamic graph convolution; see the module's docstring."""

    Config = ParticleNetConfig
    layout = "dense"
    config: ParticleNetConfig

    def __init__(self, config: ParticleNetConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        channels = c.channels or (max(1, c.dim // 4), max(1, c.dim // 2), c.dim)
        if channels[-1] != c.dim:
            raise InputError(
                f"the last of `channels` must be `dim` = {c.dim}, got {list(channels)}"
            )
        widths = [c.in_dim or c.dim, *channels]
        self.norm = nn.BatchNorm1d(widths[0])
        self.blocks = nn.ModuleList(
            EdgeConv(a, b, c.layers) for a, b in zip(widths[:-1], widths[1:])
        )

    def _check_widths(self, batch: Data) -> None:
        wanted = self.config.in_dim or self.dim
        if batch.x.shape[-1] != wanted:
            raise InputError(f"`x` must have width {wanted}, got {batch.x.shape[-1]}")

    def encode(self, batch: Data) -> Encoded:
        """x [B, N, in_dim], mask, coordinates [B, N, D] -> nodes [B, N, dim], graph [B, dim]."""
        c = self.config
        points = None
        if c.coordinates:
            points = optional(batch, c.coordinates)
            if points is None:
                raise InputError(
                    f"the batch has no {c.coordinates!r} for ParticleNet to find neighbours with",
                    hint='Name another key by `coordinates`, or "" for the features',
                )
        x, mask, columns = batch.x, batch.mask, batch.mask.shape[1]
        missing = c.k + 1 - columns
        if missing > 0:  # every node needs k others, if only padding
            x = F.pad(x, (0, 0, 0, missing))
            mask = F.pad(mask, (0, missing))
            points = None if points is None else F.pad(points, (0, 0, 0, missing))
        real = mask.unsqueeze(-1)
        x = torch.where(real, x, 0.0)
        x = torch.where(real, self.norm(x.flatten(0, 1)).view_as(x), 0.0)
        for number, block in enumerate(self.blocks):
            where = points if number == 0 and points is not None else x
            neighbours = knn_dense(where.detach(), c.k, mask)
            x = torch.where(real, block(x, neighbours), 0.0)
        x = x[:, :columns]
        return Encoded(nodes=x, graph=mean_nodes(batch, x))


def from_weaver(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Names and shapes of the authors' checkpoints -> this trunk's.

    Args:
        state: a state dict of weaver-core's ParticleNet, keys with or without "mod." in front.

    Returns:
        (state dict of `ParticleNet`, the rest: "fc.0.0.weight", "fc.0.0.bias" of a linear layer
        before ReLU, "fc.1.weight", "fc.1.bias" of the last).
    """
    renamed = {
        "bn_fts.": "norm.",
        "edge_convs.": "blocks.",
        ".bns.": ".norms.",
        ".sc.": ".shortcut.",
        ".sc_bn.": ".shortcut_norm.",
    }
    trunk: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for key, value in state.items():
        key = key.removeprefix("mod.")
        if not key.startswith(("bn_fts.", "edge_convs.")):
            rest[key] = value
            continue
        for theirs, ours in renamed.items():
            key = key.replace(theirs, ours)
        # Convolutions over 1 x 1 windows are linear layers.
        trunk[key] = value.flatten(1) if value.dim() > 2 else value
    return trunk, rest
