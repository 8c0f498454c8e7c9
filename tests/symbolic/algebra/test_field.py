"""Polynomials of the towers: what python-flint needs help with."""

from __future__ import annotations

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.rewriting import together
from sciml.symbolic.expr.parser import parse


def test_factors_with_large_coefficients() -> None:
    x, y = fd.GENERATORS[:2]
    for p in (
        6 * (x + 10**20) * (x + 10**21) ** 2,
        -5 * (10**20 * x + 7) * (3 * 10**20 * x + 5),
        (x + 10**30 * y) * (x + 10**30 * y - 1) * (x + y),
        x**2 - 1,
    ):
        content, factors = fd.factor(p)
        product = fd.ONE * int(content)
        for q, e in factors:
            product = product * q ** int(e)
        assert product == p and len(factors) > 1


def test_one_fraction_with_large_coefficients() -> None:
    e = parse("1/(x + 10^20) + 1/(x + 10^21)")
    assert together(e) is parse("(2*x + 11*10^20)/((x + 10^20)*(x + 10^21))")
