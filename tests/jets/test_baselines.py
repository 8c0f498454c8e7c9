"""Jet-level observables by hand, and that trees on them tell jets apart."""

import math

import numpy as np
import torch

from sciml.jets.baselines import OBSERVABLES, BoostedTrees, observables, observables_of
from sciml.jets.features import Jets
from sciml.jets.metrics import auc
from sciml.jets.onnx import example
from sciml.jets.sample import JetSample, shipped


def test_observables_of_two_particles_by_hand():
    x = torch.zeros(1, 3, 16)
    for row, (pt, phi) in enumerate([(30.0, 0.1), (10.0, -0.3)]):
        x[0, row, :4] = torch.tensor([pt * math.cos(phi), pt * math.sin(phi), 0.0, pt])
        x[0, row, 5] = phi
    x[0, 0, 10], x[0, 0, 11], x[0, 1, 13] = 1.0, 1.0, 1.0
    mask = torch.tensor([[True, True, False]])
    zero = torch.zeros(1, dtype=torch.int64)
    found = observables(Jets(x, torch.tensor([[40.0, 40.0]]), mask, zero, zero))[0]
    value = dict(zip(OBSERVABLES, found, strict=True))
    assert math.isclose(value["pt"], 40, rel_tol=1e-6) and value["multiplicity"] == 2
    expected = math.sqrt(2 * 300 * (1 - math.cos(0.4)))
    assert math.isclose(value["mass"], expected, rel_tol=1e-5)
    assert math.isclose(value["e2"], 0.75 * 0.25 * 0.4, rel_tol=1e-5)
    assert abs(value["c2"]) < 1e-6  # two particles have no third
    # the axis lies at phi = 0: three quarters at 0.1, one quarter at 0.3 from it
    assert math.isclose(value["width"], 0.75 * 0.1 + 0.25 * 0.3, rel_tol=1e-5)
    assert math.isclose(value["charged_share"], 0.75, rel_tol=1e-6)
    assert math.isclose(value["photon_share"], 0.25, rel_tol=1e-6)


def test_observables_do_not_depend_on_order_or_padding():
    jets = example(4, 12, ragged=True)
    order = torch.randperm(12)
    turned = Jets(jets.particles[:, order], jets.jets, jets.mask[:, order], jets.flags, jets.cut)
    assert np.allclose(observables(jets), observables(turned), rtol=1e-6, atol=1e-9)
    wider = Jets(
        torch.nn.functional.pad(jets.particles, (0, 0, 0, 5)), jets.jets,
        torch.nn.functional.pad(jets.mask, (0, 5)), jets.flags, jets.cut,
    )  # fmt: skip
    assert np.allclose(observables(jets), observables(wider), rtol=1e-6, atol=1e-9)


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
    found = trees.predict(random.normal(size=(5, 4)))
    assert (found[:, 2] == 0).all() and np.allclose(found.sum(1), 1)
