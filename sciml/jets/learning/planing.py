"""Planing: weights under which all classes have the same spectrum of jet mass or pT.

Chang, Cohen, Ostdiek 2018, "What is the machine learning?", arXiv:1709.10106. Under such weights
the spectrum itself says nothing about the class; what else in a jet tells its mass is still
learned (`sciml.jets.learning.decorrelation` forbids that, too).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, unknown
from sciml.jets.data.columns import FOUR_MOMENTUM
from sciml.jets.data.sample import JetSample
from sciml.jets.weighting import checked

Spectrum = Literal["mass", "pt"]
LARGEST = 20.0
"""Largest factor by which planing changes a weight: a bin that a class hardly reaches stays low."""
COLUMN = "planing weight"
"""Name of the column of weights of a planed sample."""


def planing_weights(
    values: np.ndarray, labels: np.ndarray, *, bins: int = 12, weights: np.ndarray | None = None
) -> NDArray[np.float64]:
    """Weights [n] that give each class the spectrum of all classes together.

    Every class counts alike in that spectrum and keeps the sum of its weights.

    Args:
        values: [n] or [n, k] of the jets: mass, or mass and pT.
        labels: [n] classes; below 0: unknown, whose weights stay.
        bins: per quantity, of equally many jets.
        weights: [n] before.

    Raises:
        InputError: other shapes, values that are not finite, or fewer than two bins.
    """
    values, labels = np.asarray(values, np.float64), np.asarray(labels)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != len(labels) or not np.isfinite(values).all():
        raise InputError(f"values {values.shape} must be finite, a row for each of {len(labels)}")
    if bins < 2:
        raise InputError(f"`bins` must be >= 2, got {bins}")
    out = checked(weights, labels.shape).copy()
    cell = np.zeros(len(values), np.int64)
    for column in values.T:
        edges = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]))
        cell = cell * bins + np.searchsorted(edges, column, "right")
    size = bins ** values.shape[1]
    classes = [c for c in np.unique(labels) if c >= 0 and out[labels == c].any()]
    shares = {}
    for index in classes:
        mine = labels == index
        shares[index] = np.bincount(cell[mine], out[mine], size) / out[mine].sum()
    target = np.mean(list(shares.values()), axis=0) if classes else np.zeros(size)
    for index, share in shares.items():
        mine = labels == index
        before = out[mine].sum()
        factor = np.minimum(target / np.where(share > 0, share, 1.0), LARGEST)
        out[mine] *= factor[cell[mine]]
        out[mine] *= before / out[mine].sum()
    return out


def planed(sample: JetSample, spectra: tuple[str, ...], bins: int = 12) -> JetSample:
    """A sample with planing weights, which training then uses.

    Args:
        sample: labelled jets in memory; its own weights are kept as factors.
        spectra: "mass", "pt" or both.
        bins: see `planing_weights`.

    Raises:
        InputError: an unknown spectrum, or jets on disk.
    """
    if wrong := next((name for name in spectra if name not in ("mass", "pt")), None):
        raise unknown("spectrum", wrong, ("mass", "pt"))
    if sample.on_disk:
        raise InputError("planing needs jets in memory", hint="Read fewer of them (max_jets)")
    particles: Any = sample.particles[:, FOUR_MOMENTUM]
    totals = np.concatenate([np.zeros((1, 4)), np.cumsum(np.asarray(particles, np.float64), 0)])
    ptr: Any = sample.ptr
    ptr = np.asarray(ptr)
    px, py, pz, energy = (totals[ptr[1:]] - totals[ptr[:-1]])[sample.rows].T
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
    of = {"mass": mass, "pt": np.hypot(px, py)}
    values = np.stack([of[name] for name in spectra], 1)
    weights = planing_weights(values, sample.y, bins=bins, weights=sample.weights)
    column = np.ones(len(ptr) - 1)
    column[sample.rows] = weights / weights.mean()
    return JetSample(
        sample.particles, sample.ptr, sample.jets, sample.labels, sample.classes,
        sample.columns | {COLUMN: column}, sample.rows, COLUMN,
    )  # fmt: skip
