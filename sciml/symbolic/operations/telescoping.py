"""Products and sums over k of functions of u = x**(q**k) or u = q**k x that telescope by a formula
for the multiple of an argument.

With h(k) = g(u at k): where the k-th factor is c (h(k + 1) / h(k))**e, the product from m to n is
c**(n - m + 1) (h(n + 1) / h(m))**e; where the k-th term is c (w**(k + 1) h(k + 1) - w**k h(k)), the
sum is c (w**(n + 1) h(n + 1) - w**m h(m)). The g are those of the formulas for multiple angles and
of the factors of 1 - u**q (Gradshteyn and Ryzhik 1.39, 1.41; DLMF 4.21). Infinite ones need the
limit of h for u -> 0.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isfinite

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed

Potential = Callable[[Expr], Expr]
_FACTORS: tuple[Potential, ...] = (
    lambda u: 1 - u, lambda u: ex.call("sin", u), lambda u: ex.call("sinh", u),
    lambda u: ex.call("tan", u), lambda u: ex.call("tanh", u),
)  # fmt: skip
_TERMS: tuple[Potential, ...] = (
    lambda u: ex.call("cot", u), lambda u: ex.call("coth", u), lambda u: 1 / (1 - u),
    lambda u: 1 / (1 + u), lambda u: ex.call("log", 1 - u), lambda u: ex.call("atan", u),
)  # fmt: skip
_POINTS = tuple((Fraction(n, d), k) for n, d in ((3, 11), (5, 13), (7, 9)) for k in (1, 2))
_DIGITS = 20


def by_duplication(s: Indexed, x: str) -> Expr | None:
    """The closed form of a product or sum; None where no formula applies."""
    k = ex.symbol(s.index)
    for u in _arguments(s.term, s.index, x):
        for v in (u, ex.substitute(u, {k: k - 1})):
            if s.product:
                value = _product(s, v, k, x)
            else:
                value = _sum(s, v, k, x)
            if value is not None:
                return value
    return None


def _product(s: Indexed, v: Expr, k: Expr, x: str) -> Expr | None:
    at = _at_ends(s, v, k)
    for g in _FACTORS:
        for e in (1, -1):
            ratio = ex.power(g(ex.substitute(v, {k: k + 1})) / g(v), ex.number(e))
            c = _constant(s.term / ratio, x, s.index)
            if c is None:
                continue
            first, after, count = at
            if after is not None and count is not None:
                return ex.power(c, count) * ex.power(g(after) / g(first), ex.number(e))
            zero = _value_at_zero(g)
            if zero is None:
                return None
            limit = first if zero is ex.ZERO else zero  # g(u) ~ u, and c cancels q
            return ex.power(limit / g(first), ex.number(e))
    return None


def _sum(s: Indexed, v: Expr, k: Expr, x: str) -> Expr | None:
    first, after, count = _at_ends(s, v, k)
    for g in _TERMS:
        for w in _weights(s.term, s.index):
            weight = ex.power(w, k)
            difference = ex.power(w, k + 1) * g(ex.substitute(v, {k: k + 1})) - weight * g(v)
            c = _constant(s.term / difference, x, s.index)
            if c is None:
                continue
            assert s.low.at is not None
            before = ex.power(w, s.low.at) * g(first)
            if after is not None and count is not None:
                return c * (ex.power(w, s.low.at + count) * g(after) - before)
            zero = _value_at_zero(g)
            if zero is None:  # g(u) ~ 1/u, where w = q
                return c * (ex.power(w, s.low.at) / first - before)
            return c * ((zero if w is ex.ONE else ex.ZERO) - before)
    return None


def _at_ends(s: Indexed, v: Expr, k: Expr) -> tuple[Expr, Expr | None, Expr | None]:
    """v at the first index and behind the last one, and the number of terms."""
    assert s.low.at is not None
    first = ex.substitute(v, {k: s.low.at})
    if s.high.at is None:
        return first, None, None
    return first, ex.substitute(v, {k: s.high.at + 1}), s.high.at - s.low.at + 1


def _value_at_zero(g: Potential) -> Expr | None:
    """g(0), or None for a pole."""
    try:
        value = g(ex.ZERO)
    except ex.Undefined:
        return None
    return value if isfinite(abs(complex(evaluate(value, {})))) else None


def _arguments(term: Expr, k: str, x: str) -> list[Expr]:
    """The parts of the term that may be x**(q**k) or q**k x, smallest first."""
    parts = [n for n in ex.subtrees(term) if {k, x} <= n.free and n.op in ("pow", "mul")]
    return sorted(parts, key=ex.size)[:8]


def _weights(term: Expr, k: str) -> list[Expr]:
    """1, and the w of factors w**(a k) of the term."""
    out = [ex.ONE]
    index = ex.symbol(k)
    for n in term.args if term.op == "mul" else (term,):
        if n.op == "pow" and k in n.args[1].free and not n.args[0].free:
            out.append(ex.substitute(n, {index: ex.ONE}) / ex.substitute(n, {index: ex.ZERO}))
    return out


def _constant(e: Expr, x: str, k: str) -> Expr | None:
    """The rational number that e is at all the points tried, to 20 digits; None where it is
    none."""
    import mpmath

    values = []
    with mpmath.workdps(_DIGITS + 10):
        for point, index in _POINTS:
            at = {x: mpmath.mpf(point.numerator) / point.denominator, k: index}
            try:
                value = evaluate(e, at, "mpmath")
            except (ArithmeticError, ValueError):
                return None
            if not mpmath.isfinite(value) or abs(mpmath.im(value)) > 0:
                return None
            values.append(mpmath.re(value))
            if abs(value - values[0]) > mpmath.mpf(10) ** -_DIGITS * abs(values[0]):
                return None
        c = Fraction(str(values[0])).limit_denominator(1000)
        if not c or abs(values[0] - mpmath.mpf(c.numerator) / c.denominator) > abs(
            values[0]
        ) * mpmath.mpf(10) ** -_DIGITS:  # fmt: skip
            return None
    return ex.number(c)
