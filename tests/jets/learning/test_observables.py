"""Jet-level observables by hand."""

import math

import torch
from torch.nn import functional as F

from sciml.jets.deployment.onnx import example
from sciml.jets.learning.observables import OBSERVABLES, observables


def test_observables_of_two_particles_by_hand():
    x = torch.zeros(1, 3, 16)
    for row, (pt, phi) in enumerate([(30.0, 0.1), (10.0, -0.3)]):
        x[0, row, :4] = torch.tensor([pt * math.cos(phi), pt * math.sin(phi), 0.0, pt])
        x[0, row, 5] = phi
    x[0, 0, 10], x[0, 0, 11], x[0, 1, 13] = 1.0, 1.0, 1.0
    mask = torch.tensor([[True, True, False]])
    values = observables(x, mask)[0].numpy()
    value = dict(zip(OBSERVABLES, values, strict=True))
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
    values = observables(jets.particles, jets.mask)
    permuted = observables(jets.particles[:, order], jets.mask[:, order])
    assert torch.allclose(values, permuted, rtol=1e-6, atol=1e-9)
    wider = observables(F.pad(jets.particles, (0, 0, 0, 5)), F.pad(jets.mask, (0, 5)))
    assert torch.allclose(values, wider, rtol=1e-6, atol=1e-9)
