"""Integrands with impulses: g(x) DiracDelta(a x + b) contributes g(r)/|a| at its point r = -b/a."""

from __future__ import annotations

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, compare_ends
from sciml.symbolic.expr.pieces import heaviside


def has_impulses(e: Expr) -> bool:
    """Whether DiracDelta occurs."""
    return any(n.op == "DiracDelta" for n in ex.subtrees(e))


def refuse_impulses(e: Expr) -> Expr:
    """The expression, which is refused where DiracDelta occurs.

    Raises:
        InputError: where it does.
    """
    if has_impulses(e):
        raise InputError("DiracDelta has no values",
                         hint="It can be integrated, and stand on the right side of a linear "
                         "equation with constant coefficients.")  # fmt: skip
    return e


def split_impulses(f: Expr, x: str) -> tuple[Expr, list[tuple[Expr, Expr]]]:
    """(smooth part, [(r, weight), ...]) of an integrand.

    Raises:
        InputError: where DiracDelta does not occur as g(x)*DiracDelta(a*x + b).
    """
    total = expand(f)
    smooth, impulses = [], []
    for t in total.args if total.op == "add" else (total,):
        nodes = [n for n in ex.subtrees(t) if n.op == "DiracDelta"]
        if not nodes:
            smooth.append(t)
            continue
        impulses.append(impulse(t, nodes, x))
    return ex.add(smooth), impulses


def impulse(t: Expr, nodes: list[Expr], x: str) -> tuple[Expr, Expr]:
    """(r, weight) of the term g(x) DiracDelta(a x + b): its integral is the weight g(r)/|a|.

    Raises:
        InputError: for a term of another form.
    """
    mark = ex.symbol("d__0")
    g = ex.substitute(t, {nodes[0]: mark}).diff("d__0")
    slope = nodes[0].args[0].diff(x)
    if len(nodes) > 1 or x in slope.free or slope is ex.ZERO or "d__0" in g.free:
        raise InputError("DiracDelta must occur as g(x)*DiracDelta(a*x + b)", where=str(t))
    r = expand(ex.symbol(x) - nodes[0].args[0] / slope)
    try:
        return r, ex.substitute(g, {ex.symbol(x): r}) / ex.call("abs", slope)
    except ex.Undefined:
        raise InputError(f"the factor of DiracDelta has no value at {x} = {r}") from None


def impulses_between(impulses: list[tuple[Expr, Expr]], x: str, low: End, high: End) -> Expr:
    """The sum of the weights of the impulses between the limits.

    Raises:
        InputError: for an impulse at a limit, or where symbols decide on which side it is.
    """
    order = compare_ends(low, high)
    out = []
    for r, weight in impulses:
        if r.free or any(e.at is not None and e.at.free for e in (low, high)):
            raise InputError(f"whether {x} = {r} lies between the limits is not clear",
                             hint="Give its place and the limits as numbers.")  # fmt: skip
        sides = [compare_ends(End(r), end) for end in (low, high)]
        if 0 in sides:
            raise InputError(f"an impulse stands at the limit {x} = {r}",
                             hint="Choose limits on either side of it.")  # fmt: skip
        if sides[0] != sides[1]:
            out.append(weight if order < 0 else -weight)
    return ex.add(out)


def steps_of(impulses: list[tuple[Expr, Expr]], x: str) -> Expr:
    """An antiderivative of the impulses."""
    return ex.add([w * heaviside(ex.symbol(x) - r) for r, w in impulses])
