"""The linear system for the coefficients, solved modulo primes without expanding any polynomial.

The derivative of each column at random points (see `modular_points`) is a vector modulo p; row
reduction gives the coefficients modulo p. Further primes, restricted to the columns with non-zero
coefficients, and rational reconstruction give them as fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from flint import nmod_mat

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Failure, Quotient
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.modular_points import (
    ModularPoints,
    Vector,
    inverse_mod,
    primes,
)
from sciml.symbolic.integration.ansatz.support import Monomial, Problem

_SPARE_ROWS = 12
_MAX_PRIMES = 40


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
    log_slope_of_inverse = (p - points.poly_slope(problem.denominator) * inverse % p) % p
    out = []
    for m in monomials:
        value, log_slope = inverse, log_slope_of_inverse
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
