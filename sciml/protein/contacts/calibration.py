"""Calibration of contact probabilities by the effective number of sequences.

A network that learned from deep alignments is as confident on a shallow one, where it is mostly
wrong. Its logits l of a pair are therefore mapped to

    a(n) + b(n) l + c(n) m + d(n) log(C / 80)

with n the effective number of sequences, m the mean logit of the C best pairs of the C columns,
and a, b, c, d linear in log n between knots: logistic calibration (Platt 1999; Guo et al., ICML
2017) with a term that all pairs of a family share. The order of a family's pairs does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.protein.io.alignment import Alignment

KNOTS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Effective numbers of sequences at which the terms are fitted."""
TERMS = 4
SEPARATION = 6
FEW = 100
"""Effective sequences below which couplings carry little signal."""
PRIOR = 1e-5
"""Strength of the prior that neighbouring knots agree, and that slopes are one."""


@dataclass(frozen=True)
class Sample:
    """Pairs of one alignment with known contacts.

    Attributes:
        neff: effective number of sequences. columns: of the alignment.
        logits: [P] of pairs `SEPARATION` or more apart. contact: [P] whether they are one.
    """

    neff: float
    columns: int
    logits: np.ndarray
    contact: np.ndarray

    @classmethod
    def of(cls, probability: np.ndarray, distances: np.ndarray, neff: float) -> Sample:
        """From probabilities [C, C] and CB distances [C, C] [A], NaN where unknown."""
        rows, columns = np.triu_indices(len(distances), SEPARATION)
        known = np.isfinite(distances[rows, columns])
        pairs = rows[known], columns[known]
        contact = (distances[pairs] < 8).astype(np.float64)
        return cls(neff, len(distances), logit(probability[pairs]), contact)


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Save them as .npz."""
    arrays: dict[str, Any] = {}
    for number, sample in enumerate(samples):
        arrays[f"{number} logits"] = sample.logits.astype(np.float32)
        arrays[f"{number} contact"] = sample.contact.astype(np.uint8)
        arrays[f"{number} sizes"] = np.array([sample.neff, sample.columns], np.float64)
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def read_samples(path: Path) -> list[Sample]:
    """Samples from a file of `write_samples`."""
    with np.load(path) as file:
        return [
            Sample(
                float(file[f"{number} sizes"][0]),
                int(file[f"{number} sizes"][1]),
                file[f"{number} logits"].astype(np.float64),
                file[f"{number} contact"].astype(np.float64),
            )
            for number in range(len(file.files) // 3)
        ]


@dataclass(frozen=True)
class Calibration:
    """The fitted terms: [knots, 4], the columns a, b, c, d of the module's formula."""

    terms: np.ndarray

    def at(self, neff: float) -> np.ndarray:
        """[4] a, b, c, d for this many effective sequences."""
        place = np.log(np.clip(neff, KNOTS[0], KNOTS[-1]))
        return np.array([np.interp(place, np.log(KNOTS), column) for column in self.terms.T])

    def logits(
        self, raw: np.ndarray, neff: float, columns: int, shared: float | None = None
    ) -> np.ndarray:
        """Calibrated logits of pairs.

        Args:
            raw: logits as the network gives them, of any shape.
            neff: effective number of sequences. columns: of the alignment.
            shared: m of the module's formula; None: `raw` are all pairs that are far enough apart.
        """
        a, b, c, d = self.at(neff)
        m = _shared(raw, columns) if shared is None else shared
        return a + b * raw + c * m + d * np.log(columns / 80)

    def __call__(self, probability: np.ndarray, neff: float) -> np.ndarray:
        """Calibrated probabilities [C, C]; the diagonal stays 1.

        Args:
            probability: [C, C] as the network gives them, symmetric.
            neff: effective number of sequences.
        """
        columns = len(probability)
        upper = np.triu_indices(columns, min(SEPARATION, max(columns - 1, 0)))
        raw = logit(probability)
        calibrated = 1 / (
            1 + np.exp(-self.logits(raw, neff, columns, _shared(raw[upper], columns)))
        )
        np.fill_diagonal(calibrated, 1.0)
        return calibrated.astype(probability.dtype)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a model's file."""
        return {"knots": list(KNOTS), "terms": np.round(self.terms, 6).tolist()}

    @classmethod
    def from_dict(cls, saved: Any, where: object = None) -> Calibration:
        """From a model's file.

        Raises:
            InputError: it is not a calibration, or has other knots.
        """
        try:
            terms = np.array(saved["terms"], np.float64)
            knots = tuple(float(knot) for knot in saved["knots"])
        except (TypeError, KeyError, ValueError) as error:
            raise InputError("its calibration is not readable", where=where) from error
        right = terms.shape == (len(KNOTS), TERMS) and bool(np.isfinite(terms).all())
        if knots != KNOTS or not right or bool((terms[:, 1] <= 0).any()):
            raise InputError("its calibration is of another version, or damaged", where=where)
        return cls(terms)


def thinned(alignment: Alignment, seed: int) -> list[Alignment]:
    """The alignment, and the first of its rows with random others, as many as each knot says."""
    subsets = []
    for number, depth in enumerate(KNOTS):
        if depth < alignment.depth:
            rng = np.random.default_rng([seed, number])
            subsets.append(alignment.sample(int(depth), rng))
    return [*subsets, alignment]


def few(neff: float) -> str:
    """Warning about fewer effective sequences than `FEW`."""
    return (
        f"only {neff:.0f} effective sequences, where couplings need {FEW}: most of its contacts "
        "will be wrong"
    )


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), within +-14."""
    clipped = np.clip(np.asarray(probability, np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _shared(logits: np.ndarray, columns: int) -> float:
    """Mean of the `columns` largest."""
    if not len(logits):
        return 0.0
    most = min(columns, len(logits))
    return float(np.partition(logits, len(logits) - most)[-most:].mean())


def _basis(logits: np.ndarray, columns: int) -> np.ndarray:
    """[P, 4]: 1, the logit, the family's mean of the best, the length."""
    basis = np.ones((len(logits), TERMS))
    basis[:, 1] = logits
    basis[:, 2] = _shared(logits, columns)
    basis[:, 3] = np.log(columns / 80)
    return basis


def fit(samples: Sequence[Sample]) -> Calibration:
    """The terms of least cross-entropy, every alignment counting the same.

    Args:
        samples: alignments of all depths, thinned ones among them.

    Raises:
        InputError: there are none.
    """
    from scipy.optimize import minimize

    if not samples:
        raise InputError("calibration needs alignments with known contacts")
    bases = [_basis(sample.logits, sample.columns) for sample in samples]
    knots = np.log(KNOTS)
    hats = [
        np.array([np.interp(np.log(max(s.neff, 1)), knots, row) for row in np.eye(len(knots))])
        for s in samples
    ]
    plain = np.zeros((len(KNOTS), TERMS))
    plain[:, 1] = 1.0

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        terms = flat.reshape(plain.shape)
        steps = np.diff(terms, axis=0)
        value = PRIOR * (((terms - plain) ** 2).sum() + (steps**2).sum())
        slope = 2 * PRIOR * (terms - plain)
        slope[1:] += 2 * PRIOR * steps
        slope[:-1] -= 2 * PRIOR * steps
        for sample, basis, hat in zip(samples, bases, hats, strict=True):
            z = basis @ (hat @ terms)
            value += (np.logaddexp(0, z) - sample.contact * z).mean() / len(samples)
            error = (1 / (1 + np.exp(-z)) - sample.contact) / (len(z) * len(samples))
            slope += np.outer(hat, error @ basis)
        return float(value), slope.ravel()

    bounds = [(0.05, 3.0) if k % TERMS == 1 else (-8.0, 8.0) for k in range(plain.size)]
    optimum = minimize(loss, plain.ravel(), jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibration(optimum.x.reshape(plain.shape))
