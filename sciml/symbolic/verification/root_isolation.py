"""Isolation of the real roots of a polynomial, and rational points between them."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.expr.intervals import precision


def interval_samples(polynomial: Any, positive: bool) -> list[Fraction]:
    """A rational point between every two neighbouring real roots, and one beyond each outer root;
    only positive ones if `positive`."""
    isolated = _isolated_roots(polynomial) if polynomial.degree() > 0 else []
    if not isolated:
        return [Fraction(3, 7)]
    low, high = isolated[0][0], isolated[-1][1]
    samples = [
        simple_between(low - 1 - abs(low), low),
        *(simple_between(a[1], b[0]) for a, b in pairwise(isolated)),
        simple_between(high, high + 1 + abs(high)),
    ]
    return [p for p in samples if p > 0] if positive else samples


def _isolated_roots(polynomial: Any) -> list[tuple[Fraction, Fraction]]:
    """Disjoint enclosures (low, high) of the real roots, in ascending order."""
    bits = 128
    while True:
        with precision(bits):
            roots = [z.real for z, _ in polynomial.complex_roots() if z.imag == 0]
            try:
                enclosures = sorted(
                    (exact_midpoint(r.lower()), exact_midpoint(r.upper())) for r in roots
                )
            except ValueError:
                enclosures = []
        if len(enclosures) == len(roots) and all(a[1] < b[0] for a, b in pairwise(enclosures)):
            return enclosures
        if bits > 10_000:
            raise Failure("roots too close together")
        bits *= 4


def exact_midpoint(r: Any) -> Fraction:
    """The midpoint of a real ball as a fraction."""
    mantissa, exponent = r.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def simple_between(low: Fraction, high: Fraction) -> Fraction:
    """A rational number with few digits strictly between two numbers."""
    middle, below = (low + high) / 2, 1
    while True:
        near = middle.limit_denominator(below)
        if low < near < high:
            return near
        if below > 10**40:
            return middle
        below *= 10
