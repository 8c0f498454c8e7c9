"""Definite integrals by exp(-x) as the variable, and beta functions."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.symbolic import integrate


@pytest.mark.parametrize(("text", "low", "high", "value"), [
    ("1/sqrt(1 + exp(x) + exp(2*x))", "0", "oo", "log(1 + 2/sqrt(3))"),
    ("1/sqrt(1 + exp(4*x))", "-1", "oo", "asinh(exp(2))/2"),
    ("1/(2**(2*x/3) + 1)", "0", "oo", "3/2"),
    ("(1 - x**(1/30))**40", "0", "1", "1/binomial(70, 30)"),
    ("x**(1/3)/(1 + x**(7/2))**(5/3)", "0", "oo",
     "2*gamma(8/21)*gamma(9/7)/(7*gamma(5/3))"),
    ("sqrt(x)*(1 - x)**(1/3)", "0", "1", "gamma(3/2)*gamma(4/3)/gamma(17/6)"),
])  # fmt: skip
def test_values(text: str, low: str, high: str, value: str) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=40)
    assert result.status == "verified", result.how
    assert abs(sp.N(result.expr / sp.nsimplify(sp.sympify(value)) - 1, 25)) < 1e-20


def test_a_beta_integral_that_diverges_is_none() -> None:
    for text, high in (("x**(-1)*(1 - x)**2", "1"), ("x**2/(1 + x**3)", "oo")):
        assert integrate(text, "x", limits=("0", high), model=None).expression is None


def test_a_real_value_holds_no_imaginary_unit() -> None:
    result = integrate("1/(1 + cosh(x)**2)", limits=("-oo", "oo"), model=None, timeout=30)
    assert not result.expr.has(sp.I)
    assert abs(sp.N(result.expr - sp.sqrt(2) * sp.log(1 + sp.sqrt(2)), 25)) < 1e-20
