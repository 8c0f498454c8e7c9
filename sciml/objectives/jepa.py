"""JEPA: predict the latent, not the content, of hidden nodes.

Joint-embedding predictive architecture (Assran et al. 2023, arXiv:2301.08243): a predictor maps
the embeddings of a graph with hidden nodes to those of the full graph by a slow copy.
Hidden nodes stay in the graph as mask tokens, which keeps their place and their edges (as in
data2vec, Baevski et al. 2022, arXiv:2202.03555), so that the same code serves sequences, point
clouds and sparse graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.objectives.base import Embedder, mean_of, mlp, wide
from sciml.objectives.contrastive import frozen_copy, move_average
from sciml.objectives.masked import MaskedConfig, draw
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class JEPAConfig(MaskedConfig):
    """What is hidden (see masked modelling) and how slowly the target encoder moves."""

    fraction: Annotated[float, Range(min=0, max=1, exclusive=True)] = 0.4
    """Share of each graph's nodes to predict, at least one."""
    momentum: Annotated[float, Range(min=0, max=1)] = 0.996
    """What the target encoder keeps of itself each step, at the start."""
    final_momentum: Annotated[float, Range(min=0, max=1)] = 1.0
    """The same after `ramp` steps; linear in between."""
    ramp: Annotated[int, Range(min=1)] = 100_000
    """Steps from `momentum` to `final_momentum`."""
    layers: Annotated[int, Range(min=1)] = 3
    """Linear layers of the predictor."""


class JEPA(nn.Module):
    """Smooth L1 distance between predicted and layer-normalised target latents of hidden nodes."""

    Config = JEPAConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: JEPAConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.predictor = mlp(trunk.dim, trunk.dim, trunk.dim, self.config.layers)
        self.target = frozen_copy(nn.ModuleList([trunk, embedder]))

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch with freshly drawn hidden nodes."""
        return self.losses(batch, draw(batch, self.config, self.embedder))

    def losses(self, batch: Data, chosen: Tensor) -> dict[str, Tensor]:
        """The losses with `chosen` (bool, one per node) the hidden nodes."""
        # The only thing that an accelerator is waited for: how many nodes are hidden.
        index = chosen.nonzero(as_tuple=True)
        with torch.no_grad():
            trunk, embedder = self.target.children()
            latent = wide(trunk(embedder(batch)).nodes[index])
            target = F.layer_norm(latent, latent.shape[-1:])
        seen = self.trunk(self.embedder(batch, chosen)).nodes[index]
        predicted = wide(self.predictor(seen))
        loss, count = mean_of(F.smooth_l1_loss(predicted, target, reduction="none").mean(-1))
        # How much targets differ between nodes: near 0 means that the encoder has collapsed.
        spread = target.std(0).mean() if len(target) > 1 else target.new_zeros(())
        return {"loss": loss, "count": count, "target_spread": spread.detach()}

    def after_step(self, step: int) -> None:
        """Move the target encoder."""
        config = self.config
        share = min(1.0, step / config.ramp)
        momentum = config.momentum + share * (config.final_momentum - config.momentum)
        move_average(self.target, nn.ModuleList([self.trunk, self.embedder]), momentum)

    def train(self, mode: bool = True) -> JEPA:
        """Training mode for all but the target encoder, which has no dropout."""
        super().train(mode)
        self.target.eval()
        return self
