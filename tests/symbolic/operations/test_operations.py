"""Limits, series, sums, products, equations, transforms: right answers, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import (
    fourier,
    inverse_fourier,
    inverse_laplace,
    laplace,
    limit,
    product,
    series,
    solve,
    summation,
)
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.expr.expression import symbol
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.operations import sums, transforms
from sciml.symbolic.operations.equations import roots_of
from sciml.symbolic.operations.limits import limit_of

TIME: dict[str, Any] = {"timeout": 60.0}


def _equal(result, expected: str, **numbers) -> None:
    assert result.proof, result
    gap = (result.expr - sp.sympify(expected)).subs(numbers or {"a": 2, "n": 7, "s": 3, "w": 2})
    assert abs(sp.N(gap.subs({"x": sp.Rational(1, 3), "b": 5}), 25)) < 1e-18, result


def test_limits() -> None:
    _equal(limit("sin(x)/x", **TIME), "1")
    _equal(limit("(tan(x)-sin(x))/x**3", **TIME), "1/2")
    _equal(limit("(1+a/x)**x", "x", "oo", constants=["a"], **TIME), "exp(a)")
    assert limit("1/x", side="right", **TIME).expr == sp.oo
    assert limit("1/x", side="left", **TIME).expr == -sp.oo
    _equal(limit("x*log(x)", **TIME), "0")


def test_there_is_no_limit() -> None:
    for f, at in (("1/x", 0), ("abs(x)/x", 0), ("sin(x)", "oo"), ("sin(1/x)", 0), ("exp(1/x)", 0)):
        result = limit(f, "x", at, **TIME)
        assert result.expression is None and result.status == "no_answer" and result.how, f


def test_series() -> None:
    assert series("exp(x)", terms=4, **TIME).verified
    _equal(series("exp(a*x)", "x", 0, 3, constants=["a"], **TIME), "1+a*x+a**2*x**2/2")
    _equal(series("1/sin(x)", terms=3, **TIME), "1/x+x/6")
    _equal(series("log(x)", "x", 1, 3, **TIME), "(x-1)-(x-1)**2/2")
    assert series("abs(x)", terms=3, **TIME).expression is None
    assert series("exp(-1/x**2)", terms=3, **TIME).expression is None


def test_sums() -> None:
    assert summation("k**2", "k", 1, "n", **TIME).verified
    _equal(summation("k**2", "k", 1, "n", **TIME), "n*(n+1)*(2*n+1)/6")
    _equal(summation("1/k**2", "k", 1, "oo", **TIME), "pi**2/6")
    _equal(summation("(-1)**k/(2*k+1)", "k", 0, "oo", **TIME), "pi/4")
    assert summation("1/k", "k", 1, "oo", **TIME).status == "diverges"
    assert product("k/(k+1)", "k", 1, "n", **TIME).verified
    _equal(product("1-1/k**2", "k", 2, "oo", **TIME), "1/2")


def test_a_wrong_sum_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    low, infinite, n = End(parse("1")), End(None, 1), End(symbol("n"))
    for high, value in ((n, "n*(n+1)/2+1"), (n, "n**2"), (infinite, "pi**2/6+1/10**12")):
        monkeypatch.setattr(sums, "by_sympy", lambda *a, value=value: parse(value))
        f = parse("1/k**2") if high is infinite else parse("k")
        assert sums.sum_of(f, "k", low, high, 20.0, False).status == "no_answer"


def test_equations() -> None:
    roots = solve("x**3 = 1", **TIME)
    assert len(roots.solutions) == 3 and roots.note == "all solutions"
    assert all(sp.simplify(r**3 - 1) == 0 for r in roots.exprs)
    assert [str(e) for e in solve("sqrt(x+3) = x+1", **TIME).solutions] == ["1"]
    quadratic = solve("a*x**2+b*x+c", "x", constants=["a", "b", "c"], **TIME)
    assert len(quadratic.solutions) == 2
    assert not roots_of(parse("exp(x)"), "x", 10.0).roots


def test_transforms() -> None:
    _equal(laplace("t*exp(-a*t)", constants=["a"], **TIME), "1/(s+a)**2")
    _equal(laplace("sin(b*t)", constants=["b"], **TIME), "b/(s**2+b**2)")
    _equal(fourier("exp(-x**2)", **TIME), "sqrt(pi)*exp(-w**2/4)")
    _equal(fourier("exp(-abs(x))", **TIME), "2/(1+w**2)")


def test_a_wrong_transform_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (parse("1/(s+1)+1/10**6"), "")
    monkeypatch.setattr(transforms, "_by_sympy", lambda *a: wrong)
    out: Outcome = transforms.transform_of(parse("exp(-t)"), "t", "s", 20.0, False)
    assert out.status == "no_answer"


def test_bad_input() -> None:
    assert limit_of(parse("x"), "x", End(parse("2")), 0, 5.0).value is parse("2")
    for call in (
        lambda: limit("x", side="up"),
        lambda: limit("a*x", "x"),
        lambda: series("x", terms=0),
        lambda: series("x", "x", "oo"),
        lambda: summation("k", "k", "k", 3),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("1/(s+a)**2", "t*exp(-a*t)"), ("w/(s**2+w**2)", "sin(w*t)"), ("6/s**4", "t**3"),
        ("exp(-2*s)/s", "Heaviside(t-2)"), ("exp(-a*s)/(s**2+1)", "Heaviside(t-a)*sin(t-a)"),
        ("1/sqrt(s)", "1/sqrt(pi*t)"), ("(s+3)/((s+1)*(s+2))", "2*exp(-t)-exp(-2*t)"),
        ("1/(s-5)", "exp(5*t)"),
    ],
)  # fmt: skip
def test_inverse_laplace(transform: str, expected: str) -> None:
    result = inverse_laplace(transform, constants=["a", "w"], **TIME)
    assert result.status == "sampled" and "t > 0" in result.holds
    for at in (0.3, 1.7, 3.1):
        values = {"t": at, "a": 1.1, "w": 0.7}
        gap = complex(result.expr.subs(values)) - complex(sp.sympify(expected).subs(values))
        assert abs(gap) < 1e-12


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("sqrt(pi)*exp(-w**2/4)", "exp(-x**2)"), ("2/(1+w**2)", "exp(-Abs(x))"),
        ("1/(w**2+a**2)", "exp(-a*Abs(x))/(2*a)"), ("exp(-abs(w))", "1/(pi*(1+x**2))"),
    ],
)  # fmt: skip
def test_inverse_fourier(transform: str, expected: str) -> None:
    result = inverse_fourier(transform, constants=["a"], **TIME)
    assert result.status == "sampled"
    for at in (-1.3, 0.4):
        values = {"x": at, "a": 1.1}
        gap = complex(result.expr.subs(values)) - complex(sp.sympify(expected).subs(values))
        assert abs(gap) < 1e-12


def test_impulses_of_inverse_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    result = inverse_laplace("s/(s+1)", **TIME)
    assert str(result) == "DiracDelta(t) - exp(-t)"
    wrong = parse("DiracDelta(t) - 2*exp(-t)")
    monkeypatch.setattr(transforms, "_inverse_by_sympy", lambda *a: wrong)
    outcome = transforms.inverse_of(parse("s/(s+1)"), "s", "t", 30.0, False)
    assert outcome.value is None and "differs" in outcome.how
