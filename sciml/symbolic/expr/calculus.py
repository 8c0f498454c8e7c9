"""Symbolic differentiation: a rule for every function, the product and chain rules for the rest."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from sciml.symbolic.expr.expression import (  # fmt: skip
    HALF,
    ONE,
    PI,
    SPECIAL,
    ZERO,
    Expr,
    add,
    call,
    mul,
    number,
    power,
)
from sciml.symbolic.expr.rational import Undefined
from sciml.symbolic.expr.special_derivatives import special_derivative

_Rule = Callable[[Expr], Expr]


def _recip_sqrt(e: Expr) -> Expr:
    return power(e, number(Fraction(-1, 2)))


DERIVATIVES: dict[str, _Rule] = {
    "exp": lambda u: call("exp", u),
    "log": lambda u: 1 / u,
    "sin": lambda u: call("cos", u),
    "cos": lambda u: -call("sin", u),
    "tan": lambda u: 1 + call("tan", u) ** 2,
    "cot": lambda u: -1 - call("cot", u) ** 2,
    "sec": lambda u: call("sec", u) * call("tan", u),
    "csc": lambda u: -call("csc", u) * call("cot", u),
    "asin": lambda u: _recip_sqrt(1 - u**2),
    "acos": lambda u: -_recip_sqrt(1 - u**2),
    "atan": lambda u: 1 / (1 + u**2),
    "acot": lambda u: -1 / (1 + u**2),
    "asec": lambda u: u**-2 * _recip_sqrt(1 - u**-2),
    "acsc": lambda u: -(u**-2) * _recip_sqrt(1 - u**-2),
    "sinh": lambda u: call("cosh", u),
    "cosh": lambda u: call("sinh", u),
    "tanh": lambda u: 1 - call("tanh", u) ** 2,
    "coth": lambda u: 1 - call("coth", u) ** 2,
    "sech": lambda u: -call("sech", u) * call("tanh", u),
    "csch": lambda u: -call("csch", u) * call("coth", u),
    "asinh": lambda u: _recip_sqrt(1 + u**2),
    "acosh": lambda u: _recip_sqrt(u - 1) * _recip_sqrt(u + 1),
    "atanh": lambda u: 1 / (1 - u**2),
    "acoth": lambda u: 1 / (1 - u**2),
    "asech": lambda u: -(u**-2) * _recip_sqrt(1 / u - 1) * _recip_sqrt(1 / u + 1),
    "acsch": lambda u: -(u**-2) * _recip_sqrt(1 + u**-2),
    "abs": lambda u: call("sign", u),
    "sign": lambda u: ZERO,
    "floor": lambda u: ZERO,
    "erf": lambda u: 2 * _recip_sqrt(PI) * call("exp", -(u**2)),
    "erfi": lambda u: 2 * _recip_sqrt(PI) * call("exp", u**2),
    "Ei": lambda u: call("exp", u) / u,
    "li": lambda u: 1 / call("log", u),
    "Si": lambda u: call("sin", u) / u,
    "Ci": lambda u: call("cos", u) / u,
    "Shi": lambda u: call("sinh", u) / u,
    "Chi": lambda u: call("cosh", u) / u,
    "fresnels": lambda u: call("sin", HALF * PI * u**2),
    "fresnelc": lambda u: call("cos", HALF * PI * u**2),
    "dilog": lambda u: -call("log", 1 - u) / u,
}
"""d function(u) / du, exact on the principal branch; `dilog` is the polylogarithm Li2."""


def differentiate(e: Expr, name: str) -> Expr:
    """The derivative of `e` with respect to the symbol `name`; memoised, common subtrees once."""
    if name not in e.free:
        return ZERO
    if e.op == "DiracDelta":
        raise Undefined("the derivative of DiracDelta")
    if e._derivative is not None and name in e._derivative:
        return e._derivative[name]
    if e.op == "sym":
        out = ONE
    elif e.op == "add":
        out = add([differentiate(t, name) for t in e.args if name in t.free])
    elif e.op == "mul":
        terms = []
        for i, factor in enumerate(e.args):
            if name in factor.free:
                slope = differentiate(factor, name)
                terms.append(mul((*e.args[:i], slope, *e.args[i + 1 :])))
        out = add(terms)
    elif e.op == "pow":
        base, exponent = e.args
        parts = []
        if name in base.free:
            parts.append(mul((exponent, power(base, exponent - 1), differentiate(base, name))))
        if name in exponent.free:
            parts.append(mul((e, call("log", base), differentiate(exponent, name))))
        out = add(parts)
    elif e.op in SPECIAL:
        out = special_derivative(e, {a: differentiate(a, name) for a in e.args if name in a.free})
    else:
        (u,) = e.args
        out = mul((DERIVATIVES[e.op](u), differentiate(u, name)))
    if e._derivative is None:
        e._derivative = {}
    e._derivative[name] = out
    return out
