"""Equations with |u| or sign(u) of the unknown function: one equation on each side of u = 0."""

from __future__ import annotations

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.regions import Region


def split_absolute_values(residual: Expr, y: str) -> list[tuple[Expr, Region]]:
    """The residuals where u > 0 and where u < 0, with these regions; empty unless there is exactly
    one such u."""
    arguments: dict[Expr, None] = {}
    for n in ex.subtrees(residual):
        u = _absolute_argument(n)
        if u is not None and any(name.rstrip("'") == y for name in u.free):
            arguments[u] = None
    if len(arguments) != 1:
        return []
    (u,) = arguments
    sides = []
    for sign, text in ((1, ">"), (-1, "<")):
        mapping = {
            n: (ex.number(sign) if n.op == "sign" else sign * u)
            for n in ex.subtrees(residual)
            if _absolute_argument(n) is u
        }
        try:
            side = ex.substitute(residual, mapping)
        except ex.Undefined:
            return []
        sides.append((side, Region(f"{u} {text} 0", sign * u)))
    return sides


def _absolute_argument(n: Expr) -> Expr | None:
    """The u of |u|, sign(u) or sqrt(u**2)."""
    if n.op in ("abs", "sign"):
        return n.args[0]
    if n.op == "pow" and n.args[1] is ex.HALF and n.args[0].op == "pow":
        base, exponent = n.args[0].args
        return base if exponent is ex.TWO else None
    return None
