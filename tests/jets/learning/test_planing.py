"""Planing: one spectrum for all classes, sums of weights kept, the mass of the constituents."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.planing import LARGEST, planed, planing_weights


def spectrum(values, weights, edges):
    counts = np.histogram(values, edges, weights=weights)[0]
    return counts / counts.sum()


def test_all_classes_have_one_spectrum():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, -1], [4000, 1500, 500])
    mass = np.where(labels == 0, random.exponential(60, 6000), random.normal(80, 25, 6000))
    first = random.uniform(0.5, 2, 6000)
    weights = planing_weights(mass, labels, bins=10, weights=first)
    edges = np.quantile(mass, np.linspace(0, 1, 11))
    edges[-1] += 1
    before, after = (
        np.abs(spectrum(mass[labels == 0], w[labels == 0], edges)
               - spectrum(mass[labels == 1], w[labels == 1], edges)).max()
        for w in (first, weights)
    )  # fmt: skip
    assert before > 0.05 and after < 1e-9
    for index in (0, 1):
        assert weights[labels == index].sum() == pytest.approx(first[labels == index].sum())
    assert np.array_equal(weights[labels < 0], first[labels < 0])
    assert (weights / first)[labels == 0].max() < 2 * LARGEST
    with pytest.raises(InputError, match="must be finite"):
        planing_weights(np.full(6000, np.nan), labels)


def test_two_spectra_at_once():
    random = np.random.default_rng(1)
    labels = np.arange(8000) % 2
    values = random.normal(size=(8000, 2)) + 0.4 * labels[:, None]
    weights = planing_weights(values, labels, bins=4)
    for column in values.T:
        means = [np.average(column[labels == c], weights=weights[labels == c]) for c in (0, 1)]
        assert abs(means[0] - means[1]) < 0.1 < abs(column[labels == 1].mean() - means[0])


def test_a_sample_is_planed_in_the_mass_of_its_constituents():
    sample = JetSample.read(shipped("test"), max_jets=600).subset(range(50, 600))
    made = planed(sample, ("mass",), bins=5)
    dense = made.dense()
    total = (dense.particles[..., :4].double() * dense.mask[..., None]).sum(1).numpy()
    mass = np.sqrt(np.maximum(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(1), 0))
    weights = made.weights
    assert weights is not None
    assert np.abs(weights / planing_weights(mass, made.y, bins=5) - 1).max() < 1e-6
    assert made[3]["weight"] == pytest.approx(weights[3])
    with pytest.raises(InputError, match="Did you mean 'mass'"):
        planed(sample, ("mas",))
