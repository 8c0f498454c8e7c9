"""Linear equations with constant coefficients, driven by switches and impulses: Heaviside(x - a)
and DiracDelta(x - a) on the right side.

With P(D) y = f + g Heaviside(x - a), the switch adds Heaviside(x - a) w, where P(D) w = g and w
and its derivatives below the order n vanish at a. An impulse k DiracDelta(x - a) adds the same with
P(D) w = 0 and w^(n-1)(a) = k / a_n. The sum is what Laplace's transform gives.

Source: G. Doetsch, "Introduction to the Theory and Application of the Laplace Transformation"
(1974), chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.pieces import heaviside
from sciml.symbolic.expr.printing import from_sympy, to_sympy
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.integration.impulses import impulse
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.checking import check_explicit
from sciml.symbolic.ode.higher_order import constant_coefficient_proposals, linear_coefficients
from sciml.symbolic.ode.tools import Context, numerically_equal, tidy


@dataclass(frozen=True)
class Drive:
    """What acts from `at` on: g, the part of the right side, and the strength of an impulse."""

    at: Expr
    g: Expr = ex.ZERO
    impulse: Expr = ex.ZERO


def is_switched(residual: Expr, x: str) -> bool:
    """Whether the equation holds DiracDelta, or signs of functions of x alone."""
    return any(
        n.op == "DiracDelta" or n.op in ("sign", "abs") and n.free and x in n.free
        for n in ex.subtrees(residual)
    )


def switched_solution(job: DsolveJob, order: int) -> dict[str, Any] | None:
    """The message with the solution; None where the equation is not of this kind.

    Raises:
        InputError: for an impulse that is not at one point, or where it multiplies the function.
    """
    x, y = job.variable, job.function
    c = Context(x, y, now() + 0.7 * job.timeout)
    names = {y + "'" * k for k in range(order + 1)}
    terms = expand(job.f)
    parts = terms.args if terms.op == "add" else (terms,)
    impulses = [t for t in parts if _impulse_nodes(t)]
    if any(names & t.free for t in impulses):
        raise InputError("DiracDelta stands in a product with the function")
    smooth = ex.add([t for t in parts if t not in impulses])
    linear = linear_coefficients(smooth, c, order)
    if linear is None or any(x in a.free for a in linear[0]):
        if impulses:
            raise InputError("with DiracDelta, linear equations with constant coefficients are "
                             "solved")  # fmt: skip
        return None
    coefficients, r = linear
    drives = _switches(r, x)
    if drives is None:
        return None
    before, switches = drives
    acting = [*switches, *(_impulse(-t, x) for t in impulses)]
    if not acting:
        return None
    left = ex.add([a * ex.symbol(y + "'" * k) for k, a in enumerate(coefficients)])
    general = _general(left - before, c, order)
    if general is None:
        return None
    statuses, driven = [check_explicit(left - before, general, x, y, order).status], []
    for drive in acting:
        w = _response(left, coefficients[-1], drive, c, order)
        if w is None:
            return None
        statuses.append(check_explicit(left - drive.g, w, x, y, order, general=False).status)
        driven.append((drive.at, w))
    if job.conditions:
        found = _with_conditions(general, driven, job, order)
        if found is None:
            return {"status": "no_answer", "how": "no constants satisfy the conditions"}
        general = found
    steps = [heaviside(ex.symbol(x) - at) * w for at, w in driven]
    status = "verified" if set(statuses) == {"verified"} else "sampled"
    if set(statuses) - {"verified", "sampled"}:
        return None
    note = ""
    if job.conditions and any(at.free for at, _ in driven):
        note = f"for positive {', '.join(sorted({n for at, _ in driven for n in at.free}))}"
    points = {a for _, a, _ in job.conditions}
    if any(d.at in points and d.impulse is not ex.ZERO for d in acting):
        note = "the conditions hold just before the impulse"
    method = "response to switches and impulses" + (", conditions" if job.conditions else "")
    return {"answer": dump(ex.add([general, *steps])), "kind": "explicit", "status": status,
            "how": "every part in the equation, and its values where it sets in",
            "holds": "on both sides of every switch", "method": method, "note": note}  # fmt: skip


def _impulse_nodes(t: Expr) -> list[Expr]:
    return [n for n in ex.subtrees(t) if n.op == "DiracDelta"]


def _impulse(t: Expr, x: str) -> Drive:
    """The term g(x) DiracDelta(a x + b)."""
    at, weight = impulse(t, _impulse_nodes(t), x)
    return Drive(at, impulse=weight)


def _switches(r: Expr, x: str) -> tuple[Expr, list[Drive]] | None:
    """(right side before every switch, the switches); None where they are of another kind."""
    places: dict[Expr, tuple[Expr, int]] = {}
    values: dict[Expr, ex.ExprLike] = {}
    marks: dict[Expr, Expr] = {}
    for n in ex.subtrees(r):
        if n.op not in ("abs", "sign") or x not in n.free:
            continue
        (q,) = n.args
        slope = tidy(q.diff(x))
        if slope.op != "num":
            return None
        at = tidy(ex.symbol(x) - q / slope)
        side = 1 if slope.value > 0 else -1
        mark = marks.setdefault(at, ex.symbol(f"s__{len(marks)}"))
        values[n] = side * mark * (1 if n.op == "sign" else q)
        places[at] = (mark, side)
    if not places:
        return r, []
    marked = expand(ex.substitute(r, values))
    for _ in range(4):  # s**2 = 1
        squares = {n: ex.ONE if n.args[1].value % 2 == 0 else n.args[0]
                   for n in ex.subtrees(marked)
                   if n.op == "pow" and n.args[0] in marks.values() and n.args[1].op == "num"
                   and n.args[1].value.denominator == 1}  # fmt: skip
        if not squares:
            break
        marked = expand(ex.substitute(marked, squares))
    if any(place.free for place in places):
        return _independent_switches(marked, marks)
    ordered = sorted(marks, key=lambda at: float(_value(at)))
    state: dict[Expr, ex.ExprLike] = {marks[at]: ex.MINUS for at in ordered}
    before = form = expand(ex.substitute(marked, state))
    out = []
    for at in ordered:
        state[marks[at]] = ex.ONE
        after = expand(ex.substitute(marked, state))
        out.append(Drive(at, tidy(after - form)))
        form = after
    return before, [d for d in out if d.g is not ex.ZERO]


def _value(e: Expr) -> float:
    """A real constant as a float."""
    from sciml.symbolic.expr.evaluate import Program

    return float(Program(e).complex({})[0].real)


def _independent_switches(marked: Expr, marks: dict[Expr, Expr]) -> tuple[Expr, list[Drive]] | None:
    """Switches at symbolic places, none of which multiplies another."""
    slopes = {at: marked.diff(mark.value) for at, mark in marks.items()}
    names = {mark.value for mark in marks.values()}
    if any(names & slope.free for slope in slopes.values()):
        return None
    before = ex.substitute(marked, {mark: ex.MINUS for mark in marks.values()})
    return before, [Drive(at, 2 * slope) for at, slope in slopes.items()]


def _general(residual: Expr, c: Context, order: int) -> Expr | None:
    """The general solution of a linear equation with constant coefficients."""
    from sciml.symbolic.ode.methods import classical_proposals

    try:
        for _, solution, _ in constant_coefficient_proposals(residual, c, order):
            return solution
        for kind, solution, _ in classical_proposals(residual, c, order):
            if kind == "explicit":
                return solution
    except ERRORS:
        pass
    return None


def _response(
    left: Expr, leading: Expr, drive: Drive, c: Context, order: int
) -> Expr | None:  # fmt: skip
    """The w of the switch or the impulse."""
    general = _general(left - drive.g, c, order)
    if general is None:
        return None
    at = {ex.symbol(c.x): drive.at}
    wanted = [ex.ZERO] * (order - 1) + [drive.impulse / leading]
    w = _fitted(general, [(k, at, b) for k, b in enumerate(wanted)], c.x, order)
    return w


def _fitted(
    general: Expr, conditions: Sequence[tuple[int, dict, Expr]], x: str, order: int
) -> Expr | None:
    """The member of the family that satisfies the conditions, which are tested on it."""
    import sympy as sp

    slopes = [general]
    for _ in range(max((k for k, _, _ in conditions), default=0)):
        slopes.append(slopes[-1].diff(x))
    constants = [sp.Symbol(f"c{k}") for k in range(1, order + 1)]
    equations = [sp.simplify(to_sympy(ex.substitute(slopes[k], at) - b))
                 for k, at, b in conditions]  # fmt: skip
    solutions = sp.solve(equations, constants, dict=True)
    if not solutions:
        return None
    values: dict[Expr, ex.ExprLike] = {
        ex.symbol(s.name): from_sympy(sp.simplify(v)) for s, v in solutions[0].items()
    }
    out = ex.substitute(general, values)
    short = from_sympy(sp.simplify(to_sympy(out)))
    out = min((out, short), key=ex.size)
    slope = out
    for k, at, b in sorted(conditions, key=lambda row: row[0]):
        slope = out
        for _ in range(k):
            slope = slope.diff(x)
        if not numerically_equal(ex.substitute(slope, at), b):
            return None
    return out


def _with_conditions(
    general: Expr, driven: list[tuple[Expr, Expr]], job: DsolveJob, order: int
) -> Expr | None:
    """The general solution with the constants that the conditions fix. What acts at the point of a
    condition itself has not yet set in.

    Raises:
        InputError: where a symbol decides whether a switch comes before or after a condition.
    """
    shifted = []
    for k, a, b in job.conditions:
        at = {ex.symbol(job.variable): a}
        for place, w in driven:
            gap = tidy(a - place)
            if gap.free:
                positive = _is_before(gap)
                if positive is None:
                    raise InputError(f"is {job.variable} = {a} before or after {place}?",
                                     hint="Give the switch as a number.")  # fmt: skip
                acts = positive
            else:
                acts = gap is not ex.ZERO and _value(gap) > 0
            if acts:
                slope = w
                for _ in range(k):
                    slope = slope.diff(job.variable)
                b = b - ex.substitute(slope, at)
        shifted.append((k, at, b))
    return _fitted(general, shifted, job.variable, order)


def _is_before(gap: Expr) -> bool | None:
    """The sign of a - place for positive symbols: False for -a, None where it is not clear."""
    terms = gap.args if gap.op == "add" else (gap,)
    signs = {ex.split_coefficient(t)[0] > 0 for t in terms}
    return signs.pop() if len(signs) == 1 else None
