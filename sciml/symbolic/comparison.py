"""Solvers side by side on the same problems: this package's, SymPy, other computer algebra systems.

Every answer is verified by this package, whoever found it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sciml.symbolic import cas
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.jobs import DsolveJob, IntegrateJob, Job, VerifyJob
from sciml.symbolic.verification.result import PROOFS
from sciml.symbolic.worker import Worker


@dataclass(frozen=True)
class Attempt:
    """What a solver made of a problem.

    Attributes:
        method: how it was solved; None: no verified answer.
        proved: whether the answer was proved.
        seconds: wall-clock time, without that of a system's start.
    """

    method: str | None
    proved: bool
    seconds: float

    @property
    def solved(self) -> bool:
        return self.method is not None


def attempts(
    solver: Job | str, problems: Sequence[Expr], worker: Worker, timeout: float, *,
    equations: bool = False,
) -> list[Attempt]:  # fmt: skip
    """A solver on each problem.

    Args:
        solver: a job, whose `f` is replaced by each problem, or the name of a system (`cas`).
        problems: integrands in x, or residuals of differential equations for y.
        worker: the process to work in.
        timeout: seconds per problem.
        equations: whether the problems are differential equations.
    """
    if isinstance(solver, str):
        return [_by_system(solver, f, worker, timeout) for f in problems]
    if equations:
        solver = _for_equations(solver)
    return [_by_worker(replace(solver, f=f, timeout=timeout), worker) for f in problems]


def _for_equations(job: Job) -> DsolveJob:
    """The same rules and network for differential equations; SymPy alone for its own job."""
    if isinstance(job, IntegrateJob):
        return DsolveJob(job.f, model=job.model, rules=job.rules, beam=job.beam, sympy=False)
    return DsolveJob(job.f, rules=False)


def _by_worker(job: Job, worker: Worker) -> Attempt:
    started = time.perf_counter()
    final, interim = worker.ask(job, job.timeout)
    message = final or (interim[-1] if interim else {})
    status = message.get("status")
    method = str(message.get("method", "")) if status in PROOFS else None
    return Attempt(method, status == "verified", time.perf_counter() - started)


def _by_system(name: str, f: Expr, worker: Worker, timeout: float) -> Attempt:
    started = time.perf_counter()
    answer = cas.SYSTEMS[name](f, timeout, timeout)
    seconds = max(time.perf_counter() - started - cas.START_UP, 1e-3)
    if answer is None or seconds > timeout:
        return Attempt(None, False, seconds)
    message, _ = worker.ask(VerifyJob(f, answer=answer), timeout)
    status = message["status"] if message else ""
    return Attempt(name if status in PROOFS else None, status == "verified", seconds)
