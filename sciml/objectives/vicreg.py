"""VICReg: views agree, every feature varies, no two features are correlated.

Bardes, Ponce & LeCun 2021, arXiv:2105.04906, eqs. 1-6. No negatives, no second encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.objectives.base import Embedder, mlp, wide
from sciml.objectives.contrastive import Augment, needs_views, two_views
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class VICRegConfig:
    """Weights of the three terms (the paper's lambda, mu, nu) and the expander."""

    invariance: Annotated[float, Range(min=0)] = 25.0
    """Weight of the squared distance between views."""
    variance: Annotated[float, Range(min=0)] = 25.0
    """Weight of the hinge that keeps each feature's deviation above 1."""
    covariance: Annotated[float, Range(min=0)] = 1.0
    """Weight of the squared off-diagonal covariances."""
    width: Annotated[int, Range(min=2)] = 512
    """Width of the space where views are compared."""


def variance_term(values: Tensor) -> Tensor:
    """mean over features of max(0, 1 - deviation) (eq. 1-2; [B, D] values)."""
    return F.relu(1 - (values.var(0) + 1e-4).sqrt()).mean()


def covariance_term(values: Tensor) -> Tensor:
    """Sum of squared off-diagonal covariances over D (eq. 3-4; [B, D] values)."""
    centred = values - values.mean(0)
    covariance = centred.T @ centred / (len(values) - 1)
    off = covariance - torch.diag(covariance.diagonal())
    return off.square().sum() / values.shape[1]


class VICReg(nn.Module):
    """Variance-invariance-covariance regularisation between two augmented views."""

    Config = VICRegConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: VICRegConfig | None = None,
        *,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.augment = needs_views(augment, "vicreg")
        width = self.config.width
        self.expander = mlp(trunk.dim, width, width, layers=3)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Losses of a raw batch of at least two graphs.

        Raises:
            InputError: a batch of one graph has no variance.
        """
        views = two_views(batch, self.augment)
        first, second = (
            wide(self.expander(self.trunk(self.embedder(view)).graph)) for view in views
        )
        if len(first) < 2:
            raise InputError(
                "VICReg needs at least two graphs in a batch, got 1", hint="Raise train.batch_size"
            )
        invariance = F.mse_loss(first, second)
        variance = variance_term(first) + variance_term(second)
        covariance = covariance_term(first) + covariance_term(second)
        config = self.config
        loss = (
            config.invariance * invariance
            + config.variance * variance
            + config.covariance * covariance
        )
        return {
            "loss": loss,
            "count": torch.full((), float(len(first)), device=first.device),
            "invariance": invariance.detach(),
            "variance": variance.detach(),
            "covariance": covariance.detach(),
        }
