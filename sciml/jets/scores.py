"""Predictions of models of jets: one row per jet in input order, with the faults of its input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from sciml.prediction import ArrayResult

COUNTS = ("cut", "dropped", "repaired")
"""Fields that count changes to the input of each jet."""
PT = "pt_"
"""Beginning of the names of pT quantiles, followed by the probability in per cent."""


class JetPrediction(ArrayResult):
    """Arrays of n jets; what `JetScores` and `JetMasses` have in common."""

    flags: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    repaired: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Predictions of consecutive jets as one."""
        values = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            pieces = [getattr(part, field.name) for part in parts]
            arrays = isinstance(pieces[0], np.ndarray)
            values[field.name] = np.concatenate(pieces) if arrays else pieces[0]
        return cls(**values)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class JetScores(JetPrediction):
    """Class probabilities of n jets; behaves as the array `probabilities`.

    Attributes:
        probabilities: [n, classes] float32, NaN for a faulty jet.
        flags: [n] int64, `sciml.jets.data.features.Flag` bits; 0 = a good jet.
        cut: [n] int64, constituents beyond the model's limit that were left out.
        dropped: [n] int64, candidates without momentum that were left out.
        repaired: [n] int64, values made usable (`sciml.jets.data.tidy`).
        classes: names of the columns.
    """

    ARRAY = "probabilities"

    probabilities: np.ndarray
    flags: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    repaired: np.ndarray
    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class JetMasses(JetPrediction):
    """Masses of n jets with their quantiles; behaves as the array `masses`.

    Attributes:
        masses: [n, 1 + quantiles] float32 GeV: the point estimate, then the quantiles ascending;
            NaN for a faulty jet.
        flags, cut, dropped, repaired: as for `JetScores`.
        names: names of the columns: `mass`, `mass_16`, ...
    """

    ARRAY = "masses"

    masses: np.ndarray
    flags: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    repaired: np.ndarray
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class JetFlavours(JetPrediction):
    """Flavours and transverse momenta of n jets; behaves as the array `values`.

    Attributes:
        values: [n, classes + quantiles] float32: class probabilities, then quantiles of the true
            pT in GeV, ascending; NaN for a faulty jet.
        flags, cut, dropped, repaired: as for `JetScores`.
        names: names of the columns: b, c, ..., pt_16, ...
    """

    ARRAY = "values"

    values: np.ndarray
    flags: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    repaired: np.ndarray
    names: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name in self.names if not name.startswith(PT))

    @property
    def probabilities(self) -> np.ndarray:
        """[n, classes] float32."""
        return self.values[:, : len(self.classes)]

    @property
    def pt(self) -> np.ndarray:
        """[n, quantiles] float32 GeV."""
        return self.values[:, len(self.classes) :]


@dataclasses.dataclass(frozen=True)
class JetTracks:
    """Origins and vertices of the constituents of n jets, jets end to end.

    Attributes:
        counts: [n] constituents of each jet, the leading ones in pT where a jet has too many.
        origins: [sum of counts, origins] float32 probabilities; NaN without a track.
        vertex: [sum of counts] int64, number of the vertex in the jet: 0 the primary one, then by
            falling pT of the leading track; -1 without a track.
        names: of the origins.
    """

    counts: np.ndarray
    origins: np.ndarray
    vertex: np.ndarray
    names: tuple[str, ...]


class Tally:
    """Counts of faulty, cut and repaired jets over many predictions, in constant memory.

    Args:
        limit: constituents per jet that the model uses.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.jets, self.faulty = limit, 0, 0
        self.affected = dict.fromkeys(COUNTS, 0)
        """Jets with at least one change."""
        self.changes = dict.fromkeys(COUNTS, 0)

    def add(self, prediction: JetPrediction) -> None:
        """Count the jets of one prediction."""
        self.jets += len(prediction.flags)
        self.faulty += int((prediction.flags != 0).sum())
        for name in COUNTS:
            counts: np.ndarray = getattr(prediction, name)
            self.affected[name] += int((counts > 0).sum())
            self.changes[name] += int(counts.sum())

    def remarks(self) -> list[str]:
        """One sentence for each kind of change that occurred."""
        jets, changes = self.affected, self.changes
        sentences = {
            "cut": f"{jets['cut']} of {self.jets} jets have more than {self.limit} constituents: "
            f"the leading {self.limit} in pT were used",
            "dropped": f"{changes['dropped']} candidates without momentum were left out of "
            f"{jets['dropped']} of {self.jets} jets",
            "repaired": f"{changes['repaired']} values of {jets['repaired']} of {self.jets} jets "
            "were repaired (energy below momentum by rounding, infinite impact parameter, or one "
            "of a neutral candidate)",
        }
        return [sentence for name, sentence in sentences.items() if jets[name]]
