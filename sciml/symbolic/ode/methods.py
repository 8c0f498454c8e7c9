"""The methods for ordinary differential equations, in the order in which they are tried.

The equation is factored and solved for its highest derivative; each form y' = F or y'' = F goes
through the classical methods. Exact equations and those of Clairaut and Lagrange follow, then point
transformations. Proposals are not checked here.

Sources: as of `first_order`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sciml.symbolic.algebra.rewriting import together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.ode.first_order import FIRST_ORDER_METHODS, exact, linear
from sciml.symbolic.ode.higher_order import constant_coefficient_proposals
from sciml.symbolic.ode.point_transformations import (
    by_inverse_point_transformation,
    by_point_transformation,
    by_point_transformation_second,
)
from sciml.symbolic.ode.second_order import SECOND_ORDER_METHODS
from sciml.symbolic.ode.tools import Context, Proposal, solve_for, tidy


def order_of(residual: Expr, y: str) -> int:
    """The order of the highest derivative of y."""
    return max((name.count("'") for name in residual.free if name.rstrip("'") == y), default=0)


def explicit_forms(residual: Expr, name: str) -> list[Expr]:
    """Every F for which residual = 0 follows from (the highest derivative `name`) = F."""
    return [F for factor in _factors(residual, name) for F in _solved_for(factor, name)]


def _factors(residual: Expr, name: str) -> list[Expr]:
    """The factors of the equation that contain the highest derivative."""
    product = together(residual)
    factors = [
        factor.args[0] if factor.op == "pow" else factor
        for factor in (product.args if product.op == "mul" else (product,))
        if name in factor.free and not (factor.op == "pow" and ex.negative(factor.args[1]))
    ]
    return factors if len(factors) > 1 else [residual]


def _solved_for(residual: Expr, name: str) -> list[Expr]:
    """The highest derivative from residual = 0, if it is linear, quadratic, or occurs once."""
    highest = ex.symbol(name)
    slope = residual.diff(name)
    if name not in slope.free:
        return [tidy(-ex.substitute(residual, {highest: ex.ZERO}) / slope)]
    tidied = tidy(slope)
    if name not in tidied.free:
        return [tidy(-ex.substitute(tidy(residual), {highest: ex.ZERO}) / tidied)]
    return [tidy(F) for F in solve_for(residual, highest, ex.ZERO)]


def classical_proposals(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Proposals of the classical methods, in the order of the methods."""
    if order != 2:
        try:
            yield from constant_coefficient_proposals(residual, c, order)
        except ERRORS:
            pass
    if order > 2:
        return
    name = c.y + "'" * order
    methods = FIRST_ORDER_METHODS if order == 1 else SECOND_ORDER_METHODS
    forms = explicit_forms(residual, name)
    for method in methods:
        for F in forms[:3]:
            if c.time_left() < 0:
                return
            try:
                yield from method(F, c)
            except ERRORS:
                continue
    if order == 1:
        try:
            for F in forms[:2]:
                denominator = _denominator(tidy(F))
                yield from exact(tidy(-F * denominator), denominator, c)
                yield from exact(-F, ex.ONE, c)
            if name in residual.diff(name).free:
                yield from _clairaut(residual, c)
        except ERRORS:
            pass


def _denominator(e: Expr) -> Expr:
    """The product of the factors with negative powers, inverted."""
    out = ex.ONE
    for factor in e.args if e.op == "mul" else (e,):
        if ex.is_negative_power(factor):
            out = out / factor
    return out


def transformed_proposals(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Proposals by point transformations."""
    if order > 2:
        return
    for F in explicit_forms(residual, c.y + "'" * order)[:2]:
        if order == 2:
            yield from by_point_transformation_second(F, c, SECOND_ORDER_METHODS[:4])
        else:
            yield from by_point_transformation(F, c)
            yield from by_inverse_point_transformation(F, c)


def _clairaut(residual: Expr, c: Context) -> Iterator[Proposal]:
    """Clairaut's equation y = x p + g(p) with p = y': the lines p = c1; else Lagrange's."""
    p, c1 = ex.symbol(c.y + "'"), ex.symbol("c1")
    for y_of_p in solve_for(residual, c.sy, ex.ZERO):
        g = tidy(y_of_p - c.sx * p)
        if c.x not in g.free:
            yield "explicit", c.sx * c1 + ex.substitute(g, {p: c1}), "Clairaut"
        else:
            yield from _lagrange(y_of_p, p, c)


def _lagrange(y_of_p: Expr, p: Expr, c: Context) -> Iterator[Proposal]:
    """Lagrange's equation y = x f(p) + g(p) with p = y': linear for x as a function of p; explicit
    where p can be eliminated."""
    f = y_of_p.diff(c.x)
    if c.x in f.free:
        return
    g = tidy(y_of_p - c.sx * f)
    if c.x in g.free:
        return
    name = p.value
    x_slope = (f.diff(name) * c.sx + g.diff(name)) / (p - f)  # dx/dp
    for _, x_of_p, _ in linear(tidy(x_slope), Context(name, c.x, c.deadline)):
        for p_of_x in solve_for(x_of_p, p, c.sx):
            yield "explicit", tidy(ex.substitute(y_of_p, {p: p_of_x})), "Lagrange"
