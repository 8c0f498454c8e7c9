"""Elliptic integrals: R(x) times square roots of polynomials whose product P has degree 3 or 4.

After the reduction to a basis (`reduction`) the integrals of 1/Y, x/Y, x**2/Y and
1/((x - e) Y), Y = sqrt(P), are written by Legendre's normal forms (`legendre_forms`). Where P and R
hold even powers only, x**2 is the variable.

Source: Byrd and Friedman, Handbook of Elliptic Integrals (1971), 230-259; NIST Digital Library of
Mathematical Functions, section 19.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.elliptic.legendre_forms import normal_form, polynomial_roots
from sciml.symbolic.integration.elliptic.real_forms import real_form
from sciml.symbolic.integration.elliptic.reduction import degree, reduce_to_basis

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError)
_X = GENERATORS[0]


@dataclass(frozen=True)
class Elliptic:
    """An antiderivative, and whether it holds integrals of the third kind, which may be elementary
    in disguise."""

    answer: Expr
    third_kind: bool


@dataclass(frozen=True)
class Form:
    """An integrand `factor` R(x)/Y with Y**2 = P(x)/D.

    Attributes:
        tower: the constants of R and P.
        r: R.
        p: P, a square-free polynomial in x of degree 3 or 4.
        d: D, a constant.
        y: Y, a product of square roots.
        factor: a locally constant factor.
    """

    tower: Tower
    r: Quotient
    p: Poly
    d: Poly
    y: Expr
    factor: Expr


def integrate_elliptic(f: Expr, x: str) -> Elliptic | None:
    """An antiderivative of an elliptic integrand; None for any other."""
    try:
        form = elliptic_form(f, x)
        return None if form is None else integrate_form(form, ex.symbol(x))
    except _ERRORS:
        return None


def elliptic_form(f: Expr, x: str) -> Form | None:
    """The integrand as a rational function over square roots of polynomials whose product has
    degree 3 or 4; None for any other."""
    rational, radicals = [], {}
    for part in f.args if f.op == "mul" else (f,):
        if x in part.free and ex.is_radical(part) and part.args[1].value.denominator == 2:
            radicals[part.args[0]] = part.args[1].value
        else:
            rational.append(part)
    inside = [n for e in (*rational, *radicals) for n in ex.subtrees(e)]
    if not radicals or any(ex.is_radical(n) and x in n.free for n in inside):
        return None
    tower = Tower(x)
    rest, *bases = tower.convert_all([ex.mul(rational), *radicals])
    if any(k.kind not in ("variable", "constant", "imaginary") for k in tower.kernels):
        return None
    p, d, y, factor = ONE, ONE, ex.ONE, ex.ONE
    for (base, power), quotient in zip(radicals.items(), bases, strict=True):
        pieces = [(quotient.n, quotient.d, base, power)]
        if degree(quotient.d):  # sqrt(n/d) is sqrt(n)/sqrt(d) up to a locally constant factor
            above, below = tower.poly_expr(quotient.n), tower.poly_expr(quotient.d)
            factor = factor * ex.sqrt(base) * ex.sqrt(below) / ex.sqrt(above)
            pieces = [(quotient.n, ONE, above, power), (quotient.d, ONE, below, -power)]
        for n, constant, e, exponent in pieces:
            if not degree(n):
                rest = rest * Quotient(n, constant) ** int(exponent + Fraction(1, 2))
                factor = factor / ex.sqrt(e)
                continue
            p, d, y = p * n, d * constant, y * ex.sqrt(e)
            rest = rest * Quotient(n, constant) ** int(exponent + Fraction(1, 2))
    content, factors = fd.factor(p)
    if not 3 <= degree(p) <= 4 or any(int(k) > 1 for g, k in factors if degree(g)):
        return None
    return Form(tower, rest, p, d, y, factor)


def integrate_form(form: Form, x: Expr, *, angle: bool = False) -> Elliptic | None:
    """The antiderivative of an elliptic integrand; `angle` says that x is the square of a sine."""
    tower, even = form.tower, None if angle else _in_square(form)
    r, p = (form.r, form.p) if even is None else even
    variable, y = (x, form.y) if even is None else (x**2, form.y * x)
    reduced = reduce_to_basis(r, p)

    def shown(q: Quotient) -> Expr:
        return ex.substitute(tower.to_expr(q), {x: variable})

    d = tower.poly_expr(form.d)
    terms = [shown(reduced.outside) * d * y]
    third = bool(reduced.poles)
    if third or not all(c.is_zero for c in reduced.powers):
        numbers = len(tower.kernels) == 1
        plain = not third and len(reduced.powers) < 3 and not angle
        real = real_form(tower, form.p, d, x, form.y, numbers) if plain else None
        if real is not None:  # dx = d(x**2)/(2 x)
            half = ex.ONE if even is None else ex.TWO
            terms.append(real.of_powers([half * tower.to_expr(c) for c in reduced.powers]))
            return Elliptic(form.factor * ex.add(terms), third)
        normal = normal_form(tower, p, d, variable, x, y, numbers, angle)
        if normal is None:
            return None
        powers = [tower.to_expr(c) for c in reduced.powers]
        terms.append(normal.of_powers(powers))
        third = third or len(powers) == 3 and powers[1] is not ex.ZERO
        for g, numerator in reduced.poles:
            poles = polynomial_roots(tower, g)
            if poles is None:
                return None
            slope_of_g = Quotient(g.derivative(0))
            for e in poles:
                residue = shown_at(tower, numerator / slope_of_g, x, e)
                terms.append(residue * normal.of_pole(e))
    return Elliptic(form.factor * ex.add(terms), third)


def shown_at(tower: Tower, q: Quotient, x: Expr, value: Expr) -> Expr:
    """A quotient at a value of x."""
    return ex.substitute(tower.to_expr(q), {x: value})


def _in_square(form: Form) -> tuple[Quotient, Poly] | None:
    """R/2 and X P in terms of X = x**2, where both hold even powers of x only."""
    parts = []
    for p in (form.p, form.r.n, form.r.d):
        halved = {}
        for monomial, c in p.terms():
            m = list(fd.exponents(monomial))
            if m[0] % 2:
                return None
            m[0] //= 2
            halved[tuple(m)] = c
        parts.append(fd.RING.from_dict(halved))
    p, n, d = parts
    return (Quotient(n, d * 2), p * _X) if degree(p) == 2 else None
