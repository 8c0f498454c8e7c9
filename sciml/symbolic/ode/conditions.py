"""Initial and boundary values: the constants of a general solution that satisfy them.

The conditions are solved for the constants by SymPy. What comes of it is put into the equation and
into every condition again; a solution that fails one of these is no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.printing import from_sympy, to_sympy
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.checking import check_explicit
from sciml.symbolic.ode.methods import order_of
from sciml.symbolic.ode.tools import numerically_equal
from sciml.symbolic.verification.result import PROOFS

Condition = tuple[int, Expr, Expr]
"""(k, a, b): the k-th derivative has the value b at a."""
_ERRORS = (InputError, ArithmeticError, ValueError, TypeError, NotImplementedError,
           AttributeError, RecursionError, ex.Undefined, ex.TooLarge)  # fmt: skip


def with_conditions(message: dict[str, Any], job: DsolveJob, end: float) -> dict[str, Any]:
    """The message with the solution that satisfies the conditions of the job, or with no answer."""
    if message.get("status") not in PROOFS:
        return message
    order = order_of(job.f, job.function)
    families = [message, *message.get("others", ()), *message.get("singular", ())]
    out: list[dict[str, Any]] = []
    for family in families:
        if family["kind"] != "explicit":
            continue
        try:
            with at_most(max(0.2, 0.7 * (end - now()))):
                found = list(_particular(load(family["answer"]), job, order))
        except (TimeUp, *_ERRORS):
            continue
        for answer, check in found:
            if all(load(o["answer"]) is not answer for o in out):
                out.append({"answer": dump(answer), "kind": "explicit", "status": check.status,
                            "method": family.get("method", "") + ", conditions",
                            "how": check.how, "holds": check.holds})  # fmt: skip
    if not out:
        how = "no constants were found with which the solution satisfies the conditions"
        return {"status": "no_answer", "how": how}
    return {**out[0], "others": out[1:], "singular": [], "note": message.get("note", "")}


def _particular(general: Expr, job: DsolveJob, order: int) -> Iterator[tuple[Expr, Any]]:
    """The members of a family that satisfy the conditions, with their check in the equation."""
    import sympy as sp

    x = job.variable
    derivatives = [general]
    for _ in range(max(k for k, _, _ in job.conditions)):
        derivatives.append(derivatives[-1].diff(x))
    constants = [sp.Symbol(f"c{k}") for k in range(1, order + 1)]
    unknown = [c for c in constants if c.name in general.free]
    equations = [
        to_sympy(derivatives[k]).subs(sp.Symbol(x), to_sympy(a)) - to_sympy(b)
        for k, a, b in job.conditions
    ]
    equations = [e for e in map(sp.simplify, equations) if e != 0]
    if any(e.has(sp.nan, sp.zoo, sp.oo) for e in equations):
        return
    solutions = sp.solve(equations, unknown, dict=True) if equations else [{}]
    for solution in solutions[:4]:
        values = {ex.symbol(c.name): from_sympy(sp.simplify(v)) for c, v in solution.items()}
        answer = ex.substitute(general, values)
        answer = min((answer, _shortened(answer)), key=ex.size)
        if not all(_holds(answer, x, condition) for condition in job.conditions):
            continue
        check = check_explicit(job.f, answer, x, job.function, order, general=False)
        if check.agrees and all(_solves_near(job, answer, order, a) for _, a, _ in job.conditions):
            yield answer, check


def _solves_near(job: DsolveJob, answer: Expr, order: int, a: Expr) -> bool:
    """Whether the answer solves the equation on one side of a, or on both."""
    x, names = job.variable, {ex.symbol(job.function): answer}
    slope = answer
    for k in range(1, order + 1):
        slope = slope.diff(x)
        names[ex.symbol(job.function + "'" * k)] = slope
    terms = job.f.args if job.f.op == "add" else (job.f,)
    placed = [ex.substitute(t, names) for t in terms]
    for side in (1, -1):
        near = {ex.symbol(x): a + ex.number(Fraction(side, 997))}
        parts = [ex.substitute(t, near) for t in placed]
        symbols = sorted(frozenset().union(*(t.free for t in parts)))
        point = {name: 0.7 + 0.31 * i for i, name in enumerate(symbols)}
        values = [complex(v) for v in Program(*parts).complex(point)]
        size = sum(abs(v) for v in values)
        if abs(sum(values)) <= 1e-6 * size:  # False for nan
            return True
    return False


def _shortened(e: Expr) -> Expr:
    import sympy as sp

    try:
        return from_sympy(sp.simplify(to_sympy(e)))
    except _ERRORS:
        return e


def _holds(answer: Expr, x: str, condition: Condition) -> bool:
    """Whether the answer satisfies a condition, for all values of its symbols."""
    k, a, b = condition
    value = answer
    for _ in range(k):
        value = value.diff(x)
    try:
        return numerically_equal(ex.substitute(value, {ex.symbol(x): a}), b)
    except (ex.Undefined, ex.TooLarge):
        return False
