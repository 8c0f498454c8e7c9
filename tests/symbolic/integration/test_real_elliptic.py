"""Elliptic integrals over polynomials with complex roots: real in form and in value."""

import mpmath
import pytest

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.elliptic.integrals import integrate_elliptic
from sciml.symbolic.verification.checking import check

NUMBERS = [
    ("1/sqrt(x**3 + 1)", 0, 2), ("x/sqrt(x**3 - 1)", 1.2, 3), ("sqrt(2 - x**3)", -3, 1),
    ("1/sqrt(x**4 + 1)", -2, 3), ("sqrt(x**4 + x**2 + 1)", -1, 4),
    ("x**2/sqrt(3*x**4 - 2*x**2 + 5)", -2, 2), ("1/sqrt((x - 2)*(x**2 + x + 1))", 2.5, 6),
    ("1/sqrt((1 + x**2)*(2 + x**2))", -1, 5), ("(1 + x)/sqrt((1 - x)*(x**2 + 4))", -5, 0),
]  # fmt: skip


def answer(f):
    found = integrate_elliptic(f, "x")
    assert found is not None
    return found.answer


@pytest.mark.parametrize(("text", "low", "high"), NUMBERS)
def test_real_form_has_the_value_of_the_integral(text, low, high):
    f = parse(text)
    F = answer(f)
    assert not any(n.op == "I" for n in ex.subtrees(F))
    assert check(f, F, "x").agrees
    with mpmath.workdps(30):
        expected = mpmath.quad(lambda x: evaluate(f, {"x": x}, "mpmath"), [low, high])
        got = evaluate(F, {"x": high}, "mpmath") - evaluate(F, {"x": low}, "mpmath")
        assert abs(got - expected) < 1e-20


@pytest.mark.parametrize("text", [
    "1/sqrt(a + b*x**3)", "sqrt(a + b*x**4)", "x**2/sqrt(a + b*x**2 + c*x**4)",
])  # fmt: skip
def test_with_symbols_no_imaginary_unit_is_left(text):
    f = parse(text)
    F = answer(f)
    assert not any(n.op == "I" for n in ex.subtrees(F))
    assert check(f, F, "x", thorough=False, seed=1).agrees


def test_real_roots_keep_legendres_form():
    F = answer(parse("1/sqrt((1 - x**2)*(2 - x**2))"))
    assert "asin" in str(F) and "atan" not in str(F)
