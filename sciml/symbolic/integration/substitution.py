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


def one_linear_argument(f: Expr, x: str) -> tuple[Expr, Expr] | None:
    """(g, u) with f = g(u), where x stands only in the linear function u, which holds other
    symbols; None where x stands elsewhere, too."""
    if f.free == {x}:
        return None
    arguments: set[Expr] = set()
    todo = [f]
    while todo:
        n = todo.pop()
        if x not in n.free:
            continue
        if n.op != "sym" and linear(n, x):
            arguments.add(n)
        elif n.op == "sym" or len(arguments) > 1:
            return None
        todo += n.args if n not in arguments else ()
    if len(arguments) != 1 or not next(iter(arguments)).free - {x}:
        return None
    (u,) = arguments
    return ex.substitute(f, {u: ex.symbol(x)}), u
