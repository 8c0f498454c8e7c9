"""Equality as rational functions of the parts, and locally constant factors."""

from __future__ import annotations

import pytest

from sciml.symbolic.expr.parser import parse
from sciml.symbolic.verification.exact_equality import equal_as_rational_functions
from sciml.symbolic.verification.slopes import derivative, is_locally_constant


@pytest.mark.parametrize(
    ("f", "g"),
    [
        ("sin(x)^2 + cos(x)^2", "1"),
        ("sqrt(a+b*x)^3/(a+b*x)", "sqrt(a+b*x)"),
        ("x^(m+1)/x", "x^m"),
        ("f^(a+b*x)", "exp(a*log(f))*f^(b*x)"),
        ("cos(x)", "1 - 2*sin(x/2)^2"),
        ("sin(x)", "1 - 2*sin(x/2 - pi/4)^2"),
        ("sin(x)", "2*sin(x/2)*cos(x/2)"),
        ("sqrt(20*x)", "2*sqrt(5)*sqrt(x)"),
        ("(1+I*x)*(1-I*x)", "1+x^2"),
        ("cosh(x)^2 - sinh(x)^2", "1"),
        ("exp(n*atanh(x))", "(1+x)^(n/2)*(1-x)^(-n/2)"),
    ],
)  # fmt: skip
def test_what_is_proved(f: str, g: str) -> None:
    assert equal_as_rational_functions(parse(f), parse(g))


@pytest.mark.parametrize(
    ("f", "g"),
    [
        ("sqrt(x^2)", "x"),
        ("sqrt(x)*sqrt(y)", "sqrt(x*y)"),
        ("log(x^2)", "2*log(x)"),
        ("(x^2)^(1/3)", "x^(2/3)"),
        ("sqrt(-x)", "I*sqrt(x)"),
        ("sin(x)^2 - cos(x)^2", "1"),
        ("x^(2*m)", "x^m"),
        ("x/(sin(x)^2 + cos(x)^2 - 1)", "y/(sin(x)^2 + cos(x)^2 - 1)"),
    ],
)
def test_what_is_false_on_part_of_the_domain_is_not(f: str, g: str) -> None:
    assert not equal_as_rational_functions(parse(f), parse(g))


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("sqrt(1-x)*sqrt(1+x)/sqrt(1-x^2)", True),
        ("sqrt(1/cos(x))*sqrt(cos(x))", True),
        ("(a+b*x)^p*(1+b*x/a)^(-p)", True),
        ("x*sqrt(b/sqrt(-a*b))/sqrt(x^2)", True),
        ("sqrt(1-x)*sqrt(1+x)/sqrt(1-x^3)", False),
        ("sqrt(2-x)*sqrt(1+x)/sqrt(1-x^2)", False),
        ("x", False),
    ],
)
def test_locally_constant_factors(text: str, constant: bool) -> None:
    assert is_locally_constant(parse(text), "x") is constant


def test_a_factor_that_is_not_constant_stays() -> None:
    wrong = parse("sqrt(1-x)*sqrt(2+x)/sqrt(1-x^2)*elliptic_f(x, 1/3)")
    assert derivative(wrong, "x") is wrong.diff("x")
