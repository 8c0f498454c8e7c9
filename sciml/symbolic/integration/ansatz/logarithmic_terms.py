"""Functions that may stand beside the rational part of the answer: logarithms of the denominator's
factors, inverse tangents of quadratic factors, inverse sines of what stands under a root."""

from __future__ import annotations

import math

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.prepare import prepare
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.linear_system import Column, Points, Vector, inverse_mod
from sciml.symbolic.integration.ansatz.special_functions import root_sums
from sciml.symbolic.integration.ansatz.support import Problem, constant_basis

_MOST = 80
_MOST_TERMS = 400


def _log(tower: Tower, w: Quotient, build: Expr | None = None) -> Column:
    def slope(points: Points, value: Vector, change: Vector) -> Vector:
        return change * inverse_mod(value, points.p)

    return Column(w, slope, lambda: ex.call("log", build or tower.to_expr(w)))


def arctangent(tower: Tower, w: Quotient, k: int) -> Column:
    """atan(w / sqrt(k)) / sqrt(k), and atanh for negative k: derivative w' / (k + w**2)."""

    def slope(points: Points, value: Vector, change: Vector) -> Vector:
        p = points.p
        below = (abs(k) + (1 if k > 0 else -1) * (value * value % p)) % p
        return change * inverse_mod(below, p)

    def build() -> Expr:
        root = ex.sqrt(abs(k))
        return ex.call("atan" if k > 0 else "atanh", tower.to_expr(w) / root) / root

    return Column(w, slope, build)


def _over_root(tower: Tower, name: str, w: Quotient, root: int) -> Column:
    """asin, asinh of w, whose derivative is w' over the kernel number `root`."""

    def slope(points: Points, value: Vector, change: Vector) -> Vector:
        return change * inverse_mod(points.values[root], points.p)

    def build() -> Expr:
        e = tower.to_expr(w)
        if name == "acosh":  # the logarithm also holds left of the cut
            return ex.call("log", e + tower.kernels[root].expr)
        return ex.call(name, e)

    return Column(w, slope, build)


def _quadratics(tower: Tower, q: Poly) -> list[Column]:
    out = []
    high = fd.degrees(q)
    for i in range(len(tower.kernels)):
        if high[i] != 2 or len(q) > 60:
            continue
        c, b, a = fd.by_degree(q, i, 2)
        discriminant = 4 * a * c - b * b
        found = fd.square_root(discriminant)
        if found:
            w = Quotient(2 * a * GENERATORS[i] + b, found[1])
            out.append(arctangent(tower, w, found[0]))
        elif discriminant != 0 and tower.derivative(Quotient(discriminant)).is_zero:
            out.append(_constant_discriminant(tower, 2 * a * GENERATORS[i] + b, discriminant))
    return out


def _constant_discriminant(tower: Tower, w: Poly, discriminant: Poly) -> Column:
    """atan(w / sqrt(d)) / sqrt(d) for a constant d that is no square: its root stays outside."""

    def slope(points: Points, value: Vector, change: Vector) -> Vector:
        below = (points.poly(discriminant) + value * value) % points.p
        return change * inverse_mod(below, points.p)

    def build() -> Expr:
        d = tower.poly_expr(discriminant)
        negative = not d.free and Program(d).complex({})[0].real < 0
        root = ex.sqrt(-d if negative else d)
        inside = tower.poly_expr(w) / root
        return -ex.call("atanh", inside) / root if negative else ex.call("atan", inside) / root

    return Column(Quotient(w), slope, build)


def _radical_columns(tower: Tower) -> list[Column]:
    out: list[Column] = []
    for i, kernel in enumerate(list(tower.kernels)):
        if kernel.degree != 2 or kernel.kind == "imaginary":
            continue
        u = kernel.radicand
        for name, inside in (("asinh", u - fd.Q1), ("acosh", u + fd.Q1), ("asin", fd.Q1 - u)):
            w = fd.quotient_root(inside)
            if w is not None:
                out.append(_over_root(tower, name, w, i))
        if u.d != ONE:
            continue
        high = fd.degrees(u.n)
        for v in range(len(tower.kernels)):
            if high[v] == 2:
                out += _quadratic_root(tower, i, v)
    return out


def _quadratic_root(tower: Tower, i: int, v: int) -> list[Column]:
    """The integral of 1/sqrt(a v**2 + b v + c): a logarithm for a > 0, asin for a < 0."""
    u = tower.kernels[i].radicand.n
    c, b, a = fd.by_degree(u, v, 2)
    found = fd.square_root(a)
    if not found:
        return []
    k, s = found
    slope_u = Quotient(u.derivative(v))
    root = math.isqrt(abs(k))
    if k > 0 and root * root == k:
        w = slope_u + Quotient(2 * s * root) * fd.generator(i)
        return [_log(tower, w)]
    lead = Quotient(s)

    def slope(points: Points, value: Vector, change: Vector) -> Vector:
        """dv / sqrt(u) of this column is s dv / (sqrt(|k|) s r), taken without the root of k."""
        below = points.values[i] * points.quotient(lead) % points.p
        return points.slopes[v] * inverse_mod(below, points.p) % points.p * points.quotient(lead)

    def build() -> Expr:
        size = ex.sqrt(abs(k))
        r = tower.kernels[i].expr
        if k > 0:
            inside = tower.to_expr(slope_u) + 2 * size * tower.poly_expr(s) * r
            return ex.call("log", inside) / size / tower.poly_expr(s)
        spread = tower.poly_expr(b * b - 4 * a * c)
        return -ex.call("asin", tower.to_expr(slope_u) / ex.sqrt(spread)) / (
            size * tower.poly_expr(s)
        )

    if s != ONE and s != -ONE:
        return []
    return [Column(slope_u, slope, build)]


def _structural(problem: Problem, room: int) -> list[Column]:
    """Sums c + e in the integrand that are c (1 +- w**2): inverse tangents of compound w."""
    tower = problem.tower
    out: list[Column] = []
    for node in ex.subtrees(prepare(problem.expr)):
        if node.op != "add" or tower.variable not in node.free or len(out) >= room:
            continue
        if node.args[0].op != "num" or node not in tower.memo:
            continue
        scaled = tower.memo[node] / fd.constant(node.args[0].value)
        if len(scaled.n) > _MOST_TERMS:
            continue
        for sign in (1, -1):
            w = fd.quotient_root(fd.constant(sign) * (scaled - fd.Q1))
            if w is not None:
                out.append(arctangent(tower, w, sign))
    return out


def times_constants(problem: Problem, base: list[Column]) -> list[Column]:
    """The columns again, times the algebraic constants."""
    tower = problem.tower
    out: list[Column] = []
    for t in constant_basis(tower)[1:]:
        factor, shown = fd.Q1, ex.ONE
        for i, e in enumerate(t):
            if e:
                factor = factor * fd.generator(i) ** e
                shown = shown * tower.kernels[i].expr ** e
        for column in base[:25]:
            out.append(
                Column(
                    column.w,
                    column.slope,
                    lambda c=column, s=shown: s * c.build(),  # type: ignore[misc]
                    factor,
                )
            )
    return out


def _of_kernels(problem: Problem) -> list[Column]:
    """Logarithms that come from the kernels themselves: denominators of slopes, 1 +- sine."""
    tower = problem.tower
    known = {str(q) for q, _ in problem.factors}
    out: list[Column] = []

    def offer(q: Poly) -> None:
        if str(q) not in known and not tower.derivative(Quotient(q)).is_zero:
            known.add(str(q))
            out.append(_log(tower, Quotient(q)))

    for i, kernel in enumerate(list(tower.kernels)):
        if kernel.slope.is_zero:
            continue
        for q, _ in fd.factor(kernel.slope.d)[1]:
            if len(q) < 40:
                offer(q)
        g = GENERATORS[i]
        if kernel.kind == "sin":
            c = GENERATORS[i + 1]
            offer(g)
            offer(c)
            if kernel.sign == 1:
                offer(ONE + g)
                offer(ONE + c)
            else:
                offer(c - ONE)
                out.append(arctangent(tower, Quotient(g), 1))
        elif kernel.kind == "tan":
            offer(g)
    return out


def columns(problem: Problem) -> list[Column]:
    """Every logarithm and inverse function worth a column."""
    tower = problem.tower
    out: list[Column] = []
    for q, _ in problem.factors:
        if not tower.derivative(Quotient(q)).is_zero:
            out.append(_log(tower, Quotient(q)))
        out += _quadratics(tower, q)
        w = fd.quotient_root(Quotient(q - ONE))
        if w is not None:
            out.append(arctangent(tower, w, 1))
    try:
        out += _radical_columns(tower)
        out += _structural(problem, _MOST - len(out))
    except Failure:
        pass
    out += _of_kernels(problem)
    out += root_sums(problem)
    for i, kernel in enumerate(tower.kernels):
        if kernel.kind == "tan":
            w = Quotient(ONE + kernel.sign * GENERATORS[i] ** 2)
            out.append(_log(tower, w))
    return out + times_constants(problem, out)
