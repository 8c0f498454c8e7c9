"""From residues to coefficients: rational numbers, and rational functions of the parameters.

The constants of a problem that obey no relation (pi, log(2), a named constant) are parameters:
the coefficients are rational functions of them. They are found by solving at many values of the
parameters modulo a prime and interpolating, one parameter after another; Chinese remaindering over
primes and rational reconstruction then give the numbers inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import nmod_poly

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr

_SIZES = (5, 9, 16, 28, 48)
_MOST_PARAMETERS = 3


def reconstruct(a: int, modulus: int) -> Fraction | None:
    """The fraction n/d with n = a d modulo `modulus` and both below its root."""
    bound = math.isqrt(modulus // 2)
    r0, r1, t0, t1 = modulus, a % modulus, 0, 1
    while r1 > bound:
        q = r0 // r1
        r0, r1, t0, t1 = r1, r0 - q * r1, t1, t0 - q * t1
    if t1 == 0 or abs(t1) > bound or math.gcd(r1, abs(t1)) != 1:
        return None
    return Fraction(r1, t1)


def _settled(value: Fraction | None, modulus: int) -> bool:
    """Far below the bound, so that one more prime would not change it."""
    return value is not None and abs(value.numerator) * value.denominator << 12 < modulus


@dataclass(frozen=True)
class Shape:
    """A list of coefficients, or of quotients n/d of polynomials in one parameter whose own
    coefficients are listed by `inner`: the leading coefficient of d is 1 and not listed."""

    degrees: tuple[tuple[int, int], ...] = ()
    inner: Shape | None = None
    width: int = 0

    def build(self, leaves: list[Expr], parameters: list[Expr]) -> list[Expr]:
        """The coefficients' expressions; the last parameter is the outermost one fitted."""
        if self.inner is None:
            return leaves
        t = parameters[-1]
        fitted: list[Expr] = []
        at = 0
        for n, d in self.degrees:
            top = [leaves[at + k] * t**k for k in range(n + 1)]
            at += n + 1
            below = [leaves[at + k] * t**k for k in range(d)] + [t**d]
            at += d
            fitted.append(ex.add(top) / ex.add(below))
        return self.inner.build(fitted, parameters[:-1])


def _rational_fit(ts: list[int], ys: list[int], p: int) -> tuple[list[int], list[int]] | None:
    """(n, d) with n(t)/d(t) = y at every point, d monic, two points more than needed, or None."""
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
    top = [int(c) * lead % p for c in n.coeffs()]
    return top, [int(c) * lead % p for c in d.coeffs()]


class Lift:
    """Gathers residues prime by prime until every coefficient is settled."""

    def __init__(
        self, system: Any, parameters: list[int], rng: np.random.Generator, deadline: float
    ) -> None:
        if len(parameters) > _MOST_PARAMETERS:
            raise Failure("time")
        self.system, self.parameters = system, parameters
        self.rng, self.deadline = rng, deadline
        self.width = len(system.monomials) + len(system.columns)
        self.sizes = dict.fromkeys(parameters, 0)
        self.shape: Shape | None = None
        self.sums: list[int] = []
        self.modulus, self.used = 1, 0

    def step(self, p: int) -> list[Expr] | None:
        """Use one more prime; the coefficients once they are settled."""
        shape, leaves = self._fit(p, list(self.parameters), {})
        if self.shape is None:
            self.shape, self.sums, self.modulus = shape, leaves, p
        elif shape != self.shape:
            raise Failure("the shape changed between primes")
        else:
            inverse = pow(self.modulus, -1, p)
            self.sums = [
                s + self.modulus * ((leaf - s) * inverse % p)
                for s, leaf in zip(self.sums, leaves, strict=True)
            ]
            self.modulus *= p
        self.used += 1
        if self.used < 2:
            return None
        found = [reconstruct(s, self.modulus) for s in self.sums]
        if not all(_settled(v, self.modulus) for v in found):
            return None
        kernels = self.system.problem.tower.kernels
        names = [kernels[i].expr for i in self.parameters]
        return self.shape.build([ex.number(v) for v in found if v is not None], names)

    def _fit(self, p: int, left: list[int], fixed: dict[int, int]) -> tuple[Shape, list[int]]:
        if now() > self.deadline:
            raise Failure("time")
        if not left:
            found = self.system.solve(p, fixed)
            if found is None:
                raise Failure("no solution at these values")
            return Shape(width=self.width), [found.get(j, 0) for j in range(self.width)]
        *rest, last = left
        known = self.sizes[last]
        evaluate = self._evaluator(p, rest, last, fixed)
        ts: list[int] = []
        rows: list[list[int]] = []
        inner: Shape | None = None
        for size in [known] if known else _SIZES:
            while len(ts) < size:
                t = int(self.rng.integers(2, p))
                shape, leaves = evaluate(t)
                if inner is None:
                    inner = shape
                if shape == inner:
                    ts.append(t)
                    rows.append(leaves)
            fits = [_rational_fit(ts, list(ys), p) for ys in zip(*rows, strict=True)]
            if all(fit is not None for fit in fits):
                self.sizes[last] = size
                break
        else:
            raise Failure("time")
        degrees, out = [], []
        for fit in fits:
            top, below = fit or ([], [])
            degrees.append((len(top) - 1, max(len(below) - 1, 0)))
            out += top + below[:-1]
        return Shape(tuple(degrees), inner), out

    def _evaluator(
        self, p: int, rest: list[int], last: int, fixed: dict[int, int]
    ) -> Callable[[int], tuple[Shape, list[int]]]:
        def evaluate(t: int) -> tuple[Shape, list[int]]:
            return self._fit(p, rest, {**fixed, last: t})

        return evaluate
