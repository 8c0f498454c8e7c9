"""Integrals by elliptic, hypergeometric and incomplete gamma functions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.binomials import integrate_binomial
from sciml.symbolic.integration.elliptic.angles import integrate_elliptic_angle
from sciml.symbolic.integration.elliptic.integrals import integrate_elliptic
from sciml.symbolic.integration.parametric_angles import integrate_parametric_angle
from sciml.symbolic.integration.parametric_rational import integrate_parametric_rational
from sciml.symbolic.integration.polylogarithms import integrate_with_exponentials
from sciml.symbolic.verification.checking import check

ELLIPTIC = (
    ("1/sqrt(x^3-x)", "-1/2", "verified"), ("sqrt(x^3-x)", "-1/3", "verified"),
    ("(5*x + 3)^(5/2)/(sqrt(1 - 2*x)*(3*x + 2)^(3/2))", "1/5", "verified"),
    ("1/sqrt(3*x^4 + 3*x^2 + 2)", "2/3", "sampled"), ("x/sqrt(x^3+8)", "-2/3", "sampled"),
    ("1/((x-5)*sqrt(x^3-x))", "-1/2", "verified"),
    ("x^2/sqrt((x-1)*(x-2)*(x-3)*(x+4))", "4/3", "verified"),
    ("sqrt(x/(x^2-1))", "-1/2", "verified"),
    ("sqrt(a+b*x)/(sqrt(c+d*x)*sqrt(h+f*x))", "1/3", "verified"),
    ("(h*x)^(3/2)/sqrt(c-d*x^2)", "1/3", "verified"),
)  # fmt: skip
ANGLES = (
    ("sqrt(a+b*cos(c+d*x))", "1/3", "verified"), ("1/sqrt(a+b*sin(c+d*x))", "1/3", "verified"),
    ("cos(x)^2/sqrt(2+3*cos(x))", "1/3", "verified"), ("sqrt(cos(x))", "5/4", "verified"),
    ("(a*sec(c + d*x) + a)*sec(c + d*x)^(3/2)", "1/3", "verified"),
    ("sqrt(3+2*sinh(x))", "1/3", "verified"), ("1/sqrt(cosh(x))", "1/3", "verified"),
)  # fmt: skip
POWERS = (
    ("x^m*(a+b*x^n)^p", "2/7", "verified"), ("(a+b*x)^m*(c+d*x)^n", "1/3", "verified"),
    ("x^m*(a+b*x^n)^p*(c+d*x^n)^q", "1/3", "verified"), ("x^m*exp(b*x^n)", "1/3", "verified"),
    ("f^(a+b*x)*x^m", "1/3", "verified"), ("(1+x^5)^(1/3)", "-1/3", "verified"),
)  # fmt: skip
RATIONAL = (
    ("1/((a+b*x)*(c+d*x)^2)", "1/3", "verified"), ("(a + c*x^2)^4*(d + h*x)^4", "1/3", "verified"),
    ("x^2/(a+b*x+c*x^2)^2", "1/3", "verified"),
)  # fmt: skip
HALF_ANGLES = (
    ("sec(c + d*x)^3/(a*cos(c + d*x) + a)^4", "1/3", "verified"),
    ("1/(a+b*tanh(x))", "1/3", "sampled"),
)
EXPONENTIALS = (
    ("x^3/(exp(x)-1)", "1/3", "verified"), ("(c+d*x)^2*tan(a+b*x)", "1/3", "sampled"),
    ("x^2/(1+exp(x))^2", "-1/3", "verified"),
)  # fmt: skip
CONSTANTS = {"a": "7/5", "b": "3/4", "c": "8/3", "d": "2/3", "f": "9/4", "h": "5/2", "m": "1/3",
             "n": "3/2", "p": "-1/4", "q": "2/5"}  # fmt: skip


def slope_by_differences(answer: Expr, at: str) -> complex:
    """The derivative without this package's rules: central differences in 400-bit balls."""
    h = Fraction(1, 10**30)
    with precision(400):
        values = {name: fraction(Fraction(v)) for name, v in CONSTANTS.items()}
        ends = [Program(answer).balls({**values, "x": fraction(Fraction(at) + side * h)})[0]
                for side in (1, -1)]  # fmt: skip
        return complex(((ends[0] - ends[1]) / (2 * fraction(h))).mid())


@pytest.mark.parametrize(("rule", "text", "at", "status"), [
    *((integrate_elliptic, *row) for row in ELLIPTIC),
    *((integrate_elliptic_angle, *row) for row in ANGLES),
    *((integrate_binomial, *row) for row in POWERS),
    *((integrate_parametric_rational, *row) for row in RATIONAL),
    *((integrate_parametric_angle, *row) for row in HALF_ANGLES),
    *((integrate_with_exponentials, *row) for row in EXPONENTIALS),
])  # fmt: skip
def test_antiderivatives(rule, text: str, at: str, status: str) -> None:
    """The derivative is the integrand: by the verifier, and by differences of the values."""
    f = parse(text)
    result = rule(f, "x")
    assert result is not None
    answer = result if isinstance(result, Expr) else result.answer
    assert check(f, answer, "x", thorough=False, seed=3).status == status
    values = {name: float(Fraction(v)) for name, v in {**CONSTANTS, "x": at}.items()}
    expected = complex(Program(f).complex(values)[0])
    assert abs(slope_by_differences(answer, at) - expected) < 1e-10 * (1 + abs(expected))


@pytest.mark.parametrize("text", ["x/sqrt(1-x^2)", "sqrt(x^5+1)", "sqrt((x-1)^2*(x+1)*x)", "sin(x)",
                                  "1/(1+sqrt(x^3+1))"])  # fmt: skip
def test_what_is_no_elliptic_form(text: str) -> None:
    assert integrate_elliptic(parse(text), "x") is None


def test_pseudo_elliptic_integrals_are_marked() -> None:
    """An integral of the third kind may be elementary in disguise, one of the others never is."""
    third = integrate_elliptic(parse("(1+x^2)/((1-x^2)*sqrt(1+x^4))"), "x")
    assert third is not None and third.third_kind
    first = integrate_elliptic(parse("1/sqrt(1+x^4)"), "x")
    assert first is not None and not first.third_kind
    algebraic = integrate_elliptic(parse("x^2/sqrt(x^3+1)"), "x")
    assert algebraic is not None and str(algebraic.answer) == "2*sqrt(x**3 + 1)/3"
