"""The generated jets judged by published ParticleNet weights that were trained on JetClass."""

import awkward as ak
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sciml.jets import JetTagger
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped


@pytest.fixture(scope="module")
def judged(shared):
    """AUC against QCD of each class of the shipped sample, for each set of input features."""
    jets = read_jets(shipped("train"))
    picked = {}
    for name in ("QCD", "Wqq", "Hgg", "Hbb", "Tbqq"):
        picked[name] = jets[ak.to_numpy(jets[f"label_{name}"]) == 1][:350]
    out = {}
    for features in ("kin", "full"):
        tagger = JetTagger.from_weaver(shared / "data" / "jets" / f"ParticleNet_{features}.pt")
        background = tagger.predict(picked["QCD"])
        for name in ("Wqq", "Hgg", "Hbb", "Tbqq"):
            signal = tagger.predict(picked[name])
            both = np.concatenate([signal, background])
            at = list(tagger.classes).index(name)
            score = both[:, at] / (both[:, at] + both[:, list(tagger.classes).index("QCD")])
            truth = np.repeat([1, 0], [len(signal), len(background)])
            out[name, features] = roc_auc_score(truth, score)
    return out


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_tracks_help_as_in_jetclass(judged):
    """Impact parameters of the wrong kind cost W jets four points and H to gg eighteen."""
    assert judged["Wqq", "full"] > judged["Wqq", "kin"] - 0.005
    assert judged["Hgg", "full"] > judged["Hgg", "kin"] - 0.01
    assert judged["Hbb", "full"] > judged["Hbb", "kin"] + 0.005
    assert judged["Tbqq", "full"] > judged["Tbqq", "kin"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_levels_of_jetclass(judged):
    for name, least in (("Wqq", 0.94), ("Hgg", 0.96), ("Hbb", 0.99), ("Tbqq", 0.99)):
        assert judged[name, "full"] > least, name
