"""Rational functions: every class of residue, and what has no closed form."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.rational_functions import integrate_rational
from sciml.symbolic.verification.checking import check

SOLVED = [
    "x^5 - 2", "1/x", "1/(x^3+1)^3", "(3*x+1)/((x^2+2)^2*(x-1)^3)",
    "(5*x^4+2*x)/(x^5+x^2+7)",  # one rational residue of an irreducible denominator
    "(x^4-3*x^2+6)/(x^6-5*x^4+5*x^2+4)",  # residues +-i/2: one arctangent
    "(20*x^2+12*x+3)/(320*x^4+80*x^3-12*x^2+24*x+9)",  # residues in a quadratic field
    "1/(x^4+1)", "1/(x^5-1)", "x/(x^3+2*x+1)", "1/(x^8+1)", "1/(x^4+x^3+3*x^2+x+1)",
    "1/((x^2-2*x+3)^11*(2*x^2+x+1)^10)",
]  # fmt: skip


@pytest.mark.parametrize("text", SOLVED)
def test_solved(text: str) -> None:
    f = parse(text)
    answer = integrate_rational(f, "x")
    assert answer is not None
    assert check(f, answer, "x").agrees, answer


@pytest.mark.parametrize("text", ["1/(x^5-x+1)", "sqrt(x)", "exp(x)", "a*x", "x^pi"])
def test_left_alone(text: str) -> None:
    assert integrate_rational(parse(text), "x") is None


def test_as_rational() -> None:
    quotient = as_rational(parse("1/x + 1/(x+1)"), "x")
    assert quotient is not None
    n, d = quotient
    assert d.degree() == 2 and fraction(n(2) / d(2)) == Fraction(5, 6)
    assert as_rational(parse("sin(x)"), "x") is None
