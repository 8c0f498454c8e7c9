"""Cauchy's principal value: singular points inside the interval are cut out symmetrically.

About a singular point r, the integral over (r - d, r + d) without (r - e, r + e) tends to that of
f(r + t) + f(r - t) over 0 < t < d as e tends to 0; between infinite limits, the line is folded in
the same way. Each part is then an ordinary integral, and is proved as one.
"""

from __future__ import annotations

from typing import Any

from sciml.symbolic.definite.newton_leibniz import DefiniteIntegral, Integrator
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, compare_ends, precision, simplify_constant

_PRINCIPAL = "principal value"


def principal_value(
    f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float
) -> Outcome:
    """The principal value of the integral of f, without further symbols.

    Raises:
        InputError: as `integral.definite`.
    """
    from sciml.symbolic.definite.integral import definite

    if compare_ends(low, high) > 0:
        turned = principal_value(f, x, high, low, integrator, deadline)
        return _with_value(turned, None if turned.value is None else -turned.value)
    ordinary = definite(f, x, low, high, integrator, now() + 0.4 * (deadline - now()))
    if ordinary.status != "diverges":
        return ordinary
    if low.infinite and high.infinite:
        f, low = folded(f, x, ex.ZERO), End(ex.ZERO)
        if f is ex.ZERO:
            return Outcome("verified", ex.ZERO, "symmetric about 0", "numerically 0", _PRINCIPAL)
    try:
        integral = DefiniteIntegral(f, x, low, high, integrator, deadline)
        integral.pieces()
        points = integral.split_points()
    except NoValue as stop:
        return stop.outcome
    if not points and low.at is not None and high.at is not None:
        return ordinary
    parts = _parts(f, x, low, high, points)
    total, statuses = [], set()
    for k, (g, a, b) in enumerate(parts):
        if g is ex.ZERO:
            continue
        share = now() + (deadline - now()) / (len(parts) - k)
        outcome = definite(g, x, a, b, integrator, share)
        if outcome.status == "diverges":
            how = f"the principal value does not exist, either: {outcome.how}"
            return Outcome("diverges", how=how)
        if outcome.value is None or outcome.status not in ("verified", "sampled"):
            return Outcome("no_answer", how=outcome.how)
        total.append(outcome.value)
        statuses.add(outcome.status)
    value = simplify_constant(ex.add(total))
    status = "sampled" if "sampled" in statuses else "verified"
    return Outcome(status, value, "every part of it is an ordinary integral", "", _PRINCIPAL,
                   "a principal value: the integral itself diverges")  # fmt: skip


def folded(f: Expr, x: str, r: Expr) -> Expr:
    """f(r + x) + f(r - x), simplified."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    place = ex.symbol(x)
    g = ex.substitute(f, {place: r + place}) + ex.substitute(f, {place: r - place})
    symbols = {x: sp.Symbol(x, positive=True)}
    try:
        short = sp.simplify(sp.together(to_sympy(g, symbols)))
        simple = from_sympy(short.xreplace({symbols[x]: sp.Symbol(x)}))
    except (InputError, ArithmeticError, TypeError, ValueError, AttributeError):
        return g
    return min((g, simple), key=ex.size)


def _parts(f: Expr, x: str, low: End, high: End, points: list[Expr]) -> list[tuple[Expr, End, End]]:
    """The parts folded about the points, and what is left between them."""
    parts: list[tuple[Expr, End, End]] = []
    at = low
    for i, r in enumerate(points):
        following = End((r + points[i + 1]) / 2) if i + 1 < len(points) else high
        radius = _smaller(r, at, following)
        parts += [(f, at, End(simplify_constant(r - radius))),
                  (folded(f, x, r), End(ex.ZERO), End(radius))]  # fmt: skip
        at = End(simplify_constant(r + radius))
        if i + 1 < len(points):
            parts.append((f, at, following))
            at = following
    parts.append((f, at, high))
    return [(g, a, b) for g, a, b in parts if compare_ends(a, b) < 0]


def _smaller(r: Expr, low: End, high: End) -> Expr:
    """The distance of r from the nearer of two ends, or 1 where both are infinite."""
    distances = [simplify_constant(d) for d in (
        *([r - low.at] if low.at is not None else []),
        *([high.at - r] if high.at is not None else []),
    )]  # fmt: skip
    if not distances:
        return ex.ONE
    with precision(300):
        return min(distances, key=_size)


def _size(e: Expr) -> Any:
    return ball(e).real.mid()


def _with_value(outcome: Outcome, value: Expr | None) -> Outcome:
    return Outcome(outcome.status, value, outcome.how, "", outcome.method, outcome.note)
