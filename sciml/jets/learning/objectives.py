"""Pretraining on jets without labels: say what a physicist would compute of the whole jet.

    sciml run pretrain --data jets.root --objective sciml.jets.learning.objectives:JetObservables

The targets need no simulation truth, only the particles: mass, width, energy correlations,
displaced tracks and the others of `learning.observables`. A trunk that gives them has learned to
add momenta and to weigh tracks, which few labels cannot teach (multi-task pretexts: Doersch and
Zisserman 2017, arXiv:1708.07860).

Of jets with views (`learning.views`) it says what a physicist would compute of the *other* jet of
the collision. The best answer is the mean over all showers: what the hard process decides, without
what the shower does by chance.
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
    """What are the observables of this jet, or of the other one of its collision?

    Logarithms of the large ones, in their deviations.
    """

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
        """[B, observables]; sign(v) ln(1 + |v|), since many fall off like powers."""
        with torch.no_grad():
            values = observables(batch.x, batch.mask)
            values = values.sign() * values.abs().log1p()
            if self.training:
                self.scale.update(values)
            return wide(self.scale(values).float())

    def forward(self, batch: Data) -> dict[str, Tensor]:
        found = wide(self.head(self.trunk(self.embedder(batch)).graph))
        target = self.targets(batch.other if "other" in batch else batch)
        error = nn.functional.smooth_l1_loss(found, target, reduction="none")
        loss, count = mean_of(error.mean(-1))
        return {"loss": loss, "count": count}
