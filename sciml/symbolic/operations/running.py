"""Runs the job of an operation in the worker process."""

from __future__ import annotations

from typing import Any

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.jobs import OperationJob
from sciml.symbolic.operations.equations import roots_of
from sciml.symbolic.operations.limits import limit_of
from sciml.symbolic.operations.series import series_of
from sciml.symbolic.operations.sums import sum_of
from sciml.symbolic.operations.transforms import inverse_of, transform_of


def operation_job(job: OperationJob) -> dict[str, Any]:
    """The message with the answer of the job."""
    try:
        with at_most(job.timeout):
            return _run(job)
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}


def _run(job: OperationJob) -> dict[str, Any]:
    f, x, seconds = job.f, job.variable, job.timeout
    if job.operation == "solve":
        found = roots_of(f, x, seconds)
        if not found.roots:
            return {"status": "no_answer", "how": "no root was found and confirmed"}
        return {"status": "sampled", "answers": [dump(root) for root in found.roots],
                "answer": dump(found.roots[0]), "how": "each root was put into the equation",
                "note": found.note, "method": "SymPy"}  # fmt: skip
    if job.operation == "limit":
        outcome = limit_of(f, x, job.ends[0], job.number, seconds)
    elif job.operation == "series":
        outcome = series_of(f, x, job.ends[0].at or ex.ZERO, job.number, seconds)
    elif job.operation in ("summation", "product"):
        low, high = job.ends
        outcome = sum_of(f, x, low, high, seconds, job.operation == "product")
    elif job.operation in ("inverse_laplace", "inverse_fourier"):
        outcome = inverse_of(f, x, job.name, seconds, job.operation == "inverse_fourier")
    else:
        outcome = transform_of(f, x, job.name, seconds, job.operation == "fourier")
    return outcome.message()
