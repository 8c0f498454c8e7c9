"""Symbolic regression: recovers known formulas, keeps scikit-learn's manners."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

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
    model = SymbolicRegressor(cpu_seconds=8, random_state=1).fit(x, y)
    assert model.score(x, y) > 0.9999, name
    errors = [row["error"] for row in model.table()]
    assert errors == sorted(errors, reverse=True)


def test_outputs_agree() -> None:
    import sympy as sp

    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2, (60, 2))
    y = X[:, 0] * X[:, 1] / 3
    model = SymbolicRegressor(cpu_seconds=2).fit(X, y)
    formula = sp.lambdify(sp.symbols("x0 x1"), model.sympy())
    assert np.allclose(formula(*X.T), model.predict(X), atol=1e-6)
    assert model.latex()


def test_refuses() -> None:
    x = np.ones((5, 1))
    with pytest.raises(InputError, match="operator"):
        SymbolicRegressor(operators=("sine",)).fit(x, np.ones(5))
    with pytest.raises(InputError, match="cpu_seconds"):
        SymbolicRegressor(cpu_seconds=0).fit(x, np.ones(5))
    with pytest.raises(ValueError, match="NaN"):
        SymbolicRegressor().fit(np.full((5, 1), np.nan), np.ones(5))
    with pytest.raises(ValueError, match="features"):
        SymbolicRegressor(cpu_seconds=0.3).fit(np.arange(10.0)[:, None], np.arange(10.0)).predict(
            np.ones((3, 2))
        )


def fitted(**settings) -> tuple[SymbolicRegressor, np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).uniform(0.5, 2, (60, 2))
    y = np.sin(X[:, 0]) / X[:, 1]
    return SymbolicRegressor(cpu_seconds=1, **settings).fit(X, y), X, y


def test_conventions_of_scikit_learn() -> None:
    """`clone` copies the settings alone; copies and pickles of a fitted one predict the same; it
    works as the last step of a pipeline."""
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, X, y = fitted(max_nodes=9, operators=("add", "mul", "div", "sin"))
    twin = clone(model)
    assert twin.get_params() == model.get_params() and twin.max_nodes == 9
    with pytest.raises(NotFittedError):
        twin.predict(X)
    assert twin.set_params(max_nodes=7).max_nodes == 7
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(same.predict(X), model.predict(X))
        assert same.expression() is model.expression()
    pipeline = make_pipeline(StandardScaler(), SymbolicRegressor(cpu_seconds=1))
    pipeline.set_params(symbolicregressor__population=50)
    assert pipeline.fit(X, y).score(X, y) > 0.5
    assert pickle.loads(pickle.dumps(pipeline)).score(X, y) == pipeline.score(X, y)


def test_the_former_name_of_a_setting() -> None:
    former: dict[str, Any] = {"seconds": 3}
    with pytest.warns(DeprecationWarning, match="now `cpu_seconds`"):
        assert SymbolicRegressor(**former).cpu_seconds == 3


def test_saved_as_text_and_read_back(tmp_path: Path) -> None:
    model, X, y = fitted(max_nodes=9)
    again = SymbolicRegressor.from_pretrained(model.save(tmp_path / "formula.json"))
    assert again.get_params() == model.get_params() and again.table() == model.table()
    assert np.array_equal(again.predict(X), model.predict(X)) and again.sympy() == model.sympy()
    with pytest.raises(ValueError, match="features"):
        again.predict(X[:, :1])
    saved = json.loads((tmp_path / "formula.json").read_text())
    damages: tuple[dict[str, Any], ...] = (
        {"table": [{**saved["table"][0], "tree": ["system", ["x", 0]]}]},
        {"table": [{**saved["table"][0], "tree": ["x", 2]}]},
        {"best": 99}, {"names": None}, {"kind": "jets"}, {"settings": {}},
    )  # fmt: skip
    for damage in damages:
        (tmp_path / "bad.json").write_text(json.dumps({**saved, **damage}))
        with pytest.raises(InputError, match="no fitted regressor"):
            SymbolicRegressor.from_pretrained(tmp_path / "bad.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="no fitted regressor"):
        SymbolicRegressor.from_pretrained(tmp_path / "deep.json")
