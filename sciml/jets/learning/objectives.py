"""Pretraining on jets without labels: predict the observables of the jet.

    sciml run pretrain --data jets.root --objective sciml.jets.learning.objectives:JetObservables

The targets need no simulation truth, only the particles: mass, width, energy correlations,
displaced tracks and the others of `learning.observables`. A trunk that predicts them has learned to
add momenta and to weigh tracks, which few labels cannot teach (multi-task pretexts: Doersch and
Zisserman 2017, arXiv:1708.07860).

For jets with views (`learning.views`) the targets are the observables of the *other* jet of the
same hard-scatter event. The best prediction is the mean over all showers: what the hard process
determines, without the fluctuations of the shower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.jets.learning.observables import OBSERVABLES, observables
from sciml.objectives.base import Embedder, Standardise, mean_of, mlp, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class JetObservablesConfig:
    """The head."""

    hidden: Annotated[int, Range(min=1)] = 64
    """Width of the head's hidden layer."""


class JetObservables(nn.Module):
    """Predicts the standardised observables of a jet, or of the other one of its event."""

    Config = JetObservablesConfig

    def __init__(
        self, trunk: Trunk, embedder: Embedder, config: JetObservablesConfig, *,
        augment: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        del augment
        self.trunk, self.embedder, self.config = trunk, embedder, config
        self.head = mlp(trunk.dim, config.hidden, len(OBSERVABLES))
        self.scale = Standardise(len(OBSERVABLES))

    def targets(self, batch: Data) -> Tensor:
        """[B, observables], standardised sign(v) ln(1 + |v|): many have power-law tails."""
        with torch.no_grad():
            values = observables(batch.x, batch.mask)
            values = values.sign() * values.abs().log1p()
            if self.training:
                self.scale.update(values)
            return wide(self.scale(values).float())

    def forward(self, batch: Data) -> dict[str, Tensor]:
        predicted = wide(self.head(self.trunk(self.embedder(batch)).graph))
        target = self.targets(batch.other if "other" in batch else batch)
        error = nn.functional.smooth_l1_loss(predicted, target, reduction="none")
        loss, count = mean_of(error.mean(-1))
        return {"loss": loss, "count": count}
