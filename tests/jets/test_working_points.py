"""Working points: thresholds hold on fresh jets, intervals are exact, files say the same."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from sciml.errors import InputError
from sciml.jets import corrections
from sciml.jets import working_points as wps

CLASSES = ("QCD", "Hbb", "Tbqq")


def jets(size, seed, weighted=False):
    """Probabilities, labels, weights, pT and eta; efficiency rises with pT."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, size)
    pt, eta = random.uniform(500, 1000, size), random.normal(0, 1, size)
    logits = random.normal(size=(size, 3))
    logits[np.arange(size), labels] += 1 + (pt - 500) / 250
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    weights = random.exponential(1, size) if weighted else np.ones(size)
    return probabilities, labels, weights, pt, eta


def measured(size=30_000, seed=0, weighted=False, **options):
    probabilities, labels, weights, pt, eta = jets(size, seed, weighted)
    return wps.measure(probabilities, labels, CLASSES, weights=weights, pt=pt, eta=eta,
                       **{"efficiencies": (0.1, 0.01)} | options)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_intervals_cover_as_often_as_they_say(jets, share):
    """Clopper and Pearson: the exact coverage is never below the level."""
    counts = np.arange(jets + 1)
    limits = [wps.clopper_pearson(int(k), jets, 0.6827) for k in counts]
    inside = np.array([low <= share <= high for low, high in limits])
    assert binom.pmf(counts, jets, share)[inside].sum() >= 0.6827 - 1e-9
    assert all(low <= k / jets <= high for k, (low, high) in zip(counts, limits))


def test_efficiency_by_hand():
    one = wps.efficiency(np.array([True, False, True, True]))
    assert (one.value, one.jets) == (0.75, 4) and 0 < one.low < 0.75 < one.high < 1
    assert wps.efficiency(np.array([True] * 4)).high == 1
    assert wps.clopper_pearson(0, 3, 0.95)[1] == pytest.approx(1 - 0.025 ** (1 / 3))
    weighted = wps.efficiency(np.array([True, False]), np.array([3.0, 1.0]))
    assert weighted.value == 0.75 and weighted.jets == pytest.approx(1.6)
    assert math.isnan(wps.efficiency(np.zeros(0, bool)).value)


@pytest.mark.parametrize("weighted", [False, True])
def test_thresholds_hold_on_fresh_jets(weighted):
    """The pulls of background efficiencies on other seeds have the width of one."""
    pulls = []
    for seed in range(8):
        points = measured(12_000, seed, weighted)
        _, own_labels, seen, _, _ = jets(12_000, seed, weighted)
        probabilities, labels, weights, _, _ = jets(12_000, 100 + seed, weighted)
        passing = points.passing(probabilities)
        for (signal, value), passed in passing.items():
            here = points.total[signal, points.point(value), "QCD"]
            own = seen[own_labels == 0]  # one more jet would be too many
            assert here.value <= value <= here.value + 1.01 * own.max() / own.sum()
            again = wps.efficiency(passed[labels == 0], weights[labels == 0])
            variance = value * (1 - value) * (1 / here.jets + 1 / again.jets)
            pulls.append((again.value - value) / math.sqrt(variance))
    assert len(pulls) == 32 and abs(np.mean(pulls)) < 0.6 and 0.6 < np.std(pulls) < 1.5


def test_maps_follow_the_jets():
    points = measured()
    rows = points.maps["Tbqq", 0, "Tbqq"]
    assert len(rows) == len(points.pt) - 1 == 4 and len(rows[0]) == len(points.eta) - 1
    means = [np.mean([cell.value for cell in row]) for row in rows]
    assert means == sorted(means) and means[-1] - means[0] > 0.1
    total = sum(cell.jets for row in rows for cell in row)
    assert total == pytest.approx(points.total["Tbqq", 0, "Tbqq"].jets, rel=0.03)
    assert all(cell.low <= cell.value <= cell.high for row in rows for cell in row)


def test_files_say_the_same():
    points = measured(3000, weighted=True)
    again = wps.WorkingPoints.from_dict(json.loads(json.dumps(points.to_dict())))
    assert again == points
    one = points.at([0.01])
    assert one.threshold("Hbb", 0.01) == points.threshold("Hbb", 0.01) and not one.maps
    with pytest.raises(InputError, match=r"Measured are 0.1, 0.01"):
        points.point(0.05)
    cases: list[Any] = [{}, [], {"format": "x"}, points.to_dict() | {"signals": {}}]
    for wrong in cases:
        with pytest.raises(InputError, match="sciml jets working-points"):
            wps.WorkingPoints.from_dict(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"efficiencies": (0.0,)}, "within"), ({"efficiencies": (1e-6,)}, "fewer than one"),
        ({"background": "QDC"}, "QCD"), ({"pt_edges": (3.0, 1.0)}, "ascend"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        measured(3000, **options)


def test_ties_are_never_cut():
    probabilities = np.repeat([[0.5, 0.5], [0.9, 0.1]], 50, axis=0)
    labels = np.tile([0, 0, 0, 1], 25)
    points = wps.measure(probabilities, labels, ("a", "b"), background="a", efficiencies=(0.2,))
    assert points.total["b", 0, "a"].value == 0 and not points.maps
    assert points.thresholds["b"][0] > 0.5


def lookup(node, inputs):
    """What correctionlib does with these nodes; `test_correctionlib_agrees` holds it to that."""
    if isinstance(node, int | float):
        return node
    if node["nodetype"] == "category":
        key = inputs[node["input"]]
        return lookup(next(i["value"] for i in node["content"] if i["key"] == key), inputs)
    place, width = 0, 1
    for name, edges in reversed(list(zip(node["inputs"], node["edges"], strict=True))):
        index = int(np.searchsorted(edges, inputs[name], "right")) - 1
        place += width * min(max(index, 0), len(edges) - 2)
        width *= len(edges) - 1
    return lookup(node["content"][place], inputs)


def requests(points):
    """Inputs of all corrections, in and beyond the bins."""
    for signal in points.thresholds:
        for wp in ("0.1", "0.01"):
            yield "threshold", {"signal": signal, "working_point": wp}
            for pt in (10.0, 560.0, 999.0, 5000.0):
                for eta in (0.0, 1.3, 9.0):
                    at = {"signal": signal, "working_point": wp, "pt": pt, "abs_eta": eta}
                    for name in CLASSES:
                        for value in ("nominal", "low", "high"):
                            yield "efficiency", at | {"class": name, "value": value}
                    for side in ("nominal", "up", "down"):
                        yield "scale_factor", at | {"systematic": side}


def test_corrections_hold_thresholds_and_maps():
    points = measured(3000)
    content = corrections.to_correctionlib(points)
    by_name = {c["name"]: c for c in content["corrections"]}
    asked = 0
    for name, inputs in requests(points):
        value = lookup(by_name[name]["data"], inputs)
        point = points.point(float(inputs["working_point"]))
        if name == "threshold":
            assert value == points.thresholds[inputs["signal"]][point]
        elif name == "efficiency":
            i = np.clip(np.searchsorted(points.pt, inputs["pt"], "right") - 1, 0, 3)
            j = np.clip(np.searchsorted(points.eta, inputs["abs_eta"], "right") - 1, 0, 1)
            cell = points.maps[inputs["signal"], point, inputs["class"]][i][j]
            field = {"nominal": "value"}.get(inputs["value"], inputs["value"])
            assert value == getattr(cell, field)
        else:
            assert value == {"nominal": 1, "up": 2, "down": 0}[inputs["systematic"]]
        asked += 1
    assert asked > 300


def test_correctionlib_agrees():
    correctionlib = pytest.importorskip("correctionlib")
    points = measured(3000)
    content = corrections.to_correctionlib(points)
    whole = correctionlib.CorrectionSet.from_string(json.dumps(content))
    by_name = {c["name"]: c for c in content["corrections"]}
    for name, inputs in requests(points):
        order = [i["name"] for i in by_name[name]["inputs"]]
        theirs = whole[name].evaluate(*(inputs[key] for key in order))
        assert theirs == pytest.approx(lookup(by_name[name]["data"], inputs), rel=1e-14)
