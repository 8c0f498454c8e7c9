"""Every model of jets: copies, pickles, half precision, files and folders."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sciml import trunks
from sciml.errors import InputError
from sciml.jets import JetMasses, JetMassRegressor, JetScores, JetTagger
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.deployment.onnx import example
from sciml.jets.networks import regression
from sciml.jets.networks.classifier import TrunkNetwork, WeaverNetwork
from sciml.jets.networks.embedder import JetEmbedder
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer

SIZES = {"dim": 16, "depth": 2}


def tagger_on(name):
    return JetTagger.build({"name": name, **SIZES}, "abc")


def regressor():
    trunk = trunks.build({"name": "pair_transformer", **SIZES})
    network = TrunkNetwork(JetEmbedder(trunk.dim, trunk.pair_dim), trunk, nn.Linear(16, 4))
    return JetMassRegressor(network, regression.names((0.16, 0.5, 0.84)))


MODELS = {
    "pair transformer": lambda: tagger_on("pair_transformer"),
    "message passing": lambda: tagger_on("message_passing"),
    "lorentz": lambda: tagger_on("lorentz"),
    "ParticleNet": lambda: JetTagger(
        WeaverNetwork(ParticleNet(ParticleNetConfig(classes=3, channels=((8, 8), (8, 8))))), "abc"
    ),
    "Particle Transformer": lambda: JetTagger(
        WeaverNetwork(ParticleTransformer(ParTConfig(classes=3, layers=2))), "abc"
    ),
    "masses": regressor,
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.fixture(scope="module")
def jets():
    return example(20, 12, ragged=True)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_give_the_same_answer(model, jets, again):
    assert np.array_equal(again(model).predict(jets), model.predict(jets))


@pytest.mark.parametrize("dtype, largest", [("half", 0.01), ("bfloat16", 0.05)])
def test_half_precision(model, jets, dtype, largest):
    """The network computes in half precision, momenta and angles stay in single precision."""
    expected = model.predict(jets)
    values = getattr(copy.deepcopy(model), dtype)().predict(jets)
    assert values.dtype == np.float32
    scale = np.asarray(expected) if isinstance(model, JetMassRegressor) else 1.0
    difference = np.abs(values - expected) / scale
    assert 0 < difference.max() < largest


def test_a_file_and_a_folder_hold_the_whole_model(model, jets, tmp_path):
    expected = model.predict(jets)
    kind = type(model)
    weights = model.save(tmp_path / "folder", notes={"seed": "1"})
    assert weights == tmp_path / "folder" / "model.safetensors"
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["model"] == kind.__name__ and config["config"] == json.loads(
        json.dumps(model.describe())
    )
    assert kind.__name__ in (tmp_path / "folder" / "README.md").read_text()
    for path in (tmp_path / "folder", weights, model.save(tmp_path / "one.safetensors")):
        again = kind.from_pretrained(path, device="cpu")
        assert not again.training and np.array_equal(again.predict(jets), expected)
    small = kind.from_pretrained(model.save(tmp_path / "half", half=True))
    assert np.allclose(small.predict(jets), expected, rtol=0.05, atol=0.02)


def test_each_class_refuses_the_files_of_the_other(tmp_path):
    masses = regressor().save(tmp_path / "masses")
    classes = MODELS["pair transformer"]().save(tmp_path / "classes")
    with pytest.raises(InputError, match=r"JetMassRegressor\.from_pretrained") as caught:
        JetTagger.from_pretrained(masses)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"JetTagger\.from_pretrained"):
        JetMassRegressor.from_pretrained(classes)


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="unknown device"):
        JetTagger.from_pretrained("jets-tiny", device="abacus")


def test_a_prediction_says_what_it_is(jets):
    scores = MODELS["pair transformer"]().eval().predict(jets)
    assert isinstance(scores, JetScores) and scores.classes == ("a", "b", "c")
    assert np.array_equal(scores.probabilities, np.asarray(scores)) and scores.shape == (20, 3)
    assert np.array_equal(scores[:, 1], scores.probabilities[:, 1])
    assert scores.flags.tolist() == scores.cut.tolist() == [0] * 20
    masses = regressor().eval().predict(jets)
    assert isinstance(masses, JetMasses) and masses.masses.shape == (20, 4)


def test_a_sample_in_memory(jets):
    tagger = MODELS["pair transformer"]().eval()
    sample = JetSample.read(shipped("test"), limit=20).subset(range(50))
    scores = tagger.predict(sample)
    assert np.array_equal(scores, tagger.predict(sample.dense())) and len(scores) == 50
    assert tagger.predict(sample.subset([])).shape == (0, 3)


def test_former_names_work_with_a_note(jets):
    import sciml.jets.data.io
    import sciml.jets.tagger

    tagger = MODELS["pair transformer"]().eval()
    events = sciml.jets.read_jets(shipped("test"))[:20]
    with pytest.warns(DeprecationWarning, match="predict"):
        assert np.array_equal(tagger.tag(events).flags, tagger.predict(events).flags)
    sample = JetSample.read(shipped("test"), limit=20).subset(range(20))
    with pytest.warns(DeprecationWarning, match="predict"):
        assert np.array_equal(tagger.probabilities_of(sample), tagger.predict(sample))
    former: Any = {"most": 100}
    with pytest.warns(DeprecationWarning, match="max_jets"):
        assert len(JetSample.read(shipped("test"), limit=20, **former)) >= 100
    with pytest.warns(DeprecationWarning, match="JetScores"):
        assert sciml.jets.tagger.Scores is JetScores
    with pytest.warns(DeprecationWarning, match="read_jets"):
        assert sciml.jets.data.io.read is sciml.jets.read_jets
