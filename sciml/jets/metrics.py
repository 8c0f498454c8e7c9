"""Metrics of taggers: accuracy, AUC, background rejection with errors, calibration.

Rejection is 1 / (background efficiency) at a given signal efficiency. Its error comes from
resampling the jets (bootstrap). Where no background jet passes, a rejection cannot be quoted: the
result is a lower limit at 95 % confidence, from at most 3 expected events (-ln 0.05).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sciml.errors import InputError

LIMIT_95 = -math.log(0.05)
"""Expected events excluded at 95 % confidence when none is seen."""


def _checked(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if scores.shape != truth.shape or scores.ndim != 1:
        raise InputError(f"scores {scores.shape} and truth {truth.shape} must have one shape [n]")
    good = np.isfinite(scores)
    scores, truth = scores[good], truth[good]
    if truth.all() or not truth.any():
        raise InputError("needs at least one signal and one background jet with a finite score")
    return scores, truth


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
        weights: [n] >= 0, of jets: a jet of weight 2 counts as two jets. All alike if None.

    Raises:
        InputError: no signal or no background, or weights that are negative or not finite.
    """
    if weights is not None:
        return _weighted_auc(scores, truth, weights)
    scores, truth = _checked(scores, truth)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    signal = int(truth.sum())
    total = rank[inverse][truth].sum() - signal * (signal + 1) / 2
    return float(total / (signal * (len(truth) - signal)))


def _weighted_auc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    weights = _checked_weights(weights, np.shape(scores))[np.isfinite(scores)]
    scores, truth = _checked(scores, truth)
    _, inverse = np.unique(scores, return_inverse=True)
    signal = np.bincount(inverse, weights * truth)
    background = np.bincount(inverse, weights * ~truth)
    below = np.cumsum(background) - background / 2
    total = signal.sum() * background.sum()
    if not total > 0:
        raise InputError("the weights of the signal or of the background add up to 0")
    return float((signal * below).sum() / total)


def _checked_weights(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    weights = np.asarray(weights, np.float64)
    if weights.shape != shape[:1]:
        raise InputError(f"weights {weights.shape} must have the shape {shape[:1]}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        jet = int(np.argmax(bad))
        raise InputError(f"the weight of jet {jet} is {weights[jet]}, not a number >= 0")
    if len(weights) and not weights.any():
        raise InputError("all weights are 0")
    return weights


def auc_error(scores: np.ndarray, truth: np.ndarray) -> float:
    """Standard error of `auc` (DeLong et al. 1988, Biometrics 44, 837); never 0.

    Where the scores separate signal and background without a single swap, DeLong's variance is 0,
    yet the AUC is not exact: the error is then the 68 % limit, see `auc_interval`. Where it is 0
    for another reason (all scores equal, one jet of a class) the error is that of Hanley and McNeil
    1982, Radiology 143, 29.
    """
    scores, truth = _checked(scores, truth)
    signal, background = np.sort(scores[truth]), np.sort(scores[~truth])
    n_signal, n_background = len(signal), len(background)
    value = auc(scores, truth)
    if value in (0.0, 1.0):
        return _unseen(min(n_signal, n_background), 1 - 0.6827)

    def above(values: np.ndarray, others: np.ndarray) -> np.ndarray:
        low = np.searchsorted(others, values, "left")
        return (low + np.searchsorted(others, values, "right")) / (2 * len(others))

    if min(n_signal, n_background) > 1:
        parts = (above(signal, background), above(background, signal))
        variance = sum(part.var(ddof=1) / len(part) for part in parts)
        if variance > 0:
            return math.sqrt(variance)
    one, two = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value)
    variance += (n_signal - 1) * (one - value**2) + (n_background - 1) * (two - value**2)
    return math.sqrt(variance / (n_signal * n_background))


def _unseen(pairs: int, level: float) -> float:
    """Largest share of swapped pairs that leaves `pairs` independent ones without a swap with
    probability `level` (3 / pairs at 5 %, the rule of three)."""
    return 1 - level ** (1 / pairs)


def auc_interval(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Lower and upper limit of `auc` at 95 % confidence, within [0, 1].

    From `auc_error` on the scale of log(AUC / (1 - AUC)). Where no pair is swapped: the limit for
    as many independent pairs as jets of the rarer class, all in order (Clopper and Pearson).
    """
    scores, truth = _checked(scores, truth)
    value = auc(scores, truth)
    if value in (0.0, 1.0):
        unseen = _unseen(int(min(truth.sum(), (~truth).sum())), 0.05)
        return (1 - unseen, 1.0) if value else (0.0, unseen)
    middle = math.log(value / (1 - value))
    width = 1.96 * auc_error(scores, truth) / (value * (1 - value))
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


def rejection(
    scores: np.ndarray,
    truth: np.ndarray,
    efficiency: float = 0.5,
    *,
    bootstraps: int = 200,
    seed: int = 0,
) -> Rejection:
    """Background rejection at a signal efficiency, with its error or as a lower limit.

    The threshold is the largest score that at least `efficiency` of the signal reaches.

    Args:
        scores, truth: as for `auc`.
        efficiency: of the signal, within (0, 1].
        bootstraps: resamplings for the error.
        seed: of the resampling.
    """
    if not 0 < efficiency <= 1:
        raise InputError(f"the signal efficiency must be within (0, 1], got {efficiency}")
    scores, truth = _checked(scores, truth)
    signal, background = np.sort(scores[truth]), np.sort(scores[~truth])
    passing = _passing(signal, background, efficiency)
    if passing == 0:
        return Rejection(efficiency, len(background) / LIMIT_95, math.nan, 0, True)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(bootstraps):
        s = np.sort(random.choice(signal, len(signal)))
        b = np.sort(random.choice(background, len(background)))
        # a resampling without passing jets would be infinite: count half a jet instead
        values.append(len(b) / max(_passing(s, b, efficiency), 0.5))
    error = float(np.std(values, ddof=1)) if bootstraps > 1 else math.nan
    return Rejection(efficiency, len(background) / passing, error, passing, False)


def _passing(signal: np.ndarray, background: np.ndarray, efficiency: float) -> int:
    """Background scores (ascending) at or above the threshold of this signal efficiency."""
    threshold = signal[len(signal) - max(1, math.ceil(efficiency * len(signal) - 1e-9))]
    return len(background) - int(np.searchsorted(background, threshold, "left"))


def roc(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signal and background efficiency at every threshold, from (0, 0) to (1, 1)."""
    scores, truth = _checked(scores, truth)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # one point per distinct score
    signal = np.cumsum(truth[order])[last] / truth.sum()
    background = np.cumsum(~truth[order])[last] / (~truth).sum()
    return np.append(0.0, signal), np.append(0.0, background)


def rejection_curve(
    scores: np.ndarray,
    truth: np.ndarray,
    efficiencies: Sequence[float] | np.ndarray,
    *,
    bootstraps: int = 100,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rejection and its 68 % bootstrap band at many efficiencies; NaN where no background passes.

    Returns:
        value, low, high: [len(efficiencies)] each.
    """
    scores, truth = _checked(scores, truth)
    signal, background = np.sort(scores[truth]), np.sort(scores[~truth])

    def curve(s: np.ndarray, b: np.ndarray) -> np.ndarray:
        counts = np.array([_passing(s, b, e) for e in efficiencies], float)
        return np.divide(len(b), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    random = np.random.default_rng(seed)
    samples = np.stack(
        [
            curve(
                np.sort(random.choice(signal, len(signal))),
                np.sort(random.choice(background, len(background))),
            )
            for _ in range(bootstraps)
        ]
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
    if weights is not None:
        return float(np.average(right, weights=_checked_weights(weights, right.shape)))
    return float(right.mean())


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[classes, classes] share of each true class (row) that is tagged as each class (column)."""
    classes = probabilities.shape[1]
    good = np.isfinite(probabilities).all(1)
    tagged = np.nan_to_num(probabilities).argmax(1)[good]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (np.asarray(labels)[good], tagged), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in bins of confidence.

    confidence, accuracy, jets: [bins]; NaN in empty bins.
    error: expected calibration error, the mean gap weighted by jets.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    jets: np.ndarray
    error: float


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Calibration:
    """Reliability of the largest probability (Guo et al. 2017, arXiv:1706.04599)."""
    probabilities = np.asarray(probabilities, np.float64)
    good = np.isfinite(probabilities).all(1)
    best = probabilities[good].max(1)
    right = probabilities[good].argmax(1) == np.asarray(labels)[good]
    index = np.clip((best * bins).astype(int), 0, bins - 1)
    jets = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(index, best, bins) / jets
        accurate = np.bincount(index, right, bins) / jets
    gap = np.nansum(np.abs(confidence - accurate) * jets) / max(len(best), 1)
    return Calibration(confidence, accurate, jets, float(gap))


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the cross-entropy of logits / temperature."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / math.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return math.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)


def evaluate(
    probabilities: ArrayLike,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    background: str = "QCD",
    efficiencies: Sequence[float] = (0.3, 0.5),
    bootstraps: int = 200,
) -> dict[str, float | Rejection]:
    """Accuracy, and AUC and rejection of every class against the background class.

    Returns:
        `accuracy`, `auc_<class>`, `auc_error_<class>`, `auc_low_<class>` and `auc_high_<class>`
        (95 % confidence), `rejection_<class>_<efficiency in %>`.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    out: dict[str, float | Rejection] = {"accuracy": accuracy(probabilities, labels)}
    if background not in classes:
        return out
    base = list(classes).index(background)
    for signal, name in enumerate(classes):
        selected = (labels == signal) | (labels == base)
        if signal == base or not (labels == signal).any() or not (labels == base).any():
            continue
        scores = discriminant(probabilities[selected], signal, base)
        truth = labels[selected] == signal
        out[f"auc_{name}"] = auc(scores, truth)
        out[f"auc_error_{name}"] = auc_error(scores, truth)
        out[f"auc_low_{name}"], out[f"auc_high_{name}"] = auc_interval(scores, truth)
        for efficiency in efficiencies:
            out[f"rejection_{name}_{100 * efficiency:.0f}"] = rejection(
                scores, truth, efficiency, bootstraps=bootstraps
            )
    return out
