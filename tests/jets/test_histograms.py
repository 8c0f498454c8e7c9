"""Histograms of scores and efficiencies: every jet once, weights squared, the map's numbers."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.jets.histograms import efficiency_histogram, score_histogram, write_histograms
from sciml.jets.metrics import discriminant
from sciml.jets.working_points import measure

pytest.importorskip("hist")
CLASSES = ("QCD", "Tbqq", "Wqq")


@pytest.fixture(scope="module")
def sample():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    scores = np.exp(random.normal(size=(900, 3)) + 2 * np.eye(3)[labels])
    scores /= scores.sum(1, keepdims=True)
    scores[5] = np.nan
    scores[6] = (0.0, 1.0, 0.0)  # a score of exactly 1
    return scores, labels, random.uniform(0.5, 2, 900)


def test_every_jet_is_in_one_bin_of_each_signal(sample):
    scores, labels, weights = sample
    made = score_histogram(scores, labels, CLASSES, bins=20, weights=weights)
    assert [axis.name for axis in made.axes] == ["truth", "signal", "score"]
    good = np.isfinite(scores).all(1)
    for index, name in enumerate(CLASSES):
        mine = good & (labels == index)
        values = discriminant(scores[mine], 1, 0)
        want = np.histogram(values, 20, (0, 1), weights=weights[mine])[0]
        squares = np.histogram(values, 20, (0, 1), weights=weights[mine] ** 2)[0]
        row = made[name, "Tbqq", :]
        np.testing.assert_allclose(row.values(), want, rtol=1e-12)
        np.testing.assert_allclose(row.variances(), squares, rtol=1e-12)
        assert row.sum(flow=True).value == pytest.approx(weights[mine].sum())
    with pytest.raises(InputError, match="Did you mean 'QCD'"):
        score_histogram(scores, labels, CLASSES, background="QCDD")


def test_a_root_file_of_them(sample, tmp_path):
    uproot = pytest.importorskip("uproot")
    scores, labels, weights = sample
    made = score_histogram(scores, labels, CLASSES, weights=weights)
    write_histograms(tmp_path / "h.root", made)
    with uproot.open(tmp_path / "h.root") as file:
        read = file["Wqq/QCD"]
        np.testing.assert_allclose(read.values(), made["QCD", "Wqq", :].values())
        np.testing.assert_allclose(read.variances(), made["QCD", "Wqq", :].variances())
    with pytest.raises(InputError, match=r"must end in \.root"):
        write_histograms(tmp_path / "h.png", made)


def test_maps_of_efficiencies_are_those_of_the_working_point(sample):
    scores, labels, weights = sample
    random = np.random.default_rng(1)
    pt, eta = random.uniform(500, 1000, 900), random.normal(0, 1, 900)
    points = measure(scores, labels, CLASSES, efficiencies=[0.1], pt=pt, eta=eta)
    made = efficiency_histogram(points, "Tbqq", 0.1)
    cell = points.maps["Tbqq", 0, "QCD"][1][0]
    view = made["QCD", 1, 0]
    assert view.value == cell.value and view.variance == ((cell.high - cell.low) / 2) ** 2
    bare = measure(scores, labels, CLASSES, efficiencies=[0.1])
    with pytest.raises(InputError, match="no maps"):
        efficiency_histogram(bare, "Tbqq", 0.1)
