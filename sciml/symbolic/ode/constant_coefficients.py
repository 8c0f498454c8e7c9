"""Linear second-order equations with constant coefficients, numbers or symbols:
y'' + p y' + q y = r by the characteristic equation and by undetermined coefficients.

Source: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I, A4.
"""

from __future__ import annotations

from dataclasses import dataclass

from sciml.symbolic.algebra.rewriting import ex_expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.tools import same, tidy

_MOST_DEGREE = 8
_MOST_TERMS = 12


def square_root(d: Expr) -> Expr:
    """One of the two square roots, with the squares of symbols taken out of the root sign."""
    out: list[Expr] = []
    rest: list[Expr] = []
    for f in d.args if d.op == "mul" else (d,):
        if f.op == "num" and f.value > 0:
            out.append(ex.sqrt(f))
        elif f.op == "pow" and f.args[1].op == "num" and f.args[1].value % 2 == 0:
            out.append(ex.power(f.args[0], f.args[1] / 2))
        else:
            rest.append(f)
    return ex.mul([*out, ex.sqrt(ex.mul(rest))])


def independent_pair(p: Expr, q: Expr, x: Expr) -> tuple[Expr, Expr]:
    """Two solutions exp(m x) of y'' + p y' + q y = 0 with m**2 + p m + q = 0; cos and sin where
    the discriminant is written with a minus (both hold for every complex value of its symbols)."""
    d = tidy(p**2 - 4 * q)
    if d is ex.ZERO:
        base = ex.call("exp", -p / 2 * x)
        return base, x * base
    if ex.negative(d):
        w = square_root(tidy(-d)) / 2
        base = ex.call("exp", -p / 2 * x)
        return base * ex.call("cos", w * x), base * ex.call("sin", w * x)
    root = square_root(d)
    return ex.call("exp", tidy((root - p) / 2) * x), ex.call("exp", tidy((-root - p) / 2) * x)


@dataclass(frozen=True)
class _Term:
    """factor * x**power * exp(growth x) * (cos or sin)(turn x + phase); name is "" without one."""

    factor: Expr
    power: int
    growth: Expr
    name: str
    angle: Expr
    turn: Expr


def _slope(u: Expr, x: str) -> Expr | None:
    """a of u = a x + b with a, b free of x."""
    a = tidy(u.diff(x))
    return None if x in a.free else a


def _term(term: Expr, x: str) -> _Term | None:
    factor, power, growth, name, angle, turn = ex.ONE, 0, ex.ZERO, "", ex.ZERO, ex.ZERO
    for f in term.args if term.op == "mul" else (term,):
        if x not in f.free:
            factor = factor * f
        elif f is ex.symbol(x):
            power += 1
        elif f.op == "pow" and f.args[0] is ex.symbol(x) and f.args[1].op == "num":
            n = f.args[1].value
            if n.denominator != 1 or not 0 < n <= _MOST_DEGREE:
                return None
            power += int(n)
        elif f.op in ("exp", "sin", "cos") and (a := _slope(f.args[0], x)) is not None:
            if f.op == "exp":
                growth = growth + a
                factor = factor * ex.call("exp", tidy(f.args[0] - a * ex.symbol(x)))
            elif name:
                return None
            else:
                name, angle, turn = f.op, f.args[0], a
        else:
            return None
    return _Term(factor, power, growth, name, angle, turn)


Pair = tuple[Expr, Expr]
"""Real and imaginary part."""


def _times(a: Pair, b: Pair) -> Pair:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _over(a: Pair, b: Pair) -> Pair:
    if b[1] is ex.ZERO:
        return tidy(a[0] / b[0]), tidy(a[1] / b[0])
    norm = b[0] ** 2 + b[1] ** 2
    top = _times(a, (b[0], -b[1]))
    return tidy(top[0] / norm), tidy(top[1] / norm)


def _is_zero(a: Pair) -> bool:
    return all(part is ex.ZERO or same(part, ex.ZERO) for part in a)


def particular(p: Expr, q: Expr, r: Expr, x: str) -> Expr | None:
    """A solution of y'' + p y' + q y = r for p, q free of x; None unless r is a sum of products of
    powers of x, exponentials, and one sine or cosine of linear arguments."""
    whole = ex_expand(r)
    terms = whole.args if whole.op == "add" else (whole,)
    out = []
    for term in terms[: _MOST_TERMS + 1]:
        found = _term(term, x)
        if found is None or len(terms) > _MOST_TERMS or found.power > _MOST_DEGREE:
            return None
        out.append(_solution(found, p, q, x))
    return ex.add(out)


def _solution(t: _Term, p: Expr, q: Expr, x: str) -> Expr:
    """With y = Q(x) exp(m x), m = growth + i turn, the equation is Q'' + E Q' + D Q = x**power."""
    m = (t.growth, t.turn)
    square = _times(m, m)
    D = (tidy(square[0] + p * m[0] + q), tidy(square[1] + p * m[1]))
    E = (tidy(2 * m[0] + p), 2 * m[1])
    n = t.power
    zero = (ex.ZERO, ex.ZERO)
    given: list[Pair] = [zero] * n + [(ex.ONE, ex.ZERO)]
    if not _is_zero(D):
        Q: list[Pair] = [zero] * (n + 3)
        for j in range(n, -1, -1):
            slope, bend = _times(E, Q[j + 1]), Q[j + 2]
            rest = tuple(
                g - (j + 1) * s - (j + 1) * (j + 2) * b
                for g, s, b in zip(given[j], slope, bend, strict=True)
            )
            Q[j] = _over((rest[0], rest[1]), D)
    elif not _is_zero(E):  # resonance: W = Q' has W' + E W = x**n
        W: list[Pair] = [zero] * (n + 2)
        for j in range(n, -1, -1):
            rest = tuple(g - (j + 1) * w for g, w in zip(given[j], W[j + 1], strict=True))
            W[j] = _over((rest[0], rest[1]), E)
        Q = [zero, *((a / (j + 1), b / (j + 1)) for j, (a, b) in enumerate(W))]
    else:
        Q = [zero] * (n + 2) + [(ex.ONE / ((n + 1) * (n + 2)), ex.ZERO)]
    cosine, sine = (
        (ex.call("cos", t.angle), ex.call("sin", t.angle)) if t.name else (ex.ONE, ex.ZERO)
    )
    parts = []
    for j, (a, b) in enumerate(Q):
        value = a * sine + b * cosine if t.name == "sin" else a * cosine - b * sine
        parts.append(value * ex.symbol(x) ** j)
    return t.factor * ex.call("exp", t.growth * ex.symbol(x)) * ex.add(parts)
