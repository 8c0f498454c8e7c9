"""Probabilities of contacts fall with the number of sequences, and mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.contacts import calibration
from sciml.protein.contacts.calibration import KNOTS, Calibration, Sample, fit, logit, thinned
from sciml.protein.contacts.features import contact_features
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.contacts.synthetic_families import Family, families
from sciml.protein.measure import metrics


@pytest.fixture(scope="module")
def family() -> Family:
    return families(1, 424_242, length=(60, 60), depth=(1400, 1400))[0]


@pytest.fixture(scope="module")
def predictor() -> ContactPredictor:
    return ContactPredictor.from_pretrained(device="cpu")


def _best(probability: np.ndarray, distances: np.ndarray) -> tuple[float, float]:
    """(mean probability, precision) of the L best pairs six or more apart."""
    i, j = np.triu_indices(len(distances), 6)
    order = np.argsort(-probability[i, j])[: len(distances)]
    return float(probability[i, j][order].mean()), float((distances[i, j][order] < 8).mean())


def test_probabilities_fall_with_the_number_of_sequences(
    family: Family, predictor: ContactPredictor
) -> None:
    distances = metrics.distances(family.cb)
    plain = ContactPredictor(predictor.nets, "cpu")
    gaps, raw_gaps, means = [], [], []
    for alignment in thinned(family.alignment, 1):
        features = contact_features(alignment)
        mean, precision = _best(predictor.from_features(features).probability, distances)
        raw, _ = _best(plain.from_features(features).probability, distances)
        means.append(mean)
        gaps.append(abs(mean - precision))
        raw_gaps.append(abs(raw - precision))
    assert means[0] < 0.2 and means[0] < means[2] < means[3] < means[-1]
    assert np.mean(gaps) < 0.1 < np.mean(raw_gaps)


def test_the_order_of_pairs_stays(family: Family, predictor: ContactPredictor) -> None:
    features = contact_features(family.alignment.select(np.arange(30)))
    ours = predictor.from_features(features).probability
    plain = ContactPredictor(predictor.nets, "cpu").from_features(features).probability
    i, j = np.triu_indices(len(ours), 6)
    assert np.array_equal(
        np.argsort(ours[i, j], kind="stable"), np.argsort(plain[i, j], kind="stable")
    )
    assert np.allclose(ours, ours.T) and (np.diag(ours) == 1).all()


def test_known_terms_are_found_again() -> None:
    """Contacts drawn with probabilities that the raw ones overstate, the more the fewer."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(60):
        neff = KNOTS[number % len(KNOTS)]
        raw = rng.normal(-2, 2, 3000)
        true = 1 / (1 + np.exp(-(0.5 * raw - 4 / (1 + np.log(neff)))))
        samples.append(Sample(neff, 80, raw, (rng.random(3000) < true).astype(float)))
    fitted = fit(samples)
    for neff in (1.0, 64.0):
        raw = rng.normal(-2, 2, 3000)
        said = 1 / (1 + np.exp(-fitted.logits(raw, neff, 80)))
        true = 1 / (1 + np.exp(-(0.5 * raw - 4 / (1 + np.log(neff)))))
        assert np.abs(said - true).max() < 0.05


def test_a_model_keeps_its_calibration(predictor: ContactPredictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "m.safetensors")
    again = ContactPredictor.from_pretrained(tmp_path / "m.safetensors", device="cpu")
    assert predictor.calibration is not None and again.calibration is not None
    assert np.array_equal(again.calibration.terms, predictor.calibration.terms)


@pytest.mark.parametrize(
    "kept",
    [None, 3, {}, {"knots": [1], "terms": [[0, 1, 0, 0]]}, {"knots": list(KNOTS), "terms": "x"},
     {"knots": list(KNOTS), "terms": [[0, -1, 0, 0]] * len(KNOTS)},
     {"knots": list(KNOTS), "terms": [[0, float("nan"), 0, 0]] * len(KNOTS)}],
)  # fmt: skip
def test_a_damaged_calibration_is_one_line(kept: object) -> None:
    with pytest.raises(InputError, match="calibration"):
        Calibration.from_dict(kept)


def test_samples_are_kept(tmp_path: Path) -> None:
    samples = [Sample(3.5, 40, logit(np.array([0.1, 0.9])), np.array([0.0, 1.0]))]
    calibration.write_samples(tmp_path / "s.npz", samples)
    (again,) = calibration.read_samples(tmp_path / "s.npz")
    assert (again.neff, again.columns) == (3.5, 40)
    assert np.allclose(again.logits, samples[0].logits) and again.contact.tolist() == [0, 1]
    with pytest.raises(InputError, match="alignments"):
        fit([])
