"""What flavour taggers are measured by: b against others, origins, vertices, quantiles of pT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sciml.jets import metrics
from sciml.jets.data.columns import ORIGINS

if TYPE_CHECKING:
    from sciml.jets.data.flavours import FlavourSample
    from sciml.jets.flavours import FlavourTagger

EFFICIENCIES = (0.70, 0.77)
"""Efficiencies for b jets at which rejections are quoted, as ATLAS does."""
CHARM_SHARE, TAU_SHARE = 0.2, 0.01
"""Shares of c and tau jets among the background that the discriminant is for."""
RECALL, PURITY = 0.65, 0.5
"""A true vertex is found if one predicted vertex holds this share of its tracks and this share of
that vertex's tracks are its own (GN1, ATL-PHYS-PUB-2022-027)."""
HEAVY = ("b", "c", "tau")
"""Classes that are no light jets."""


def b_discriminant(probabilities: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """ln of p_b over the mean of p_c, p_tau and p_light, weighted by the shares: [n]."""
    p = np.maximum(np.asarray(probabilities, np.float64), 1e-30)
    share = {"c": CHARM_SHARE, "tau": TAU_SHARE}
    rest = sum(share.get(name, 0.0) * p[:, k] for k, name in enumerate(classes))
    light = sum(p[:, k] for k, name in enumerate(classes) if name not in HEAVY)
    known = sum(value for name, value in share.items() if name in classes)
    return np.log(p[:, list(classes).index("b")] / (rest + (1 - known) * light))


def tagging_quality(
    probabilities: NDArray[Any], y: NDArray[Any], classes: Sequence[str], bootstraps: int = 50
) -> dict[str, float]:
    """Accuracy, cross entropy, AUC and rejection of b jets against light, c and tau jets.

    Args:
        probabilities: [n, classes].
        y: [n] index into `classes`.
        classes: their names, `b` among them.
        bootstraps: for the errors of rejections.
    """
    truth = np.take_along_axis(np.asarray(probabilities, np.float64), y[:, None], 1)
    out = {
        "accuracy": metrics.accuracy(probabilities, y),
        "cross_entropy": float(-np.log(np.maximum(truth, 1e-30)).mean()),
    }
    score, is_b = b_discriminant(probabilities, classes), y == list(classes).index("b")
    light = [k for k, name in enumerate(classes) if name not in HEAVY]
    others = {"light": np.isin(y, light)} | {
        name: y == list(classes).index(name) for name in ("c", "tau") if name in classes
    }
    for name, background in others.items():
        if not background.any() or not is_b.any():
            continue
        chosen = is_b | background
        pair = (score[chosen], is_b[chosen])
        out[f"auc_b_{name}"] = metrics.auc(*pair)
        for efficiency in EFFICIENCIES:
            value = metrics.rejection(*pair, efficiency, bootstraps=bootstraps)
            key = f"rejection_{name}_{100 * efficiency:.0f}"
            out[key], out[f"{key}_error"] = value.value, value.error
            out[f"{key}_passing"] = value.passing
    return out


def origin_quality(predicted: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Accuracy of the origins of tracks: over all, per origin, and what guessing would give.

    Args:
        predicted: [S, origins] probabilities.
        truth: [S] index, -1 = unknown.
    """
    known = truth >= 0
    best, truth = predicted[known].argmax(1), truth[known]
    right = best == truth
    counts = np.bincount(truth, minlength=len(ORIGINS))
    out = {"origin_accuracy": float(right.mean()),
           "origin_majority": float(counts.max() / counts.sum())}  # fmt: skip
    recalls = {k: float(right[truth == k].mean()) for k in range(len(ORIGINS)) if counts[k]}
    out["origin_balanced_accuracy"] = float(np.mean(list(recalls.values())))
    return out | {f"origin_{ORIGINS[k].replace(' ', '_')}": v for k, v in recalls.items()}


def vertex_quality(
    predicted: NDArray[Any], truth: NDArray[Any], counts: NDArray[Any], y: NDArray[Any],
    classes: Sequence[str],
) -> dict[str, float]:  # fmt: skip
    """Efficiency of finding secondary vertices of two or more tracks, by class of the jet.

    Args:
        predicted, truth: [S] number of the vertex, 0 = primary, -1 = no track.
        counts: [n] constituents per jet.
        y: [n] class.
        classes: names.

    Returns:
        `vertex_efficiency_<class>`: share of the true vertices that are found, and
        `vertex_rate_<class>`: predicted vertices per jet.
    """
    ends = np.concatenate([[0], np.cumsum(counts)])
    true, found, made = (np.zeros(len(classes)) for _ in range(3))
    for jet, kind in enumerate(y):
        span = slice(ends[jet], ends[jet + 1])
        p, t = predicted[span], truth[span]
        p, t = p[t >= 0], t[t >= 0]
        candidates = [p == k for k in np.unique(p[p > 0]) if (p == k).sum() > 1]
        made[kind] += len(candidates)
        for k in np.unique(t[t > 0]):
            own = t == k
            if own.sum() < 2:
                continue
            true[kind] += 1
            shared = [((c & own).sum(), c.sum()) for c in candidates]
            found[kind] += any(s >= RECALL * own.sum() and s >= PURITY * n for s, n in shared)
    jets = np.bincount(y, minlength=len(classes))
    out = {"vertex_efficiency": float(found.sum() / max(true.sum(), 1))}
    for k, name in enumerate(classes):
        if true[k]:
            out[f"vertex_efficiency_{name}"] = float(found[k] / true[k])
        if jets[k]:
            out[f"vertex_rate_{name}"] = float(made[k] / jets[k])
            out[f"vertex_true_{name}"] = float(true[k] / jets[k])
    return out


def pt_quality(
    quantiles: NDArray[Any], truth: NDArray[Any], measured: NDArray[Any], levels: Sequence[float]
) -> dict[str, float]:
    """Bias and resolution of pT, and the share of jets below each quantile.

    Args:
        quantiles: [n, levels] GeV.
        truth: [n] GeV, 0 = unknown.
        measured: [n] GeV, without a regression.
        levels: probabilities of the quantiles.
    """
    known = truth > 0
    quantiles, truth, measured = quantiles[known], truth[known], measured[known]
    middle = int(np.argmin(np.abs(np.asarray(levels) - 0.5)))
    out = {}
    for name, value in (("pt", quantiles[:, middle]), ("measured_pt", measured)):
        low, mid, high = np.percentile(value / truth - 1, [16, 50, 84])
        out[f"{name}_bias"], out[f"{name}_resolution"] = float(mid), float(high - low) / 2
    covered = (truth[:, None] <= quantiles).mean(0)
    return out | {f"coverage_{100 * a:g}": float(c) for a, c in zip(levels, covered, strict=True)}


def quality(tagger: FlavourTagger, sample: FlavourSample, auxiliary: bool) -> dict[str, float]:
    """All numbers of a tagger on a sample; those of auxiliary heads where they were trained."""
    predicted, y = tagger.predict(sample), sample.y.numpy()
    out = tagging_quality(predicted.probabilities, y, sample.classes)
    if not auxiliary:
        return out
    tracks = tagger.tracks(sample)
    out |= origin_quality(tracks.origins, sample.origin.numpy())
    out |= vertex_quality(tracks.vertex, sample.vertex.numpy(), tracks.counts, y, sample.classes)
    levels = tagger.network.config.quantiles
    return out | pt_quality(
        predicted.pt, sample.truth_pt.numpy(), sample.jets[:, 0].numpy(), levels
    )
