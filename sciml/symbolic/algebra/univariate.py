"""Expressions as quotients of polynomials of one variable with rational coefficients."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq, fmpq_poly

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


def fraction(v: fmpq) -> Fraction:
    """The number as a Fraction."""
    return Fraction(int(v.p), int(v.q))


def as_rational(e: Expr, x: str) -> tuple[fmpq_poly, fmpq_poly] | None:
    """Numerator and denominator of a rational function of x with rational coefficients, or None."""
    if e.free - {x}:
        return None
    for node in ex.subtrees(e):
        if node.op in ex.NAMED or node.op in ("pi", "I", "exp"):
            return None
        if node.op == "pow":
            power = node.args[1]
            if power.op != "num" or power.value.denominator > 1 or abs(power.value) > 60:
                return None
    try:
        tower = Tower(x)
        q = tower.convert(e)
    except (Failure, ex.TooLarge, ex.Undefined):
        return None
    out = []
    for p in (q.n, q.d):
        coefficients = [0] * (fd.degrees(p)[0] + 1)
        for monomial, c in p.terms():
            coefficients[int(monomial[0])] = int(c)
        out.append(fmpq_poly(coefficients))
    return out[0], out[1]
