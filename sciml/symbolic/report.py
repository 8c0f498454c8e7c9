"""The report of `sciml run symbolic_math`: who solved what, how fast, and what the network adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.report import Card, Estimate, Formula, Page, literal
from sciml.report import plots as shared_plots
from sciml.symbolic import dsolve, integrate
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import latex
from sciml.symbolic.generate.problem_files import UNKNOWN
from sciml.symbolic.neural.pairs import task_of
from sciml.symbolic.verification.result import Result

MAX_SHOWN = 100
"""Characters of a problem that the tables show."""
MAX_FORMULAS = 12
"""Problems of the gallery that are typeset with their answers."""
STATUS = {"verified": "proved", "sampled": "sampled"}


def write_report(
    out: Path, measured: Mapping[str, Any], losses: Mapping[str, Sequence[float]], *,
    start: str = "", self_trained: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Write report.html.

    Args:
        out: the run's folder.
        measured: what the recipe's `measure` gives.
        losses: logged training losses by stage [nats per token].
        start: what the network started from; empty for random weights.
        self_trained: verified answers that self-training added, of how many problems.
    """
    table, timeout = measured["table"], measured["timeout"]
    best = max(table, key=lambda row: row["all"])
    counts = dict(zip(
        (key for key in best if key in {row["set"] for row in measured["added"]}),
        map(int, best["of"].split(" + ")), strict=True,
    ))  # fmt: skip
    total = sum(counts.values())
    page = Page(
        "Symbolic mathematics",
        lead=f"{best['solver']} solved {best['all']} of {total} problems that training has not "
        "seen; every answer was proved, or agrees in ball arithmetic at every point tried.",
        run=out,
    )
    page.card(_card(table, total, timeout))
    if start:
        page.text(f"Started from: {literal(start)}.")
    page.heading("Problems solved by each method")
    page.table(
        [
            {"method": row["solver"]}
            | {f"{kind} (of {n})": row[kind] for kind, n in counts.items()}
            | {f"all (of {total})": row["all"], "of these proved": row["of these proved"],
               "as written": row["as written"], "median time [s]": row["median seconds"]}
            for row in table
        ],
        f"Problems solved within {timeout:g} s each. As written: without solving for the "
        "coefficients of what the network wrote.",
        file="results.json",
    )  # fmt: skip
    if any(row["solver"].startswith("neural from scratch") for row in table):
        page.text(
            "From scratch: the same network with random weights, the same steps of every stage. "
            "One training each: a difference of a few problems shows nothing."
        )
    page.heading("What the network adds to the rules")
    page.table(measured["added"], "Problems that the rules left open, and how many of them the "
               "network solves.", file="results.json")  # fmt: skip
    if self_trained:
        page.text("Self-training added {} verified answers to {} problems without answers."
                  .format(*self_trained))  # fmt: skip
    if losses:
        page.figure(_losses(losses), "Training loss of each stage.")
    if any(measured["curve"].values()):
        page.figure(_times(measured["curve"]), "Problems solved within a time per problem.",
                    file="results.json")  # fmt: skip
    page.heading("Problems and answers")
    # The table cuts long problems off: those are shown there alone.
    short = [(row["set"], row["problem"]) for row in measured["gallery"]
             if len(row["problem"]) < MAX_SHOWN]  # fmt: skip
    page.text("The first problems of each set, solved again for this page by the rules. Proved: "
              "by an exact or rigorous computation. Sampled: the answer agrees at every point "
              "tried, which is no proof.")  # fmt: skip
    page.formulas(_formulas(_from_each(short), timeout))
    page.table(measured["gallery"], "The first problems of each set, and which methods solved "
               "them.", file="results.json")  # fmt: skip
    page.heading("How to repeat this")
    page.command(f"sciml run symbolic_math --config {settings_file(out)} --out {out}-again")
    page.command("sciml symbolic integrate 'x*exp(x)'")
    page.write(out / "report.html")


def _card(table: Sequence[Mapping[str, Any]], total: int, timeout: float) -> Card:
    """The hybrid method beside its parts and other systems."""
    ours = max(table, key=lambda row: (row["solver"] == "hybrid", row["all"]))
    others = sorted((row for row in table if row is not ours), key=lambda row: -row["all"])
    ahead = [row["solver"] for row in others if row["all"] > ours["all"]]
    return Card(
        "What is the antiderivative, or the solution of the equation?",
        f"**{literal(ours['solver'])}** solves {ours['all']} of {total} problems, "
        f"{ours['of these proved']} of them with a proof"
        + (f"; {literal(ahead[0])} solves more." if ahead else "; no method tried solves more."),
        f"Problems solved within {timeout:g} s, with the 95 % interval of the share.",
        tuple((r["solver"], Estimate.of_counts(r["all"], total)) for r in (ours, *others[:4])),
        "results.json", "Symbolic mathematics",
    )  # fmt: skip


def _losses(losses: Mapping[str, Sequence[float]]) -> Any:
    figure, axis = shared_plots.axes()
    for stage, values in losses.items():
        axis.plot(values, label=stage)
    axis.set(xlabel="logged step", ylabel="cross-entropy [nats per token]")
    axis.legend(frameon=False)
    return figure


def _times(times: Mapping[str, Sequence[float]]) -> Any:
    """The number of problems solved within a time, by method."""
    figure, axis = shared_plots.axes()
    for solver, seconds in times.items():
        if seconds:
            axis.step(seconds, np.arange(1, len(seconds) + 1), where="post", label=solver)
    axis.set(xscale="log", xlabel="time per problem [s]", ylabel="problems solved")
    axis.legend(frameon=False)
    return figure


def _from_each(problems: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first problems of each set in turn."""
    by_set: dict[str, list[tuple[str, str]]] = {}
    for kind, text in problems:
        by_set.setdefault(kind, []).append((kind, text))
    mixed = [row for turn in zip_longest(*by_set.values()) for row in turn if row is not None]
    return mixed[:MAX_FORMULAS]


def _formulas(problems: Sequence[tuple[str, str]], timeout: float) -> list[Formula]:
    """Problems (set, text) with their solutions, how they were found and what proves them."""
    formulas = []
    for kind, text in problems:
        result: Result
        if task_of(kind) == "integrate":
            result = integrate(text, "x", timeout=timeout)
            asked, plain = rf"\int {latex(parse(text))}\,dx", f"integral of {text}"
            joint = " = "
        else:
            result = solution = dsolve(text, timeout=timeout)
            asked, plain = f"{latex(parse(text, unknown=UNKNOWN))} = 0", f"{text} = 0"
            joint = r"\quad\Rightarrow\quad " + ("" if solution.implicit else "y = ")
        if result.expression is None:
            facts = f"No answer within {timeout:g} s."
            formulas.append(Formula(asked, plain, "not solved", facts))
            continue
        holds = f", {result.holds}" if result.holds else ""
        facts = f"Check: {result.how}{holds}. Method: {result.method}; {result.seconds:.2f} s."
        formulas.append(Formula(asked + joint + result.latex(), f"{plain}: {result.expr}",
                                STATUS[result.status], facts))  # fmt: skip
    return formulas
