"""Integrands with sums and products over an index: closed forms, terms one by one, refusals."""

import mpmath
import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import dsolve, integrate
from sciml.symbolic.expr.parser import parse

DEFINITE = [
    ("Sum(x**k, (k, 1, oo))", "0", "1/3", "log(3/2) - 1/3"),
    ("Sum((2*k**2 + 1)*x**(2*k), (k, 0, oo))", "0", "1/2", "3*log(3)/4 - 1/9"),
    ("Sum(binomial(k + 2, k)*x**k, (k, 0, oo))", "0", "1/2", "3/2"),
    ("Sum((3*x)**k/factorial(k), (k, 0, oo))", "0", "1", "(exp(3) - 1)/3"),
    ("Product(1 + x**3**k + x**(2*3**k), (k, 0, oo))", "0", "1/2", "log(2)"),
    ("Product(cos(x/2**k), (k, 1, oo))", "0", "pi", "Si(pi)"),
    ("Sum(tan(x/2**k)/2**k, (k, 1, oo))", "0", "1", "-log(sin(1))"),
    ("Sum(floor(x/3**k), (k, 1, oo))", "0", "30", "174"),
    ("Sum(x**3**k, (k, -40, 40))", "0", "1", "81/2"),
    ("x*Product(x - k, (k, 1, 3))", "0", "1", "-19/30"),
    ("Sum(Sum(x**(j + k), (j, 0, 1)), (k, 0, 1))", "0", "1", "7/3"),
]


@pytest.mark.parametrize(("f", "low", "high", "value"), DEFINITE)
def test_sums_and_products_between_limits(f, low, high, value):
    result = integrate(f, "x", limits=(low, high), timeout=40)
    assert result.status in ("verified", "sampled"), result.how
    difference = complex(sp.N(result.expr - sp.sympify(value), 30))
    assert abs(difference) < 1e-20, result
    assert f.partition("(")[0].lstrip("x*") in result.problem


def test_an_antiderivative_says_what_the_sum_was_replaced_by():
    result = integrate("Sum(x**k, (k, 0, oo))")
    assert result.status == "sampled"
    assert "-1/(x - 1)" in result.note
    assert complex(sp.N(result.expr.diff() - 1 / (1 - sp.Symbol("x")), subs={"x": 0.3})) == (
        pytest.approx(0, abs=1e-12)
    )


def test_the_number_of_a_sum_in_an_exponent():
    result = integrate("x**Sum(1/factorial(k), (k, 2, oo))")
    x = sp.Symbol("x")
    assert abs(sp.N((result.expr.diff(x) - x ** (sp.E - 2)).subs(x, 2), 20)) < 1e-15


@pytest.mark.parametrize(("f", "high"), [
    ("Sum(x**k, (k, 0, oo))", 2), ("Sum(x/k, (k, 1, oo))", 1)
])  # fmt: skip
def test_a_sum_that_diverges_has_no_value(f, high):
    assert integrate(f, "x", limits=(0, high)).expression is None


def test_sympys_sums_are_read():
    x, k = sp.symbols("x k")
    result = integrate(sp.Sum(x**k, (k, 0, sp.oo)) + x, x, limits=(0, sp.Rational(1, 2)))
    assert sp.simplify(result.expr - sp.log(2) - sp.Rational(1, 8)) == 0


def test_partial_sums_of_a_closed_form_agree():
    result = integrate("Sum(k*x**k, (k, 1, oo))", "x", limits=("0", "3/4"))
    numerical = mpmath.quad(lambda x: mpmath.nsum(lambda k: k * x**k, [1, mpmath.inf]), [0, 0.75])
    assert float(result.expr) == pytest.approx(float(numerical), rel=1e-10)


@pytest.mark.parametrize(("text", "what"), [
    ("Sum(x**k, k)", "expected '\\('"), ("Sum(x**k, (k, 0))", "expected ','"),
    ("Sum(x**k, (k, -oo, 3))", "finite"), ("Sum(x**k, (k, 0, k))", "own limit"),
    ("Sum(x**2, (2, 0, 5))", "name"), ("Sum(a*x**k, (k, 0, 3))", "'a'|several variables"),
])  # fmt: skip
def test_what_is_no_sum_is_refused(text, what):
    with pytest.raises(InputError, match=what):
        integrate(text, limits=(0, 1))


def test_sums_are_refused_where_they_have_no_meaning():
    with pytest.raises(InputError, match="unknown function"):
        parse("Sum(x**k, (k, 0, 4))")
    with pytest.raises(InputError, match="unknown function"):
        dsolve("y' = Sum(x**k, (k, 0, 4))*y")
