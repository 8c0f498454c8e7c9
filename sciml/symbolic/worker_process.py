"""The worker process itself: reads jobs from standard input, solves them, writes JSON messages.

Started by `worker.Worker` as ``python -m sciml.symbolic.worker_process``. A job may send interim
messages, so that the best answer so far survives the process when it has to be killed; the last
message of a job is marked `final`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.jobs import (
    DefiniteJob,
    DsolveJob,
    IntegrateJob,
    Job,
    MultipleJob,
    OperationJob,
    PartialJob,
    StepsJob,
    SymPyIntegrateJob,
    SystemJob,
    VerifyJob,
    from_json,
)
from sciml.symbolic.verification.checking import check, prove
from sciml.symbolic.verification.result import Check

if TYPE_CHECKING:
    from sciml.symbolic.integration.search import Antiderivative

MEMORY = 1_900_000_000
"""Bytes of data that the process may hold."""
_SHORT, _MAX_FORMS = 12, 4
"""An answer with this many nodes more than its integrand is shortened; of how many forms."""
Send = Callable[[dict[str, Any]], None]
_WITH_SYMPY = DefiniteJob, MultipleJob, DsolveJob, SystemJob, PartialJob, OperationJob, StepsJob


def main() -> None:
    """Solve the jobs on standard input until it closes."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    sys.setrecursionlimit(6000)
    _limit_memory()

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")

    send({"ready": True})
    for line in sys.stdin:
        try:
            job = from_json(json.loads(line))
            if isinstance(job, _WITH_SYMPY) or isinstance(job, IntegrateJob) and job.series:
                _load_sympy(send)
            answer = run(job, send)
        except MemoryError:
            answer = {"status": "timeout", "how": "out of memory"}
        except (InputError, RecursionError, ArithmeticError, ValueError) as error:
            answer = {"status": "no_answer", "how": f"{type(error).__name__}: {error}"[:300]}
        except Exception as error:  # a mistake of ours: said, and the process lives on
            answer = {"status": "error", "how": f"{type(error).__name__}: {error}"[:300]}
        send({**answer, "final": True})


def _load_sympy(send: Send) -> None:
    """Load SymPy; the time that it takes is not that of the problem."""
    if "sympy" not in sys.modules:
        send({"loading": True})
        import sympy  # noqa: F401

        send({"loading": False})


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def run(job: Job, send: Send) -> dict[str, Any]:
    """Solve one job.

    Args:
        job: the problem.
        send: passes on interim messages.

    Returns:
        The final message: ``status`` and, where there is one, ``answer`` (see `expr.wire`).
    """
    if isinstance(job, IntegrateJob) and job.series:
        from sciml.symbolic.operations.summed_integrands import summed_job

        return summed_job(job, lambda inner: run(inner, lambda message: None))
    if isinstance(job, (DefiniteJob, MultipleJob)):
        from sciml.symbolic.definite.integral import definite_job
        from sciml.symbolic.definite.multiple import multiple_job

        # The search may be interrupted, but not while torch loads: with rules, no network.
        model = None if job.rules else job.model
        if model is not None:
            import torch  # noqa: F401

        def in_variable(name: str) -> Callable[[Expr, float], dict[str, Any]]:
            def antiderivative(g: Expr, seconds: float) -> dict[str, Any]:
                inner = IntegrateJob(g, name, seconds, model, job.rules, job.beam)
                return _integrate(inner, lambda message: None)

            return antiderivative

        if isinstance(job, MultipleJob):
            return multiple_job(job, in_variable)
        return definite_job(job, in_variable(job.variable))
    if isinstance(job, DsolveJob):
        from sciml.symbolic.ode.solver import solve_job

        return solve_job(job, send)
    if isinstance(job, SystemJob):
        from sciml.symbolic.ode.systems import solve_system

        return solve_system(job)
    if isinstance(job, PartialJob):
        from sciml.symbolic.ode.partial import solve_partial

        return solve_partial(job)
    if isinstance(job, IntegrateJob):
        return _integrate(job, send)
    if isinstance(job, OperationJob):
        from sciml.symbolic.operations.running import operation_job

        return operation_job(job)
    if isinstance(job, StepsJob):
        from sciml.symbolic.integration.steps import steps_job

        return steps_job(job)
    if isinstance(job, VerifyJob):
        return _verify(job, send)
    if isinstance(job, SymPyIntegrateJob):
        return _integrate_with_sympy(job)
    raise TypeError(f"no job: {job!r}")


def _verify(job: VerifyJob, send: Send) -> dict[str, Any]:
    f, x = job.f, job.variable
    checked = check(f, job.answer, x, seed=job.seed)
    if checked.agrees:
        send(_as_message(checked))  # where the time runs out over the proof
    return _as_message(prove(checked, f, job.answer, x, 0.7 * job.timeout))


def _as_message(c: Check) -> dict[str, Any]:
    return {"status": c.status, "how": c.how, "holds": c.holds, "points": c.points,
            "continuous": c.continuous, "note": c.note, "refuted": c.refuted}  # fmt: skip


def _integrate(job: IntegrateJob, send: Send) -> dict[str, Any]:
    """Search, check, prove; the search goes on without a candidate that the proof refutes."""
    from sciml.symbolic.integration.floors import has_steps
    from sciml.symbolic.integration.large_powers import has_large_powers, integrate_large_powers
    from sciml.symbolic.integration.search import Search

    f, x = job.f, job.variable
    started = now()

    def propose(g: Expr, name: str) -> Iterator[tuple[Expr, str]]:
        # torch is loaded only where the rules failed
        from sciml.symbolic.neural.candidates import antiderivatives

        yield from antiderivatives(str(job.model), beam=job.beam)(g, name)

    def message(candidate: Antiderivative, checked: Check) -> dict[str, Any]:
        return {
            "answer": dump(candidate.answer),
            "method": candidate.method,
            **_as_message(checked),
        }

    if job.rules and has_large_powers(f, x):
        answer = integrate_large_powers(f, x)
        if answer is not None:
            return {"answer": dump(answer), "method": "large powers", "status": "verified",
                    "how": "symbolic", "holds": "everywhere it is defined"}  # fmt: skip
    steps = has_steps(f, x) if job.rules else ""
    if steps == "floor" and (stepwise := _integrate_steps(job)) is not None:
        return stepwise
    search = Search(
        started + (0.6 if steps else 1.0) * job.timeout,
        propose if job.model else None,
        use_rules=job.rules,
    )
    while (candidate := search.integrate(f, x)) is not None:
        send(message(candidate, candidate.check))
        checked = prove(candidate.check, f, candidate.answer, x, max(0.3, search.time_left()))
        if checked.agrees:
            send(message(candidate, checked))
            left = min(3.0, 0.5 * (started + job.timeout - now()))
            candidate, checked = _shortest(candidate, checked, f, x, left)
            if steps and not checked.continuous and (stepwise := _integrate_steps(job)) is not None:
                if stepwise["continuous"] and stepwise["status"] == checked.status:
                    return stepwise
            if checked.continuous is False or (not checked.continuous and _holds_signs(f, x)):
                send(message(candidate, checked))
                candidate, checked = _made_continuous(candidate, checked, f, x)
            return message(candidate, checked)
        send({"status": "no_answer"})
        search.refuse(replace(candidate, check=checked))
        if search.time_left() < 0:
            break
    left = started + job.timeout - now()
    if left > 0.3 and (steps or _holds_signs(f, x)):
        stepwise = _integrate_steps(replace(job, timeout=left))
        if stepwise is not None:
            return stepwise
    late = now() - started >= 0.95 * job.timeout
    status = {"status": "timeout" if late else "no_answer"}
    best = search.best
    if best is None:
        return status
    return {"candidate": dump(best.answer), "method": best.method, **_as_message(best.check),
            **status}  # fmt: skip


def _holds_signs(f: Expr, x: str) -> bool:
    return any(n.op in ("abs", "sign") and x in n.free for n in ex.subtrees(f))


def _integrate_steps(job: IntegrateJob) -> dict[str, Any] | None:
    """The message with an antiderivative that is continuous across the steps of floor; None: no
    rule for these steps."""
    from sciml.symbolic.definite.continuous import without_located_jumps
    from sciml.symbolic.integration.floors import (
        has_steps,
        integrate_between_signs,
        integrate_between_steps,
    )

    f, x, started = job.f, job.variable, now()

    def inner(g: Expr) -> tuple[Expr, bool] | None:
        plain = replace(job, f=g, timeout=0.6 * job.timeout)
        message = _integrate(plain, lambda message: None)
        if not message.get("answer"):
            return None
        return load(message["answer"]), message["status"] == "verified"

    rule = integrate_between_steps if has_steps(f, x) else integrate_between_signs
    found = rule(f, x, inner)
    if found is None:
        return None
    left = max(0.3, job.timeout - (now() - started))
    checked = prove(check(f, found.answer, x), f, found.answer, x, left)
    if not checked.agrees:
        return None
    if found.proved:
        checked = replace(checked, status="verified", how="symbolic, between the steps")
    answer, continuous = found.answer, found.continuous or checked.continuous
    if not continuous and (located := without_located_jumps(answer, x, now() + 3.0)) is not None:
        answer, everywhere = located
        checked, continuous = replace(checked, note=""), everywhere or None
    return {"answer": dump(answer), "method": "between the steps",
            **_as_message(replace(checked, continuous=continuous))}  # fmt: skip


def _shortest(
    candidate: Antiderivative, checked: Check, f: Expr, x: str, seconds: float
) -> tuple[Antiderivative, Check]:
    """The shortest form of an answer that is long, as certain and as continuous as the answer.
    Where f holds signs, the form decides whether jumps can be taken out later, and stays."""
    is_short = ex.size(candidate.answer) <= ex.size(f) + _SHORT
    if is_short or seconds < 0.05 or _holds_signs(f, x):
        return candidate, checked
    from sciml.symbolic.integration.shortening import shorter

    started = now()
    for form in shorter(candidate.answer, f, x, seconds / 2)[:_MAX_FORMS]:
        left = seconds - (now() - started)
        if left <= 0:
            break
        again = check(f, form, x, seed=f.key)
        again = prove(again, f, form, x, left) if again.agrees else again
        certain = again.status in (checked.status, "verified") and again.agrees
        if certain and (again.continuous == checked.continuous or again.continuous):
            return replace(candidate, answer=form, check=again), again
    return candidate, checked


def _made_continuous(
    candidate: Antiderivative, checked: Check, f: Expr, x: str
) -> tuple[Antiderivative, Check]:
    """The antiderivative without its jumps, where that is easy and no less certain; else as it
    is."""
    from sciml.symbolic.definite.continuous import without_located_jumps
    from sciml.symbolic.verification.jumps import without_jumps

    def changed(answer: Expr) -> Antiderivative:
        return replace(candidate, answer=answer, method=candidate.method + ", made continuous")

    located = without_located_jumps(candidate.answer, x, now() + 3.0)
    if located is not None and located[1]:
        # steps have the derivative 0: what is proved of F' = f stays proved
        return changed(located[0]), replace(checked, continuous=True, note="")
    smooth = without_jumps(candidate.answer, x)
    if smooth is not None:
        again = prove(check(f, smooth, x), f, smooth, x, 2.0)
        if again.status == checked.status and again.continuous is not False:
            return changed(smooth), again
    if located is not None:
        return changed(located[0]), replace(checked, continuous=None, note="")
    return candidate, checked


def _integrate_with_sympy(job: SymPyIntegrateJob) -> dict[str, Any]:
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    f, x = job.f, job.variable
    integral = sp.integrate(to_sympy(f), sp.Symbol(x))
    if integral.has(sp.Integral):
        return {"status": "no_answer"}
    try:
        answer = from_sympy(integral)
    except InputError as error:
        return {"status": "unverified", "how": str(error)}
    checked = check(f, answer, x, symbolic=True)
    return {"answer": dump(answer), "method": "SymPy", **_as_message(checked)}


if __name__ == "__main__":
    main()
