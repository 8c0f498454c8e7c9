"""Symbolic regression: a formula from data, with scikit-learn's interface.

Evolution of expression trees with linear scaling (`formula`, `evolution`) and a local search round
the best formula of every complexity. A model that proposes skeletons from the points can seed the
population. The result is a table of the best formula for every complexity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sciml.errors import InputError, unknown
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.regression.evolution import Evolution
from sciml.symbolic.regression.formula import (
    BAD,
    BINARY,
    DEFAULT,
    UNARY,
    Array,
    Formula,
    Tree,
    to_expr,
)


class SymbolicRegressor(RegressorMixin, BaseEstimator):
    """Find a formula y = f(x_0, x_1, ...).

    Args:
        operators: names of the operators that formulas may use.
        seconds: CPU seconds of search.
        max_nodes: largest formula [nodes].
        population: trees a generation.
        parsimony: how much relative error a node must save to be kept in `best_` (0.01 = 1 %).
        proposals: optional function (X, y) -> trees to start from, such as a trained model's
            (`skeletons.SkeletonModel.proposals`).
        random_state: seed.

    Attributes:
        table_: list of `Formula`, the best of each complexity that improves on all simpler ones.
        best_: the chosen `Formula`.
    """

    def __init__(
        self, operators: Sequence[str] = DEFAULT, seconds: float = 10.0, max_nodes: int = 30,
        population: int = 400, parsimony: float = 0.01,
        proposals: Callable[[Array, Array], list[Tree]] | None = None, random_state: int = 0,
    ) -> None:  # fmt: skip
        self.operators, self.seconds, self.max_nodes = operators, seconds, max_nodes
        self.population, self.parsimony = population, parsimony
        self.proposals, self.random_state = proposals, random_state

    def fit(self, X: Any, y: Any) -> SymbolicRegressor:
        """Search for formulas.

        Raises:
            InputError: for operators or settings that are not possible.
            ValueError: from scikit-learn's checks of X and y (shapes, nan, inf).
        """
        for name in self.operators:
            if name not in UNARY and name not in BINARY:
                raise unknown("operator", name, [*UNARY, *BINARY])
        if not 0 < self.seconds <= 86_400:
            raise InputError(f"`seconds` must be positive, at most a day, got {self.seconds}")
        if not 1 <= self.max_nodes <= 200 or self.population < 10:
            raise InputError("`max_nodes` must be 1 to 200 and `population` at least 10")
        if hasattr(X, "columns"):
            self.names_ = tuple(str(c) for c in X.columns)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if not hasattr(self, "names_") or len(self.names_) != X.shape[1]:
            self.names_ = tuple(f"x{i}" for i in range(X.shape[1])) if X.shape[1] > 1 else ("x",)
        y = np.asarray(y, np.float64)
        search = Evolution(
            X, y, self.operators, self.random_state, self.seconds, self.population, self.max_nodes
        )
        with np.errstate(all="ignore"):
            search.run(self.proposals(X, y) if self.proposals else [])
            for formula in list(search.archive.values()):
                search.refine(formula)
        table: list[Formula] = []
        for _, formula in sorted(search.archive.items()):
            if formula.error < (table[-1].error if table else BAD):
                table.append(formula)
        if not table:
            raise InputError("no formula is defined on all of these points")
        self.table_ = table
        scale = max(float(np.var(y)), 1e-300)
        self.best_ = min(
            table,
            key=lambda f: math.log(f.error / scale + 1e-15) + f.complexity * self.parsimony * 5,
        )
        return self

    def predict(self, X: Any) -> Array:
        """The chosen formula's values."""
        check_is_fitted(self)
        return self.best_.predict(validate_data(self, X, reset=False, dtype=np.float64))

    def expression(self, formula: Formula | None = None) -> Expr:
        """The chosen (or the given) formula as this package's expression."""
        check_is_fitted(self)
        return to_expr((formula or self.best_).whole(), self.names_)

    def sympy(self, formula: Formula | None = None) -> Any:
        """The formula as a SymPy expression in symbols named as the columns."""
        from sciml.symbolic.expr.printing import to_sympy

        return to_sympy(self.expression(formula))

    def latex(self, formula: Formula | None = None) -> str:
        """The formula in LaTeX."""
        import sympy

        return str(sympy.latex(self.sympy(formula)))

    def table(self) -> list[dict[str, Any]]:
        """Complexity, mean squared error and text of the best formulas."""
        check_is_fitted(self)
        return [
            {"complexity": f.complexity, "error": f.error, "formula": str(self.expression(f))}
            for f in self.table_
        ]
