"""Jobs of the worker process survive JSON; `model=` means the same to integrate and dsolve."""

from __future__ import annotations

import inspect
import json
import time
from dataclasses import replace

import pytest

import sciml.symbolic
from sciml.errors import InputError
from sciml.symbolic import dsolve, integrate
from sciml.symbolic.expr import clock
from sciml.symbolic.expr.expression import PI
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.jobs import (
    DefiniteJob,
    DsolveJob,
    IntegrateJob,
    OperationJob,
    SymPyIntegrateJob,
    VerifyJob,
    from_json,
    to_json,
)
from sciml.symbolic.neural.shipped import model_path
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker
from sciml.symbolic.worker_process import run

JOBS = [
    IntegrateJob(parse("t*exp(t)"), "t", 3.0, "model.safetensors", False, 4),
    DefiniteJob(parse("exp(-x)"), low=End(PI), high=End(None, 1)),
    DsolveJob(parse("x"), function="u", sympy=False),
    DsolveJob(parse("x"), conditions=((1, parse("0"), parse("a")),)),
    OperationJob(parse("1/x"), operation="limit", ends=(End(None, -1), End(PI)), number=1),
    VerifyJob(parse("x"), answer=parse("x^2/2"), seed=7),
    SymPyIntegrateJob(parse("sin(x)/(x^2 + pi)")),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
def test_a_job_survives_json(job) -> None:
    again = from_json(json.loads(json.dumps(to_json(job))))
    assert type(again) is type(job) and again == job and again.f is job.f


def test_jobs_are_solved() -> None:
    sent: list[dict] = []
    assert run(IntegrateJob(parse("2*x")), sent.append)["status"] == "verified" and sent
    assert run(VerifyJob(parse("x"), answer=parse("x^2")), print)["status"] == "unverified"
    integral = DefiniteJob(parse("x"), low=End(parse("0")), high=End(parse("2")), timeout=30.0)
    assert run(integral, print)["status"] == "verified"
    assert run(SymPyIntegrateJob(parse("cos(x)")), print)["method"] == "SymPy"
    taylor = OperationJob(parse("exp(x)"), operation="series", ends=(End(parse("0")),), number=3)
    assert run(taylor, print)["status"] == "verified"
    with pytest.raises(TypeError):
        run("integrate", print)  # type: ignore[arg-type]


def test_an_unexpected_exception_is_reported_and_the_process_lives_on() -> None:
    worker = Worker()
    try:
        unreadable = replace(JOBS[0], f=7)  # type: ignore[arg-type]
        reply, _ = worker.ask(unreadable, 30.0)
        assert reply is not None and reply["status"] == "error" and "Error: " in reply["how"]
        after, _ = worker.ask(IntegrateJob(parse("2*x")), 30.0)
        assert after is not None and after["status"] == "verified"
    finally:
        worker.close()
    assert Result("p", None, "error").status == "error"


def test_a_block_is_interrupted_by_the_clock_of_the_limits(monkeypatch) -> None:
    with pytest.raises(clock.TimeUp), clock.at_most(0.05):
        time.sleep(5.0)
    monkeypatch.setattr(clock, "_source", time.process_time)
    with clock.at_most(0.05):
        time.sleep(0.2)  # takes no CPU time
    with pytest.raises(clock.TimeUp), clock.at_most(0.05):
        while True:
            pass


def test_model_means_the_same_everywhere() -> None:
    defaults = [inspect.signature(f).parameters["model"].default for f in (integrate, dsolve)]
    assert defaults == ["auto", "auto"]
    assert model_path("auto", "integrate") == model_path("integrate-small", "integrate")
    assert model_path("auto", "dsolve") is None  # none is shipped
    assert model_path("integrate-small", "dsolve") == model_path("auto", "integrate")
    assert model_path(None, "integrate") is model_path(None, "dsolve") is None
    for solve in (integrate, dsolve):
        with pytest.raises(InputError, match="integrate-smal"):
            solve("y' = y" if solve is dsolve else "x", model="integrate-smal")


def test_every_exported_name_is_there() -> None:
    for name in sciml.symbolic.__all__:
        assert getattr(sciml.symbolic, name).__name__ == name
        assert name in dir(sciml.symbolic)
    with pytest.raises(AttributeError, match="did you mean 'integrate'"):
        _ = getattr(sciml.symbolic, "integrat")  # noqa: B009
