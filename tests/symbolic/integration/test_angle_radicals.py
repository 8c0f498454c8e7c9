"""Roots of a + a cos(v) and the like, one linear argument, rational functions with I."""

import pytest

from sciml.symbolic.expr import clock
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.angle_radicals import angle_radicals
from sciml.symbolic.integration.parametric_rational import integrate_parametric_rational
from sciml.symbolic.integration.search import Search
from sciml.symbolic.integration.substitution import one_linear_argument
from sciml.symbolic.verification.checking import check

RADICALS = [
    "(a + a*cos(c + d*x))**(3/2)", "1/sqrt(a + a*sin(x))", "sqrt(a - a*sin(b*x))",
    "sec(x)*sqrt(a - a*cos(x))", "sqrt(a + a*sec(c + d*x))",
    "cos(x)**(3/2)*(a + a*sec(x))**(3/2)*(A + C*sec(x)**2)",
    "tan(c + d*x)**2*sqrt(a + a*cos(c + d*x))",
]  # fmt: skip


@pytest.mark.parametrize("text", RADICALS)
def test_half_the_angle_makes_the_roots_rational(text):
    f = parse(text)
    found = Search(clock.now() + 20).integrate(f, "x")
    assert found is not None and "half-angle" in found.method
    assert found.check.agrees


@pytest.mark.parametrize("text", [
    "sqrt(a + b*cos(x))", "sin(x)*sqrt(a + a*cos(x))*x", "(a + a*cos(x))**(1/3)",
    "sqrt(a + a*cos(x))*sin(2*x)",
])  # fmt: skip
def test_other_roots_are_left_alone(text):
    assert not list(angle_radicals(parse(text), "x", "t"))


def test_one_linear_argument_becomes_the_variable():
    found = one_linear_argument(parse("(c + d*x)**2*sin(c + d*x)"), "x")
    assert found is not None
    g, u = found
    assert g is parse("x**2*sin(x)") and u is parse("c + d*x")
    for text in ("x*sin(c + d*x)", "sin(2*x)", "sin(c + d*x)*cos(c - d*x)"):
        assert one_linear_argument(parse(text), "x") is None


@pytest.mark.parametrize("text", [
    "(B*x + A)/(x**2*(a*I*x + a)*(1 + x**2))", "1/((I*x**2 + 1)*(1 + x**4))",
    "1/(a + I*b*x**2)", "x/((x - I)*(x**2 + 4))",
])  # fmt: skip
def test_rational_functions_with_the_imaginary_unit(text):
    f = parse(text)
    F = integrate_parametric_rational(f, "x")
    assert F is not None
    assert check(f, F, "x", thorough=False, seed=1).agrees
