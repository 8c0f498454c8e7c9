"""Statuses: verified means proved; refuted or unconfirmed expressions are never the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.cli import main
from sciml.symbolic import integrate, verify, worker_process
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.jobs import IntegrateJob, Job
from sciml.symbolic.neural import candidates
from sciml.symbolic.ode.api import OdeResult
from sciml.symbolic.verification.result import PROOFS, STATUSES, Result

WRONG = "sqrt(x^3+1)"


@settings(deadline=None)
@given(st.sampled_from([*STATUSES, "unverified", "refuted", "", "odd"]), st.booleans())
def test_no_other_status_has_an_answer(status: str, ode: bool) -> None:
    """However the result is built, and whatever the failure is called."""
    result: Result = (OdeResult if ode else Result)("p", parse(WRONG), status)
    assert result.status in STATUSES
    as_json = result.as_dict()
    if result.status in PROOFS:
        assert result.candidate is None and as_json["answer"] == as_json["expr"] == str(result)
        assert result.proof == {"verified": "proved", "sampled": "sampled"}[result.status]
        return
    assert result.expression is result.expr is None and result.proof == "" and not result
    assert result.candidate is parse(WRONG) and as_json["candidate"]
    assert as_json["answer"] is as_json["expr"] is None and result.latex() == ""
    for text in (str(result), result._repr_latex_()):
        assert "sqrt" not in text and text.startswith("no answer")


def test_nothing_is_never_verified() -> None:
    assert Result("p", None, "verified").status == "no_answer"


def test_sampled_says_so_in_a_notebook() -> None:
    assert "not proved" in Result("p", parse("x"), "sampled")._repr_latex_()
    assert "proved" not in Result("p", parse("x"), "verified")._repr_latex_()


class _Guessing:
    """A worker in this process whose network proposes one wrong answer."""

    def launch(self) -> None:
        pass

    def ask(self, job: Job, seconds: float) -> tuple[dict[str, Any], list[dict]]:
        return worker_process.run(job, lambda message: None), []


@pytest.fixture
def guess(monkeypatch: pytest.MonkeyPatch) -> Any:
    def antiderivatives(path: str, beam: int) -> Any:
        def propose(f: Expr, x: str) -> Iterator[tuple[Expr, str]]:
            yield parse(WRONG), "neural, hypothesis 1"

        return propose

    monkeypatch.setattr(candidates, "antiderivatives", antiderivatives)
    return _Guessing()


def test_a_wrong_guess_is_a_candidate(guess: Any) -> None:
    result = integrate("1/sqrt(x^3+2)", rules=False, worker=guess)
    assert result.status == "no_answer" and result.expr is None
    assert result.candidate is parse(WRONG) and "differs" in result.how


def test_a_wrong_guess_is_not_printed(
    guess: _Guessing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    from sciml.symbolic import worker
    from sciml.symbolic.integration import api as solve

    monkeypatch.setattr(solve, "shared", lambda: guess)
    command = ["symbolic", "integrate", "x^x*sin(x^x)", "--timeout", "1"]
    assert main(command) == 1
    out = capsys.readouterr()
    assert out.out.startswith("no answer") and "sqrt" not in out.out + out.err
    assert main([*command, "--latex"]) == 1 and "sqrt" not in capsys.readouterr().out
    assert main([*command, "--json"]) == 1
    row = json.loads(capsys.readouterr().out)
    assert row["answer"] is None and row["proof"] == "" and row["candidate"] == str(parse(WRONG))
    guess.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(worker, "Worker", lambda: guess)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"integrand": "x^x*sin(x^x)"}\n{"integrand": "2*x"}\n')
    assert main(["symbolic", "solve-file", str(source), "-o", str(target), "--timeout", "1"]) == 0
    first, second = map(json.loads, target.read_text().splitlines())
    assert first["answer"] is None and first["status"] in ("no_answer", "timeout")
    assert second["answer"] == "x**2" and second["status"] == "verified"
    assert second["proof"] == "proved"


def test_a_refuted_answer_of_the_rules_is_searched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on without an answer that the proof refutes at a point."""
    from dataclasses import replace

    seen = []

    def prove(sampled: Any, f: Expr, answer: Expr, x: str, seconds: float) -> Any:
        seen.append(answer)
        return replace(sampled, status="unverified", refuted=True) if len(seen) == 1 else sampled

    monkeypatch.setattr(worker_process, "prove", prove)
    job = IntegrateJob(parse("sin(x)*cos(x)"), timeout=20.0)
    sent: list[dict[str, Any]] = []
    last = worker_process.run(job, sent.append)
    assert {"status": "no_answer"} in sent
    assert last["status"] in PROOFS and len(seen) == 2 and seen[0] is not seen[1]


def test_verify_tells_the_tiers(
    guess: _Guessing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sciml.symbolic.integration import api as solve
    from sciml.symbolic.verification import checking, proving

    assert verify("2*x", "x^2").proof == "proved"
    assert main(["symbolic", "verify", "2*x", "x^2"]) == 0
    assert capsys.readouterr().out.startswith("verified")
    assert main(["symbolic", "verify", "sqrt(a*b)", "x*sqrt(a)*sqrt(b)", "-x", "x", "--constants",
                 "a", "b"]) == 1  # fmt: skip
    assert capsys.readouterr().out.startswith("unverified: differs")
    assert main(["symbolic", "verify", "abs(sin(x))", "0-cos(x)*sign(sin(x))"]) == 0
    assert "jumps at x = " in capsys.readouterr().out
    # Without a proof, agreement at points is reported as sampled.
    monkeypatch.setattr(proving, "prove_identity", lambda *arguments: proving.Proof())
    monkeypatch.setattr(checking, "equal_as_rational_functions", lambda f, g: False)
    monkeypatch.setattr(solve, "shared", lambda: guess)
    result = verify("sin(x)^2", "x/2-sin(2*x)/4")
    assert result.status == result.proof == "sampled" and not result.verified and not result
    assert main(["symbolic", "verify", "sin(x)^2", "x/2-sin(2*x)/4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("sampled") and "not proved" in out
    assert main(["symbolic", "integrate", "sin(x)^2", "--model", "none"]) == 0
    printed = capsys.readouterr()
    assert "sin" in printed.out and "sampled" in printed.err and "not proved" in printed.err


def test_a_seed_makes_it_repeatable() -> None:
    a, b = (verify("abs(a-9)*x", "sqrt((a-9)^2)*x^2/2", "x", constants=["a"], seed=5)
            for _ in range(2))  # fmt: skip
    assert (a.points, a.status, a.how) == (b.points, b.status, b.how) and a.verified
