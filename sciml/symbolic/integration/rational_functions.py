"""Rational functions of one variable: partial fractions over the irreducible denominators, the
rational part by Horowitz-Ostrogradsky, the logarithmic part by Rothstein-Trager.

The residues of h/q at the roots of an irreducible q are the roots of resultant_x(h - z q', q),
which is a power of an irreducible r(z); the residue c belongs to the logarithm of gcd(h - c q', q).
Residues of degree one and two always have closed forms, others where `root_sums` finds the roots of
r or of q. Source: M. Bronstein, "Symbolic Integration I" (2005), sections 2.3 and 2.4.
"""

from __future__ import annotations

from flint import fmpq, fmpq_mat, fmpq_poly

from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.root_sums import Complex, Root, integrals, roots

_MAX_DEGREE = 140
_MAX_RESIDUE_DEGREE = 6
_ExtensionPoly = list[fmpq_poly]
"""A polynomial in x over Q[z]/(r): its coefficients, lowest first, are polynomials modulo r(z)."""


def integrate_rational(e: Expr, x: str) -> Expr | None:
    """An antiderivative of a rational function with rational coefficients; None for any other
    integrand, and where a residue has no closed form."""
    quotient = as_rational(e, x)
    if quotient is None:
        return None
    n, d = quotient
    if d.degree() > _MAX_DEGREE or n.degree() > 3 * _MAX_DEGREE:
        return None
    symbol = ex.symbol(x)
    polynomial, proper = divmod(n, d)
    terms = [to_expr(polynomial.integral(), symbol)]
    numerator, denominator, h, square_free_part = horowitz_ostrogradsky(proper, d)
    terms.append(to_expr(numerator, symbol) / _factored(denominator, symbol))
    if h:
        _, factors = square_free_part.factor()
        for q, _ in factors:
            cofactor = square_free_part // q
            _, inverse, _ = cofactor.xgcd(q)
            logarithms = _logarithmic_part(h * inverse % q, q, symbol)
            if logarithms is None:
                return None
            terms.append(logarithms)
    return ex.add(terms)


def to_expr(p: fmpq_poly, x: Expr) -> Expr:
    """The polynomial as an expression."""
    return ex.add([ex.number(fraction(c)) * x**k for k, c in enumerate(p.coeffs())])


def _factored(p: fmpq_poly, x: Expr) -> Expr:
    content, factors = p.factor()
    product: Expr = ex.number(fraction(content))
    for q, e in factors:
        product = product * to_expr(q, x) ** int(e)
    return product


def horowitz_ostrogradsky(
    n: fmpq_poly, d: fmpq_poly
) -> tuple[fmpq_poly, fmpq_poly, fmpq_poly, fmpq_poly]:
    """(g, v, h, s) with n/d = (g/v)' + h/s and s square-free, by linear equations for g and h."""
    v = d.gcd(d.derivative())
    s = d // v
    size_g, size_h = v.degree(), s.degree()
    if size_g == 0:
        return fmpq_poly([0]), fmpq_poly([1]), n, d
    log_slope = s * v.derivative() // v
    columns = []
    for k in range(size_g):
        power = fmpq_poly([0] * k + [1])
        columns.append(power.derivative() * s - power * log_slope)
    columns += [v * fmpq_poly([0] * k + [1]) for k in range(size_h)]
    size = d.degree()
    matrix = fmpq_mat(size, size, [columns[j][i] for i in range(size) for j in range(size)])
    solution = matrix.solve(fmpq_mat(size, 1, [n[i] for i in range(size)]))
    values = [solution[i, 0] for i in range(size)]
    return fmpq_poly(values[:size_g]), v, fmpq_poly(values[size_g:]), s


def _logarithmic_part(h: fmpq_poly, q: fmpq_poly, x: Expr) -> Expr | None:
    """The integral of h/q for an irreducible q; None where the logarithms have no closed form."""
    slope = q.derivative()
    if not h:
        return ex.ZERO
    if q.degree() > 1:
        r = _residue_polynomial(h, q)
        if r.degree() == 1:
            c = -fraction(fmpq(r[0]) / fmpq(r[1]))
            return ex.number(c) * ex.call("log", to_expr(q, x))
        if r.degree() < q.degree() or q.degree() == 2:
            return _rothstein_trager(h, slope, q, r, x)
        closed_form = integrals([fraction(c) for c in q.coeffs()])
        if closed_form is not None:
            parts = [ex.number(fraction(c)) * closed_form(k, x) for k, c in enumerate(h.coeffs())]
            return ex.add([p for p in parts if p is not ex.ZERO])
        return _rothstein_trager(h, slope, q, r, x)
    return ex.number(fraction(fmpq(h[0]) / fmpq(q[1]))) * ex.call("log", to_expr(q, x))


def _residue_polynomial(h: fmpq_poly, q: fmpq_poly) -> fmpq_poly:
    """The irreducible polynomial of the residues: the minimal polynomial of h/q' modulo q."""
    _, inverse, _ = q.derivative().xgcd(q)
    residue = h * inverse % q
    size = q.degree()
    powers = [fmpq_poly([1])]
    while True:
        powers.append(powers[-1] * residue % q)
        count = len(powers)
        matrix = fmpq_mat(size, count, [powers[j][i] for i in range(size) for j in range(count)])
        echelon, rank = matrix.rref()
        if rank < count:  # the last power depends on the others
            return fmpq_poly([-echelon[i, count - 1] for i in range(rank)] + [1])


def _rothstein_trager(
    h: fmpq_poly, q_slope: fmpq_poly, q: fmpq_poly, r: fmpq_poly, x: Expr
) -> Expr | None:
    """The sum of c log gcd(h - c q', q) over the roots c of r (Rothstein and Trager)."""
    residues = roots_in_closed_form(r)
    if residues is None:
        return None
    z = fmpq_poly([0, 1])
    size = q.degree()
    over_field = [fmpq_poly([q[k]]) for k in range(size + 1)]
    difference = [fmpq_poly([h[k]]) - z * q_slope[k] for k in range(size)]
    argument = _gcd(over_field, [c % r for c in difference], r)
    terms = []
    for root in residues:
        re, im = _real_and_imaginary(argument, root, x)
        if root.im is ex.ZERO:
            terms.append(root.re * ex.call("log", re))
        else:
            terms.append(root.re * ex.call("log", re**2 + im**2))
            angle = im / re if im.free else -re / im  # without a jump where that is easy
            terms.append(-2 * root.im * ex.call("atan", angle))
    return ex.add(terms)


def roots_in_closed_form(r: fmpq_poly) -> list[Root] | None:
    """The real roots of r and the upper one of each complex pair; None where one has no closed
    form."""
    coefficients = [fraction(c) for c in r.coeffs()]
    if r.degree() == 1:
        return [Complex(ex.number(-coefficients[0] / coefficients[1]), ex.ZERO)]
    if r.degree() > _MAX_RESIDUE_DEGREE:
        return None
    if r.degree() > 2:
        closed = roots(coefficients)
        count = sum(1 if root.im is ex.ZERO else 2 for root in closed or ())
        return closed if count == r.degree() else None
    c, b, a = coefficients
    middle, squared_offset = ex.number(-b / (2 * a)), (b * b - 4 * a * c) / (4 * a * a)
    offset = ex.sqrt(ex.number(abs(squared_offset)))
    if squared_offset < 0:
        return [Complex(middle, offset)]
    return [Complex(middle + offset, ex.ZERO), Complex(middle - offset, ex.ZERO)]


def _real_and_imaginary(p: _ExtensionPoly, root: Root, x: Expr) -> tuple[Expr, Expr]:
    """Real and imaginary part of p at z = root."""
    re: list[Expr] = []
    im: list[Expr] = []
    for k, c in enumerate(p):
        value = value_at(c, root)
        re.append(value.re * x**k)
        im.append(value.im * x**k)
    return ex.add(re), ex.add(im)


def value_at(p: fmpq_poly, z: Complex) -> Complex:
    """The polynomial at a complex number."""
    total = Complex(ex.ZERO, ex.ZERO)
    for k, c in enumerate(p.coeffs()):
        total = total + z.power(k).scale(ex.number(fraction(c)))
    return total


def _gcd(a: _ExtensionPoly, b: _ExtensionPoly, r: fmpq_poly) -> _ExtensionPoly:
    """The monic greatest common divisor over the field Q[z]/(r)."""

    def trimmed(p: _ExtensionPoly) -> _ExtensionPoly:
        while p and not p[-1]:
            p = p[:-1]
        return p

    a, b = trimmed(a), trimmed(b)
    while b:
        _, inverse, _ = b[-1].xgcd(r)
        b = [c * inverse % r for c in b]
        while len(a) >= len(b):
            lead, shift = a[-1], len(a) - len(b)
            a = [(c - lead * b[k - shift]) % r if k >= shift else c for k, c in enumerate(a[:-1])]
            a = trimmed(a)
        a, b = b, a
    return a
