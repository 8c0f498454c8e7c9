"""The logarithmic part of the answer: logarithms of the denominator's factors, inverse tangents of
quadratic factors, inverse sines of radicands.

Each candidate is a column of the linear system; its constant coefficient is the residue. No residue
criterion is tested beforehand: where the residues are not constant, the system has no solution.
"""

from __future__ import annotations

import math

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.prepare import prepare
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.linear_system import Column
from sciml.symbolic.integration.ansatz.modular_points import ModularPoints, Vector, inverse_mod
from sciml.symbolic.integration.ansatz.special_functions import root_sums
from sciml.symbolic.integration.ansatz.support import Problem, constant_basis

_MAX_COLUMNS = 80
_MAX_TERMS = 400


def _log(tower: Tower, w: Quotient, build: Expr | None = None) -> Column:
    def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
        return change * inverse_mod(value, points.p)

    return Column(w, slope, lambda: ex.call("log", build or tower.to_expr(w)))


def arctangent(tower: Tower, w: Quotient, k: int) -> Column:
    """atan(w / sqrt(k)) / sqrt(k), and atanh for negative k: derivative w' / (k + w**2)."""

    def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
        p = points.p
        denominator = (abs(k) + (1 if k > 0 else -1) * (value * value % p)) % p
        return change * inverse_mod(denominator, p)

    def build() -> Expr:
        root = ex.sqrt(abs(k))
        return ex.call("atan" if k > 0 else "atanh", tower.to_expr(w) / root) / root

    return Column(w, slope, build)


def _inverse_function(tower: Tower, name: str, w: Quotient, root: int) -> Column:
    """asin, asinh, acosh of w, whose derivative is w' divided by the kernel with index `root`."""

    def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
        return change * inverse_mod(points.values[root], points.p)

    def build() -> Expr:
        e = tower.to_expr(w)
        if name == "acosh":  # the logarithm is right left of the branch cut, too
            return ex.call("log", e + tower.kernels[root].expr)
        return ex.call(name, e)

    return Column(w, slope, build)


def _arctangents_of_quadratics(tower: Tower, q: Poly) -> list[Column]:
    out = []
    degrees = fd.degrees(q)
    for i in range(len(tower.kernels)):
        if degrees[i] != 2 or len(q) > 60:
            continue
        c, b, a = fd.by_degree(q, i, 2)
        discriminant = 4 * a * c - b * b
        root = fd.square_root(discriminant)
        if root:
            w = Quotient(2 * a * GENERATORS[i] + b, root[1])
            out.append(arctangent(tower, w, root[0]))
        elif discriminant != 0 and tower.derivative(Quotient(discriminant)).is_zero:
            out.append(_constant_discriminant(tower, 2 * a * GENERATORS[i] + b, discriminant))
    return out


def _constant_discriminant(tower: Tower, w: Poly, discriminant: Poly) -> Column:
    """atan(w / sqrt(d)) / sqrt(d) for a constant d that is not a square in the tower."""

    def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
        denominator = (points.poly(discriminant) + value * value) % points.p
        return change * inverse_mod(denominator, points.p)

    def build() -> Expr:
        d = tower.poly_expr(discriminant)
        negative = not d.free and Program(d).complex({})[0].real < 0
        root = ex.sqrt(-d if negative else d)
        argument = tower.poly_expr(w) / root
        return -ex.call("atanh", argument) / root if negative else ex.call("atan", argument) / root

    return Column(Quotient(w), slope, build)


def _inverse_functions_of_radicals(tower: Tower) -> list[Column]:
    out: list[Column] = []
    for i, kernel in enumerate(list(tower.kernels)):
        if kernel.degree != 2 or kernel.kind == "imaginary":
            continue
        u = kernel.radicand
        for name, inside in (("asinh", u - fd.Q1), ("acosh", u + fd.Q1), ("asin", fd.Q1 - u)):
            w = fd.quotient_root(inside)
            if w is not None:
                out.append(_inverse_function(tower, name, w, i))
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
    square = fd.square_root(a)
    if not square:
        return []
    k, s = square
    slope_u = Quotient(u.derivative(v))
    root = math.isqrt(abs(k))
    if k > 0 and root * root == k:
        w = slope_u + Quotient(2 * s * root) * fd.generator(i)
        return [_log(tower, w)]
    lead = Quotient(s)

    def slope(points: ModularPoints, value: Vector, change: Vector) -> Vector:
        """The derivative of the column is v' / r."""
        p, s_mod = points.p, points.quotient(lead)
        return points.slopes[v] * inverse_mod(points.values[i] * s_mod % p, p) % p * s_mod

    def build() -> Expr:
        root_of_k = ex.sqrt(abs(k))
        r = tower.kernels[i].expr
        if k > 0:
            argument = tower.to_expr(slope_u) + 2 * root_of_k * tower.poly_expr(s) * r
            return ex.call("log", argument) / root_of_k / tower.poly_expr(s)
        discriminant = tower.poly_expr(b * b - 4 * a * c)
        return -ex.call("asin", tower.to_expr(slope_u) / ex.sqrt(discriminant)) / (
            root_of_k * tower.poly_expr(s)
        )

    if s != ONE and s != -ONE:
        return []
    return [Column(slope_u, slope, build)]


def _arctangents_in_sums(problem: Problem, max_count: int) -> list[Column]:
    """Inverse tangents of compound w: one for each sum in the integrand that is c (1 +- w**2)."""
    tower = problem.tower
    out: list[Column] = []
    for node in ex.subtrees(prepare(problem.expr)):
        if node.op != "add" or tower.variable not in node.free or len(out) >= max_count:
            continue
        if node.args[0].op != "num" or node not in tower.memo:
            continue
        scaled = tower.memo[node] / fd.constant(node.args[0].value)
        if len(scaled.n) > _MAX_TERMS:
            continue
        for sign in (1, -1):
            w = fd.quotient_root(fd.constant(sign) * (scaled - fd.Q1))
            if w is not None:
                out.append(arctangent(tower, w, sign))
    return out


def times_constants(problem: Problem, base: list[Column]) -> list[Column]:
    """The products of the columns with the algebraic constants other than 1."""
    tower = problem.tower
    out: list[Column] = []
    for t in constant_basis(tower)[1:]:
        factor, expr = fd.Q1, ex.ONE
        for i, e in enumerate(t):
            if e:
                factor = factor * fd.generator(i) ** e
                expr = expr * tower.kernels[i].expr ** e
        for column in base[:25]:
            out.append(
                Column(
                    column.w,
                    column.slope,
                    lambda c=column, s=expr: s * c.build(),  # type: ignore[misc]
                    factor,
                )
            )
    return out


def _logarithms_of_kernels(problem: Problem) -> list[Column]:
    """Logarithms that the kernels suggest: of the denominators of their derivatives, of sine,
    cosine and 1 + sine."""
    tower = problem.tower
    seen = {str(q) for q, _ in problem.factors}
    out: list[Column] = []

    def offer(q: Poly) -> None:
        if str(q) not in seen and not tower.derivative(Quotient(q)).is_zero:
            seen.add(str(q))
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


def logarithmic_columns(problem: Problem) -> list[Column]:
    """The columns of all logarithms and inverse functions to try."""
    tower = problem.tower
    out: list[Column] = []
    for q, _ in problem.factors:
        if not tower.derivative(Quotient(q)).is_zero:
            out.append(_log(tower, Quotient(q)))
        out += _arctangents_of_quadratics(tower, q)
        w = fd.quotient_root(Quotient(q - ONE))
        if w is not None:
            out.append(arctangent(tower, w, 1))
    try:
        out += _inverse_functions_of_radicals(tower)
        out += _arctangents_in_sums(problem, _MAX_COLUMNS - len(out))
    except Failure:
        pass
    out += _logarithms_of_kernels(problem)
    out += root_sums(problem)
    for i, kernel in enumerate(tower.kernels):
        if kernel.kind == "tan":
            w = Quotient(ONE + kernel.sign * GENERATORS[i] ** 2)
            out.append(_log(tower, w))
    return out + times_constants(problem, out)
