"""Weights of jets: a jet of weight k is k jets in every value, and never more evidence."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from sciml.errors import InputError
from sciml.jets import calibration, metrics
from sciml.jets.weighting import checked, effective

FEW = (0.0, 0.25, 0.25, 0.5, 0.75, 1.0)


@st.composite
def weighted(draw):
    """Scores with ties, truth with both classes, integer weights with both classes present."""
    size = draw(st.integers(2, 30))
    row = st.tuples(st.sampled_from(FEW), st.booleans(), st.integers(0, 4))
    rows = [draw(row) for _ in range(size)]
    rows += [(0.5, True, 1), (0.25, False, 2)]
    scores, truth, weights = (np.array(column) for column in zip(*rows))
    return scores.astype(float), truth.astype(bool), weights.astype(float)


def copies(weights, *arrays):
    """Each row as often as its weight says."""
    return [np.repeat(array, weights.astype(int), axis=0) for array in arrays]


@settings(max_examples=80, deadline=None)
@given(weighted())
def test_values_are_those_of_copied_rows(case):
    scores, truth, weights = case
    many_scores, many_truth = copies(weights, scores, truth)
    assert metrics.auc(scores, truth, weights) == pytest.approx(
        metrics.auc(many_scores, many_truth), abs=1e-9
    )
    curves = metrics.roc(scores, truth, weights), metrics.roc(many_scores, many_truth)
    for values, same in zip(*curves, strict=True):
        assert set(np.round(values, 9)) == set(np.round(same, 9))
    for efficiency in (0.1, 0.3, 0.5, 2 / 3, 1.0):
        one = metrics.rejection(scores, truth, efficiency, bootstraps=2, weights=weights)
        other = metrics.rejection(many_scores, many_truth, efficiency, bootstraps=2)
        assert one.limit == other.limit
        if not one.limit:
            assert one.value == pytest.approx(other.value, abs=1e-9)
    value, _, _ = metrics.rejection_curve(scores, truth, (0.3, 0.7), bootstraps=2, weights=weights)
    again, _, _ = metrics.rejection_curve(many_scores, many_truth, (0.3, 0.7), bootstraps=2)
    assert np.allclose(value, again, rtol=1e-9, equal_nan=True)
    probabilities, labels = np.stack([1 - scores, scores], axis=1), truth.astype(int)
    many, many_labels = copies(weights, probabilities, labels)
    measures: tuple[Any, ...] = (metrics.accuracy, metrics.confusion)
    for measure in measures:
        assert np.allclose(
            measure(probabilities, labels, weights), measure(many, many_labels), atol=1e-9
        )
    bins = (
        metrics.calibration(probabilities, labels, weights=weights),
        metrics.calibration(many, many_labels),
    )
    for name in ("confidence", "accuracy", "jets", "error"):
        ours, theirs = (getattr(curve, name) for curve in bins)
        assert np.allclose(ours, theirs, atol=1e-9, equal_nan=True)
    logits = np.log(np.clip(probabilities, 0.05, 0.95))
    many_logits = np.log(np.clip(many, 0.05, 0.95))
    assert metrics.best_temperature(logits, labels, weights) == pytest.approx(
        metrics.best_temperature(many_logits, many_labels), rel=1e-3
    )
    fits = [
        calibration.per_class(probabilities, labels, ("b", "s"), weights),
        calibration.per_class(many, many_labels, ("b", "s")),
    ]
    kept = probabilities[weights > 0]
    assert np.allclose(fits[0](kept), fits[1](kept), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(weighted(), st.floats(1e-6, 1e6))
def test_the_scale_of_weights_changes_nothing(case, scale):
    """Errors and limits neither: weights are no jets, so copying rows would make them too small."""
    scores, truth, weights = case
    ones = (
        metrics.auc_error(scores, truth),
        metrics.auc_error(scores, truth, np.full(len(scores), scale)),
    )
    assert ones[0] == pytest.approx(ones[1], rel=1e-6)
    assert metrics.auc_error(scores, truth, weights) == pytest.approx(
        metrics.auc_error(scores, truth, weights * scale), rel=1e-6
    )
    one, other = (
        metrics.rejection(scores, truth, 0.5, bootstraps=20, weights=w)
        for w in (weights, weights * scale)
    )
    assert one.value == pytest.approx(other.value, rel=1e-6) and one.limit == other.limit
    assert one.error == pytest.approx(other.error, rel=1e-6, nan_ok=True)


def sample(size, seed):
    """Scores of which light jets are shifted, so that weights matter."""
    random = np.random.default_rng(seed)
    truth = random.random(size) < 0.4
    weights = random.exponential(1.0, size)
    scores = random.normal(truth * 1.5 + 0.3 * (weights < 0.5), 1.0)
    return scores, truth, weights


def test_weighted_curves_equal_scikit_learn():
    scores, truth, weights = sample(2000, 0)
    assert metrics.auc(scores, truth, weights) == pytest.approx(
        roc_auc_score(truth, scores, sample_weight=weights), abs=1e-9
    )
    signal, background = metrics.roc(scores, truth, weights)
    false, true, _ = roc_curve(truth, scores, sample_weight=weights, drop_intermediate=False)
    assert np.allclose(signal, true) and np.allclose(background, false)


def test_weighted_errors_are_the_spread_over_samples():
    areas = [metrics.auc(*sample(800, seed)) for seed in range(200)]
    errors = [metrics.auc_error(*sample(800, seed)) for seed in range(20)]
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.15)
    values = [
        metrics.rejection(s, t, 0.5, bootstraps=1, weights=w).value
        for s, t, w in (sample(2000, seed) for seed in range(100))
    ]
    s, t, w = sample(2000, 0)
    assert metrics.rejection(s, t, 0.5, weights=w).error == pytest.approx(np.std(values), rel=0.3)


def test_effective_counts():
    assert effective(np.full(7, 3.0)) == pytest.approx(7) and effective(np.zeros(3)) == 0
    assert effective(np.array([1.0, 0, 0])) == 1
    assert checked(None, (3, 2)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("weights", "words"),
    [([1, 1], "shape"), ([1, -1, 1], "jet 1"), ([np.nan, 1, 1], "jet 0"), ([0, 0, 0], "all")],
)
def test_wrong_weights_are_refused(weights, words):
    with pytest.raises(InputError, match=words):
        metrics.auc(np.array([0.1, 0.2, 0.3]), np.array([0, 1, 0]), np.array(weights))


def test_calibration_per_class_mends_each_class():
    """One class is too sure and another not sure enough, which no temperature mends."""
    random = np.random.default_rng(0)
    truth = random.dirichlet((1, 1, 1), 20_000)
    labels = (truth.cumsum(1) < random.random((20_000, 1))).sum(1)
    bent = truth ** np.array([0.5, 1.0, 2.0])
    bent /= bent.sum(1, keepdims=True)
    half = slice(0, 10_000), slice(10_000, None)
    fit = calibration.per_class(bent[half[0]], labels[half[0]], ("a", "b", "c"))
    mended = fit(bent[half[1]])
    assert np.allclose(mended.sum(1), 1)
    for index in range(3):
        before = calibration.calibration_of(bent[half[1]], labels[half[1]], index).error
        after = calibration.calibration_of(mended, labels[half[1]], index).error
        assert after < 0.025 and (before > 0.04 or index == 1)
    again = calibration.ClassCalibration.from_dict(fit.to_dict())
    assert np.array_equal(again(bent), fit(bent))
    wrong: tuple[Any, ...] = ([1], {"a": 1}, {"a": {"probability": [1, 0], "value": [0, 1]}})
    for values in wrong:
        with pytest.raises(InputError, match="no calibration per class"):
            calibration.ClassCalibration.from_dict(values)


@pytest.fixture(scope="module")
def weighted_jets(tmp_path_factory):
    """The shipped test jets with a column of integer weights; one of them is negative in a copy."""
    from sciml.jets.data.io import create, read_jets
    from sciml.jets.data.sample import shipped

    folder = tmp_path_factory.mktemp("weighted")
    jets = read_jets(shipped("test"))[::10]
    weight = np.random.default_rng(0).integers(0, 4, len(jets)).astype(float)
    columns = {name: jets[name] for name in jets.fields}
    for name, values in (("good", weight), ("bad", weight - 1)):
        with create(folder / f"{name}.parquet") as writer:
            writer.write(columns | {"w": values})
    return folder


def test_training_sees_weights_as_copies(weighted_jets):
    import torch

    from sciml.jets import JetSample, JetTagger
    from sciml.jets.networks.embedder import collate
    from sciml.objectives.supervised import Supervised, SupervisedConfig

    jets = JetSample.read(weighted_jets / "good.parquet", weight="w")
    assert jets.weights is not None and jets.weights.mean() == pytest.approx(1)
    trunk = {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}
    torch.manual_seed(0)
    network: Any = JetTagger.build(trunk, jets.classes).network
    config = SupervisedConfig(outputs=len(jets.classes))
    model = Supervised(network.trunk, network.embedder, config).eval()
    some = jets.subset(np.arange(20))
    scale = jets.weights[jets.weights > 0].min()
    index = np.repeat(np.arange(20), np.round(some.weights / scale).astype(int))
    copied = [{k: v for k, v in jets[i].items() if k != "weight"} for i in index]
    losses = [model(collate(items))["loss"].item() for items in (list(some), copied)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    unweighted = [{k: v for k, v in item.items() if k != "weight"} for item in some]
    assert abs(model(collate(unweighted))["loss"].item() - losses[1]) > 1e-3


@pytest.mark.slow
def test_the_recipe_takes_a_column_of_weights(weighted_jets, tmp_path, capsys):
    from sciml.cli import main

    arguments = ["run", "jet_tagging", "--tiny", "--seeds", "0", "--data"]
    good, bad = (str(weighted_jets / f"{name}.parquet") for name in ("good", "bad"))
    for weight in ("", "w"):
        more = ["--weight", weight] if weight else []
        assert main([*arguments, good, *more, "--out", str(tmp_path / f"out{weight}")]) == 0
    lines = [(tmp_path / f"out{w}" / "metrics.jsonl").read_text() for w in ("", "w")]
    assert lines[0] != lines[1]
    assert main([*arguments, bad, "--weight", "w", "--out", str(tmp_path / "bad")]) == 2
    assert "not a number >= 0" in capsys.readouterr().err
