"""Sums of p(k) u**k, p a polynomial: with D = u d/du, the sum of k**j u**k is D**j applied to the
sum of u**k (Graham, Knuth, Patashnik, Concrete Mathematics, 7.2)."""

from __future__ import annotations

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed

_HIGHEST = 12
_U = "u__"


def by_geometric(s: Indexed) -> Expr | None:
    """The closed form, for |u| < 1 where the sum is infinite; None for other terms and products."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    if s.product or s.low.at is None:
        return None
    u, rest = _split(s.term, s.index)
    if u is ex.ONE:
        return None
    k, symbol = sp.Symbol(s.index), sp.Symbol(_U)
    weight = to_sympy(rest)
    if weight.has(sp.gamma):
        weight = sp.combsimp(weight.rewrite(sp.factorial))
    try:
        p = sp.Poly(weight, k)
    except sp.PolynomialError:
        return None
    if p.degree() > _HIGHEST or any(c.has(k) for c in p.coeffs()):
        return None
    total = symbol ** to_sympy(s.low.at)
    if s.high.at is not None:
        total = total - symbol ** (to_sympy(s.high.at) + 1)
    power, out = total / (1 - symbol), sp.Integer(0)
    for c in reversed(p.all_coeffs()):
        out += c * power
        power = symbol * sp.diff(power, symbol)
    if s.high.infinite:
        out = sp.factor(out)
    return ex.substitute(from_sympy(out), {ex.symbol(_U): u})


def _split(term: Expr, k: str) -> tuple[Expr, Expr]:
    """(u, q) with term = u**k q; u is free of k and 1 where there is no such power."""
    index = ex.symbol(k)
    u, rest = ex.ONE, ex.ONE
    for n in term.args if term.op == "mul" else (term,):
        exponent = n.args[0] if n.op == "exp" else n.args[1] if n.op == "pow" else ex.ZERO
        base = ex.E if n.op == "exp" else n.args[0] if n.op == "pow" else ex.ONE
        slope = exponent.diff(k) if k in exponent.free else ex.ZERO
        if slope is ex.ZERO or k in slope.free or k in base.free:
            rest = rest * n
            continue
        u = u * ex.power(base, slope)
        rest = rest * ex.power(base, ex.substitute(exponent, {index: ex.ZERO}))
    return u, rest
