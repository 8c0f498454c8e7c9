"""Normal forms before an expression becomes a quotient: fewer kinds of function, and which
arguments are rational multiples of one another."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.rational import factor_integer

_RECIPROCAL = {"cot": "tan", "sec": "cos", "csc": "sin", "coth": "tanh", "sech": "cosh",
               "csch": "sinh"}  # fmt: skip
_OF_RECIPROCAL = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh",
                  "asech": "acosh", "acsch": "asinh"}  # fmt: skip
_PARITY = {"cos": 1, "cosh": 1, "sin": -1, "sinh": -1, "tan": -1, "tanh": -1, "asin": -1,
           "atan": -1, "asinh": -1, "atanh": -1}  # fmt: skip
_SAMPLES = np.array([0.73910427, 1.31805959, 0.4170223])


def expand_product(u: Expr) -> Expr:
    """A product with one short sum, multiplied out; anything else as it is."""
    if u.op == "mul" and sum(a.op == "add" for a in u.args) == 1 and len(u.args) <= 4:
        inner = next(a for a in u.args if a.op == "add")
        if len(inner.args) <= 4:
            others = [a for a in u.args if a is not inner]
            return ex.add([ex.mul((*others, t)) for t in inner.args])
    return u


def positive_number(e: Expr) -> bool:
    """Whether a constant without symbols is a positive real number."""
    if e.free:
        return False
    z = complex(Program(e).complex({})[0])
    return z.real > 1e-9 and abs(z.imag) < 1e-12


def prepare(e: Expr) -> Expr:
    """The same function in fewer elementary functions: cot is 1/tan, a**b is exp(b log(a)), ..."""
    memo: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(memo[a] for a in node.args)
        if node.op in _PARITY and args[0].op == "abs":
            u = args[0].args[0]
            out = ex.call(node.op, u)
            if _PARITY[node.op] < 0:
                out = args[0] / u * out
        elif node.op in _RECIPROCAL:
            out = 1 / ex.call(_RECIPROCAL[node.op], args[0])
        elif node.op in _OF_RECIPROCAL:
            out = ex.call(_OF_RECIPROCAL[node.op], 1 / args[0])
        elif node.op == "pow" and args[1].op != "num":
            out = ex.call("exp", args[1] * _logarithm(args[0]))
        elif node.op == "pow" and args[0].op == "exp":
            out = ex.call("exp", args[1] * args[0].args[0])
        elif node.op == "log":
            out = _logarithm(args[0])
        else:
            out = node if args == node.args else ex.rebuild(node, args)
        memo[node] = out
    return memo[e]


def _logarithm(u: Expr) -> Expr:
    """log(u), expanded: powers of positive numbers, prime factors, log(exp(v)) = v for real v."""
    if u.op == "pow" and u.args[1].op == "num":
        base = u.args[0]
        if base.op == "num" and base.value > 0 or base.op in ("pi", "exp"):
            return u.args[1] * ex.call("log", base)
    if u.op == "exp":
        return u.args[0]
    content, rest = _content(u)
    if content != 1:
        return _logarithm(ex.number(content)) + _logarithm(rest)
    if u.op == "num" and u.value > 0:
        terms = []
        for part, sign in ((u.value.numerator, 1), (u.value.denominator, -1)):
            for prime, times in factor_integer(part).items():
                terms.append(sign * times * ex.call("log", ex.number(prime)))
        return ex.add(terms)
    return ex.call("log", u)


def _content(u: Expr) -> tuple[Fraction, Expr]:
    """(c, v) with u = c v, c > 0 rational, and coprime integer coefficients in v."""
    if u.op == "mul":
        c, rest = ex.split_coefficient(u)
        return (abs(c), rest if c > 0 else -rest) if abs(c) != 1 else (Fraction(1), u)
    if u.op != "add":
        return Fraction(1), u
    numbers = [ex.split_coefficient(t)[0] for t in u.args]
    denominator = math.lcm(*[c.denominator for c in numbers])
    c = Fraction(math.gcd(*[int(v * denominator) for v in numbers]), denominator)
    return (c, u * ex.number(1 / c)) if c != 1 else (c, u)


def rational_ratio(a: Expr, b: Expr, variable: str) -> Fraction | None:
    """a / b where that is a rational number with a small denominator, decided at three points."""
    if a is b:
        return Fraction(1)
    if (variable in a.free) != (variable in b.free):
        return None
    ca, ra = ex.split_coefficient(a)
    cb, rb = ex.split_coefficient(b)
    if ra is rb:
        return ca / cb
    names = sorted((a.free | b.free) - {variable})
    values = {name: 0.6180339887 + 0.2718281828 * i for i, name in enumerate(names)}
    of_a, of_b = (np.broadcast_to(v, 3) for v in Program(a, b).complex(
        {**values, variable: _SAMPLES}))  # fmt: skip
    if not (np.isfinite(of_a).all() and np.isfinite(of_b).all()) or (of_b == 0).any():
        return None
    ratios = of_a / of_b
    r = ratios[0]
    if abs(r) > 1e8 or np.abs(ratios - r).max() > 1e-11 * (1 + abs(r)) or abs(r.imag) > 1e-11:
        return None
    near = Fraction(float(r.real)).limit_denominator(60)
    return near if near and abs(float(near) - r.real) < 1e-10 * (1 + abs(r)) else None
