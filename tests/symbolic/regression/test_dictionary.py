"""What a dictionary finds at once, and what it leaves to the search."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.symbolic.regression import dictionary
from sciml.symbolic.regression.formula import DEFAULT_OPERATORS, evaluate, with_best_scale

UNARY = [name for name in DEFAULT_OPERATORS if name not in ("add", "sub", "mul", "div")]
BINARY = ["add", "sub", "mul", "div"]


def best(X: np.ndarray, y: np.ndarray, unary=UNARY, binary=BINARY) -> float:
    """The smallest share of the variance that a candidate leaves."""
    with np.errstate(all="ignore"):
        errors = [
            with_best_scale(t, X, y).error for t in dictionary.candidates(X, y, unary, binary)
        ]
    return min(errors, default=np.inf) / np.var(y)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: np.sin(a) + 3 * np.cos(b * b),
        lambda a, b: a * np.exp(b) - 2 / a,
        lambda a, b: 1 / (1 / a + 2 / b),
        lambda a, b: np.sqrt(a * a + 4 * b * b),
        lambda a, b: np.exp(-a / 2 + np.sin(b)),
        lambda a, b: -7 * a**3 / np.sqrt(b),
        lambda a, b: a + b * b + np.log(a + 1),
    ],
)
def test_exact_formulas(function) -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    assert best(X, function(*X.T)) < 1e-18


def test_only_the_operators_allowed() -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    y = np.sin(X[:, 0]) + X[:, 1]
    for tree in dictionary.candidates(X, y, ["cos"], ["add", "mul"]):
        assert not set("sin exp log sqrt square div sub".split()) & set(str(tree).split("'"))
        assert evaluate(tree, X).shape == (60,)
    assert dictionary.candidates(X, y, ["sin"], ["mul"]) == []


def test_noise_alone_is_not_explained() -> None:
    rng = np.random.default_rng(1)
    assert best(rng.uniform(0.5, 2, (300, 2)), rng.normal(size=300)) > 0.8
    assert best(np.ones((10, 1)), np.arange(10.0)) == np.inf
