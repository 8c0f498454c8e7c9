"""Pseudo-elliptic integrals are solved; elliptic ones, without an elementary answer, are not."""

from __future__ import annotations

import pytest

from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration import ansatz
from sciml.symbolic.verification.checking import check


def _solved(text: str) -> str | None:
    f = parse(text)
    for answer, method in ansatz.candidates(f, "x", now() + 60):
        if check(f, answer, "x").agrees:
            return method
    return None


@pytest.mark.parametrize(
    "text",
    [
        "x/sqrt(x^4+10*x^2-96*x-71)",  # a unit by the continued fraction
        "sqrt(1-x^4)/(1+x^4)", "sqrt(1+x^4)/(1-x^4)", "(x^2-1)/((x^2+1)*sqrt(x^4+1))",
        "1/((x+1)*(1-x^3)^(1/3))", "(1-x^3)^(1/3)/(1+x)", "1/(x*(x^2-3*x+2)^(1/3))",
        "1/(x*(3*x^2-6*x+4)^(1/3))", "(x^3-3*x^2+7*x-5)^(-1/3)",
    ],
)  # fmt: skip
def test_pseudo_elliptic(text: str) -> None:
    method = _solved(text)
    assert method is not None and "torsion" in method


@pytest.mark.parametrize("text", ["x/sqrt(1-x^3)", "x/sqrt(x^4+10*x^2-96*x-72)", "1/sqrt(x^4+1)"])
def test_elliptic(text: str) -> None:
    assert _solved(text) is None


@pytest.mark.parametrize(
    ("text", "method"),
    [("sqrt(1+sin(x))", "under roots"), ("x*tan(x)", "special"), ("x*cot(x)", "special"),
     ("x/sin(2*x)", "special"), ("x/cos(x)", "special"), ("x*tanh(3*x)", "special"),
     ("x/sinh(x)", "special"), ("x/cosh(x)", "special")],
)  # fmt: skip
def test_beyond_the_tower(text: str, method: str) -> None:
    method_used = _solved(text)
    assert method_used is not None and method in method_used
