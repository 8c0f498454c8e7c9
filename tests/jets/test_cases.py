"""Inputs from practice with the right result: generated, and ../shared/cases/jets if at hand."""

import json
import re

import awkward as ak
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sciml.cli import main
from sciml.errors import InputError
from sciml.files import tensors
from sciml.jets import JetTagger
from sciml.jets.data.io import open_jets, read_jets
from sciml.jets.weaver.config import WeaverConfig
from sciml.weights import find as weights_of


@pytest.fixture(scope="module")
def cases(origin, request, fixture_file, fixture_script, tmp_path_factory):
    if origin == "shared":
        return request.getfixturevalue("shared") / "cases" / "jets"
    folder = tmp_path_factory.mktemp("cases")
    fixture_script("jet_files").write(folder, fixture_file("jets/jets.parquet"))
    weights, header = tensors.read(weights_of("jets-tiny"))
    header = {k: v.replace('"dim": 64', '"dim": 1000000000') for k, v in header.items()}
    save_file(weights, folder / "tiny_absurd_dim.safetensors", header)
    maker = fixture_script("weaver_core")
    shapes = json.loads(fixture_file("jets/shapes.json").read_text())["global_token"]
    drawn = maker.draw(shapes, maker.SEEDS["global_token"])
    state = {name: torch.from_numpy(value) for name, value in drawn.items()}
    torch.save(state, folder / "part_global_token.pt")
    return folder


@pytest.fixture(scope="module")
def tiny():
    import torch_geometric.nn  # noqa: F401  here, since its import warns and tests catch warnings

    return JetTagger.from_pretrained("jets-tiny")


@pytest.mark.parametrize("name", ["CMSAK4_ParT.yaml", "CMSAK4_PNXT.yaml"])
def test_configs_with_four_vectors_load(cases, name):
    config = WeaverConfig.load(cases / name)
    assert config.inputs["pf_vectors"].length == 50 and "pfcand_pt_nopuppi" in config.columns()


@pytest.mark.parametrize("name", ["auto.yaml", "auto_pf_features.yaml"])
def test_configs_that_are_not_standardised_say_so(cases, weaver_reference, name):
    config = WeaverConfig.load(cases / name)
    events = read_jets(weaver_reference.jets)
    with pytest.raises(InputError, match="standardise"):
        config.batch(events)


def test_a_global_token_gives_each_jet_its_own_answer(cases, weaver_reference):
    tagger = JetTagger.from_weaver(cases / "part_global_token.pt")
    events = read_jets(weaver_reference.jets)
    scores = tagger.predict(events[ak.num(events.part_px) <= 128][:30])
    assert scores.shape == (30, 10) and np.ptp(scores, axis=0).max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*(candidates without momentum|repaired)")
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("half.parquet", 12), ("list_of_struct.parquet", 12), ("events_vv.parquet", 12),
        ("events_nested.parquet", 12), ("hive", 12), ("n_AK4.root", 6), ("n_rnt.root", 6),
        ("n_candIdx.root", 6), ("n_shuffled_links.root", 6), ("n_allempty.root", 0),
    ],
)  # fmt: skip
def test_files_get_a_score_for_every_jet(cases, tiny, name, rows):
    scores = tiny.predict(cases / name)
    assert scores.probabilities.shape == (rows, 6) and not scores.flags.any()
    assert np.isfinite(scores.probabilities).all()
    if name.endswith(".parquet") and name != "half.parquet":
        same = tiny.predict(cases / "list_of_struct.parquet")
        assert np.abs(scores.probabilities - same).max() < 1e-6


def test_events_keep_their_index(cases):
    for name in ("events_vv.parquet", "events_nested.parquet"):
        events = read_jets(cases / name, ["event_index", "jet_index"])
        assert len(events) == 12
        counts = ak.num(ak.from_parquet(cases / "events_vv.parquet").jet_pt)
        assert events.event_index.tolist() == np.repeat(np.arange(4), counts).tolist()


def test_made_candidates_without_momentum_are_left_out(fixture_file, fixture_script, tiny):
    jets = [(e["candidates"], j["members"]) for e in fixture_script("root_delphes").events()
            for j in e["jets"]]  # fmt: skip
    gone = [sum(candidates[i]["PT"] == 0 for i in members) for candidates, members in jets]
    counted = (
        f"{sum(gone)} candidates without momentum.* {np.count_nonzero(gone)} of {len(jets)} jets"
    )
    with pytest.warns(UserWarning, match=counted):
        scores = tiny.predict(fixture_file("jets/delphes.root"))
    assert scores.shape == (len(jets), 6) and np.isfinite(scores).all()


def test_candidates_without_momentum_are_left_out(shared, tiny):
    with pytest.warns(UserWarning, match="137 candidates without momentum.* 5 of 22 jets"):
        scores = tiny.predict(shared / "data" / "jets" / "events_delphes_example.root")
    assert scores.probabilities.shape == (22, 6) and np.isfinite(scores.probabilities).all()


def test_trees_have_an_option(cases, tiny):
    with pytest.raises(InputError, match="--tree"):
        tiny.predict(cases / "two_trees.root")
    with open_jets(cases / "two_trees.root", tree="train") as reader:
        rows = len(reader)
    assert tiny.predict(cases / "two_trees.root", tree="train").shape == (rows, 6)


def test_byte_orders_agree(cases):
    one, other = read_jets(cases / "top_le.h5"), read_jets(cases / "top_be.h5")
    assert one.fields == other.fields
    assert all(one[name].tolist() == other[name].tolist() for name in one.fields)


@pytest.mark.parametrize("name", ["top_le.h5", "top_be.h5", "jetnet_be.h5", "energyflow.npz"])
def test_kinematics_alone_are_refused_by_the_models_that_need_more(cases, tiny, name):
    with pytest.raises(InputError, match="part_d0val") as caught:
        tiny.predict(cases / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("top_le.h5", 6), ("top_be.h5", 6), ("jetnet_be.h5", 40), ("energyflow.npz", 40)],
)
def test_the_kinematic_model_tags_them(cases, name, rows):
    scores = JetTagger.from_pretrained("jets-kin-small").predict(cases / name)
    assert scores.shape == (rows, 6) and np.isfinite(scores).all()


def test_an_absurd_header_is_one_line(cases, tmp_path, capsys):
    arguments = [str(cases / "list_of_struct.parquet"), "-o", str(tmp_path / "o.parquet")]
    model = str(cases / "tiny_absurd_dim.safetensors")
    assert main(["jets", "tag", *arguments, "--model", model]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1 and not list(tmp_path.iterdir())
    assert re.search("absurd_dim", message)
