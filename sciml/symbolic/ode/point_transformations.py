"""Point transformations y = T(x, v): a new unknown function v whose equation one of the classical
methods solves.

The candidates are the subexpressions of the equation that can be solved for y, and some common
ones: y = x v, y = v + x, y = exp(v), y = sin(v), ...
Source: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I, A2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.ode.first_order import bernoulli, linear, quadrature, riccati, separable
from sciml.symbolic.ode.tools import Context, Proposal, tidy, without_symbol

_V = "_v"
_MAX_INNER = 12
_MAX_SIZE = 40
_METHODS: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    quadrature, separable, linear, bernoulli, riccati,
)  # fmt: skip


def point_transformations(F: Expr, c: Context) -> Iterator[tuple[Expr, Expr]]:
    """(T, V) with y = T(x, v) and v = V(x, y)."""
    x, y, v = c.sx, c.sy, ex.symbol(_V)
    half = ex.number(Fraction(1, 2))
    inner = [
        n for n in ex.subtrees(F)
        if c.y in n.free and n is not y and n is not F and ex.size(n) <= _MAX_SIZE
        and not (n.op == "pow" and n.args[0] is y) and n.free <= {c.x, c.y}
    ]  # fmt: skip
    inner.sort(key=lambda n: (c.x not in n.free, ex.size(n)))
    common = [y / x, y / x**2, y * x, y * x**2, y**2 / x, y - x, y + x, y**2, 1 / y,
              ex.call("log", y), ex.call("exp", y), ex.call("exp", x) * y,
              ex.call("exp", -x) * y, ex.power(y, half), ex.call("asin", y),
              ex.call("sinh", y), ex.call("sin", y), ex.call("tan", y)]  # fmt: skip
    seen: set[Expr] = set()
    for form in [*inner[:_MAX_INNER], *common]:
        if form in seen:
            continue
        seen.add(form)
        try:
            old = invert(form, c.y, v)
        except ERRORS:
            continue
        if old is not None and old is not v:
            yield old, form


def by_point_transformation(F: Expr, c: Context) -> Iterator[Proposal]:
    """y' = F(x, y), by a new unknown function."""
    inner = Context(c.x, _V, c.deadline)
    for old, new in point_transformations(F, c):
        if c.time_left() < 0:
            return
        try:
            G = tidy((ex.substitute(F, {c.sy: old}) - old.diff(c.x)) / old.diff(_V))
            yield from _solve_transformed(G, old, new, inner, c)
        except ERRORS:
            continue


def by_inverse_point_transformation(F: Expr, c: Context) -> Iterator[Proposal]:
    """y' = F(x, y) as an equation for x as a function of y, by a new unknown function."""
    if F is ex.ZERO:
        return
    other = Context(c.y, c.x, c.deadline)
    for kind, solution, name in by_point_transformation(tidy(1 / F), other):
        relation = solution if kind == "implicit" else invert(solution, "c1", c.sx)
        if relation is not None:
            yield "implicit", relation, name


def _solve_transformed(
    G: Expr, old: Expr, new: Expr, inner: Context, c: Context
) -> Iterator[Proposal]:
    for method in _METHODS:
        for kind, solution, name in method(G, inner):
            label = f"{name} for v = {new}"
            if kind == "explicit":
                yield kind, ex.substitute(old, {inner.sy: solution}), label
            else:
                yield kind, ex.substitute(solution, {inner.sy: new}), label


def by_point_transformation_second(
    F: Expr, c: Context, methods: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...]
) -> Iterator[Proposal]:
    """y'' = F(x, y, y'), by a new unknown function whose equation one of `methods` solves."""
    inner = Context(c.x, _V, c.deadline)
    p, slope = ex.symbol(c.y + "'"), ex.symbol(_V + "'")
    for old, new in point_transformations(F, c):
        if c.time_left() < 0:
            return
        try:
            slope_v = old.diff(_V)
            first = old.diff(c.x) + slope_v * slope
            second = old.diff(c.x).diff(c.x) + 2 * slope_v.diff(c.x) * slope
            second = second + slope_v.diff(_V) * slope**2
            G = tidy((ex.substitute(F, {c.sy: old, p: first}) - second) / slope_v)
            for name in (_V, slope.value):
                G = without_symbol(G, inner, name) or G
            for method in methods:
                for kind, solution, label in method(G, inner):
                    if kind == "explicit":
                        answer = ex.substitute(old, {inner.sy: solution})
                        yield kind, answer, f"{label} for v = {new}"
        except ERRORS:
            continue
