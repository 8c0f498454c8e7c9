"""Principal values, multiple integrals and conditions, against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import integrate
from sciml.symbolic.definite.conditions import conditions_on, read_conditions
from sciml.symbolic.expr import expression as ex

X, Y = sp.symbols("x y")


def _close(a: sp.Expr, b: str) -> bool:
    gap = sp.N(a - sp.sympify(b), 30)
    return bool(abs(gap) < 1e-20)


@pytest.mark.parametrize(
    ("text", "low", "high", "value"),
    [
        ("1/x", "-1", "2", "log(2)"),
        ("1/x**3", "-1", "1", "0"),
        ("1/(x**2-1)", "-oo", "oo", "0"),
        ("1/(x**2-4)", "0", "oo", "0"),
        ("tan(x)", "0", "pi", "0"),
        ("exp(x)/x", "-1", "1", "2*Shi(1)"),
        ("x", "-oo", "oo", "0"),
        ("1/(x-1)", "3", "0", "-log(2)"),
        ("1/(x**3-x)", "-1/2", "3/2", "log(5/9)/2-log(3)/2"),
        ("sin(x)/x", "0", "oo", "pi/2"),  # converges
    ],
)
def test_principal_values(text: str, low: str, high: str, value: str) -> None:
    result = integrate(text, "x", limits=(low, high), principal_value=True, timeout=60, model=None)
    assert result.verified, result
    assert _close(result.expr, value), result


def test_principal_values_that_do_not_exist() -> None:
    for text, low, high in (("1/x**2", -1, 1), ("1/x", 0, 1), ("x**2", "-oo", "oo")):
        result = integrate(text, "x", limits=(low, high), principal_value=True, timeout=60)
        assert result.status == "diverges"
    with pytest.raises(InputError, match="limits"):
        integrate("1/x", "x", principal_value=True)
    with pytest.raises(InputError, match="other symbols"):
        integrate("1/(x-a)", "x", limits=(0, 1), principal_value=True, constants=["a"])


@pytest.mark.parametrize(
    ("f", "ranges", "constants", "value", "status"),
    [
        ("x*y", [("x", 0, 1), ("y", 0, "x")], [], "1/8", "verified"),
        ("exp(-x**2)", [("y", 0, "x"), ("x", 0, 1)], [], "(1-exp(-1))/2", "verified"),
        ("exp(-x**2-y**2)", [("x", "-oo", "oo"), ("y", "-oo", "oo")], [], "pi", "sampled"),
        ("1/(x+y)**2", [("x", 1, 2), ("y", 0, 1)], [], "log(4/3)", "sampled"),
        ("x*y*z", [("x", 0, 1), ("y", 0, "x"), ("z", 0, "x*y")], [], "1/64", "verified"),
        ("r**2*sin(t)", [("p", 0, "2*pi"), ("t", 0, "pi"), ("r", 0, "R")], ["R"],
         "4*pi*R**3/3", "verified"),
        ("r*sqrt(R**2-r**2)", [("t", 0, "2*pi"), ("r", 0, "R")], ["R"], "2*pi*R**3/3", "sampled"),
        ("x**2+y**2", [("x", -1, 1), ("y", "-sqrt(1-x**2)", "sqrt(1-x**2)")], [], "pi/2",
         "verified"),
    ],
)  # fmt: skip
def test_multiple_integrals(f: str, ranges: list, constants: list, value: str, status: str) -> None:
    result = integrate(f, limits=ranges, constants=constants, timeout=60)
    assert result.status == status, result
    assert _close(result.expr.subs("R", sp.Rational(9, 7)), value.replace("R", "Rational(9,7)"))
    assert result.conditions == (("R > 0",) if "sqrt(R" in f else ())


def test_sympys_ways_of_writing_ranges() -> None:
    assert integrate(sp.Integral(X * Y, (Y, 0, X), (X, 0, 1)), timeout=60).expr == sp.Rational(1, 8)
    for result in (
        integrate("x**2", ("x", 0, 1), timeout=60),
        integrate(X**2, (X, 0, 1), timeout=60),
        integrate("x**2", limits=("x", 0, 1), timeout=60),
        integrate("x**2", limits=[("x", 0, 1)], timeout=60),
    ):
        assert result.verified and result.expr == sp.Rational(1, 3)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([("x", 0, "y"), ("y", 0, "x")], "each other"),
        ([("x", 0, 1), ("x", 0, 1)], "twice"),
        ([("x", 0, 1), ("y", 0, "a")], "unknown symbol"),
        ([("x", 0, 1), ("y", 0)], "range"),
        ([(n, 0, 1) for n in "uvwx"], "one, two or three"),
    ],
)
def test_ranges_that_are_refused(ranges: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        integrate("x*y" if words != "one, two or three" else "x", limits=ranges)


def test_conditions() -> None:
    below = integrate("x**n", "x", limits=(1, "oo"), constants=["n"], conditions=["n < -1"],
                      timeout=60, model=None)  # fmt: skip
    assert below.proof and below.conditions == ("n < -1",)
    assert sp.simplify(below.expr + 1 / (sp.Symbol("n") + 1)) == 0
    default = integrate("exp(-a*x)", "x", limits=(0, "oo"), constants=["a"], timeout=60, model=None)
    assert default.conditions == ("a > 0",) and default.as_dict()["conditions"] == ["a > 0"]
    refused = integrate("exp(-a*x)", "x", limits=(0, "oo"), constants=["a"], conditions=["a < 0"],
                        timeout=60, model=None)  # fmt: skip
    assert refused.expression is None
    for wrong in (["a = 1"], ["a"], ["b > 0"], ["1 > 0"]):
        with pytest.raises(InputError, match="condition"):
            integrate("exp(-a*x)", "x", limits=(0, 1), constants=["a"], conditions=wrong)


def test_examples_satisfy_their_conditions() -> None:
    given = read_conditions(["a > 2*b", "b < 0", "c != 3"], ["a", "b", "c"])
    several = conditions_on(["a", "b", "c", "d"], given)
    examples = [{k.value: Fraction(v) for k, v in e.items()} for e in several.examples()]  # type: ignore[arg-type]
    assert len(examples) == 4 and several.texts[-1] == "d > 0"
    for e in examples:
        assert e["a"] > 2 * e["b"] and e["b"] < 0 and e["c"] != 3 and e["d"] > 0
    assert several.symbols()["b"].is_negative and several.symbols()["d"].is_positive
    assert not list(conditions_on(["a"], read_conditions(["a > 1000"], ["a"])).examples())
    assert ex.symbol("a") in next(several.examples())


def test_sympys_symbols_are_constants_with_their_assumptions() -> None:
    a, b, t = sp.Symbol("a", positive=True), sp.Symbol("b", negative=True), sp.Symbol("t")
    assert integrate(a * X, X, timeout=60).expr == a * X**2 / 2
    assert integrate(X, (X, 0, t), timeout=60).expr == t**2 / 2
    result = integrate(sp.exp(b * X), (X, 0, sp.oo), timeout=60, model=None)
    assert result.conditions == ("b < 0",) and sp.simplify(result.expr + 1 / b) == 0
    with pytest.raises(InputError, match="several variables"):
        integrate(a * X)
    with pytest.raises(InputError, match="unknown symbol"):
        integrate("a*x", "x")
