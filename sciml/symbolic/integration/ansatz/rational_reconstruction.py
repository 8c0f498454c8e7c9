"""Rational reconstruction: from coefficients modulo primes to rational numbers, or to rational
functions of the parameters.

Constants of a problem without a relation (pi, log(2), a named constant) are parameters, and the
coefficients are rational functions of them. These are interpolated from solutions at many values of
the parameters modulo a prime, one parameter after another; Chinese remaindering over the primes and
rational reconstruction then give their rational coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from flint import nmod_poly

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr

if TYPE_CHECKING:
    from sciml.symbolic.integration.ansatz.linear_system import System

_SAMPLE_SIZES = (5, 9, 16, 28, 48)
_MAX_PARAMETERS = 4


def reconstruct(a: int, modulus: int) -> Fraction | None:
    """The fraction n/d with n = a d modulo `modulus`, both at most the square root of half the
    modulus; None where there is none."""
    bound = math.isqrt(modulus // 2)
    r0, r1, t0, t1 = modulus, a % modulus, 0, 1
    while r1 > bound:
        q = r0 // r1
        r0, r1, t0, t1 = r1, r0 - q * r1, t1, t0 - q * t1
    if t1 == 0 or abs(t1) > bound or math.gcd(r1, abs(t1)) != 1:
        return None
    return Fraction(r1, t1)


def _is_settled(value: Fraction | None, modulus: int) -> bool:
    """Whether the value is so far below the bound that one more prime would not change it."""
    return value is not None and abs(value.numerator) * value.denominator << 12 < modulus


@dataclass(frozen=True)
class Shape:
    """The shape of a list of coefficients: `width` plain ones, or, for each entry of the list, the
    degrees (n, d) of a quotient of polynomials in one parameter, where `inner` is the shape of the
    polynomials' own coefficients. The leading coefficient 1 of the denominator is left out."""

    degrees: tuple[tuple[int, int], ...] = ()
    inner: Shape | None = None
    width: int = 0

    def build(self, leaves: list[Expr], parameters: list[Expr]) -> list[Expr]:
        """The coefficients as expressions; the last parameter is the outermost one."""
        if self.inner is None:
            return leaves
        t = parameters[-1]
        quotients: list[Expr] = []
        position = 0
        for n, d in self.degrees:
            numerator = [leaves[position + k] * t**k for k in range(n + 1)]
            position += n + 1
            denominator = [leaves[position + k] * t**k for k in range(d)] + [t**d]
            position += d
            quotients.append(ex.add(numerator) / ex.add(denominator))
        return self.inner.build(quotients, parameters[:-1])


def _rational_fit(ts: list[int], ys: list[int], p: int) -> tuple[list[int], list[int]] | None:
    """(n, d) with n(t)/d(t) = y at every point and d monic, by the Euclidean algorithm on the
    interpolating polynomial; None unless there are two more points than coefficients."""
    if not any(ys):
        return [], []
    modulus = nmod_poly([1], p)
    value = nmod_poly([0], p)
    for t, y in zip(ts, ys, strict=True):
        step = (y - int(value(t))) * pow(int(modulus(t)), -1, p) % p
        value = value + modulus * step
        modulus = modulus * nmod_poly([-t % p, 1], p)
    r0, r1 = modulus, value
    s0, s1 = nmod_poly([0], p), nmod_poly([1], p)
    best: tuple[int, Any, Any] | None = None
    while r1.degree() >= 0:
        total = r1.degree() + s1.degree()
        if best is None or total < best[0]:
            best = (total, r1, s1)
        q = r0 // r1
        r0, r1, s0, s1 = r1, r0 - q * r1, s1, s0 - q * s1
    if best is None or best[0] + 3 > len(ts):
        return None
    _, n, d = best
    lead = pow(int(d[d.degree()]), -1, p)
    if n.gcd(d).degree() > 0:
        return None
    numerator = [int(c) * lead % p for c in n.coeffs()]
    return numerator, [int(c) * lead % p for c in d.coeffs()]


class Lift:
    """Collects solutions prime by prime until every coefficient is settled."""

    def __init__(
        self, system: System, parameters: list[int], rng: np.random.Generator, deadline: float
    ) -> None:
        if len(parameters) > _MAX_PARAMETERS:
            raise Failure("time")
        self.system, self.parameters = system, parameters
        self.rng, self.deadline = rng, deadline
        self.width = len(system.monomials) + len(system.columns)
        self.sizes = dict.fromkeys(parameters, 0)
        self.shape: Shape | None = None
        self.residues: list[int] = []
        self.modulus, self.used = 1, 0

    def step(self, p: int) -> list[Expr] | None:
        """Use one more prime; returns the coefficients once they are settled."""
        shape, leaves = self._fit(p, list(self.parameters), {})
        if self.shape is None:
            self.shape, self.residues, self.modulus = shape, leaves, p
        elif shape != self.shape:
            raise Failure("the shape changed between primes")
        else:
            inverse = pow(self.modulus, -1, p)
            self.residues = [
                r + self.modulus * ((leaf - r) * inverse % p)
                for r, leaf in zip(self.residues, leaves, strict=True)
            ]
            self.modulus *= p
        self.used += 1
        if self.used < 2:
            return None
        values = [reconstruct(r, self.modulus) for r in self.residues]
        if not all(_is_settled(v, self.modulus) for v in values):
            return None
        kernels = self.system.problem.tower.kernels
        names = [kernels[i].expr for i in self.parameters]
        return self.shape.build([ex.number(v) for v in values if v is not None], names)

    def _fit(self, p: int, remaining: list[int], fixed: dict[int, int]) -> tuple[Shape, list[int]]:
        """The coefficients modulo p as functions of the `remaining` parameters, for `fixed` values
        of the others: their shape and the numbers in it."""
        if now() > self.deadline:
            raise Failure("time")
        if not remaining:
            coefficients = self.system.solve(p, fixed)
            if coefficients is None:
                raise Failure("no solution at these values")
            return Shape(width=self.width), [coefficients.get(j, 0) for j in range(self.width)]
        *rest, outermost = remaining
        known_size = self.sizes[outermost]

        ts: list[int] = []
        rows: list[list[int]] = []
        inner: Shape | None = None
        for size in [known_size] if known_size else _SAMPLE_SIZES:
            while len(ts) < size:
                t = int(self.rng.integers(2, p))
                shape, leaves = self._fit(p, rest, {**fixed, outermost: t})
                if inner is None:
                    inner = shape
                if shape == inner:
                    ts.append(t)
                    rows.append(leaves)
            fits = [_rational_fit(ts, list(ys), p) for ys in zip(*rows, strict=True)]
            if all(fit is not None for fit in fits):
                self.sizes[outermost] = size
                break
        else:
            raise Failure("time")
        degrees, out = [], []
        for fit in fits:
            numerator, denominator = fit or ([], [])
            degrees.append((len(numerator) - 1, max(len(denominator) - 1, 0)))
            out += numerator + denominator[:-1]
        return Shape(tuple(degrees), inner), out
