"""Exported taggers give torch's answer in onnxruntime, on ragged jets of any number."""

import json

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.deployment.onnx import INPUTS, example
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer

onnxruntime = pytest.importorskip("onnxruntime")

CLASSES = ("QCD", "Tbqq", "Wqq")


def taggers():
    torch.manual_seed(0)
    sizes = {"dim": 16, "depth": 2, "heads": 2, "pair_dim": 4}
    yield JetTagger.build({"name": "pair_transformer", **sizes}, CLASSES)
    part = ParTConfig(layers=2, embed=(16, 16), heads=2, pair=(8,), classes=3, features=7)
    yield JetTagger(WeaverNetwork(ParticleTransformer(part)), CLASSES)
    net = ParticleNetConfig(channels=((8, 8), (8, 8)), neighbours=4, hidden=(8,), classes=3)
    yield JetTagger(WeaverNetwork(ParticleNet(net)), CLASSES)


@pytest.mark.parametrize("number", range(3))
def test_same_probabilities(tmp_path, number):
    tagger = list(taggers())[number].eval()
    tagger.to_onnx(tmp_path / "t.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    for count, particles in ((1, 3), (6, 40)):
        jets = example(count, particles, seed=7, ragged=True)
        values = (jets.particles, jets.jets, jets.mask)
        feed = {n: v.numpy() for n, v in zip(INPUTS, values, strict=True)}
        probabilities = session.run(None, feed)[0]
        assert np.abs(probabilities - tagger.probabilities(jets)).max() < 1e-5
    described = json.loads((tmp_path / "preprocess.json").read_text())
    assert described["outputs"]["probabilities"] == list(CLASSES)
    assert described["inputs"]["particles"]["columns"][0] == "part_px"


def test_an_empty_jet_gets_no_confident_answer(tmp_path):
    tagger = next(taggers()).eval()
    tagger.to_onnx(tmp_path / "t.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    jets = example(2, 5)
    mask = jets.mask.clone()
    mask[1] = False
    feed = {"particles": jets.particles.numpy(), "jets": jets.jets.numpy(), "mask": mask.numpy()}
    probabilities = session.run(None, feed)[0]
    assert np.isfinite(probabilities[0]).all() and np.isnan(probabilities[1]).all()


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        next(taggers()).to_onnx(tmp_path / "t.pb")
