"""Symbolic regression: a formula from data, with scikit-learn's interface.

Genetic programming with linear scaling (`evolution`, `formula`). A model that proposes skeletons
from the points can seed the first population (`neural.skeletons`). The result is the Pareto front:
the best formula of every complexity that improves on all simpler ones.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sciml.errors import InputError, unknown
from sciml.files.jsons import dumps
from sciml.paths import atomic_write, existing_file
from sciml.renamed import renamed
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.regression.evolution import Evolution
from sciml.symbolic.regression.formula import (
    BINARY,
    DEFAULT_OPERATORS,
    UNARY,
    UNDEFINED,
    Array,
    Formula,
    Tree,
    to_expr,
    tree_from_json,
)


class SymbolicRegressor(RegressorMixin, BaseEstimator):
    """Find a formula y = f(x_0, x_1, ...).

    Args:
        operators: names of the operators that formulas may use.
        cpu_seconds: CPU time of the search.
        max_nodes: largest formula [nodes].
        population: trees per generation.
        parsimony: relative reduction of the error that each further node must bring for a formula
            to be chosen as `best_` (0.01 = 1 %).
        proposals: optional function (X, y) -> trees for the first population, such as a trained
            model's (`sciml.symbolic.SkeletonModel.proposals`).
        random_state: seed.

    Attributes:
        table_: list of `Formula`, the best of each complexity that improves on all simpler ones.
        best_: the chosen `Formula`.
        names_: names of the columns of X, which are the symbols of the formulas.
    """

    @renamed(seconds="cpu_seconds")
    def __init__(
        self, operators: Sequence[str] = DEFAULT_OPERATORS, cpu_seconds: float = 10.0,
        max_nodes: int = 30, population: int = 400, parsimony: float = 0.01,
        proposals: Callable[[Array, Array], list[Tree]] | None = None, random_state: int = 0,
    ) -> None:  # fmt: skip
        self.operators, self.cpu_seconds, self.max_nodes = operators, cpu_seconds, max_nodes
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
        if not 0 < self.cpu_seconds <= 86_400:
            raise InputError(
                f"`cpu_seconds` must be positive, at most a day, got {self.cpu_seconds}"
            )
        if not 1 <= self.max_nodes <= 200 or self.population < 10:
            raise InputError("`max_nodes` must be 1 to 200 and `population` at least 10")
        if hasattr(X, "columns"):
            self.names_ = tuple(str(c) for c in X.columns)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if not hasattr(self, "names_") or len(self.names_) != X.shape[1]:
            self.names_ = tuple(f"x{i}" for i in range(X.shape[1])) if X.shape[1] > 1 else ("x",)
        y = np.asarray(y, np.float64)
        search = Evolution(
            X, y, self.operators, self.random_state, self.cpu_seconds, self.population,
            self.max_nodes,
        )  # fmt: skip
        with np.errstate(all="ignore"):
            search.run(self.proposals(X, y) if self.proposals else [])
            for formula in list(search.archive.values()):
                search.refine(formula)
        table: list[Formula] = []
        for _, formula in sorted(search.archive.items()):
            if formula.error < (table[-1].error if table else UNDEFINED):
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
        """[n] values of the chosen formula."""
        check_is_fitted(self)
        return self.best_.predict(validate_data(self, X, reset=False, dtype=np.float64))

    def expression(self, formula: Formula | None = None) -> Expr:
        """A formula of `table_`, by default the chosen one, as this package's expression."""
        check_is_fitted(self)
        return to_expr((formula or self.best_).scaled_tree(), self.names_)

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

    # ------------------------------------------------------------------ disk
    _SETTINGS: ClassVar[tuple[str, ...]] = (
        "operators", "cpu_seconds", "max_nodes", "population", "parsimony", "random_state",
    )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write settings and formulas as JSON; `proposals`, which is code, is left out."""
        check_is_fitted(self)
        out = {
            "kind": "symbolic regression",
            "settings": {name: getattr(self, name) for name in self._SETTINGS},
            "names": self.names_,
            "named_columns": hasattr(self, "feature_names_in_"),
            "table": [asdict(formula) for formula in self.table_],
            "best": self.table_.index(self.best_),
        }
        with atomic_write(path) as part:
            part.write_text(dumps(out, indent=1) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> SymbolicRegressor:
        """Read what `save` wrote; nothing in the file is run.

        Raises:
            InputError: for a file that holds no fitted regressor.
        """
        file = existing_file(path, "file of formulas")
        try:
            saved = json.loads(file.read_text("utf-8"))
            if saved["kind"] != "symbolic regression":
                raise ValueError(f"it holds {saved['kind']}")
            names = tuple(str(name) for name in saved["names"])
            table = [
                Formula(tree_from_json(row["tree"], len(names)), float(row["offset"]),
                        float(row["slope"]), float(row["error"]), int(row["complexity"]))
                for row in saved["table"]
            ]  # fmt: skip
            model = cls(**{name: saved["settings"][name] for name in cls._SETTINGS})
            model.table_, model.best_ = table, table[saved["best"]]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise InputError(f"holds no fitted regressor ({error})"[:300], where=file) from None
        model.operators = tuple(model.operators)
        model.names_, model.n_features_in_ = names, len(names)
        if saved.get("named_columns"):
            model.feature_names_in_ = np.array(names, dtype=object)
        return model
