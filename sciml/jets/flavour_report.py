"""report.html of `sciml run flavour_tagging`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.jets import plots
from sciml.jets.data.flavours import FlavourSample
from sciml.jets.learning.flavour_metrics import HEAVY, b_discriminant
from sciml.report import Page, literal
from sciml.report import plots as shared_plots

CLASS_COLUMNS = ("accuracy", "cross_entropy", "auc_b_light", "auc_b_c", "rejection_light_70",
                 "rejection_light_77", "rejection_c_70", "rejection_c_77")  # fmt: skip
TRACK_COLUMNS = ("origin_accuracy", "origin_majority", "origin_balanced_accuracy",
                 "vertex_efficiency", "vertex_efficiency_b", "vertex_rate_light")  # fmt: skip


def flavour_report(
    rows: list[dict[str, Any]], scores: dict[str, np.ndarray], test: FlavourSample, learned: int,
    out: Path,
) -> None:  # fmt: skip
    """Write the page.

    Args:
        rows: metrics of each run, with `method`, `labels` and `seed`.
        scores: by method, what the last run of the first seed predicts for the test jets: class
            probabilities, then quantiles of pT.
        test: the jets that all are measured on.
        learned: number of jets to learn from.
        out: the folder of the run.
    """
    seeds = len({row["seed"] for row in rows})
    page = Page(
        "Flavour tagging with several heads",
        lead=f"{learned} jets to learn from, {len(test)} of other collisions to measure on, "
        f"classes: {literal(', '.join(test.classes))}. Spread: standard deviation over {seeds} "
        "seeds (labels drawn, weights, order).",
    )
    page.text(verdict(rows))
    page.heading("Classes")
    page.table(_table(rows, CLASS_COLUMNS), "Rejection: 1 / background efficiency at 70 and 77 % "
               "efficiency for b jets; light: light quarks and gluons.")  # fmt: skip
    classes = list(test.classes)
    y = test.y.numpy()
    light = np.isin(y, [k for k, name in enumerate(classes) if name not in HEAVY])
    chosen = light | (y == classes.index("b"))
    curves = {
        method: (b_discriminant(values[chosen, : len(classes)], classes), ~light[chosen])
        for method, values in scores.items()
    }
    page.figure(plots.rejection_curves(curves, title="b against light"), "Bands: bootstrap, 68 %.")
    page.figure(
        plots.confusion(scores["all heads"][:, : len(classes)], y, classes),
        "Rows sum to one; all heads.",
    )
    several = [row for row in rows if "vertex_efficiency" in row]
    page.heading("Tracks and vertices")
    page.table(_table(several, TRACK_COLUMNS), "Majority: what guessing the most frequent origin "
               "gives. A vertex of two or more tracks is found if one predicted vertex holds 65 % "
               "of its tracks and is at least half its own.")  # fmt: skip
    page.heading("Transverse momentum")
    coverage = [key for key in several[0] if key.startswith("coverage_")]
    momenta = ("pt_bias", "pt_resolution", "measured_pt_bias", "measured_pt_resolution", *coverage)
    page.table(_table(several, momenta), "Resolution: half the central 68 % of predicted / true "
               "- 1; measured: the jet as it was clustered. Coverage: share of jets below each "
               "quantile, which should be the number in its name.")  # fmt: skip
    page.heading("Again")
    page.command(f"sciml run flavour_tagging --config {settings_file(out)} --out {out}-again")
    page.command(f"sciml jets tag FILE -o scores.parquet --model {out / 'model.safetensors'}")
    page.write(out / "report.html")


def verdict(rows: list[dict[str, Any]]) -> str:
    """What the other heads change in the class, with each number of labels, seed by seed."""
    sentences = []
    for labels in sorted({row["labels"] for row in rows}):
        of = {(r["method"], r["seed"]): r["cross_entropy"] for r in rows if r["labels"] == labels}
        for other in ("class alone", "shuffled"):
            gains = [
                of[other, seed] - value
                for (method, seed), value in of.items()
                if method == "all heads" and (other, seed) in of
            ]
            if gains:
                sentences.append(
                    f"{labels} labels: cross entropy of the class, {other} minus all heads (above "
                    f"zero where the other heads help): {shared_plots.spread(gains)}."
                )
    return " ".join(sentences)


def _table(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per method and number of labels: mean and spread over seeds."""
    table = []
    for labels, method in dict.fromkeys((row["labels"], row["method"]) for row in rows):
        runs = [r for r in rows if (r["labels"], r["method"]) == (labels, method)]
        line: dict[str, Any] = {"labels": labels, "method": method}
        for key in keys:
            values = [run[key] for run in runs if key in run]
            line[key.replace("_", " ")] = shared_plots.spread(values) if values else ""
        table.append(line)
    return table
