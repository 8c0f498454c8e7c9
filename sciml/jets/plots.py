"""Plots of taggers and mass regressors: rejection, confusion, calibration, mass sculpting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sciml.errors import load_extra, unknown
from sciml.jets import metrics
from sciml.jets.data.columns import DETA, DPHI, PX, PY
from sciml.jets.data.features import Jets
from sciml.jets.weighting import checked
from sciml.paths import atomic_write
from sciml.report.plots import axes, literal, other_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "QCD": "q/g", "Hbb": "H→bb", "Hcc": "H→cc", "Hgg": "H→gg", "H4q": "H→4q", "Hqql": "H→qqℓν",
    "Zqq": "Z→qq", "Wqq": "W→qq", "Tbqq": "t→bqq", "Tbl": "t→bℓν",
}  # fmt: skip


STYLES = ("CMS", "ATLAS", "ALICE", "LHCb2", "ROOT")
"""Styles of mplhep."""


@contextmanager
def experiment_style(name: str) -> Iterator[None]:
    """Within it, the figures of this module have the style of an experiment, by mplhep.

    `mplhep.cms.label("Simulation", ax=figure.axes[0])` then adds the experiment's label.

    Args:
        name: one of `STYLES`.

    Raises:
        InputError: an unknown style.
        MissingExtra: mplhep is not installed.
    """
    if name not in STYLES:
        raise unknown("style", name, STYLES)
    mplhep = load_extra("mplhep", "hep", "A plot in the style of an experiment")
    import matplotlib.pyplot as plt

    with plt.style.context(getattr(mplhep.style, name)), other_style():
        yield


def label(name: str) -> str:
    """A class's name as physicists write it."""
    return LABELS.get(name, name)


def rejection_curves(
    curves: Mapping[str, tuple[np.ndarray, ...]],
    *,
    bootstraps: int = 60,
    title: str = "",
) -> Figure:
    """Background rejection against signal efficiency, with 68 % bootstrap bands.

    Args:
        curves: label -> (scores [n], truth [n] bool) or (scores, truth, weights [n]).
    """
    figure, axis = axes()
    efficiencies = np.linspace(0.05, 1.0, 60)
    for name, (scores, truth, *weights) in curves.items():
        weight = weights[0] if weights else None
        value, low, high = metrics.rejection_curve(
            scores, truth, efficiencies, bootstraps=bootstraps, weights=weight
        )
        area = metrics.auc(scores, truth, weight)
        (line,) = axis.plot(efficiencies, value, label=f"{literal(name)} (AUC {area:.4f})")
        axis.fill_between(efficiencies, low, high, color=line.get_color(), alpha=0.18, lw=0)
    axis.set_yscale("log")
    axis.set_xlabel("signal efficiency")
    axis.set_ylabel("background rejection 1/ε")
    axis.set_xlim(0, 1)
    axis.set_title(literal(title))
    axis.legend(frameon=False)
    return figure


def confusion(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str],
    weights: np.ndarray | None = None,
) -> Figure:  # fmt: skip
    """Confusion matrix: the (weighted) share of each true class that is tagged as each class."""
    matrix = metrics.confusion(probabilities, labels, weights)
    figure, axis = axes(0.55 * len(classes) + 2, 0.48 * len(classes) + 1.6)
    axis.grid(False)
    axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ticks = range(len(classes))
    axis.set_xticks(ticks, [literal(label(name)) for name in classes], rotation=45, ha="right")
    axis.set_yticks(ticks, [literal(label(name)) for name in classes])
    for row in ticks:
        for column in ticks:
            value = matrix[row, column]
            colour = "white" if value > 0.5 else "0.05"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    return figure


def score_distributions(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], signal: str,
    weights: np.ndarray | None = None,
) -> Figure:  # fmt: skip
    """Distribution of one class's probability, a line per true class."""
    of_jets = checked(weights, labels.shape)
    figure, axis = axes()
    bins = np.linspace(0, 1, 41)
    column = list(classes).index(signal)
    for index, name in enumerate(classes):
        chosen = (labels == index) & np.isfinite(probabilities[:, column])
        if of_jets[chosen].any():
            axis.hist(
                probabilities[chosen, column], bins, weights=of_jets[chosen], density=True,
                histtype="step", lw=1.6, label=literal(label(name)),
            )  # fmt: skip
    axis.set_yscale("log")
    axis.set_xlabel(f"p({literal(label(signal))})")
    axis.set_ylabel("jets, normalised")
    axis.legend(frameon=False, ncols=2)
    return figure


def calibration(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], weights: np.ndarray | None = None
) -> Figure:
    """Accuracy against confidence: label -> (probabilities [n, classes], labels [n])."""
    figure, axis = axes(5, 4)
    axis.plot([0, 1], [0, 1], color="grey", lw=1, ls=":")
    for name, (probabilities, labels) in curves.items():
        curve = metrics.calibration(probabilities, labels, weights=weights)
        filled = curve.jets > 0
        axis.plot(
            curve.confidence[filled], curve.accuracy[filled], marker="o", ms=4,
            label=f"{literal(name)} (error {curve.error:.3f})",
        )  # fmt: skip
    axis.set_xlabel("confidence")
    axis.set_ylabel("accuracy")
    axis.legend(frameon=False)
    return figure


def mass_sculpting(
    masses: np.ndarray, scores: np.ndarray, efficiencies: Sequence[float] = (0.5, 0.1, 0.02)
) -> Figure:
    """Mass [GeV] of background jets that pass a cut on the score, at some efficiencies."""
    figure, axis = axes()
    good = np.isfinite(scores)
    masses, scores = masses[good], scores[good]
    bins = np.linspace(0, 300, 46)
    axis.hist(masses, bins, density=True, histtype="step", lw=2, label="all background")
    for efficiency in efficiencies:
        passing = scores >= np.quantile(scores, 1 - efficiency)
        if passing.sum() >= 20:
            axis.hist(
                masses[passing], bins, density=True, histtype="step",
                label=f"{100 * efficiency:g} % pass",
            )  # fmt: skip
    axis.set_xlabel("jet mass [GeV]")
    axis.set_ylabel("jets, normalised")
    axis.legend(frameon=False)
    return figure


def jet_images(jets: Jets, labels: np.ndarray, classes: Sequence[str], bins: int = 48) -> Figure:
    """Mean transverse momentum in the (deta, dphi) plane, a panel per class."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    columns = min(len(classes), 5)
    rows_of_panels = -(-len(classes) // columns)
    figure = Figure(figsize=(2.1 * columns, 2.3 * rows_of_panels))
    panels = figure.subplots(rows_of_panels, columns, squeeze=False)
    for axis in panels.flat[len(classes) :]:
        axis.remove()
    edges = np.linspace(-0.8, 0.8, bins + 1)
    particles, mask = jets.particles.numpy(), jets.mask.numpy()
    for axis, (index, name) in zip(panels.flat, enumerate(classes)):
        rows = labels == index
        x, real = particles[rows], mask[rows]
        pt = np.hypot(x[..., PX], x[..., PY])[real]
        image, _, _ = np.histogram2d(
            x[..., DETA][real], x[..., DPHI][real], bins=(edges, edges), weights=pt
        )
        image = image / max(rows.sum(), 1)
        axis.imshow(
            image.T, origin="lower", extent=(-0.8, 0.8, -0.8, 0.8), cmap="viridis",
            norm=LogNorm(vmin=1e-2, vmax=max(image.max(), 1e-1)),
        )  # fmt: skip
        axis.set_title(literal(label(name)))
        axis.set_xlabel("Δη")
    for axis in panels[:, 0]:
        axis.set_ylabel("Δφ")
    figure.tight_layout()
    return figure


def attribution(
    jet: Jets, values: np.ndarray, title: str = "", what: str = "contribution to the log odds"
) -> Figure:
    """Contribution of each constituent of a jet to the log odds (`learning.attribution`).

    The area of a disk is the transverse momentum, its colour the contribution. `what` names it.
    """
    figure, axis = axes()
    real = jet.mask[0]
    x = jet.particles[0][real].numpy()
    pt = np.hypot(x[:, PX], x[:, PY])
    largest = float(np.abs(values).max()) or 1.0
    shown = axis.scatter(
        x[:, DETA], x[:, DPHI], s=8 + 900 * pt / pt.sum(), c=values, cmap="coolwarm",
        vmin=-largest, vmax=largest, edgecolors="0.3", linewidths=0.5,
    )  # fmt: skip
    figure.colorbar(shown, ax=axis, label=what)
    axis.set_xlabel("Δη")
    axis.set_ylabel("Δφ")
    axis.set_title(literal(title))
    return figure


def mass_response(predicted: np.ndarray, truth: np.ndarray) -> Figure:
    """Predicted against true mass [GeV], a density."""
    figure, axis = axes()
    high = float(np.quantile(truth, 0.99))
    shown = axis.hist2d(truth, predicted, bins=60, range=[[0, high], [0, high]], cmin=1)
    axis.plot([0, high], [0, high], color="0.5", lw=1)
    figure.colorbar(shown[3], ax=axis, label="jets")
    axis.set_xlabel("true mass [GeV]")
    axis.set_ylabel("predicted mass [GeV]")
    return figure


def write_plots(
    folder: Path, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str],
    background: str, weights: np.ndarray | None = None,
) -> list[Path]:  # fmt: skip
    """Write rejection, confusion, calibration and the score of each class as PDF.

    Args:
        folder: of the files; made where it is missing.
        probabilities: [n, classes].
        labels: [n] classes.
        classes: names.
        background: the class that others are measured against.
        weights: [n] of jets.
    """
    import matplotlib.pyplot as plt

    base, curves = list(classes).index(background), {}
    for index, name in enumerate(classes):
        chosen = (labels == index) | (labels == base)
        if index == base or not (labels == index).any() or not (labels == base).any():
            continue
        scores = metrics.discriminant(probabilities[chosen], index, base)
        weight = () if weights is None else (weights[chosen],)
        curves[label(name)] = (scores, labels[chosen] == index, *weight)
    figures = {
        "rejection": lambda: rejection_curves(curves),
        "confusion": lambda: confusion(probabilities, labels, classes, weights),
        "calibration": lambda: calibration({"": (probabilities, labels)}, weights),
        **{
            f"score_{name}": lambda n=name: score_distributions(  # type: ignore[misc]
                probabilities, labels, classes, n, weights
            )
            for name in classes
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in figures.items():
        figure = draw()
        with atomic_write(folder / f"{name}.pdf") as temporary:
            figure.savefig(temporary, format="pdf", bbox_inches="tight")
        plt.close(figure)
        paths.append(folder / f"{name}.pdf")
    return paths
