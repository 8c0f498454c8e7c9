"""Equations of physics with symbols: solved, in a form about as short as that of textbooks."""

from __future__ import annotations

import pytest

from sciml.symbolic import dsolve
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.ode.constant_coefficients import square_root
from sciml.symbolic.ode.real_forms import real_form
from sciml.symbolic.ode.tools import numerically_equal

EQUATIONS = [
    ("m*y''+k*y=0", "m k", "c1*cos(sqrt(k/m)*x)+c2*sin(sqrt(k/m)*x)"),
    ("y''+2*g*y'+w**2*y=0", "g w",
     "c1*exp((-g+sqrt(g**2-w**2))*x)+c2*exp((-g-sqrt(g**2-w**2))*x)"),
    ("y''+w**2*y=F*cos(p*x)", "w F p", "c1*cos(w*x)+c2*sin(w*x)+F*cos(p*x)/(w**2-p**2)"),
    ("L*y''+R*y'+y/C=0", "L R C",
     "c1*exp((-R+sqrt(R**2-4*L/C))*x/(2*L))+c2*exp((-R-sqrt(R**2-4*L/C))*x/(2*L))"),
    ("L*C*y''+R*C*y'+y=V", "L R C V",
     "V+c1*exp((-R+sqrt(R**2-4*L/C))*x/(2*L))+c2*exp((-R-sqrt(R**2-4*L/C))*x/(2*L))"),
    ("R*y'+y/C=V*cos(w*x)", "R C V w",
     "c1*exp(-x/(R*C))+C*V*(cos(w*x)+w*R*C*sin(w*x))/(1+w**2*R**2*C**2)"),
    ("y'=-k*y", "k", "c1*exp(-k*x)"),
    ("y'=-k*(y-T)", "k T", "T+c1*exp(-k*x)"),
    ("m*y'=m*g-b*y", "m g b", "m*g/b+c1*exp(-b*x/m)"),
    ("m*y'=m*g-b*y**2", "m g b", "sqrt(m*g/b)*tanh(sqrt(g*b/m)*(x+c1))"),
    ("y'=r*y*(1-y/K)", "r K", "K/(1+c1*exp(-r*x))"),
    ("B*y''''=q", "B q", "c1+c2*x+c3*x**2+c4*x**3+q*x**4/(24*B)"),
    ("y''-k**2*y=0", "k", "c1*exp(k*x)+c2*exp(-k*x)"),
    ("y'''' - k**4*y=0", "k", "c1*cos(k*x)+c2*sin(k*x)+c3*exp(k*x)+c4*exp(-k*x)"),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "constants", "textbook"), EQUATIONS)
def test_solved_in_a_short_form(equation: str, constants: str, textbook: str) -> None:
    result = dsolve(equation, constants=constants.split(), sympy=False, timeout=60)
    assert result.verified and result.expression is not None, result
    assert "complex" not in result.holds and not result.implicit
    assert ex.size(result.expression) <= 1.6 * ex.size(parse(textbook)), str(result)


def test_real_forms() -> None:
    for text, real in (
        ("sqrt(-a*b)*tan(sqrt(-a*b)*x)", "-sqrt(a*b)*tanh(sqrt(a*b)*x)"),
        ("cos(sqrt(-a)*x)", "cosh(sqrt(a)*x)"),
        ("atan(x*sqrt(-a))/sqrt(-a)", "atanh(x*sqrt(a))/sqrt(a)"),
    ):
        assert numerically_equal(real_form(parse(text)), parse(real))
        assert "I" not in str(real_form(parse(text)))
    for text in ("tan(sqrt(-a)*x)", "sqrt(-a)*x", "sin(x)"):  # odd in the root, or without one
        assert real_form(parse(text)) is parse(text)


def test_squares_are_taken_out_of_roots() -> None:
    for text, root in (("4*g**2-4*w**2", "2*sqrt(g**2-w**2)"), ("(g+w)*(4*g-4*w)", None),
                       ("a**2/9-b", None), ("12*a", None)):  # fmt: skip
        d = parse(text)
        assert numerically_equal(square_root(d) ** 2, d)
        if root:
            assert square_root(d) is parse(root)
