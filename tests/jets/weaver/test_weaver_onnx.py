"""ONNX of weaver's networks with weaver's inputs: torch's answer for any number of anything."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.jets import JetTagger
from sciml.jets.networks import pair_kinematics
from sciml.jets.weaver import checkpoints, onnx

onnxruntime = pytest.importorskip("onnxruntime")
SCRIPT = Path(__file__).parents[2] / "fixtures" / "make" / "weaver_networks.py"
NAMES = list(runpy.run_path(str(SCRIPT))["CASES"])
FAST = ("version 3.5",)


def exported(name, folder, fixture_script, fixture_file):
    script, draw = fixture_script("weaver_networks"), fixture_script("weaver_core").draw
    shapes = json.loads(str(np.load(fixture_file("jets/weaver_networks.npz"))["shapes"]))[name]
    state = {k: torch.from_numpy(v) for k, v in draw(shapes, 100 + NAMES.index(name)).items()}
    torch.save(state, folder / "x.pt")
    (folder / "net.json").write_text(json.dumps(script.arguments(*script.CASES[name])))
    tagger = JetTagger.from_weaver(folder / "x.pt", network=folder / "net.json")
    return tagger, tagger.to_onnx(folder / "x.onnx")


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_any_number_of_jets_and_constituents(name, tmp_path, fixture_script, fixture_file):
    tagger, path = exported(name, tmp_path, fixture_script, fixture_file)
    network = tagger.network.get_submodule("network")
    widths = onnx.input_widths(network)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == list(tagger.weaver_inputs()) == list(widths)
    for jets in (1, 512 if name not in FAST else 40):
        for places in (0, 1, 2, 128 if name not in FAST else 60):
            inputs = onnx.made_up(widths, set(), jets, places, seed=3)
            with torch.no_grad(), pair_kinematics.portable():
                ours = checkpoints.run(network, inputs).softmax(-1).numpy()
            feed = {n: v.numpy() for n, v in inputs.items()}
            theirs = session.run(None, feed)[0]
            assert theirs.shape == ours.shape == (jets, 5)
            assert np.array_equal(np.isnan(ours), np.isnan(theirs))
            assert np.nanmax(np.abs(ours - theirs), initial=0) < 5e-5
    described = json.loads((tmp_path / "preprocess.json").read_text())
    assert described["input_names"] == list(widths)
    assert described["output_names"] == list(tagger.classes)
