"""Rational functions times a logarithm or an inverse tangent, on every branch of the real line."""

from __future__ import annotations

import pytest

from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.dilogarithms import integrate_with_logarithm
from sciml.symbolic.verification.checking import check


@pytest.mark.parametrize(
    "text",
    ["log(x)/(x^2+1)", "log(x^2+1)/(x-1)", "atan(x)/(x+2)", "log(x)/x", "log(x)*(x^3+1)/(x^4+2)",
     "x*log(x^2+x+1)/(x-3)^2 + 1/x", "atanh(x/2)/(x-5)", "atan(2*x)/(1+x^2)"],
)  # fmt: skip
def test_solved(text: str) -> None:
    f = parse(text)
    answer = integrate_with_logarithm(f, "x")
    assert answer is not None
    checked = check(f, answer, "x")
    assert checked.agrees, (checked, answer)


@pytest.mark.parametrize("text", ["log(x)^2/(x+1)", "log(x)*log(x+1)", "log(sin(x))", "1/x"])
def test_left_alone(text: str) -> None:
    assert integrate_with_logarithm(parse(text), "x") is None
