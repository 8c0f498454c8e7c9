"""Substitutions that make one radical rational, and the sums over roots that they lead to."""

from fractions import Fraction

import pytest

from sciml.symbolic import worker_process
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.wire import load
from sciml.symbolic.integration.radical_substitutions import (
    goursat_substitutions,
    radical_substitutions,
)
from sciml.symbolic.integration.root_sums import integrals, parametric_integrals
from sciml.symbolic.jobs import IntegrateJob
from sciml.symbolic.verification.checking import check

INTEGRANDS = [
    "1/((x + 3)**2*(x - 2))**(1/3)",
    "(x**2 - 4)/(x**2 + 4)/(x**6 + 16*x**2)**(1/4)",
    "(x**7 + 1)**(1/3)*(4*x**7 - 3)/x**2/(3*x**7 - x**3 + 3)",
    "(5*x**6 - 1)/(a*x**6 + a - x)/sqrt(x**7 + x)",
    "(a*x + b)**(1/3)/x**2",
]


@pytest.mark.parametrize("text", INTEGRANDS)
def test_the_substituted_integrand_is_rational_and_equal(text: str) -> None:
    f = parse(text)
    values = {"x": 2.3, "a": 1.7, "b": 0.9}
    proposals = list(radical_substitutions(f, "x", "t"))
    assert proposals
    for g, t in proposals:
        assert not any(ex.is_radical(n) and "t" in n.free for n in ex.subtrees(g))
        at = complex(Program(t).complex(values)[0])
        slope = complex(Program(t.diff("x")).complex(values)[0])
        changed = complex(Program(g).complex({**values, "t": at})[0]) * slope
        expected = complex(Program(f).complex(values)[0])
        assert abs(changed - expected) < 1e-9 * abs(expected)


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("(x**2 - 1)/(x**2 + 1)/sqrt(x**4 + 1)", "1/(t*sqrt(t**2 - 2))"),
        ("(2*a*x**3 - b)*sqrt(a**2*x**6 + 2*a*b*x**3 + 5*x**2 + b**2)/x**3", "sqrt(t**2 + 5)"),
    ],
)
def test_goursat_substitutions_lower_the_degree_of_the_radicand(text: str, lowered: str) -> None:
    ((g, t),) = goursat_substitutions(parse(text), "x", "t")
    values = {"x": 2.3, "a": 1.7, "b": 0.9}
    at = complex(Program(t).complex(values)[0])
    slope = complex(Program(t.diff("x")).complex(values)[0])
    assert g is parse(lowered)
    assert abs(complex(Program(g).complex({"t": at})[0]) * slope
               - complex(Program(parse(text)).complex(values)[0])) < 1e-9  # fmt: skip


def test_an_elliptic_integrand_is_left_alone() -> None:
    assert not list(radical_substitutions(parse("1/sqrt(x**3 + 1)"), "x", "t"))
    assert not list(goursat_substitutions(parse("1/sqrt(x**3 + 1)"), "x", "t"))
    assert not list(radical_substitutions(parse("sqrt(x)*sqrt(x + 1)*exp(x)"), "x", "t"))


@pytest.mark.parametrize("text", INTEGRANDS)
def test_such_integrands_are_integrated(text: str) -> None:
    f = parse(text)
    message = worker_process.run(IntegrateJob(f, "x", 20.0), lambda m: None)
    assert message["status"] in ("verified", "sampled")
    assert check(f, load(message["answer"]), "x").agrees


@pytest.mark.parametrize(
    "coefficients",
    [["-d", "0", "0", "3"], ["d", "0", "0", "0", "a"], ["d", "0", "b", "0", "a"],
     ["d", "0", "0", "b", "0", "0", "a"]],
)  # fmt: skip
def test_sums_over_roots_with_parameters(coefficients: list[str]) -> None:
    terms = [parse(c) for c in coefficients]
    t, n = ex.symbol("t"), len(terms) - 1
    integral = parametric_integrals(terms)
    assert integral is not None
    polynomial = ex.add([c * t**k for k, c in enumerate(terms)])
    for j in range(n - 1):
        residual = Program(integral(j, t).diff("t") - t**j / polynomial)
        for b, d in ((3.0, 1.1), (-0.9, -2.0), (5.0, 0.3)):
            at = {"t": 0.7 + 0.1j, "a": 1.3, "b": b, "d": d}
            assert abs(complex(residual.complex(at)[0])) < 1e-12


def test_other_polynomials_with_parameters_have_no_sum() -> None:
    assert parametric_integrals([parse(c) for c in ("a", "1", "0", "1")]) is None


@pytest.mark.parametrize(
    "coefficients",
    [[2, 0, 0, 3], [-2, 0, 0, 0, 0, 1], [5, 0, 0, 0, 1], [4, 0, 0, 2, 0, 0, 1],
     [-3, 0, 0, 0, 1, 0, 0, 0, -2], [3, 0, 0, -7, 0, 0, 2]],
)  # fmt: skip
def test_sums_over_roots_are_short_and_right(coefficients: list[int]) -> None:
    t, n = ex.symbol("t"), len(coefficients) - 1
    integral = integrals([Fraction(c) for c in coefficients])
    assert integral is not None
    polynomial = ex.add([c * t**k for k, c in enumerate(coefficients)])
    for j in range(n - 1):
        answer = integral(j, t)
        assert ex.size(answer) < 120 * n
        residual = Program(answer.diff("t") - t**j / polynomial)
        for at in (0.83, -0.41, 7.9):
            assert abs(complex(residual.complex({"t": at})[0])) < 1e-10
