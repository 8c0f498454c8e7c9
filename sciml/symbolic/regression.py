"""Symbolic regression: a formula from data, with scikit-learn's interface.

Evolution of expression trees with linear scaling (Keijzer 2003: the best a + b f is found in closed
form for every tree, so that the search looks for shape only), constants by Levenberg-Marquardt, and
a local search round the best formula of every complexity. A model that proposes skeletons from the
points can seed the population. The result is a table of the best formula for every complexity.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sciml.errors import InputError, unknown
from sciml.symbolic import expression as ex
from sciml.symbolic.expression import Expr

Tree = tuple
"""("x", i), ("c", value) or (operator, child, ...)."""
Array = np.ndarray
_UNARY: dict[str, Callable[[Array], Array]] = {
    "sin": np.sin, "cos": np.cos, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "tan": np.tan, "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "abs": np.abs,
    "square": np.square, "cube": lambda v: v * v * v, "inv": lambda v: 1.0 / v, "neg": np.negative,
}  # fmt: skip
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "pow": np.power,
}  # fmt: skip
DEFAULT = ("add", "sub", "mul", "div", "sin", "cos", "exp", "log", "sqrt", "square")
_BAD = math.inf


def nodes(tree: Tree) -> int:
    """The number of nodes."""
    if tree[0] in ("x", "c"):
        return 1
    return 1 + sum(nodes(child) for child in tree[1:])


def evaluate(tree: Tree, X: Array) -> Array:
    """[n] values of a tree at the rows of X; nan or inf where it is not defined."""
    kind = tree[0]
    if kind == "x":
        return X[:, tree[1]]
    if kind == "c":
        return np.full(len(X), tree[1])
    if kind in _BINARY:
        return _BINARY[kind](evaluate(tree[1], X), evaluate(tree[2], X))
    return _UNARY[kind](evaluate(tree[1], X))


def to_expr(tree: Tree, names: Sequence[str]) -> Expr:
    """The tree as an expression, constants as the simplest fractions within 1e-10."""
    kind = tree[0]
    if kind == "x":
        return ex.symbol(names[tree[1]])
    if kind == "c":
        return ex.number(Fraction(float(tree[1])).limit_denominator(10**9))
    inside = [to_expr(child, names) for child in tree[1:]]
    if kind == "add":
        return inside[0] + inside[1]
    if kind == "sub":
        return inside[0] - inside[1]
    if kind == "mul":
        return inside[0] * inside[1]
    if kind == "div":
        return inside[0] / inside[1]
    if kind == "pow":
        return inside[0] ** inside[1]
    if kind in ("square", "cube", "inv", "neg"):
        if kind == "neg":
            return -inside[0]
        return inside[0] ** {"square": 2, "cube": 3, "inv": -1}[kind]
    return ex.sqrt(inside[0]) if kind == "sqrt" else ex.call(kind, inside[0])


@dataclass(frozen=True)
class Formula:
    """One row of the table: a + b * tree."""

    tree: Tree
    offset: float
    slope: float
    error: float
    complexity: int

    def predict(self, X: Array) -> Array:
        with np.errstate(all="ignore"):
            return self.offset + self.slope * evaluate(self.tree, X)

    def whole(self) -> Tree:
        """The tree with its scaling written out."""
        out = self.tree
        if abs(self.slope - 1) > 1e-12:
            out = ("mul", ("c", self.slope), out)
        return out if abs(self.offset) < 1e-12 else ("add", ("c", self.offset), out)


def _scaled(tree: Tree, X: Array, y: Array) -> Formula:
    """The best offset and slope for a tree, and the mean squared error they leave."""
    size = nodes(tree)
    with np.errstate(all="ignore"):
        f = evaluate(tree, X)
        if not np.isfinite(f).all():
            return Formula(tree, 0.0, 0.0, _BAD, size)
        centre = f.mean()
        spread = f - centre
        power = float(spread @ spread)
        if not np.isfinite(power) or power < 1e-300 or np.abs(f).max() > 1e12:
            slope = 0.0
        else:
            slope = float(spread @ (y - y.mean())) / power
        offset = float(y.mean()) - slope * float(centre)
        rest = y - offset - slope * f
        error = float(rest @ rest) / len(y)
    return Formula(tree, offset, slope, error if np.isfinite(error) else _BAD, size)


class _Evolution:
    """The search: a population, an archive of the best for each complexity, the clock."""

    def __init__(
        self, X: Array, y: Array, operators: Sequence[str], seed: int, seconds: float,
        population: int, nodes_most: int,
    ) -> None:  # fmt: skip
        self.X, self.y = X, y
        self.rng = np.random.default_rng(seed)
        self.unary = [o for o in operators if o in _UNARY]
        self.binary = [o for o in operators if o in _BINARY]
        self.end = time.process_time() + seconds
        self.size, self.most = population, nodes_most
        self.archive: dict[int, Formula] = {}
        self.floor = 1e-28 * max(float(np.var(y)), 1e-300)
        self.seen: dict[Tree, Formula] = {}

    def left(self) -> float:
        return self.end - time.process_time()

    def random(self, depth: int) -> Tree:
        r = self.rng.random()
        if depth == 0 or r < 0.25:
            if self.rng.random() < 0.75:
                return ("x", int(self.rng.integers(self.X.shape[1])))
            return ("c", float(np.round(self.rng.normal(0, 2), 2)))
        if self.unary and (r < 0.5 or not self.binary):
            return (self._pick(self.unary), self.random(depth - 1))
        return (self._pick(self.binary), self.random(depth - 1), self.random(depth - 1))

    def _pick(self, items: list[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def score(self, tree: Tree) -> Formula:
        known = self.seen.get(tree)
        if known is None:
            known = _scaled(tree, self.X, self.y)
            if len(self.seen) > 200_000:
                self.seen.clear()
            self.seen[tree] = known
            best = self.archive.get(known.complexity)
            if best is None or known.error < best.error:
                self.archive[known.complexity] = known
        return known

    def solved(self) -> bool:
        return any(f.error <= self.floor for f in self.archive.values())

    def _places(self, tree: Tree, at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
        out = [at]
        if tree[0] not in ("x", "c"):
            for i, child in enumerate(tree[1:], 1):
                out += self._places(child, (*at, i))
        return out

    def _get(self, tree: Tree, at: tuple[int, ...]) -> Tree:
        for i in at:
            tree = tree[i]
        return tree

    def _put(self, tree: Tree, at: tuple[int, ...], new: Tree) -> Tree:
        if not at:
            return new
        i = at[0]
        return (*tree[:i], self._put(tree[i], at[1:], new), *tree[i + 1 :])

    def mutate(self, tree: Tree) -> Tree:
        places = self._places(tree)
        at = places[int(self.rng.integers(len(places)))]
        old = self._get(tree, at)
        r = self.rng.random()
        if r < 0.25 and old[0] == "c":
            value = old[1] * self.rng.normal(1, 0.3) + self.rng.normal(0, 0.1)
            new: Tree = ("c", float(value))
        elif r < 0.45 and old[0] in self.unary and len(self.unary) > 1:
            new = (self._pick(self.unary), old[1])
        elif r < 0.45 and old[0] in self.binary:
            new = (self._pick(self.binary), old[1], old[2])
        elif r < 0.65 and old[0] not in ("x", "c"):
            new = old[1 + int(self.rng.integers(len(old) - 1))]
        elif r < 0.8 and self.binary:
            new = (self._pick(self.binary), old, self.random(1))
        elif r < 0.9 and self.unary:
            new = (self._pick(self.unary), old)
        else:
            new = self.random(int(self.rng.integers(1, 3)))
        return self._put(tree, at, new)

    def cross(self, a: Tree, b: Tree) -> Tree:
        pa, pb = self._places(a), self._places(b)
        return self._put(
            a, pa[int(self.rng.integers(len(pa)))],
            self._get(b, pb[int(self.rng.integers(len(pb)))]),
        )  # fmt: skip

    def _tournament(self, population: list[Formula]) -> Formula:
        picks = self.rng.integers(len(population), size=4)
        return min((population[i] for i in picks), key=lambda f: f.error * 1.01**f.complexity)

    def _powers(self, exponents: tuple[int, ...]) -> Tree:
        out: Tree | None = None
        for i, e in enumerate(exponents):
            if e:
                power = self._power(("x", i), e)
                out = power if out is None else ("mul", out, power)
        return out or ("c", 1.0)

    def _power(self, x: Tree, e: int) -> Tree:
        """x to the e in as few nodes as squares allow."""
        if e == 1:
            return x
        if e % 2 == 0 and "square" in self.unary:
            return ("square", self._power(x, e // 2))
        return ("mul", x, self._power(x, e - 1))

    def sparse_sums(self) -> list[Tree]:
        """Sums of few monomials and single functions, by least squares whose small terms are
        dropped again and again (Brunton et al. 2016, arXiv:1509.03580)."""
        if not {"add", "mul"} <= set(self.binary):
            return []
        width = self.X.shape[1]
        most = {1: 6, 2: 4, 3: 3}.get(width, 2 if width < 12 else 1)
        powers = [
            e for e in itertools.product(range(most + 1), repeat=width) if 1 <= sum(e) <= most
        ]
        monomials = [self._powers(e) for e in powers]
        extra = [[], *([(u, ("x", i)) for i in range(width)] for u in self.unary)]
        out: list[Tree] = []
        for more in extra:
            library = monomials + more
            with np.errstate(all="ignore"):
                columns = [evaluate(t, self.X) for t in library]
            kept = [i for i, c in enumerate(columns) if np.isfinite(c).all() and np.ptp(c) > 0]
            if len(kept) + 1 >= len(self.y) or self.left() < 0:
                continue
            for threshold in (1e-7, 1e-3, 0.03, 0.2):
                tree = self._thresholded(library, columns, list(kept), threshold)
                if tree is not None:
                    out.append(tree)
        return out

    def _thresholded(
        self, library: list[Tree], columns: list[Array], active: list[int], threshold: float
    ) -> Tree | None:
        while active:
            matrix = np.stack([columns[i] for i in active] + [np.ones(len(self.y))], 1)
            values = np.linalg.lstsq(matrix, self.y, rcond=None)[0][:-1]
            weight = np.abs(values) * np.array([np.std(columns[i]) for i in active])
            small = weight < threshold * weight.max()
            if not small.any():
                break
            active = [i for i, drop in zip(active, small, strict=True) if not drop]
        if not active:
            return None
        tree: Tree | None = None
        for i, value in zip(active, values, strict=True):
            near = float(Fraction(float(value)).limit_denominator(60))
            value = near if abs(near - value) < 1e-7 * max(1.0, abs(value)) else float(value)
            term = library[i] if value == 1.0 else ("mul", ("c", value), library[i])
            tree = term if tree is None else ("add", tree, term)
        return tree

    def run(self, start: list[Tree]) -> None:
        """Search until the time is over or a formula is exact."""
        from sciml.symbolic import dictionary

        found = self.sparse_sums() + dictionary.seeds(self.X, self.y, self.unary, self.binary)
        trees = [t for t in start + found if nodes(t) <= self.most]
        trees += [("x", i) for i in range(self.X.shape[1])]
        trees += [self.random(3) for _ in range(self.size - min(len(trees), self.size))]
        for tree in start:  # constants of what was proposed are not yet fitted
            spots = [at for at in self._places(tree) if self._get(tree, at)[0] == "c"]
            for turn in range(5 if spots else 1):
                if self.left() < 0 or nodes(tree) > self.most or self.solved():
                    break
                for at in spots if turn else ():
                    tree = self._put(tree, at, ("c", float(self.rng.normal(0, 2))))
                self.refine(self.score(tree))
        population = [self.score(t) for t in trees if nodes(t) <= self.most]
        turn = 0
        while self.left() > 0 and not self.solved():
            turn += 1
            elite = sorted(self.archive.values(), key=lambda f: f.error)[: self.size // 20]
            children = list(elite)
            while len(children) < self.size and self.left() > 0:
                first = self._tournament(population).tree
                if self.rng.random() < 0.5:
                    tree = self.cross(first, self._tournament(population).tree)
                else:
                    tree = self.mutate(first)
                if nodes(tree) <= self.most:
                    children.append(self.score(tree))
            population = children
            if turn % 4 == 0:
                for formula in sorted(self.archive.values(), key=lambda f: f.error)[:4]:
                    if self.left() > 0:
                        self.refine(formula)
            if turn % 60 == 0:  # a fresh population keeps the archive
                population = [self.score(self.random(3)) for _ in range(self.size)] + elite

    def refine(self, formula: Formula) -> Formula:
        """Constants by Levenberg-Marquardt, then snapped to simple numbers where that is free."""
        from scipy.optimize import least_squares

        tree = formula.tree
        spots = [at for at in self._places(tree) if self._get(tree, at)[0] == "c"]
        if not 0 < len(spots) <= 6:
            return formula

        def with_values(values: Array) -> Tree:
            out = tree
            for at, v in zip(spots, values, strict=True):
                out = self._put(out, at, ("c", float(v)))
            return out

        def residual(values: Array) -> Array:
            scaled = _scaled(with_values(values), self.X, self.y)
            if scaled.error == _BAD:
                return np.full(len(self.y), 1e6)
            return self.y - scaled.predict(self.X)

        begin = np.array([self._get(tree, at)[1] for at in spots])
        found = least_squares(residual, begin, max_nfev=40 * len(spots))
        best = self.score(with_values(found.x))
        snapped = found.x.copy()
        for i in range(len(snapped)):
            near = float(Fraction(float(snapped[i])).limit_denominator(12))
            if abs(near - snapped[i]) < 1e-3 * max(1.0, abs(near)):
                tried = snapped.copy()
                tried[i] = near
                scored = self.score(with_values(tried))
                if scored.error <= best.error * (1 + 1e-6) + self.floor:
                    snapped, best = tried, scored
        return best


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
            if name not in _UNARY and name not in _BINARY:
                raise unknown("operator", name, [*_UNARY, *_BINARY])
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
        search = _Evolution(
            X, y, self.operators, self.random_state, self.seconds, self.population, self.max_nodes
        )
        with np.errstate(all="ignore"):
            search.run(self.proposals(X, y) if self.proposals else [])
            for formula in list(search.archive.values()):
                search.refine(formula)
        table: list[Formula] = []
        for _, formula in sorted(search.archive.items()):
            if formula.error < (table[-1].error if table else _BAD):
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
        from sciml.symbolic.printing import to_sympy

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
