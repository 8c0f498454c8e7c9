"""The mean of an integrand and its reflection about the middle of the interval."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.symbolic import integrate
from sciml.symbolic.definite.alternatives import Alternatives
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.parser import parse


@pytest.mark.parametrize(
    ("text", "low", "high", "value", "status"),
    [
        ("1/((1+exp(x))*(1+x**2))", "-1", "1", "pi/4", "verified"),
        ("x*sin(x)/(1+cos(x)**2)", "0", "pi", "pi**2/4", "verified"),
        ("1/(1+tan(x)**2017)", "0", "pi/2", "pi/4", "sampled"),
        ("floor(2023*sin(x))", "0", "2*pi", "-pi", "verified"),
        ("sin(x)**2024/(sin(x)**2024+cos(x)**2024)", "0", "pi/2", "pi/4", "sampled"),
    ],
)
def test_values(text: str, low: str, high: str, value: str, status: str) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=60)
    assert result.expr == sp.sympify(value) and "reflection" in result.method
    assert result.status == status


def test_a_divergent_integral_is_not_reflected_away() -> None:
    """The means of 1/x about 0 and of tan about pi/2 vanish, the integrals do not exist."""
    for text, low, high in (("1/x+1", "-1", "1"), ("tan(x)+2", "0", "pi")):
        others = Alternatives(parse(text), "x", End(parse(low)), End(parse(high)),
                              lambda e, seconds: {"status": "no_answer"}, 1e18)  # fmt: skip
        try:
            assert others.by_reflection() is None
        except Exception as stop:  # as where the search for singular points stops
            assert type(stop).__name__ in ("NoValue", "InputError")


@pytest.mark.parametrize(
    ("text", "low", "high", "value"),
    [
        ("x*log(x)/(x**4+1)", "0", "oo", "0"),
        ("(1+x**2)/(x**2+x**2022)", "1/2022", "2022", "2022-Rational(1,2022)"),
    ],
)
def test_inversion(text: str, low: str, high: str, value: str) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=60)
    assert result.proof and result.expr == sp.sympify(value)


@pytest.mark.parametrize(
    ("text", "low", "high", "value"),
    [
        ("ceiling(floor(x)/2)", 0, 20, 100),
        ("floor(x)/3-floor(floor(x)/3)", 0, 2026, 675),
        ("x*floor(x)**2", 0, 100, 24_666_675),
        ("floor(x-floor(x))+ceiling(x-floor(x))", -3, 1000, 1003),
        ("mod(x,1)*ceiling(x)", 10, 0, -sp.Rational(55, 2)),
    ],
)
def test_unit_by_unit(text: str, low: int, high: int, value: object) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=60)
    assert result.verified and result.expr == value and "unit" in result.method


def test_a_pole_within_the_units_is_seen() -> None:
    result = integrate("1/floor(x)", "x", limits=(0, 3), model=None, timeout=60)
    assert result.expression is None and result.status != "error"
    assert integrate("1/floor(x)", "x", limits=(1, 3), timeout=60).expr == sp.Rational(3, 2)


def test_other_steps_are_not_taken_for_units() -> None:
    for text, low, high in (("floor(x)*floor(x**2)", 0, 3), ("floor(x)", 0, "5/2"),
                            ("floor(x)/x", 1, 3)):  # fmt: skip
        result = integrate(text, "x", limits=(low, high), model=None, timeout=60)
        assert result.verified and "unit" not in result.method
