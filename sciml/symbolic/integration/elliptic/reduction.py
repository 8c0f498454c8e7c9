"""Reduction of R(x)/sqrt(P(x)) to an algebraic function and a basis of integrals.

For a square-free P of degree n, R / sqrt(P) is the derivative of Q sqrt(P) with a rational Q, plus
constant multiples of x**k / sqrt(P) for k <= n - 2, plus terms r / (g sqrt(P)) with square-free
g that have no factor in common with P. The numerator of Q, the constants and the numerators r are
found together, by linear equations.

Source: C. Hermite's method for hyperelliptic integrals; Bronstein, Symbolic Integration I, 2.2;
Byrd and Friedman, Handbook of Elliptic Integrals (1971), 200-250.
"""

from __future__ import annotations

from dataclasses import dataclass

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.kernel_vectors import kernel_vector

_X = GENERATORS[0]
_MAX_UNKNOWNS = 40
_HALF = fd.constant(fd.Fraction(1, 2))


@dataclass(frozen=True)
class Reduced:
    """R/Y = d(outside Y)/dx + sum powers[k] x**k/Y + sum r/(g Y) over the `poles` (g, r)."""

    outside: Quotient
    powers: list[Quotient]
    poles: list[tuple[Poly, Quotient]]


def slope(u: Quotient) -> Quotient:
    """The derivative by x, everything else constant."""
    return Quotient(u.n.derivative(0) * u.d - u.n * u.d.derivative(0), u.d * u.d)


def degree(p: Poly) -> int:
    """The degree in x."""
    return fd.degrees(p)[0]


def reduce_to_basis(r: Quotient, p: Poly) -> Reduced:
    """The reduction of r/sqrt(p).

    Args:
        r: a quotient of polynomials in x (generator 0) and constants.
        p: a square-free polynomial of x of degree 1 and more.

    Raises:
        Failure: where the system is too large.
    """
    below, poles = ONE, []
    for g, k in fd.factor(r.d)[1]:
        if not degree(g):
            continue
        if degree(p.gcd(g)):
            below = below * g ** int(k)
        else:
            below = below * g ** (int(k) - 1)
            poles.append(g)
    n = degree(p)
    top = max(degree(r.n) - degree(r.d) - n + 1, -1) + degree(below)
    unknowns = top + n + sum(degree(g) for g in poles)
    if unknowns > _MAX_UNKNOWNS:
        raise Failure("too many unknowns")
    columns = []
    for i in range(top + 1):
        q = Quotient(_X**i, below)
        columns.append(slope(q) * Quotient(p) + _HALF * q * Quotient(p.derivative(0)))
    columns += [Quotient(_X**k) for k in range(n - 1)]
    columns += [Quotient(_X**k, g) for g in poles for k in range(degree(g))]
    solution = solve(columns, r)
    outside = fd.Q0
    for i in range(top + 1):
        outside = outside + solution[i] * Quotient(_X**i, below)
    powers = solution[top + 1 : top + n]
    rest, numerators = solution[top + n :], []
    for g in poles:
        numerator = fd.Q0
        for k in range(degree(g)):
            numerator = numerator + rest[k] * Quotient(_X**k)
        rest = rest[degree(g) :]
        if not numerator.is_zero:
            numerators.append((g, numerator))
    return Reduced(outside, powers, numerators)


def solve(columns: list[Quotient], target: Quotient) -> list[Quotient]:
    """The constants c with sum c_i columns[i] = target."""
    common = target.d
    for c in columns:
        common = fd.lcm(common, c.d)
    scaled = [(c * Quotient(common)) for c in (*columns, -target)]
    height = max(degree(c.n) for c in scaled)
    parts = [fd.by_degree(c.n, 0, height) for c in scaled]
    rows = [
        [Quotient(part[k], c.d) for part, c in zip(parts, scaled, strict=True)]
        for k in range(height + 1)
    ]
    solution = kernel_vector([row for row in rows if any(not z.is_zero for z in row)])
    if solution is None or solution[-1].is_zero:
        raise Failure("the integrand has no such form")
    return solution[:-1]
