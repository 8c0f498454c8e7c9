"""What a model with a data config reaches on labelled jets: numbers, predictions, report.html."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.files.claims import settings_file
from sciml.jets import metrics, plots
from sciml.jets.configured import ConfiguredTagger
from sciml.jets.data.io import create
from sciml.jets.report import write_metrics
from sciml.jets.weaver.config import Batch
from sciml.report import Card, Estimate, Page, literal
from sciml.report import plots as shared_plots

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
SHOWN_CLASSES = 12
"""Most classes whose curves are drawn."""


@dataclass(frozen=True)
class Measured:
    """Predictions of labelled jets.

    Attributes:
        names: of the classes, or of the values.
        classes: whether `predicted` are probabilities.
        predicted: [n, outputs].
        truth: [n] classes, or [n, outputs] values.
    """

    names: tuple[str, ...]
    classes: bool
    predicted: np.ndarray
    truth: np.ndarray

    def numbers(self, background: str) -> dict[str, Any]:
        """`jets`, and accuracy, AUC, rejection and calibration of classes, or errors of values."""
        measured: dict[str, Any] = {"jets": len(self.predicted)}
        if self.classes:
            measured |= metrics.evaluate(
                self.predicted, self.truth, self.names, background=background
            )
            error = metrics.calibration(self.predicted, self.truth).error
            return measured | {"calibration_error": error}
        for name, value, true in zip(self.names, self.predicted.T, self.truth.T, strict=True):
            measured[f"mean_absolute_error_{name}"] = float(np.abs(value - true).mean())
            varies = true.std() > 0 and value.std() > 0
            measured[f"correlation_{name}"] = np.corrcoef(value, true)[0, 1] if varies else None
        return measured


def predictions(
    tagger: ConfiguredTagger, paths: Paths, held_out: np.ndarray | None = None
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """(batch, values [B, outputs], labels [B, labels]) of labelled jets, in order.

    Args:
        tagger: the model.
        paths: files of labelled jets.
        held_out: which of the jets that pass the selection of training; None: all that pass the
            selection of a test.

    Raises:
        InputError: an unreadable file or a missing column.
    """
    first, names = 0, tuple(tagger.config.labels)
    for batch in tagger.config.iterate(paths, train=held_out is not None):
        index = np.arange(len(batch.rows))
        if held_out is not None:
            index = index[np.isin(first + index, held_out)]
        first += len(batch.rows)
        batch.inputs = {name: value[index] for name, value in batch.inputs.items()}
        batch.observers = {name: value[index] for name, value in batch.observers.items()}
        batch.rows = batch.rows[index]
        labels = np.stack([np.asarray(batch.labels[n])[index] for n in names], axis=1)
        yield batch, tagger.predict_batch(batch), labels


def measure(tagger: ConfiguredTagger, paths: Paths, out: Path | None = None,
            held_out: np.ndarray | None = None) -> Measured:  # fmt: skip
    """Predict labelled jets, and write them to `out` (.parquet, .root) if it is given.

    Args:
        tagger, paths, held_out: as for `predictions`.
        out: gets `row`, scores or values, labels and the config's observers.

    Raises:
        InputError: no jet passes the selection, or as for `predictions`.
    """
    parts, truth = [], []
    names = tuple(tagger.config.labels)
    shown = ["label"] if tagger.classes else [f"true_{name}" for name in names]
    with contextlib.ExitStack() as stack:
        writer = None if out is None else stack.enter_context(create(out))
        for batch, scores, labels in predictions(tagger, paths, held_out):
            columns: dict[str, Any] = {"row": batch.rows}
            columns |= {n: np.ascontiguousarray(scores[:, i]) for i, n in enumerate(tagger.outputs)}
            columns |= {n: np.ascontiguousarray(labels[:, i]) for i, n in enumerate(shown)}
            if writer is not None:
                writer.write(columns | batch.observers)
            parts.append(scores)
            truth.append(labels)
    if not parts or not sum(map(len, parts)):
        raise InputError("no jet passes the selection", where=tagger.config.path)
    together = np.concatenate(truth)
    return Measured(
        tagger.names, tagger.classes, np.concatenate(parts),
        together[:, 0].astype(np.int64) if tagger.classes else together,
    )  # fmt: skip


def configured_results(
    tagger: ConfiguredTagger, paths: Paths, out: Path, *, background: str,
    held_out: np.ndarray | None = None, learned: int = 0,
    history: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    """predictions.parquet, metrics.jsonl and report.html of a run; returns the metrics.

    Args:
        tagger, paths, held_out: as for `predictions`.
        out: the folder of the run, with model.safetensors.
        background: name of the class that others are measured against, if there is such a class.
        learned: jets that were learned from.
        history: training records.
    """
    measured = measure(tagger, paths, out / "predictions.parquet", held_out)
    numbers = measured.numbers(background)
    write_metrics(out, list(history), [{"method": "data config", **numbers}])
    _report(tagger, measured, numbers, out, background, learned, history)
    return numbers


def _report(
    tagger: ConfiguredTagger, measured: Measured, numbers: dict[str, Any], out: Path,
    background: str, learned: int, history: Sequence[dict[str, Any]],
) -> None:  # fmt: skip
    """report.html of a run with a data config."""
    config, names = tagger.config, measured.names
    page = Page(
        "A jet model on the inputs of a data config",
        lead=f"{literal(Path(config.path).name)}: {learned} jets to learn from, "
        f"{len(measured.predicted)} others to measure on; "
        f"{'classes' if measured.classes else 'values'}: {literal(', '.join(names))}.",
        run=out,
    )
    if measured.classes:
        right = int((measured.predicted.argmax(1) == measured.truth).sum())
        share = Estimate.of_counts(right, len(measured.truth))
        common = int(np.bincount(measured.truth, minlength=len(names)).max())
        page.card(Card(
            "Which class does a jet belong to?",
            f"{right:,} of {len(measured.truth):,} jets get their true class.",
            "Accuracy, with its 95 % interval; beside it, always the most frequent class.",
            (("model", share), ("most frequent", Estimate.of_counts(common, len(measured.truth)))),
            "predictions.parquet", "Jet tagging",
        ))  # fmt: skip
    rows = [
        {
            "metric": name.replace("_", " "),
            "value": str(value) if isinstance(value, metrics.Rejection) else value,
        }
        for name, value in numbers.items()
    ]
    page.heading("Measured on jets that training has not seen")
    if measured.classes and background not in names:
        page.text(
            f"No class is named {literal(background)}: `--background` names the one that the "
            "others are measured against."
        )
    page.table(rows, "Metrics on held-out jets.", file="metrics.jsonl")
    if measured.classes:
        _class_figures(page, measured, background)
    else:
        for name, value, true in zip(names, measured.predicted.T, measured.truth.T, strict=True):
            page.figure(_response(name, value, true), f"{literal(name)}, predicted against true.",
                        file="predictions.parquet")  # fmt: skip
    page.heading("Inputs")
    page.table(
        [
            {
                "input": name,
                "variables": ", ".join(v.name for v in entry.variables),
                "length": entry.length or "",
            }
            for name, entry in config.inputs.items()
        ],
        f"Selection: {literal(config.selection or 'none')}.",
    )
    if history:
        page.heading("Training")
        curves = {"data config": [list(history)]}
        page.figure(shared_plots.learning_curves(curves, ylabel="training loss"), "Training loss.",
                    file="metrics.jsonl")  # fmt: skip
    page.heading("How to repeat this")
    page.command(f"sciml run jet_tagging --config {settings_file(out)} --out {out}-again")
    model = out / "model.safetensors"
    page.command(f"sciml jets tag FILE -o scores.parquet --model {model}")
    page.command(f"sciml jets evaluate FILE --model {model}")
    page.command(f"sciml jets export -o model.onnx --model {model}")
    page.write(out / "report.html")


def _class_figures(page: Page, measured: Measured, background: str) -> None:
    names, scores, truth = measured.names, measured.predicted, measured.truth
    if background in names:
        base = names.index(background)
        curves: dict[str, tuple[np.ndarray, ...]] = {}
        for signal, name in enumerate(names[:SHOWN_CLASSES]):
            selected = (truth == signal) | (truth == base)
            is_signal = truth[selected] == signal
            if signal != base and is_signal.any() and not is_signal.all():
                discriminant = metrics.discriminant(scores[selected], signal, base)
                curves[plots.label(name)] = (discriminant, is_signal)
        if curves:
            page.figure(
                plots.rejection_curves(curves),
                f"Rejection of {literal(plots.label(background))} against signal efficiency; "
                "bands: 68 % of bootstrap samples.",
                file="predictions.parquet",
            )
    page.figure(plots.confusion(scores, truth, names), "Confusion matrix. Rows sum to one.",
                file="predictions.parquet", wide=len(names) > 5)  # fmt: skip
    page.figure(plots.calibration({"model": (scores, truth)}),
                "Reliability diagram: accuracy against confidence.",
                file="predictions.parquet")  # fmt: skip


def _response(name: str, predicted: np.ndarray, truth: np.ndarray) -> Any:
    figure, axis = shared_plots.axes()
    low, high = np.quantile(np.concatenate([truth, predicted]), [0.005, 0.995])
    low, high = float(low), float(high if high > low else low + 1)
    shown = axis.hist2d(truth, predicted, bins=60, range=[[low, high], [low, high]], cmin=1)
    axis.plot([low, high], [low, high], color="0.5", lw=1)
    figure.colorbar(shown[3], ax=axis, label="jets")
    axis.set_xlabel(shared_plots.literal(f"true {name}"))
    axis.set_ylabel(shared_plots.literal(f"predicted {name}"))
    return figure
