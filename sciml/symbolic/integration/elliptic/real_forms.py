"""Elliptic integrals in real form where Y**2 has a pair of complex roots.

With Q(t) = 1 + 2 c t**2 + t**4, m = (1 - c)/2 and phi = 2 atan(t),

    2 dt/sqrt(Q) = dF(phi, m),    t**2 dt/sqrt(Q) = d(t sqrt(Q)/(1 + t**2) + F/2 - E),

which is real for c > -1. An even quartic C x**4 + B x**2 + A has t = x (C/A)**(1/4) and
c = B/(2 sqrt(A C)); a cubic L (x - r) ((x - r)**2 + 2 p (x - r) + q**2) has t**2 = (x - r)/q and
c = p/q.

Source: Byrd and Friedman, Handbook of Elliptic Integrals (1971), 239.00, 241.00, 263.00-266.00;
NIST Digital Library of Mathematical Functions, section 19.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Poly
from sciml.symbolic.algebra.rewriting import expand, together
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr

_HALF = ex.HALF
_QUARTER = ex.number(Fraction(1, 4))


@dataclass(frozen=True)
class RealForm:
    """The real form of one Y.

    Attributes:
        t: the new variable as a function of x.
        c: the constant of Q.
        root: sqrt(Q).
        scale: A with dx/Y = A dF.
        start, unit: t**2 = (x - start)/unit, or x**2/unit for an even quartic.
    """

    t: Expr
    c: Expr
    root: Expr
    scale: Expr
    start: Expr
    unit: Expr

    def of_powers(self, powers: list[Expr]) -> Expr:
        """The integral of (powers[0] + powers[1] v)/Y for v = x, or x**2 of an even quartic."""
        m = together((1 - self.c) / 2)
        phi = 2 * ex.call("atan", self.t)
        first = ex.call("elliptic_f", phi, m)
        if len(powers) < 2 or powers[1] is ex.ZERO:
            return powers[0] * self.scale * first
        second = ex.call("elliptic_e", phi, m)
        # the integral of t**2 dF is twice that of t**2 dt/sqrt(Q)
        moment = 2 * self.t * self.root / (1 + self.t**2) + first - 2 * second
        constant = together(powers[0] + powers[1] * self.start)
        return self.scale * (constant * first + powers[1] * self.unit * moment)


def real_form(
    tower: Tower, p: Poly, d: Expr, x: Expr, y: Expr, numbers: bool
) -> RealForm | None:  # fmt: skip
    """The real form of Y = sqrt(p/d), an even quartic or a cubic in x; None where p has other
    degrees, or real roots that Legendre's form is better for.

    Args:
        tower: the constants of p.
        p: the polynomial.
        d: a constant.
        x: its variable.
        y: Y.
        numbers: whether p holds no symbols but x.
    """
    n = fd.degrees(p)[0]
    factors = sum(bool(fd.degrees(g)[0]) for g, _ in fd.factor(p)[1])
    if not numbers and factors > (1 if n == 4 else 2):
        return None
    coefficients = [tower.poly_expr(q) for q in fd.by_degree(p, 0, n)]
    form = (_of_even_quartic if n == 4 else _of_cubic)(tower, p, coefficients, x, numbers)
    if form is None:
        return None
    t, c, slope, start, unit, square = form
    root = ex.sqrt(1 + 2 * c * t**2 + t**4)
    if not numbers:  # the root that stands in the derivatives of F and E, of complex t, too
        root = (1 + t**2) * ex.sqrt((1 + 2 * c * t**2 + t**4) / (1 + t**2) ** 2)
    scale = slope * root / y  # (dt/dF) / (dt/dx) / Y
    if numbers:
        constant = _as_constant(scale, together(square * d), x)
        if constant is None:
            return None
        scale = constant
    return RealForm(t, c, root, scale, start, unit)


_Parts = tuple[Expr, Expr, Expr, Expr, Expr, Expr]
"""t, c, 1/(2 dt/dx), start, unit, A**2/d."""


def _of_even_quartic(
    tower: Tower, p: Poly, coefficients: list[Expr], x: Expr, numbers: bool
) -> _Parts | None:
    a, odd, b, third, c = coefficients
    if odd is not ex.ZERO or third is not ex.ZERO:
        return None
    if numbers:
        lowest, middle, highest = (_real(e) for e in (a, b, c))
        if lowest <= 0 or highest <= 0 or middle <= -2 * (lowest * highest) ** 0.5:
            return None
    ratio = together(c / a)
    t = x * ex.power(ratio, _QUARTER)
    return (
        t, together(b / (2 * a)) / ex.sqrt(ratio), _HALF / ex.power(ratio, _QUARTER),
        ex.ZERO, 1 / ex.sqrt(ratio), _QUARTER / (a * ex.sqrt(ratio)),
    )  # fmt: skip


def _of_cubic(
    tower: Tower, p: Poly, coefficients: list[Expr], x: Expr, numbers: bool
) -> _Parts | None:
    found = _real_root(tower, p, coefficients)
    if found is None:
        return None
    r, b, c = found  # x**2 + b x + c is the other factor
    middle = together(b / 2 + r)  # of (x - r)**2 + 2 p (x - r) + q**2
    square = expand(r**2 + b * r + c)
    if numbers and not _real(square - middle**2) > 1e-12:
        return None
    if ex.negative(square):
        return None
    unit = ex.sqrt(square)
    if square.op == "mul" or square.op == "pow":  # sqrt(3 r**2) = sqrt(3) r, up to a sign
        unit = ex.mul([_root_of(f) for f in (square.args if square.op == "mul" else (square,))])
    if numbers and _real(coefficients[3]) < 0:
        unit = -unit  # Y is real to the left of r
    t = ex.sqrt((x - r) / unit)
    return t, together(middle / unit), unit * t, r, unit, (
        1 / (coefficients[3] * unit))  # fmt: skip


def _root_of(factor: Expr) -> Expr:
    if factor.op == "pow" and factor.args[1].op == "num":
        return ex.power(factor.args[0], factor.args[1] / 2)
    return ex.sqrt(factor)


def _real_root(
    tower: Tower, p: Poly, coefficients: list[Expr]
) -> tuple[Expr, Expr, Expr] | None:  # fmt: skip
    """(r, b, c) with p = L (x - r) (x**2 + b x + c); None where r has no short form."""
    for g, _ in fd.factor(p)[1]:
        if fd.degrees(g)[0] == 1:
            low, high = (tower.poly_expr(q) for q in fd.by_degree(g, 0, 1))
            r = together(-low / high)
            break
    else:
        lowest, first, second, lead = coefficients
        if first is not ex.ZERO or second is not ex.ZERO:
            return None
        cube = together(-lowest / lead)
        negative = ex.negative(cube)
        r = ex.power(-cube if negative else cube, ex.number(Fraction(1, 3)))
        r = -r if negative else r
    lead = coefficients[3]
    b = together(coefficients[2] / lead + r)
    c = together(coefficients[1] / lead + r * b)
    return r, expand(b), expand(c)


def _real(e: Expr) -> float:
    """The value of a constant; nan where it is not real."""
    z = complex(Program(e).complex({})[0])
    return z.real if abs(z.imag) <= 1e-12 * (1 + abs(z)) else float("nan")


def _as_constant(scale: Expr, square: Expr, x: Expr) -> Expr | None:
    """The root of `square` with the sign of the scale at all points where that is real; None where
    the sign differs."""
    points = np.array([-7.3, -3.1, -1.37, -0.41, 0.29, 0.83, 1.9, 4.7, 11.3])
    values = np.broadcast_to(Program(scale).complex({x.value: points})[0], points.shape)
    real = values[np.isfinite(values) & (np.abs(values.imag) < 1e-9 * np.abs(values))].real
    root = ex.sqrt(square)
    size = _real(root)
    for sign in (1, -1):
        if len(real) and np.abs(real - sign * size).max() < 1e-7 * abs(size):
            return sign * root
    return None
