"""The contact network: features, symmetry, padding, learning, files; families; folding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein import Alignment, ContactPredictor
from sciml.protein.contacts.features import (
    NODE_FEATURES,
    PAIR_FEATURES,
    PAIR_SCORES,
    contact_features,
)
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.contacts.training import (
    ContactExamples,
    ContactLearner,
    as_example,
    collate,
    flip,
)
from sciml.protein.measure import metrics
from sciml.trunks.pair_transformer import PairTransformerConfig

SMALL = ContactConfig(
    pair_dim=8,
    convolutions=2,
    trunk=PairTransformerConfig(
        dim=16, pair_dim=8, depth=1, heads=2, class_depth=0, pair_update="triangle", pair_hidden=8
    ),
)


@pytest.fixture(scope="module")
def made():
    return families(2, seed=5, length=(30, 36), at_once=2)


def test_generated_families_are_chains_that_coevolve(made) -> None:
    from sciml.protein.contacts import dca

    gains = []
    for family in made:
        bonds = np.linalg.norm(np.diff(family.ca, axis=0), axis=1)
        assert np.abs(bonds - 3.8).mean() < 0.3
        distances = metrics.distances(family.ca)
        assert np.min(distances + 99 * (distances < 1e-9)) > 2.5
        assert "-" not in family.alignment.row(0) and len(family.secondary) == len(family.ca)
        truth = metrics.distances(family.cb)
        precision = metrics.contact_precision(
            dca.mean_field(family.alignment).scores, truth, separation=(6, None)
        )
        gains.append(precision["P@L/2"] / precision["random"])
    assert np.mean(gains) > 1.5


def test_same_seed_same_family(made) -> None:
    again = families(2, seed=5, length=(30, 36), at_once=2)
    assert np.array_equal(again[1].alignment.rows, made[1].alignment.rows)
    with pytest.raises(InputError, match="cannot make 0"):
        families(0)


def test_features_are_finite_and_symmetric(made) -> None:
    for alignment in (made[0].alignment, Alignment.from_sequences(["ACDEFGHIKLMNPQ"])):
        features = contact_features(alignment)
        columns = alignment.columns
        assert features.nodes.shape == (columns, NODE_FEATURES)
        assert features.pairs.shape == (columns, columns, PAIR_FEATURES)
        assert np.isfinite(features.nodes).all() and np.isfinite(features.pairs).all()
        assert np.allclose(features.pairs, features.pairs.transpose(1, 0, 2), atol=1e-3)


def test_prediction_is_symmetric_and_padding_free(made) -> None:
    net = ContactNet(SMALL).eval()
    examples = [as_example(contact_features(f.alignment)) for f in made]
    with torch.no_grad():
        logits = net(collate(examples))[0]
        assert torch.allclose(logits, logits.transpose(1, 2), atol=1e-5)
        short = min(range(2), key=lambda i: len(examples[i]["node_profile"]))
        n = len(examples[short]["node_profile"])
        alone = net(collate([examples[short]]))[0]
        assert torch.allclose(alone[0], logits[short, :n, :n], atol=1e-4)


def test_flipping_twice_is_nothing(made) -> None:
    example = as_example(contact_features(made[0].alignment), metrics.distances(made[0].cb))
    again = flip(flip(example))
    assert all(torch.equal(again[key], example[key]) for key in example)
    assert not torch.equal(flip(example)["node_profile"], example["node_profile"])


def test_learning_fits_a_family(made) -> None:
    torch.manual_seed(0)
    learner = ContactLearner(ContactNet(SMALL), noise=0.0)
    example = as_example(contact_features(made[0].alignment), metrics.distances(made[0].cb))
    batch = collate([ContactExamples([example], augment=False)[0]])
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = learner(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]


def test_predictor_files_and_columns(made, tmp_path: Path) -> None:
    predictor = ContactPredictor(ContactNet(SMALL), device="cpu")
    path = tmp_path / "net.safetensors"
    predictor.save(path)
    again = ContactPredictor.from_pretrained(path, device="cpu")
    rows = [made[0].alignment.row(i) for i in range(60)]
    with_gap = [rows[0][:3] + "-" + rows[0][3:]] + [row[:3] + "A" + row[3:] for row in rows[1:]]
    alignment = Alignment.from_sequences(with_gap)
    whole = predictor.predict(alignment)
    assert whole.shape == (len(rows[0]) + 1,) * 2
    assert np.allclose(whole, again.predict(alignment), atol=1e-6)
    query = predictor.predict(alignment, columns="query")
    assert query.shape == (len(rows[0]),) * 2
    assert ((whole >= 0) & (whole <= 1)).all() and np.allclose(whole, whole.T, atol=1e-5)
    with pytest.raises(InputError, match="unknown choice of columns"):
        predictor.predict(alignment, columns="some")
    with pytest.raises(InputError, match="holds no contact network"):
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
        ContactPredictor.from_pretrained(tmp_path / "other.safetensors")


def test_several_networks_are_averaged(made, tmp_path: Path) -> None:
    nets = [ContactNet(SMALL), ContactNet(SMALL)]
    features = contact_features(made[0].alignment)
    each = [ContactPredictor(net, "cpu").from_features(features).distogram for net in nets]
    path = tmp_path / "two.safetensors"
    ContactPredictor(nets, "cpu").save(path)
    both = ContactPredictor.from_pretrained(path, device="cpu").from_features(features)
    assert np.allclose(both.distogram, np.mean(each, 0), atol=1e-6)
    assert not np.allclose(each[0], each[1], atol=1e-3)


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "net.safetensors"
    ContactPredictor(ContactNet(SMALL), "cpu").save(path)
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        state = {key: file.get_tensor(key) for key in file.keys()}
    state.pop(sorted(state)[0])
    meta.pop("sha256")
    save_file(state, path, metadata=meta)
    with pytest.raises(InputError, match="another version"):
        ContactPredictor.from_pretrained(path)


def test_profiles_alone_hold_no_couplings(made) -> None:
    features = contact_features(made[0].alignment)
    bare = features.without_scores()
    assert not bare.pairs[..., :PAIR_SCORES].any() and not bare.plm.any()
    assert np.array_equal(bare.pairs[..., PAIR_SCORES:], features.pairs[..., PAIR_SCORES:])
    assert np.array_equal(bare.nodes[:, :22], features.nodes[:, :22])


@pytest.mark.parametrize("name", ["contacts-small", "contacts-base"])
def test_shipped_model_finds_contacts_that_it_was_not_trained_on(name: str) -> None:
    family = families(1, seed=77, length=(60, 60), depth=(800, 800), at_once=1)[0]
    model = ContactPredictor.from_pretrained(name, device="cpu")
    predicted = model.predict(family.alignment)
    truth = metrics.distances(family.cb)
    far = (6, None)
    precision = metrics.contact_precision(predicted.probability, truth, separation=far)
    plain = metrics.contact_precision(predicted.dca, truth, separation=far)
    assert precision["P@L"] > plain["P@L"] > precision["random"]


def test_features_without_what_the_network_reads_are_refused(made) -> None:
    model = ContactPredictor([ContactNet(replace(SMALL, couplings=True))], "cpu")
    assert len(model.predict(made[0].alignment).probability) == made[0].alignment.columns
    with pytest.raises(InputError, match="no couplings along properties"):
        model.from_features(contact_features(made[0].alignment))
