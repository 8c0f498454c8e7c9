"""Definite integrals against mpmath's quadrature, and properties that hold for all of them."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from sciml.cli import main
from sciml.errors import InputError
from sciml.symbolic import integrate
from sciml.symbolic.definite.closed_form_zeros import exact_point, solve_near
from sciml.symbolic.definite.discontinuities import find_discontinuities, resolve_signs
from sciml.symbolic.definite.integral import content, definite
from sciml.symbolic.definite.limits import limit
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.intervals import Chart, End, charts, infinity, precision
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import to_sympy
from sciml.symbolic.verification.result import Result

STEEP = [
    ("x**9", "0", "1"), ("x**60", "0", "1"), ("(2-x)**25", "1", "2"), ("exp(x)", "0", "18"),
    ("exp(-2*x)", "0", "40"), ("1/x", "1/500", "3000"), ("1/x**3", "1/50", "1"),
    ("1/(4+x**2)", "-900", "900"), ("exp(-3*x**2)", "-9", "11"), ("x*exp(-x)", "0", "25"),
    ("tan(x)", "0", "1.56"), ("cosh(x)", "-15", "15"), ("sin(x)**12", "0", "pi"),
    ("1/(x**2-2*x+1.0001)", "0", "2"),
]  # fmt: skip
BROKEN = [
    ("abs(x**2-4)", "-3", "3"), ("abs(cos(x))", "0", "2*pi"), ("abs(1-2*cos(x))", "0", "6"),
    ("sqrt(cos(x)**2)", "0", "3*pi"), ("abs(x**3-x)", "-2", "2"), ("1/(3+cos(40*x))", "0", "pi"),
    ("1/(1+2*sin(x)**2)", "0", "2*pi"), ("sin(2*x)/(3+sin(x))", "0", "5"),
    ("sign(x-1)*x", "-1", "3"), ("abs(x)*exp(-abs(x))", "-4", "2"), ("asin(cos(x))", "0", "5"),
    ("sqrt(4-x**2)/(1+x**2)", "-2", "2"), ("(x**2+2)/(x**4+4)", "-3", "3"),
    ("abs(exp(x)-2)", "0", "2"), ("abs(log(x))", "1/3", "2"),
    ("sqrt((x-1)**2*(x+1)**2)", "-2", "2"),
    ("1/(2-sin(3*x))", "-pi", "pi"),
]  # fmt: skip
SINGULAR = [
    ("x**2*log(x)", "0", "1"), ("sin(2*x)/x", "-1", "1"), ("log(x)/(1-x)", "0", "1"),
    ("1/sqrt(x)", "0", "9"), ("log(3*x)", "0", "2"), ("1/sqrt(4-x**2)", "-2", "2"),
    ("1/(1+tan(x)**2)", "0", "2"), ("x**(-2/3)", "0", "8"), ("sqrt(x)*log(x)", "0", "4"),
    ("(1-cos(x))/x**2", "-1", "3"), ("1/sqrt(abs(x-1))", "0", "3"), ("log(abs(x))", "-1", "2"),
    ("sqrt(tan(x))", "0", "pi/2"), ("sin(1/x)", "0", "1"), ("asin(x)", "-1/2", "1"),
]  # fmt: skip
INFINITE = [
    ("exp(-3*x)", "0", "oo"), ("x**2*exp(-x**2)", "-oo", "oo"), ("1/(9+x**2)", "-oo", "oo"),
    ("log(x)/x**3", "1", "oo"), ("1/(x*sqrt(x**2-1))", "1", "oo"), ("exp(-abs(x))", "-oo", "1"),
    ("1/(1+x**3)", "0", "oo"), ("x/(exp(x**2))", "-oo", "0"), ("exp(-x)*cos(x)", "0", "oo"),
    ("1/cosh(x)", "-oo", "oo"), ("x**(-3/2)", "4", "oo"), ("exp(-1/x)/x**2", "0", "oo"),
]  # fmt: skip
DIVERGENT = [
    ("1/x", "-1", "2"), ("1/x**2", "-1", "1"), ("tan(x)", "0", "3"), ("1/(x-2)**2", "0", "3"),
    ("1/x", "1", "oo"), ("1/sqrt(x)", "1", "oo"), ("exp(x)", "0", "oo"), ("cos(x)", "0", "oo"),
    ("1/(x*log(x))", "2", "oo"), ("x**(-4/3)", "0", "1"), ("1/(x**2-3)", "0", "2"),
    ("1/(x**5+x-1)", "0", "1"), ("1/abs(x)", "-1", "1"), ("1", "-oo", "0"), ("1/sin(x)", "1", "4"),
]  # fmt: skip
CORNERS = {"0": 0, "1": 1, "2": 2, "-1": -1, "-2": -2, "log(2)": mpmath.log(2)}


def value(text: str, low: Any, high: Any) -> Result:
    return integrate(text, "x", limits=(low, high), model=None, timeout=30)


def oracle(text: str, low: str, high: str) -> Any:
    """mpmath's quadrature at 30 digits, between multiples of pi/12 and the usual corners."""
    with mpmath.workdps(30):
        f = sp.lambdify(sp.Symbol("x"), to_sympy(parse(text)), "mpmath")

        def end(t: str) -> Any:
            sign = infinity(t)
            return sign * mpmath.inf if sign else mpmath.mpf(sp.N(to_sympy(parse(t)), 40))

        a, b = end(low), end(high)
        marks = [mpmath.mpf(v) for v in CORNERS.values()]
        if max(abs(a), abs(b)) < 30:
            marks += [mpmath.pi * k / 12 for k in range(-100, 101)]
        inner = sorted({m for m in marks if a < m < b})
        return mpmath.quad(f, [a, *inner, b], maxdegree=9)


def number(result: Result) -> Any:
    real, imag = sp.N(result.expr, 25).as_real_imag()
    return mpmath.mpc(str(real), str(imag))


@pytest.mark.parametrize(("text", "low", "high"), STEEP + BROKEN + SINGULAR + INFINITE)
def test_oracle(text: str, low: str, high: str) -> None:
    result = value(text, low, high)
    assert result.status in ("verified", "sampled"), result
    if text == "sin(1/x)":
        expected = mpmath.sin(1) - mpmath.ci(1)  # it oscillates too much for mpmath
    else:
        expected = oracle(text, low, high)
    assert abs(number(result) - expected) < 1e-9 * abs(expected)
    assert (
        abs(mpmath.mpf(result.holds.removeprefix("numerically ")) - expected) < abs(expected) / 1e8
    )


@pytest.mark.parametrize(("text", "low", "high"), STEEP)
def test_a_steep_antiderivative_is_no_jump(text: str, low: str, high: str) -> None:
    assert value(text, low, high).verified


@pytest.mark.parametrize(("text", "low", "high"), DIVERGENT)
def test_divergent(text: str, low: str, high: str) -> None:
    for ends in ((low, high), (high, low)):
        result = value(text, *ends)
        assert result.status == "diverges" and result.expression is None and result.how


def find_with(text: str, status: str = "verified", key: str = "answer") -> Any:
    """A search that always finds the same antiderivative."""
    from sciml.symbolic.expr.wire import dump

    return lambda g, seconds: {"status": status, key: dump(parse(text))}


def direct(f: str, F: str, low: str, high: str, *kind: str) -> Any:
    return definite(
        parse(f), "x", End(parse(low)), End(parse(high)), find_with(F, *kind), now() + 30
    )


POSITIVE = [
    ("1/(2+cos(x))", "2*sqrt(3)*atan(sqrt(3)*tan(x/2)/3)/3", "0", "2*pi"),
    ("abs(sin(x))", "-cos(x)*sign(sin(x))", "0", "3"),
    ("1/(1+sin(x)**2)", "sqrt(2)*atan(tan(x)*sqrt(2))/2", "0", "2*pi"),
    ("exp(x)", "exp(x)", "-3", "2"), ("1/x", "log(x)", "1", "5"), ("x**6", "x**7/7", "-1", "1"),
    ("1/sqrt(x)", "2*sqrt(x)", "0", "3"), ("sqrt(1+x)", "2*(1+x)**(3/2)/3", "-1", "1"),
    ("1/(1+x**2)", "atan(x)", "-50", "50"), ("exp(-x**2)", "sqrt(pi)*erf(x)/2", "-6", "6"),
    ("abs(x)", "x*abs(x)/2", "-2", "1"), ("cosh(x)", "sinh(x)", "-1", "9"),
    ("1/cosh(x)**2", "tanh(x)", "-8", "8"), ("log(1+x)", "(1+x)*log(1+x)-x", "0", "9"),
    ("x-log(x)", "x**2/2-x*log(x)+x", "0", "1"), ("1/sqrt(1-x**2)", "asin(x)", "-1", "1"),
    ("atan(x)", "x*atan(x)-log(1+x**2)/2", "0", "30"), ("1/x**3", "-1/(2*x**2)", "1/30", "1"),
    ("sqrt(x**2)", "x*abs(x)/2", "-1", "4"), ("x*exp(-x)", "-(x+1)*exp(-x)", "0", "20"),
    ("sin(x)**2", "x/2-sin(2*x)/4", "0", "100"), ("1/(1+exp(x))", "x-log(1+exp(x))", "-1", "1"),
    ("1+sign(x)", "x+abs(x)", "-1", "3"), ("2**x", "2**x/log(2)", "0", "12"),
    ("asin(x)", "x*asin(x)+sqrt(1-x**2)", "0", "1"), ("x**(1/3)", "3*x**(4/3)/4", "0", "8"),
    ("(x**2+1)/(x**4+1)", "-sqrt(2)*atan(x*sqrt(2)/(x**2-1))/2", "-2", "2"),
    ("x/(1+x**4)", "atan(x**2)/2", "0", "9"), ("exp(sin(x))*cos(x)", "exp(sin(x))", "0", "1"),
    ("1/(x*(1+log(x)**2))", "atan(log(x))", "1", "100"),
    ("1/(5-4*cos(x))", "2*atan(3*tan(x/2))/3", "-pi", "3*pi"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "F", "low", "high"), POSITIVE)
def test_scale_changes_nothing_but_the_value(f: str, F: str, low: str, high: str) -> None:
    """f times 10**k has the same status and the value times 10**k; a positive integrand has a
    positive integral, and the reversed limits its negative."""
    plain = direct(f, F, low, high)
    size = sp.N(to_sympy(plain.value), 25)
    assert plain.status == "verified" and size > 0
    for k in (-40, -23, -10, 40):
        for form in (f"10**({k})*({f})", f"({f})/10**({-k})"):
            scaled = direct(form, F, low, high)
            assert scaled.status == "verified"
            gap = sp.N(to_sympy(scaled.value), 25) / sp.Rational(10) ** k - size
            assert abs(gap) <= 1e-20 * size
            shown = float(scaled.holds.removeprefix("numerically "))
            assert shown == pytest.approx(float(size) * 10.0**k, rel=1e-12)
    back = direct(f, F, high, low)
    assert back.status == "verified"
    assert abs(sp.N(to_sympy(back.value), 25) + size) <= 1e-20 * size


@pytest.mark.parametrize("k", [0, 3, 10, 34, 40])
def test_scales_of_whole_answers(k: int) -> None:
    for text in (f"1/(10**{k}*(2+cos(x)))", f"1/(2*10**{k}+10**{k}*cos(x))"):
        result = value(text, 0, "2*pi")
        assert result.verified
        assert result.expression is parse(f"2*pi*sqrt(3)/(3*10**{k})")
    result = value(f"abs(sin(x))/10**{k}", 0, 3)
    assert result.verified and result.expression is parse(f"(1-cos(3))/10**{k}")


@pytest.mark.parametrize(
    ("f", "F", "low", "middle", "high"),
    [
        ("abs(sin(x))", "-cos(x)*sign(sin(x))", "-1", "4", "7"),
        ("1/(2+cos(x))", "2*sqrt(3)*atan(sqrt(3)*tan(x/2)/3)/3", "-2", "3", "10"),
        ("x*log(x)", "x**2*log(x)/2-x**2/4", "0", "1/7", "3"),
        ("exp(-x)", "-exp(-x)", "0", "2", "oo"),
        ("1/(1+x**4)", "sqrt(2)*atan(sqrt(2)*x/(1-x**2))/4"
         "+sqrt(2)*log((x**2+sqrt(2)*x+1)/(x**2-sqrt(2)*x+1))/8", "-oo", "1/2", "oo"),
    ],
)  # fmt: skip
def test_additive(f: str, F: str, low: str, middle: str, high: str) -> None:
    def end(text: str) -> End:
        return End(None, infinity(text)) if infinity(text) else End(parse(text))

    def between(a: str, b: str) -> Any:
        out = definite(parse(f), "x", end(a), end(b), find_with(F), now() + 30)
        assert out.status == "verified" and out.value is not None, out
        return sp.N(to_sympy(out.value), 25)

    assert abs(between(low, middle) + between(middle, high) - between(low, high)) < 1e-20


def test_what_is_not_confirmed_is_no_answer() -> None:
    """A wrong antiderivative, or one with a jump that is not known exactly, gives no value; only
    digits of quadrature, which do not use it, may."""
    right = {"x": "pi**2/2", "1": "1", "x**2": "9000", "exp(x)": "exp(1)-1"}
    wrong = [("x", "x**2/2+x/10**12", "0", "pi"), ("1", "x+tanh(10**5*(x-1/7))", "0", "1"),
             ("x**2", "x**3/3+exp(-(x-30)**2)", "0", "30"), ("exp(x)", "-exp(x)", "0", "1"),
             ("abs(x**5-x-1)", "sign(x**5-x-1)*(x**6/6-x**2/2-x)", "0", "2")]  # fmt: skip
    for f, F, low, high in wrong:
        for kind in (("verified",), ("sampled",), ("no_answer", "candidate")):
            result = direct(f, F, low, high, *kind)
            assert result.how and result.status != "verified", (f, result)
            if result.status == "sampled":
                assert result.method == "recognised from digits" and result.value is not None
                assert abs(sp.N(to_sympy(result.value - parse(right[f])), 25)) < 1e-20, f
    assert direct("x", "x**2", "0", "1").message()["method"] == "recognised from digits"
    # A value from an unconfirmed antiderivative must agree to 20 digits, and is not proved by it.
    assert direct("cosh(x)", "sinh(x)", "0", "1", "no_answer", "candidate").status == "verified"
    half = direct("log(x)/2", "(x*log(x)-x)/2", "1", "2", "no_answer", "candidate")
    assert half.status in ("sampled", "no_answer")


def test_jumps_and_corners_that_are_hidden() -> None:
    for text, low, high, expected in (
        ("sign(x-1/10**20)", 0, 1, "1-2/10**20"),
        ("abs(x-10**9)", 0, "2*10**9", "10**18"),
        ("abs(x-1/3-1/10**12)", 0, 1, None),
        ("abs((x-1/7)*(x-1/7-10**(-6)))", 0, 1, None),
        ("abs(1+3*sin(x))", 0, "2*pi", None),
    ):
        result = value(text, low, high)
        assert result.verified, result
        if expected is not None:
            assert result.expression is parse(expected)
        exact_value = sp.integrate(0, (sp.Symbol("x"), 0, 1)) + sp.N(result.expr, 30)
        assert exact_value > 0


def test_known_values() -> None:
    for text, low, high, expected in (
        ("abs(x)", -1, 2, "5/2"), ("x", 2, 2, "0"), ("sign(x)", -1, 2, "1"),
        ("sqrt(x)", 0, 4, "16/3"), ("sin(x)", 0, "pi/2", "1"), ("x**3", -2, 2, "0"),
        ("1/(2+cos(x))", 0, "2*pi", "2*pi/sqrt(3)"), ("1/x", "oo", "oo/1", None),
        ("exp(I*x)", 0, "pi", "2*I"), ("exp(2*I*x)", 0, "pi/4", "1/2+I/2"),
        ("1/(2+exp(I*x))", 0, "2*pi", "pi"), ("exp(I*x-x)", 0, "oo", "1/2+I/2"),
        ("sin(x)/x", 0, "oo", "pi/2"), ("cos(10**6*x)", 0, 1, "sin(10**6)/10**6"),
        ("cos(4*x)/(2+cos(x))", 0, 0, "0"),
    ):  # fmt: skip
        if expected is None:
            with pytest.raises(InputError):
                value(text, low, high)
            continue
        result = value(text, low, high)
        assert result.verified and result.expression is parse(expected), result


def test_no_antiderivative_still_names_the_number() -> None:
    result = integrate("exp(sin(x)**2)/(1+x**4)", limits=(0, 1), model=None, timeout=6)
    assert result.status == "no_answer" and result.expression is None
    with mpmath.workdps(20):
        expected = mpmath.quad(lambda t: mpmath.exp(mpmath.sin(t) ** 2) / (1 + t**4), [0, 1])
    assert float(result.how.partition("numerically ")[2]) == pytest.approx(float(expected))


@pytest.mark.parametrize("spelling", ["oo", "+oo", "inf", "Infinity", r"\infty", float("inf"),
                                      sp.oo, np.inf, "∞", r"+\infty",
                                      np.float32("inf")])  # fmt: skip
def test_spellings_of_infinity(spelling: Any) -> None:
    assert infinity(spelling) == 1
    assert value("exp(-x)", 0, spelling).expression is parse("1")
    if not isinstance(spelling, str):
        assert infinity(-spelling) == -1


def test_other_forms_of_limits() -> None:
    x = sp.Symbol("x", real=True)
    assert integrate(x**2, x, limits=(0, sp.Rational(1, 2))).expr == sp.Rational(1, 24)
    assert integrate("x", limits=(np.float64(0), np.int64(3))).expression is parse("9/2")
    assert integrate(r"\int_{0}^{\infty} e^{-x} \,dx").expression is parse("1")
    assert integrate(r"\int_{-\infty}^{\infty} e^{-x^2} \,dx").expression is parse("sqrt(pi)")
    for low, high, what in (
        (0, "nan", "number"), (0, float("nan"), "number"), (0, "I", "real"), (0, "x", "variable"),
        (0, "b", "number"), ("oo", "oo", "same infinity"), (0, sp.zoo, "number"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=what):
            value("x**2", low, high)
    wrong: Any
    for wrong in ((0,), (0, 1, 2), "01", 5):
        with pytest.raises(InputError, match="must be two"):
            integrate("x", limits=wrong)
    third = integrate("x", limits=(Fraction(1, 3), mpmath.mpf("0.5")))
    assert third.expression is parse("5/72")
    for text, low in (("sqrt(x)", -1), ("log(x)", -2), ("asin(x)", -3)):
        with pytest.raises(InputError, match="not real"):
            value(text, low, 1)


def test_symbols() -> None:
    result = integrate("cos(x)", "x", limits=(0, "a"), constants=["a"])
    assert result.verified and result.expression is parse("sin(a)")
    result = integrate("exp(-a*x)", "x", limits=(0, 1), constants=["a"])
    assert result.status in ("verified", "sampled") and "a is not 0" in result.holds
    for a in (2, -3):
        got = sp.N(result.expr.subs(sp.Symbol("a"), a))
        assert float(got) == pytest.approx(float((1 - sp.exp(-a)) / a))
    for f, limits, expected in (
        ("1/(a+x)", (0, 1), "log((a+1)/a)"), ("x**a", (0, 1), "1/(a+1)"),
        ("1/x", (1, "a"), "log(a)"), ("exp(-a*x)", (0, "oo"), "1/a"),
        ("cos(a*x)/(1+x**2)", ("-oo", "oo"), "pi*exp(-a)"),
    ):  # fmt: skip
        result = integrate(f, "x", limits=limits, constants=["a"], model=None, timeout=60)
        assert result.status == "sampled" and "a > 0" in result.holds, result
        for a in (sp.Rational(1, 3), 4):
            gap = sp.N((result.expr - sp.sympify(expected)).subs(sp.Symbol("a"), a))
            assert abs(gap) < 1e-12, (f, result)
    for f, limits in (("a*x", (0, "oo")), ("1/(x-a)", (0, 1)), ("1/(x**2-a**2)", (0, 1))):
        result = integrate(f, "x", limits=limits, constants=["a"], model=None)
        assert result.expression is None and result.how  # not for all positive a


def test_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["symbolic", "integrate", *words, "--model", "none"])
        out = capfd.readouterr()
        assert "Warning" not in out.err and ".py" not in out.err
        return code, out.out, out.err

    code, out, err = run("1/(10**10*(2+cos(x)))", "--limits", "0", "2*pi")
    assert code == 0 and out.strip() == "pi*sqrt(3)/15000000000" and "verified" in err
    code, out, err = run("tan(x)", "--limits", "0", "pi")
    assert code == 1 and "diverges" in out and out.count("\n") == 1 and not err
    code, out, _ = run("tan(x)", "--limits", "0", "pi", "--json")
    row = json.loads(out)
    assert code == 1 and row["answer"] is None and row["status"] == "diverges"
    code, out, err = run("abs(x**5-x-1)", "--limits", "0", "2")
    assert code == 1 and out.startswith("no answer") and out.count("\n") == 1
    code, out, _ = run("exp(-x)", "--limits", "0", "oo", "--json")
    assert code == 0 and json.loads(out)["answer"] == "1"
    for words, expected in (
        (("exp(x)", "--limits", "-oo", "0"), "1"), (("-x**2", "--limits", "-1", "2"), "-3"),
        (("cos(x)", "--limits", "-pi/2", "pi/2"), "2"), (("-a*x", "-x", "x", "--limits", "0", "1",
        "--constants", "a"), "-a/2"), ((r"\int_{-\infty}^{-1} \frac{dx}{x^2}",), "1"),
    ):  # fmt: skip
        code, out, err = run(*words)
        assert code == 0 and out.strip() == expected, err
    assert run("x", "--limits", "0", "nan")[0] == 2
    assert run("sqrt(x)", "--limits", "-1", "1")[0] == 2


# ------------------------------------------------------------------ the parts
def test_one_sided_limits() -> None:
    for text, end, side, expected in (
        ("x**2*log(x)", "0", 1, "0"), ("atan(1/x)", "0", -1, "-pi/2"), ("sin(3*x)/x", "0", 1, "3"),
        ("exp(-x)*x**9", "oo", 1, "0"), ("x-sqrt(x**2-x)", "oo", 1, "1/2"),
        ("tan(x)", "pi/2", -1, "+"),
        ("log(x)", "0", 1, "-"), ("log(log(x))", "oo", 1, "+"), ("erf(x)", "-oo", -1, "-1"),
        ("sqrt(1-x)/acos(x)", "1", -1, "sqrt(2)/2"), ("cos(x)", "oo", 1, "~"),
        ("sign(x)", "0", -1, "-1"),
        ("(1-cos(x))/x**2", "0", 1, "1/2"), ("Si(x)", "-oo", -1, "-pi/2"),
    ):  # fmt: skip
        at = End(None, infinity(end)) if infinity(end) else End(parse(end))
        end_limit = limit(parse(text), "x", at, side)
        if expected == "~":
            assert end_limit is not None and end_limit.oscillates
        elif expected in "+-":
            assert end_limit is not None and end_limit.infinite == (1 if expected == "+" else -1)
        else:
            assert end_limit is not None and end_limit.value is parse(expected), text


def test_exact_points() -> None:
    for text, low, high, expected in (
        ("abs(x**2-3)", "0", "2", ["sqrt(3)"]), ("abs(sin(2*x)+sin(x))", "1", "3", ["2*pi/3"]),
        ("1/(exp(2*x)-5)", "0", "1", ["log(5)/2"]), ("abs(log(x)+2)", "1/20", "1", ["exp(-2)"]),
        ("sqrt((x-1)**2)", "0", "2", ["1"]), ("acos(sin(x))", "1", "2", ["pi/2"]),
        ("tan(3*x)", "1", "2", ["pi/2"]), ("abs(x**5-x-1)", "0", "2", [None]),
        ("x**9+1", "-3", "3", []),
    ):  # fmt: skip
        with precision(300):
            (chart,) = charts(End(parse(low)), End(parse(high)))
            cells = find_discontinuities(parse(text), "x", chart, now() + 10)
            assert cells is not None
            points = [exact_point(c, "x") for c in cells if not (c.first or c.last)]
        assert points == [e if e is None else parse(e) for e in expected], text


def test_forms_on_a_piece() -> None:
    from flint import arb

    e = parse("abs(x-2)*sign(x)+sqrt(x**2*(x-2)**2)")
    with precision(100):
        assert resolve_signs(e, "x", arb(1)) is parse("2-x+x*(2-x)")
        assert resolve_signs(e, "x", arb(3)) is parse("x-2+x*(x-2)")
        assert resolve_signs(parse("abs(x)"), "x", arb(-1), [parse("abs(x)")]) is parse("abs(x)")
        assert solve_near(
            parse("x**2-2"), "x", arb("1.41421356237309504880168872421", 1e-25)
        ) is parse("sqrt(2)")


def test_content() -> None:
    for text, factor, rest in (
        ("x/10**9", "1/10**9", "x"), ("1/(200+100*x)", "1/100", "1/(2+x)"),
        ("pi*(4*x+6)", "2*pi", "2*x+3"), ("abs(6*x)", "6", "abs(x)"), ("x+1", "1", "x+1"),
        ("sqrt(8*x+8)", "sqrt(8)", "sqrt(x+1)"),
    ):  # fmt: skip
        assert content(parse(text), "x") == (parse(factor), parse(rest))


def test_far_cells() -> None:
    from flint import arb

    chart = Chart(arb(2))
    cell = chart.cell(Fraction(1, 4), Fraction(1, 2))
    assert chart.far and cell.contains(8) and cell.contains(4) and not cell.contains(10)
    assert float(chart.slope(arb(1) / 2)) == 8


def test_ends_in_time() -> None:
    started = time.perf_counter()
    result = integrate("x**x*sin(x**x)", "x", limits=(0, 1), model=None, timeout=2)
    assert result.status in ("no_answer", "timeout") and time.perf_counter() - started < 30


@pytest.mark.parametrize(
    ("f", "low", "high", "expected"),
    [
        ("x**3/(exp(x)-1)", 0, "oo", "pi**4/15"),
        ("x/sinh(x)", 0, "oo", "pi**2/4"),
        pytest.param("exp(cos(x))*cos(sin(x))", 0, "2*pi", "2*pi", marks=pytest.mark.slow),
        pytest.param("cos(2*x)/(x**2+1)", "-oo", "oo", "pi*exp(-2)", marks=pytest.mark.slow),
        ("sin(x)**3/x", 0, "oo", "pi/4"),
        ("cos(x+cos(x))", 0, "pi", "0"),
    ],
)
def test_where_no_antiderivative_is_elementary(
    f: str, low: object, high: object, expected: str
) -> None:
    result = integrate(f, limits=(low, high), model=None, timeout=60)
    assert result.proof, result
    assert abs(sp.N(result.expr - sp.sympify(expected), 25)) < 1e-20
    if result.method == "recognised from digits":
        assert result.status == "sampled" and "not proved" in result.how


def test_digits_without_a_closed_form_are_not_recognised() -> None:
    for f, low, high in (("exp(-x**4)*cos(x)", 0, 1), ("x**x", 0, 1), ("sin(x**3+1)", 0, 2)):
        result = integrate(f, limits=(low, high), model=None, timeout=20)
        assert result.expression is None, result


def test_an_odd_integrand_that_is_not_integrable_is_no_zero() -> None:
    for f, low, high in (("x", "-oo", "oo"), ("1/x", -1, 1), ("1/x**3", -1, 1), ("tan(x)", -2, 2)):
        assert integrate(f, limits=(low, high), model=None, timeout=20).expression is None, f
