"""Jets: the shipped tagger on generated jets that it has not seen, beside boosted trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sciml.files.jsons import dumps
from sciml.jets import JetTagger, metrics, plots
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.paths import atomic_write
from sciml.report import Card, Estimate, Page

MODEL = "jets-tiny"
LABELS = 1000
"""Labelled jets that the trees are fitted to here."""
BACKGROUND, SIGNAL = "QCD", "Tbqq"


def make(folder: Path, tiny: bool) -> None:
    """Write report.html and scores.json."""
    tagger = JetTagger.from_pretrained(MODEL, device="cpu")
    test = _some("test", tagger.classes, 600 if tiny else 2500)
    train = _some("train", tagger.classes, LABELS)
    trees = BoostedTrees(len(tagger.classes)).fit(observables_of(train), train.y)
    trees_name = "boosted trees"
    probabilities = {
        MODEL: tagger.predict(test).probabilities,
        trees_name: trees.predict(observables_of(test)),
    }
    rows = [
        {"class": plots.label(name), "jets": int((test.y == tagger.classes.index(name)).sum())}
        | {method: _estimate(values, test.y, tagger.classes, name).value
           for method, values in probabilities.items()}
        for name in tagger.classes if name != BACKGROUND
    ]  # fmt: skip
    with atomic_write(folder / "scores.json") as part:
        part.write_text(dumps({"model": MODEL, "jets": len(test), "auc": rows}, indent=1))

    page = Page("Jets: the shipped tagger", run=folder, seeds=(0,))
    ours, rival = (
        _estimate(values, test.y, tagger.classes, SIGNAL) for values in probabilities.values()
    )
    better = ours.low is not None and rival.high is not None and ours.low > rival.high
    page.card(Card(
        "Did a top quark make this jet, or light quarks and gluons?",
        "The shipped network, which has learned from 100,000 simulated jets, "
        + ("separates them better than" if better else "separates them about as well as")
        + f" boosted trees on jet observables with {len(train):,} labels.",
        "AUC of top against QCD jets, higher is better; 95 % interval",
        ((MODEL, ours), (trees_name, rival)),
        page.source("scores.json"), "Jets",
    ))  # fmt: skip
    page.text(
        f"{len(test):,} jets of the sample in the package, from Pythia 8 and a parametrised "
        f"detector; `{MODEL}` learned from other events of the same simulation. On data the "
        "numbers would be lower."
    )
    page.figure(
        plots.rejection_curves(_curves(probabilities, test.y, tagger.classes)),
        "Background rejection against signal efficiency, top against QCD jets; trees with "
        f"{len(train):,} labels; bands: 68 % intervals of the bootstrap.", file="scores.json",
    )  # fmt: skip
    page.figure(
        plots.confusion(probabilities[MODEL], test.y, tagger.classes),
        "Share of each true class that is tagged as each class.", file="scores.json",
    )  # fmt: skip
    page.table(rows, "AUC of each class against QCD, on the same jets.", file="scores.json")
    shown = test.subset(np.arange(min(1500, len(test))))
    page.figure(
        plots.jet_images(shown.dense(), shown.y, tagger.classes),
        "Mean transverse momentum in the plane of pseudorapidity and azimuth around the jet axis.",
        wide=True,
    )
    page.write(folder / "report.html")


def _some(part: str, classes: tuple[str, ...], count: int) -> JetSample:
    """At most `count` jets of a shipped sample, drawn at random."""
    sample = JetSample.read(shipped(part), classes=classes)
    return sample.subset(np.random.default_rng(0).permutation(len(sample))[:count])


def _curves(
    probabilities: dict[str, np.ndarray], labels: np.ndarray, classes: tuple[str, ...]
) -> dict[str, tuple[np.ndarray, ...]]:
    """Scores and truth of the signal against the background, by method."""
    signal, background = classes.index(SIGNAL), classes.index(BACKGROUND)
    chosen = (labels == signal) | (labels == background)
    return {
        name: (metrics.discriminant(values[chosen], signal, background), labels[chosen] == signal)
        for name, values in probabilities.items()
    }


def _estimate(
    probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], name: str
) -> Estimate:
    """AUC of a class against the background, with its 95 % interval."""
    signal, background = classes.index(name), classes.index(BACKGROUND)
    chosen = (labels == signal) | (labels == background)
    score = metrics.discriminant(probabilities[chosen], signal, background)
    truth = labels[chosen] == signal
    return Estimate(metrics.auc(score, truth), *metrics.auc_interval(score, truth), digits=4)
