"""Second-order equations R(x, y, y', y'') = 0: the classical methods (see `ode_first`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.change_of_variable import NEW, in_new_variable
from sciml.symbolic.ode.constant_coefficients import independent_pair, particular
from sciml.symbolic.ode.first_order import METHODS
from sciml.symbolic.ode.liouvillian import exponential_solutions
from sciml.symbolic.ode.tools import C1, Context, Proposal, at, freeze, independent, same, tidy

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
        if not (independent(fp, name) and independent(fy, name)):
            return None
    zero = {y: ex.ZERO, p: ex.ZERO}
    try:
        coefficient_p, coefficient_y = ex.substitute(tidy(fp), zero), ex.substitute(tidy(fy), zero)
        rest = ex.substitute(tidy(F), zero)
    except ex.Undefined:
        return None
    if not same(F, coefficient_p * p + coefficient_y * y + rest):
        return None
    return Linear(tidy(-coefficient_p), tidy(-coefficient_y), tidy(rest))


def _elementary_pairs(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """Constant coefficients, Euler's equation, exponential solutions."""
    x = c.sx
    p, q = freeze(e.p, c, c.x), freeze(e.q, c, c.x)
    if p is not None and q is not None:
        yield *independent_pair(p, q, x), "constant coefficients"
        return
    px, qx = freeze(tidy(e.p * x), c, c.x), freeze(tidy(e.q * x**2), c, c.x)
    if px is not None and qx is not None:
        log = ex.call("log", x)
        a, b = independent_pair(px - 1, qx, log)
        yield a, b, "Euler"
        return
    for first in exponential_solutions(e.p, e.q, c.x):
        second = _second_solution(first, e.p, c)
        if second is not None:
            yield first, second, "exponential solution"
            return


def _homogeneous_pairs(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """Two independent solutions of y'' + p y' + q y = 0."""
    for pair in _elementary_pairs(e, c):
        yield pair
        return
    for first, name in _particular(e, c):
        second = _second_solution(first, e.p, c)
        if second is not None:
            yield first, second, name
            return
    for P, Q, new in in_new_variable(e.p, e.q, c):
        back = {ex.symbol(NEW): new}
        inner = Context(NEW, c.y, c.deadline)
        for u, v, name in _elementary_pairs(Linear(P, Q, ex.ZERO), inner):
            yield ex.substitute(u, back), ex.substitute(v, back), f"{name} in {new}"
            return
    yield from _by_invariant(e, c)
    yield from _by_new_variable(e, c)


def _particular(e: Linear, c: Context) -> Iterator[tuple[Expr, str]]:
    """Simple functions that solve the homogeneous equation."""
    x = c.sx
    powers = [ex.power(x, ex.number(k)) for k in (1, 2, -1, Fraction(1, 2), 3, -2, Fraction(-1, 2))]
    growth = [ex.call("exp", k * x) for k in (1, -1, 2, -2)]
    bell = [ex.call("exp", k * x**2) for k in (ex.HALF, -ex.HALF, ex.ONE, ex.MINUS)]
    sums = [x + 1, x - 1, x**2 + 1, x**2 - 1, 1 + 1 / x, 1 - 1 / x, x + 2, x - 2, 2 * x + 1]
    atoms: dict[Expr, None] = {}
    for coefficient in (e.p, e.q):
        for node in ex.subtrees(coefficient):
            if c.x in node.free and node.op in ("sin", "cos", "tan", "exp", "log", "sinh", "cosh"):
                u = node.args[0]
                atoms[node] = None
                if node.op in ("sin", "cos", "tan"):
                    atoms.update(dict.fromkeys((ex.call("sin", u), ex.call("cos", u))))
            elif c.x in node.free and node.op == "add":
                atoms[node] = None
    more = [ex.power(a, ex.number(k)) for a in atoms for k in (1, -1, ex.HALF.value, 2)]
    tries = [*powers, *growth, *bell, *sums, *more[:40]]
    tries += [p * g for p in powers[:4] for g in growth + bell]
    tries += [ex.call("sin", x), ex.call("cos", x), ex.call("sin", x) / x, ex.call("cos", x) / x]
    tries += [ex.call("exp", x) * (x + k) for k in (1, -1, 2, -2)]
    for u in tries:
        if c.left() < 0:
            return
        du = u.diff(c.x)
        if same(du.diff(c.x) + e.p * du + e.q * u, ex.ZERO):
            yield u, "reduction of order"


def _second_solution(first: Expr, p: Expr, c: Context) -> Expr | None:
    big = c.integral(p, c.x)
    if big is None:
        return None
    inner = c.integral(tidy(ex.call("exp", -big) / first**2), c.x)
    return None if inner is None else first * inner


def _by_invariant(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """y = v exp(-int p / 2): v'' + i v = 0 with i a constant or k / x**2."""
    i = tidy(e.q - e.p**2 / 4 - e.p.diff(c.x) / 2)
    big = c.integral(e.p, c.x)
    if big is None:
        return
    scale = tidy(ex.call("exp", -big / 2))
    fixed = freeze(i, c, c.x)
    if fixed is not None:
        a, b = independent_pair(ex.ZERO, fixed, c.sx)
        yield scale * a, scale * b, "normal form"
        return
    euler = freeze(tidy(i * c.sx**2), c, c.x)
    if euler is not None:
        a, b = independent_pair(ex.MINUS, euler, ex.call("log", c.sx))
        yield scale * a, scale * b, "normal form, Euler"


def _by_new_variable(e: Linear, c: Context) -> Iterator[tuple[Expr, Expr, str]]:
    """t = int sqrt(q): constant coefficients if (q' + 2 p q) / q**(3/2) is a constant."""
    if e.q is ex.ZERO:
        return
    ratio = tidy((e.q.diff(c.x) + 2 * e.p * e.q) / (2 * ex.power(e.q, ex.number(Fraction(3, 2)))))
    k = freeze(ratio, c, c.x)
    sign, root = 1, ex.sqrt(e.q)
    if k is None or k.op != "num":
        minus = tidy(-e.q)
        ratio = tidy(-(e.q.diff(c.x) + 2 * e.p * e.q)
                     / (2 * ex.power(minus, ex.number(Fraction(3, 2)))))  # fmt: skip
        k = freeze(ratio, c, c.x)
        sign, root = -1, ex.sqrt(minus)
    if k is None:
        return
    t = c.integral(tidy(root), c.x)
    if t is not None:
        a, b = independent_pair(k, ex.number(sign), t)
        yield a, b, "new variable"


def linear_second(F: Expr, c: Context) -> Iterator[Proposal]:
    e = as_linear(F, c)
    if e is None:
        return
    for u, v, name in _homogeneous_pairs(e, c):
        general = C1 * u + C2 * v
        if e.r is ex.ZERO:
            yield "explicit", general, name
            return
        guess = _undetermined(e, c) if name == "constant coefficients" else None
        simple = not (e.p.free | e.q.free) - {c.x}
        if guess is not None and not simple:  # variation would bring a page of exponentials
            yield "explicit", general + guess, name + ", undetermined coefficients"
            return
        w = tidy(u * v.diff(c.x) - v * u.diff(c.x))
        first = c.integral(tidy(v * e.r / w), c.x)
        second = c.integral(tidy(u * e.r / w), c.x)
        if first is not None and second is not None:
            yield "explicit", general + tidy(v * second - u * first), name + ", variation"
        if guess is not None:
            yield "explicit", general + guess, name + ", undetermined coefficients"
        return


def _undetermined(e: Linear, c: Context) -> Expr | None:
    p, q = freeze(e.p, c, c.x), freeze(e.q, c, c.x)
    return None if p is None or q is None else particular(p, q, e.r, c.x)


def _first_order(F: Expr, c: Context) -> Iterator[Expr]:
    """Explicit solutions of y' = F."""
    for method in METHODS:
        for kind, found, _ in method(F, c):
            if kind == "explicit":
                yield found
        if c.left() < 0:
            return


def missing_y(F: Expr, c: Context) -> Iterator[Proposal]:
    """F free of y: first order in u = y'."""
    p = ex.symbol(c.y + "'")
    f = freeze(F, c, c.y)
    if f is None:
        return
    inner = Context(c.x, "_u", c.deadline)
    for u in _first_order(at(f, p, inner.sy), inner):
        whole = c.integral(u, c.x)
        if whole is not None:
            yield "explicit", whole + C2, "y is missing"


def missing_x(F: Expr, c: Context) -> Iterator[Proposal]:
    """F free of x: u(y) = y' gives u du/dy = F, then y' = u(y)."""
    p = ex.symbol(c.y + "'")
    f = freeze(F, c, c.x)
    if f is None:
        return
    inner = Context(c.y, "_u", c.deadline)
    for u in _first_order(tidy(at(f, p, inner.sy) / inner.sy), inner):
        marked = at(u, C1, C2)
        outer = Context(c.x, c.y, c.deadline)
        for found in _first_order(marked, outer):
            yield "explicit", found, "x is missing"


def homogeneous_in_y(F: Expr, c: Context) -> Iterator[Proposal]:
    """F(x, k y, k y') = k F: u = y'/y is of first order."""
    p = ex.symbol(c.y + "'")
    if not same(c.sy * F.diff(c.y) + p * F.diff(p.value), F):
        return
    u = ex.symbol("_u")
    reduced = tidy(ex.substitute(F, {p: u * c.sy}) / c.sy)
    g = freeze(reduced, c, c.y)
    if g is None:
        return
    inner = Context(c.x, "_u", c.deadline)
    for found in _first_order(g - u**2, inner):
        whole = c.integral(found, c.x)
        if whole is not None:
            yield "explicit", C2 * ex.call("exp", whole), "homogeneous in y"


def liouville(F: Expr, c: Context) -> Iterator[Proposal]:
    """y'' + g(y) y'**2 + f(x) y' = 0."""
    p = ex.symbol(c.y + "'")
    g = freeze(tidy(-F.diff(p.value).diff(p.value) / 2), c, p.value)
    g = freeze(g, c, c.x) if g is not None else None
    if g is None:
        return
    f = freeze(tidy((-F - g * p**2) / p), c, p.value)
    f = freeze(f, c, c.y) if f is not None else None
    if f is None:
        return
    bg, bf = c.integral(g, c.y), c.integral(f, c.x)
    if bg is None or bf is None:
        return
    left = c.integral(tidy(ex.call("exp", bg)), c.y)
    right = c.integral(tidy(ex.call("exp", -bf)), c.x)
    if left is None or right is None:
        return
    from sciml.symbolic.ode.tools import solve_for

    for found in solve_for(left, c.sy, C1 * right + C2):
        yield "explicit", found, "Liouville"


METHODS_SECOND: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    linear_second, missing_y, missing_x, liouville, homogeneous_in_y,
)  # fmt: skip
