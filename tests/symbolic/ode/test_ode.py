"""Differential equations: each classical kind, its check, and what is refused."""

from __future__ import annotations

import pytest

from sciml.errors import InputError
from sciml.symbolic import dsolve
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.ode.checking import check_explicit, check_implicit

KINDS = [
    ("y' = x*y", "linear"), ("y' + y = sin(x)", "constant"), ("y' = x*y^2", "separable"),
    ("y' + y = y^3", "Bernoulli|separable"), ("(y' + 1)*x = y", "linear"),
    ("y' = 1 + (y - x)^2", "line"), ("y'' + y = x", "variation"),
    ("y'' - 4*y' + 4*y = 0", "constant"),
    ("x^2*y'' + x*y' - y = 0", "Euler"), ("y'' = y'^2", "missing"), ("y = x*y' + y'^2", ""),
]  # fmt: skip


def _read(text: str):
    return parse(text, unknown=Unknown("y", "x"))


@pytest.mark.parametrize(("ode", "method"), KINDS)
def test_kinds(ode: str, method: str) -> None:
    result = dsolve(ode, timeout=40, sympy=False)
    assert result.verified, result
    assert any(part in result.method for part in method.split("|"))


def test_check_refuses_near_misses() -> None:
    residual = _read("y'' + y = x")
    assert check_explicit(residual, parse("c1*sin(x) + c2*cos(x) + x"), "x", "y", 2)
    for wrong in ("c1*sin(x) + c2*cos(x) + x + x/10^6", "c1*sin(x) + x", "c1*sin(x)+c2*sin(x)+x",
                  "c1*sin(x) - c2*cos(x) - x"):  # fmt: skip
        assert not check_explicit(residual, parse(wrong), "x", "y", 2)
    first = _read("2*x*y + (x^2 + 3*y^2)*y' = 0")
    assert check_implicit(first, parse("x^2*y + y^3"), "x", "y")
    assert not check_implicit(first, parse("x^2*y - y^3"), "x", "y")


def test_sympy_input() -> None:
    import sympy as sp

    x, y = sp.Symbol("x"), sp.Function("y")
    result = dsolve(sp.Eq(y(x).diff(x), 2 * y(x)), timeout=40)
    assert result.verified
    assert sp.simplify(result.expr.diff(x) - 2 * result.expr) == 0


def test_sympy_symbols_and_functions_are_found() -> None:
    import sympy as sp

    t, f = sp.Symbol("t", positive=True), sp.Function("f")
    result = dsolve(sp.Eq(f(t).diff(t), 2 * f(t)), timeout=40, sympy=False)
    assert result.verified and sp.simplify(result.expr.diff(t) - 2 * result.expr) == 0
    again = dsolve(f(t).diff(t) - 2 * f(t), f(t), timeout=40, sympy=False)
    assert again.expression is result.expression
    named = dsolve(f(t).diff(t) - 2 * f(t), "f", timeout=40, sympy=False)
    assert named.expression is result.expression
    with pytest.raises(InputError):
        dsolve(f(t).diff(t) - 2 * f(t), "g")


@pytest.mark.parametrize(
    ("latex", "plain"),
    [
        (r"\frac{dy}{dx} = \frac{y}{x}", "y' = y/x"),
        (r"\frac{d^2 y}{d x^{2}} + y(x) = \sin x", "y'' + y = sin(x)"),
        (r"y'' + 2 y' = {x}^2", "y'' + 2*y' = x^2"),
        (r"y^{\prime\prime} = \sqrt{y^{\prime}(x)}", "y'' = sqrt(y')"),
        (r"(y')^2 = \ln y^2", "y'^2 = log(y^2)"),
    ],
)
def test_latex(latex: str, plain: str) -> None:
    assert _read(latex) is _read(plain)


def test_refused() -> None:
    with pytest.raises(InputError, match="order"):
        dsolve("y''''''' = y")
    with pytest.raises(InputError, match="unknown symbol"):
        dsolve("y' = a*y")
    with pytest.raises(InputError, match="c1 and c2"):
        dsolve("y' = c1*y", constants=["c1"])
    with pytest.raises(InputError):
        dsolve(r"\frac{d^2 y}{dx} = y")
    assert dsolve("y' = a*y", constants=["a"], timeout=40).verified


@pytest.mark.parametrize(
    ("p", "q"),
    [("-x", "x-1"), ("0", "-(x^2+1)"), ("-(3*x-4)/(2*x-1)", "(x-3)/(2*x-1)"), ("1/x", "-1/x^2")],
)
def test_liouvillian_solutions(p: str, q: str) -> None:
    """Every solution exp(g) P(x) solves its second-order equation."""
    from sciml.symbolic.ode.liouvillian import liouvillian_solutions
    from sciml.symbolic.ode.tools import numerically_equal

    solutions = list(liouvillian_solutions(parse(p), parse(q), "x"))
    assert solutions
    for u in solutions:
        residual = u.diff("x").diff("x") + parse(p) * u.diff("x") + parse(q) * u
        assert numerically_equal(residual, parse("0"))


def test_a_network_proposes_where_the_rules_fail(monkeypatch):
    """The right proposal is accepted, the wrong ones are not; names are those of the equation."""
    from dataclasses import replace

    from sciml.symbolic.expr.parser import Unknown
    from sciml.symbolic.expr.wire import load
    from sciml.symbolic.jobs import DsolveJob
    from sciml.symbolic.neural import candidates
    from sciml.symbolic.ode import solver

    proposals_for = []

    class Network:
        def propose(self, problems, beam, task):
            proposals_for.append((str(problems[0]), beam, task))
            return [[parse("c1*exp(2*x)"), parse("c1*exp(x)")]]

    monkeypatch.setattr(candidates, "_model", lambda path: Network())
    job = DsolveJob(parse("u' - u", unknown=Unknown("u", "t")), "t", 5.0, "anything", False, 7,
                    function="u", sympy=False)  # fmt: skip
    reply = solver.solve_job(job, lambda message: None)
    assert proposals_for == [("y' - y", 7, "ode1")]
    assert reply["status"] == "verified" and reply["method"] == "neural, hypothesis 2"
    assert load(reply["answer"]) == parse("c1*exp(t)")
    assert solver.solve_job(replace(job, model=None), print)["status"] == "no_answer"
