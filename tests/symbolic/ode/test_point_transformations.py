"""Point transformations: equations that a new unknown function makes classical."""

from __future__ import annotations

import pytest

from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode import solver as ode
from sciml.symbolic.ode.point_transformations import point_transformations
from sciml.symbolic.ode.tools import Context
from sciml.symbolic.verification.result import STATUSES


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x*y' = y - 5 + (y-5)*log((y-5)/x)*sin(x)", "for v"),
        ("y'*cos(y-x) = cos(y-x) + x*sin(y-x)", ""),
        ("(y'-1)*(y*y'+x) = 0", ""),
        ("y*sin(x)^2 + y'' = y'*(cos(x) - sin(x)^2)/sin(x)", "in cos(x)"),
        ("x^3*y'' + x*(x+1)*y' = 2*y", "in 1/x"),
        ("2*y*y''*x + 2*x*y'^2 = 2*y*y'", ""),
    ],
)
def test_solved(text: str, kind: str) -> None:
    residual = parse(text, unknown=Unknown("y", "x"))
    reply = ode.solve_job(DsolveJob(residual, timeout=15, sympy=False), lambda message: None)
    assert reply["status"] == "verified" and reply["status"] in STATUSES
    assert kind in reply["method"]


def test_transformations_can_be_undone() -> None:
    F = parse("x*sin(log((y-5)/x)) + y^2", unknown=Unknown("y", "x"))
    pairs = list(point_transformations(F, Context("x", "y", now() + 10)))
    assert any(str(new) == "log((y - 5)/x)" for _, new in pairs)
    point = {"x": 1.3, "_v": 0.4}
    from sciml.symbolic.expr.evaluate import evaluate

    for old, new in pairs:
        y = evaluate(old, point)
        assert abs(evaluate(new, {"x": 1.3, "y": y}) - 0.4) < 1e-9, (old, new)
