"""Formulas of symbolic regression: operator trees, their values, and linear scaling.

For every tree f the a + b f that fits best is known in closed form (linear scaling, Keijzer 2003),
so that the search only looks for the shape of f.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

Tree = tuple
"""("x", i), ("c", value) or (operator, child, ...)."""
Array = np.ndarray
UNARY: dict[str, Callable[[Array], Array]] = {
    "sin": np.sin, "cos": np.cos, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "tan": np.tan, "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "abs": np.abs,
    "square": np.square, "cube": lambda v: v * v * v, "inv": lambda v: 1.0 / v, "neg": np.negative,
}  # fmt: skip
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "pow": np.power,
}  # fmt: skip
DEFAULT_OPERATORS = ("add", "sub", "mul", "div", "sin", "cos", "exp", "log", "sqrt", "square")
UNDEFINED = math.inf
"""The error of a tree that is not defined at some point."""


def node_count(tree: Tree) -> int:
    """The number of nodes."""
    if tree[0] in ("x", "c"):
        return 1
    return 1 + sum(node_count(child) for child in tree[1:])


def evaluate(tree: Tree, X: Array) -> Array:
    """[n] values of a tree at the rows of X; nan or inf where it is not defined."""
    with np.errstate(all="ignore"):
        return _values(tree, X)


def _values(tree: Tree, X: Array) -> Array:
    kind = tree[0]
    if kind == "x":
        return X[:, tree[1]]
    if kind == "c":
        return np.full(len(X), tree[1])
    if kind in BINARY:
        return BINARY[kind](_values(tree[1], X), _values(tree[2], X))
    return UNARY[kind](_values(tree[1], X))


def to_expr(tree: Tree, names: Sequence[str]) -> Expr:
    """The tree as an expression; constants become fractions with denominators up to 1e9."""
    kind = tree[0]
    if kind == "x":
        return ex.symbol(names[tree[1]])
    if kind == "c":
        return ex.number(Fraction(float(tree[1])).limit_denominator(10**9))
    args = [to_expr(child, names) for child in tree[1:]]
    if kind == "add":
        return args[0] + args[1]
    if kind == "sub":
        return args[0] - args[1]
    if kind == "mul":
        return args[0] * args[1]
    if kind == "div":
        return args[0] / args[1]
    if kind == "pow":
        return args[0] ** args[1]
    if kind in ("square", "cube", "inv", "neg"):
        if kind == "neg":
            return -args[0]
        return args[0] ** {"square": 2, "cube": 3, "inv": -1}[kind]
    return ex.sqrt(args[0]) if kind == "sqrt" else ex.call(kind, args[0])


def tree_from_json(value: Any, columns: int) -> Tree:
    """The tree of nested lists, as JSON has them.

    Raises:
        ValueError: it is no tree of known operators on so many columns.
    """
    match value:
        case ["x", int(i)] if 0 <= i < columns:
            return ("x", i)
        case ["c", int(v) | float(v)] if math.isfinite(v):
            return ("c", float(v))
        case [str(name), child] if name in UNARY:
            return (name, tree_from_json(child, columns))
        case [str(name), left, right] if name in BINARY:
            return (name, tree_from_json(left, columns), tree_from_json(right, columns))
    raise ValueError(f"no formula: {value}"[:100])


@dataclass(frozen=True)
class Formula:
    """offset + slope * tree.

    Attributes:
        error: mean squared error on the training points [unit of y squared].
        complexity: nodes of the tree.
    """

    tree: Tree
    offset: float
    slope: float
    error: float
    complexity: int

    def predict(self, X: Array) -> Array:
        """[n] values at the rows of X."""
        with np.errstate(all="ignore"):
            return self.offset + self.slope * evaluate(self.tree, X)

    def scaled_tree(self) -> Tree:
        """offset + slope * tree as one tree."""
        out = self.tree
        if abs(self.slope - 1) > 1e-12:
            out = ("mul", ("c", self.slope), out)
        return out if abs(self.offset) < 1e-12 else ("add", ("c", self.offset), out)


def with_best_scale(tree: Tree, X: Array, y: Array) -> Formula:
    """The tree with the offset and slope of least mean squared error."""
    size = node_count(tree)
    with np.errstate(all="ignore"):
        f = evaluate(tree, X)
        if not np.isfinite(f).all():
            return Formula(tree, 0.0, 0.0, UNDEFINED, size)
        mean = f.mean()
        centred = f - mean
        variance = float(centred @ centred)
        if not np.isfinite(variance) or variance < 1e-300 or np.abs(f).max() > 1e12:
            slope = 0.0
        else:
            slope = float(centred @ (y - y.mean())) / variance
        offset = float(y.mean()) - slope * float(mean)
        residual = y - offset - slope * f
        error = float(residual @ residual) / len(y)
    return Formula(tree, offset, slope, error if np.isfinite(error) else UNDEFINED, size)
