"""ParticleNet as published for jets: the trunk of that name with the classifier of its weights.

Qu, Gouskos, "ParticleNet: Jet Tagging via Particle Clouds", arXiv:1902.08570. The convolutions are
`sciml.trunks.particle_net`; names and shapes of weaver-core's weights are in `weaver.checkpoints`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.jets.data.grouping import by_length
from sciml.trunks import particle_net

MAX_SIZE = 1024
"""Size (jets x longest) of a pass without training: its edges stay in cache."""


Positive = Annotated[int, Range(min=1)]


@dataclasses.dataclass(frozen=True)
class ParticleNetConfig:
    """Sizes of a ParticleNet; the defaults are those of the published JetClass weights."""

    features: Positive = 17
    """Features per particle."""
    classes: Positive = 10
    """Classes."""
    neighbours: Annotated[int, Range(min=1, max=4096)] = 16
    """Neighbours per particle."""
    neighbours_of_blocks: tuple[Annotated[int, Range(min=1, max=4096)], ...] = ()
    """Neighbours per block, where they differ; empty: `neighbours` in all."""
    use_counts: bool = True
    """Mean over particles; False: their sum divided by the padded length."""
    channels: tuple[tuple[Positive, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    """Widths of the layers of each edge convolution."""
    input_norm: bool = True
    """Batch norm of the features before the first block."""
    fusion: Annotated[int, Range(min=0)] = 0
    """Width of the fusion layer, on what comes out of all blocks; 0: none."""
    hidden: tuple[Positive, ...] = (256,)
    """Hidden widths of the classifier."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.1
    """Probability of dropping a hidden unit of the classifier."""

    def __post_init__(self) -> None:
        if not self.channels or not all(self.channels):
            raise InputError("`channels` must have at least one layer in every block")
        if len(self.neighbours_of_blocks) not in (0, len(self.channels)):
            raise InputError(
                f"{len(self.channels)} blocks need as many numbers of neighbours, "
                f"got {list(self.neighbours_of_blocks)}"
            )

    def trunk(self) -> particle_net.ParticleNetConfig:
        """Settings of the convolutions."""
        return particle_net.ParticleNetConfig(
            dim=self.fusion or self.channels[-1][-1],
            in_dim=self.features,
            channels=self.channels,
            k=self.neighbours,
            k_of_blocks=self.neighbours_of_blocks,
            coordinates="node_points",
            input_norm=self.input_norm,
            fusion=self.fusion > 0,
        )


class ParticleNet(nn.Module):
    """Jets as clouds of particles -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = particle_net.ParticleNet(config.trunk())
        sizes = [self.trunk.dim, *config.hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = nn.Linear(sizes[-1], config.classes)

    def forward(
        self, features: Tensor, points: Tensor, mask: Tensor, length: int | None = None
    ) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            points: [B, N, 2] (deta, dphi).
            mask: [B, N] bool, True for a particle.
            length: padded length that sums are divided by if `use_counts` is False; N if None.
        """
        if not mask.numel() and not torch.jit.is_tracing():
            return features.new_full((len(mask), self.config.classes), torch.nan)
        if self.training or torch.jit.is_tracing():
            graph = self._graph(features, points, mask)
        else:
            neighbours = max(self.config.neighbours, *self.config.neighbours_of_blocks, 0)
            graph = by_length(
                self._graph, (features, points), mask, min_width=neighbours + 1, max_size=MAX_SIZE
            )
        if not self.config.use_counts:
            graph = graph * (mask.sum(1, keepdim=True).to(graph.dtype) / (length or mask.shape[1]))
        for linear in self.hidden:
            graph = F.dropout(F.relu(linear(graph)), self.config.dropout, self.training)
        return self.head(graph).masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def _graph(self, features: Tensor, points: Tensor, mask: Tensor) -> Tensor:
        from torch_geometric.data import Data

        return self.trunk(Data(x=features, node_points=points, mask=mask)).graph
