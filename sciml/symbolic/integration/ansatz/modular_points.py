"""Random points modulo a prime: values of the kernels of a tower that satisfy their relations.

Points where a radicand has no root are rejected. Polynomials, quotients and their derivatives are
evaluated at all points at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from flint import fmpz

from sciml.symbolic.algebra.field import ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.tower import Kernel, Tower

Vector = np.ndarray
"""Values at all points, integers modulo p."""


@lru_cache(maxsize=4)
def primes(imaginary: bool) -> tuple[int, ...]:
    """31-bit primes modulo which a square root is a power (p = 3 mod 4, or p = 5 mod 8 so that -1
    has a square root) and third, fifth and seventh roots are unique."""
    out: list[int] = []
    n = 2**31 - 1
    while len(out) < 160:
        fits = n % 8 == 5 if imaginary else n % 4 == 3
        if fits and n % 3 != 1 and n % 5 != 1 and n % 7 != 1 and fmpz(n).is_prime():
            out.append(n)
        n -= 2
    return tuple(out)


def power_mod(a: Vector, e: int, p: int) -> Vector:
    """a**e modulo p, elementwise."""
    out: Vector | None = None
    square = a
    while e:
        if e & 1:
            out = square if out is None else out * square % p
        e >>= 1
        if e:
            square = square * square % p
    return np.ones_like(a) if out is None else out


def inverse_mod(a: Vector, p: int) -> Vector:
    """1/a modulo p, elementwise; 0 for 0."""
    return power_mod(a, p - 2, p)


def square_root_mod(a: Vector, p: int) -> Vector:
    """A square root modulo p, elementwise; meaningless where a has none."""
    if p % 4 == 3:
        return power_mod(a, (p + 1) // 4, p)
    v = power_mod(2 * a % p, (p - 5) // 8, p)
    i = 2 * a % p * v % p * v % p
    return a * v % p * ((i - 1) % p) % p


class ModularPoints:
    """Random values of the kernels modulo p that satisfy their relations."""

    def __init__(
        self,
        tower: Tower,
        count: int,
        p: int,
        rng: np.random.Generator,
        constants: Mapping[int, int],
    ) -> None:
        self.p, self.tower = p, tower
        kernels = tower.kernels
        halvings = sum(1 for k in kernels if k.degree and k.degree % 2 == 0 and k.kind == "radical")
        count_drawn = min(int(count * 2**halvings * 1.5) + 60, 600_000)
        self.values = np.zeros((len(kernels), count_drawn), dtype=np.int64)
        self.powers: dict[tuple[int, int], Vector] = {}
        valid = np.ones(count_drawn, dtype=bool)
        for i, kernel in enumerate(kernels):
            if kernel.kind == "cos":
                continue
            if kernel.kind == "sin":
                t = rng.integers(2, p, count_drawn)
                square = t * t % p
                denominator = (1 + kernel.sign * square) % p
                inverse = inverse_mod(denominator, p)
                self.values[i] = 2 * t % p * inverse % p
                self.values[i + 1] = (1 - kernel.sign * square) % p * inverse % p
                valid &= denominator != 0
            elif kernel.degree:
                valid &= self._root(i, kernel, rng)
                if not valid.any():
                    raise Failure("no points modulo this prime")
            elif i in constants:
                self.values[i] = constants[i]
            else:
                self.values[i] = rng.integers(2, p, count_drawn)
        chosen = np.nonzero(valid)[0][:count]
        if len(chosen) < count:
            raise Failure("too few points modulo this prime")
        self.values = self.values[:, chosen]
        self.powers = {}
        self.slopes = [self.quotient(k.slope) for k in kernels]
        self.log_slopes = [
            s * inverse_mod(v, p) % p for s, v in zip(self.slopes, self.values, strict=True)
        ]

    def _root(self, i: int, kernel: Kernel, rng: np.random.Generator) -> Vector:
        p, q = self.p, kernel.degree
        denominator = self.poly(kernel.radicand.d)
        u = self.poly(kernel.radicand.n) * inverse_mod(denominator, p) % p
        degree_left = q
        root = u
        while degree_left % 2 == 0:
            root = square_root_mod(root, p)
            degree_left //= 2
        if degree_left > 1:
            if math.gcd(degree_left, p - 1) != 1:
                raise Failure("a root of this degree")
            root = power_mod(root, pow(degree_left, -1, p - 1), p)
        if q % 2 == 0 and kernel.kind != "imaginary":
            flip = rng.integers(0, 2, len(root)) == 1
            root = np.where(flip, (p - root) % p, root)
        self.values[i] = root
        return (denominator != 0) & (u != 0) & (power_mod(root, q, p) == u)

    def power(self, i: int, e: int) -> Vector:
        """Values of the e-th power of kernel i."""
        powers = self.powers.get((i, e))
        if powers is None:
            powers = self.values[i] if e == 1 else power_mod(self.values[i], e, self.p)
            if self.values.shape[1]:
                self.powers[i, e] = powers
        return powers

    def poly(self, p_: Poly) -> Vector:
        """Values of a polynomial."""
        p = self.p
        out = np.zeros(self.values.shape[1], dtype=np.int64)
        setting_up = not hasattr(self, "slopes")
        for monomial, c in p_.terms():
            term: Vector | int = int(c) % p
            for i, e in enumerate(monomial):
                e = int(e)
                if e:
                    v = power_mod(self.values[i], e, p) if setting_up else self.power(i, e)
                    term = term * v % p
            out += term
            out %= p
        return out

    def quotient(self, r: Quotient) -> Vector:
        """Values of a quotient."""
        if r.is_zero:
            return np.zeros(self.values.shape[1], dtype=np.int64)
        numerator = self.poly(r.n)
        return numerator if r.d == ONE else numerator * inverse_mod(self.poly(r.d), self.p) % self.p

    def poly_slope(self, p_: Poly) -> Vector:
        """Values of the derivative of a polynomial."""
        out = np.zeros(self.values.shape[1], dtype=np.int64)
        for i, kernel in enumerate(self.tower.kernels):
            if not kernel.slope.is_zero:
                d = p_.derivative(i)
                if d != 0:
                    out = (out + self.poly(d) * self.slopes[i]) % self.p
        return out

    def slope(self, r: Quotient) -> Vector:
        """Values of the derivative of a quotient."""
        numerator = self.poly_slope(r.n)
        if r.d == ONE:
            return numerator
        p = self.p
        inverse = inverse_mod(self.poly(r.d), p)
        value = self.poly(r.n) * inverse % p
        return (numerator - value * self.poly_slope(r.d)) % p * inverse % p
