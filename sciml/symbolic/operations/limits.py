"""Limits, by leading terms or SymPy's Gruntz algorithm; the values near the point must agree."""

from __future__ import annotations

from sciml.symbolic.definite import limits as one_sided
from sciml.symbolic.definite.limits import Limit
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision
from sciml.symbolic.operations.examples import (
    ERRORS,
    conditions,
    examples,
    from_positive,
    no_answer,
    positive_symbols,
)

INFINITY = ex.symbol("oo")
"""Stands for infinity in an answer; no symbol of a problem has this name."""


def limit_of(f: Expr, x: str, at: End, side: int, seconds: float) -> Outcome:
    """The limit of f as x tends to `at`; side 1 from above, -1 from below, 0 from both."""
    names = sorted((f.free | (at.at.free if at.at is not None else frozenset())) - {x})
    sides = (-at.sign,) if at.infinite else (side,) if side else (1, -1)
    outcomes = [
        _with_symbols(f, x, at, s, names, seconds) if names else _plain(f, x, at, s, seconds)
        for s in sides
    ]
    first, last = outcomes[0], outcomes[-1]
    if first is last or first.status == "no_answer" and last.status == "no_answer":
        return first
    for known, other, s, word in ((first, last, -1, "right"), (last, first, 1, "left")):
        if known.value is not None and other.value is None and not _is_real(f, x, at, s, names):
            holds = f"from the {word}; on the other side it is not real"
            return Outcome(known.status, known.value, known.how, holds, known.method)
    if first.value is not None and last.value is not None:
        if first.value is last.value or _same(first.value, last.value):
            weaker = first if first.status == "sampled" else last
            return Outcome(weaker.status, first.value, first.how, first.holds, first.method)
        return no_answer(f"from the right it is {first.value}, from the left {last.value}")
    return first if first.value is None else last


def _plain(f: Expr, x: str, at: End, side: int, seconds: float) -> Outcome:
    found = one_sided.limit(f, x, at, side, seconds)
    if found is None:
        return no_answer("the limit was not found, or not confirmed")
    if found.oscillates:
        return no_answer("there is no limit: the values oscillate")
    value = _value(found)
    if value is None:
        return no_answer("no limit was confirmed")
    status = "verified" if found.proved else "sampled"
    return Outcome(status, value, "leading terms" if found.proved else "values near the point",
                   "", "leading terms" if found.proved else "values")  # fmt: skip


def _value(found: Limit) -> Expr | None:
    if found.value is not None:
        return found.value
    return found.infinite * INFINITY if abs(found.infinite) == 1 else None


def _with_symbols(f: Expr, x: str, at: End, side: int, names: list[str], seconds: float) -> Outcome:
    """SymPy's limit for positive symbols, compared with the limits at examples."""
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbols = positive_symbols(names)
    symbols[x] = sp.Symbol(x, real=True)
    point = sp.oo * at.sign if at.at is None else to_sympy(at.at, symbols)
    try:
        with at_most(0.4 * seconds):
            limit = sp.limit(to_sympy(f, symbols), symbols[x], point, "+" if side > 0 else "-")
            limit = min((limit, sp.simplify(limit)), key=sp.count_ops)
        value = (1 if limit == sp.oo else -1) * INFINITY if limit.is_infinite else (
            from_positive(limit))  # fmt: skip
    except (TimeUp, *ERRORS):
        return no_answer("the limit was not found")
    for example in examples(names):
        end = at if at.at is None else End(ex.substitute(at.at, example))
        there = one_sided.limit(ex.substitute(f, example), x, end, side, 0.1 * seconds)
        if there is None or (v := _value(there)) is None:
            return no_answer("the limit was not confirmed")
        if not _same(ex.substitute(value, example), v):
            return no_answer("the limit was refuted at an example")
    return Outcome("sampled", value, "confirmed at every example tried", conditions(names),
                   "SymPy")  # fmt: skip


def _same(a: Expr, b: Expr) -> bool:
    if a.free or b.free:
        return a is b
    with precision(300):
        return bool(ball(a).overlaps(ball(b)))


def _is_real(f: Expr, x: str, at: End, side: int, names: list[str]) -> bool:
    """Whether f is real on one side of the point, at some points near it."""
    if at.at is None:
        return True
    for example in examples(names):
        there = ex.substitute(at.at, example) + ex.number(side) / 1000
        value = complex(evaluate(ex.substitute(f, {**example, ex.symbol(x): there}), {}))
        if not abs(value.imag) <= 1e-9 * abs(value):
            return False
    return True
