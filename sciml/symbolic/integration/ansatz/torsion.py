"""Pseudo-elliptic integrals: logarithms on the curve r**n = P(v) from its torsion points.

No factor of a denominator suggests these columns. The function q r / p belongs to a logarithm of
the answer if k p**n - q**n P vanishes only where the integrand has poles (or at infinity): then its
divisor is torsion. For square roots, such p and q are found at the poles by lifting a square root
of P modulo their factor g to g**m and running the Euclidean algorithm (rational reconstruction),
and at infinity by the continued fraction of sqrt(P). For higher roots, lines through poles, branch
points and infinity are tried.

Sources: N. H. Abel (1826), "Ueber die Integration der Differential-Formel rho dx / sqrt(R)";
J. H. Davenport (1981), "On the Integration of Algebraic Functions".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import numpy as np
from flint import fmpq, fmpq_poly

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import ONE, Poly, Quotient
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.algebra.univariate import fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.rational import factor_integer
from sciml.symbolic.integration.ansatz.linear_system import Column
from sciml.symbolic.integration.ansatz.logarithmic_terms import arctangent
from sciml.symbolic.integration.ansatz.support import Problem
from sciml.symbolic.integration.rational_functions import integrate_rational

_TWISTS: tuple[int, ...] = (1, -1, 2, -2, 3, -3, 5, -5, 6, -6, 7, -7, 10, -10)
_MAX_LIFTED_DEGREE = 14
_MAX_CONTINUED_FRACTION_STEPS = 14
_MAX_COLUMNS = 60
_MAX_BITS = 400


def _univariate(p: Poly, i: int) -> fmpq_poly | None:
    """p as a polynomial in kernel i alone."""
    degrees = fd.degrees(p)
    if any(d for j, d in enumerate(degrees) if j != i):
        return None
    out = [0] * (degrees[i] + 1)
    for monomial, c in p.terms():
        out[int(monomial[i])] = int(c)
    return fmpq_poly(out)


def _quotient(p: fmpq_poly, i: int) -> Quotient:
    """The polynomial as a quotient of the tower."""
    out = fd.Q0
    for k, c in enumerate(p.coeffs()):
        out = out + fd.constant(fraction(c)) * fd.generator(i, k)
    return out


def _number(v: Fraction) -> fmpq:
    return fmpq(v.numerator, v.denominator)


def _square_free(v: Fraction) -> int:
    """k with v = k times a square."""
    out = 1 if v > 0 else -1
    for prime, times in factor_integer(abs(v.numerator * v.denominator)).items():
        if times % 2:
            out *= prime
    return out


def _rational_zeros(p: fmpq_poly) -> list[Fraction]:
    return [fraction(-fmpq(q[0]) / fmpq(q[1])) for q, _ in p.factor()[1] if q.degree() == 1]


def _is_product_of(n: fmpq_poly, allowed: list[fmpq_poly]) -> bool:
    """Whether n is a constant times powers of the allowed polynomials."""
    if not n:
        return False
    for q in allowed:
        while n.degree() > 0 and not n % q:
            n = n // q
    return n.degree() == 0


# ---------------------------------------------------------------------- square roots
def _root_modulo(p: fmpq_poly, g: fmpq_poly, twist: int) -> fmpq_poly | None:
    """s with twist s**2 = p modulo the irreducible g, or None; guessed from numerical roots, then
    proved."""
    size = g.degree()
    zeros = np.roots([float(fraction(c)) for c in reversed(g.coeffs())])
    values = np.array([complex(_evaluate(p, z)) for z in zeros]) / twist
    roots = np.sqrt(values.astype(complex))
    powers = np.vander(zeros, size, increasing=True)
    for signs in itertools.product((1, -1), repeat=size - 1):
        coefficients = np.linalg.solve(powers, roots * np.array((1, *signs)))
        if np.abs(coefficients.imag).max() > 1e-7 * (1 + np.abs(coefficients.real).max()):
            continue
        near = [Fraction(float(c.real)).limit_denominator(2000) for c in coefficients]
        s = fmpq_poly([_number(c) for c in near])
        if not (s * s * twist - p) % g:
            return s
    return None


def _evaluate(p: fmpq_poly, z: complex) -> complex:
    out = 0j
    for c in reversed(p.coeffs()):
        out = out * z + float(fraction(c))
    return out


def _at_poles(
    p: fmpq_poly, splits: list[tuple[fmpq_poly, fmpq_poly]], g: fmpq_poly,
    poles: list[fmpq_poly],
) -> Iterator[tuple[int, fmpq_poly, fmpq_poly]]:  # fmt: skip
    """(k, bottom, top) such that k bottom**2 - top**2 p is a product of the poles' factors and
    vanishes at g = 0."""
    twists = _TWISTS
    if g.degree() == 1:
        twists = (_square_free(fraction(p(_number(_rational_zeros(g)[0])))),)
    for twist in twists:
        s = _root_modulo(p, g, twist)
        if s is None:
            continue
        for m in range(1, max(_MAX_LIFTED_DEGREE // g.degree(), 1) + 1):
            modulus = g**m
            precision_reached = 1
            while precision_reached < m:
                precision_reached *= 2
                s = (s + p * _inverse(s * twist, modulus)) * fmpq(1, 2) % modulus
            for first, second in splits:
                t = s * _inverse(first, modulus) % modulus
                for bottom, top in _remainders(modulus, t):
                    norm = first * bottom * bottom * twist - second * top * top
                    if norm.degree() <= modulus.degree() and _is_product_of(norm, poles):
                        yield twist, first * bottom, top


def _inverse(a: fmpq_poly, modulus: fmpq_poly) -> fmpq_poly:
    g, u, _ = a.xgcd(modulus)
    return u * (1 / fmpq(g[0])) % modulus if g.degree() == 0 else fmpq_poly([0])


def _remainders(modulus: fmpq_poly, t: fmpq_poly) -> Iterator[tuple[fmpq_poly, fmpq_poly]]:
    """(a, b) with a = b t modulo `modulus`: the degree of a falls, that of b rises."""
    a, b = modulus, t
    u, v = fmpq_poly([0]), fmpq_poly([1])
    while b:
        if _bits(b) > _MAX_BITS:
            return
        yield b, v
        q = a // b
        a, b = b, a - q * b
        u, v = v, u - q * v


def _bits(p: fmpq_poly) -> int:
    return max((int(c.p).bit_length() + int(c.q).bit_length() for c in p.coeffs()), default=0)


def _at_infinity(p: fmpq_poly) -> Iterator[tuple[int, fmpq_poly, fmpq_poly]]:
    """(k, a, b) for units a + b sqrt(p) at infinity, by the continued fraction of sqrt(p); only for
    even degrees."""
    degree = p.degree()
    if degree % 2:
        return
    lead = fraction(fmpq(p[degree]))
    twist = _square_free(lead)
    scaled = p * fmpq(1, twist)
    root = fd.rational_root(lead / twist)
    if root is None:
        return
    base = _integral_root(scaled, root)
    a, m, q = base, fmpq_poly([0]), fmpq_poly([1])
    previous, convergent = fmpq_poly([1]), a
    previous_denominator, denominator = fmpq_poly([0]), fmpq_poly([1])
    for _ in range(_MAX_CONTINUED_FRACTION_STEPS):
        m = a * q - m
        q = (scaled - m * m) // q
        if not q:
            return
        if q.degree() == 0:
            yield twist, convergent, denominator
            return
        a = (base + m) // q
        previous, convergent = convergent, a * convergent + previous
        previous_denominator, denominator = denominator, a * denominator + previous_denominator
        if _bits(convergent) > _MAX_BITS:
            return


def _integral_root(p: fmpq_poly, lead: Fraction) -> fmpq_poly:
    """The polynomial part of sqrt(p)."""
    half = p.degree() // 2
    out = fmpq_poly([0] * half + [_number(lead)])
    for k in range(half - 1, -1, -1):
        rest = p - out * out
        out = out + fmpq_poly([0] * k + [fmpq(rest[half + k]) / _number(2 * lead)])
    return out


def _splits(p: fmpq_poly) -> list[tuple[fmpq_poly, fmpq_poly]]:
    """Some (p1, p2) with p = p1 p2 from its irreducible factors."""
    factors = [q for q, _ in p.factor()[1]]
    out = []
    for size in range(len(factors) + 1):
        for chosen in itertools.combinations(factors, size):
            first = fmpq_poly([1])
            for q in chosen:
                first = first * q
            if first.degree() <= p.degree() / 2:
                out.append((first, p // first))
    return out[:8]


# ---------------------------------------------------------------------- higher roots
def _lines(p: fmpq_poly, n: int, poles: list[fmpq_poly]) -> Iterator[tuple[Fraction, fmpq_poly]]:
    """(k, w) with linear w such that k w**n - p may vanish at poles only."""
    poles_at = [a for g in poles for a in _rational_zeros(g)]
    branches = _rational_zeros(p)
    slope = p.derivative()
    for a in poles_at:
        value = fraction(p(_number(a)))
        if not value:
            continue
        yield value, fmpq_poly([1])
        tangent = fraction(slope(_number(a))) / (n * value)
        yield value, fmpq_poly([_number(1 - tangent * a), _number(tangent)])
        for b in branches:
            yield value, fmpq_poly([_number(-b / (a - b)), _number(1 / (a - b))])
    if p.degree() == n:
        lead = fraction(fmpq(p[n]))
        middle = fraction(fmpq(p[n - 1])) / (n * lead)
        for b in [-middle, *branches]:
            yield lead, fmpq_poly([_number(-b), 1])


def _columns_of_line(
    tower: Tower, i: int, v: int, n: int, k: Fraction, w: fmpq_poly
) -> list[Column]:
    """The integrals of y**j dy / (k - y**n) with y = r/w."""
    y = fd.generator(i) / _quotient(w, v)
    inner = tower.derivative(y) / (fd.constant(k) - y**n)
    t = ex.symbol("_t")
    out = []
    for j in range(n - 1):
        integral = integrate_rational(t**j / (ex.number(k) - t**n), "_t")
        if integral is not None:
            build = partial(_substituted, integral, tower, y)
            out.append(Column.of_derivative(inner * y**j, build))
    return out


def _substituted(integral: Expr, tower: Tower, y: Quotient) -> Expr:
    return ex.substitute(integral, {ex.symbol("_t"): tower.to_expr(y)})


def torsion_columns(problem: Problem) -> list[Column]:
    """The columns for every radical whose radicand is a polynomial in one kernel."""
    tower, out = problem.tower, []
    for i, kernel in enumerate(list(tower.kernels)):
        if kernel.kind != "radical" or kernel.radicand.d != ONE:
            continue
        variables = [v for v, d in enumerate(fd.degrees(kernel.radicand.n)) if d]
        p = _univariate(kernel.radicand.n, variables[0]) if len(variables) == 1 else None
        if p is None or not 2 <= p.degree() <= 8 or p.gcd(p.derivative()).degree():
            continue
        v, n = variables[0], kernel.degree
        factors = [_univariate(q, v) for q, _ in problem.factors]
        poles = [g for g in factors if g is not None and 0 < g.degree() <= 4 and p % g]
        if n > 2:
            allowed = poles + [q for q, _ in p.factor()[1]]
            for k, line in _lines(p, n, poles):
                if _is_product_of(line**n * _number(k) - p, allowed):
                    out += _columns_of_line(tower, i, v, n, k, line)
            continue
        if p.degree() < 3:
            continue
        pairs = list(_at_infinity(p))
        for g in poles:
            pairs += _at_poles(p, _splits(p), g, poles)
        for twist, bottom, top in pairs[:_MAX_COLUMNS]:
            w = _quotient(top, v) * fd.generator(i) / _quotient(bottom, v)
            out.append(arctangent(tower, w, -twist))
    return out
