"""Why a tagger gave a jet its class, as a page: `sciml jets explain`.

Attributions with their sanity check (`attribution`), and the decision as a path through a hierarchy
of classes (`decision_tree`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.jets import plots
from sciml.jets.data.columns import DETA, DPHI, PX, PY, TYPES
from sciml.jets.learning import attribution, decision_tree
from sciml.report import Card, Estimate, Page, literal

if TYPE_CHECKING:
    from sciml.jets.data.sample import JetSample
    from sciml.jets.tagger import JetTagger

LISTED = 6
"""Constituents in the table of a jet, those that matter most."""
CHECKED = 10
"""Jets of the sanity check."""
KINDS = ("charged hadron", "neutral hadron", "photon", "electron", "muon")


def explanation(
    tagger: JetTagger, sample: JetSample, *, jets: Sequence[int] = (), signal: str | None = None,
    background: str = "QCD", model: str = "the tagger",
) -> Page:  # fmt: skip
    """The page of `sciml jets explain`.

    Args:
        tagger: what is explained.
        sample: jets, labelled or not.
        jets: numbers of those in the sample that are shown; by default the surest jet of each
            predicted class, the surest five of them.
        signal: class whose log odds against the background are explained; by default each jet's
            likeliest one.
        background: the class that the others are measured against.
        model: the tagger's name.

    Raises:
        InputError: an unknown class, equal classes, or a jet that is not there.
    """
    for name in (signal, background):
        if name is not None and name not in tagger.classes:
            raise unknown("class", name, tagger.classes)
    if signal == background:
        raise InputError(f"signal and background are both {signal}", hint="Name two classes")
    for number in jets:
        if not 0 <= number < len(sample):
            raise InputError(f"there is no jet {number}: {len(sample)} good ones were read, from 0")
    probabilities = tagger.predict(sample).probabilities
    chosen = list(jets) or _surest(probabilities, sample)
    return _page(tagger, sample, probabilities, chosen, signal, background, model)


def _surest(probabilities: np.ndarray, sample: JetSample) -> list[int]:
    """The surest jet of each predicted class, the surest five of them."""
    best = probabilities.argmax(1)
    several = sample.lengths >= 2
    sure = np.where(several, probabilities.max(1), -1)
    jets = [int(np.where(best == k, sure, -1).argmax()) for k in np.unique(best[several])]
    return sorted(jets, key=lambda i: -float(sure[i]))[:5]


def _page(
    tagger: JetTagger, sample: JetSample, probabilities: np.ndarray, chosen: list[int],
    signal: str | None, background: str, model: str,
) -> Page:  # fmt: skip
    classes, label = tagger.classes, plots.label
    page = Page("Why a jet was tagged as it was",
                lead=f"`{literal(model)}` on {len(sample):,} jets. Contributions are to the log "
                f"odds of a class against {literal(label(background))}.")  # fmt: skip
    trees = {
        "physicist's": decision_tree.physics(classes),
        "induced": decision_tree.induced(decision_tree.last_layer(tagger), classes),
    }
    others = [k for k, name in enumerate(classes) if name != background]
    for number in chosen:
        p = probabilities[number]
        of_jet = signal or classes[max(others, key=lambda k: p[k])]
        _one_jet(page, tagger, sample.subset([number]), number, p, trees, of_jet, background)
    _sanity(page, tagger, sample, signal or classes[others[0]], background)
    _trees(page, trees, sample, probabilities, classes)
    return page


def _one_jet(
    page: Page, tagger: JetTagger, one: JetSample, number: int, p: np.ndarray,
    trees: dict[str, decision_tree.Node], signal: str, background: str,
) -> None:  # fmt: skip
    label, jet = plots.label, one.dense()
    truth = int(one.y[0])
    said = f"; it is labelled {literal(label(one.classes[truth]))}" if truth >= 0 else ""
    page.heading(f"Jet {number}: {label(tagger.classes[int(p.argmax())])}")
    odds = f"The tagger gives {literal(label(signal))} {p[tagger.classes.index(signal)]:.3f}"
    page.text(f"{odds} and {literal(label(background))} "
              f"{p[tagger.classes.index(background)]:.3f}{said}.")  # fmt: skip
    for name, tree in trees.items():
        steps = decision_tree.path(tree, p, "sum")
        told = ", then ".join(f"**{literal(_named(s.name))}** ({s.probability:.3f})" for s in steps)
        page.text(f"By the {name} tree: {told}.")
    values = {}
    for method, attribute in attribution.METHODS.items():
        try:
            values[method] = attribute(tagger, jet, signal, background)
        except InputError as error:  # of a network that the method cannot read
            page.text(f"{method.capitalize()}: {literal(error.what)}.")
    for method, value in values.items():
        signed = method != "attention roll-out"
        what = "contribution to the log odds" if signed else "share in the class token"
        page.figure(
            plots.attribution(jet, value, method, what),
            f"{method.capitalize()}. Area: transverse momentum; colour: {what}.",
        )
    x = jet.particles[0][jet.mask[0]].numpy()
    first = next(iter(values.values()), np.hypot(x[:, PX], x[:, PY]))
    rows: list[dict[str, Any]] = []
    for i in np.argsort(-np.abs(first))[:LISTED]:
        kinds = np.flatnonzero(x[i, TYPES])
        rows.append({
            "constituent": int(i), "kind": KINDS[kinds[0]] if len(kinds) else "",
            "pT [GeV]": round(float(np.hypot(x[i, PX], x[i, PY])), 1),
            "distance to the axis": round(float(np.hypot(x[i, DETA], x[i, DPHI])), 3),
            **{method: round(float(value[i]), 3) for method, value in values.items()},
        })  # fmt: skip
    page.table(rows, "The constituents that matter most, by the first method.")


def _sanity(page: Page, tagger: JetTagger, sample: JetSample, signal: str, background: str) -> None:
    """Attributions beside those of the same network with shuffled weights."""
    page.heading("Do these contributions depend on what was learned?")
    rows = sanity(tagger, sample, signal, background)
    page.table(rows, "Rank correlation of the sizes of contributions in the trained network with "
               "those of the same network with shuffled weights; mean and standard deviation over "
               "jets. Near 1: the method shows the jet or the architecture, not what was "
               "learned.")  # fmt: skip


def sanity(
    tagger: JetTagger, sample: JetSample, signal: str, background: str
) -> list[dict[str, Any]]:
    """A row per method that the network allows: how alike attributions of the trained network are
    to those of three with shuffled weights (Adebayo et al. 2018), over ten jets."""
    several = np.flatnonzero(sample.lengths >= 5)
    chosen = several[np.linspace(0, len(several) - 1, min(CHECKED, len(several))).astype(int)]
    shuffled = [attribution.randomised(tagger, seed) for seed in range(3)]
    rows = []
    for method, attribute in attribution.METHODS.items():
        alike = []
        for number in chosen:
            jet = sample.subset([number]).dense()
            try:
                trained = attribute(tagger, jet, signal, background)
                alike.append(np.mean([
                    attribution.rank_correlation(trained, attribute(t, jet, signal, background))
                    for t in shuffled
                ]))  # fmt: skip
            except InputError:
                break
        if alike:
            spread = float(np.std(alike, ddof=1)) if len(alike) > 1 else None
            rows.append({"method": method, "rank correlation": float(np.mean(alike)),
                         "deviation": spread, "jets": len(alike)})  # fmt: skip
    return rows


def _trees(
    page: Page, trees: dict[str, decision_tree.Node], sample: JetSample,
    probabilities: np.ndarray, classes: tuple[str, ...],
) -> None:  # fmt: skip
    page.heading("The hierarchies")
    page.text("The probability of a node is the sum of those of its classes. The physicist's tree "
              "asks for prongs and leptons; the induced one merges classes whose weights in the "
              "last layer are alike.")  # fmt: skip
    for name, tree in trees.items():
        shown = [{"": "· " * (len(line) - len(line.lstrip())) + _named(line.strip())}
                 for line in decision_tree.lines(tree)]  # fmt: skip
        page.table(shown, f"The {name} tree.")
    position = {name: k for k, name in enumerate(classes)}
    truth = np.array([position.get(c, -1) for c in sample.classes] + [-1])[sample.y]
    labelled = truth >= 0
    if not labelled.any():
        return
    rows = []
    for name, tree in trees.items():
        measured = decision_tree.accuracies(tree, probabilities[labelled], truth[labelled])
        rows.append({"tree": name} | measured)
    page.table(rows, f"Accuracy on {int(labelled.sum()):,} labelled jets: of the plain head; of "
               "the likeliest child at each node (hard, sum); and of neural-backed decision trees "
               "without their fine-tuning, whose nodes have the mean of the logits.")  # fmt: skip
    hits, total = (probabilities[labelled].argmax(1) == truth[labelled]).sum(), labelled.sum()
    estimates = [("plain head", Estimate.of_counts(int(hits), int(total)))]
    for row in rows:
        right = round(float(row["hard, sum"]) * float(total))
        estimates.append((f"{row['tree']} tree", Estimate.of_counts(right, int(total))))
    page.card(Card("What does it cost to decide step by step?",
                   "Accuracy when each decision is taken for itself, beside that of the head.",
                   "Share of jets with the right class, 95 % interval; higher is better.",
                   tuple(estimates), f"{int(total):,} labelled jets", "Jet tagging"))  # fmt: skip


def _named(node: str) -> str:
    """A node's name with classes as physicists write them."""
    return " or ".join(plots.label(part) for part in node.split(" or "))


__all__ = ["explanation", "sanity"]
