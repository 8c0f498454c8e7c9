"""Contact predictions over families as a table: precision, spread over runs and over families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciml.protein.contacts.distogram import contact_probability
from sciml.protein.contacts.families import Family
from sciml.protein.contacts.features import ContactFeatures
from sciml.protein.measure import metrics

PRECISIONS = ("P@L", "P@L/2", "P@L/5")


@dataclass
class Item:
    """A family: features, distances [C, C] [A], what should do worse, and the real family."""

    name: str
    features: ContactFeatures
    distances: np.ndarray
    family: Family | None = None
    controls: dict[str, ContactFeatures] = field(default_factory=dict)

    def precision(self, scores: np.ndarray) -> dict[str, float]:
        if self.family is not None:
            return self.family.precision(scores)
        return metrics.contact_precision(scores, self.distances)


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap: the 2.5 and 97.5 percentiles of the mean over families drawn with replacement."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


# Predictions of one run over families: kind of input -> family -> class probabilities [C, C, 16].
Predictions = dict[str, dict[str, np.ndarray]]


def row(items: list[Item], runs: list[Callable[[Item], np.ndarray]], what: str) -> dict[str, Any]:
    """Mean long-range precision of scores [C, C].

    With the spread over runs (one standard deviation), and the interval in which the mean lies for
    19 of 20 draws of as many families ("families").
    """
    found: dict[str, Any] = {"method": what}
    each = [[item.precision(scores(item)) for item in items] for scores in runs]
    for name in PRECISIONS:
        values = np.array([[precision[name] for precision in run] for run in each])
        found[name] = round(float(np.nanmean(values)), 4)
        if len(runs) > 1:
            found[f"{name} spread"] = round(float(np.std(np.nanmean(values, 1), ddof=1)), 4)
        low, high = interval(np.nanmean(values, 0))
        found[f"{name} families"] = f"{low:.2f} to {high:.2f}"
    found["families"], found["runs"] = len(items), len(runs)
    return found


def contacts_of(run: Predictions, kind: str = "") -> Callable[[Item], np.ndarray]:
    """item -> contact probabilities [C, C]."""
    return lambda item: contact_probability(run[kind][item.name])


def mean_of(runs: list[Predictions]) -> Predictions:
    """Class probabilities averaged over runs."""
    return {
        kind: {name: np.mean([run[kind][name] for run in runs], 0) for name in runs[0][kind]}
        for kind in runs[0]
    }


def rows_of(
    items: list[Item], runs: list[Predictions], what: str, *, with_controls: bool
) -> list[dict[str, Any]]:
    """The table's rows of one method: each run, their mean, and its controls."""
    found = [row(items, [contacts_of(run) for run in runs], what)]
    if len(runs) > 1:
        found.append(row(items, [contacts_of(mean_of(runs))], f"{what}, mean of {len(runs)}"))
    if with_controls:
        for kind in runs[0]:
            if kind:
                found.append(row(items, [contacts_of(r, kind) for r in runs], f"{what}: {kind}"))
    return found


def couplings(items: list[Item]) -> list[dict[str, Any]]:
    """What the couplings say by themselves."""
    return [
        row(items, [lambda item: item.features.dca], "mean-field couplings"),
        row(items, [lambda item: item.features.plm], "pseudo-likelihood couplings"),
    ]


def by_family(items: list[Item], zero: Predictions, tuned: Predictions) -> list[dict[str, Any]]:
    """Each family's precision by each method."""
    methods: dict[str, Callable[[Item], np.ndarray]] = {
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
