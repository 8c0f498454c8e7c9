"""Linear second-order equations by Bessel, confluent and Gauss hypergeometric functions."""

import mpmath
import pytest

from sciml.symbolic.expr import clock
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.ode.second_order import as_linear
from sciml.symbolic.ode.special_functions import special_systems
from sciml.symbolic.ode.tools import Context, solve_for, tidy

EQUATIONS = [
    ("x*y'' + 3*y' + a*y", "bessel"), ("x**2*y'' + x*y' + (a**2*x**2 - n**2)*y", "bessel"),
    ("y'' - a*x*y", "bessel"), ("y'' + b*x**m*y", "bessel"),
    ("x*y'' + (b - x)*y' - a*y", "hyp1f1"), ("y'' - (x**2/4 + a)*y", "hyp1f1"),
    ("x*(1 - x)*y'' + (c - (a + b + 1)*x)*y' - a*b*y", "hyp2f1"),
    ("(1 - x**2)*y'' - 2*x*y' + n*(n + 1)*y", "hyp2f1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "function"), EQUATIONS)
def test_both_solutions_solve_the_equation(text, function):
    residual = parse(text, unknown=Unknown("y", "x"))
    c = Context("x", "y", clock.now() + 30)
    (F,) = solve_for(residual, parse("y''", unknown=Unknown("y", "x")), parse("0"))
    e = as_linear(tidy(F), c)
    assert e is not None
    u, v, _ = next(special_systems(e.p, e.q, c))
    assert function in str(u) and function in str(v)
    values = {n: mpmath.mpf(k + 3) / 8 for k, n in enumerate(sorted(u.free | v.free - {"x"}))}
    for w in (u, v):
        parts = w, w.diff("x"), w.diff("x").diff("x")
        for x in ("0.31", "0.77"):
            at = {**values, "x": mpmath.mpf(x)}
            y, slope, second = (evaluate(part, at, "mpmath") for part in parts)
            p, q = (evaluate(part, {**values, **at}, "mpmath") for part in (e.p, e.q))
            assert abs(second + p * slope + q * y) < 1e-12 * (abs(second) + abs(q * y))
    wronskian = evaluate(u * v.diff("x") - v * u.diff("x"), at, "mpmath")
    assert abs(wronskian) > 1e-6


@pytest.mark.parametrize("text", [
    "y'' + sin(x)*y", "y'' + x**3*y' + y", "y'' + y/(x*(x - 1)*(x - 2)*(x - 3))",
    "y'' + exp(x**2)*y",
])  # fmt: skip
def test_other_equations_are_left_alone(text):
    residual = parse(text, unknown=Unknown("y", "x"))
    c = Context("x", "y", clock.now() + 30)
    (F,) = solve_for(residual, parse("y''", unknown=Unknown("y", "x")), parse("0"))
    e = as_linear(tidy(F), c)
    assert e is not None
    assert not list(special_systems(e.p, e.q, c))
