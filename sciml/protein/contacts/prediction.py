"""What the contact network predicts of the columns of an alignment."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sciml.prediction import ArrayResult
from sciml.protein.contacts.calibration import Calibration
from sciml.protein.contacts.distogram import EDGES, contact_probability
from sciml.protein.contacts.features import ContactFeatures
from sciml.protein.measure.ranking import ranked_pairs


@dataclass(frozen=True, eq=False, repr=False)
class ContactPrediction(ArrayResult):
    """Contacts and distances of all pairs of columns; as an array it is `probability`.

    Attributes:
        probability: [C, C] that two CB atoms are closer than 8 A, calibrated where the model is.
        distogram: [C, C, 16] probabilities of the CB distance classes between `edges`, as the
            network gives them: for shallow alignments they are overconfident.
        dca: [C, C] corrected mean-field coupling scores, for comparison.
        neff: effective number of sequences.
        query: letters of the first row in these columns.
        windows: number of windows that the chain was predicted in (`predict_windows`); of several,
            pairs that are in none are NaN.
        edges: upper edges of the distance classes [A]; the last class has none.
    """

    ARRAY: ClassVar[str] = "probability"
    probability: np.ndarray
    distogram: np.ndarray
    dca: np.ndarray
    neff: float
    query: str
    windows: int = 1
    edges: tuple[float, ...] = EDGES

    @classmethod
    def from_distogram(
        cls,
        distogram: np.ndarray,
        features: ContactFeatures,
        query: str,
        calibration: Calibration | None = None,
    ) -> ContactPrediction:
        """From class probabilities and the features that they were predicted from."""
        probability = contact_probability(distogram)
        if calibration is not None:
            probability = calibration(probability, features.neff)
        return cls(probability, distogram, features.dca, features.neff, query)

    @property
    def distances(self) -> np.ndarray:
        """The former name of `distogram`."""
        warnings.warn("`distances` is now `distogram`", DeprecationWarning, stacklevel=2)
        return self.distogram

    def table(self, separation: int = 6) -> list[tuple[int, int, float]]:
        """(i, j, probability) from 0, most probable first, for pairs at least that far apart.

        Pairs that were not predicted are left out.
        """
        return ranked_pairs(self.probability, separation)
