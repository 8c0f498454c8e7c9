"""Square-free radicands: squares taken out of the square roots of rational functions of x."""

from __future__ import annotations

from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.rational_functions import to_expr


def extract_squares(e: Expr, x: str) -> Expr:
    """The same function of a real x with the squares taken out of square roots of rational
    functions: sqrt((x - 3)**2 (x + 1)) becomes |x - 3| sqrt(x + 1)."""
    rewritten: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(rewritten[a] for a in node.args)
        new = node if args == node.args else ex.rebuild(node, args)
        if new.op == "pow" and new.args[1].op == "num" and new.args[1].value.denominator == 2:
            new = _without_squares(new, x)
        rewritten[node] = new
    return rewritten[e]


def _without_squares(root: Expr, x: str) -> Expr:
    base, exponent = root.args
    quotient = as_rational(base, x) if x in base.free else None
    if quotient is None:
        return root
    (content, above), (content_below, below) = (p.factor() for p in quotient)
    factors = [(q, int(e)) for q, e in above] + [(q, -int(e)) for q, e in below]
    if all(abs(e) == 1 for _, e in factors):
        return root
    outside, inside = ex.ONE, ex.number(fraction(content) / fraction(content_below))
    for q, e in factors:
        part = to_expr(q, ex.symbol(x))
        half = e // 2
        outside = outside * (ex.call("abs", part) if half % 2 else part) ** ex.number(half)
        inside = inside * part ** ex.number(e % 2)
    return outside ** (2 * exponent) * ex.power(inside, exponent)
