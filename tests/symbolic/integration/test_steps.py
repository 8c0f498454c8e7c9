"""Integration step by step: each step differentiates to the one before, by SymPy's derivative."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import sympy as sp

from sciml.symbolic import integrate
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import to_sympy
from sciml.symbolic.integration.steps import _holds, steps_job
from sciml.symbolic.jobs import StepsJob

X = sp.Symbol("x")
PROBLEMS = [
    ("x*exp(x)", "by parts"), ("x*cos(x**2)", "substitute"), ("1/(x**2-1)", "rewrite"),
    ("exp(x)*sin(x)", "comes back"), ("sin(x)**2*cos(x)**3", "term by term"),
    ("a*x*log(x)", "power rule"), ("1/(x**3+1)", "arc tangent"), ("atan(x)", "logarithm"),
    ("sqrt(tan(x))", "substitution"), ("sqrt(1+x**2)", "root of a quadratic"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "word"), PROBLEMS)
def test_each_step_differentiates_to_the_one_before(text: str, word: str) -> None:
    result = integrate(text, "x", constants=["a"], steps=True, model=None, timeout=60)
    assert result.verified and result.steps
    assert any(word in step.text for step in result.steps), [s.text for s in result.steps]
    before = to_sympy(parse(text))
    for step in result.steps:
        now = sp.diff(to_sympy(step.integrated), X) + to_sympy(step.left)
        for at in (sp.Rational(3, 10), sp.Rational(7, 5)):
            gap = sp.N((now - before).subs({X: at, "a": 2}), 20)
            assert abs(gap) < 1e-14, (step, gap)
    last = result.steps[-1]
    assert str(last.left) == "0" and str(result.steps[-1].integrated) == str(result)


def test_without_asking_there_are_none() -> None:
    result = integrate("x", "x", model=None, timeout=60)
    assert result.steps == () and result.steps_html() == "" and result.further() == []


def test_shown_in_latex_and_html() -> None:
    result = integrate("x*exp(x)", "x", steps=True, model=None, timeout=60)
    first = result.steps[0]
    assert first.latex() == r"\int x e^{x}\,dx = x e^{x} + \int - e^{x}\,dx"
    assert result.as_dict()["steps"] == result.further() == [str(s) for s in result.steps]
    assert len(ElementTree.fromstring(result.steps_html())) == len(result.steps)
    assert "verified" in result._repr_latex_() and "symbolic" in result._repr_latex_()


def test_a_step_that_does_not_hold_is_not_shown() -> None:
    f, wrong = parse("x*exp(x)"), parse("x*exp(x)")
    assert not _holds(wrong, parse("0"), f, "x") and _holds(wrong, parse("-exp(x)"), f, "x")
    message = steps_job(StepsJob(parse("x**x"), "x", 10.0, answer=parse("x"), method="by magic"))
    assert [row[0] for row in message["steps"]] == ["by magic"]
