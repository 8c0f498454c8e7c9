"""The linear system for the coefficients, solved modulo primes without expanding any polynomial.

At each random point every kernel has a random value modulo p that satisfies its relation (points
where a radicand has no root are rejected). The derivative of each column is then a vector modulo p;
row reduction gives the coefficients modulo p. Further primes, restricted to the columns with
non-zero coefficients, and rational reconstruction give them as fractions.
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
_MAX_PRIMES = 40


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


@dataclass
class Column:
    """A function of w beside the monomials, whose derivative follows from w and w'.

    Attributes:
        w: its argument, a quotient of the tower.
        slope: (points, value of w, derivative of w) -> derivative of the function, modulo p.
        build: makes the expression.
        factor: a constant factor of the function.
    """

    w: Quotient
    slope: Callable[[ModularPoints, Vector, Vector], Vector]
    build: Callable[[], Expr]
    factor: Quotient = field(default_factory=lambda: fd.Q1)

    @classmethod
    def of_derivative(cls, derivative: Quotient, build: Callable[[], Expr]) -> Column:
        """A function given by its derivative, a quotient of the tower."""

        def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
            return points.quotient(derivative)

        return cls(fd.Q1, slope, build)

    def values(self, points: ModularPoints) -> Vector:
        """Values of the derivative of the column."""
        out = self.slope(points, points.quotient(self.w), points.slope(self.w)) % points.p
        if self.factor is not fd.Q1:
            out = out * points.quotient(self.factor) % points.p
        return out


@dataclass
class Solution:
    """The coefficients of the monomials and of the columns, constant expressions."""

    monomials: dict[Monomial, Expr]
    columns: list[tuple[Expr, Column]]


def _solve_modulo(columns: list[Vector], target: Vector, p: int) -> dict[int, int] | None:
    """One solution of sum c_j columns[j] = target, as {j: c_j != 0}; None where there is none."""
    augmented = np.stack([*columns, target], axis=1)
    rows, width = augmented.shape
    echelon, rank = nmod_mat(rows, width, augmented.ravel().tolist(), p).rref()
    last = width - 1
    coefficients: dict[int, int] = {}
    j = 0
    for i in range(rank):
        while int(echelon[i, j]) == 0:
            j += 1
        if j == last:
            return None
        value = int(echelon[i, last])
        if value:
            coefficients[j] = value
        j += 1
    return coefficients


def _column_values(
    problem: Problem, points: ModularPoints, monomials: list[Monomial], columns: list[Column]
) -> list[Vector]:
    p = points.p
    v = points.poly(problem.denominator)
    inverse = inverse_mod(v, p)
    log_slope_of_denominator = (p - points.poly_slope(problem.denominator) * inverse % p) % p
    out = []
    for m in monomials:
        value, log_slope = inverse, log_slope_of_denominator
        for i, e in enumerate(m):
            if e:
                value = value * points.power(i, e) % p
                log_slope = (log_slope + e * points.log_slopes[i]) % p
        out.append(value * log_slope % p)
    return out + [column.values(points) for column in columns]


class System:
    """The linear system of one problem, which can be solved modulo any prime."""

    def __init__(
        self,
        problem: Problem,
        monomials: list[Monomial],
        columns: list[Column],
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.monomials, self.columns, self.rng = problem, monomials, columns, rng

    def solve(self, p: int, constants: Mapping[int, int]) -> dict[int, int] | None:
        """{column: coefficient modulo p} for the values `constants` of the parameters modulo p."""
        count = len(self.monomials) + len(self.columns) + _SPARE_ROWS
        points = ModularPoints(self.problem.tower, count, p, self.rng, constants)
        values = _column_values(self.problem, points, self.monomials, self.columns)
        return _solve_modulo(values, points.quotient(self.problem.f), p)

    def narrowed(self, support: list[int]) -> System:
        """The system of the columns in `support` only."""
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
    """Coefficients for which the derivative of the ansatz is the integrand, or None.

    Raises:
        Failure: if there are no usable points or primes, or the time is up.
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
                coefficients = system.solve(p, constants)
                if coefficients is None:
                    return None
                support = sorted(coefficients)
                if not support:
                    return None
                system = system.narrowed(support)
                lift = Lift(system, parameters, rng, deadline)
            exact = lift.step(p) if lift is not None else None
        except Failure as error:
            misses += 1
            if misses > 24 or str(error) == "time":
                raise
            continue
        if exact is not None:
            width = len(system.monomials)
            return Solution(
                dict(zip(system.monomials, exact[:width], strict=True)),
                list(zip(exact[width:], system.columns, strict=True)),
            )
        if lift is not None and lift.used >= _MAX_PRIMES:
            return None
    return None
