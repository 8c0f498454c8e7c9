"""What a worker process does: integrate, solve a differential equation, verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.verification.checking import Check, check, prove

if TYPE_CHECKING:
    from sciml.symbolic.integration.search import Found

Send = Callable[[dict[str, Any]], None]


def run(job: dict[str, Any], send: Send) -> dict[str, Any]:
    """Do one job; `send` passes on what is known before the end."""
    if job["kind"] == "integrate":
        return _integrate(job, send)
    if job["kind"] == "definite":
        from sciml.symbolic.definite.integral import definite_job

        return definite_job(job, lambda g, seconds: _integrate(
            {**job, "f": dump(g), "timeout": seconds}, lambda _: None))  # fmt: skip
    if job["kind"] == "dsolve":
        from sciml.symbolic.ode.solver import solve_job

        return solve_job(job, send)
    if job["kind"] == "sympy":
        return _sympy(job)
    f, answer, x, seed = load(job["f"]), load(job["answer"]), job["variable"], job.get("seed")
    found = check(f, answer, x, seed=seed)
    if found.agrees:
        send(_check_dict(found))  # where the time runs out over the proof
    return _check_dict(prove(found, f, answer, x, 0.7 * job.get("timeout", 10.0)))


def _check_dict(c: Check) -> dict[str, Any]:
    return {"status": c.status, "how": c.how, "holds": c.holds, "points": c.points,
            "continuous": c.continuous, "note": c.note, "refuted": c.refuted}  # fmt: skip


def _integrate(job: dict[str, Any], send: Send) -> dict[str, Any]:
    from sciml.symbolic.integration.search import Search

    f, x = load(job["f"]), job["variable"]
    started = now()

    def propose(g: Expr, name: str) -> Iterator[tuple[Expr, str]]:
        from sciml.symbolic.neural.model import (
            proposer,  # torch is loaded only where the rules failed
        )

        yield from proposer(job["model"], beam=job.get("beam", 10))(g, name)

    search = Search(
        started + job["timeout"], propose if job.get("model") else None,
        use_rules=job.get("rules", True),
    )  # fmt: skip
    while (found := search.integrate(f, x)) is not None:
        send({"answer": dump(found.answer), "method": found.method, **_check_dict(found.check)})
        checked = prove(found.check, f, found.answer, x, max(0.3, search.left()))
        if checked.agrees:
            if checked.continuous is False:
                send({"answer": dump(found.answer), "method": found.method, **_check_dict(checked)})
                found, checked = _smoother(found, checked, f, x)
            return {"answer": dump(found.answer), "method": found.method, **_check_dict(checked)}
        send({"status": "no_answer"})
        search.refuse(replace(found, check=checked))
        if search.left() < 0:
            break
    late = now() - started >= 0.95 * job["timeout"]
    status = {"status": "timeout" if late else "no_answer"}
    best = search.best
    if best is None:
        return status
    return {"candidate": dump(best.answer), "method": best.method, **_check_dict(best.check),
            **status}  # fmt: skip


def _smoother(found: Found, checked: Check, f: Expr, x: str) -> tuple[Found, Check]:
    """The answer without its jumps where that is easy and no less sure; else as it is."""
    from sciml.symbolic.verification.jumps import without_jumps

    tried = without_jumps(found.answer, x)
    if tried is not None:
        again = prove(check(f, tried, x), f, tried, x, 2.0)
        if again.status == checked.status and again.continuous is not False:
            return replace(found, answer=tried, method=found.method + ", made continuous"), again
    return found, checked


def _sympy(job: dict[str, Any]) -> dict[str, Any]:
    """SymPy's own integrate, for comparisons."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    f, x = load(job["f"]), job["variable"]
    found = sp.integrate(to_sympy(f), sp.Symbol(x))
    if found.has(sp.Integral):
        return {"status": "no_answer"}
    try:
        answer = from_sympy(found)
    except InputError as error:
        return {"status": "unverified", "how": str(error)}
    checked = check(f, answer, x, symbolic=True)
    return {"answer": dump(answer), "method": "SymPy", **_check_dict(checked)}
