"""Equations with |u| or sign(u) of the function sought: one without them on each side of u = 0."""

from __future__ import annotations

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.checking import Region


def pieces(residual: Expr, y: str) -> list[tuple[Expr, Region]]:
    """The equation where u > 0 and where u < 0; empty unless there is one such u."""
    arguments: dict[Expr, None] = {}
    for n in ex.subtrees(residual):
        u = _size_of(n)
        if u is not None and any(name.rstrip("'") == y for name in u.free):
            arguments[u] = None
    if len(arguments) != 1:
        return []
    (u,) = arguments
    out = []
    for sign, text in ((1, ">"), (-1, "<")):
        mapping = {
            n: (ex.number(sign) if n.op == "sign" else sign * u)
            for n in ex.subtrees(residual)
            if _size_of(n) is u
        }
        try:
            side = ex.substitute(residual, mapping)
        except ex.Undefined:
            return []
        out.append((side, Region(f"{u} {text} 0", sign * u)))
    return out


def _size_of(n: Expr) -> Expr | None:
    """u of |u|, sign(u) and sqrt(u**2)."""
    if n.op in ("abs", "sign"):
        return n.args[0]
    if n.op == "pow" and n.args[1] is ex.HALF and n.args[0].op == "pow":
        base, exponent = n.args[0].args
        return base if exponent is ex.TWO else None
    return None
