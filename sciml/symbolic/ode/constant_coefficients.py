"""Linear second-order equations y'' + p y' + q y = r with constant coefficients, which may be
symbols: the characteristic equation and undetermined coefficients.

Source: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I, A4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.tools import numerically_equal, tidy

MAX_DEGREE = 8
MAX_TERMS = 12


def square_root(d: Expr) -> Expr:
    """A square root of d, with even powers of symbols taken out of the root."""
    outside: list[Expr] = []
    inside: list[Expr] = []
    square, d = _numeric_square(d)
    outside.append(ex.number(square))
    for f in d.args if d.op == "mul" else (d,):
        if f.op == "num" and f.value > 0:
            outside.append(ex.sqrt(f))
        elif f.op == "pow" and f.args[1].op == "num" and f.args[1].value % 2 == 0:
            outside.append(ex.power(f.args[0], f.args[1] / 2))
        else:
            inside.append(f)
    return ex.mul([*outside, ex.sqrt(ex.mul(inside))])


def _numeric_square(d: Expr) -> tuple[Fraction, Expr]:
    """(s, e) with d = s**2 e, for a sum with a rational square in all its terms: 4 a**2 - 4 b is
    2**2 (a**2 - b). Sums in factored form are multiplied out where that leaves few terms."""
    total = expand(d)
    if total.op != "add" or len(total.args) > 4 or any(ex.is_negative_power(n)
                                                       for n in ex.subtrees(total)):  # fmt: skip
        return Fraction(1), d
    numbers = [ex.split_coefficient(t)[0] for t in total.args]
    content = Fraction(gcd(*[n.numerator for n in numbers]), lcm(*[n.denominator for n in numbers]))
    side = Fraction(1)
    for p in (2, 3, 5, 7):
        while content.numerator % p**2 == 0:
            content, side = content / p**2, side * p
        while content.denominator % p**2 == 0:
            content, side = content * p**2, side / p
    if side == 1:
        return side, d
    return side, ex.add([t / side**2 for t in total.args])


def fundamental_system(p: Expr, q: Expr, x: Expr) -> tuple[Expr, Expr]:
    """Two independent solutions of y'' + p y' + q y = 0 from its characteristic equation: exp(m x)
    with m**2 + p m + q = 0, or cos and sin if the discriminant has a negative sign in front (both
    forms hold for all complex values of its symbols)."""
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
class Term:
    """factor * x**power * exp(growth x) * name(angle) with angle = turn x + phase; `name` is cos or
    sin, or empty if there is neither."""

    factor: Expr
    power: int
    growth: Expr
    name: str
    angle: Expr
    turn: Expr


def _linear_slope(u: Expr, x: str) -> Expr | None:
    """The a of u = a x + b with a, b free of x; None for any other u."""
    a = tidy(u.diff(x))
    return None if x in a.free else a


def read_term(term: Expr, x: str) -> Term | None:
    """A power of x times an exponential times a sine or cosine, if `term` is one."""
    factor, power, growth, name, angle, turn = ex.ONE, 0, ex.ZERO, "", ex.ZERO, ex.ZERO
    for f in term.args if term.op == "mul" else (term,):
        if x not in f.free:
            factor = factor * f
        elif f is ex.symbol(x):
            power += 1
        elif f.op == "pow" and f.args[0] is ex.symbol(x) and f.args[1].op == "num":
            n = f.args[1].value
            if n.denominator != 1 or not 0 < n <= MAX_DEGREE:
                return None
            power += int(n)
        elif f.op in ("exp", "sin", "cos") and (a := _linear_slope(f.args[0], x)) is not None:
            if f.op == "exp":
                growth = growth + a
                factor = factor * ex.call("exp", tidy(f.args[0] - a * ex.symbol(x)))
            elif name:
                return None
            else:
                name, angle, turn = f.op, f.args[0], a
        else:
            return None
    return Term(factor, power, growth, name, angle, turn)


Pair = tuple[Expr, Expr]
"""The real and imaginary part of a complex number."""


def times(a: Pair, b: Pair) -> Pair:
    """The product of two complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def over(a: Pair, b: Pair) -> Pair:
    """The quotient of two complex numbers."""
    if b[1] is ex.ZERO:
        return tidy(a[0] / b[0]), tidy(a[1] / b[0])
    norm = b[0] ** 2 + b[1] ** 2
    product = times(a, (b[0], -b[1]))
    return tidy(product[0] / norm), tidy(product[1] / norm)


def is_zero(a: Pair) -> bool:
    """Whether both parts are zero."""
    return all(part is ex.ZERO or numerically_equal(part, ex.ZERO) for part in a)


def undetermined_coefficients(p: Expr, q: Expr, r: Expr, x: str) -> Expr | None:
    """A particular solution of y'' + p y' + q y = r for p, q free of x by undetermined
    coefficients; None unless r is a sum of products of powers of x, exponentials, and one sine or
    cosine of linear arguments."""
    expanded = expand(r)
    terms = expanded.args if expanded.op == "add" else (expanded,)
    solutions = []
    for term in terms[: MAX_TERMS + 1]:
        parsed = read_term(term, x)
        if parsed is None or len(terms) > MAX_TERMS or parsed.power > MAX_DEGREE:
            return None
        solutions.append(_solution_for_term(parsed, p, q, x))
    return ex.add(solutions)


def _solution_for_term(t: Term, p: Expr, q: Expr, x: str) -> Expr:
    """With y = Q(x) exp(m x), m = growth + i turn, the equation is Q'' + E Q' + D Q = x**power."""
    m = (t.growth, t.turn)
    square = times(m, m)
    D = (tidy(square[0] + p * m[0] + q), tidy(square[1] + p * m[1]))
    E = (tidy(2 * m[0] + p), 2 * m[1])
    n = t.power
    zero = (ex.ZERO, ex.ZERO)
    right_side: list[Pair] = [zero] * n + [(ex.ONE, ex.ZERO)]
    if not is_zero(D):
        Q: list[Pair] = [zero] * (n + 3)
        for j in range(n, -1, -1):
            first_order, second_order = times(E, Q[j + 1]), Q[j + 2]
            remainder = tuple(
                g - (j + 1) * s - (j + 1) * (j + 2) * b
                for g, s, b in zip(right_side[j], first_order, second_order, strict=True)
            )
            Q[j] = over((remainder[0], remainder[1]), D)
    elif not is_zero(E):  # resonance: W = Q' has W' + E W = x**n
        W: list[Pair] = [zero] * (n + 2)
        for j in range(n, -1, -1):
            remainder = tuple(g - (j + 1) * w for g, w in zip(right_side[j], W[j + 1], strict=True))
            W[j] = over((remainder[0], remainder[1]), E)
        Q = [zero, *((a / (j + 1), b / (j + 1)) for j, (a, b) in enumerate(W))]
    else:
        Q = [zero] * (n + 2) + [(ex.ONE / ((n + 1) * (n + 2)), ex.ZERO)]
    return with_polynomial(t, Q, x)


def with_polynomial(t: Term, Q: Sequence[Pair], x: str) -> Expr:
    """The term `t` with the polynomial that has the complex coefficients `Q`, lowest first, in the
    place of its power of x: the real part for a cosine, the imaginary one for a sine."""
    cosine, sine = (
        (ex.call("cos", t.angle), ex.call("sin", t.angle)) if t.name else (ex.ONE, ex.ZERO)
    )
    parts = []
    for j, (a, b) in enumerate(Q):
        value = a * sine + b * cosine if t.name == "sin" else a * cosine - b * sine
        parts.append(value * ex.symbol(x) ** j)
    return t.factor * ex.call("exp", t.growth * ex.symbol(x)) * ex.add(parts)
