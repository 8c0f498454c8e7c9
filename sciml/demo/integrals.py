"""Symbolic mathematics: verified integrals, beside SymPy with the same time limit."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.report import Card, Estimate, Formula, Page
from sciml.symbolic import Result, integrate, parse
from sciml.symbolic.comparison import attempts
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.printing import latex
from sciml.symbolic.jobs import SymPyIntegrateJob
from sciml.symbolic.neural import pairs
from sciml.symbolic.worker import Worker

CHOSEN = (
    "x*exp(x)*sin(x)", "1/(x**4 + 1)", "ln(x)/(x + 1)**2", "sqrt(1 - x**2)/x",
    "exp(-x**2)*x**2", "atan(x)/x**2", "1/(2 + cos(x))", "x/(exp(x) - 1)",
)  # fmt: skip
"""Integrands of textbooks, chosen for the picture: they count in no number."""
SEED = 1000
"""Of the generated integrands that are counted; training uses other seeds."""
SECONDS = 5.0
"""Per integral, on an idle machine; a busy one gets as much longer as it is slower."""


def make(folder: Path, tiny: bool) -> None:
    """Write report.html and answers.json."""
    problems = generated(4 if tiny else 12)
    worker, timeout, sympy_job = Worker(), SECONDS * slowness(), SymPyIntegrateJob(parse("x"))
    try:
        integrate("x", worker=worker, timeout=120)  # what is loaded first counts for nobody
        counted = [integrate(f, "x", timeout=timeout, worker=worker) for f in problems]
        attempts(sympy_job, [parse("x")], worker, 120)
        sympy = attempts(sympy_job, problems, worker, timeout)
        chosen = [
            integrate(text, timeout=2 * timeout, worker=worker)
            for text in CHOSEN[: 2 if tiny else 8]
        ]
    finally:
        worker.close()
    with atomic_write(folder / "answers.json") as part:
        rows = [
            {"integrand": r.problem, "answer": str(r.expression or ""), "status": r.status,
             "method": r.method, "seconds": r.seconds} for r in [*counted, *chosen]
        ]  # fmt: skip
        part.write_text(dumps({"timeout": timeout, "answers": rows,
                               "sympy": [a.method for a in sympy]}, indent=1))  # fmt: skip

    ours, theirs = sum(bool(r.proof) for r in counted), sum(a.solved for a in sympy)
    proved = sum(r.verified for r in counted)
    page = Page("Formulas: verified integrals", run=folder)
    page.card(Card(
        "What is the integral of a random function?",
        f"{ours} of {len(counted)} are solved, {proved} of them with a proof that the derivative "
        f"is the integrand; SymPy solves {theirs} with the same time limit.",
        f"random integrands solved within {timeout:.0f} s each, every answer verified; "
        "95 % interval",
        (("sciml", Estimate.of_counts(ours, len(counted))),
         ("SymPy", Estimate.of_counts(theirs, len(counted)))),
        page.source("answers.json", (SEED,)), "Formulas",
    ))  # fmt: skip
    page.text(
        "Rules and exact algorithms come first; where they fail, a shipped network proposes "
        "antiderivatives. Whoever finds an answer, it is shown only when its derivative is proved "
        "to be the integrand, or agrees with it at every point tried (sampled)."
    )
    page.heading("Textbook integrals", 3)
    page.formulas([_formula(parse(r.problem), r) for r in chosen], file="answers.json")
    page.heading("Random integrals", 3)
    page.formulas(
        [_formula(f, r) for f, r in zip(problems[:10], counted[:10], strict=True)],
        file="answers.json",
    )
    page.write(folder / "report.html")


def slowness(cpu_seconds: float = 0.3) -> float:
    """Wall-clock time per CPU time of a computation here and now; 1 on an idle machine."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < cpu_seconds:
        pass
    return max(1.0, (time.perf_counter() - wall) / cpu_seconds)


def generated(count: int) -> list[Expr]:
    """Derivatives of random functions, with a seed that training does not use."""
    rows = itertools.islice(pairs.rows_of("plain", SEED, ()), count)
    return [parse(problem) for _, problem, _ in rows]


def _formula(integrand: Expr, result: Result) -> Formula:
    """A row of the gallery."""
    left = rf"\int {latex(integrand)}\,dx"
    status = result.proof or "not solved"
    facts = f"{result.how}; {result.seconds:.2f} s" if result.proof else result.status
    right = f" = {result.latex()}" if result.proof else ""
    text = f"int({integrand}, x)" + (f" = {result}" if result.proof else "")
    return Formula(left + right, text, status, facts)
