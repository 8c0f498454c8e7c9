"""Measurements of the recipes on jets: their files and the page `report.html`.

`Comparison` collects what methods reach with the same labels, `tagging_report` and `mass_report`
write the pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.jets import metrics, plots
from sciml.jets.data.io import create
from sciml.jets.data.sample import JetSample
from sciml.jets.learning.attribution import occlusion
from sciml.jets.learning.decorrelation import invariant_mass
from sciml.jets.networks.embedder import raw_batch
from sciml.jets.tagger import JetTagger
from sciml.paths import atomic_write
from sciml.report import Card, Estimate, Page, literal
from sciml.report import plots as shared_plots


@dataclass
class Comparison:
    """Methods that learned from the same labelled jets, measured on the same test jets.

    Args:
        test: the jets that all are measured on.
        background: name of the class that others are measured against.
        seeds: of the runs; predictions of the first one are kept for the plots.
    """

    test: JetSample
    background: str
    seeds: Sequence[int]
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One row of metrics per run."""
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    """Per method, the class probabilities of the last run with the first seed."""
    histories: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)
    """Training records of every run, by method and number of labels."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """The same, with the name of the run."""

    def add(
        self, method: str, labels: int, seed: int, scores: np.ndarray,
        history: list[dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """Measure one run.

        Args:
            method: name of the method.
            labels: number of labelled jets.
            seed: of the run.
            scores: [len(test), classes] probabilities.
            history: training records.
        """
        measured = metrics.evaluate(
            scores, self.test.y, self.test.classes, background=self.background, bootstraps=100,
            weights=self.test.weights,
        )  # fmt: skip
        keys = [f"auc_{name}" for name in self.test.classes]
        areas: list[Any] = [measured[key] for key in keys if key in measured]
        row = {"method": method, "labels": labels, "seed": seed, "mean_auc": float(np.mean(areas))}
        self.rows.append(row | measured)
        if seed == self.seeds[0]:
            self.scores[method] = scores
        if history is not None:
            self.histories.setdefault(f"{method}, {labels} labels", []).append(history)
            self.records += [{"run": f"{method}-{labels}-{seed}"} | record for record in history]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(dict.fromkeys(row["method"] for row in self.rows))

    @property
    def label_counts(self) -> list[int]:
        """Numbers of labelled jets, ascending."""
        return sorted({row["labels"] for row in self.rows})

    def values(self, method: str, labels: int, key: str) -> list[float]:
        """One metric of a method with a number of labels, one value per seed."""
        runs = [r for r in self.rows if r["method"] == method and r["labels"] == labels]
        return [run[key] for run in runs if key in run]

    def write(self, out: Path) -> None:
        """metrics.jsonl (training records, then a row of metrics per run), predictions.parquet."""
        write_metrics(out, self.records, self.rows)
        columns: dict[str, Any] = {"row": self.test.rows, "label": self.test.y}
        for method, scores in self.scores.items():
            for index, name in enumerate(self.test.classes):
                column = f"{method.replace(' ', '_')}_{name}"
                columns[column] = np.ascontiguousarray(scores[:, index])
        with create(out / "predictions.parquet") as writer:
            writer.write(columns)

    def verdict(self) -> str:
        """Which method is ahead with each number of labels, and whether seeds could explain it."""
        if len(self.methods) < 2:
            return ""
        sentences = []
        for labels in self.label_counts:
            areas = {m: self.values(m, labels, "mean_auc") for m in self.methods}
            means = {method: np.mean(values) for method, values in areas.items()}
            first, second = sorted(self.methods, key=lambda m: -means[m])[:2]
            spread = max(np.std(areas[method]) for method in (first, second))
            gap = means[first] - means[second]
            note = "" if gap > spread else ", less than the spread over seeds"
            sentences.append(
                f"{labels} labels: **{first}** is ahead of {second} by {gap:.4f} in AUC{note}."
            )
            if {"pretrained", "scratch"} <= set(self.methods):
                pairs = zip(areas["pretrained"], areas["scratch"], strict=False)
                gains = [a - b for a, b in pairs]
                sentences.append(f"Pretraining against scratch: {shared_plots.spread(gains)}.")
        return " ".join(sentences)


def write_metrics(out: Path, records: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """metrics.jsonl: training records, then one row of scores per run."""
    lines = records + [{"event": "score"} | row for row in rows]
    with atomic_write(out / "metrics.jsonl") as temporary:
        temporary.write_text("".join(dumps(line, default=str) + "\n" for line in lines))


def tagging_report(
    comparison: Comparison, train: JetSample, out: Path, *, best: str, started_from: str,
    seconds: float,
) -> None:  # fmt: skip
    """report.html of `sciml run jet_tagging`: what was run, on what, and the results.

    Args:
        comparison: the measurements.
        train: the jets to learn from.
        out: the folder of the run, with model.safetensors.
        best: the method whose model is kept and shown.
        started_from: what the network started from; empty: no sentence about it.
        seconds: that the run took.
    """
    test, background = comparison.test, comparison.background
    classes, label = test.classes, plots.label
    page = Page(
        "Jet tagging with few labels",
        lead=f"Trained on labelled jets drawn from {len(train):,}, measured on {len(test):,} "
        f"others; classes: {literal(', '.join(map(label, classes)))}. ± is one standard deviation "
        f"over {len(comparison.seeds)} seeds (labels drawn, weights, order).",
        run=out, seeds=comparison.seeds,
    )  # fmt: skip
    page.card(_card(comparison))
    page.text(comparison.verdict(), file="metrics.jsonl")
    if started_from:
        page.text(f"Started from: {literal(started_from)}.")
    _label_efficiency(page, comparison)
    signal = max(
        (name for name in classes if name != background),
        key=lambda name: int((test.y == classes.index(name)).sum()),
    )
    _rejection(page, comparison, signal)
    _shown_method(page, comparison, best, signal)
    page.heading("A single jet")
    scores, index = comparison.scores[best], classes.index(signal)
    chosen = int(np.argmax(np.where(test.y == index, scores[:, index], -1)))
    tagger = JetTagger.from_pretrained(out / "model.safetensors", device="cpu")
    jet = test.subset([chosen]).dense()
    if int(jet.lengths[0]) > 1:
        page.figure(
            plots.attribution(jet, occlusion(tagger, jet, signal, background)),
            f"The {literal(label(signal))} jet with the highest score. Area of a disk: transverse "
            "momentum of the constituent; colour: what it contributes to the log odds against "
            f"{literal(label(background))} (occlusion).",
            file="model.safetensors", seeds=comparison.seeds[:1],
        )  # fmt: skip
    page.heading("Jet images")
    images = test.subset(np.arange(min(2000, len(test))))
    page.figure(
        plots.jet_images(images.dense(), images.y, classes),
        f"Mean transverse momentum per cell [GeV] of {len(images):,} test jets, by class.",
        seeds=(), wide=len(classes) > 3,
    )  # fmt: skip
    if comparison.histories:
        page.heading("Training")
        page.figure(
            shared_plots.learning_curves(comparison.histories, ylabel="training loss"),
            "Training loss: mean over seeds, range shaded.",
            file="metrics.jsonl",
        )
    _commands(page, "jet_tagging", "scores.root", out)
    page.text(f"Took {seconds:.0f} s with {torch.get_num_threads()} threads.")
    page.write(out / "report.html")


def _card(comparison: Comparison) -> Card:
    """The mean AUC of every method with the largest number of labels, the best first."""
    labels, test = comparison.label_counts[-1], comparison.test
    values = {m: comparison.values(m, labels, "mean_auc") for m in comparison.methods}
    ranked = sorted(values, key=lambda method: -float(np.mean(values[method])))
    answer = f"With {labels:,} labels **{literal(ranked[0])}** separates the classes best"
    if len(ranked) > 1:
        first, second = ((np.mean(v), np.std(v)) for v in (values[m] for m in ranked[:2]))
        gap = float(first[0] - second[0])
        sure = gap > max(first[1], second[1])
        answer += f", by {gap:.3f} in AUC over {literal(ranked[1])}" + (
            "" if sure else ", which is less than the spread over seeds")  # fmt: skip
    background = plots.label(comparison.background)
    return Card(
        "What made a jet: a quark or gluon, or a heavy particle?", answer + ".",
        f"Mean AUC of {len(test.classes) - 1} classes against {background}, {labels:,} labels; "
        "higher is better; 95 % interval of the mean over seeds.",
        tuple((m, Estimate.of_runs(values[m], at_most=1.0)) for m in ranked),
        f"metrics.jsonl; {len(comparison.seeds)} seeds; {len(test):,} test jets", "Jet tagging",
    )  # fmt: skip


def _label_efficiency(page: Page, comparison: Comparison) -> None:
    methods, label_counts = comparison.methods, comparison.label_counts
    background = plots.label(comparison.background)
    if len(label_counts) > 1 or len(methods) > 1:
        page.heading("Score against labels")
        figure, axis = shared_plots.axes()
        areas = {m: [comparison.values(m, n, "mean_auc") for n in label_counts] for m in methods}
        shared_plots.efficiency(axis, label_counts, areas)
        axis.set_xlabel("labelled jets")
        axis.set_ylabel(shared_plots.literal(f"mean AUC against {background}"))
        page.figure(
            figure,
            "Mean AUC against the number of labelled jets: mean over seeds; bars reach from the "
            "worst to the best seed.",
            file="metrics.jsonl",
        )
    page.heading("Label efficiency")
    table = []
    for labels in label_counts:
        for method in methods:
            row = {"labels": labels, "method": method}
            for key in ("accuracy", "mean_auc"):
                values = comparison.values(method, labels, key)
                row[key.replace("_auc", " AUC")] = shared_plots.spread(values)
            for name in comparison.test.classes:
                if name != comparison.background:
                    values = comparison.values(method, labels, f"auc_{name}")
                    row[f"AUC {plots.label(name)}"] = shared_plots.spread(values)
            table.append(row)
    page.table(
        table,
        f"Accuracy, and AUC of each class against {literal(background)}; mean ± standard "
        "deviation over seeds.",
        file="metrics.jsonl",
    )


def _rejection(page: Page, comparison: Comparison, signal: str) -> None:
    """Background rejection with the largest number of labels, of the first seed."""
    test, background = comparison.test, comparison.background
    labels, seed = comparison.label_counts[-1], comparison.seeds[0]
    page.heading(f"{plots.label(signal)} against {plots.label(background)}")
    s, b = test.classes.index(signal), test.classes.index(background)
    selected = (test.y == s) | (test.y == b)
    truth = test.y[selected] == s
    weights = () if test.weights is None else (test.weights[selected],)
    curves = {
        method: (metrics.discriminant(scores[selected], s, b), truth, *weights)
        for method, scores in comparison.scores.items()
    }
    page.figure(
        plots.rejection_curves(curves),
        f"Background rejection 1/ε against signal efficiency, {labels:,} labels. Bands: 68 % of "
        "bootstrap samples of the test jets.",
        file="predictions.parquet", seeds=(seed,),
    )  # fmt: skip
    runs = [r for r in comparison.rows if r["labels"] == labels and r["seed"] == seed]
    page.table(
        [
            {"method": run["method"]}
            | {f"rejection at {e} %": str(run[f"rejection_{signal}_{e}"]) for e in (30, 50)}
            for run in runs
        ],
        f"Background rejection at two signal efficiencies, {labels:,} labels. Error: bootstrap. "
        "Where no background jet passes, a lower limit at 95 % confidence.",
        file="metrics.jsonl", seeds=(seed,),
    )  # fmt: skip


def _shown_method(page: Page, comparison: Comparison, method: str, signal: str) -> None:
    """Confusion, scores, calibration and mass sculpting of one method."""
    test, background = comparison.test, comparison.background
    classes, scores = test.classes, comparison.scores[method]
    s, b = classes.index(signal), classes.index(background)
    page.heading("Confusion, scores, calibration")
    of_file: dict[str, Any] = {"file": "predictions.parquet", "seeds": comparison.seeds[:1]}
    page.figure(
        plots.confusion(scores, test.y, classes, test.weights),
        f"Confusion matrix of {literal(method)}. Rows sum to one.",
        **of_file, wide=len(classes) > 5,
    )  # fmt: skip
    page.figure(
        plots.score_distributions(scores, test.y, classes, signal, test.weights),
        f"Score of {literal(plots.label(signal))} by true class; {literal(method)}.",
        **of_file,
    )
    page.figure(
        plots.calibration(
            {m: (p, test.y) for m, p in comparison.scores.items()}, weights=test.weights
        ),
        "Reliability diagram: accuracy against confidence, with the expected calibration error.",
        **of_file,
    )
    selected = np.flatnonzero(test.y == b)
    page.figure(
        plots.mass_sculpting(
            invariant_mass(raw_batch(test.subset(selected).dense())).numpy(),
            metrics.discriminant(scores[selected], s, b),
        ),
        f"Mass of {literal(plots.label(background))} jets that pass a cut on the score of "
        f"{literal(plots.label(signal))}. Training with `--decorrelate` reduces the sculpting.",
        **of_file,
    )


def mass_report(
    rows: list[dict[str, Any]], predicted: np.ndarray, truth: np.ndarray, out: Path, *,
    target: str, learned: int, started_from: str,
) -> None:  # fmt: skip
    """report.html of `sciml run jet_mass`.

    Args:
        rows: metrics per seed, and per `method` where a pretrained network is compared with one
            trained from scratch.
        predicted, truth: [n] GeV, the point estimates of the first seed and the true masses.
        out: the folder of the run.
        target: name of the column of true masses.
        learned: number of jets that were learned from.
        started_from: what the network started from.
    """
    page = Page(
        "Jet mass with its uncertainty",
        lead=f"{literal(target)} of {len(truth)} jets from their constituents, learned from "
        f"{learned} others; {len({row['seed'] for row in rows})} seeds.",
        run=out, seeds=sorted({row["seed"] for row in rows}),
    )  # fmt: skip
    kept = [row for row in rows if row.get("method", "pretrained") == "pretrained"] or rows
    estimates = [("network", Estimate.of_runs([row["resolution"] for row in kept]))]
    if kept is not rows and len(kept) < len(rows):
        other = [row["resolution"] for row in rows if row.get("method") == "scratch"]
        estimates.append(("from scratch", Estimate.of_runs(other)))
    page.card(Card(
        "What is the mass of the particle that made a jet?",
        f"Half of the central 68 % of predicted over true mass is {estimates[0][1].shown}.",
        "Mass resolution; lower is better; 95 % interval of the mean over seeds.",
        tuple(estimates), f"metrics.jsonl; {len(truth):,} test jets", "Jet mass",
    ))  # fmt: skip
    page.text(f"Started from: {literal(started_from)}.")
    scratch = [row["resolution"] for row in rows if row.get("method") == "scratch"]
    if scratch:
        pretrained = [row["resolution"] for row in rows if row["method"] == "pretrained"]
        gains = [b - a for a, b in zip(pretrained, scratch, strict=True)]
        page.text(
            "Resolution from scratch minus that from the pretrained weights, in as many steps "
            f"(above zero where pretraining helps): {shared_plots.spread(gains)}."
        )
    page.table(rows, "Resolution: half the central 68 % of predicted / true - 1. Coverage: share "
               "of jets below each quantile, which should be the number in its name.",
               file="metrics.jsonl")  # fmt: skip
    page.figure(plots.mass_response(predicted, truth), "Predicted against true mass.",
                file="predictions.parquet", seeds=page.seeds[:1])  # fmt: skip
    _commands(page, "jet_mass", "masses.root", out)
    page.write(out / "report.html")


def _commands(page: Page, recipe: str, output: str, out: Path) -> None:
    """How to repeat the run, and how to use its model."""
    page.heading("How to repeat this")
    page.command(f"sciml run {recipe} --config {settings_file(out)} --out {out}-again")
    page.command(f"sciml jets tag FILE -o {output} --model {out / 'model.safetensors'}")
