"""Legendre's normal forms of the integrals of 1/Y, x/Y, x**2/Y and 1/((x - e) Y), where Y**2 is a
polynomial of degree 3 or 4.

With a, b, c, d the roots of Y**2, one of which is infinite where the degree is 3,
s = k (x - a)/(x - b) is 0, oo, 1 and 1/m there, and with u = sqrt(s)

    dx/Y = A dF(asin u, m),    (1 - m s) dx/Y = A dE(asin u, m),
    dx/((1 - n s) Y) = A dPi(n, asin u, m),    A = 2 sqrt(s) sqrt(1 - s) sqrt(1 - m s)/(s' Y)

where A is constant on every interval between roots. It is written by these very roots where it is
not the same on all of them, so that the answer has the right sign everywhere.

Source: Byrd and Friedman, Handbook of Elliptic Integrals (1971), 230-259; NIST Digital Library of
Mathematical Functions, section 19.14.
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
from sciml.symbolic.expr.expression import ONE, ZERO, Expr

Root = Expr | None
"""A root; None stands for infinity."""


@dataclass(frozen=True)
class LegendreForm:
    """The normal form of one Y.

    Attributes:
        roots: a, b, c, d.
        k, m: the constants of s and the parameter.
        u: sqrt(s).
        scale: A.
        coefficients: of D Y**2 by rising powers of the variable.
        d: D.
        variable, y: the variable, which may be x**2, and Y.
    """

    roots: tuple[Root, Root, Root, Root]
    k: Expr
    m: Expr
    u: Expr
    scale: Expr
    coefficients: list[Expr]
    d: Expr
    variable: Expr
    y: Expr

    def first(self) -> Expr:
        """The integral of 1/Y."""
        return self.scale * ex.call("elliptic_f", ex.call("asin", self.u), self.m)

    def second(self) -> Expr:
        """The integral of (1 - m s)/Y."""
        return self.scale * ex.call("elliptic_e", ex.call("asin", self.u), self.m)

    def third(self, n: Expr) -> Expr:
        """The integral of 1/((1 - n s) Y)."""
        return self.scale * ex.call("elliptic_pi", n, ex.call("asin", self.u), self.m)

    def of_pole(self, e: Expr) -> Expr:
        """The integral of 1/((x - e) Y)."""
        a, b = self.roots[:2]
        if a is None:
            raise ex.Undefined("a finite root is needed")
        if b is None:
            return self.third(together(1 / (self.k * (e - a)))) / (a - e)
        n = together((e - b) / (self.k * (e - a)))
        return (together(1 - n * self.k) * self.third(n) - self.first()) / (e - b)

    def of_powers(self, powers: list[Expr]) -> Expr:
        """The integral of (powers[0] + powers[1] x + powers[2] x**2)/Y."""
        a, b = self.roots[:2]
        if a is None:
            raise ex.Undefined("a finite root is needed")
        powers = list(powers)
        outside = second = ZERO
        mk = together(self.m * self.k)
        if len(powers) == 3 and powers[2] is not ZERO:
            if b is None:
                raise ex.Undefined("a finite root is needed")
            p, g = self.coefficients, _divided(self.coefficients, b)
            share = powers[2] / p[4]
            outside = share * self.d * self.y / (self.variable - b)
            second = share * _at(g, b) / 2
            powers[1] = together(powers[1] - share * (g[2] - p[4] * b) / 2)
            powers[0] = together(powers[0] + share * b * (g[2] + p[4] * b) / 2)
        elif len(powers) == 2 and powers[1] is not ZERO and b is not None:
            p, g = self.coefficients, _divided(self.coefficients, b)
            share = powers[1] / p[3]
            outside = 2 * share * self.d * self.y / (self.variable - b)
            second = share * _at(g, b)
            powers = [together(powers[0] + powers[1] * b), ZERO]
        out = [outside]
        if len(powers) == 2 and powers[1] is not ZERO:  # b is infinite
            powers[0] = together(powers[0] + powers[1] * (a + 1 / mk))
            out.append(together(-powers[1] / mk) * self.second())
        elif powers[1] is not ZERO:  # of the third kind, with its pole at infinity
            if b is None:
                raise ex.Undefined("a finite root is needed")
            out.append(together(powers[1] * (a - b)) * self.third(together(1 / self.k)))
            powers[0] = together(powers[0] + powers[1] * b)
        if second is not ZERO and b is not None:
            share = together(second / (mk * (b - a)))
            powers[0] = together(powers[0] + share * (1 - mk))
            out.append(-share * self.second())
        return ex.add([*out, powers[0] * self.first()])


def _divided(p: list[Expr], b: Expr) -> list[Expr]:
    """The coefficients of P/(x - b) for a root b."""
    out = [p[-1]]
    for c in reversed(p[1:-1]):
        out.append(together(c + b * out[-1]))
    return out[::-1]


def _at(p: list[Expr], value: Expr) -> Expr:
    out = ZERO
    for c in reversed(p):
        out = together(out * value + c)
    return out


def polynomial_roots(tower: Tower, p: Poly) -> list[Expr] | None:
    """The roots of a square-free polynomial in generator 0 in closed form, or None."""
    out: list[Expr] = []
    for g, _ in fd.factor(p)[1]:
        n = fd.degrees(g)[0]
        c = [tower.poly_expr(q) for q in fd.by_degree(g, 0, n)]
        if n == 1:
            out.append(together(-c[0] / c[1]))
        elif n == 2:
            root = ex.sqrt(expand(c[1] ** 2 - 4 * c[0] * c[2]))
            out += [expand((-c[1] + side * root) / (2 * c[2])) for side in (1, -1)]
        elif n == 3 and c[1] is ZERO and c[2] is ZERO:
            out += _roots_of_unity(together(-c[0] / c[3]))
        elif n > 3 or n == 3:
            return None
    return out


def _roots_of_unity(cube: Expr) -> list[Expr]:
    """The three cube roots, the real one first."""
    negative = ex.negative(cube)
    root = ex.power(-cube if negative else cube, ex.number(Fraction(1, 3)))
    root = -root if negative else root
    turn = ex.I * ex.sqrt(ex.number(3)) / 2
    return [root, root * (turn - ex.HALF), root * (-turn - ex.HALF)]


def normal_form(
    tower: Tower, p: Poly, d: Expr, variable: Expr, x: Expr, y: Expr, numbers: bool,
    angle: bool = False,
) -> LegendreForm | None:  # fmt: skip
    """Legendre's normal form for Y**2 = p/d.

    Args:
        tower: the constants of p.
        p: of degree 3 or 4 in the variable.
        d: a constant.
        variable: x or x**2.
        x: the symbol.
        y: Y; in terms of x**2 with the factor x.
        numbers: whether p holds no symbols but x.
        angle: whether x is the square of a sine, so that a = 0, c = 1.
    """
    n = fd.degrees(p)[0]
    coefficients = [tower.poly_expr(c) for c in fd.by_degree(p, 0, n)]
    finite = polynomial_roots(tower, p)
    if finite is None or len(finite) != n:
        return None
    a, b, c, e = _of_angle(finite) if angle else _arranged(finite, variable, x, y, numbers)
    if a is None:
        return None
    k, m = _constants(a, b, c, e)
    s = together(k * (variable - a) / (1 if b is None else variable - b))
    if variable is not x and a is ZERO and b is None:
        u = x * ex.sqrt(k)
    else:
        u = ex.sqrt(s)
    slope = k if b is None else k * together(a - b) / (variable - b) ** 2
    scale = 2 * u * ex.sqrt(1 - u**2) * ex.sqrt(1 - m * u**2) / (slope * y)
    square = _square_of_scale((a, b, c, e), k, m, coefficients[n], d)
    if numbers:
        scale = _constant_scale(scale, square, finite, x, variable, angle)
    return LegendreForm((a, b, c, e), k, m, u, scale, coefficients, d, variable, y)


def _constants(a: Expr, b: Root, c: Root, d: Root) -> tuple[Expr, Expr]:
    """k and m."""
    if b is None:
        if c is None or d is None:
            raise ex.Undefined("two roots are infinite")
        return together(1 / (c - a)), together((c - a) / (d - a))
    k = ONE if c is None else together((c - b) / (c - a))
    m = together(1 / k) if d is None else together((d - b) / (k * (d - a)))
    return k, m


def _square_of_scale(
    roots: tuple[Root, Root, Root, Root], k: Expr, m: Expr, lead: Expr, d: Expr
) -> Expr:
    """A**2."""
    a, b, c, e = roots
    if a is None or b is None:
        return together(4 * m * k * d / lead)
    above = (a - b if c is None else 1 - k) * (a - b if e is None else 1 - m * k)
    return together(4 * above * d / (k * (a - b) ** 2 * lead))


def _constant_scale(
    scale: Expr, square: Expr, roots: list[Expr], x: Expr, variable: Expr, angle: bool
) -> Expr:
    """A as a number where it has the same value on every interval of the line."""
    ends = [complex(Program(r).complex({})[0]) for r in roots]
    if variable is not x:
        ends = [side * np.sqrt(z) for z in ends for side in (1, -1)]
    inner = sorted({0.0} | {float(z.real) for z in ends})
    inner = [v for i, v in enumerate(inner) if not i or v - inner[i - 1] > 1e-9]
    points = [inner[0] - 1.37, *((p + q) / 2 for p, q in zip(inner, inner[1:], strict=False)),
              inner[-1] + 1.43]  # fmt: skip
    points += [0.7 * p + 0.3 * q for p, q in zip(inner, inner[1:], strict=False)]
    if angle:
        points = [0.03, 0.97, *(0.5 * p + 0.5 * q for p, q in zip(inner, inner[1:], strict=False))]
        points = [p for p in points if 0 < p < 1]
    values = np.broadcast_to(Program(scale).complex({x.value: np.array(points)})[0], len(points))
    constant = ex.sqrt(square)
    value = complex(Program(constant).complex({})[0])
    for side in (1, -1):
        if np.isfinite(values).all() and np.abs(values - side * value).max() < 1e-7 * abs(value):
            return side * constant
    return scale


def _arranged(
    roots: list[Expr], variable: Expr, x: Expr, y: Expr, numbers: bool
) -> tuple[Root, Root, Root, Root]:
    """(a, b, c, d): where all are real, a and c are the ends of an interval on which Y is real, and
    d, b follow and precede them."""
    rest: list[Root] = [None] if len(roots) == 3 else []
    values: dict[Root, complex] = (
        {r: complex(Program(r).complex({})[0]) for r in roots} if numbers else {}
    )
    real = numbers and all(abs(z.imag) < 1e-12 * (1 + abs(z)) for z in values.values())
    if not real:
        order: list[Root] = [*sorted(roots, key=lambda r: r is not ZERO)] if variable is not x \
            else list(roots)  # fmt: skip
        if numbers:
            order = sorted(roots, key=lambda r: (r is not ZERO or variable is x,
                                                 abs(values[r].imag) > 1e-12))  # fmt: skip
        first, third, fourth, second = [*order, *rest]
        return first, second, third, fourth
    ordered = sorted(roots, key=lambda r: values[r].real)
    cycle: list[Root] = [*ordered, *rest]
    program = Program(y)
    choices: list[tuple[bool, bool, bool, int, tuple[Root, Root, Root, Root]]] = []
    for i in range(4):
        low, high = cycle[i], cycle[(i + 1) % 4]
        at = _between(low, high, values)
        if variable is not x:
            if at < 0:
                continue
            at = at**0.5
        z = complex(program.complex({x.value: at})[0])
        if abs(z.imag) > 1e-9 * abs(z):
            continue
        for a, c, d, b in (
            (low, high, cycle[(i + 2) % 4], cycle[(i + 3) % 4]),
            (high, low, cycle[(i + 3) % 4], cycle[(i + 2) % 4]),
        ):
            if a is not None:
                squared = variable is not x and a is not ZERO
                choices.append((squared, b is not None, c is None, len(choices), (a, b, c, d)))
    if not choices:
        a, c, d, b = cycle
        return a, b, c, d
    return min(choices, key=lambda choice: choice[:4])[4]


def _of_angle(roots: list[Expr]) -> tuple[Root, Root, Root, Root]:
    """(a, b, c, d) with a = 0 and c = 1."""
    rest: list[Root] = [r for r in roots if r not in (ZERO, ONE)]
    if len(rest) not in (1, 2) or len(roots) - len(rest) != 2:
        raise ex.Undefined("0 and 1 are no roots")
    return ZERO, rest[1] if len(rest) == 2 else None, ONE, rest[0]


def _between(low: Root, high: Root, values: dict[Root, complex]) -> float:
    if low is None or high is None:
        return values[high].real - 1.3 if high is not None else values[low].real + 1.3
    if values[low].real > values[high].real:  # through infinity
        return values[low].real + 1.3
    return (values[low].real + values[high].real) / 2
