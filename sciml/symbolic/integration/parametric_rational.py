"""Rational functions with symbols among their coefficients.

The rational part is found with the numerators over the irreducible factors, by linear equations
(Hermite and Ostrogradsky); factors of degree 1 give logarithms, of degree 2 a logarithm and an
arctangent, and of higher degree sums over the roots.

Source: Bronstein, Symbolic Integration I (2005), sections 2.2 and 2.8.
"""

from __future__ import annotations

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.elliptic.reduction import degree, slope, solve
from sciml.symbolic.integration.root_sums import parametric_integrals

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError, RecursionError, OverflowError)
_X = GENERATORS[0]
_MAX_UNKNOWNS = 40


def integrate_parametric_rational(f: Expr, x: str) -> Expr | None:
    """An antiderivative of a rational function of x whose coefficients hold symbols or other
    constants; None for any other integrand."""
    constants = f.free - {x} or any(n.op == "I" for n in ex.subtrees(f))
    if not constants or any(n.op in ex.NAMED and x in n.free for n in ex.subtrees(f)):
        return None
    try:
        tower = Tower(x)
        q = tower.convert(f)
        plain = all(k.kind in ("variable", "constant", "imaginary") for k in tower.kernels)
        if not plain or tower.root != 1:
            return None
        q = tower.reduced(q)
        imaginary = [i for i, k in enumerate(tower.kernels) if k.kind == "imaginary"]
        if imaginary and fd.degrees(q.d)[imaginary[0]] > 0:
            # A factor may be one of x**2 + 1: with the conjugate above and below, none is.
            conjugate = Quotient(_conjugate(q.d, imaginary[0]))
            below = tower.reduced(Quotient(q.d) * conjugate)
            q = tower.reduced(tower.reduced(Quotient(q.n) * conjugate) / below)
            if fd.degrees(q.d)[imaginary[0]] > 0:
                return None
        return _integrate(tower, q, ex.symbol(x))
    except _ERRORS:
        return None


def _conjugate(p: Poly, at: int) -> Poly:
    """The polynomial with -I in the place of I, generator `at`."""
    return fd.RING.from_dict({
        monomial: -c if fd.exponents(monomial)[at] % 2 else c for monomial, c in p.terms()
    })  # fmt: skip


def _integrate(tower: Tower, q: Quotient, x: Expr) -> Expr | None:
    factors = [(g, int(k)) for g, k in fd.factor(q.d)[1] if degree(g)]
    high = degree(q.n) - degree(q.d)
    out: list[Expr] = []
    if not factors:
        parts = fd.by_degree(q.n, 0, degree(q.n))
        constant = Quotient(q.d)
        return ex.add([tower.to_expr(Quotient(c) / constant) * x ** (k + 1) / (k + 1)
                       for k, c in enumerate(parts) if c != 0])  # fmt: skip
    below = ONE
    for g, k in factors:
        below = below * g ** (k - 1)
    top = degree(below) + max(high + 1, -1)
    unknowns = top + 1 + sum(degree(g) for g, _ in factors)
    if unknowns > _MAX_UNKNOWNS:
        return None
    powers = [k for k in range(top + 1) if high >= 0 or k < degree(below)]
    powers = [k for k in powers if k != degree(below)]  # the constant
    columns = [slope(Quotient(_X**k, below)) for k in powers]
    columns += [Quotient(_X**k, g) for g, _ in factors for k in range(degree(g))]
    solution = solve(columns, q)
    rational = fd.Q0
    for k, c in zip(powers, solution, strict=False):
        rational = rational + c * Quotient(_X**k, below)
    out.append(_short(tower, rational, below, x))
    rest = solution[len(powers) :]
    for g, _ in factors:
        numerators, rest = rest[: degree(g)], rest[degree(g) :]
        part = _logarithmic(tower, g, numerators, x)
        if part is None:
            return None
        out.append(part)
    return ex.add(out)


def _short(tower: Tower, rational: Quotient, below: Poly, x: Expr) -> Expr:
    """The rational part: its polynomial part by powers of x where the denominator is constant."""
    if degree(rational.d):
        return tower.to_expr(rational)
    constant = Quotient(rational.d)
    return ex.add([tower.to_expr(Quotient(c) / constant) * x**k
                   for k, c in enumerate(fd.by_degree(rational.n, 0, degree(rational.n)))
                   if c != 0])  # fmt: skip


def _logarithmic(tower: Tower, g: Poly, r: list[Quotient], x: Expr) -> Expr | None:
    """The integral of (sum r[k] x**k)/g."""
    if all(c.is_zero for c in r):
        return ex.ZERO
    n = degree(g)
    c = [Quotient(p) for p in fd.by_degree(g, 0, n)]
    log = ex.call("log", tower.poly_expr(g))
    if n == 1:
        return tower.to_expr(r[0] / c[1]) * log
    if n == 2:
        two = fd.constant(2)
        of_log = r[1] / (two * c[2])
        rest = tower.reduced(r[0] - of_log * c[1])
        out = tower.to_expr(of_log) * log
        if rest.is_zero:
            return out
        square = expand(tower.to_expr(fd.constant(4) * c[0] * c[2] - c[1] * c[1]))
        inside = tower.to_expr(two * c[2]) * x + tower.to_expr(c[1])
        factor = 2 * tower.to_expr(rest)
        if square.op == "num" and square.value < 0 or ex.negative(square):
            root = ex.sqrt(-square)
            return out - factor * ex.call("atanh", inside / root) / root
        root = ex.sqrt(square)
        return out + factor * ex.call("atan", inside / root) / root
    integral = parametric_integrals([tower.to_expr(v) for v in c])
    if integral is None:
        return None
    return ex.add([tower.to_expr(v) * integral(k, x) for k, v in enumerate(r) if not v.is_zero])
