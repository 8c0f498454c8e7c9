"""Contact predictions over families as a table: precision, spread over runs and over families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sciml.paths import atomic_write
from sciml.protein.contacts.coarse_model import fold
from sciml.protein.contacts.distogram import contact_probability
from sciml.protein.contacts.families import Family
from sciml.protein.contacts.features import ContactFeatures
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.measure import metrics

PRECISIONS = ("P@L", "P@L/2", "P@L/5")


@dataclass
class FamilyFeatures:
    """What a family is measured by.

    Attributes:
        name: of the family.
        features: of its alignment.
        distances: [C, C] CB distances [A], NaN where unknown.
        family: the real family, where it is one.
        controls: features with which a network should do worse, by name.
    """

    name: str
    features: ContactFeatures
    distances: np.ndarray
    family: Family | None = None
    controls: dict[str, ContactFeatures] = field(default_factory=dict)

    def precision(self, scores: np.ndarray) -> dict[str, float]:
        """Precision of long-range contacts by scores [C, C]."""
        if self.family is not None:
            return self.family.precision(scores)
        return metrics.contact_precision(scores, self.distances)


class FamilyFiles(Sequence[FamilyFeatures]):
    """Families with generated structures, each read from its file on access.

    Args:
        paths: files of `ContactFeatures.write`, with CB positions.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return FamilyFiles(self.paths[index])
        path = self.paths[index]
        features, cb = ContactFeatures.read(path)
        return FamilyFeatures(path.stem, features, metrics.distances(cb))


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap: the 2.5 and 97.5 percentiles of the mean over families drawn with replacement."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


Predictions = dict[str, dict[str, np.ndarray]]
"""Of one run: kind of input ("", or a control) -> family -> distogram [C, C, 16]."""


def predictions_of(predictor: ContactPredictor, items: list[FamilyFeatures]) -> Predictions:
    """Distograms of families and of their controls."""
    predictions: Predictions = {}
    for item in items:
        for kind, features in {"": item.features, **item.controls}.items():
            distogram = predictor.from_features(features).distogram
            predictions.setdefault(kind, {})[item.name] = distogram.astype(np.float32)
    return predictions


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Save them, in half precision, as .npz."""
    arrays = {
        f"{kind}|{name}": distogram.astype(np.float16)
        for kind, by_name in predictions.items()
        for name, distogram in by_name.items()
    }
    with atomic_write(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def read_predictions(path: Path) -> Predictions:
    """From a file of `write_predictions`."""
    predictions: Predictions = {}
    with np.load(path) as file:
        for key in file.files:
            kind, name = key.split("|")
            predictions.setdefault(kind, {})[name] = file[key].astype(np.float32)
    return predictions


def row(
    items: list[FamilyFeatures], runs: list[Callable[[FamilyFeatures], np.ndarray]], what: str
) -> dict[str, Any]:
    """Mean long-range precision of scores [C, C].

    With the spread over runs (one standard deviation), and the 95 % bootstrap interval of the mean
    over families ("families").
    """
    table: dict[str, Any] = {"method": what}
    each = [[item.precision(scores(item)) for item in items] for scores in runs]
    for name in PRECISIONS:
        values = np.array([[precision[name] for precision in run] for run in each])
        table[name] = round(float(np.nanmean(values)), 4)
        if len(runs) > 1:
            table[f"{name} spread"] = round(float(np.std(np.nanmean(values, 1), ddof=1)), 4)
        low, high = interval(np.nanmean(values, 0))
        table[f"{name} families"] = f"{low:.2f} to {high:.2f}"
    table["families"], table["runs"] = len(items), len(runs)
    return table


def contacts_of(run: Predictions, kind: str = "") -> Callable[[FamilyFeatures], np.ndarray]:
    """family -> contact probabilities [C, C]."""
    return lambda item: contact_probability(run[kind][item.name])


def mean_of(runs: list[Predictions]) -> Predictions:
    """Class probabilities averaged over runs."""
    return {
        kind: {name: np.mean([run[kind][name] for run in runs], 0) for name in runs[0][kind]}
        for kind in runs[0]
    }


def rows_of(
    items: list[FamilyFeatures], runs: list[Predictions], what: str, *, with_controls: bool
) -> list[dict[str, Any]]:
    """The rows of one method: mean of the runs, the averaged network, and the controls."""
    rows = [row(items, [contacts_of(run) for run in runs], what)]
    if len(runs) > 1:
        rows.append(row(items, [contacts_of(mean_of(runs))], f"{what}, mean of {len(runs)}"))
    if with_controls:
        for kind in runs[0]:
            if kind:
                rows.append(row(items, [contacts_of(r, kind) for r in runs], f"{what}: {kind}"))
    return rows


def couplings(items: list[FamilyFeatures]) -> list[dict[str, Any]]:
    """Rows of the couplings alone."""
    return [
        row(items, [lambda item: item.features.dca], "mean-field couplings"),
        row(items, [lambda item: item.features.plm], "pseudo-likelihood couplings"),
    ]


def by_family(
    items: list[FamilyFeatures], zero: Predictions, tuned: Predictions
) -> list[dict[str, Any]]:
    """Each family's precision by each method."""
    methods: dict[str, Callable[[FamilyFeatures], np.ndarray]] = {
        "mean-field couplings": lambda item: item.features.dca,
        "pseudo-likelihood couplings": lambda item: item.features.plm,
        "generated families only": contacts_of(zero),
        "fine-tuned": contacts_of(tuned),
    }
    return [
        {
            "family": item.name,
            "effective sequences": round(item.features.neff),
            **{
                method: {k: round(item.precision(score(item))[k], 4) for k in PRECISIONS}
                for method, score in methods.items()
            },
        }
        for item in items
    ]


def fold_and_score(item: FamilyFeatures, distogram: np.ndarray) -> dict[str, Any]:
    """Fold one chain; scores of the model and of its mirror image, where the truth is known.

    "TM-score" compares every residue with itself, "TM-align" (tmtools) those that lie best; "ca"
    are the CA positions [A].
    """
    if item.family is None:
        model = fold(distogram, starts=2, steps=200)
        ca = np.round(model.ca, 2).tolist()
        return {"family": item.name, "residues": len(ca), "TM-score": None, "ca": ca}
    order = np.argsort(item.family.column)
    columns = item.family.column[order]
    model = fold(distogram[np.ix_(columns, columns)], starts=2, steps=200)
    truth = item.family.ca[order]
    mirrored = model.ca * np.array([1.0, 1.0, -1.0])
    return {
        "family": item.name,
        "residues": len(model.ca),
        "TM-score": round(metrics.tm_score(model.ca, truth), 3),
        "TM-align": round(metrics.tm_score(model.ca, truth, aligned=False), 3),
        "mirror image": round(metrics.tm_score(mirrored, truth), 3),
        "ca": np.round(model.ca, 2).tolist(),
    }
