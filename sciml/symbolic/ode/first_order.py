"""First-order equations y' = F(x, y): the classical methods, each a generator of solutions.

A method yields either ("explicit", Y) with y = Y(x, c1) or ("implicit", G) with G(x, y) = c1.
Nothing is certain here; `ode_check` substitutes every proposal into the equation.

Sources: G. M. Murphy, "Ordinary Differential Equations and Their Solutions" (1960), part I;
E. Kamke, "Differentialgleichungen" (1944), part A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.tools import (  # fmt: skip
    C1,
    Context,
    Proposal,
    at,
    freeze,
    from_integrals,
    same,
    separated,
    solve_for,
    tidy,
)


def quadrature(F: Expr, c: Context) -> Iterator[Proposal]:
    f = freeze(F, c, c.y)
    if f is not None:
        whole = c.integral(f, c.x)
        if whole is not None:
            yield "explicit", whole + C1, "quadrature"


def linear(F: Expr, c: Context) -> Iterator[Proposal]:
    a = freeze(F.diff(c.y), c, c.y)
    if a is None:
        return
    b = freeze(tidy(F - a * c.sy), c, c.y)
    if b is None:
        return
    big = c.integral(a, c.x)
    if big is None:
        return
    factor = tidy(ex.call("exp", big))
    inner = c.integral(tidy(b / factor), c.x) if b is not ex.ZERO else ex.ZERO
    if inner is not None:
        yield "explicit", tidy(factor * inner) + C1 * factor, "linear"


def separable(F: Expr, c: Context) -> Iterator[Proposal]:
    found = separated(F, c.x, c.y)
    if found is None or found[1] is ex.ONE:
        return
    g, h = found
    left, right = c.integral(tidy(1 / h), c.y), c.integral(tidy(g), c.x)
    yield from from_integrals(left, right, c, "separable")


def bernoulli(F: Expr, c: Context) -> Iterator[Proposal]:
    u = F - c.sy * F.diff(c.y)
    n = freeze(tidy(c.sy * u.diff(c.y) / u), c, c.y)
    if n is None or n.op != "num" or n.value in (0, 1):
        return
    k = 1 - n.value
    b = freeze(tidy(u / (ex.number(k) * ex.power(c.sy, n))), c, c.y)
    if b is None:
        return
    a = freeze(tidy(F / c.sy - b * ex.power(c.sy, n - 1)), c, c.y)
    if a is None:
        return
    w = ex.number(k) * (a * c.sy + b)
    for _, found, _ in linear(w, c):
        root = ex.power(found, ex.number(1 / k))
        yield "explicit", root, "Bernoulli"
        if k.numerator % 2 == 0:
            yield "explicit", -root, "Bernoulli"


def homogeneous(F: Expr, c: Context) -> Iterator[Proposal]:
    """F(x, y) = x**(n-1) f(y / x**n)."""
    fx, fy = F.diff(c.x), F.diff(c.y)
    for n in (1, 2, -1, -2, Fraction(1, 2), 3, Fraction(-1, 2)):
        if not same(c.sx * fx + n * c.sy * fy, (n - 1) * F):
            continue
        g = at(at(F, c.sy, c.sy), c.sx, 1) - ex.number(n) * c.sy
        left = c.integral(tidy(1 / g), c.y)
        if left is None:
            return
        v = c.sy / ex.power(c.sx, ex.number(n))
        for kind, found, name in from_integrals(left, ex.call("log", c.sx), c, "homogeneous"):
            if kind == "explicit":
                yield kind, found * ex.power(c.sx, ex.number(n)), name
        yield "implicit", at(left, c.sy, v) - ex.call("log", c.sx), "homogeneous"
        return


def of_line(F: Expr, c: Context) -> Iterator[Proposal]:
    """F = f(a x + y)."""
    fy = F.diff(c.y)
    if fy is ex.ZERO:
        return
    ratio = freeze(tidy(F.diff(c.x) / fy), c, c.x)
    ratio = freeze(ratio, c, c.y) if ratio is not None else None
    if ratio is None or ratio is ex.ZERO:
        return
    g = at(F, c.sx, 0) + ratio
    left = c.integral(tidy(1 / g), c.y)
    line = c.sy + ratio * c.sx
    for kind, found, name in from_integrals(left, c.sx, c, "function of a line"):
        if kind == "explicit":
            yield kind, found - ratio * c.sx, name
    if left is not None:
        yield "implicit", at(left, c.sy, line) - c.sx, "function of a line"


def fractional(F: Expr, c: Context) -> Iterator[Proposal]:
    """A function of (a x + b y + c) / (p x + q y + r), by moving the origin to the crossing."""
    top = tidy(F)
    parts = top.args if top.op == "mul" else (top,)
    lines = []
    for part in parts:
        base = part.args[0] if part.op == "pow" else part
        if base.op == "add" and all(base.diff(n).op == "num" for n in (c.x, c.y)):
            lines.append(base)
    if len(lines) < 2:
        return
    (a, b), (p, q) = [(ln.diff(c.x).value, ln.diff(c.y).value) for ln in lines[:2]]
    det = a * q - b * p
    if det == 0:
        return
    zero = {c.sx: ex.ZERO, c.sy: ex.ZERO}
    r, s = (ex.substitute(ln, zero) for ln in lines[:2])
    x0 = (ex.number(-q) * r + ex.number(b) * s) / ex.number(det)
    y0 = (ex.number(p) * r - ex.number(a) * s) / ex.number(det)
    moved = tidy(ex.substitute(F, {c.sx: c.sx + x0, c.sy: c.sy + y0}))
    for kind, found, _ in homogeneous(moved, c):
        if kind == "explicit":
            yield kind, at(found, c.sx, c.sx - x0) + y0, "linear fractional"
        else:
            back = ex.substitute(found, {c.sx: c.sx - x0, c.sy: c.sy - y0})
            yield kind, back, "linear fractional"


def potential(M: Expr, N: Expr, c: Context) -> Expr | None:
    """G with G_x = M, G_y = N."""
    g = c.integral(M, c.x)
    if g is None:
        return None
    rest = freeze(tidy(N - g.diff(c.y)), c, c.x)
    if rest is None:
        return None
    h = c.integral(rest, c.y) if rest is not ex.ZERO else ex.ZERO
    return None if h is None else g + h


def exact(M: Expr, N: Expr, c: Context) -> Iterator[Proposal]:
    """M + N y' = 0, made exact by a factor of x, of y, of x y, or x**a y**b."""
    gap = M.diff(c.y) - N.diff(c.x)
    for name, mu in _factors(M, N, gap, c):
        g = potential(tidy(mu * M), tidy(mu * N), c)
        if g is None:
            continue
        for found in solve_for(g, c.sy, C1):
            yield "explicit", found, name
        yield "implicit", g, name
        return


def _factors(M: Expr, N: Expr, gap: Expr, c: Context) -> Iterator[tuple[str, Expr]]:
    if same(gap, ex.ZERO):
        yield "exact", ex.ONE
        return
    for name, ratio in ((c.x, gap / N), (c.y, -gap / M)):
        other = c.y if name == c.x else c.x
        f = freeze(tidy(ratio), c, other)
        if f is not None:
            big = c.integral(f, name)
            if big is not None:
                yield f"exact with a factor of {name}", tidy(ex.call("exp", big))
    z = ex.symbol("_z")
    below = c.sy * N - c.sx * M
    if not same(below, ex.ZERO):
        ratio = tidy(gap / below)  # a function of x y?
        probe = ex.substitute(ratio, {c.sy: z / c.sx})
        f = freeze(tidy(probe), c, c.x)
        if f is not None:
            big = c.integral(f, "_z")
            if big is not None:
                mu = ex.substitute(ex.call("exp", big), {z: c.sx * c.sy})
                yield "exact with a factor of x y", tidy(mu)
    for a in range(-4, 5):
        for b in range(-4, 5):
            if same(gap, ex.number(a) * N / c.sx - ex.number(b) * M / c.sy):
                mu = ex.power(c.sx, ex.number(a)) * ex.power(c.sy, ex.number(b))
                yield "exact with a factor x**a y**b", mu


def riccati(F: Expr, c: Context) -> Iterator[Proposal]:
    """y' = p + q y + r y**2 with a particular solution k x**m, or k x**m + l, or k exp(m x)."""
    r = freeze(F.diff(c.y).diff(c.y) / 2, c, c.y)
    if r is None or r is ex.ZERO:
        return
    q = at(F.diff(c.y), c.sy, 0)
    p = at(F, c.sy, 0)
    shapes = [ex.power(c.sx, ex.number(m)) for m in (0, 1, -1, 2, -2, 3, -3)]
    shapes += [ex.call("exp", k * c.sx) for k in (1, -1, 2)]
    kinds = ("sin", "cos", "tan", "exp", "log")
    atoms = {n for n in ex.subtrees(F) if n.op in kinds and c.x in n.free}
    shapes += sorted(atoms, key=lambda e: e.key)[:6]
    shapes += [1 / a for a in sorted(atoms, key=lambda e: e.key)[:4]]
    for shape in shapes:
        for k in (1, -1, 2, -2, 3, -3, Fraction(1, 2), Fraction(-1, 2), 4, -4):
            for extra in (ex.ZERO, ex.ONE, c.sx, 1 / c.sx):
                if c.left() < 0:
                    return
                yp = ex.number(k) * shape + extra
                if same(yp.diff(c.x), p + q * yp + r * yp**2):
                    big = c.integral(tidy(q + 2 * r * yp), c.x)
                    if big is None:
                        return
                    phi = tidy(ex.call("exp", big))
                    inner = c.integral(tidy(r * phi), c.x)
                    if inner is not None:
                        yield "explicit", yp + phi / (C1 - inner), "Riccati"
                    return


def swapped(F: Expr, c: Context) -> Iterator[Proposal]:
    """x as a function of y: linear or Bernoulli there."""
    if F is ex.ZERO:
        return
    turned = tidy(1 / F)
    other = Context(c.y, c.x, c.deadline)
    methods: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
        linear,
        bernoulli,
        riccati,
    )
    for method in methods:
        for _, found, name in method(turned, other):
            slope, rest = found.diff("c1"), at(found, C1, 0)
            if "c1" not in slope.free:
                g = tidy((c.sx - rest) / slope)
                for solved in solve_for(g, c.sy, C1):
                    yield "explicit", solved, name + " in x"
                yield "implicit", g, name + " in x"
            else:
                solved_c = invert(found, "c1", c.sx)
                if solved_c is not None:
                    yield "implicit", solved_c, name + " in x"


METHODS: tuple[Callable[[Expr, Context], Iterator[Proposal]], ...] = (
    quadrature, linear, separable, bernoulli, homogeneous, of_line, fractional, riccati, swapped,
)  # fmt: skip
"""In the order in which they are tried; `exact` comes after, it needs M and N."""
