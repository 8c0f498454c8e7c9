"""Integrands in pieces: their antiderivatives are proved, and continuous where the integrand is
bounded, across steps, signs and the poles of tangents."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.symbolic import integrate
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.integration.floors import STEP, indefinite_sum
from sciml.symbolic.verification.jumps import continuity

FEW = """
x*abs(sin(x)); abs(1+2*sin(x)); Max(sin(x),0); sign(x)*exp(x); x*floor(x); floor(x)*sin(x);
mod(x,2); (-1)**floor(x); sqrt(1+cos(2*x)); 1/(2+cos(x)); 1/(1+sin(x)**2); abs(x**3-x)
"""
MANY = """
abs(x); abs(x**2-1); abs(sin(x)); abs(cos(2*x)); exp(-x)*abs(sin(x)); sign(x); sign(x**2-3*x+2);
sign(sin(x)); x*sign(cos(x)); Max(x,1); Min(x,x**2); Min(exp(x),1); Heaviside(x-1);
x**2*Heaviside(x+2); Heaviside(x)*exp(-x); Heaviside(x)-Heaviside(x-2); floor(x); ceiling(x);
floor(x/3)**2; mod(x,2)**2; exp(x)*floor(2*x); sqrt(1-cos(x)); sqrt(1+sin(x)); sqrt(sin(x)**2);
sqrt(x**2); sqrt((x-1)**2*(x+2)**2); 1/(2-sin(x)); 1/(5+3*sin(2*x)); 1/(3+cos(x)**2);
cos(x)/(2+cos(x)); 1/(2+cos(x))**2; abs(x)*exp(-x**2); abs(x-1)*abs(x+1); x*abs(x); sqrt(abs(x));
exp(-abs(x)); sin(abs(x)); Piecewise((x, x < 0), (x**2, x < 2), (4, True));
Piecewise((sin(x), x < 0), (x, True)); abs(log(abs(x)+2)); real_root(x,3); asin(sin(x));
acos(cos(x)); abs(exp(x)-2); sqrt(1-sin(2*x)); floor(x)**2*x; x**2*sign(x-1); abs(x**3-2*x)
"""


def _largest_step(F: Expr, f: Expr) -> float:
    """The largest step of F between neighbours of a fine grid, beyond what f allows."""
    points = np.linspace(-7.123456, 7.2345, 20_001)
    values, slopes = (
        np.broadcast_to(v, points.shape) for v in Program(F, f).complex({"x": points})
    )
    bound = np.maximum(np.abs(slopes[1:]), np.abs(slopes[:-1])) * (points[1] - points[0])
    return float(np.max(np.abs(np.diff(values)) - 3 * bound))


def _check(text: str) -> None:
    result = integrate(text, "x", model=None, timeout=60)
    assert result.verified and result.expression is not None, (text, result.how)
    assert result.continuous is not False, (text, result)
    assert _largest_step(result.expression, parse(text)) < 1e-2, (text, str(result))


@pytest.mark.parametrize("text", [t.strip() for t in FEW.split(";")])
def test_no_jumps(text: str) -> None:
    _check(text)


@pytest.mark.slow
@pytest.mark.parametrize("text", [t.strip() for t in MANY.split(";")])
def test_no_jumps_of_many(text: str) -> None:
    _check(text)


def test_the_measure_sees_a_jump() -> None:
    jumping = parse("2/sqrt(3)*atan(tan(x/2)/sqrt(3))")
    assert _largest_step(jumping, parse("1/(2+cos(x))")) > 1
    assert (
        continuity(parse("sqrt(1+cos(2*x))"), parse("sin(2*x)/sqrt(1+cos(2*x))"), "x")[0] is False
    )


@pytest.mark.parametrize(
    ("text", "low", "high", "value"),
    [
        ("floor(x)", "0", "5/2", "2"),
        ("floor(x^2)", "0", "2", "5-sqrt(2)-sqrt(3)"),
        ("mod(x,1)", "-3", "7/3", "23/9"),
        ("floor(3*sin(x))", "0", "pi", "2*pi-2*asin(2/3)-2*asin(1/3)"),
        ("floor(1/x)", "1/5", "1", "77/60"),
        ("Piecewise((x, x < 1), (2, True))", "0", "3", "9/2"),
    ],
)
def test_between_limits(text: str, low: str, high: str, value: str) -> None:
    result = integrate(text, "x", limits=(low, high), model=None, timeout=60)
    assert result.verified and result.expression is not None
    gap = Program(result.expression - parse(value)).complex({})[0]
    assert abs(complex(gap)) < 1e-12


def test_indefinite_sums_are_identities_or_none() -> None:
    n = STEP.value
    for text in (n, f"{n}**3", f"2**{n}", f"{n}*(-1)**{n}", f"cos({n}/3+1)", f"{n}*exp({n})"):
        h = parse(text)
        total = indefinite_sum(h)
        assert total is not None, text
        for k in (-3, 0, 4):
            before, after, step = (
                complex(Program(e).complex({n: at})[0])
                for e, at in ((total, k - 1), (total, k), (h, k))
            )
            assert abs(after - before - step) < 1e-9 * (1 + abs(after)), text
    assert indefinite_sum(parse(f"1/({n}**2+2)")) is None
