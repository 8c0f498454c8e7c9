"""The linear solve: nothing is expanded, the columns are evaluated at random points modulo primes.

At a point every kernel gets a random residue that obeys its relation (points where a radicand has
no root are rejected). The derivative of each column then is a vector of residues; row reduction
gives the coefficients modulo p, a few more primes over the support that was found and rational
reconstruction give them as fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from flint import fmpz, nmod_mat

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.tower import Kernel, Tower
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.support import Monomial, Problem

Vector = np.ndarray
_SPARE_ROWS = 12
_MOST_PRIMES = 40


@lru_cache(maxsize=4)
def primes(imaginary: bool) -> tuple[int, ...]:
    """31-bit primes modulo which square roots are one power (p = 3 mod 4; 5 mod 8 where -1 needs
    a root) and third, fifth and seventh roots are unique."""
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
    """1/a modulo p; 0 for 0."""
    return power_mod(a, p - 2, p)


def square_root_mod(a: Vector, p: int) -> Vector:
    """A square root where there is one."""
    if p % 4 == 3:
        return power_mod(a, (p + 1) // 4, p)
    v = power_mod(2 * a % p, (p - 5) // 8, p)
    i = 2 * a % p * v % p * v % p
    return a * v % p * ((i - 1) % p) % p


class Points:
    """Random values of the kernels modulo p that obey their relations."""

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
        tries = min(int(count * 2**halvings * 1.5) + 60, 600_000)
        self.values = np.zeros((len(kernels), tries), dtype=np.int64)
        self.powers: dict[tuple[int, int], Vector] = {}
        good = np.ones(tries, dtype=bool)
        for i, kernel in enumerate(kernels):
            if kernel.kind == "cos":
                continue
            if kernel.kind == "sin":
                t = rng.integers(2, p, tries)
                square = t * t % p
                below = (1 + kernel.sign * square) % p
                inverse = inverse_mod(below, p)
                self.values[i] = 2 * t % p * inverse % p
                self.values[i + 1] = (1 - kernel.sign * square) % p * inverse % p
                good &= below != 0
            elif kernel.degree:
                good &= self._root(i, kernel, rng)
                if not good.any():
                    raise Failure("no points modulo this prime")
            elif i in constants:
                self.values[i] = constants[i]
            else:
                self.values[i] = rng.integers(2, p, tries)
        keep = np.nonzero(good)[0][:count]
        if len(keep) < count:
            raise Failure("too few points modulo this prime")
        self.values = self.values[:, keep]
        self.powers = {}
        self.slopes = [self.quotient(k.slope) for k in kernels]
        self.log_slopes = [
            s * inverse_mod(v, p) % p for s, v in zip(self.slopes, self.values, strict=True)
        ]

    def _root(self, i: int, kernel: Kernel, rng: np.random.Generator) -> Vector:
        p, q = self.p, kernel.degree
        below = self.poly(kernel.radicand.d)
        u = self.poly(kernel.radicand.n) * inverse_mod(below, p) % p
        odd = q
        root = u
        while odd % 2 == 0:
            root = square_root_mod(root, p)
            odd //= 2
        if odd > 1:
            if math.gcd(odd, p - 1) != 1:
                raise Failure("a root of this degree")
            root = power_mod(root, pow(odd, -1, p - 1), p)
        if q % 2 == 0 and kernel.kind != "imaginary":
            flip = rng.integers(0, 2, len(root)) == 1
            root = np.where(flip, (p - root) % p, root)
        self.values[i] = root
        return (below != 0) & (u != 0) & (power_mod(root, q, p) == u)

    def power(self, i: int, e: int) -> Vector:
        known = self.powers.get((i, e))
        if known is None:
            known = self.values[i] if e == 1 else power_mod(self.values[i], e, self.p)
            if self.values.shape[1]:
                self.powers[i, e] = known
        return known

    def poly(self, p_: Poly) -> Vector:
        """Values of a polynomial."""
        p = self.p
        out = np.zeros(self.values.shape[1], dtype=np.int64)
        while_setting_up = not hasattr(self, "slopes")
        for monomial, c in p_.terms():
            term: Vector | int = int(c) % p
            for i, e in enumerate(monomial):
                e = int(e)
                if e:
                    v = power_mod(self.values[i], e, p) if while_setting_up else self.power(i, e)
                    term = term * v % p
            out += term
            out %= p
        return out

    def quotient(self, r: Quotient) -> Vector:
        """Values of a quotient."""
        if r.is_zero:
            return np.zeros(self.values.shape[1], dtype=np.int64)
        top = self.poly(r.n)
        return top if r.d == ONE else top * inverse_mod(self.poly(r.d), self.p) % self.p

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
        top = self.poly_slope(r.n)
        if r.d == ONE:
            return top
        p = self.p
        below = inverse_mod(self.poly(r.d), p)
        value = self.poly(r.n) * below % p
        return (top - value * self.poly_slope(r.d)) % p * below % p


@dataclass
class Column:
    """One function beside the monomials: outer(w), whose derivative is known from w and dw.

    Attributes:
        w: its argument, a quotient of the tower.
        slope: (points, value of w, derivative of w) -> derivative of the function, modulo p.
        build: makes the expression.
        factor: a constant it is multiplied with.
    """

    w: Quotient
    slope: Callable[[Points, Vector, Vector], Vector]
    build: Callable[[], Expr]
    factor: Quotient = field(default_factory=lambda: fd.Q1)

    def values(self, points: Points) -> Vector:
        out = self.slope(points, points.quotient(self.w), points.slope(self.w)) % points.p
        if self.factor is not fd.Q1:
            out = out * points.quotient(self.factor) % points.p
        return out


@dataclass
class Solution:
    """Coefficients of monomials and of columns; each is a constant expression."""

    monomials: dict[Monomial, Expr]
    columns: list[tuple[Expr, Column]]


def _matrix_solve(columns: list[Vector], target: Vector, p: int) -> dict[int, int] | None:
    """One solution of sum c_j columns[j] = target, as {j: c_j != 0}; None where there is none."""
    stacked = np.stack([*columns, target], axis=1)
    rows, width = stacked.shape
    reduced, rank = nmod_mat(rows, width, stacked.ravel().tolist(), p).rref()
    last = width - 1
    out: dict[int, int] = {}
    j = 0
    for i in range(rank):
        while int(reduced[i, j]) == 0:
            j += 1
        if j == last:
            return None
        value = int(reduced[i, last])
        if value:
            out[j] = value
        j += 1
    return out


def _column_values(
    problem: Problem, points: Points, monomials: list[Monomial], columns: list[Column]
) -> list[Vector]:
    p = points.p
    v = points.poly(problem.denominator)
    inverse = inverse_mod(v, p)
    loss = (p - points.poly_slope(problem.denominator) * inverse % p) % p
    out = []
    for m in monomials:
        value, log_slope = inverse, loss
        for i, e in enumerate(m):
            if e:
                value = value * points.power(i, e) % p
                log_slope = (log_slope + e * points.log_slopes[i]) % p
        out.append(value * log_slope % p)
    return out + [column.values(points) for column in columns]


class System:
    """The columns of one problem, ready to be solved modulo any prime."""

    def __init__(
        self,
        problem: Problem,
        monomials: list[Monomial],
        columns: list[Column],
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.monomials, self.columns, self.rng = problem, monomials, columns, rng

    def solve(self, p: int, constants: Mapping[int, int]) -> dict[int, int] | None:
        """{column: coefficient modulo p} with the parameters at the given residues."""
        count = len(self.monomials) + len(self.columns) + _SPARE_ROWS
        points = Points(self.problem.tower, count, p, self.rng, constants)
        values = _column_values(self.problem, points, self.monomials, self.columns)
        return _matrix_solve(values, points.quotient(self.problem.f), p)

    def narrowed(self, support: list[int]) -> System:
        """Only the columns whose coefficients are not zero."""
        width = len(self.monomials)
        return System(
            self.problem,
            [self.monomials[j] for j in support if j < width],
            [self.columns[j - width] for j in support if j >= width],
            self.rng,
        )


def solve(
    problem: Problem,
    monomials: list[Monomial],
    columns: list[Column],
    rng: np.random.Generator,
    deadline: float,
) -> Solution | None:
    """Coefficients such that the derivative of the ansatz is the integrand, or None.

    Raises:
        Failure: when no usable points or primes are found or the time is up.
    """
    from sciml.symbolic.integration.ansatz.rational_reconstruction import Lift

    imaginary = any(k.kind == "imaginary" for k in problem.tower.kernels)
    parameters = problem.tower.parameters()
    system = System(problem, monomials, columns, rng)
    support: list[int] | None = None
    lift: Lift | None = None
    misses = 0
    for p in primes(imaginary):
        if now() > deadline:
            raise Failure("time")
        try:
            if support is None:
                constants = {i: int(rng.integers(2, p)) for i in parameters}
                found = system.solve(p, constants)
                if found is None:
                    return None
                support = sorted(found)
                if not support:
                    return None
                system = system.narrowed(support)
                lift = Lift(system, parameters, rng, deadline)
            done = lift.step(p) if lift is not None else None
        except Failure as error:
            misses += 1
            if misses > 24 or str(error) == "time":
                raise
            continue
        if done is not None:
            width = len(system.monomials)
            return Solution(
                dict(zip(system.monomials, done[:width], strict=True)),
                list(zip(done[width:], system.columns, strict=True)),
            )
        if lift is not None and lift.used >= _MOST_PRIMES:
            return None
    return None
