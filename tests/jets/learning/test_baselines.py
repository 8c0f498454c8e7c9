"""Trees on jet-level observables tell jets apart."""

import numpy as np

from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.jets.learning.observables import OBSERVABLES
from sciml.jets.metrics import auc


def test_trees_tell_top_from_qcd():
    sample = JetSample.read(shipped("test"), classes=["QCD", "Tbqq"])
    values = observables_of(sample, step=700)
    assert np.isfinite(values).all() and values.shape == (len(sample), len(OBSERVABLES))
    half = len(sample) // 2
    trees = BoostedTrees(2).fit(values[:half], sample.y[:half])
    scores = trees.predict(values[half:])[:, 1]
    assert auc(scores, sample.y[half:] == 1) > 0.93


def test_a_class_without_a_training_jet_gets_zero():
    random = np.random.default_rng(0)
    trees = BoostedTrees(3).fit(random.normal(size=(40, 4)), np.arange(40) % 2)
    probabilities = trees.predict(random.normal(size=(5, 4)))
    assert (probabilities[:, 2] == 0).all() and np.allclose(probabilities.sum(1), 1)
