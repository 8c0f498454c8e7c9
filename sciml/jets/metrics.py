"""Metrics of taggers: accuracy, AUC, background rejection with errors, calibration.

Rejection is 1 / (background efficiency) at a given signal efficiency. Its error comes from
resampling the jets (bootstrap). Where no background jet passes, a rejection cannot be quoted: the
result is a lower limit at 95 % confidence, from at most 3 expected events (-ln 0.05). All take
weights of jets (`sciml.jets.weighting`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sciml.errors import InputError
from sciml.jets.calibration import Calibration, best_temperature, calibration
from sciml.jets.weighting import checked, effective

__all__ = [
    "Calibration",
    "Rejection",
    "accuracy",
    "auc",
    "auc_error",
    "auc_interval",
    "best_temperature",
    "calibration",
    "confusion",
    "discriminant",
    "evaluate",
    "rejection",
    "rejection_curve",
    "roc",
]

LIMIT_95 = -math.log(0.05)
"""Expected events excluded at 95 % confidence when none is seen."""


def _checked(scores: Any, truth: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finite scores with their truth and weights."""
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if scores.shape != truth.shape or scores.ndim != 1:
        raise InputError(f"scores {scores.shape} and truth {truth.shape} must have one shape [n]")
    good = np.isfinite(scores)
    weights = checked(weights, scores.shape)[good]
    scores, truth = scores[good], truth[good]
    if truth.all() or not truth.any():
        raise InputError("needs at least one signal and one background jet with a finite score")
    if not weights[truth].any() or not weights[~truth].any():
        raise InputError("the weights of the signal or of the background add up to 0")
    return scores, truth, weights


def discriminant(probabilities: np.ndarray, signal: int, background: int) -> np.ndarray:
    """p_signal / (p_signal + p_background) of [n, classes]: [n]; NaN stays NaN."""
    s, b = np.asarray(probabilities, np.float64)[:, [signal, background]].T
    total = s + b
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, s / total, np.where(np.isnan(total), np.nan, 0.5))


def auc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Probability that a signal jet scores above a background jet; ties count a half.

    Args:
        scores: [n]; jets with a score that is not finite are left out.
        truth: [n] bool, True for signal.
        weights: [n] of jets, see `sciml.jets.weighting`; all alike if None.

    Raises:
        InputError: no signal or no background, or weights that are negative or not finite.
    """
    scores, truth, weights = _checked(scores, truth, weights)
    _, inverse = np.unique(scores, return_inverse=True)
    signal = np.bincount(inverse, weights * truth)
    background = np.bincount(inverse, weights * ~truth)
    below = np.cumsum(background) - background / 2
    return float((signal * below).sum() / (signal.sum() * background.sum()))


def auc_error(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Standard error of `auc` (DeLong et al. 1988, Biometrics 44, 837); never 0.

    Where the scores separate signal and background without a single swap, DeLong's variance is 0,
    yet the AUC is not exact: the error is then the 68 % limit, see `auc_interval`. Where it is 0
    for another reason (all scores equal, one jet of a class) the error is that of Hanley and McNeil
    1982, Radiology 143, 29. A weighted class counts as its effective number of jets.
    """
    scores, truth, weights = _checked(scores, truth, weights)
    value = auc(scores, truth, weights)
    n_signal, n_background = (effective(weights[chosen]) for chosen in (truth, ~truth))
    if min(value, 1 - value) < 1e-13:  # but for rounding, no pair is swapped
        return _unseen(min(n_signal, n_background), 1 - 0.6827)

    variance = 0.0
    if min(n_signal, n_background) > 1 + 1e-9:
        for own, n in ((truth, n_signal), (~truth, n_background)):
            above = _share_below(scores[own], scores[~own], weights[~own])
            mean = np.average(above, weights=weights[own])
            # the variance of a weighted mean, with Bessel's correction
            squares = np.square(weights[own] * (above - mean)).sum() / weights[own].sum() ** 2
            variance += float(squares) * n / (n - 1)
        if variance > 0:
            return math.sqrt(variance)
    one, two = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value)
    variance += (n_signal - 1) * (one - value**2) + (n_background - 1) * (two - value**2)
    return math.sqrt(variance / (n_signal * n_background))


def _share_below(values: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of `others` below each of the values; ties count a half."""
    order = np.argsort(others, kind="stable")
    summed = np.concatenate([[0.0], np.cumsum(weights[order])])
    ends = [summed[np.searchsorted(others[order], values, side)] for side in ("left", "right")]
    return (ends[0] + ends[1]) / (2 * summed[-1])


def _unseen(pairs: float, level: float) -> float:
    """Largest share of swapped pairs that leaves `pairs` independent ones without a swap with
    probability `level` (3 / pairs at 5 %, the rule of three)."""
    return 1 - level ** (1 / pairs)


def auc_interval(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Lower and upper limit of `auc` at 95 % confidence, within [0, 1].

    From `auc_error` on the scale of log(AUC / (1 - AUC)). Where no pair is swapped: the limit for
    as many independent pairs as jets of the rarer class, all in order (Clopper and Pearson).
    """
    scores, truth, weights = _checked(scores, truth, weights)
    value = auc(scores, truth, weights)
    if min(value, 1 - value) < 1e-13:  # but for rounding, no pair is swapped
        unseen = _unseen(min(effective(weights[truth]), effective(weights[~truth])), 0.05)
        return (1 - unseen, 1.0) if value > 0.5 else (0.0, unseen)
    middle = math.log(value / (1 - value))
    width = 1.96 * auc_error(scores, truth, weights) / (value * (1 - value))
    return tuple(1 / (1 + math.exp(-x)) for x in (middle - width, middle + width))  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True)
class Rejection:
    """Background rejection at one signal efficiency."""

    efficiency: float
    """Signal efficiency."""
    value: float
    """1 / background efficiency; if `limit`, a lower limit at 95 % confidence."""
    error: float
    """Bootstrap standard deviation of `value`; NaN for a limit."""
    passing: int
    """Background jets above the threshold."""
    limit: bool
    """No background jet passes: `value` is a lower limit."""

    def __str__(self) -> str:
        if self.limit:
            return f"> {self.value:.0f}"
        digits = 0 if self.value >= 100 else 1
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


class _Class:
    """Scores of one class, ascending, with their weights."""

    def __init__(self, scores: np.ndarray, weights: np.ndarray) -> None:
        order = np.argsort(scores, kind="stable")
        self.scores, self.weights = scores[order], weights[order]
        self.above = np.append(np.cumsum(self.weights[::-1])[::-1], 0.0)
        """Sum of the weights from each place on."""

    def drawn(self, random: np.random.Generator) -> _Class:
        """As many jets, drawn with replacement; redrawn in the rare case that all weigh nothing."""
        while True:
            chosen = random.integers(len(self.scores), size=len(self.scores))
            if self.weights[chosen].any():
                return _Class(self.scores[chosen], self.weights[chosen])

    def threshold(self, efficiency: float) -> float:
        """The largest score that at least this share of the weights reaches."""
        enough = self.above >= efficiency * self.above[0] - 1e-12 * self.above[0]
        return float(self.scores[np.flatnonzero(enough[:-1])[-1]])

    def passing(self, threshold: float) -> tuple[int, float]:
        """Number and weight of the jets at or above the threshold."""
        place = int(np.searchsorted(self.scores, threshold, "left"))
        return int(np.count_nonzero(self.weights[place:])), float(self.above[place])


def _two_classes(scores: Any, truth: Any, weights: Any) -> tuple[_Class, _Class]:
    scores, truth, weights = _checked(scores, truth, weights)
    return _Class(scores[truth], weights[truth]), _Class(scores[~truth], weights[~truth])


def rejection(
    scores: np.ndarray,
    truth: np.ndarray,
    efficiency: float = 0.5,
    *,
    bootstraps: int = 200,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> Rejection:
    """Background rejection at a signal efficiency, with its error or as a lower limit.

    The threshold is the largest score that at least `efficiency` of the signal reaches.

    Args:
        scores, truth, weights: as for `auc`.
        efficiency: of the signal, within (0, 1].
        bootstraps: resamplings for the error.
        seed: of the resampling.
    """
    if not 0 < efficiency <= 1:
        raise InputError(f"the signal efficiency must be within (0, 1], got {efficiency}")
    signal, background = _two_classes(scores, truth, weights)
    passing, weight = background.passing(signal.threshold(efficiency))
    if passing == 0:
        limit = effective(background.weights) / LIMIT_95
        return Rejection(efficiency, limit, math.nan, 0, True)
    random = np.random.default_rng(seed)
    lightest = background.weights[background.weights > 0].min()
    values = []
    for _ in range(bootstraps):
        s, b = signal.drawn(random), background.drawn(random)
        # a resampling without passing jets would be infinite: count half a jet instead
        passed = max(b.passing(s.threshold(efficiency))[1], 0.5 * lightest)
        values.append(b.above[0] / passed)
    error = float(np.std(values, ddof=1)) if bootstraps > 1 else math.nan
    return Rejection(efficiency, float(background.above[0] / weight), error, passing, False)


def roc(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Signal and background efficiency at every threshold, from (0, 0) to (1, 1)."""
    scores, truth, weights = _checked(scores, truth, weights)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # one point per distinct score
    curves = []
    for chosen in (truth, ~truth):
        passed = np.cumsum(weights[order] * chosen[order])
        curves.append(np.append(0.0, passed[last] / passed[-1]))
    return curves[0], curves[1]


def rejection_curve(
    scores: np.ndarray,
    truth: np.ndarray,
    efficiencies: Sequence[float] | np.ndarray,
    *,
    bootstraps: int = 100,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rejection and its 68 % bootstrap band at many efficiencies; NaN where no background passes.

    Returns:
        value, low, high: [len(efficiencies)] each.
    """
    signal, background = _two_classes(scores, truth, weights)

    def curve(s: _Class, b: _Class) -> np.ndarray:
        passed = np.array([b.passing(s.threshold(e))[1] for e in efficiencies])
        return np.divide(b.above[0], passed, out=np.full(len(passed), np.nan), where=passed > 0)

    random = np.random.default_rng(seed)
    samples = np.stack(
        [curve(signal.drawn(random), background.drawn(random)) for _ in range(bootstraps)]
    )
    value = curve(signal, background)
    with np.errstate(all="ignore"):
        filled = np.where(np.isnan(samples), np.inf, samples)
        low, high = np.quantile(filled, [0.16, 0.84], axis=0, method="nearest")
    return value, low, np.where(np.isinf(high), np.nan, high)


def accuracy(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Share of jets whose largest probability is that of their class; a NaN row counts as wrong.

    `weights` [n] as for `auc`.
    """
    probabilities = np.asarray(probabilities)
    good = np.isfinite(probabilities).all(1)
    right = np.where(good, np.nan_to_num(probabilities).argmax(1) == labels, False)
    return float(np.average(right, weights=checked(weights, right.shape)))


def confusion(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """[classes, classes] share of each true class (row) that is tagged as each class (column).

    `weights` [n] as for `auc`; a class without jets is a row of zeros.
    """
    probabilities = np.asarray(probabilities)
    classes = probabilities.shape[1]
    good = np.isfinite(probabilities).all(1)
    tagged = np.nan_to_num(probabilities).argmax(1)[good]
    counts = np.zeros((classes, classes))
    weights = checked(weights, probabilities.shape)[good]
    np.add.at(counts, (np.asarray(labels)[good], tagged), weights)
    total = counts.sum(1, keepdims=True)
    return counts / np.where(total > 0, total, 1)


def evaluate(
    probabilities: ArrayLike,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    background: str = "QCD",
    efficiencies: Sequence[float] = (0.3, 0.5),
    bootstraps: int = 200,
    weights: np.ndarray | None = None,
) -> dict[str, float | Rejection]:
    """Accuracy, and AUC and rejection of every class against the background class.

    `weights` [n] as for `auc`.

    Returns:
        `accuracy`, `auc_<class>`, `auc_error_<class>`, `auc_low_<class>` and `auc_high_<class>`
        (95 % confidence), `rejection_<class>_<efficiency in %>`.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    weights = checked(weights, probabilities.shape)
    out: dict[str, float | Rejection] = {"accuracy": accuracy(probabilities, labels, weights)}
    if background not in classes:
        return out
    base = list(classes).index(background)
    for signal, name in enumerate(classes):
        selected = (labels == signal) | (labels == base)
        if signal == base or not (labels == signal).any() or not (labels == base).any():
            continue
        scores = discriminant(probabilities[selected], signal, base)
        truth, of_jets = labels[selected] == signal, weights[selected]
        out[f"auc_{name}"] = auc(scores, truth, of_jets)
        out[f"auc_error_{name}"] = auc_error(scores, truth, of_jets)
        out[f"auc_low_{name}"], out[f"auc_high_{name}"] = auc_interval(scores, truth, of_jets)
        for efficiency in efficiencies:
            out[f"rejection_{name}_{100 * efficiency:.0f}"] = rejection(
                scores, truth, efficiency, bootstraps=bootstraps, weights=of_jets
            )
    return out
