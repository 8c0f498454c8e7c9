"""Verification: right answers pass, near misses never do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sciml.symbolic import verify
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.verification.checking import check

RIGHT = [
    ("1/x", "log(x)"),
    ("1/x", "log(abs(x))"),
    ("cos(x)^2", "x/2 + sin(2*x)/4"),
    ("abs(x)", "x*abs(x)/2"),
    ("1/(x^4 + 1)", "sqrt(2)/8*log((x^2+sqrt(2)*x+1)/(x^2-sqrt(2)*x+1))"
     " + sqrt(2)/4*(atan(sqrt(2)*x+1) + atan(sqrt(2)*x-1))"),
    ("sqrt(-1-x^2)", "x*sqrt(-1-x^2)/2 + I*asinh(x)/2"),
    ("exp(-x^2)", "sqrt(pi)/2*erf(x)"),
    ("1/(a^2+x^2)", "atan(x/a)/a"),
]  # fmt: skip
WRONG = [
    ("1/x", "log(x) + x/10^6"),
    ("1/x", "-log(x)"),
    ("abs(x)", "x^2/2"),
    ("1/sqrt(x^2-1)", "acosh(x)"),
    ("cos(2*x)", "sin(2*x)"),
    ("sqrt((x-50)^2)", "x^2/2 - 50*x"),
    ("sqrt((x-3/1000)^2)", "x^2/2 - 3*x/1000"),
    ("sqrt(x^2-10^8)*0 + abs(x^2-10^8)", "x^3/3 - 10^8*x"),
    ("exp(x)", "exp(x) + x/10^30"),
    ("sqrt(1-cos(x))", "-2*sqrt(1+cos(x))"),
    ("1/(a^2+x^2)", "atan(x/a)"),
    ("sqrt(a^2)*x", "a*x^2/2"),
    ("x", "x^2/2 + 3*sign(x)*x/10^9"),
    # Right but on an interval of 1/2000, beyond 10^9, for a > 5.
    ("1", "x + abs(x - 3) - abs(x - 3 - 1/2000)"),
    ("1", "x + abs((x - 3)*(x - 3 - 1/2000)) - (x - 3)*(x - 3 - 1/2000)"),
    ("x", "x^2/2 + abs(x - 10^9) + x"),
    ("x", "x^2/2 + (abs(a - 5) + a - 5)*x"),
]


@pytest.mark.parametrize(("f", "answer"), RIGHT)
def test_right(f: str, answer: str) -> None:
    outcome = check(parse(f), parse(answer), "x")
    assert outcome.agrees, outcome


@pytest.mark.parametrize(("f", "answer"), WRONG)
def test_near_misses(f: str, answer: str) -> None:
    outcome = check(parse(f), parse(answer), "x")
    assert outcome.status == "unverified", outcome


def test_spoiled_answers_are_never_verified(integral_rows: Callable) -> None:
    """150 antiderivatives are refused in each of four perturbed forms."""
    from sciml.symbolic.expr.tokens import parse_prefix

    x = ex.symbol("x")
    rows = integral_rows("bwd")
    passed = total = 0
    for tokens in rows[7 :: 20 if len(rows) > 1000 else 1][:150]:
        f, answer = (parse_prefix(side) for side in tokens)
        total += 1
        passed += check(f, answer, "x").agrees
        million = ex.number(ex.Fraction(1, 10**6))
        spoiled = [answer + million * x, -answer, 2 * answer, answer * ex.call("sign", x - 2)]
        for wrong in spoiled:
            if wrong.diff("x") is not f:
                assert not check(f, wrong, "x").agrees, (str(f), str(wrong))
    assert passed / total >= 0.97


def test_partial_answers_say_where() -> None:
    outcome = check(parse("1/sqrt(x^2-1)"), parse("acosh(x)"), "x")
    assert "part" in outcome.how and outcome.holds


def test_symbolic_proof_and_process() -> None:
    result = verify("sin(x)^2", "x/2 - sin(x)*cos(x)/2")
    assert result.verified and result.how == "symbolic"
    assert not verify("sin(x)^2", "x/2 - sin(x)*cos(x)/3")


def test_a_power_with_itself_as_exponent() -> None:
    assert check(parse("x^x*(1+log(x))"), parse("x^x"), "x").agrees
    assert check(parse("x^x"), parse("x^x"), "x").refuted
