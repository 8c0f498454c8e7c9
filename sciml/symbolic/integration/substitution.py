"""A proposed substitution, and what its rules share."""

from __future__ import annotations

from dataclasses import dataclass

from sciml.symbolic.algebra.rewriting import for_positive
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

MAX_SIZE = 1500


@dataclass(frozen=True)
class Substitution:
    """`integrand` dt equals the problem's f dx with the new variable t = `stands_for`."""

    name: str
    integrand: Expr
    variable: str
    stands_for: Expr


def proposed(name: str, g: Expr, t: str, back: Expr) -> Substitution | None:
    """The substitution, its integrand simplified for positive t; None where that is too large."""
    g = for_positive(g, t)
    if ex.size(g) > MAX_SIZE:
        return None
    return Substitution(name, g, t, back)


def replace_base(f: Expr, base: Expr, q: int, value: Expr) -> Expr:
    """Replace base ** (k/q) by value ** k, for every k."""
    mapping = {
        node: ex.power(value, ex.number(node.args[1].value * q))
        for node in ex.subtrees(f)
        if ex.is_radical(node) and node.args[0] is base
    }  # fmt: skip
    return ex.substitute(f, mapping)


def linear(u: Expr, x: str) -> bool:
    """Whether u is a linear polynomial in x."""
    slope = u.diff(x)
    return slope is not ex.ZERO and x not in slope.free
