"""Integrals as the calls of SymPy, Maple, Maxima and Mathematica."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import integrate
from sciml.symbolic.expr.integral_call import called_integral


@pytest.mark.parametrize(
    ("text", "integrand", "name", "limits"),
    [
        ("Integral(x**2, x)", "x**2", "x", None),
        ("Integral(x**2*sin(x), (x, 0, pi))", "x**2*sin(x)", "x", ("0", "pi")),
        ("integrate(log(t, 2), t)", "log(t, 2)", "t", None),
        ("int(x*exp(x), x = 0 .. 1);", "x*exp(x)", "x", ("0", "1")),
        ("int(1/(1+x^2), x=-infinity..infinity)", "1/(1+x^2)", "x", ("-infinity", "infinity")),
        ("integrate(x^2, x, 0, 1)", "x^2", "x", ("0", "1")),
        ("Integrate[Sin[x]/x, {x, 0, Infinity}]", "Sin[x]/x", "x", ("0", "Infinity")),
        ("Integrate[Exp[-x^2], x]", "Exp[-x^2]", "x", None),
    ],
)
def test_read(text: str, integrand: str, name: str, limits: tuple | None) -> None:
    assert called_integral(text) == (integrand, name, limits)


@pytest.mark.parametrize("text", ["x*int(x, x)", "int(x, x)*2", "sin(x)", "Integral(x, x", "int"])
def test_no_single_call(text: str) -> None:
    assert called_integral(text) is None


@pytest.mark.parametrize(
    "text", ["int(x)", "Integral(x*y, (x, 0, 1), (y, 0, 1))", "int(x, 2)", "int(x, (x, 0))"]
)
def test_refused(text: str) -> None:
    with pytest.raises(InputError):
        called_integral(text)


def test_answers() -> None:
    for text, value in (
        ("Integral(x, (x, 0, 2))", 2), ("int(x*exp(x), x = 0 .. 1)", 1),
        ("Integrate[1/(1+x^2), {x, -Infinity, Infinity}]", sp.pi),
    ):  # fmt: skip
        assert integrate(text, model=None, timeout=60).expr == value
    with pytest.raises(InputError, match="limits already"):
        integrate("int(x, x=0..1)", limits=(0, 1))
