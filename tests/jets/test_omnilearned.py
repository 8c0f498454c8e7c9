"""OmniLearned's classifier: the logits of its package, and jets as it documents its inputs."""

import json

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data.ragged import dense, to_ragged
from sciml.jets.omnilearned import particle_kinds

NAMES = ("kinematics", "three coordinates", "without pairs", "types and tracks", "conditions",
         "pretrained")  # fmt: skip


@pytest.fixture(scope="module")
def case(fixture_script, fixture_file):
    script, draw = fixture_script("omnilearned_logits"), fixture_script("weaver_core").draw
    stored = np.load(fixture_file("jets/omnilearned.npz"))
    shapes = json.loads(str(stored["shapes"]))
    assert tuple(script.CASES) == tuple(shapes) == NAMES

    def made(name, folder):
        seed = 200 + NAMES.index(name)
        heads = {"classifier": "classifier_head", "generator": "generator_head"}
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in draw(shapes[name], seed).items():
            part, rest = key.split(".", 1)
            parts.setdefault(heads.get(part, part), {})[f"module.{rest}"] = torch.from_numpy(value)
        torch.save({**parts, "epoch": 3, "loss": 0.5}, folder / "best.pt")
        settings = script.CASES[name]
        options = {"neighbours": 5, "coordinates": settings["num_coord"]}
        if not settings.get("use_int", True):
            options["num_heads"] = 2
        tagger = JetTagger.from_omnilearned(folder / "best.pt", **options)
        return tagger, stored[name]

    return made


@pytest.fixture(scope="module")
def inputs(fixture_script):
    script = fixture_script("omnilearned_logits")
    return {name: torch.from_numpy(value) for name, value in script.inputs().items()}


def run(tagger, inputs, dtype=torch.float32):
    network = tagger.network.network.to(dtype)
    config, x = network.config, inputs["x"].to(dtype)
    with torch.no_grad():
        return network(
            x, x[..., 2] != 0,
            inputs["kinds"] if config.kinds else None,
            inputs["tracks"].to(dtype) if config.track_features else None,
            inputs["conditions"].to(dtype) if config.conditions else None,
        ).numpy()  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_the_package(name, case, inputs, tmp_path):
    tagger, logits = case(name, tmp_path)
    ours = run(tagger, inputs)
    assert np.abs(ours - logits).max() < 5e-5
    tagger.save(tmp_path / "ours.safetensors")
    again = JetTagger.from_pretrained(tmp_path / "ours.safetensors", device="cpu")
    assert np.array_equal(run(again, inputs), ours)
    with_empty = run(again, {n: torch.cat([v[:1] * 0, v]) for n, v in inputs.items()})
    assert np.isnan(with_empty[0]).all() and np.abs(with_empty[1:] - logits).max() < 5e-5
    assert np.abs(run(tagger, inputs, torch.float64) - logits).max() < 5e-5


def test_jets_are_described_as_documented(case, jets, tmp_path):
    """Scores of raw jets are those of the inputs made by hand."""
    tagger, *_ = case("types and tracks", tmp_path)
    columns = jets([7, 3, 12])
    scores = tagger.predict(columns)
    assert scores.probabilities.shape == (3, 3) and (scores.flags == 0).all()
    made = dense(to_ragged(columns, features=tuple(range(17)), limit=128))
    x, mask = made.particles, made.mask
    pt = (x[..., 0] ** 2 + x[..., 1] ** 2).sqrt()
    kinematics = torch.stack([x[..., 4], x[..., 5], pt.log(), x[..., 3].log()], -1)
    tracks = torch.stack([x[..., 6].tanh(), x[..., 7], x[..., 8].tanh(), x[..., 9]], -1)
    with torch.no_grad():
        logits = tagger.network.network(
            torch.where(mask[..., None], kinematics, 0.0), mask, particle_kinds(x), tracks
        )
    assert np.abs(logits.softmax(-1).numpy() - scores.probabilities).max() < 1e-5


def test_types_are_numbered_as_sorted_pdg_codes():
    codes = [-211, -13, -11, 11, 13, 22, 130, 211]
    flags = {211: 11, 130: 12, 22: 13, 11: 14, 13: 15}
    x = torch.zeros(1, len(codes), 16)
    for row, code in enumerate(codes):
        x[0, row, flags[abs(code)]] = 1
        sign = {211: 1, 11: -1, 13: -1}.get(abs(code), 0)
        x[0, row, 10] = sign * (1 if code > 0 else -1)
    numbers = np.searchsorted(np.unique([0, *codes]), codes)
    assert particle_kinds(x)[0].tolist() == numbers.tolist()


def test_what_cannot_be_told_or_made_is_refused(case, jets, tmp_path):
    tagger, *_ = case("conditions", tmp_path)
    with pytest.raises(InputError, match="features of the jet"):
        tagger.predict(jets([3]))
    content = torch.load(tmp_path / "best.pt", weights_only=True)
    body = {k: v for k, v in content["body"].items() if "interaction" not in k}
    torch.save(content | {"body": body}, tmp_path / "heads.pt")
    with pytest.raises(InputError, match="Give num_heads"):
        JetTagger.from_omnilearned(tmp_path / "heads.pt")
    torch.save({"body": content["body"]}, tmp_path / "body.pt")
    with pytest.raises(InputError, match="no checkpoint of OmniLearned"):
        JetTagger.from_omnilearned(tmp_path / "body.pt")
