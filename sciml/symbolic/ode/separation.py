"""Separation of variables: F(x, y) = g(x) h(y), and the solutions of int dy / h = int g dx + c1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.search import constant_factor
from sciml.symbolic.ode.tools import (
    C1,
    PLAIN_VALUES,
    Context,
    Proposal,
    at,
    introduces_numbers,
    merge_logarithms,
    numerically_equal,
    solve_for,
    terms,
    tidy,
)


def _sums_of_angles(e: Expr) -> Expr:
    """e with sin(a + b) and cos(a + b) expanded by the addition theorems."""
    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(e):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if out.op in ("sin", "cos") and out.args[0].op == "add":
            first, *rest = out.args[0].args
            a, b = (_sums_of_angles(ex.call(f, first)) for f in ("sin", "cos"))
            s, c = (_sums_of_angles(ex.call(f, ex.add(rest))) for f in ("sin", "cos"))
            out = a * c + b * s if out.op == "sin" else b * c - a * s
        memo[n] = out
    return expand(memo[e])


def _split_sums(e: Expr) -> list[Expr]:
    """The factors of e, with exp(a + b) and c**(a + b) split into factors."""
    factors: list[Expr] = []
    for f in e.args if e.op == "mul" else (e,):
        base, exponent = ex.base_and_exponent(f)
        if exponent.op == "add" and (f.op == "exp" or not base.free):
            factors += [ex._node("exp", (t,)) if f.op == "exp" else ex.power(base, t)
                        for t in exponent.args]  # fmt: skip
        else:
            factors.append(f)
    return factors


def separate_variables(F: Expr, x: str, y: str) -> tuple[Expr, Expr] | None:
    """(g, h) with F = g(x) h(y), from the factors of F, or from the values of F on two lines; None
    if F is not separable."""
    for form in dict.fromkeys((F, tidy(F), _sums_of_angles(F))):
        g, h = ex.ONE, ex.ONE
        for f in _split_sums(form):
            if y not in f.free:
                g = g * f
            elif x not in f.free:
                h = h * f
            else:
                break
        else:
            return g, h
    sx, sy = ex.symbol(x), ex.symbol(y)
    for x0, y0 in itertools.product((*PLAIN_VALUES, Fraction(3)), repeat=2):
        try:
            g, h = (
                constant_factor(tidy(at(F, s, v)), n)[1] for s, v, n in ((sy, y0, x), (sx, x0, y))
            )
            if (
                not (x in g.free and y in h.free)
                or introduces_numbers(g, F)
                or introduces_numbers(h, F)
            ):
                continue
            k = _numerical_ratio(F, g * h)
            if k is not None and numerically_equal(F, k * g * h):
                return k * g, h
        except ex.Undefined:
            continue
    return None


def _numerical_ratio(f: Expr, g: Expr) -> Expr | None:
    """The number f/g from its value at a point, if it or its square is a simple rational."""
    names = sorted(f.free | g.free)
    if len(names) > 2:
        return None
    for k in range(1, 8):
        point = {n: 0.37 * k + 0.11 * i for i, n in enumerate(names)}
        a, b = (complex(z) for z in Program(f, g).complex(point))
        if not (np.isfinite(a) and np.isfinite(b) and abs(b) > 1e-9 and abs(a) > 1e-9):
            continue
        ratio = a / b
        for value, root in ((ratio, False), (ratio * ratio, True)):
            fraction = Fraction(value.real).limit_denominator(2000)
            if fraction and abs(value - float(fraction)) < 1e-11 * abs(value):
                sign = 1 if not root or ratio.real > 0 else -1
                return sign * ex.sqrt(ex.number(fraction)) if root else ex.number(fraction)
        return None
    return None


def from_integrals(
    left: Expr | None, right: Expr | None, c: Context, name: str
) -> Iterator[Proposal]:
    """Solutions of left(y) = right(x) + c1: explicit ones where it can be solved for y, then the
    implicit one."""
    if left is None or right is None:
        return
    scale = _scale_of_logarithms(left, c.y)
    scaled_left = left if scale is ex.ONE else ex.add([tidy(t / scale) for t in terms(left)])
    for shape in dict.fromkeys((scaled_left, merge_logarithms(scaled_left))):
        k, core = ex.split_coefficient(shape)
        if core.op == "log":  # log(u) = r + c as u = c exp(r), which holds for both signs of u
            inner = _half_angle(core.args[0])
            power = C1 * ex.call("exp", tidy(right / scale) / ex.number(k))
            for solution in solve_for(inner, c.sy, power):
                yield "explicit", solution, name
        for solution in solve_for(shape, c.sy, tidy(right / scale) + C1):
            yield "explicit", solution, name
    yield "implicit", left - right, name


def _scale_of_logarithms(left: Expr, y: str) -> Expr:
    """The symbolic factor k common to the logarithms of a sum such as k log(u) - 2 k log(v)."""
    factors = []
    for term in terms(left):
        logarithms = [f for f in (term.args if term.op == "mul" else (term,)) if f.op == "log"]
        if len(logarithms) != 1 or y not in logarithms[0].free:
            return ex.ONE
        factors.append(tidy(term / logarithms[0]))
    first = factors[0]
    if not first.free or y in first.free:
        return ex.ONE
    return first if all(tidy(f / first).op == "num" for f in factors) else ex.ONE


def _half_angle(e: Expr) -> Expr:
    """sin(u)/(1 + cos(u)) as tan(u/2)."""
    for n in e.args if e.op == "mul" else ():
        if n.op == "sin":
            u = n.args[0]
            short = ex.call("tan", u / 2)
            rest = e * (1 + ex.call("cos", u)) / n
            if not any(m.op in ("sin", "cos") for m in ex.subtrees(rest)):
                return rest * short
    return e
