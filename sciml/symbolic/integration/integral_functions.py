"""sin, cos, exp, sinh and cosh of a linear function over a linear function, with symbols, and the
squares of the first two: by the sine, cosine and exponential integrals.

With u = k (x + d/c), k x + b = u + h and h = b - k d/c,

    sin(k x + b)/(c x + d)    (cos(h) Si(u) + sin(h) Ci(u))/c
    cos(k x + b)/(c x + d)    (cos(h) Ci(u) - sin(h) Si(u))/c
    exp(k x + b)/(c x + d)    exp(h) Ei(u)/c

Source: NIST Digital Library of Mathematical Functions, 6.2.
"""

from __future__ import annotations

from sciml.symbolic.algebra.rewriting import expand, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.substitution import linear

_FUNCTIONS = ("sin", "cos", "exp", "sinh", "cosh")


def integrate_over_linear(f: Expr, x: str) -> Expr | None:
    """An antiderivative of such an integrand with symbols; None for any other."""
    if f.free == {x} or f.op != "mul":
        return None
    constant, function, square, below = ex.ONE, None, False, None
    for g in f.args:
        base, k = g.args if g.op == "pow" else (g, ex.ONE)
        if x not in g.free:
            constant = constant * g
        elif base.op in _FUNCTIONS and function is None and (
            k is ex.ONE or k is ex.TWO and base.op in ("sin", "cos")
        ):  # fmt: skip
            function, square = base, k is ex.TWO
        elif k is ex.MINUS and below is None and linear(base, x):
            below = base
        else:
            return None
    if function is None or below is None or not linear(function.args[0], x):
        return None
    if not square:
        return constant * _one(function.op, function.args[0], below, x)
    sign = 1 if function.op == "cos" else -1
    double = _one("cos", 2 * function.args[0], below, x)
    return constant * (ex.call("log", below) / below.diff(x) + sign * double) / 2


def _one(kind: str, argument: Expr, below: Expr, x: str) -> Expr:
    zero = {ex.symbol(x): ex.ZERO}
    k, c = argument.diff(x), below.diff(x)
    b, d = ex.substitute(argument, zero), ex.substitute(below, zero)
    u = together(k / c) * below
    h = together(expand(b - k * d / c))
    if kind == "exp":
        return ex.call("exp", h) * ex.call("Ei", u) / c
    circular = kind in ("sin", "cos")
    sine, cosine = (ex.call(n, h) for n in (("sin", "cos") if circular else ("sinh", "cosh")))
    S, C = (ex.call(n, u) for n in (("Si", "Ci") if circular else ("Shi", "Chi")))
    if kind in ("sin", "sinh"):
        return (cosine * S + sine * C) / c
    return (cosine * C - sine * S if circular else cosine * C + sine * S) / c
