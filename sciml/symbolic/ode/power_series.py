"""The power series of a solution about an ordinary point, from exact derivatives.

y^(n) = F(x, y, y', ...) is differentiated again and again; its values at the point, in terms of y
and the derivatives below the order n there, are Taylor's coefficients.

Source: E. L. Ince, "Ordinary Differential Equations" (1927), chapter XII.
"""

from __future__ import annotations

from math import factorial
from typing import Any

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, precision, simplify_constant
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.methods import explicit_forms, order_of

_MAX_SIZE = 20_000


def series_solution(job: DsolveJob) -> dict[str, Any]:
    """The message with the terms of the solution below the power `job.terms` of x - a, where a is
    the point of the conditions, or 0."""
    x, y = job.variable, job.function
    order = order_of(job.f, y)
    points = {a for _, a, _ in job.conditions}
    if len(points) > 1:
        return _none("a series is about one point: give the conditions there")
    at = points.pop() if points else ex.ZERO
    try:
        with at_most(job.timeout):
            forms = explicit_forms(job.f, y + "'" * order)
            if len(forms) != 1:
                return _none("the equation does not determine its highest derivative")
            coefficients = _coefficients(forms[0], job, order, at)
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}
    except ERRORS:
        coefficients = None
    if coefficients is None:
        return _none("the point is singular, or the derivatives there are too large")
    step = ex.symbol(x) - at
    answer = ex.add([c / factorial(k) * step**k for k, c in enumerate(coefficients)])
    return {"answer": dump(answer), "kind": "explicit", "status": "verified",
            "how": "exact derivatives", "holds": f"as {x} tends to {at}", "method": "power series",
            "note": f"a series: terms of the order {step**job.terms} are left out"}  # fmt: skip


def _none(how: str) -> dict[str, Any]:
    return {"status": "no_answer", "how": how}


def _coefficients(F: Expr, job: DsolveJob, order: int, at: Expr) -> list[Expr] | None:
    """y, y', y'', ... at the point; None where one is not defined there."""
    x, y = job.variable, job.function
    names = [y + "'" * k for k in range(order)]
    known = {k: b for k, _, b in job.conditions}
    values = [known.get(k, ex.symbol(f"c{k + 1}")) for k in range(order)]
    point: dict[Expr, ex.ExprLike] = {ex.symbol(n): v for n, v in zip(names, values, strict=True)}
    point[ex.symbol(x)] = at
    derivative = F
    while len(values) < job.terms:
        value = simplify_constant(expand(ex.substitute(derivative, point)))
        if not value.free:
            with precision(200):
                if not ball(value).is_finite():
                    return None
        values.append(value)
        total = [derivative.diff(x)]
        for k, name in enumerate(names):
            following = F if k == order - 1 else ex.symbol(names[k + 1])
            total.append(derivative.diff(name) * following)
        derivative = expand(ex.add(total)) if ex.size(derivative) < 200 else ex.add(total)
        if ex.size(derivative) > _MAX_SIZE:
            return None
    return values[: job.terms]
