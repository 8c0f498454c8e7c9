"""Integrals of functions of floor(x) and ceiling(x) over many units, one unit after the other.

Between two whole numbers floor(x) is constant, and so is every floor of it. The integral over each
unit is the difference of an antiderivative that is exact there; the sum is made with exact numbers.
"""

from __future__ import annotations

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.definite.newton_leibniz import Integrator
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.wire import load

MAX_UNITS = 5000
_DEPTH = 4
_K = ex.symbol("k__unit")


def by_unit_steps(
    f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float
) -> Outcome | None:
    """The integral; None where f has other steps, the limits are no whole numbers, or the integrals
    over the units are no rational numbers."""
    if low.at is None or high.at is None or not low.at.op == high.at.op == "num":
        return None
    a, b = low.at.value, high.at.value
    if a.denominator > 1 or b.denominator > 1 or not 0 < b - a <= MAX_UNITS:
        return None
    place = ex.symbol(x)
    if not any(n.op == "floor" and x in n.free for n in ex.subtrees(f)):
        return None
    f = _on_a_unit(f, place)
    if any(n.op in ("floor", "sign", "abs") and x in n.free for n in ex.subtrees(f)):
        return None
    F, proved = f * place, True
    if x in f.free:
        message = integrator(f, 0.3 * (deadline - now()))
        if not message.get("answer"):
            return None
        F, proved = load(message["answer"]), message["status"] == "verified"
        if any(n.op not in ("sym", "num", "add", "mul", "pow") or n.op == "pow"
                            and (n.args[1].op != "num" or n.args[1].value.denominator > 1
                                 or n.args[1].value < 0)
                            for n in ex.subtrees(F) if x in n.free):  # fmt: skip
            return None
    total = ex.ZERO
    for k in range(int(a), int(b)):
        try:
            there = ex.substitute(F, {_K: k})
            part = ex.substitute(there, {place: k + 1}) - ex.substitute(there, {place: k})
        except ex.Undefined:  # a pole, as of 1/floor(x) below 1
            return None
        if part.op != "num":
            return None
        total = total + part
    status = "verified" if proved else "sampled"
    return Outcome(status, total, "exact between whole numbers", "", "unit by unit")


def _on_a_unit(f: Expr, x: Expr) -> Expr:
    """f for k < x < k + 1, with floor(x + m) = k + m and floor(-x + m) = -k - 1 + m for whole m,
    floor((x + m) / c) = floor(floor(x + m) / c) for whole c > 0, of nested floors, too."""
    for _ in range(_DEPTH):
        values: dict[Expr, ex.ExprLike] = {}
        for n in ex.subtrees(f):
            if n.op != "floor" or x.value not in n.free:
                continue
            slope = n.args[0].diff(x.value)
            c = 1 / slope if slope.op == "num" and slope is not ex.ZERO else ex.ZERO
            if c.op != "num" or c.value.denominator > 1:
                continue
            side = 1 if c.value > 0 else -1  # floor((side x + m) / |c|) = floor(floor(...) / |c|)
            m = expand(n.args[0] * side * c - side * x)
            if _is_whole(m):
                start = _K if side > 0 else -_K - 1
                values[n] = ex.call("floor", (start + m) / (side * c)) if c.value**2 > 1 else (
                    start + m)  # fmt: skip
        if not values:
            return f
        f = ex.substitute(f, values)
    return f


def _is_whole(m: Expr) -> bool:
    """Whether m is a combination of k, floors and whole numbers with whole coefficients."""
    for t in m.args if m.op == "add" else (m,):
        c, rest = ex.split_coefficient(t)
        if c.denominator > 1 or not (rest is ex.ONE or rest is _K or rest.op == "floor"):
            return False
    return True
