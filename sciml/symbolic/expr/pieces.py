"""Functions in pieces of real arguments, in terms of abs, sign and floor."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


def largest(arguments: Sequence[Expr]) -> Expr:
    """max(a, b) = (a + b + |a - b|) / 2."""
    return reduce(lambda a, b: (a + b + ex.call("abs", a - b)) / 2, arguments)


def smallest(arguments: Sequence[Expr]) -> Expr:
    """min(a, b) = (a + b - |a - b|) / 2."""
    return reduce(lambda a, b: (a + b - ex.call("abs", a - b)) / 2, arguments)


def heaviside(u: Expr) -> Expr:
    """(1 + sign(u)) / 2, which is 1/2 at 0."""
    return (1 + ex.call("sign", u)) / 2


def step_argument(e: Expr) -> Expr | None:
    """The u of e = Heaviside(u); None for any other e."""
    for t in e.args if e.op == "add" and len(e.args) == 2 else ():
        _, rest = ex.split_coefficient(t)
        if rest.op == "sign" and heaviside(rest.args[0]) is e:
            return rest.args[0]
    return None


def ceiling(u: Expr) -> Expr:
    """The smallest integer that is not below u."""
    return -ex.call("floor", -u)


def modulo(u: Expr, m: Expr) -> Expr:
    """u - m floor(u / m), which has the sign of m."""
    return u - m * ex.call("floor", u / m)


def real_root(u: Expr, n: Expr) -> Expr | None:
    """The real root of odd order: sign(u) |u|**(1/n); None for another order."""
    if n.op != "num" or n.value.denominator != 1 or n.value < 1 or n.value % 2 == 0:
        return None
    return ex.call("sign", u) * ex.power(ex.call("abs", u), ex.number(Fraction(1, int(n.value))))


def piecewise(pieces: Sequence[tuple[Expr, Expr | None]]) -> Expr:
    """The first value whose `condition` is positive, (value, condition); the last has none."""
    *first, (out, _) = pieces
    for value, condition in reversed(first):
        inside = heaviside(condition) if condition is not None else ex.ONE
        out = out + inside * (value - out)
    return out
