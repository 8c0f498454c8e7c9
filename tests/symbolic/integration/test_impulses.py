"""Integrals of impulses; elsewhere they are refused."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import integrate, limit, series, verify

X = sp.Symbol("x")


@pytest.mark.parametrize(
    ("text", "limits", "value"),
    [
        ("DiracDelta(x-1)*exp(x)", (0, 2), "E"),
        ("DiracDelta(2*x-1)*x + x", (0, 1), "3/4"),
        ("DiracDelta(x+3)", (0, 1), "0"),
        ("cos(x)*DiracDelta(x)", ("-oo", "oo"), "1"),
        ("DiracDelta(x-1)", (2, 0), "-1"),
    ],
)
def test_between_limits(text: str, limits: tuple, value: str) -> None:
    result = integrate(text, "x", limits=limits, timeout=60, model=None)
    assert result.verified and result.expr == sp.sympify(value)


def test_without_limits() -> None:
    result = integrate(sp.DiracDelta(X - 1) * X**2 + 1, X, timeout=60, model=None)
    assert result.verified
    assert [result.expr.subs(X, at) for at in (-1, 3)] == [-1, 4]


def test_refused() -> None:
    for text in ("DiracDelta(x**2-1)", "DiracDelta(x)**2", "exp(DiracDelta(x))", "DiracDelta(x)/x"):
        with pytest.raises(InputError, match="DiracDelta"):
            integrate(text, "x")
    with pytest.raises(InputError, match="limit"):
        integrate("DiracDelta(x)", "x", limits=(0, 1))
    with pytest.raises(InputError, match="not clear"):
        integrate("DiracDelta(x-a)", "x", limits=(0, 1), constants=["a"])
    for refuse in (lambda f: verify(f, "x"), limit, series):
        with pytest.raises(InputError, match="no values"):
            refuse("DiracDelta(x)")
