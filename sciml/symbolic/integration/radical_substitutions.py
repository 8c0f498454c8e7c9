"""Substitutions t = w/p**(1/q) that make g(x) p**(j/q) a rational function of t.

With T = w**q/p and t**q = T, f dx = q g w**j T/T' t**(-j - 1) dt, which is rational in t where
G = g w**j T/T' is a rational function of T. That is decided by linear equations for the
coefficients of the function. Candidates for w are monomials, factors of the radicand and of the
denominator, and the polynomials with q w' p - w p' = c N for factors N of the numerator, which make
the numerator a part of dt.

Sources: E. Goursat (1887), "Note sur quelques integrales pseudo-elliptiques"; S. Blake (2020), "A
simple method for computing some pseudo-elliptic integrals in terms of elementary functions",
arXiv:2004.04910.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from flint import nmod_mat

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.kernel_vectors import kernel_vector
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

_PRIME = 2**61 - 1
_MAX_DEGREE = 5
"""Degree of the largest rational function of T."""
_MAX_W = 2
"""Degree of the unknown polynomial w."""
_SPARE = 4
_X = GENERATORS[0]


@dataclass(frozen=True)
class _Form:
    """An integrand g(x) p**(j/q) in its tower; g and p are quotients in x and parameters."""

    tower: Tower
    g: Quotient
    p: Quotient
    q: int
    j: int


def radical_substitutions(f: Expr, x: str, t: str) -> Iterator[tuple[Expr, Expr]]:
    """(integrand in t, what t stands for), for integrands with one radical.

    Args:
        f: the integrand.
        x: its variable.
        t: the new variable.
    """
    form = _form(f, x)
    if form is None:
        return
    seen: list[Quotient] = []
    for w in _candidates(form):
        try:
            big = Quotient(w**form.q) / form.p
            if any(big == other for other in seen):
                continue
            seen.append(big)
            slope = _slope(big)
            if slope.is_zero:
                continue
            outer = _decompose(form.g * Quotient(w) ** form.j * big / slope, big)
        except Failure:
            continue
        if outer is None:
            continue
        above, below = (_polynomial(form.tower, cs, t, form.q) for cs in outer)
        root = ex.power(form.tower.to_expr(form.p), ex.number(Fraction(1, form.q)))
        yield (
            form.q * above / below * ex.symbol(t) ** (-form.j - 1),
            form.tower.poly_expr(w) / root,
        )


def goursat_substitutions(f: Expr, x: str, t: str) -> Iterator[tuple[Expr, Expr]]:
    """(integrand in t, what t stands for) with t = A(x)/x**m, for integrands with one radical whose
    radicand is x**(q m e) P(t): it has lower degree in t, as p x + q/x in sqrt(p**2 x**4 + q**2).

    A follows from a factor of the numerator, which is a factor of t'.

    Args:
        f: the integrand.
        x: its variable.
        t: the new variable.
    """
    form = _form(f, x)
    if form is None:
        return
    seen: list[Quotient] = []
    own = _factors(form.p.n) + [_X]
    numerators = [h for h in _factors(form.g.n) if h not in own]
    for size, m in itertools.product(range(len(numerators), 0, -1), range(1, _MAX_W + 1)):
        for chosen in itertools.combinations(numerators[:4], size):
            try:
                u = _with_derivative(chosen, m)
                if u is None or any(u == other for other in seen):
                    continue
                seen.append(u)
                yield from _lowered(form, u, m, t)
            except Failure:
                continue


def _with_derivative(factors: tuple[Poly, ...], m: int) -> Quotient | None:
    """u = A/x**m with the derivative of a product of polynomials over x**(m + 1)."""
    product = ONE
    for h in factors:
        product = product * h
    degree = fd.degrees(product)[0]
    parts = fd.by_degree(product, 0, degree)
    if degree < m or m <= degree and parts[m] != 0:
        return None
    out = fd.Q0
    for k, c in enumerate(parts):
        if c != 0:
            out = out + Quotient(c * _X**k) * fd.constant(Fraction(1, k - m))
    return out / Quotient(_X**m)


def _lowered(form: _Form, u: Quotient, m: int, t: str) -> Iterator[tuple[Expr, Expr]]:
    slope = _slope(u)
    for e in (1, 2):
        inner = _decompose(form.p / Quotient(_X ** (form.q * m * e)), u)
        if inner is None:
            continue
        outer = _decompose(form.g * Quotient(_X ** (m * e)) ** form.j / slope, u)
        if outer is None:
            continue
        radicand, rest = (
            _polynomial(form.tower, above, t) / _polynomial(form.tower, below, t)
            for above, below in (inner, outer)
        )
        root = ex.power(radicand, ex.number(Fraction(form.j, form.q)))
        yield rest * root, form.tower.to_expr(u)


def _polynomial(tower: Tower, coefficients: list[Quotient], t: str, step: int = 1) -> Expr:
    """The polynomial in t**step."""
    terms = [tower.to_expr(c) * ex.symbol(t) ** (step * k) for k, c in enumerate(coefficients)]
    return ex.add(terms)


def _form(f: Expr, x: str) -> _Form | None:
    """The integrand as g p**(j/q); None if it is of another form, or too large to tell."""
    try:
        return _converted(f, x)
    except (Failure, ex.TooLarge, ex.Undefined):
        return None


def _converted(f: Expr, x: str) -> _Form | None:
    tower = Tower(x)
    whole = tower.convert(f)
    radicals = [i for i, k in enumerate(tower.kernels) if k.kind == "radical"]
    plain = all(k.kind in ("variable", "constant", "radical") for k in tower.kernels)
    if len(radicals) != 1 or not plain:
        return None
    i = radicals[0]
    kernel = tower.kernels[i]
    parts = []
    power = 0
    for poly, sign in ((whole.n, 1), (whole.d, -1)):
        powers = {fd.exponents(m)[i] for m, _ in poly.terms()}
        if len({k % kernel.degree for k in powers}) != 1:
            return None
        lowest = min(powers)
        power += sign * lowest
        poly = poly // GENERATORS[i] ** lowest
        steps = fd.by_degree(poly, i, max(powers) - lowest)
        total = fd.Q0
        for k, c in enumerate(steps):
            if c != 0:
                total = total + Quotient(c) * kernel.radicand ** (k // kernel.degree)
        parts.append(total)
    return _Form(tower, parts[0] / parts[1], kernel.radicand, kernel.degree, power)


def _slope(u: Quotient) -> Quotient:
    """The derivative by x, everything else constant."""
    return Quotient(u.n.derivative(0) * u.d - u.n * u.d.derivative(0), u.d * u.d)


def _degree(u: Quotient) -> int:
    return max(fd.degrees(u.n)[0], fd.degrees(u.d)[0])


def _factors(p: Poly) -> list[Poly]:
    return [h for h, _ in fd.factor(p)[1] if fd.degrees(h)[0]]


def _candidates(form: _Form) -> Iterator[Poly]:
    p, q = form.p.n, form.q
    for k in range(-(-_degree(form.p) // q) + 1):
        yield _X**k
    own = _factors(p) + _factors(form.p.d)
    for h in own:
        yield h
    for h in _factors(form.g.d):
        if fd.degrees(h)[0] == 1:
            yield h
    if form.p.d != ONE:
        return
    numerators = [h for h in _factors(form.g.n) if h not in own]
    common = p.gcd(p.derivative(0))
    for size in range(len(numerators), 0, -1):
        for chosen in itertools.combinations(numerators[:4], size):
            target = common
            for h in chosen:
                target = target * h
            w = _with_slope(p, q, target)
            if w is not None:
                yield w


def _with_slope(p: Poly, q: int, target: Poly) -> Poly | None:
    """A polynomial w of low degree with q w' p - w p' = c `target`, c constant and not 0."""
    columns = [
        q * (_X**k).derivative(0) * p - _X**k * p.derivative(0) for k in range(_MAX_W + 1)
    ] + [-target]
    height = max(fd.degrees(c)[0] for c in columns)
    parts = [fd.by_degree(c, 0, height) for c in columns]
    rows = [[Quotient(part[k]) for part in parts] for k in range(height + 1)]
    solution = kernel_vector(rows)
    if solution is None or solution[-1].is_zero:
        return None
    bottom = ONE
    for c in solution[:-1]:
        bottom = fd.lcm(bottom, c.d)
    w = fd.ZERO
    for k, c in enumerate(solution[:-1]):
        w = w + c.n * (bottom // c.d) * _X**k
    return w if w != 0 else None


def _decompose(g: Quotient, big: Quotient) -> tuple[list[Quotient], list[Quotient]] | None:
    """Coefficients of polynomials N, D with g = N(T)/D(T), T = `big`; None where there are none."""
    if g.is_zero:
        return None
    if not _degree(g):
        return [g], [fd.Q1]
    degree, rest = divmod(_degree(g), _degree(big))
    if rest or degree > _MAX_DEGREE or not _may_decompose(g, big, degree):
        return None
    rows = []
    for at in range(2, 2 * degree + 4 + _SPARE):
        value, u = _at(g, at), _at(big, at)
        if value is not None and u is not None:
            powers = [u**k for k in range(degree + 1)]
            rows.append([-z for z in powers] + [value * z for z in powers])
    solution = kernel_vector(rows)
    if solution is None:
        return None
    above, below = solution[: degree + 1], solution[degree + 1 :]
    top, bottom = fd.Q0, fd.Q0
    for k in range(degree + 1):
        top, bottom = top + above[k] * big**k, bottom + below[k] * big**k
    return (above, below) if not bottom.is_zero and top == g * bottom else None


def _may_decompose(g: Quotient, big: Quotient, degree: int) -> bool:
    """Whether the equations have a solution modulo a prime, for random constants."""
    rng = random.Random(1)
    constants = [rng.randrange(2, _PRIME) for _ in range(fd.VARIABLES)]
    rows: list[int] = []
    width = 2 * degree + 2
    while len(rows) < (width + _SPARE) * width:
        constants[0] = rng.randrange(2, _PRIME)
        values = [_modulo(p, constants) for p in (g.n, g.d, big.n, big.d)]
        if not (values[1] and values[3]):
            continue
        value = values[0] * pow(values[1], -1, _PRIME)
        u = values[2] * pow(values[3], -1, _PRIME)
        powers = [pow(u, k, _PRIME) for k in range(degree + 1)]
        rows += [-z % _PRIME for z in powers] + [value * z % _PRIME for z in powers]
    return bool(nmod_mat(width + _SPARE, width, rows, _PRIME).rank() < width)


def _modulo(p: Poly, values: list[int]) -> int:
    total = 0
    for monomial, c in p.terms():
        term = int(c)
        for i, e in enumerate(fd.exponents(monomial)):
            if e:
                term = term * pow(values[i], e, _PRIME) % _PRIME
        total += term
    return total % _PRIME


def _at(u: Quotient, at: int) -> Quotient | None:
    """u at x = `at`; None at a pole."""
    n, d = (
        sum((c * at**k for k, c in enumerate(fd.by_degree(p, 0, fd.degrees(p)[0]))), fd.ZERO)
        for p in (u.n, u.d)
    )
    return None if d == 0 else Quotient(n, d)
