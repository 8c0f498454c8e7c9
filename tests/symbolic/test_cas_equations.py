"""Differential equations by other systems: written in their names, read back, right."""

import pytest

from sciml.symbolic import cas, cas_equations
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.ode.checking import check_explicit, check_implicit

UNKNOWN = Unknown("y", "x")
EQUATIONS = (("y'' + y - x", 2), ("y' + y/x - x**2", 1), ("y' - y**2*x", 1))


@pytest.mark.parametrize("name", list(cas_equations.EQUATIONS))
def test_their_solutions_solve_the_equations(name):
    if name not in cas.installed():
        pytest.skip(f"{name} is not installed")
    for text, order in EQUATIONS:
        residual = parse(text, unknown=UNKNOWN)
        solutions = cas_equations.EQUATIONS[name](residual, 10.0, 60.0)
        assert any(
            check_explicit(residual, e, "x", "y", order).agrees if kind == "explicit"
            else check_implicit(residual, e, "x", "y").agrees
            for kind, e in solutions
        ), (text, solutions)  # fmt: skip


def test_solutions_are_read_in_each_form():
    read = cas_equations._solution
    assert read("y = c1*x") == ("explicit", parse("c1*x"))
    assert read("c1*exp(x)") == ("explicit", parse("c1*exp(x)"))
    assert read("x*y = c1") == ("implicit", parse("x*y"))
    assert read("y = y(x") is None and read("a = b = c") is None


def test_an_equation_is_written_with_the_derivatives_of_a_system():
    residual = parse("y'' + E*y' + y*yy", unknown=UNKNOWN)
    text = cas_equations._with_derivatives(residual, "'diff(y,x,{k})", "y", E="%e")
    assert all(part in text for part in ("'diff(y,x,2)", "'diff(y,x,1)", "%e", "yy"))
