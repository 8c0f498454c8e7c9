"""Symbolic regression: recovers known formulas, keeps scikit-learn's manners."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.symbolic import SymbolicRegressor


@pytest.mark.parametrize(
    ("name", "function"),
    [("polynomial", lambda x: x**4 + x**3 + x**2 + x), ("sine", lambda x: np.sin(x * x) * 3 + 1)],
)
def test_recovers(name: str, function) -> None:
    x = np.linspace(-1, 1, 40)[:, None]
    y = function(x[:, 0])
    model = SymbolicRegressor(seconds=8, random_state=1).fit(x, y)
    assert model.score(x, y) > 0.9999, name
    errors = [row["error"] for row in model.table()]
    assert errors == sorted(errors, reverse=True)


def test_outputs_agree() -> None:
    import sympy as sp

    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2, (60, 2))
    y = X[:, 0] * X[:, 1] / 3
    model = SymbolicRegressor(seconds=2).fit(X, y)
    formula = sp.lambdify(sp.symbols("x0 x1"), model.sympy())
    assert np.allclose(formula(*X.T), model.predict(X), atol=1e-6)
    assert model.latex()


def test_refuses() -> None:
    x = np.ones((5, 1))
    with pytest.raises(InputError, match="operator"):
        SymbolicRegressor(operators=("sine",)).fit(x, np.ones(5))
    with pytest.raises(InputError, match="seconds"):
        SymbolicRegressor(seconds=0).fit(x, np.ones(5))
    with pytest.raises(ValueError, match="NaN"):
        SymbolicRegressor().fit(np.full((5, 1), np.nan), np.ones(5))
    with pytest.raises(ValueError, match="features"):
        SymbolicRegressor(seconds=0.3).fit(np.arange(10.0)[:, None], np.arange(10.0)).predict(
            np.ones((3, 2))
        )
