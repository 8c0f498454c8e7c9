"""How sure a tagger is of its own weights: the spread of an ensemble, and Laplace's approximation.

Calibration says how often a class probability is right on jets like those it was measured on. On
other jets (another detector, another shower) the spread over networks that learned the same may
tell that none of them knows. `benchmarks/jets_uncertainty.py` measures where it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml.errors import InputError

PRECISIONS = tuple(10.0 ** (k / 2) for k in range(-8, 9))
"""Precisions of the prior that `LastLayerLaplace.fit` chooses from."""


def ensemble(
    probabilities: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean prediction, and how much the members disagree.

    Lakshminarayanan, Pritzel, Blundell 2017 (arXiv:1612.01474). The disagreement is the mutual
    information of class and member, in nats: entropy of the mean less mean of the entropies; zero
    where all members say the same, however unsure they are.

    Args:
        probabilities: [members, n, classes].

    Returns:
        probabilities [n, classes] and disagreement [n].

    Raises:
        InputError: fewer than two members.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 3 or len(values) < 2:
        raise InputError(
            f"an ensemble needs probabilities [members >= 2, n, classes], got {values.shape}"
        )
    mean = values.mean(0)
    return mean, np.maximum(_entropy(mean) - _entropy(values).mean(0), 0.0)


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return -(p * np.log(np.maximum(p, 1e-30))).sum(-1)


@dataclass(frozen=True)
class LastLayerLaplace:
    """Normal posterior of a classifier's last linear layer, the layers before it held fixed.

    MacKay 1992; Kristiadi, Hein, Hennig 2020 (arXiv:2002.10118); Daxberger et al. 2021
    (arXiv:2106.14806). The precision is that of the prior plus the sum over training jets of
    (diag(p) - p p^T) (x) phi phi^T, where phi are the features and 1.

    Attributes:
        weight: [classes, d + 1] of the layer, the bias last.
        covariance: [classes, classes, d + 1, d + 1] of the posterior.
        precision: of the prior.
    """

    weight: Tensor
    covariance: Tensor
    precision: float

    @classmethod
    def fit(
        cls, features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor,
        precision: float | None = None,
    ) -> LastLayerLaplace:  # fmt: skip
        """The posterior about trained weights.

        Args:
            features: [n, d] of the training jets, the inputs of the layer.
            labels: [n] int64, their classes.
            weight, bias: [classes, d], [classes] of the layer.
            precision: of the prior; None: that of `PRECISIONS` with the largest evidence.

        Raises:
            InputError: features and weights of different widths.
        """
        if features.ndim != 2 or features.shape[1] != weight.shape[1]:
            raise InputError(
                f"features must be [n, {weight.shape[1]}] as the layer's, got {[*features.shape]}"
            )
        theta = torch.cat([weight, bias[:, None]], 1).detach().double()
        phi = _with_one(features)
        log_p = (phi @ theta.T).log_softmax(-1)
        p = log_p.exp()
        classes, width = theta.shape
        hessian = torch.zeros(classes, width, classes, width, dtype=torch.float64)
        for k in range(classes):
            for other in range(classes):
                curvature = p[:, k] * (float(k == other) - p[:, other])
                hessian[k, :, other] = phi.T @ (curvature[:, None] * phi)
        values, vectors = torch.linalg.eigh(hessian.reshape(classes * width, -1))
        values = values.clamp(min=0)
        likelihood = float(log_p.gather(1, labels.long()[:, None]).sum())

        def evidence(tau: float) -> float:
            prior = -0.5 * tau * float(theta.square().sum()) + 0.5 * len(values) * math.log(tau)
            return likelihood + prior - 0.5 * float((values + tau).log().sum())

        tau = max(PRECISIONS, key=evidence) if precision is None else precision
        covariance = (vectors / (values + tau)) @ vectors.T
        covariance = covariance.reshape(classes, width, classes, width).transpose(1, 2)
        return cls(theta, covariance, tau)

    def members(self, features: Tensor, count: int = 100, seed: int = 0) -> NDArray[np.float64]:
        """Predictions [count, n, classes] of layers drawn from the posterior, as `ensemble` takes.

        Args:
            features: [n, d].
            count: layers.
            seed: of the draws.
        """
        classes, width = self.weight.shape
        covariance = self.covariance.transpose(1, 2).reshape(classes * width, -1)
        values, vectors = torch.linalg.eigh(covariance)
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, len(values), generator=random, dtype=torch.float64)
        layers = self.weight + (noise * values.clamp(min=0).sqrt() @ vectors.T).view(
            count, classes, width
        )
        logits = torch.einsum("nd,mkd->mnk", _with_one(features), layers)
        return logits.softmax(-1).numpy()


def _with_one(features: Tensor) -> Tensor:
    features = features.detach().double()
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
