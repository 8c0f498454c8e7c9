"""Answers come in a short form, which is proved like the long one."""

import pytest

from sciml.symbolic import worker_process
from sciml.symbolic.algebra.constants import ShortConstants
from sciml.symbolic.algebra.rewriting import cancel_inverses
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.wire import load
from sciml.symbolic.integration.shortening import shorter
from sciml.symbolic.jobs import IntegrateJob
from sciml.symbolic.verification.checking import check


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("1/(1 + sqrt(2)) + 3", "2 + sqrt(2)"),
        ("sqrt(3 + 2*sqrt(2))", "1 + sqrt(2)"),
        ("sqrt(6 - 2*sqrt(5))", "sqrt(5) - 1"),
        ("cos(pi/5)*cos(2*pi/5) + 2**(1/3)*0", "1/4"),
        ("2**(1/3)*(1 + sqrt(5))**2/2 - 2**(1/3)*3", "2**(1/3)*sqrt(5)"),
    ],
)
def test_constants_take_their_short_form(long: str, short: str) -> None:
    assert ShortConstants()(parse(long)) is parse(short)


def test_a_constant_near_a_short_one_stays() -> None:
    near = parse("sqrt(2) + 1/10**200 + sqrt(3)/10**200 + 1")
    assert ShortConstants()(near) is near


@pytest.mark.parametrize(
    ("f", "most"),
    [
        ("sqrt(x)/(sqrt(x) - x**(-1/3))", 166),
        ("asin(x)/(1 + sqrt(1 - x**2))", 45),
        ("x**6/(3 + 2*x**5)**3", 230),
        ("x**3*asin(x)/sqrt(1 - x**4)", 31),
    ],
)
def test_long_answers_are_shortened_and_proved(f: str, most: int) -> None:
    message = worker_process.run(IntegrateJob(parse(f), "x", 20.0), lambda m: None)
    answer = load(message["answer"])
    assert message["status"] == "verified"
    assert ex.size(answer) <= most
    assert check(parse(f), answer, "x").agrees


def test_forms_are_shorter_and_a_wrong_sign_does_not_survive() -> None:
    f, answer = parse("2*abs(x)"), parse("x*abs(x) + 0*x + log(3) + (sqrt(5) - 1)**2")
    forms = shorter(answer, f, "x", 2.0)
    assert forms and all(ex.size(e) < ex.size(answer) for e in forms)
    assert forms[0] is parse("x*abs(x)")
    only_positive = shorter(parse("x*abs(x)/1 + x**2 - x**2"), parse("2*abs(x)"), "x", 2.0)
    assert parse("x**2") not in only_positive


@pytest.mark.parametrize("outer", ["sin", "cos", "tan"])
@pytest.mark.parametrize("inner", ["asin", "acos"])
def test_functions_of_half_an_inverse_function_hold_for_complex_values(
    outer: str, inner: str
) -> None:
    e = parse(f"{outer}({inner}(x)/2)")
    algebraic = cancel_inverses(e)
    assert all(n.op not in (outer, inner) for n in ex.subtrees(algebraic))
    residual = Program(e - algebraic)
    for z in (0.3, -0.7, 2 + 1j, -3 - 0.5j, -2 + 0.1j, 1.5j):
        assert abs(complex(residual.complex({"x": z})[0])) < 1e-12
