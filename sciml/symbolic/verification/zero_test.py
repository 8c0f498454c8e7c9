"""Zero test for polynomials in the generators of a case (see `sign_conditions`).

A polynomial is reduced by the relations of its roots first. Where the roots satisfy further
relations, as in sqrt(2 + sqrt(3)) = (sqrt(6) + sqrt(2)) / 2, a number is shown to be zero by a norm
bound: a non-zero algebraic integer of degree n whose conjugates are at most B in absolute value is
at least B**(1-n), because the product of its conjugates is a non-zero integer. An algebraic
function of one variable is zero if it vanishes at more points than its norm can have roots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Poly
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.verification.normal_form import Case
from sciml.symbolic.verification.root_isolation import exact_midpoint, simple_between

_MAX_BITS = 30_000
_MAX_POINTS = 400


def vanishes(case: Case, p: Poly) -> bool:
    """Whether a reduced polynomial in the generators is the function zero."""
    if p == 0:
        return True
    roots = [i for i in case.used(p) if case.generators[i].order]
    if not roots:
        return False
    variables = frozenset().union(*(case.generators[i].depends_on for i in roots))
    if len(variables) > 1:
        return False
    algebraic = {i for i in case.used(p) if case.generators[i].depends_on <= variables
             and (case.generators[i].order or i in variables)}  # fmt: skip
    return all(_is_zero_function(case, q, variables) for q in _coefficients(p, algebraic))


def _coefficients(p: Poly, algebraic: set[int]) -> Iterator[Poly]:
    """The coefficients of p as a polynomial in the generators outside `algebraic`."""
    by_outside: dict[tuple[int, ...], dict[tuple[int, ...], Any]] = {}
    for monomial, c in p.terms():
        m = fd.exponents(monomial)
        outside = tuple(0 if i in algebraic else e for i, e in enumerate(m))
        inside = tuple(e if i in algebraic else 0 for i, e in enumerate(m))
        by_outside.setdefault(outside, {})[inside] = c
    for part in by_outside.values():
        yield fd.RING.from_dict(part)


def _root_tower(case: Case, p: Poly) -> list[int]:
    """The generators of p and, recursively, those of the radicands of its roots."""
    indices: set[int] = set()
    pending = [p]
    while pending:
        for i in case.used(pending.pop()):
            if i not in indices:
                indices.add(i)
                if case.generators[i].order:
                    pending.append(case.generators[i].power)
    return sorted(indices)


def _is_zero_function(case: Case, p: Poly, variables: frozenset[int]) -> bool:
    """Whether an algebraic function of at most one variable is zero: it is evaluated at more points
    than the degree of its norm."""
    if not variables or not any(i in variables for i in _root_tower(case, p)):
        return _is_zero_number(case, p, {})
    (variable,) = variables
    name = case.generators[variable].name
    degree = math.prod(case.generators[i].order or 1 for i in _root_tower(case, p))
    growth: dict[int, Fraction] = {}
    for i in _root_tower(case, p):
        g = case.generators[i]
        growth[i] = (Fraction(1) if i == variable else
                     _growth(g.power, growth) / g.order if g.order else Fraction(0))  # fmt: skip
    max_zeros = int(degree * _growth(p, growth)) + 1
    if max_zeros > _MAX_POINTS or name not in case.samples:
        return False
    centre, half = _interval_about_sample(case, name)
    old = case.samples
    try:
        for k in range(max_zeros + 1):
            point = centre + half * Fraction(2 * k - max_zeros, 2 * max_zeros + 2)
            case.samples = {**old, name: point}
            if not _is_zero_number(case, p, {variable: point}):
                return False
    finally:
        case.samples = old
    return True


def _growth(p: Poly, growth: dict[int, Fraction]) -> Fraction:
    """The degree in the variable; roots count with their fractional degrees `growth`."""
    return max((sum((growth.get(i, Fraction(0)) * e for i, e in enumerate(fd.exponents(m)) if e),
                    Fraction(0)) for m, _ in p.terms()), default=Fraction(0))  # fmt: skip


def _interval_about_sample(case: Case, name: str) -> tuple[Fraction, Fraction]:
    """The sample point and a distance within which no end of its part of the line lies."""
    polynomial, point = case.refinement.separators[name], case.samples[name]
    if polynomial.degree() < 1:
        return point, Fraction(1)
    with precision(256):
        at = fraction(point)
        distances = [exact_midpoint(abs(z.real - at).lower()) for z, _ in polynomial.complex_roots()
                     if z.imag == 0]  # fmt: skip
    near = min([d for d in distances if d > 0], default=Fraction(1))
    return point, simple_between(near / 4, near / 2)


def _is_zero_number(case: Case, p: Poly, points: dict[int, Fraction]) -> bool:
    """Whether p is zero at a rational value of its variable, by a bound on its conjugates."""
    bounds: dict[int, tuple[float, int]] = {}
    degree = 1
    for i in _root_tower(case, p):
        g = case.generators[i]
        if g.kind == "root" and not g.real and g.depends_on:
            return False  # a principal root may jump
        if i in points:  # n / d is the integer n times 1 / d
            bounds[i] = (float(abs(points[i].numerator)) or 1.0, points[i].denominator)
        elif g.kind == "imaginary" or g.order and g.power is not None:
            bound, denominator = _conjugate_bound(g.power, bounds)
            scale = max(1.0, denominator ** (1 - 1 / g.order))
            bounds[i] = (bound ** (1 / g.order) * scale, denominator)
            degree *= g.order
        else:
            return False
    bound, denominator = _conjugate_bound(p, bounds)
    if not (math.isfinite(bound) and bound > 0):
        return False
    bits = int(degree * max(1.0, math.log2(bound * 1.01))) + 64
    if bits > _MAX_BITS:
        return False
    with precision(2 * bits + 256):
        z = case.value(p)
        # denominator * p is an algebraic integer; it is zero if it is smaller than the bound.
        return bool(z.is_finite() and float((abs(z) * denominator * 2 ** (bits - 64)).upper())
                    < 1)  # fmt: skip


def _conjugate_bound(p: Poly, bounds: dict[int, tuple[float, int]]) -> tuple[float, int]:
    """(B, d) such that d p is an algebraic integer whose conjugates are at most B in absolute
    value, from the same for the generators."""
    denominator = 1
    for monomial, _ in p.terms():
        d = math.prod(bounds[i][1] ** e for i, e in enumerate(fd.exponents(monomial)) if e)
        denominator = math.lcm(denominator, d)
    total = 0.0
    for monomial, c in p.terms():
        term, d = float(abs(int(c))), 1
        for i, e in enumerate(fd.exponents(monomial)):
            if e:
                term *= bounds[i][0] ** e
                d *= bounds[i][1] ** e
        total += term * float(denominator // d)
    return total, denominator
