"""Equations of higher order, and conditions."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import dsolve
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.ode.checking import check_explicit
from sciml.symbolic.ode.higher_order import fundamental_system, undetermined_coefficients

EQUATIONS = [
    ("y''' - y = x**2*exp(x)", []),
    ("y'''' - k**4*y = cos(k*x)", ["k"]),
    ("y''' + 3*y'' + 3*y' + y = exp(-x)", []),
    ("y'''''' + y = 0", []),
    ("a*y''' + b*y'' = x", ["a", "b"]),
]


@pytest.mark.parametrize(("text", "constants"), EQUATIONS)
def test_higher_orders_are_solved_with_all_constants(text: str, constants: list[str]) -> None:
    result = dsolve(text, constants=constants, sympy=False, timeout=60, model=None)
    assert result.proof and result.expression is not None, result
    order = text.split("y")[1].count("'")
    assert {f"c{k}" for k in range(1, order + 1)} <= result.expression.free


def test_a_particular_solution_at_a_root_of_any_order() -> None:
    x = ex.symbol("x")
    for order in (1, 2, 3, 4):
        coefficients = [parse(f"{sp.binomial(order, k) * (-2) ** (order - k)}")
                        for k in range(order + 1)]  # fmt: skip
        r = parse("x**2*exp(2*x)")  # 2 is a root of that order
        y = undetermined_coefficients(coefficients, r, "x")
        assert y is not None
        left, slope = coefficients[0] * y, y
        for a in coefficients[1:]:
            slope = slope.diff("x")
            left = left + a * slope
        residual = sp.simplify(sp.sympify(str(left - r)))
        assert residual == 0
        system = fundamental_system(coefficients, x)
        assert system is not None and len(system) == order


def test_dependent_constants_are_no_general_solution() -> None:
    residual = ex.symbol("y'''") - ex.symbol("y'")
    right = parse("c1 + c2*exp(x) + c3*exp(-x)")
    wrong = parse("c1 + c2*exp(x) + c3*(1 + exp(x))")
    assert check_explicit(residual, right, "x", "y", 3).agrees
    assert "independent" in check_explicit(residual, wrong, "x", "y", 3).how


CONDITIONS = [
    ("y' = y", {"y(0)": 3}, "3*exp(x)"),
    ("y' = y**2", {"y(0)": 0}, "0"),
    ("y'' + w**2*y = 0", {"y(0)": "A", "y'(0)": "v"}, "A*cos(w*x) + v*sin(w*x)/w"),
    ("y'' + y = 0", {"y(0)": 0, "y(pi/2)": 2}, "2*sin(x)"),
    ("y''' = 6", {"y(0)": 1, "y'(0)": 0, "y''(0)": 0}, "x**3 + 1"),
]


@pytest.mark.parametrize(("text", "ics", "answer"), CONDITIONS)
def test_conditions(text: str, ics: dict, answer: str) -> None:
    result = dsolve(text, ics=ics, constants=["w", "A", "v"], timeout=60, model=None)
    assert result.proof, result
    assert sp.simplify(result.expr - sp.sympify(answer)) == 0


def test_conditions_in_sympy() -> None:
    x, f = sp.Symbol("x"), sp.Function("f")
    ics = {f(0): 1, f(x).diff(x).subs(x, 0): 2}
    result = dsolve(sp.Eq(f(x).diff(x, 2), 0), ics=ics, timeout=60, model=None)
    assert result.expr == 2 * x + 1


def test_conditions_that_cannot_be_satisfied() -> None:
    result = dsolve("y'' + y = 0", ics={"y(0)": 0, "y(pi)": 1}, timeout=60, model=None)
    assert result.status == "no_answer" and result.expression is None
    for ics in ({"z(0)": 1}, {"y''(0)": 1}, {"y(0)": "x"}, {"y(0)": "q"}, {"y": 1}):
        with pytest.raises(InputError):
            dsolve("y'' + y = 0", ics=ics)
    with pytest.raises(InputError, match="order 7"):
        dsolve("Derivative(y(x), (x, 6)) = y'''''''")
