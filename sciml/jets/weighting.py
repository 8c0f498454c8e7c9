"""Weights of jets: checked, and how many jets a weighted sample counts for.

A jet of weight 2 counts as two jets in every value of `sciml.jets.metrics`. Errors and limits do
not: they come from the jets that there are, so a weighted sample counts as (sum w)^2 / sum w^2 jets
(Kish 1965, "Survey Sampling"), and weights that are all alike change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError


def checked(weights: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights of jets as float64 [n].

    Args:
        weights: [n] >= 0; None for weights of 1.
        shape: of the array of jets, whose first axis is n.

    Raises:
        InputError: another shape, a weight that is negative or not finite, or zeros alone.
    """
    if weights is None:
        return np.ones(shape[:1])
    weights = np.asarray(weights, np.float64)
    if weights.shape != shape[:1]:
        raise InputError(f"weights {weights.shape} must have the shape {shape[:1]}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        jet = int(np.argmax(bad))
        raise InputError(
            f"the weight of jet {jet} is {weights[jet]}, not a number >= 0",
            hint="A sample with negative weights has to be reweighted to positive ones first",
        )
    if len(weights) and not weights.any():
        raise InputError("all weights are 0")
    return weights


def effective(weights: NDArray[np.float64]) -> float:
    """Number of jets of weight 1 that a weighted sample counts for."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0
