"""Columns of functions that are not elementary over the tower: sums over roots, erf, Ei, Si, Ci,
li, Fresnel integrals, the dilogarithm. Each is given by its derivative, which lies in the tower."""

from __future__ import annotations

from fractions import Fraction

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.linear_system import Column
from sciml.symbolic.integration.ansatz.support import Problem
from sciml.symbolic.integration.root_sums import integrals, parametric_integrals

_MAX_DEGREE = 12


def _univariate(q: Poly) -> tuple[int, list[Fraction]] | None:
    """(kernel, coefficients) of a polynomial in one kernel with rational coefficients."""
    high = fd.degrees(q)
    used = [i for i, d in enumerate(high) if d]
    if len(used) != 1 or not 3 <= high[used[0]] <= _MAX_DEGREE:
        return None
    i = used[0]
    out = [Fraction(0)] * (high[i] + 1)
    for monomial, c in q.terms():
        out[int(monomial[i])] = Fraction(int(c))
    return i, out


def _with_parameters(tower: Tower, q: Poly) -> tuple[int, list[Expr]] | None:
    """(kernel, coefficients) of a polynomial in one kernel with parameters in its coefficients."""
    high = fd.degrees(q)
    parameters = set(tower.parameters())
    used = [i for i, d in enumerate(high) if d and i not in parameters]
    if len(used) != 1 or not 3 <= high[used[0]] <= _MAX_DEGREE:
        return None
    parts = fd.by_degree(q, used[0], high[used[0]])
    return used[0], [tower.poly_expr(c) for c in parts]


def root_sums(problem: Problem) -> list[Column]:
    """t**j t' / q(t) for irreducible factors q(t) of degree 3 and more in one kernel t."""
    tower, out = problem.tower, []
    for q, _ in problem.factors:
        univariate = _univariate(q)
        if univariate is not None:
            i, degree = univariate[0], len(univariate[1]) - 1
            integral = integrals(univariate[1])
        else:
            parametric = _with_parameters(tower, q)
            if parametric is None:
                continue
            i, degree = parametric[0], len(parametric[1]) - 1
            integral = parametric_integrals(parametric[1])
        if integral is None:
            continue
        kernel = tower.kernels[i]
        for j in range(degree - 1):
            slope = kernel.slope * Quotient(GENERATORS[i] ** j, q)
            out.append(Column.of_derivative(slope, lambda j=j, k=kernel, f=integral: f(j, k.expr)))  # type: ignore[misc]
    return out


def _gaussian(tower: Tower, i: int) -> Column | None:
    """erf or erfi for exp(a x**2 + b x) with numbers a, b."""
    x = tower.x
    u = tower.kernels[i].expr.args[0]
    second = u.diff(tower.variable).diff(tower.variable)
    if tower.variable in second.free or second is ex.ZERO:
        return None
    a = second * ex.HALF
    first = u.diff(tower.variable)
    b = ex.substitute(first, {x: ex.ZERO})
    c = ex.substitute(u, {x: ex.ZERO})
    negative = ex.negative(a)
    size = ex.sqrt(-a if negative else a)
    inside = (-1 if negative else 1) * (2 * a * x + b) / (2 * size)

    def build() -> Expr:
        scale = ex.sqrt(ex.PI) / (2 * size) * ex.call("exp", c - b**2 / (4 * a))
        return scale * ex.call("erf" if negative else "erfi", inside)

    return Column.of_derivative(fd.generator(i), build)


def _fresnel(tower: Tower, i: int) -> list[Column]:
    """Fresnel integrals for sin and cos of a x**2 + b x + c with constants a, b, c."""
    kernel, x = tower.kernels[i], tower.x
    u = kernel.expr.args[0]
    second = u.diff(tower.variable).diff(tower.variable)
    if kernel.sign != 1 or second is ex.ZERO or tower.variable in second.free:
        return []
    sign = -1 if ex.negative(second) else 1
    a = sign * second * ex.HALF
    b = sign * ex.substitute(u.diff(tower.variable), {x: ex.ZERO})
    c = sign * ex.substitute(u, {x: ex.ZERO})
    z = (2 * a * x + b) / ex.sqrt(2 * ex.PI * a)
    rest = c - b**2 / (4 * a)
    scale = ex.sqrt(ex.PI / (2 * a))
    sine, cosine = ex.call("sin", rest), ex.call("cos", rest)
    fs, fc = ex.call("fresnels", z), ex.call("fresnelc", z)
    return [
        Column.of_derivative(fd.generator(i), lambda: sign * scale * (cosine * fs + sine * fc)),
        Column.of_derivative(fd.generator(i + 1), lambda: scale * (cosine * fc - sine * fs)),
    ]


def _argument_times_circular(tower: Tower, i: int) -> list[Column]:
    """The integrals of u tan(u), u cot(u), u sec(u), u csc(u) and of the hyperbolic counterparts,
    by dilogarithms."""
    kernel = tower.kernels[i]
    u = kernel.expr.args[0]
    argument = tower.memo.get(u)
    if argument is None:
        return []
    circular = kernel.sign == 1
    i_or_one = ex.I if circular else ex.ONE
    e = ex.call("exp", i_or_one * u)
    square = ex.call("exp", 2 * i_or_one * u)
    sign = -1 if circular else 1

    def log(v: Expr) -> Expr:
        return ex.call("log", v)

    def li(v: Expr) -> Expr:
        return ex.call("dilog", v)

    by_tangent = sign * (u * log(1 + square) - i_or_one * u**2 / 2) + i_or_one * li(-square) / 2
    by_cotangent = u * log(1 - square) - i_or_one * (u**2 - sign * li(square)) / 2
    if kernel.kind == "tan":
        tangent = fd.generator(i)
        argument_slope = kernel.slope / Quotient(ONE + kernel.sign * GENERATORS[i] ** 2) * argument
        pairs = [(tangent, by_tangent), (fd.Q1 / tangent, by_cotangent)]
    else:
        s, c = fd.generator(i), fd.generator(i + 1)
        argument_slope = kernel.slope / c * argument
        across = i_or_one * (li(-ex.I * e) - li(ex.I * e))
        if circular:
            by_secant = -2 * ex.I * u * ex.call("atan", e) + across
        else:
            by_secant = 2 * u * ex.call("atan", e) - ex.I * across
        by_cosecant = u * log((1 - e) / (1 + e)) - sign * i_or_one * (li(-e) - li(e))
        pairs = [(s / c, by_tangent), (c / s, by_cotangent), (fd.Q1 / c, by_secant),
                 (fd.Q1 / s, by_cosecant)]  # fmt: skip
    return [Column.of_derivative(argument_slope * q, lambda expr=expr: expr) for q, expr in pairs]  # type: ignore[misc]


def special_columns(problem: Problem) -> list[Column]:
    """Columns of erf, erfi, Ei, li, Si, Ci, Shi, Chi, Fresnel integrals and dilogarithms of the
    tower's kernels."""
    tower, out = problem.tower, []
    for i, kernel in enumerate(list(tower.kernels)):
        g = fd.generator(i)
        try:
            if kernel.kind == "exp":
                gaussian = _gaussian(tower, i)
                if gaussian:
                    out.append(gaussian)
                u = kernel.expr.args[0]
                slope = kernel.slope / g  # u'
                argument = tower.memo.get(u)
                if argument is not None:
                    out += _exponential_integrals(tower, i, u, argument, slope)
            elif kernel.kind == "sin" and kernel.expr.args[0] in tower.memo:
                out += _fresnel(tower, i)
                out += _argument_times_circular(tower, i)
                u = kernel.expr.args[0]
                argument = tower.memo[u]
                slope = kernel.slope / fd.generator(i + 1)
                names = ("Si", "Ci") if kernel.sign == 1 else ("Shi", "Chi")
                for j, name in ((i, names[0]), (i + 1, names[1])):
                    out.append(
                        Column.of_derivative(
                            slope * fd.generator(j) / argument,
                            lambda n=name, u=u: ex.call(n, u),  # type: ignore[misc]
                        )
                    )
            elif kernel.kind == "tan":
                out += _argument_times_circular(tower, i)
            elif kernel.kind == "log":
                out += _of_logarithm(tower, i)
        except Failure:
            continue
    return out


def _exponential_integrals(
    tower: Tower, i: int, u: Expr, argument: Quotient, slope: Quotient
) -> list[Column]:
    """Ei(k u) for small k, with the derivative u' exp(k u) / u."""
    out = []
    for k in (1, 2, -1, -2):
        column = slope * fd.generator(i) ** k / argument
        out.append(Column.of_derivative(column, lambda k=k: ex.call("Ei", k * u)))  # type: ignore[misc]
    return out


def _of_logarithm(tower: Tower, i: int) -> list[Column]:
    """li(v) and Li2(1 - v) for a kernel log(v)."""
    kernel = tower.kernels[i]
    v = kernel.expr.args[0]
    q = tower.memo.get(v)
    if q is None:
        return []
    dv = tower.derivative(q)
    log = fd.generator(i)
    out = [Column.of_derivative(dv / log, lambda: ex.call("li", v))]
    if q.d == ONE or len(q.n) < 20:
        w = fd.Q1 - q  # dilog(w): -log(1 - w) w' / w
        if not w.is_zero:
            out.append(Column.of_derivative(log * dv / w, lambda: ex.call("dilog", 1 - v)))
    return out
