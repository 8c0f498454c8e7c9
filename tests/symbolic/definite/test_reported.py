"""Definite integrals of kinds that computer algebra systems were reported to get wrong: wrong signs
of roots, jumps of the antiderivative, removable singular points."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.symbolic import integrate


@pytest.mark.parametrize(("text", "low", "high", "value"), [
    ("-4*(1 - x**2)**(3/2)/3 + 2*sqrt(1 - x**2)*(2 - 2*x**2)", "-1", "1", "pi"),
    ("x*sqrt(2*x + 3)", "-1", "1", "2/5"),
    ("(cos(x**2) - cos(x))/x**2", "-oo", "oo", "pi - sqrt(2*pi)"),
    ("sqrt(2 - x)*sqrt(1/(2 - x))", "0", "1", "1"),
])  # fmt: skip
def test_values(text: str, low: str, high: str, value: str) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=40)
    assert result.status == "verified", result.how
    assert sp.simplify(result.expr - sp.sympify(value)) == 0
