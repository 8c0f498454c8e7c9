"""Roots of polynomials in closed form, and the integrals of t**j / q(t) as sums over the roots.

For an irreducible q of degree 3 or more, a real root r with residue c gives c log(t - r), a pair of
complex roots alpha +- i beta with residues a +- i b gives
a log((t - alpha)**2 + beta**2) - 2 b atan((t - alpha)/beta). The roots have closed forms for
polynomials a t**(2m) + b t**m + c and a t**m + c (after a shift of t), palindromic quartics and
cubics.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


@dataclass(frozen=True)
class Complex:
    """A complex number with real and imaginary part as expressions."""

    re: Expr
    im: Expr

    def __add__(self, o: Complex) -> Complex:
        return Complex(self.re + o.re, self.im + o.im)

    def __mul__(self, o: Complex) -> Complex:
        return Complex(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)

    def scale(self, k: Expr) -> Complex:
        """The product with a real number."""
        return Complex(k * self.re, k * self.im)

    def inverse(self) -> Complex:
        """1 / z."""
        size = self.re**2 + self.im**2
        return Complex(self.re / size, -self.im / size)

    def power(self, n: int) -> Complex:
        """z**n for n >= 0."""
        out = Complex(ex.ONE, ex.ZERO)
        for _ in range(n):
            out = out * self
        return out


Root = Complex
"""im = 0 for a real root; only the root with im > 0 of a complex pair is listed."""


def _float(e: Expr) -> float:
    from sciml.symbolic.expr.evaluate import Program

    return float(Program(e).complex({})[0].real)


def _cosine(k: int, n: int) -> Expr:
    """cos(pi k / n), in radicals where these are short."""
    ratio = Fraction(k, n) % 2
    if ratio > 1:
        ratio = 2 - ratio
    if ratio > Fraction(1, 2):
        return -_cosine((1 - ratio).numerator, (1 - ratio).denominator)
    exact = {
        Fraction(0): ex.ONE, Fraction(1, 2): ex.ZERO, Fraction(1, 3): ex.HALF,
        Fraction(1, 4): ex.sqrt(2) / 2, Fraction(1, 6): ex.sqrt(3) / 2,
        Fraction(1, 5): (1 + ex.sqrt(5)) / 4, Fraction(2, 5): (ex.sqrt(5) - 1) / 4,
        Fraction(1, 8): ex.sqrt(2 + ex.sqrt(2)) / 2, Fraction(3, 8): ex.sqrt(2 - ex.sqrt(2)) / 2,
        Fraction(1, 12): (ex.sqrt(6) + ex.sqrt(2)) / 4,
        Fraction(5, 12): (ex.sqrt(6) - ex.sqrt(2)) / 4,
    }  # fmt: skip
    if ratio in exact:
        return exact[ratio]
    return ex.call("cos", ex.number(ratio) * ex.PI)


def _unit_root(k: int, n: int) -> Complex:
    """exp(i pi k / n)."""
    return Complex(_cosine(k, n), _cosine(n - 2 * k, 2 * n))


def _binomial(z: Expr, m: int) -> list[Root]:
    """The m-th roots of the real number z != 0, upper half plane and real ones."""
    negative = _float(z) < 0
    size = ex.power(-z if negative else z, ex.number(Fraction(1, m)))
    out = []
    for k in range(m + 1):
        angle = 2 * k + 1 if negative else 2 * k
        if angle <= m:
            unit_root = _unit_root(angle, m)
            out.append(unit_root.scale(size))
    return out


def _complex_square_root(re: Expr, im: Expr) -> Complex:
    """The root with both parts positive; im > 0."""
    size = ex.sqrt(re**2 + im**2)
    return Complex(ex.sqrt((size + re) / 2), ex.sqrt((size - re) / 2))


def _trinomial(a: Fraction, b: Fraction, c: Fraction, m: int) -> list[Root] | None:
    """Roots of a t**(2m) + b t**m + c."""
    discriminant = b * b - 4 * a * c
    if discriminant >= 0:
        root = ex.sqrt(ex.number(discriminant))
        out = []
        for sign in (1, -1):
            out += _binomial((ex.number(-b) + sign * root) / ex.number(2 * a), m)
        return out
    if m == 2:
        re = ex.number(-b / (2 * a))
        im = ex.sqrt(ex.number(-discriminant)) / ex.number(2 * abs(a))
        r = _complex_square_root(re, im)
        return [r, Complex(-r.re, r.im)]
    # t**m = rho exp(+-i theta)
    rho = ex.sqrt(ex.number(c / a))
    theta = ex.call("acos", ex.number(-b / (2 * a)) / rho)
    size = ex.power(rho, ex.number(Fraction(1, m)))
    out = []
    for k in range(m):
        for sign in (1, -1):
            angle = (sign * theta + 2 * k * ex.PI) / m
            if math.sin(_float(angle)) > 1e-12:
                out.append(Complex(size * ex.call("cos", angle), size * ex.call("sin", angle)))
    return out if len(out) == m else None


def _cubic(coefficients: list[Fraction]) -> list[Root]:
    """Roots of t**3 + p t + q (coefficients [q, p, 0, 1])."""
    q, p = coefficients[0], coefficients[1]
    inside = (q / 2) ** 2 + (p / 3) ** 3
    if inside > 0:
        root = ex.sqrt(ex.number(inside))
        parts = []
        for sign in (1, -1):
            z = ex.number(-q / 2) + sign * root
            third = ex.number(Fraction(1, 3))
            parts.append(ex.power(z, third) if _float(z) > 0 else -ex.power(-z, third))
        u, v = parts
        re = -(u + v) / 2
        im = ex.sqrt(3) * (u - v) / 2
        return [Complex(u + v, ex.ZERO), Complex(re, im if _float(im) > 0 else -im)]
    size = 2 * ex.sqrt(ex.number(-p / 3))
    angle = ex.call("acos", ex.number(3 * q / (2 * p)) * ex.sqrt(ex.number(-3 / p))) / 3
    return [
        Complex(size * ex.call("cos", angle - ex.number(Fraction(2 * k, 3)) * ex.PI), ex.ZERO)
        for k in range(3)
    ]


def _palindromic(a: Fraction, b: Fraction, c: Fraction) -> list[Root] | None:
    """Roots of a t**4 + b t**3 + c t**2 + b t + a through s = t + 1/t."""
    discriminant = b * b - 4 * a * (c - 2 * a)
    out = []
    if discriminant < 0:
        u, v = ex.number(-b / (2 * a)), ex.sqrt(ex.number(-discriminant)) / ex.number(2 * abs(a))
        re, im = u**2 - v**2 - 4, 2 * u * v  # (t - 1/t)**2
        w = _complex_square_root(re, im)
        turn = 1 if _float(im) >= 0 else -1
        for sign in (1, -1):
            r = Complex((u + sign * w.re) / 2, (v + sign * turn * w.im) / 2)
            out.append(r if _float(r.im) > 0 else Complex(r.re, -r.im))
        return out
    for sign in (1, -1):
        s = (ex.number(-b) + sign * ex.sqrt(ex.number(discriminant))) / ex.number(2 * a)
        inside = s**2 - 4
        if _float(inside) >= 0:
            root = ex.sqrt(inside)
            out += [Complex((s + root) / 2, ex.ZERO), Complex((s - root) / 2, ex.ZERO)]
        else:
            out.append(Complex(s / 2, ex.sqrt(-inside) / 2))
    return out


def roots(coefficients: list[Fraction]) -> list[Root] | None:
    """All real roots and the upper root of each complex pair; None where no closed form is known.

    Args:
        coefficients: the coefficients of an irreducible polynomial, lowest first.
    """
    n = len(coefficients) - 1
    shift = -coefficients[n - 1] / (n * coefficients[n])
    shifted = _shifted(coefficients, shift)
    closed = _centred(shifted)
    if closed is None and n == 4 and coefficients[0] == coefficients[4]:
        if coefficients[1] == coefficients[3]:
            closed = _palindromic(coefficients[4], coefficients[3], coefficients[2])
            shift = Fraction(0)
    if closed is None:
        return None
    return [Complex(r.re + ex.number(shift), r.im) for r in closed]


def _centred(c: list[Fraction]) -> list[Root] | None:
    n = len(c) - 1
    inside = [k for k in range(1, n) if c[k]]
    if not inside:
        return _binomial(ex.number(-c[0] / c[n]), n)
    if n % 2 == 0 and inside == [n // 2]:
        return _trinomial(c[n], c[n // 2], c[0], n // 2)
    if n == 3:
        return _cubic([k / c[3] for k in c])
    return None


def _shifted(c: list[Fraction], by: Fraction) -> list[Fraction]:
    """Coefficients of c(t + by)."""
    out = [Fraction(0)] * len(c)
    for k, v in enumerate(c):
        for i in range(k + 1):
            out[i] += v * math.comb(k, i) * by ** (k - i)
    return out


def _is_real(z: Complex) -> bool:
    return z.im is ex.ZERO or abs(_float(z.im)) < 1e-12


def parametric_integrals(coefficients: list[Expr]) -> Callable[[int, Expr], Expr] | None:
    """As `integrals`, for a t**n + c and a t**(2m) + b t**m + c with coefficients that hold
    parameters; None for other polynomials.

    The identities are algebraic in the n-th roots, so that they hold for every complex value of the
    parameters; the antiderivative is real for one sign of the numbers under the roots.
    """
    n = len(coefficients) - 1
    inside = [k for k in range(1, n) if coefficients[k] is not ex.ZERO]
    c, a = coefficients[0], coefficients[n]
    if not inside:
        return lambda j, t: _binomial_integral(j, n, -c / a, t) / a
    m = n // 2
    if n % 2 or inside != [m]:
        return None
    b = coefficients[m]
    root = ex.sqrt(b**2 - 4 * a * c)
    squares = [(-b + root) / (2 * a), (-b - root) / (2 * a)]

    def integral(j: int, t: Expr) -> Expr:
        times, j = divmod(j, m)  # t**m / ((t**m - z)(t**m - w)) = (z/(t**m - z) - w/...)/(z - w)
        first, second = (z**times * _binomial_integral(j, m, z, t) for z in squares)
        return (first - second) / root

    return integral


def _angle(cosine: Expr) -> Expr:
    """The angle with a cosine, a multiple of pi where that is known."""
    for n in (1, 2, 3, 4, 5, 6, 8, 12):
        for k in range(n + 1):
            if cosine is _cosine(k, n):
                return ex.number(Fraction(k, n)) * ex.PI
    return ex.call("acos", cosine)


def _sine_cosine(angle: Expr) -> tuple[Expr, Expr]:
    """Sine and cosine, in radicals for simple multiples of pi."""
    turns, rest = ex.split_coefficient(angle)
    if angle is ex.ZERO or rest is ex.PI:
        quarter = Fraction(1, 2) - turns
        return (_cosine(quarter.numerator, quarter.denominator),
                _cosine(turns.numerator, turns.denominator))  # fmt: skip
    return ex.call("sin", angle), ex.call("cos", angle)


def _complex_trinomial_integral(
    j: int, a: Fraction, b: Fraction, c: Fraction, m: int, t: Expr
) -> Expr:
    """The integral of t**j / (a t**(2m) + b t**m + c) where b**2 < 4 a c; a root r has the residue
    r**(j + 1 - m) / (m (2 a r**m + b)), and 2 a r**m + b is imaginary."""
    rho = ex.sqrt(ex.number(c / a))
    theta = _angle(ex.number(-b / (2 * a)) / rho)
    size = ex.power(rho, ex.number(Fraction(1, m)))
    scale = size ** (j + 1 - m) / (m * ex.sqrt(ex.number(4 * a * c - b * b)))
    terms = []
    for k in range(m):
        for sign in (1, -1):
            angle = (sign * theta + 2 * k * ex.PI) / m
            sine, cosine = _sine_cosine(angle)
            if _float(sine) < 0:  # its conjugate is listed
                continue
            sine_of_power, cosine_of_power = _sine_cosine((j + 1 - m) * angle)
            weight = scale * (sign if a > 0 else -sign)
            square = t**2 - 2 * size * cosine * t + size**2
            terms.append(weight * sine_of_power * ex.call("log", square))
            angle_of_t = ex.call("atan", (t - size * cosine) / (size * sine))
            terms.append(2 * weight * cosine_of_power * angle_of_t)
    return ex.add(terms)


def _binomial_integral(j: int, n: int, z: Expr, t: Expr) -> Expr:
    """The integral of t**j / (t**n - z); a root r of it has the residue r**(j + 1) / (n z)."""
    negative = ex.negative(z) if z.free else _float(z) < 0
    size = ex.power(-z if negative else z, ex.number(Fraction(1, n)))
    scale = size ** (j + 1) / (n * z)
    terms = []
    for angle in range(1 if negative else 0, n + 1, 2):
        unit, turned = _unit_root(angle, n), _unit_root(angle * (j + 1), n)
        re = unit.re * size
        if angle in (0, n):
            terms.append(turned.re * scale * ex.call("log", t - re))
        else:
            square = t**2 - 2 * re * t + size**2
            terms.append(turned.re * scale * ex.call("log", square))
            angle_of_t = ex.call("atan", (t - re) / (unit.im * size))
            terms.append(-2 * turned.im * scale * angle_of_t)
    return ex.add(terms)


def integrals(coefficients: list[Fraction]) -> Callable[[int, Expr], Expr] | None:
    """A function (j, t) -> integral of t**j / q(t) dt, or None.

    The roots of q are checked numerically once.
    """
    n, a = len(coefficients) - 1, coefficients[-1]
    inside = [k for k in range(1, n) if coefficients[k]]
    if not inside:
        z = ex.number(-coefficients[0] / a)
        return lambda j, t: _binomial_integral(j, n, z, t) / ex.number(a)
    if n >= 6 and 2 * inside[0] == n and len(inside) == 1:
        b, c = coefficients[n // 2], coefficients[0]
        if b * b < 4 * a * c:
            return lambda j, t: _complex_trinomial_integral(j, a, b, c, n // 2, t)
    closed = roots(coefficients)
    if closed is None:
        return None
    count = sum(1 if _is_real(r) else 2 for r in closed)
    if count != n:
        return None
    for r in closed:
        point = complex(_float(r.re), _float(r.im))
        value = sum(float(c) * point**k for k, c in enumerate(coefficients))
        scale = sum(abs(float(c)) * abs(point) ** k for k, c in enumerate(coefficients))
        if not cmath.isfinite(value) or abs(value) > 1e-9 * scale:
            return None
    slopes = []
    for r in closed:
        value_at = Complex(ex.ZERO, ex.ZERO)
        for k in range(n, 0, -1):
            value_at = value_at * r + Complex(ex.number(k * coefficients[k]), ex.ZERO)
        slopes.append(value_at)

    def integral(j: int, t: Expr) -> Expr:
        terms = []
        for r, slope in zip(closed, slopes, strict=True):
            c = r.power(j) * slope.inverse()
            if _is_real(r):
                terms.append(c.re * ex.call("log", t - r.re))
            else:
                terms.append(c.re * ex.call("log", (t - r.re) ** 2 + r.im**2))
                terms.append(-2 * c.im * ex.call("atan", (t - r.re) / r.im))
        return ex.add(terms)

    return integral
