"""Constant coefficients, numbers or symbols: characteristic equation, undetermined coefficients."""

from __future__ import annotations

import random

import pytest

from sciml.symbolic import dsolve
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.ode.constant_coefficients import (
    fundamental_system,
    square_root,
    undetermined_coefficients,
)
from sciml.symbolic.ode.tools import numerically_equal

NUMBERS = ("-2", "-1", "0", "1", "3/2", "a", "b", "a*b", "a**2", "-a**2")


def _applied(u: ex.Expr, p: ex.Expr, q: ex.Expr) -> ex.Expr:
    return u.diff("x").diff("x") + p * u.diff("x") + q * u


def test_pairs_solve_and_are_independent() -> None:
    for left in NUMBERS:
        for right in NUMBERS:
            p, q = parse(left), parse(right)
            u, v = fundamental_system(p, q, ex.symbol("x"))
            assert numerically_equal(_applied(u, p, q), ex.ZERO) and numerically_equal(
                _applied(v, p, q), ex.ZERO
            )
            assert not numerically_equal(u * v.diff("x"), v * u.diff("x")), (left, right)


def test_particular_solutions() -> None:
    """Polynomials, exponentials and circular functions, with resonance and symbols."""
    rng = random.Random(4)
    for _ in range(60):
        p, q = (parse(rng.choice(NUMBERS)) for _ in range(2))
        growth, turn = (parse(rng.choice(("0", "1", "-1/2", "a", "k"))) for _ in range(2))
        x = ex.symbol("x")
        r = x ** rng.randint(0, 3) * ex.call("exp", growth * x)
        if turn is not ex.ZERO:
            r = r * ex.call(rng.choice(("sin", "cos")), turn * x + rng.randint(0, 1))
        r = r * parse(rng.choice(("1", "3", "F"))) + rng.randint(0, 2)
        particular = undetermined_coefficients(p, q, r, "x")
        assert particular is not None
        assert numerically_equal(_applied(particular, p, q), r, tolerance=1e-6), (
            str(p),
            str(q),
            str(r),
        )
    assert undetermined_coefficients(ex.ZERO, ex.ONE, parse("tan(x)"), "x") is None


def test_square_roots_of_squares_hold_no_root_sign() -> None:
    assert square_root(parse("4*w**2")) is parse("2*w")
    assert square_root(parse("w**2*k")) is parse("w*sqrt(k)")


@pytest.mark.parametrize(
    ("ode", "constants", "answer"),
    [
        ("y'' + w^2*y = 0", "w", "c1*cos(w*x) + c2*sin(w*x)"),
        ("y'' + k*y = 0", "k", "c1*cos(sqrt(k)*x) + c2*sin(sqrt(k)*x)"),
        ("y'' - w^2*y = 0", "w", "c1*exp(w*x) + c2*exp(-w*x)"),
        ("y'' + w^2*y = cos(k*x)", "w k",
         "c1*cos(w*x) + c2*sin(w*x) + cos(k*x)/(w^2 - k^2)"),
        ("y'' + w^2*y = sin(w*x)", "w", "c1*cos(w*x) + c2*sin(w*x) - x*cos(w*x)/(2*w)"),
    ],
)  # fmt: skip
def test_oscillators(ode: str, constants: str, answer: str) -> None:
    result = dsolve(ode, constants=constants.split(), timeout=30, sympy=False)
    assert result.verified and result.proof == "proved"
    assert result.expression is not None and numerically_equal(result.expression, parse(answer))
    assert not result.others and not result.singular  # a linear equation has no more


@pytest.mark.parametrize(
    ("ode", "constants"),
    [("m*y'' + k*y = 0", "m k"), ("y'' + b*y' + k*y = 0", "b k"),
     ("L*C*y'' + R*C*y' + y = V", "L C R V"), ("m*y'' + d*y' + k*y = F*sin(w*x)", "m d k F w")],
)  # fmt: skip
def test_symbols_as_coefficients_stay_short(ode: str, constants: str) -> None:
    result = dsolve(ode, constants=constants.split(), timeout=30, sympy=False)
    assert result.verified and result.expression is not None
    assert ex.size(result.expression) < 200
    assert not any(n.op in ("tan", "log") for n in ex.subtrees(result.expression))
    assert "c1" in result.expression.free and "c2" in result.expression.free


def test_resonance_is_named() -> None:
    result = dsolve("y'' + w^2*y = cos(k*x)", constants=["w", "k"], timeout=30, sympy=False)
    assert "k - w = 0" in result.note and "k + w = 0" in result.note
