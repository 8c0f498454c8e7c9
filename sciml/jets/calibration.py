"""How sure a tagger is and how often it is right: reliability, and what makes both agree.

`best_temperature` fits one number to all classes; `per_class` fits an increasing function of the
probability to each, which also mends a class that is too sure while another is not sure enough.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.jets.weighting import checked


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in bins of confidence.

    confidence, accuracy, jets: [bins]; NaN in empty bins; jets is the sum of their weights.
    error: expected calibration error, the mean gap weighted by jets.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    jets: np.ndarray
    error: float


def calibration(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15, weights: Any = None
) -> Calibration:
    """Reliability of the largest probability (Guo et al. 2017, arXiv:1706.04599).

    Args:
        probabilities: [n, classes]; rows that are not finite are left out.
        labels: [n] classes.
        bins: of the probability, of equal width.
        weights: [n] of jets, see `sciml.jets.weighting`.
    """
    probabilities = np.asarray(probabilities, np.float64)
    good = np.isfinite(probabilities).all(1)
    best = probabilities[good].max(1)
    right = probabilities[good].argmax(1) == np.asarray(labels)[good]
    return reliability(best, right, bins, checked(weights, probabilities.shape)[good])


def calibration_of(
    probabilities: np.ndarray, labels: np.ndarray, index: int, bins: int = 15, weights: Any = None
) -> Calibration:
    """Reliability of the probability of one class: as `calibration`, of class `index`."""
    probabilities = np.asarray(probabilities, np.float64)
    good = np.isfinite(probabilities).all(1)
    right = np.asarray(labels)[good] == index
    weights = checked(weights, probabilities.shape)[good]
    return reliability(probabilities[good, index], right, bins, weights)


def reliability(sure: np.ndarray, right: np.ndarray, bins: int, weights: np.ndarray) -> Calibration:
    """Mean of `sure` and of `right` in bins of `sure`, each [n], with weights [n]."""
    index = np.clip((sure * bins).astype(int), 0, bins - 1)
    jets = np.bincount(index, weights, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(index, weights * sure, bins) / jets
        accurate = np.bincount(index, weights * right, bins) / jets
    total = weights.sum()
    gap = np.nansum(np.abs(confidence - accurate) * jets) / (total if total > 0 else 1)
    return Calibration(confidence, accurate, jets, float(gap))


def best_temperature(logits: np.ndarray, labels: np.ndarray, weights: Any = None) -> float:
    """The temperature that minimises the (weighted) cross-entropy of logits / temperature."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    weights = checked(weights, logits.shape)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / math.exp(log_temperature), axis=1)
        return float(-np.average(scaled[np.arange(len(labels)), labels], weights=weights))

    return math.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)


@dataclasses.dataclass(frozen=True)
class ClassCalibration:
    """An increasing function of the probability of each class (isotonic regression, one against
    the rest; Zadrozny and Elkan 2002, doi:10.1145/775047.775151), after which rows add up to 1.

    Attributes:
        classes: names.
        steps: of each class the probabilities where the function bends, and its values there.
    """

    classes: tuple[str, ...]
    steps: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """[n, classes] -> [n, classes] float64; NaN stays NaN."""
        probabilities = np.asarray(probabilities, np.float64)
        if probabilities.shape[1:] != (len(self.classes),):
            raise InputError(
                f"needs the probabilities of {len(self.classes)} classes, got the shape "
                f"{probabilities.shape}"
            )
        columns = [np.interp(p, x, y) for p, (x, y) in zip(probabilities.T, self.steps)]
        out = np.stack(columns, axis=1)
        total = out.sum(1, keepdims=True)
        # Where every function is 0 the classes stay as they were.
        return np.where(total > 0, out / np.where(total > 0, total, 1), probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        rows = zip(self.classes, self.steps, strict=True)
        return {name: {"probability": x.tolist(), "value": y.tolist()} for name, (x, y) in rows}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: object = None) -> ClassCalibration:
        """What `to_dict` gave.

        Raises:
            InputError: it is something else.
        """
        try:
            steps = tuple(
                (np.asarray(v["probability"], float), np.asarray(v["value"], float))
                for v in values.values()
            )
            good = all(
                x.ndim == 1 and x.shape == y.shape and len(x) and np.isfinite([x, y]).all()
                and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
                for x, y in steps
            )  # fmt: skip
        except (AttributeError, KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise InputError("holds no calibration per class", where=where)
        return cls(tuple(values), steps)


def per_class(
    probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], weights: Any = None
) -> ClassCalibration:
    """Fit a `ClassCalibration` to labelled jets that training has not seen.

    Args:
        probabilities: [n, classes]; rows that are not finite are left out.
        labels: [n] classes.
        classes: names.
        weights: [n] of jets, see `sciml.jets.weighting`.

    Raises:
        InputError: a class without jets.
    """
    from sklearn.isotonic import IsotonicRegression

    probabilities = np.asarray(probabilities, np.float64)
    good = np.isfinite(probabilities).all(1)
    weights = checked(weights, probabilities.shape)[good]
    probabilities, labels = probabilities[good], np.asarray(labels)[good]
    steps = []
    for index, name in enumerate(classes):
        truth = labels == index
        if not weights[truth].any() or not weights[~truth].any():
            raise InputError(f"needs jets of the class {name!r} and of others to calibrate it")
        fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        fit.fit(probabilities[:, index], truth, sample_weight=weights)
        steps.append((fit.X_thresholds_.astype(float), fit.y_thresholds_.astype(float)))
    return ClassCalibration(tuple(classes), tuple(steps))
