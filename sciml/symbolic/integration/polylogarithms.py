"""Polynomials in x times rational functions of exponentials or circular functions of a linear
function of x, by polylogarithms.

With E = exp(l x + c) and z = E/e, 1/(E - e) is -(1 + Li_0(z))/e, and by parts

    int x**j Li_0(z) dx = sum over i of (-1)**i j!/(j - i)! x**(j - i) Li_(i + 1)(z)/l**(i + 1).

Higher powers of 1/(E - e) are lowered by the derivative of the next lower one.

Source: L. Lewin, "Polylogarithms and Associated Functions" (1981), sections 6.2 and 7.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.prepare import rational_ratio
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.elliptic.reduction import degree, solve
from sciml.symbolic.integration.substitution import linear

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError, OverflowError)
_CIRCULAR = ("sin", "cos", "tan", "cot", "sec", "csc")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "coth", "sech", "csch")
_E = ex.symbol("_E")
_MAX_POWER, _MAX_DEGREE = 8, 16


def integrate_with_exponentials(f: Expr, x: str) -> Expr | None:
    """An antiderivative of such an integrand that holds x itself; None for any other."""
    nodes = [n for n in ex.subtrees(f)
             if x in n.free and n.op in ("exp", *_CIRCULAR, *_HYPERBOLIC)]  # fmt: skip
    circular = [n for n in nodes if n.op in _CIRCULAR]
    if not nodes or circular and len(circular) < len(nodes):
        return None
    if any(not linear(n.args[0], x) for n in nodes):
        return None
    try:
        v = min((n.args[0] for n in nodes), key=lambda u: abs(_ratio(u, nodes[0].args[0], x)))
        mapping = {n: _by_exponential(n, v, x) for n in nodes}
        g = ex.substitute(f, mapping)
        return _integrate(g, x, ex.I * v if circular else v)
    except _ERRORS:
        return None


def _ratio(u: Expr, v: Expr, x: str) -> fd.Fraction:
    ratio = rational_ratio(u.diff(x), v.diff(x), x)
    if ratio is None:
        raise Failure("arguments that are no multiples of one")
    return ratio


def _by_exponential(n: Expr, v: Expr, x: str) -> Expr:
    k = _ratio(n.args[0], v, x)
    if k.denominator != 1 or abs(k) > _MAX_DEGREE:
        raise Failure("a multiple that is no integer")
    shift = expand(n.args[0] - ex.number(k) * v)
    if x in shift.free or shift is not ex.ZERO and n.op != "exp":
        raise Failure("a shifted angle")
    z = _E ** int(k)
    if n.op == "exp":
        return z * ex.call("exp", shift)
    h = n.op in _HYPERBOLIC
    unit = ex.ONE if h else ex.I
    s, c = (z - 1 / z) / (2 * unit), (z + 1 / z) / 2
    kind = n.op[:-1] if h else n.op
    return {"sin": s, "cos": c, "tan": s / c, "cot": c / s, "sec": 1 / c, "csc": 1 / s}[kind]


def _integrate(g: Expr, x: str, v: Expr) -> Expr | None:
    if x not in g.free:
        return None  # without x it is the integral of a rational function of E
    tower = Tower("_E")
    q = tower.reduced(tower.convert(g))
    if any(k.kind not in ("variable", "constant", "imaginary") for k in tower.kernels):
        return None
    at = next((i for i, k in enumerate(tower.kernels) if k.expr is ex.symbol(x)), 0)
    others = [k.expr for i, k in enumerate(tower.kernels) if i not in (0, at)]
    if not at or any(x in e.free for e in others) or fd.degrees(q.d)[at]:
        return None
    power = fd.degrees(q.n)[at]
    if power > _MAX_POWER or degree(q.d) > _MAX_DEGREE:
        return None
    n, d, step = q.n, q.d, 1
    used = {fd.exponents(m)[0] for p in (n, d) for m, _ in p.terms()}
    step = math.gcd(*used) or 1
    if step > 1:
        n, d = (_lowered(p, step) for p in (n, d))
    angle = expand(step * v)
    parts = _Parts(tower, ex.symbol(x), angle, angle.diff(x))
    terms = []
    for j, coefficient in enumerate(fd.by_degree(n, at, power)):
        if coefficient != 0:
            term = parts.integral(Quotient(coefficient, d), j)
            if term is None:
                return None
            terms.append(term)
    return ex.add(terms)


def _lowered(p: Poly, step: int) -> Poly:
    out = {}
    for monomial, c in p.terms():
        m = list(fd.exponents(monomial))
        m[0] //= step
        out[tuple(m)] = c
    return fd.RING.from_dict(out)


@dataclass(frozen=True)
class _Parts:
    """Integrals of x**j times functions of E = exp(angle); `rate` is the slope of the angle."""

    tower: Tower
    x: Expr
    angle: Expr
    rate: Expr

    def integral(self, r: Quotient, j: int) -> Expr | None:
        """The integral of x**j r(E)."""
        content, factors = fd.factor(r.d)
        lowest = 0
        columns, names = [], []
        for g, k in factors:
            n, k = degree(g), int(k)
            if not n:
                continue
            if g == GENERATORS[0]:
                lowest = k
            elif n == 1:
                columns += [Quotient(ONE, g**i) for i in range(1, k + 1)]
                names += [(g, i) for i in range(1, k + 1)]
            elif n == 2 and k == 1:
                columns += [Quotient(ONE, g), Quotient(GENERATORS[0], g)]
                names += [(g, -1), (g, -2)]
            else:
                return None
        powers = list(range(-lowest, max(degree(r.n) - degree(r.d), 0) + 1))
        columns += [Quotient(ONE) * fd.generator(0) ** i if i >= 0
                    else Quotient(ONE, GENERATORS[0] ** -i) for i in powers]  # fmt: skip
        solution = [self.tower.to_expr(c) for c in solve(columns, r)]
        out = []
        for i, c in zip(powers, solution[len(names) :], strict=True):
            out.append(c * self.of_power(j, i))
        for (g, i), c in zip(names, solution, strict=False):
            if c is ex.ZERO:
                continue
            g0, g1, *g2 = [self.tower.poly_expr(p) for p in fd.by_degree(g, 0, degree(g))]
            if i > 0:
                out.append(c / g1**i * self.of_pole(j, -g0 / g1, i))
                continue
            root = ex.sqrt(expand(g1**2 - 4 * g0 * g2[0]))
            for side in (1, -1):
                e = (-g1 + side * root) / (2 * g2[0])
                residue = side / root * (e if i == -2 else ex.ONE)
                out.append(c * residue * self.of_pole(j, e, 1))
        return ex.add(out)

    def of_power(self, j: int, k: int) -> Expr:
        """The integral of x**j E**k."""
        if k == 0:
            return self.x ** (j + 1) / (j + 1)
        rate = k * self.rate
        out = ex.ZERO
        for i in range(j + 1):
            factor = ex.number((-1) ** i * math.perm(j, i))
            out = out + factor * self.x ** (j - i) / rate ** (i + 1)
        return out * ex.call("exp", expand(k * self.angle))

    def of_pole(self, j: int, e: Expr, k: int) -> Expr:
        """The integral of x**j/(E - e)**k."""
        if k > 1:
            lower = (ex.call("exp", self.angle) - e) ** (1 - k)
            by_parts = self.x**j * lower
            if j:
                by_parts = by_parts - j * self.of_pole(j - 1, e, k - 1)
            return -(self.of_pole(j, e, k - 1) + by_parts / ((k - 1) * self.rate)) / e
        z = ex.call("exp", self.angle) / e
        out = self.x ** (j + 1) / (j + 1)
        for i in range(j + 1):
            factor = ex.number((-1) ** i * math.perm(j, i))
            polylog = ex.call("polylog", ex.number(i + 1), z)
            out = out + factor * self.x ** (j - i) * polylog / self.rate ** (i + 1)
        return -out / e
