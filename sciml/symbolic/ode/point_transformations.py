"""Point transformations y = T(x, v): a new unknown function for which the equation is of a kind
that the classical methods solve.

The candidates come from the equation itself (every expression in it that can be solved for y) and
from a short list of common ones: y = x v, y = v + x, y = exp(v), y = sin(v), ...
Source: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I, A2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.first_order import bernoulli, linear, quadrature, riccati, separable
from sciml.symbolic.ode.tools import Context, Proposal, freeze, tidy

_V = "_v"
_MOST_INNER = 12
_MOST_SIZE = 40
_KINDS: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    quadrature, separable, linear, bernoulli, riccati,
)  # fmt: skip
_FAILS = (ex.TooLarge, ex.Undefined, OverflowError, ZeroDivisionError, RecursionError)


def transformations(F: Expr, c: Context) -> Iterator[tuple[Expr, Expr]]:
    """(T(x, v), V(x, y)): the new way to write y and what v stands for."""
    x, y, v = c.sx, c.sy, ex.symbol(_V)
    half = ex.number(Fraction(1, 2))
    inner = [
        n for n in ex.subtrees(F)
        if c.y in n.free and n is not y and n is not F and ex.size(n) <= _MOST_SIZE
        and not (n.op == "pow" and n.args[0] is y) and n.free <= {c.x, c.y}
    ]  # fmt: skip
    inner.sort(key=lambda n: (c.x not in n.free, ex.size(n)))
    common = [y / x, y / x**2, y * x, y * x**2, y**2 / x, y - x, y + x, y**2, 1 / y,
              ex.call("log", y), ex.call("exp", y), ex.call("exp", x) * y,
              ex.call("exp", -x) * y, ex.power(y, half), ex.call("asin", y),
              ex.call("sinh", y), ex.call("sin", y), ex.call("tan", y)]  # fmt: skip
    seen: set[Expr] = set()
    for form in [*inner[:_MOST_INNER], *common]:
        if form in seen:
            continue
        seen.add(form)
        try:
            old = invert(form, c.y, v)
        except _FAILS:
            continue
        if old is not None and old is not v:
            yield old, form


def transformed(F: Expr, c: Context) -> Iterator[Proposal]:
    """y' = F(x, y) by a new unknown function."""
    inner = Context(c.x, _V, c.deadline)
    for old, new in transformations(F, c):
        if c.left() < 0:
            return
        try:
            G = tidy((ex.substitute(F, {c.sy: old}) - old.diff(c.x)) / old.diff(_V))
            yield from _solved(G, old, new, inner, c)
        except _FAILS:
            continue


def transformed_swapped(F: Expr, c: Context) -> Iterator[Proposal]:
    """The same for x as a function of y."""
    if F is ex.ZERO:
        return
    other = Context(c.y, c.x, c.deadline)
    for kind, found, name in transformed(tidy(1 / F), other):
        relation = found if kind == "implicit" else invert(found, "c1", c.sx)
        if relation is not None:
            yield "implicit", relation, name


def _solved(G: Expr, old: Expr, new: Expr, inner: Context, c: Context) -> Iterator[Proposal]:
    for method in _KINDS:
        for kind, found, name in method(G, inner):
            label = f"{name} for v = {new}"
            if kind == "explicit":
                yield kind, ex.substitute(old, {inner.sy: found}), label
            else:
                yield kind, ex.substitute(found, {inner.sy: new}), label


def transformed_second(
    F: Expr, c: Context, methods: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...]
) -> Iterator[Proposal]:
    """y'' = F(x, y, y') by a new unknown function, solved by one of `methods`."""
    inner = Context(c.x, _V, c.deadline)
    p, slope = ex.symbol(c.y + "'"), ex.symbol(_V + "'")
    for old, new in transformations(F, c):
        if c.left() < 0:
            return
        try:
            by_v = old.diff(_V)
            first = old.diff(c.x) + by_v * slope
            bent = old.diff(c.x).diff(c.x) + 2 * by_v.diff(c.x) * slope
            bent = bent + by_v.diff(_V) * slope**2
            G = tidy((ex.substitute(F, {c.sy: old, p: first}) - bent) / by_v)
            for name in (_V, slope.value):
                G = freeze(G, inner, name) or G
            for method in methods:
                for kind, found, label in method(G, inner):
                    if kind == "explicit":
                        answer = ex.substitute(old, {inner.sy: found})
                        yield kind, answer, f"{label} for v = {new}"
        except _FAILS:
            continue
