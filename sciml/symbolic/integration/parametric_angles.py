"""Rational functions of circular or hyperbolic functions of one angle, with symbols among their
coefficients: the tangent of half the angle makes them rational.

Source: Bronstein, Symbolic Integration I (2005), section 5.10 (Weierstrass' substitution).
"""

from __future__ import annotations

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.algebra.prepare import rational_ratio
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.parametric_rational import integrate_parametric_rational
from sciml.symbolic.integration.substitution import linear

_CIRCULAR = ("sin", "cos", "tan", "cot", "sec", "csc")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "coth", "sech", "csch")
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError)
_T = ex.symbol("_t")
_MAX_MULTIPLE = 6


def integrate_parametric_angle(f: Expr, x: str) -> Expr | None:
    """An antiderivative of such an integrand; None for any other."""
    nodes = [n for n in ex.subtrees(f) if n.op in (*_CIRCULAR, *_HYPERBOLIC) and x in n.free]
    if not nodes or f.free == {x} or any(ex.is_radical(n) and x in n.free
                                         for n in ex.subtrees(f)):  # fmt: skip
        return None
    h = nodes[0].op in _HYPERBOLIC
    if any((n.op in _HYPERBOLIC) != h or not linear(n.args[0], x) for n in nodes):
        return None
    try:
        ratios = [rational_ratio(n.args[0].diff(x), nodes[0].args[0].diff(x), x) for n in nodes]
        if any(k is None for k in ratios):
            return None
        _, at = min((float(abs(k or 1)), at) for at, k in enumerate(ratios))
        v = nodes[at].args[0]
        mapping = {n: _by_tangent(n, v, x, h) for n in nodes}
        g = ex.substitute(f, mapping)
        if x in g.free:
            return None
        g = g * 2 / ((1 - _T**2 if h else 1 + _T**2) * v.diff(x))
        answer = integrate_parametric_rational(g, "_t")
    except _ERRORS:
        return None
    if answer is None:
        return None
    tangent = ex.call("tanh" if h else "tan", v / 2)
    out = ex.substitute(answer, {_T: tangent})
    inverse = ex.call("atanh" if h else "atan", tangent)
    return ex.substitute(out, {inverse: v / 2})  # goes on where the tangent has its poles


def _by_tangent(n: Expr, v: Expr, x: str, h: bool) -> Expr:
    k = rational_ratio(n.args[0].diff(x), v.diff(x), x)
    if k is None or k.denominator != 1 or abs(k) > _MAX_MULTIPLE:
        raise Failure("a multiple that is no integer")
    if expand(n.args[0] - ex.number(k) * v) is not ex.ZERO:
        raise Failure("a shifted angle")
    below = 1 - _T**2 if h else 1 + _T**2
    s, c = 2 * _T / below, (1 + _T**2 if h else 1 - _T**2) / below
    a, b, sign = s, c, 1 if h else -1
    for _ in range(abs(int(k)) - 1):
        a, b = a * c + b * s, b * c + sign * a * s
    a = a if k > 0 else -a
    kind = n.op[:-1] if h else n.op
    return {"sin": a, "cos": b, "tan": a / b, "cot": b / a, "sec": 1 / b, "csc": 1 / a}[kind]
