"""Metrics against scikit-learn, published values and cases done by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_auc_score, roc_curve

from sciml.errors import InputError
from sciml.jets import metrics
from sciml.jets.data.columns import CLASSES


def toy(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    return random.normal(truth * 1.5, 1.0), truth


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_auc_equals_scikit_learn_with_ties(pairs):
    scores, truth = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if truth.all() or not truth.any():
        with pytest.raises(InputError):
            metrics.auc(scores, truth)
        return
    assert metrics.auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))


def test_auc_error_is_the_spread_over_samples():
    values = [metrics.auc(*toy(1000, seed)) for seed in range(200)]
    assert metrics.auc_error(*toy(1000)) == pytest.approx(np.std(values), rel=0.2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_no_auc_is_known_exactly(pairs):
    scores, truth = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if truth.all() or not truth.any():
        return
    value, error = metrics.auc(scores, truth), metrics.auc_error(scores, truth)
    low, high = metrics.auc_interval(scores, truth)
    assert 0 < error < 1
    assert 0 <= low <= value <= high <= 1 and high - low > 0


@pytest.mark.parametrize("jets", [1, 2, 10, 300])
def test_an_auc_of_one_has_a_limit(jets):
    """The rule of three; at 95 % confidence the truth lies above in 95 of 100 samples."""
    scores, truth = np.arange(2.0 * jets), np.arange(2 * jets) >= jets
    low, high = metrics.auc_interval(scores, truth)
    assert high == 1 and low**jets == pytest.approx(0.05)
    assert jets < 100 or low == pytest.approx(1 - 3 / jets, abs=1e-4)
    assert metrics.auc_interval(-scores, truth) == (0.0, pytest.approx(1 - low))
    assert metrics.auc_error(scores, truth) < 1 - low


def test_intervals_of_auc_hold_the_truth():
    from scipy.stats import norm

    for shift in (1.5, 3.5):  # the latter often gives 1.0 with so few jets
        truth = np.arange(60) < 25
        exact = norm.cdf(shift / np.sqrt(2))
        inside = 0
        for seed in range(200):
            scores = np.random.default_rng(seed).normal(truth * shift)
            low, high = metrics.auc_interval(scores, truth)
            inside += low <= exact <= high
        assert inside > 180


def test_discriminants_give_the_areas_of_scikit_learn(weaver_reference):
    stored = weaver_reference.net
    labels = stored["label"]
    for variant in ("full", "kinpid", "kin"):
        probabilities = softmax(stored[f"logits_{variant}"], 1)
        scores = metrics.evaluate(probabilities, labels, CLASSES, bootstraps=2)
        for index in range(1, len(CLASSES)):
            rows = (labels == index) | (labels == 0)
            if (labels == index).any():
                signal, background = probabilities[rows, index], probabilities[rows, 0]
                area = roc_auc_score(labels[rows] == index, signal / (signal + background))
                assert scores[f"auc_{CLASSES[index]}"] == pytest.approx(area, abs=1e-6)
        assert scores["accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean())


def test_published_discriminants_reproduce_the_published_table(shared):
    stored = np.load(shared / "data" / "jets" / "ref_particlenet_200.npz")
    table = {
        "kin": {"Tbqq": 0.993, "Hbb": 0.979, "Hgg": 0.984, "H4q": 0.989, "Wqq": 0.971},
        "full": {"Tbqq": 0.995, "Hbb": 0.999, "Hgg": 0.798, "H4q": 0.969, "Zqq": 0.957},
    }
    labels = stored["label"]
    for variant, row in table.items():
        logits = stored[f"logits_{variant}"]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        measured = metrics.evaluate(probabilities, labels, CLASSES, bootstraps=2)
        for name, value in row.items():
            assert measured[f"auc_{name}"] == pytest.approx(value, abs=6e-4)
        argmax = {"kin": 0.72, "full": 0.675}[variant]
        assert measured["accuracy"] == pytest.approx(argmax)


def test_rejection_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.85, 0.5, 0.4, 0.3, 0.2, 0.1])
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    rejection = metrics.rejection(scores, truth, 0.5)
    assert (rejection.value, rejection.passing, rejection.limit) == (6.0, 1, False)
    assert metrics.rejection(scores, truth, 1.0).passing == 1
    tight = metrics.rejection(scores, truth, 0.25)
    assert tight.limit and tight.value == pytest.approx(6 / 2.9957, rel=1e-4)
    assert str(tight).startswith(">") and math.isnan(tight.error)


def test_rejection_error_is_the_spread_over_samples():
    values = [metrics.rejection(*toy(4000, s), 0.5, bootstraps=1).value for s in range(100)]
    assert metrics.rejection(*toy(4000), 0.5).error == pytest.approx(np.std(values), rel=0.3)


def test_rejection_never_overstates_the_efficiency():
    scores, truth = np.round(toy()[0], 1), toy()[1]
    for efficiency in (0.1, 0.3, 0.5, 0.9):
        rejection = metrics.rejection(scores, truth, efficiency)
        threshold = np.sort(scores[truth])[::-1][math.ceil(efficiency * truth.sum()) - 1]
        assert (scores[truth] >= threshold).mean() >= efficiency
        assert rejection.passing == (scores[~truth] >= threshold).sum()


def test_roc_equals_scikit_learn():
    scores, truth = toy()
    signal, background = metrics.roc(np.round(scores, 1), truth)
    false, true, _ = roc_curve(truth, np.round(scores, 1), drop_intermediate=False)
    assert np.allclose(signal, true) and np.allclose(background, false)


def test_rejection_curve_brackets_its_value():
    value, low, high = metrics.rejection_curve(*toy(), [0.3, 0.5, 0.7])
    assert (low <= value).all() and (value <= high).all()
    assert value[1] == pytest.approx(metrics.rejection(*toy(), 0.5).value)


def test_not_a_number_is_no_answer():
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    labels = np.array([0, 0, 1])
    assert metrics.accuracy(probabilities, labels) == pytest.approx(2 / 3)
    assert metrics.confusion(probabilities, labels).tolist() == [[1, 0], [0, 1]]
    assert np.isnan(metrics.discriminant(probabilities, 0, 1)[1])


def test_calibration_sees_overconfidence_and_temperature_cures_it():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20000, 4))
    labels = np.array([random.choice(4, p=np.exp(row) / np.exp(row).sum()) for row in logits])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(1, keepdims=True)

    honest = metrics.calibration(softmax(logits), labels)
    proud = metrics.calibration(softmax(3 * logits), labels)
    assert honest.error < 0.015 < 0.1 < proud.error
    assert metrics.best_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)


def test_bad_calls_say_what_is_wrong():
    scores, truth = toy()
    with pytest.raises(InputError, match="efficiency must be within"):
        metrics.rejection(scores, truth, 1.5)
    with pytest.raises(InputError, match="one shape"):
        metrics.auc(scores, truth[:-1])


def test_weights_count_as_copies_of_a_jet():
    random = np.random.default_rng(7)
    scores = random.normal(0, 1, 400).round(1)  # with ties
    truth = random.random(400) < 0.4
    scores[3] = np.nan
    weights = random.integers(0, 5, 400)
    copies = np.repeat(np.arange(400), weights)
    expected = metrics.auc(scores[copies], truth[copies])
    assert metrics.auc(scores, truth, weights) == pytest.approx(expected, abs=1e-9)
    assert metrics.auc(scores, truth, 0.3 * weights) == pytest.approx(expected, abs=1e-9)
    assert abs(metrics.auc(scores, truth) - expected) > 1e-4  # the weights do something
    probabilities = random.dirichlet([1, 1, 1], 400)
    labels = random.integers(0, 3, 400)
    share = metrics.accuracy(probabilities[copies], labels[copies])
    assert metrics.accuracy(probabilities, labels, weights) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, np.nan], [1.0], [1.0, 0.0]])
def test_weights_that_are_refused(weights):
    with pytest.raises(InputError, match="weight"):
        metrics.auc(np.array([0.1, 0.9]), np.array([False, True]), np.array(weights))
