"""Circular and exponential functions over linear ones, with symbols."""

import pytest

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.integral_functions import integrate_over_linear
from sciml.symbolic.verification.checking import check


@pytest.mark.parametrize("text", [
    "sin(k*x + b)/(c*x + d)", "cos(k*x)/(a + b*x)", "exp(k*x + b)/(c*x + d)",
    "a*sinh(k*x)/(x + d)", "cosh(x + b)/(c*x + d)", "cos(pi*k*x/L)**2/(a + b*x)",
    "sin(x + b)**2/x",
])  # fmt: skip
def test_antiderivatives(text):
    f = parse(text)
    F = integrate_over_linear(f, "x")
    assert F is not None
    assert check(f, F, "x", thorough=False, seed=2).agrees
    assert any(n.op in ("Si", "Ci", "Ei", "Shi", "Chi") for n in ex.subtrees(F))


@pytest.mark.parametrize("text", [
    "cos(k*x)/(a + b*x)**2", "sin(x**2*k)/x", "cos(x)/x", "sin(k*x)*cos(k*x)/x", "a*x",
])  # fmt: skip
def test_other_integrands_are_left_alone(text):
    assert integrate_over_linear(parse(text), "x") is None
