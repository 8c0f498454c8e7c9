"""The page of `sciml jets attack`: accuracy against the strength of allowed changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sciml.errors import InputError
from sciml.jets.learning.attacks import robustness
from sciml.jets.networks.embedder import raw_batch
from sciml.report import Card, Estimate, Page, literal, plots

if TYPE_CHECKING:
    from sciml.jets.data.sample import JetSample
    from sciml.jets.tagger import JetTagger

WAYS = ("random", "search", "gradient")
UNITS = {
    "resolution": "detector resolutions", "soft": "GeV a photon",
    "collinear": "times 0.02 apart",
}  # fmt: skip
AT_ONCE = 100
"""Jets of a batch."""


def attack_page(
    tagger: JetTagger, sample: JetSample, *, model: str, kinds: tuple[Any, ...],
    strengths: tuple[float, ...], jets: int, steps: int, seed: int,
) -> tuple[Page, list[dict[str, Any]]]:  # fmt: skip
    """The page, and its rows.

    Args: as of `sciml jets attack`.

    Raises:
        InputError: no jet is labelled with a class of the tagger.
    """
    place = {name: k for k, name in enumerate(tagger.classes)}
    truth = np.array([place.get(name, -1) for name in sample.classes] + [-1])[sample.y]
    usable = np.flatnonzero((truth >= 0) & (sample.lengths >= 2))
    if not len(usable):
        raise InputError("holds no jet labelled with a class of the tagger",
                         hint=f"Its classes are {', '.join(tagger.classes)}")  # fmt: skip
    chosen = usable[np.linspace(0, len(usable) - 1, min(jets, len(usable))).astype(int)]
    device = next(tagger.parameters()).device
    parts = []
    for first in range(0, len(chosen), AT_ONCE):
        rows = chosen[first : first + AT_ONCE]
        batch = raw_batch(sample.subset(rows).dense().to(device))
        labels = torch.as_tensor(truth[rows], device=device)
        parts.append((len(rows), robustness(
            tagger, batch, labels, kinds=kinds, strengths=strengths, steps=steps, seed=seed + first
        )))  # fmt: skip
    rows_of = zip(*(part for _, part in parts), strict=True)
    weights = np.array([count for count, _ in parts]) / len(chosen)
    result = [
        {key: value if isinstance(value, str) or key == "strength"
         else float(weights @ [row[key] for row in group]) for key, value in group[0].items()}
        for group in rows_of
    ]  # fmt: skip
    page = Page("How far a tagger can be fooled",
                lead=f"`{literal(model)}`, {len(chosen)} labelled jets, changed within what "
                "detector and theory allow; the share that is still tagged right.",
                seeds=(seed,))  # fmt: skip
    total = len(chosen)
    most = [row for row in result if row["strength"] == strengths[-1]]
    counts = [("unchanged", result[0]["unchanged"])]
    counts += [(f"{row['kind']}, gradient", row["gradient"]) for row in most]
    page.card(Card(
        "Does the answer hold where the jet is measured a little differently?",
        f"Share of right answers at strength {strengths[-1]:g}, worst change that was seen.",
        "Share of jets tagged right, 95 % interval; higher is better.",
        tuple((name, Estimate.of_counts(round(v * total), total)) for name, v in counts),
        f"{total} jets; {steps} passes a jet", "Jet tagging",
    ))  # fmt: skip
    for kind in kinds:
        figure, axis = plots.axes()
        mine = [row for row in result if row["kind"] == kind]
        for way in WAYS:
            axis.plot([0, *strengths], [mine[0]["unchanged"], *(row[way] for row in mine)],
                      marker="o", label=way)  # fmt: skip
        axis.set_xlabel(f"strength [{UNITS[kind]}]")
        axis.set_ylabel("accuracy")
        axis.set_ylim(0, 1)
        axis.legend(frameon=False)
        page.figure(figure, f"Accuracy under changes of the kind **{kind}**: one random change, "
                    "the worst of a search without gradients, the worst by gradient.")  # fmt: skip
    page.table(result, f"Share of {total} jets that are tagged right; search and gradient have "
               f"{steps} passes of the network for each jet.")  # fmt: skip
    return page, result


__all__ = ["attack_page"]
