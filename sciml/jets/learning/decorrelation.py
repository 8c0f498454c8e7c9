"""DisCo: a tagger whose score is independent of the jet mass.

Kasieczka and Shih 2020, "DisCo Fever: Robust Networks Through Distance Correlation",
arXiv:2001.05310. The loss gets a multiple of the distance correlation (Szekely, Rizzo & Bakirov
2007) between score and mass of the background jets, which is zero only where the two are
independent; so a cut on the score does not carve a false peak into the background's mass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sciml.graph import optional
from sciml.jets.data.columns import ENERGY, FOUR_MOMENTUM
from sciml.objectives.base import wide
from sciml.objectives.supervised import Supervised, SupervisedConfig

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.objectives.base import Embedder
    from sciml.trunks.base import Trunk

MIN_JETS = 4
"""Smallest number of background jets in a batch for a distance correlation."""


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance correlation of two samples [n], a number from 0 to 1 (eq. 4).

    dCov^2(x, y) is the mean of A * B, where A and B are the matrices of distances |x_i - x_j| and
    |y_i - y_j| with row means and column means taken off and the overall mean put back (eq. 2, 3).
    Zero for a sample that does not vary.
    """
    a, b = (_centred(value) for value in (x, y))
    both, of_x, of_y = ((u * v).mean() for u, v in ((a, b), (a, a), (b, b)))
    tiny = torch.finfo(x.dtype).tiny
    return both / (of_x * of_y).clamp(min=tiny).sqrt()


def _centred(x: Tensor) -> Tensor:
    distances = (x[:, None] - x[None, :]).abs()
    rows = distances.mean(0, keepdim=True)
    return distances - rows - rows.mT + rows.mean()


def invariant_mass(batch: Data) -> Tensor:
    """Invariant mass [GeV] of each jet's constituents, from a raw batch: [B]."""
    total = (batch.x[..., FOUR_MOMENTUM].double() * batch.mask[..., None]).sum(1)
    mass2 = total[:, ENERGY].square() - total[:, :ENERGY].square().sum(1)
    return mass2.clamp(min=0).sqrt().to(batch.x.dtype)


class Decorrelated(Supervised):
    """Classification whose background score is decorrelated from the jet mass.

    Args:
        trunk, embedder, config: as for `Supervised`.
        background: class whose mass must not be sculpted; the score is its probability.
        strength: multiple of the distance correlation in the loss (lambda of eq. 1).
    """

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: SupervisedConfig,
        *,
        background: int,
        strength: float,
        augment: object = None,
    ) -> None:
        super().__init__(trunk, embedder, config, augment=augment)
        self.background, self.strength = background, strength

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a labelled raw batch; `disco` is the distance correlation."""
        outputs = wide(self.predict(self.noised(batch)))
        losses: dict[str, Any] = self.losses(outputs, batch.y, optional(batch, "weight"))
        labels = batch.y if batch.y.dim() == 1 else batch.y.argmax(-1)  # classes, or soft labels
        background, losses["disco"] = labels == self.background, outputs.new_zeros(())
        if int(background.sum()) >= MIN_JETS:
            score = outputs[background].softmax(-1)[:, self.background]
            correlation = distance_correlation(score, invariant_mass(batch)[background].to(score))
            losses["loss"] = losses["loss"] + self.strength * correlation
            losses["disco"] = correlation.detach()
        return losses
