"""How unlike known jets a jet is, from the features of a trained trunk.

Lee, Lee, Lee, Shin 2018, "A simple unified framework for detecting out-of-distribution samples and
adversarial attacks", arXiv:1807.03888: the squared Mahalanobis distance to the nearest class, of
normal distributions with one covariance. Without labels there is one class, and the score is the
log-density of a normal distribution but for a constant. `relative` takes off the distance to the
normal distribution of all jets together (Ren et al. 2021, arXiv:2106.09022), so that directions
which tell no class do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError


@dataclass(frozen=True)
class Mahalanobis:
    """Normal distributions of features.

    Attributes:
        means: [classes, d].
        precision: [d, d] inverse of their common covariance.
        mean, total: [d] and [d, d], the same of all jets together.
    """

    means: NDArray[np.float64]
    precision: NDArray[np.float64]
    mean: NDArray[np.float64]
    total: NDArray[np.float64]

    @classmethod
    def fit(
        cls, features: NDArray[np.floating], labels: NDArray[np.integer] | None = None
    ) -> Mahalanobis:
        """From the features [n, d] of known jets, and their classes [n] if there are any.

        Correlations are shrunk as Ledoit and Wolf (2004) say.

        Raises:
            InputError: fewer than two jets, or features that are not finite.
        """
        x = np.asarray(features, np.float64)
        if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
            raise InputError(f"features must be finite, [n >= 2, d], got {x.shape}")
        names = np.zeros(len(x), np.int64) if labels is None else np.asarray(labels)
        if len(names) != len(x):
            raise InputError(f"{len(x)} jets need as many labels, got {len(names)}")
        known, index = np.unique(names, return_inverse=True)
        means = np.stack([x[index == k].mean(0) for k in range(len(known))])
        return cls(means, _precision(x - means[index]), x.mean(0), _precision(x - x.mean(0)))

    def score(
        self, features: NDArray[np.floating], *, relative: bool = False
    ) -> NDArray[np.float64]:
        """Squared distance [n] of features [n, d] to the nearest class; larger: less known.

        Args:
            features: of any jets.
            relative: less the squared distance to all jets together.
        """
        x = np.asarray(features, np.float64)
        nearest = np.min([_square(x - mean, self.precision) for mean in self.means], axis=0)
        return nearest - _square(x - self.mean, self.total) if relative else nearest


def _precision(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse covariance of centred x [n, d], whatever the units of its columns."""
    from sklearn.covariance import ledoit_wolf

    deviation = np.maximum(x.std(0), 1e-12 * max(1.0, float(np.abs(x).max(initial=0))))
    correlation, _ = ledoit_wolf(x / deviation, assume_centered=True)
    return np.linalg.pinv(correlation) / np.outer(deviation, deviation)


def _square(x: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("na,ab,nb->n", x, precision, x)
