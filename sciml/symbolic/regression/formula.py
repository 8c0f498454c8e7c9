"""Formulas of symbolic regression: trees of operators, their values, and the best scale and offset.

For every tree f the a + b f that fits best is known in closed form (Keijzer 2003), so that a search
looks for shape only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

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
DEFAULT = ("add", "sub", "mul", "div", "sin", "cos", "exp", "log", "sqrt", "square")
BAD = math.inf
"""The error of a tree that is not defined at some point."""


def nodes(tree: Tree) -> int:
    """The number of nodes."""
    if tree[0] in ("x", "c"):
        return 1
    return 1 + sum(nodes(child) for child in tree[1:])


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


def scaled(tree: Tree, X: Array, y: Array) -> Formula:
    """The best offset and slope for a tree, and the mean squared error they leave."""
    size = nodes(tree)
    with np.errstate(all="ignore"):
        f = evaluate(tree, X)
        if not np.isfinite(f).all():
            return Formula(tree, 0.0, 0.0, BAD, size)
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
    return Formula(tree, offset, slope, error if np.isfinite(error) else BAD, size)
