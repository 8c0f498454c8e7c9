"""Liouvillian solutions of y'' + p y' + q y = 0 for rational p, q: case 1 of Kovacic's algorithm.

The solutions have the form exp(g) P(x) with a rational g' and a polynomial P; only rational
singular points are treated. The exponents at the finite singular points come from the indicial
equations, the factor exp(m x**2 + l x) from the leading terms at infinity, and P from linear
algebra over the rationals.

Source: J. J. Kovacic (1986), "An algorithm for solving second order linear homogeneous differential
equations", J. Symb. Comp. 2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

from flint import fmpq, fmpq_mat, fmpq_poly

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

_MAX_DEGREE = 5
_MAX_TRIES = 200


def _rational_roots(p: fmpq_poly) -> list[Fraction]:
    """The rational roots of a polynomial."""
    _, factors = p.factor()
    return [fraction(-fmpq(f[0]) / fmpq(f[1])) for f, _ in factors if f.degree() == 1]


def _roots_of_quadratic(b: Fraction, c: Fraction) -> list[Fraction]:
    """The rational roots of t**2 + b t + c."""
    root = fd.rational_root(b * b - 4 * c) if b * b != 4 * c else Fraction(0)
    if root is None:
        return []
    return sorted({(-b + root) / 2, (-b - root) / 2})


def _expansion_at_infinity(
    n: fmpq_poly, d: fmpq_poly, highest: int, count: int
) -> list[Fraction] | None:
    """The first `count` coefficients of n/d at infinity, from x**highest on; None if it grows
    faster."""
    if n.degree() - d.degree() > highest:
        return None
    shift = count + highest
    quotient = (n * fmpq_poly([0] * max(shift, 0) + [1])) // d
    coefficients = []
    for k in range(count):
        power = highest - k + max(shift, 0)
        coefficients.append(fraction(fmpq(quotient[power])) if 0 <= power else Fraction(0))
    return coefficients


def _exponential_growth(
    p: tuple[fmpq_poly, fmpq_poly], q: tuple[fmpq_poly, fmpq_poly]
) -> Iterator[tuple[Fraction, Fraction]]:
    """(m, l) of the possible factors exp(m x**2 + l x)."""
    a = _expansion_at_infinity(*p, 1, 2)
    b = _expansion_at_infinity(*q, 2, 3)
    if a is None or b is None:
        return
    for two_m in _roots_of_quadratic(a[0], b[0]):
        slope = 2 * two_m + a[0]
        if slope != 0:
            yield two_m / 2, -(a[1] * two_m + b[1]) / slope
        elif a[1] * two_m + b[1] == 0:
            for growth in _roots_of_quadratic(a[1], b[2] + two_m):
                yield two_m / 2, growth


def _indicial_exponents(p: tuple, q: tuple, s: Fraction) -> list[Fraction]:
    """The rational roots of the indicial equation at x = s; [0] at an irregular singular point."""
    line = fmpq_poly([fmpq(-s.numerator, s.denominator), 1])
    at = fmpq(s.numerator, s.denominator)
    values = []
    for (n, d), power in ((p, 1), (q, 2)):
        numerator = n * line**power
        common = numerator.gcd(d)
        numerator, denominator = numerator // common, d // common
        if denominator(at) == 0:
            return [Fraction(0)]
        values.append(fraction(fmpq(numerator(at)) / fmpq(denominator(at))))
    return _roots_of_quadratic(values[0] - 1, values[1])


def liouvillian_solutions(p: Expr, q: Expr, x: str) -> Iterator[Expr]:
    """The solutions of the module's form."""
    rp, rq = as_rational(p, x), as_rational(q, x)
    if rp is None or rq is None:
        return
    points = sorted({*_rational_roots(rp[1]), *_rational_roots(rq[1])})
    if len(points) > 4:
        return
    choices = [_indicial_exponents(rp, rq, s) or [Fraction(0)] for s in points]
    tries = 0
    for (m, growth), exponents in itertools.product(
        list(_exponential_growth(rp, rq)), itertools.product(*choices)
    ):
        tries += 1
        if tries > _MAX_TRIES:
            return
        coefficients = _polynomial_factor(rp, rq, points, exponents, m, growth)
        if coefficients is not None:
            symbol = ex.symbol(x)
            parts: list[Expr] = [
                ex.power(symbol - ex.number(s), ex.number(e))
                for s, e in zip(points, exponents, strict=True)
            ]
            parts.append(ex.call("exp", ex.number(m) * symbol**2 + ex.number(growth) * symbol))
            parts.append(ex.add([ex.number(c) * symbol**k for k, c in enumerate(coefficients)]))
            yield ex.mul(parts)


def _polynomial_factor(
    p: tuple, q: tuple, points: list[Fraction], exponents: tuple[Fraction, ...], m: Fraction,
    growth: Fraction,
) -> list[Fraction] | None:  # fmt: skip
    """The coefficients of P with P'' + (p + 2 g') P' + (q + p g' + g'' + g'**2) P = 0, or None."""

    def value(x: Fraction) -> tuple[Fraction, Fraction] | None:
        at = fmpq(x.numerator, x.denominator)
        if p[1](at) == 0 or q[1](at) == 0 or x in points:
            return None
        pv = fraction(fmpq(p[0](at)) / fmpq(p[1](at)))
        qv = fraction(fmpq(q[0](at)) / fmpq(q[1](at)))
        g1, g2 = 2 * m * x + growth, 2 * m
        for s, e in zip(points, exponents, strict=True):
            g1 += e / (x - s)
            g2 -= e / (x - s) ** 2
        return pv + 2 * g1, qv + pv * g1 + g2 + g1 * g1

    rows: list[list[fmpq]] = []
    k = 0
    while len(rows) < _MAX_DEGREE + 5:
        k += 1
        x = Fraction(2 * k + 1, 7)
        pair = value(x)
        if pair is None:
            continue
        b, c = pair
        row = []
        for n in range(_MAX_DEGREE + 1):
            v = c * x**n
            v += b * n * x ** (n - 1) if n else 0
            v += n * (n - 1) * x ** (n - 2) if n > 1 else 0
            row.append(fmpq(v.numerator, v.denominator))
        rows.append(row)
    echelon, rank = fmpq_mat(rows).rref()
    width = _MAX_DEGREE + 1
    if rank == width:
        return None
    pivots = []
    for i in range(rank):
        j = 0
        while echelon[i, j] == 0:
            j += 1
        pivots.append(j)
    free = next(j for j in range(width) if j not in pivots)
    out = [Fraction(0)] * width
    out[free] = Fraction(1)
    for i, j in enumerate(pivots):
        out[j] = -fraction(fmpq(echelon[i, free]))
    return out
