"""The mass of a jet with its uncertainty: a point estimate and quantiles on any trunk.

Masses are learned as ln(m / 100 GeV), so that errors are relative. The point estimate minimises
the Huber loss, the quantiles the pinball loss (Koenker and Bassett 1978); predicted quantiles are
sorted, since nothing else keeps them from crossing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.objectives.base import wide

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.data.sample import JetSample
    from sciml.objectives.base import Embedder
    from sciml.trunks.base import Trunk

UNIT = 100.0
"""GeV; the network predicts the logarithm of the mass in this unit."""
MIN_MASS = 1.0
"""GeV; smaller masses count as this."""


def names(levels: Sequence[float]) -> tuple[str, ...]:
    """Names of the outputs: `mass`, then `mass_16` and so on for each quantile."""
    return ("mass", *(f"mass_{100 * level:g}" for level in levels))


def masses(outputs: Tensor) -> Tensor:
    """Network outputs [B, 1 + quantiles] -> GeV, the quantiles ascending."""
    ordered = torch.cat([outputs[:, :1], outputs[:, 1:].sort(1).values], 1)
    return UNIT * ordered.clamp(-20, 20).exp()


class MassRegression(nn.Module):
    """Trunk and a linear head to the mass and its quantiles.

    Args:
        trunk, embedder: raw batch -> a vector per jet.
        levels: probabilities of the quantiles, ascending.
    """

    def __init__(self, trunk: Trunk, embedder: Embedder, levels: Sequence[float]) -> None:
        super().__init__()
        if not levels or list(levels) != sorted(levels) or not 0 < levels[0] <= levels[-1] < 1:
            raise InputError(f"quantiles must ascend within (0, 1), got {list(levels)}")
        self.trunk, self.embedder = trunk, embedder
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.head = nn.Linear(trunk.dim, 1 + len(levels))

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Losses of a raw batch with `y` [B], the true mass [GeV]."""
        outputs = wide(self.head(self.trunk(self.embedder(batch)).graph))
        target = (batch.y.clamp(min=MIN_MASS) / UNIT).log()
        miss = target[:, None] - outputs[:, 1:]
        levels: Any = self.levels
        pinball = torch.maximum(levels * miss, (levels - 1) * miss).mean()
        point = F.smooth_l1_loss(outputs[:, 0], target, beta=0.1)
        error = (outputs[:, 0] - target).abs().median().detach()
        count = torch.full((), float(len(target)), device=target.device)
        return {"loss": point + pinball, "count": count, "median_relative_error": error}


class MassSample:
    """Jets with a mass as the label `y`.

    Args:
        sample: jets.
        mass: [len(sample)] GeV.
    """

    def __init__(self, sample: JetSample, mass: np.ndarray) -> None:
        self.sample, self.mass = sample, torch.as_tensor(mass, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.sample[index] | {"y": self.mass[index]}


def quality(predicted: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> dict[str, float]:
    """Bias, resolution and coverage of predicted masses [n, 1 + quantiles] in GeV.

    Returns:
        `bias` and `resolution`, the median and half the central 68 % of predicted / true - 1, and
        `coverage_<level in %>`, the share of jets below each quantile.
    """
    ratio = predicted[:, 0] / np.maximum(truth, MIN_MASS) - 1
    low, middle, high = np.percentile(ratio, [16, 50, 84])
    covered = {
        f"coverage_{100 * level:g}": float((truth <= predicted[:, 1 + index]).mean())
        for index, level in enumerate(levels)
    }
    return {"bias": float(middle), "resolution": float(high - low) / 2, **covered}
