"""Second-order equations y'' = F(x, y, y'): the classical methods (proposals as in `first_order`).

Linear equations: constant coefficients, Euler's equation, Liouvillian solutions, reduction of
order, changes of variable, the normal form; inhomogeneous ones by variation of parameters or
undetermined coefficients. Nonlinear equations are reduced to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.change_of_variable import NEW_VARIABLE, in_new_variable
from sciml.symbolic.ode.constant_coefficients import fundamental_system, undetermined_coefficients
from sciml.symbolic.ode.first_order import FIRST_ORDER_METHODS
from sciml.symbolic.ode.liouvillian import liouvillian_solutions
from sciml.symbolic.ode.special_functions import special_systems
from sciml.symbolic.ode.tools import (
    C1,
    Context,
    Proposal,
    at,
    is_independent,
    numerically_equal,
    solve_for,
    tidy,
    without_symbol,
)

C2 = ex.symbol("c2")


@dataclass
class Linear:
    """y'' + p y' + q y = r."""

    p: Expr
    q: Expr
    r: Expr


def as_linear(F: Expr, c: Context) -> Linear | None:
    """The coefficients of y'' = F where F is linear in y and y'."""
    p, y = ex.symbol(c.y + "'"), c.sy
    fp, fy = F.diff(p.value), F.diff(c.y)
    for name in (c.y, p.value):
        if not (is_independent(fp, name) and is_independent(fy, name)):
            return None
    zero = {y: ex.ZERO, p: ex.ZERO}
    try:
        coefficient_p, coefficient_y = ex.substitute(tidy(fp), zero), ex.substitute(tidy(fy), zero)
        rest = ex.substitute(tidy(F), zero)
    except ex.Undefined:
        return None
    if not numerically_equal(F, coefficient_p * p + coefficient_y * y + rest):
        return None
    return Linear(tidy(-coefficient_p), tidy(-coefficient_y), tidy(rest))


def _elementary_systems(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """Fundamental systems for constant coefficients, Euler's equation, Liouvillian solutions."""
    x = c.sx
    p, q = without_symbol(e.p, c, c.x), without_symbol(e.q, c, c.x)
    if p is not None and q is not None:
        yield *fundamental_system(p, q, x), "constant coefficients"
        return
    px, qx = without_symbol(tidy(e.p * x), c, c.x), without_symbol(tidy(e.q * x**2), c, c.x)
    if px is not None and qx is not None:
        log = ex.call("log", x)
        a, b = fundamental_system(px - 1, qx, log)
        yield a, b, "Euler"
        return
    for first in liouvillian_solutions(e.p, e.q, c.x):
        second = _reduction_of_order(first, e.p, c)
        if second is not None:
            yield first, second, "exponential solution"
            return


def _fundamental_systems(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """Two independent solutions of y'' + p y' + q y = 0, with the method."""
    for pair in _elementary_systems(e, c):
        yield pair
        return
    for first, name in _simple_solutions(e, c):
        second = _reduction_of_order(first, e.p, c)
        if second is not None:
            yield first, second, name
            return
    for P, Q, new in in_new_variable(e.p, e.q, c):
        back = {ex.symbol(NEW_VARIABLE): new}
        inner = Context(NEW_VARIABLE, c.y, c.deadline)
        for u, v, name in _elementary_systems(Linear(P, Q, ex.ZERO), inner):
            yield ex.substitute(u, back), ex.substitute(v, back), f"{name} in {new}"
            return
    yield from _by_normal_form(e, c)
    yield from _by_liouville_transformation(e, c)
    yield from special_systems(e.p, e.q, c)


def _simple_solutions(e: Linear, c: Context) -> Iterator[tuple[Expr, str]]:
    """Simple functions that solve the homogeneous equation, found by trial."""
    x = c.sx
    powers = [ex.power(x, ex.number(k)) for k in (1, 2, -1, Fraction(1, 2), 3, -2, Fraction(-1, 2))]
    exponentials = [ex.call("exp", k * x) for k in (1, -1, 2, -2)]
    gaussians = [ex.call("exp", k * x**2) for k in (ex.HALF, -ex.HALF, ex.ONE, ex.MINUS)]
    sums = [x + 1, x - 1, x**2 + 1, x**2 - 1, 1 + 1 / x, 1 - 1 / x, x + 2, x - 2, 2 * x + 1]
    functions: dict[Expr, None] = {}
    for coefficient in (e.p, e.q):
        for node in ex.subtrees(coefficient):
            if c.x in node.free and node.op in ("sin", "cos", "tan", "exp", "log", "sinh", "cosh"):
                u = node.args[0]
                functions[node] = None
                if node.op in ("sin", "cos", "tan"):
                    functions.update(dict.fromkeys((ex.call("sin", u), ex.call("cos", u))))
            elif c.x in node.free and node.op == "add":
                functions[node] = None
    more = [ex.power(a, ex.number(k)) for a in functions for k in (1, -1, ex.HALF.value, 2)]
    candidates = [*powers, *exponentials, *gaussians, *sums, *more[:40]]
    candidates += [p * g for p in powers[:4] for g in exponentials + gaussians]
    candidates += [
        ex.call("sin", x),
        ex.call("cos", x),
        ex.call("sin", x) / x,
        ex.call("cos", x) / x,
    ]
    candidates += [ex.call("exp", x) * (x + k) for k in (1, -1, 2, -2)]
    for u in candidates:
        if c.time_left() < 0:
            return
        du = u.diff(c.x)
        if numerically_equal(du.diff(c.x) + e.p * du + e.q * u, ex.ZERO):
            yield u, "reduction of order"


def _reduction_of_order(first: Expr, p: Expr, c: Context) -> Expr | None:
    """A second solution of y'' + p y' + q y = 0, independent of the first."""
    integral = c.integral(p, c.x)
    if integral is None:
        return None
    inner = c.integral(tidy(ex.call("exp", -integral) / first**2), c.x)
    return None if inner is None else first * inner


def _by_normal_form(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """The normal form v'' + i v = 0 with y = v exp(-int p / 2), for i = const and i = k / x**2."""
    invariant = tidy(e.q - e.p**2 / 4 - e.p.diff(c.x) / 2)
    integral = c.integral(e.p, c.x)
    if integral is None:
        return
    scale = tidy(ex.call("exp", -integral / 2))
    constant = without_symbol(invariant, c, c.x)
    if constant is not None:
        a, b = fundamental_system(ex.ZERO, constant, c.sx)
        yield scale * a, scale * b, "normal form"
        return
    euler = without_symbol(tidy(invariant * c.sx**2), c, c.x)
    if euler is not None:
        a, b = fundamental_system(ex.MINUS, euler, ex.call("log", c.sx))
        yield scale * a, scale * b, "normal form, Euler"


def _by_liouville_transformation(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """Liouville's transformation t = int sqrt(q): the coefficients become constant if
    (q' + 2 p q) / q**(3/2) is."""
    if e.q is ex.ZERO:
        return
    ratio = tidy((e.q.diff(c.x) + 2 * e.p * e.q) / (2 * ex.power(e.q, ex.number(Fraction(3, 2)))))
    k = without_symbol(ratio, c, c.x)
    sign, root = 1, ex.sqrt(e.q)
    if k is None or k.op != "num":
        minus = tidy(-e.q)
        ratio = tidy(-(e.q.diff(c.x) + 2 * e.p * e.q)
                     / (2 * ex.power(minus, ex.number(Fraction(3, 2)))))  # fmt: skip
        k = without_symbol(ratio, c, c.x)
        sign, root = -1, ex.sqrt(minus)
    if k is None:
        return
    t = c.integral(tidy(root), c.x)
    if t is not None:
        a, b = fundamental_system(k, ex.number(sign), t)
        yield a, b, "new variable"


def linear_second(F: Expr, c: Context) -> Iterator[Proposal]:
    """Linear equations: a fundamental system, and a particular solution if r is not zero."""
    e = as_linear(F, c)
    if e is None:
        return
    for u, v, name in _fundamental_systems(e, c):
        general = C1 * u + C2 * v
        if e.r is ex.ZERO:
            yield "explicit", general, name
            return
        undetermined = _undetermined_coefficients(e, c) if name == "constant coefficients" else None
        simple = not (e.p.free | e.q.free) - {c.x}
        if undetermined is not None and not simple:  # variation would give a long expression
            yield "explicit", general + undetermined, name + ", undetermined coefficients"
            return
        particular = _variation_of_parameters(u, v, e.r, c)
        if particular is not None:
            yield "explicit", general + particular, name + ", variation"
        if undetermined is not None:
            yield "explicit", general + undetermined, name + ", undetermined coefficients"
        return


def _variation_of_parameters(u: Expr, v: Expr, r: Expr, c: Context) -> Expr | None:
    """A particular solution of y'' + p y' + q y = r from the fundamental system u, v."""
    wronskian = tidy(u * v.diff(c.x) - v * u.diff(c.x))
    for_u = c.integral(tidy(v * r / wronskian), c.x)
    for_v = c.integral(tidy(u * r / wronskian), c.x)
    return None if for_u is None or for_v is None else tidy(v * for_v - u * for_u)


def _undetermined_coefficients(e: Linear, c: Context) -> Expr | None:
    p, q = without_symbol(e.p, c, c.x), without_symbol(e.q, c, c.x)
    return None if p is None or q is None else undetermined_coefficients(p, q, e.r, c.x)


def _first_order_solutions(F: Expr, c: Context) -> Iterator[Expr]:
    """Explicit solutions of y' = F."""
    for method in FIRST_ORDER_METHODS:
        for kind, solution, _ in method(F, c):
            if kind == "explicit":
                yield solution
        if c.time_left() < 0:
            return


def missing_y(F: Expr, c: Context) -> Iterator[Proposal]:
    """F free of y: an equation of first order in u = y'."""
    p = ex.symbol(c.y + "'")
    f = without_symbol(F, c, c.y)
    if f is None:
        return
    inner = Context(c.x, "_u", c.deadline)
    for u in _first_order_solutions(at(f, p, inner.sy), inner):
        integral = c.integral(u, c.x)
        if integral is not None:
            yield "explicit", integral + C2, "y is missing"


def missing_x(F: Expr, c: Context) -> Iterator[Proposal]:
    """F free of x: u(y) = y' satisfies u du/dy = F, then y' = u(y)."""
    p = ex.symbol(c.y + "'")
    f = without_symbol(F, c, c.x)
    if f is None:
        return
    inner = Context(c.y, "_u", c.deadline)
    for u in _first_order_solutions(tidy(at(f, p, inner.sy) / inner.sy), inner):
        marked = at(u, C1, C2)
        outer = Context(c.x, c.y, c.deadline)
        for solution in _first_order_solutions(marked, outer):
            yield "explicit", solution, "x is missing"


def homogeneous_in_y(F: Expr, c: Context) -> Iterator[Proposal]:
    """F(x, k y, k y') = k F: u = y'/y satisfies an equation of first order."""
    p = ex.symbol(c.y + "'")
    if not numerically_equal(c.sy * F.diff(c.y) + p * F.diff(p.value), F):
        return
    u = ex.symbol("_u")
    reduced = tidy(ex.substitute(F, {p: u * c.sy}) / c.sy)
    g = without_symbol(reduced, c, c.y)
    if g is None:
        return
    inner = Context(c.x, "_u", c.deadline)
    for slope in _first_order_solutions(g - u**2, inner):
        integral = c.integral(slope, c.x)
        if integral is not None:
            yield "explicit", C2 * ex.call("exp", integral), "homogeneous in y"


def liouville(F: Expr, c: Context) -> Iterator[Proposal]:
    """Liouville's equation y'' + g(y) y'**2 + f(x) y' = 0."""
    p = ex.symbol(c.y + "'")
    g = without_symbol(tidy(-F.diff(p.value).diff(p.value) / 2), c, p.value)
    g = without_symbol(g, c, c.x) if g is not None else None
    if g is None:
        return
    f = without_symbol(tidy((-F - g * p**2) / p), c, p.value)
    f = without_symbol(f, c, c.y) if f is not None else None
    if f is None:
        return
    integral_g, integral_f = c.integral(g, c.y), c.integral(f, c.x)
    if integral_g is None or integral_f is None:
        return
    left = c.integral(tidy(ex.call("exp", integral_g)), c.y)
    right = c.integral(tidy(ex.call("exp", -integral_f)), c.x)
    if left is None or right is None:
        return

    for solution in solve_for(left, c.sy, C1 * right + C2):
        yield "explicit", solution, "Liouville"


SECOND_ORDER_METHODS: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    linear_second, missing_y, missing_x, liouville, homogeneous_in_y,
)  # fmt: skip
