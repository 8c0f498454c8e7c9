"""Solvers side by side: each job and system on integrals and equations, with verified answers."""

from __future__ import annotations

import pytest

from sciml.symbolic import cas
from sciml.symbolic.comparison import attempts
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.jobs import IntegrateJob, SymPyIntegrateJob
from sciml.symbolic.worker import Worker


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


def test_integrals(worker: Worker) -> None:
    problems = [parse("x*exp(x)"), parse("x^x*sin(x^x)")]
    for job in (IntegrateJob(parse("x")), SymPyIntegrateJob(parse("x"))):
        easy, hopeless = attempts(job, problems, worker, 10.0)
        assert easy.solved and easy.method and 0 < easy.seconds
        assert not hopeless.solved and not hopeless.proved


def test_equations(worker: Worker) -> None:
    residual = [parse("y' = y", unknown=Unknown("y", "x"))]
    for job, by in ((IntegrateJob(parse("x")), ""), (SymPyIntegrateJob(parse("x")), "SymPy")):
        (attempt,) = attempts(job, residual, worker, 30.0, equations=True)
        assert attempt.proved and attempt.method and by in attempt.method
        assert bool(by) == ("SymPy" in attempt.method)


def test_another_systems_wrong_answer_does_not_count(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([parse("x^2/2"), parse("x^2"), None])
    monkeypatch.setitem(cas.SYSTEMS, "Maxima", lambda f, cpu_seconds, timeout: next(answers))
    right, wrong, none = attempts("Maxima", [parse("x")] * 3, worker, 20.0)
    assert right.solved and right.proved and right.method == "Maxima"
    assert not wrong.solved and not wrong.proved and not none.solved
