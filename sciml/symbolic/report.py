"""The report of `sciml run symbolic_math`: who solved what, how fast, and what the network adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.report import Page, literal
from sciml.symbolic import dsolve, integrate
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import latex
from sciml.symbolic.generate.problem_files import UNKNOWN
from sciml.symbolic.neural.pairs import task_of

MAX_SHOWN = 100
"""Characters of a problem that the tables show."""
_MAX_FORMULA = 400


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
    page = Page(
        "Symbolic mathematics",
        lead=f"{best['solver']} solved {best['all']} of {best['of']} unseen problems; every "
        "answer was proved, or agrees in ball arithmetic at every point tried.",
    )
    if start:
        page.text(f"Started from: {literal(start)}.")
    page.heading("What each solver solved")
    page.table(table, caption=f"The same problems, {timeout:g} s each. As written: without solving "
               "for the coefficients of what the network wrote.")  # fmt: skip
    if any(row["solver"].startswith("neural from scratch") for row in table):
        page.text(
            "From scratch: the same network with random weights, the same steps of every stage. "
            "One training each: a difference of a few problems shows nothing."
        )
    page.heading("What the network adds to the rules")
    page.table(measured["added"], caption="Problems that the rules left open.")
    if self_trained:
        page.text("Self-training added {} verified answers to {} problems without answers."
                  .format(*self_trained))  # fmt: skip
    page.figure(
        _curves(losses, measured["curve"]), "Left: losses. Right: problems solved within a time."
    )
    page.heading("Gallery")
    # The table cuts long problems off: those are shown there alone.
    solved = [(row["set"], row["problem"]) for row in measured["gallery"]
              if row["hybrid"] == "yes" and len(row["problem"]) < MAX_SHOWN]  # fmt: skip
    page.figure(
        _formulas(solved[:8], timeout),
        "Some that were solved. Sampled: agrees at every point tried, not proved.",
    )
    page.table(measured["gallery"], caption="The first problems of each set and who solved them.")
    page.heading("Again")
    page.command(f"sciml run symbolic_math --config {settings_file(out)} --out {out}-again")
    page.command("sciml symbolic integrate 'x*exp(x)'")
    page.write(out / "report.html")


def _curves(losses: Mapping[str, Sequence[float]], times: Mapping[str, Sequence[float]]) -> Any:
    """Training losses, and the number of problems solved within a time, by solver."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2))
    left, right = figure.subplots(1, 2)
    for stage, values in losses.items():
        left.plot(values, label=stage)
    left.set(xlabel="logged step", ylabel="cross-entropy [nats per token]")
    if losses:
        left.legend(fontsize=7)
    for solver, seconds in times.items():
        if seconds:
            right.step(seconds, np.arange(1, len(seconds) + 1), where="post", label=solver)
    right.set(xscale="log", xlabel="time per problem [s]", ylabel="problems solved")
    if any(times.values()):
        right.legend(fontsize=7)
    figure.tight_layout()
    return figure


def _formulas(problems: Sequence[tuple[str, str]], timeout: float) -> Any:
    """A figure of problems (set, text) and their solutions, typeset as mathematics."""
    from matplotlib.figure import Figure
    from matplotlib.mathtext import MathTextParser

    lines = []
    for kind, text in problems:
        if task_of(kind) == "integrate":
            result = integrate(text, "x", timeout=timeout)
            line = rf"$\int {latex(parse(text))}\,dx = {result.latex()}$"
        else:
            result = dsolve(text, timeout=timeout)
            line = rf"${latex(parse(text, unknown=UNKNOWN))} = 0:\quad {result.latex()}$"
        try:
            MathTextParser("path").parse(line)
        except ValueError:  # a command that matplotlib cannot typeset
            line = f"{text}  ->  {result.expr}"
        if result.expression is None:
            line = f"{text}: no answer within {timeout:g} s this time"
        elif result.status == "sampled":
            line += "  (sampled)"
        lines.append(line[:_MAX_FORMULA])
    rows = max(1, len(lines))
    figure = Figure(figsize=(9, 0.5 * rows))
    for i, line in enumerate(lines):
        figure.text(0.01, 1 - (i + 0.7) / rows, line, fontsize=11)
    return figure
