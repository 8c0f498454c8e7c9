"""First-order equations y' = F(x, y): the classical methods, each a generator of proposals.

A method yields ("explicit", Y, method) with y = Y(x, c1), or ("implicit", G, method) with
G(x, y) = c1. `checking` substitutes every proposal into the equation.

Sources: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I;
E. Kamke, "Differentialgleichungen" (1944), part A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.separation import from_integrals, separate_variables
from sciml.symbolic.ode.special_functions import special_systems
from sciml.symbolic.ode.tools import (
    C1,
    Context,
    Proposal,
    at,
    numerically_equal,
    solve_for,
    tidy,
    without_symbol,
)


def quadrature(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = f(x)."""
    f = without_symbol(F, c, c.y)
    if f is not None:
        integral = c.integral(f, c.x)
        if integral is not None:
            yield "explicit", integral + C1, "quadrature"


def linear(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = a(x) y + b(x), by the integrating factor."""
    a = without_symbol(F.diff(c.y), c, c.y)
    if a is None:
        return
    b = without_symbol(tidy(F - a * c.sy), c, c.y)
    if b is None:
        return
    integral = c.integral(a, c.x)
    if integral is None:
        return
    factor = tidy(ex.call("exp", integral))
    particular = c.integral(tidy(b / factor), c.x) if b is not ex.ZERO else ex.ZERO
    if particular is not None:
        yield "explicit", tidy(factor * particular) + C1 * factor, "linear"


def separable(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = g(x) h(y)."""
    factors = separate_variables(F, c.x, c.y)
    if factors is None or factors[1] is ex.ONE:
        return
    g, h = factors
    left, right = c.integral(tidy(1 / h), c.y), c.integral(tidy(g), c.x)
    yield from from_integrals(left, right, c, "separable")


def bernoulli(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = a(x) y + b(x) y**n: linear for y**(1 - n)."""
    u = F - c.sy * F.diff(c.y)
    n = without_symbol(tidy(c.sy * u.diff(c.y) / u), c, c.y)
    if n is None or n.op != "num" or n.value in (0, 1):
        return
    k = 1 - n.value
    b = without_symbol(tidy(u / (ex.number(k) * ex.power(c.sy, n))), c, c.y)
    if b is None:
        return
    a = without_symbol(tidy(F / c.sy - b * ex.power(c.sy, n - 1)), c, c.y)
    if a is None:
        return
    w = ex.number(k) * (a * c.sy + b)
    for _, linear_solution, _ in linear(w, c):
        root = ex.power(linear_solution, ex.number(1 / k))
        yield "explicit", root, "Bernoulli"
        if k.numerator % 2 == 0:
            yield "explicit", -root, "Bernoulli"


def homogeneous(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = x**(n-1) f(y / x**n)."""
    fx, fy = F.diff(c.x), F.diff(c.y)
    for n in (1, 2, -1, -2, Fraction(1, 2), 3, Fraction(-1, 2)):
        if not numerically_equal(c.sx * fx + n * c.sy * fy, (n - 1) * F):
            continue
        g = at(at(F, c.sy, c.sy), c.sx, 1) - ex.number(n) * c.sy
        left = c.integral(tidy(1 / g), c.y)
        if left is None:
            return
        v = c.sy / ex.power(c.sx, ex.number(n))
        for kind, solution, name in from_integrals(left, ex.call("log", c.sx), c, "homogeneous"):
            if kind == "explicit":
                yield kind, solution * ex.power(c.sx, ex.number(n)), name
        yield "implicit", at(left, c.sy, v) - ex.call("log", c.sx), "homogeneous"
        return


def function_of_line(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = f(a x + y)."""
    fy = F.diff(c.y)
    if fy is ex.ZERO:
        return
    ratio = without_symbol(tidy(F.diff(c.x) / fy), c, c.x)
    ratio = without_symbol(ratio, c, c.y) if ratio is not None else None
    if ratio is None or ratio is ex.ZERO:
        return
    g = at(F, c.sx, 0) + ratio
    left = c.integral(tidy(1 / g), c.y)
    line = c.sy + ratio * c.sx
    for kind, solution, name in from_integrals(left, c.sx, c, "function of a line"):
        if kind == "explicit":
            yield kind, solution - ratio * c.sx, name
    if left is not None:
        yield "implicit", at(left, c.sy, line) - c.sx, "function of a line"


def linear_fractional(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = f((a x + b y + c) / (p x + q y + r)): homogeneous about the intersection of the lines."""
    form = tidy(F)
    parts = form.args if form.op == "mul" else (form,)
    lines = []
    for part in parts:
        base = part.args[0] if part.op == "pow" else part
        if base.op == "add" and all(base.diff(n).op == "num" for n in (c.x, c.y)):
            lines.append(base)
    if len(lines) < 2:
        return
    (a, b), (p, q) = [(ln.diff(c.x).value, ln.diff(c.y).value) for ln in lines[:2]]
    determinant = a * q - b * p
    if determinant == 0:
        return
    zero = {c.sx: ex.ZERO, c.sy: ex.ZERO}
    r, s = (ex.substitute(ln, zero) for ln in lines[:2])
    x0 = (ex.number(-q) * r + ex.number(b) * s) / ex.number(determinant)
    y0 = (ex.number(p) * r - ex.number(a) * s) / ex.number(determinant)
    moved = tidy(ex.substitute(F, {c.sx: c.sx + x0, c.sy: c.sy + y0}))
    for kind, solution, _ in homogeneous(moved, c):
        if kind == "explicit":
            yield kind, at(solution, c.sx, c.sx - x0) + y0, "linear fractional"
        else:
            original = ex.substitute(solution, {c.sx: c.sx - x0, c.sy: c.sy - y0})
            yield kind, original, "linear fractional"


def potential(M: Expr, N: Expr, c: Context) -> Expr | None:
    """A potential G with G_x = M, G_y = N; None where it is not found."""
    g = c.integral(M, c.x)
    if g is None:
        return None
    rest = without_symbol(tidy(N - g.diff(c.y)), c, c.x)
    if rest is None:
        return None
    h = c.integral(rest, c.y) if rest is not ex.ZERO else ex.ZERO
    return None if h is None else g + h


def exact(M: Expr, N: Expr, c: Context) -> Iterator[Proposal]:
    """M + N y' = 0, made exact by an integrating factor in x, in y, in x y, or x**a y**b."""
    curl = M.diff(c.y) - N.diff(c.x)
    for name, mu in _integrating_factors(M, N, curl, c):
        g = potential(tidy(mu * M), tidy(mu * N), c)
        if g is None:
            continue
        for solution in solve_for(g, c.sy, C1):
            yield "explicit", solution, name
        yield "implicit", g, name
        return


def _integrating_factors(M: Expr, N: Expr, curl: Expr, c: Context) -> Iterator[tuple[str, Expr]]:
    """(method, mu) for which mu M + mu N y' = 0 is exact; `curl` is M_y - N_x."""
    if numerically_equal(curl, ex.ZERO):
        yield "exact", ex.ONE
        return
    for name, ratio in ((c.x, curl / N), (c.y, -curl / M)):
        other = c.y if name == c.x else c.x
        f = without_symbol(tidy(ratio), c, other)
        if f is not None:
            integral = c.integral(f, name)
            if integral is not None:
                yield f"exact with a factor of {name}", tidy(ex.call("exp", integral))
    z = ex.symbol("_z")
    denominator = c.sy * N - c.sx * M
    if not numerically_equal(denominator, ex.ZERO):
        ratio = tidy(curl / denominator)  # a function of x y?
        probe = ex.substitute(ratio, {c.sy: z / c.sx})
        f = without_symbol(tidy(probe), c, c.x)
        if f is not None:
            integral = c.integral(f, "_z")
            if integral is not None:
                mu = ex.substitute(ex.call("exp", integral), {z: c.sx * c.sy})
                yield "exact with a factor of x y", tidy(mu)
    for a in range(-4, 5):
        for b in range(-4, 5):
            if numerically_equal(curl, ex.number(a) * N / c.sx - ex.number(b) * M / c.sy):
                mu = ex.power(c.sx, ex.number(a)) * ex.power(c.sy, ex.number(b))
                yield "exact with a factor x**a y**b", mu


def riccati(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = p + q y + r y**2 with a simple particular solution, such as k x**m + l or k exp(m x)."""
    r = without_symbol(F.diff(c.y).diff(c.y) / 2, c, c.y)
    if r is None or r is ex.ZERO:
        return
    q = at(F.diff(c.y), c.sy, 0)
    p = at(F, c.sy, 0)
    shapes = [ex.power(c.sx, ex.number(m)) for m in (0, 1, -1, 2, -2, 3, -3)]
    shapes += [ex.call("exp", k * c.sx) for k in (1, -1, 2)]
    kinds = ("sin", "cos", "tan", "exp", "log")
    functions = {n for n in ex.subtrees(F) if n.op in kinds and c.x in n.free}
    shapes += sorted(functions, key=lambda e: e.key)[:6]
    shapes += [1 / a for a in sorted(functions, key=lambda e: e.key)[:4]]
    for shape in shapes:
        for k in (1, -1, 2, -2, 3, -3, Fraction(1, 2), Fraction(-1, 2), 4, -4):
            for extra in (ex.ZERO, ex.ONE, c.sx, 1 / c.sx):
                if c.time_left() < 0:
                    return
                yp = ex.number(k) * shape + extra
                if numerically_equal(yp.diff(c.x), p + q * yp + r * yp**2):
                    integral = c.integral(tidy(q + 2 * r * yp), c.x)
                    if integral is None:
                        return
                    phi = tidy(ex.call("exp", integral))
                    inner = c.integral(tidy(r * phi), c.x)
                    if inner is not None:
                        yield "explicit", yp + phi / (C1 - inner), "Riccati"
                    return


def riccati_by_linear(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = p + q y + r y**2 with y = -u'/(r u): u'' - (q + r'/r) u' + p r u = 0, where special
    functions solve that."""
    r = without_symbol(F.diff(c.y).diff(c.y) / 2, c, c.y)
    if r is None or r is ex.ZERO:
        return
    q, p = at(F.diff(c.y), c.sy, 0), at(F, c.sy, 0)
    for u, v, name in special_systems(tidy(-q - r.diff(c.x) / r), tidy(p * r), c):
        slope = C1 * u.diff(c.x) + v.diff(c.x)
        yield "explicit", -slope / (r * (C1 * u + v)), f"Riccati, {name}"
        return


def inverse_equation(F: Expr, c: Context) -> Iterator[Proposal]:
    """The equation of x as a function of y, if it is linear, Bernoulli's or Riccati's."""
    if F is ex.ZERO:
        return
    inverse_slope = tidy(1 / F)
    other = Context(c.y, c.x, c.deadline)
    methods: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
        linear,
        bernoulli,
        riccati,
    )
    for method in methods:
        for _, x_of_y, name in method(inverse_slope, other):
            slope, remainder = x_of_y.diff("c1"), at(x_of_y, C1, 0)
            if "c1" not in slope.free:
                g = tidy((c.sx - remainder) / slope)
                for y_of_x in solve_for(g, c.sy, C1):
                    yield "explicit", y_of_x, name + " in x"
                yield "implicit", g, name + " in x"
            else:
                constant = invert(x_of_y, "c1", c.sx)
                if constant is not None:
                    yield "implicit", constant, name + " in x"


FIRST_ORDER_METHODS: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    quadrature, linear, separable, bernoulli, homogeneous, function_of_line, linear_fractional,
    riccati, inverse_equation, riccati_by_linear,
)  # fmt: skip
"""In the order in which they are tried; `exact` comes after them, because it needs M and N."""
