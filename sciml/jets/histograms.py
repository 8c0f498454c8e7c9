"""Scores and efficiencies as histograms of `hist`, which mplhep draws and uproot writes.

scores = score_histogram(probabilities, labels, classes)     # truth x signal x score
mplhep.histplot(scores["QCD", "Tbqq", :], density=True)
write_histograms("scores.root", scores)                      # a TH1D each: Tbqq/QCD, ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, load_extra, unknown
from sciml.jets.metrics import discriminant
from sciml.jets.weighting import checked
from sciml.jets.working_points import WorkingPoints
from sciml.paths import atomic_write

PURPOSE = "Making histograms"


def score_histogram(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    background: str = "QCD",
    bins: int = 50,
    weights: np.ndarray | None = None,
) -> Any:
    """Scores of jets of known class, with the sum of squared weights.

    Args:
        probabilities: [n, classes]; jets whose row is not finite are left out.
        labels: [n] classes.
        classes: names.
        background: the class that others are measured against.
        bins: of the score, from 0 to 1; a score of 1 is in the last one.
        weights: [n] of jets, see `sciml.jets.weighting`.

    Returns:
        `hist.Hist` with the axes `truth` (classes), `signal` (all but the background) and `score`,
        p_signal / (p_signal + p_background).

    Raises:
        InputError: an unknown class, or no bins.
        MissingExtra: hist is not installed.
    """
    hist = load_extra("hist", "hep", PURPOSE)
    classes = tuple(classes)
    if background not in classes:
        raise unknown("background class", background, classes)
    if bins < 1:
        raise InputError(f"`bins` must be >= 1, got {bins}")
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    weights = checked(weights, labels.shape)
    signals = [name for name in classes if name != background]
    out = hist.Hist(
        hist.axis.StrCategory(classes, name="truth", label="true class"),
        hist.axis.StrCategory(signals, name="signal", label="class of the score"),
        hist.axis.Regular(
            bins, 0, 1, name="score", label=f"p(signal) / (p(signal) + p({background}))"
        ),
        storage=hist.storage.Weight(),
    )
    base = classes.index(background)
    for signal in signals:
        scores = discriminant(probabilities, classes.index(signal), base)
        # The last bin has its upper edge, too.
        scores = np.minimum(scores, np.nextafter(1.0, 0.0))
        for index, name in enumerate(classes):
            mine = (labels == index) & np.isfinite(scores)
            if mine.any():
                out.fill(truth=name, signal=signal, score=scores[mine], weight=weights[mine])
    return out


def efficiency_histogram(points: WorkingPoints, signal: str, background_efficiency: float) -> Any:
    """The map of efficiencies of a working point: of the signal, and mistag rates of the others.

    Args:
        points: with maps (`sciml.jets.working_points.measure` with pt and eta).
        signal: class of the score.
        background_efficiency: of the working point.

    Returns:
        `hist.Hist` with the axes `truth`, `pt` [GeV] and `abs_eta`. Values are efficiencies, NaN
        without jets; variances the square of half of Clopper and Pearson's interval.

    Raises:
        InputError: an unknown class or working point, or no maps.
        MissingExtra: hist is not installed.
    """
    hist = load_extra("hist", "hep", PURPOSE)
    points.threshold(signal, background_efficiency)
    point = points.point(background_efficiency)
    maps = {name: rows for (s, p, name), rows in points.maps.items() if (s, p) == (signal, point)}
    if not maps:
        raise InputError("the working points have no maps", hint="Measure them with pt and eta")
    out = hist.Hist(
        hist.axis.StrCategory(list(maps), name="truth", label="true class"),
        hist.axis.Variable(points.pt, name="pt", label="jet pT [GeV]", flow=False),
        hist.axis.Variable(points.eta, name="abs_eta", label="jet |eta|", flow=False),
        storage=hist.storage.Weight(),
        name=f"efficiency of {signal} at {background_efficiency:g}",
    )
    view = out.view()
    for index, rows in enumerate(maps.values()):
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                view.value[index, i, j] = cell.value
                half = math.nan if math.isnan(cell.value) else (cell.high - cell.low) / 2
                view.variance[index, i, j] = half**2
    return out


def write_histograms(path: str | Path, scores: Any) -> None:
    """Write what `score_histogram` made as a ROOT file: SIGNAL/TRUTH, a TH1D with errors each.

    Raises:
        InputError: another suffix.
        MissingExtra: uproot is not installed.
    """
    path = Path(path)
    if path.suffix != ".root":
        raise InputError("must end in .root", where=path)
    uproot = load_extra("uproot", "jets", "Writing ROOT files")
    with atomic_write(path) as temporary, uproot.recreate(temporary) as file:
        for signal in scores.axes["signal"]:
            for truth in scores.axes["truth"]:
                file[f"{signal}/{truth}"] = scores[truth, signal, :]
