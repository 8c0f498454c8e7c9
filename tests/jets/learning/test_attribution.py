"""Occlusion: the change of the answer when one constituent is missing."""

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.deployment.onnx import example
from sciml.jets.learning.attribution import occlusion

CLASSES = ("QCD", "Tbqq")


@pytest.fixture(scope="module")
def tagger():
    torch.manual_seed(0)
    trunk = {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}
    return JetTagger.build(trunk, CLASSES).eval()


def test_equals_tagging_the_jet_without_the_constituent(tagger):
    jet = example(1, 9, seed=3)
    contributions = occlusion(tagger, jet, "Tbqq")

    def odds(one):
        p = tagger.probabilities(one)[0].astype(float)
        return np.log(p[1] / p[0])

    for place in (0, 4, 8):
        keep = torch.arange(9) != place
        without = example(1, 9, seed=3)
        without.particles, without.mask = without.particles[:, keep], without.mask[:, keep]
        assert contributions[place] == pytest.approx(odds(jet) - odds(without), abs=1e-4)


def test_bad_input(tagger):
    with pytest.raises(InputError, match="Hbb"):
        occlusion(tagger, example(1, 5), "Hbb")
    with pytest.raises(InputError, match="one jet"):
        occlusion(tagger, example(2, 5), "Tbqq")
