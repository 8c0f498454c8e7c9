"""Integrals of functions that hold sums and products over an index.

Each sum is replaced by a closed form (`closed_sums`) that agrees with its partial sums between the
limits of integration. Where there is none, a sum that the integrand is linear in is integrated term
by term: the integral of a term is found with the index as a symbol, and these values are summed;
for an infinite sum the terms must keep their sign (Tonelli's theorem). An answer that rests on a
comparison of numbers is *sampled*, not *verified*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed
from sciml.symbolic.expr.intervals import End, compare_ends
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.jobs import DefiniteJob, IntegrateJob, MultipleJob
from sciml.symbolic.operations.closed_sums import ClosedForm, closed_form, simpler
from sciml.symbolic.operations.examples import ERRORS
from sciml.symbolic.operations.sums import sum_of

FORMS_SHARE = 0.45
"""The share of the time for closed forms of all the sums."""
_TRIED = (1, 2, 3, 7)
"""The positions of the index, from its first value, at which the sign of a term is looked at."""


def summed_job(job: IntegrateJob, solve: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Solve a job whose integrand holds sums.

    Args:
        job: the job, with the sums in `series`.
        solve: solves a job without sums.

    Returns:
        The message; its note says what the sums were replaced by.
    """
    end = now() + job.timeout
    if isinstance(job, MultipleJob):
        return {"status": "no_answer", "how": "sums are read in integrals over one variable"}
    forms: dict[Expr, ex.ExprLike] = {}
    notes: list[str] = []
    proved = True
    for k, s in enumerate(job.series):
        inner = replace(s, term=ex.substitute(s.term, forms))
        seconds = FORMS_SHARE * (end - now()) / (len(job.series) - k)
        form = closed_form(inner, job.variable, _between(job), seconds)
        if form is None:
            return _term_by_term(job, inner, forms, solve, end)
        forms[ex.symbol(s.name)] = form.value
        proved &= form.proved
        notes.append(_said(inner, form))
    f = ex.substitute(job.f, forms)
    message = solve(replace(job, f=f, series=(), timeout=max(0.1, 0.5 * (end - now()))))
    if not message.get("answer"):
        try:
            with at_most(max(0.1, 0.3 * (end - now()))):
                simple = simpler(f, job.variable)
        except (TimeUp, *ERRORS):
            simple = f
        if simple is not f:
            message = solve(replace(job, f=simple, series=(), timeout=max(0.1, end - now())))
    if message["status"] == "verified" and not proved:
        message = {**message, "status": "sampled"}
    return {**message, "note": "; ".join(filter(None, (*notes, message.get("note", ""))))}


def _between(job: IntegrateJob) -> tuple[End, End] | None:
    if not isinstance(job, DefiniteJob):
        return None
    ends = job.low, job.high
    if any(e.at is not None and e.at.free for e in ends):
        return None
    return ends if compare_ends(*ends) <= 0 else (job.high, job.low)


def _said(s: Indexed, form: ClosedForm) -> str:
    text = f"{s} = {form.value}"
    if len(text) > 160:
        text = f"a {'product' if s.product else 'sum'} over {s.index} in closed form"
    return f"{text}, {form.how}"


def _term_by_term(
    job: IntegrateJob, s: Indexed, forms: dict[Expr, ex.ExprLike],
    solve: Callable[[Any], dict[str, Any]], end: float,
) -> dict[str, Any]:  # fmt: skip
    """The sum of the integrals of the terms."""
    failed = {"status": "no_answer", "how": f"no closed form of {s} was confirmed"}
    f = ex.substitute(job.f, forms)
    place = ex.symbol(s.name)
    factor = f.diff(s.name)
    rest = ex.substitute(f, {place: ex.ZERO})
    limits = _between(job)
    if not isinstance(job, DefiniteJob) or limits is None or s.product or len(job.series) > 1:
        return failed
    if s.name in factor.free or factor is ex.ZERO or s.index in f.free:
        return failed
    s = _centred(s)
    term = factor * s.term
    if s.high.infinite and not _keeps_its_sign(term, s, job.variable, limits):
        return failed
    least = ex.ZERO if s.high.infinite else s.low.at
    one = replace(job, f=term, series=(), timeout=0.4 * (end - now()),
                  conditions=(*job.conditions, f"{s.index} > {least}"))  # fmt: skip
    message = solve(one)
    if not message.get("answer"):
        return failed
    value = sum_of(load(message["answer"]), s.index, s.low, s.high, 0.5 * (end - now()), False)
    if value.value is None:
        return failed
    total = value.value
    if rest is not ex.ZERO:
        message = solve(replace(job, f=rest, series=(), timeout=max(0.1, end - now())))
        if not message.get("answer"):
            return failed
        total = total + load(message["answer"])
    return {"answer": dump(total), "status": "sampled", "method": "term by term",
            "how": "integrated term by term; the numerical sum agrees"}  # fmt: skip


def _centred(s: Indexed) -> Indexed:
    """A finite sum with an index about 0, so that examples of it are in the middle."""
    ends = [e.at.value for e in (s.low, s.high) if e.at is not None and e.at.op == "num"]
    if len(ends) < 2:
        return s
    shift = ex.number((ends[0] + ends[1]) // 2)
    term = ex.substitute(s.term, {ex.symbol(s.index): ex.symbol(s.index) + shift})
    low, high = (End(ex.number(value) - shift) for value in ends)
    return replace(s, term=term, low=low, high=high)


def _keeps_its_sign(term: Expr, s: Indexed, x: str, limits: Sequence[End]) -> bool:
    """Whether the term has one sign at points between the limits and some values of the index."""
    from sciml.symbolic.operations.closed_sums import points_between

    assert s.low.at is not None
    signs = set()
    for point in points_between(limits):
        for k in _TRIED:
            at = {ex.symbol(s.index): s.low.at + k, ex.symbol(x): ex.number(point)}
            value = complex(evaluate(ex.substitute(term, at), {}))
            if abs(value.imag) > 1e-12 * abs(value):
                return False
            signs.add(value.real >= 0)
    return len(signs) == 1
