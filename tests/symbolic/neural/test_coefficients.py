"""Right terms with wrong numbers become the answer; wrong terms stay wrong."""

from __future__ import annotations

import pytest

from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural.coefficients import combination, refitted, terms
from sciml.symbolic.verification.checking import check


@pytest.mark.parametrize(
    ("integrand", "guess"),
    [
        ("x*exp(x)", "3*x*exp(x) + exp(x)/2"),
        ("log(x)", "x*(2*log(x) + 5)"),
        ("x^3/7 + cos(x)", "x^4 + 9*sin(x) + exp(x)"),
        ("1/(x^2 + 1)", "atan(x)/17 + x"),
        ("x*sqrt(2*x + 1)", "sqrt(2*x + 1)*(x^2 + x + 1)"),
    ],
)
def test_numbers_are_solved_for(integrand: str, guess: str) -> None:
    f, g = parse(integrand), parse(guess)
    assert not check(f, g, "x").agrees
    answers = [answer for answer, _ in refitted(f, [g], "x")]
    assert any(check(f, answer, "x").agrees for answer in answers)


def test_terms_of_several_guesses_together() -> None:
    f = parse("x*exp(x) + 1/x")
    guesses = [parse("x*exp(x)"), parse("exp(x) + log(x)")]
    ((answer, how),) = refitted(f, guesses, "x")
    assert "all hypotheses" in how
    assert check(f, answer, "x").agrees


def test_nothing_comes_of_wrong_terms() -> None:
    f = parse("exp(x^2)")
    assert list(refitted(f, [parse("x*exp(x^2)"), parse("exp(x^2)")], "x")) == []
    assert combination(f, [], "x") is None
    assert combination(parse("a*x"), [parse("x^2")], "x") is None
    # 1e-9 off is no fraction's work
    assert combination(parse("sqrt(2)*x"), [parse("x^2")], "x") is None


def test_terms_lose_their_coefficients() -> None:
    assert set(terms(parse("3*x*exp(x) - 2*sin(x) + 5"), "x")) == {
        parse("x*exp(x)"), parse("sin(x)")
    }  # fmt: skip
