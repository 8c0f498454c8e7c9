"""The contact network: features, symmetry, padding, learning, files; families; folding."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein import Alignment, ContactPredictor, metrics
from sciml.protein.contact_features import NODE_FEATURES, PAIR_FEATURES, contact_features
from sciml.protein.contacts import (
    EDGES,
    ContactConfig,
    ContactExamples,
    ContactLearner,
    ContactNet,
    as_example,
    collate,
    flip,
)
from sciml.protein.folding import CENTERS, fold
from sciml.protein.generate import families
from sciml.trunks.pair_transformer import PairTransformerConfig

SMALL = ContactConfig(
    pair_dim=8,
    convolutions=2,
    trunk=PairTransformerConfig(
        dim=16, pair_dim=8, depth=1, heads=2, class_depth=0, pair_update="triangle", pair_hidden=8
    ),
)


@pytest.fixture(scope="module")
def made():  # type: ignore[no-untyped-def]
    return families(2, seed=5, length=(30, 36), at_once=2)


def test_generated_families_are_chains_that_coevolve(made) -> None:  # type: ignore[no-untyped-def]
    from sciml.protein import dca

    gains = []
    for family in made:
        bonds = np.linalg.norm(np.diff(family.ca, axis=0), axis=1)
        assert np.abs(bonds - 3.8).mean() < 0.3
        distances = metrics.distances(family.ca)
        assert np.min(distances + 99 * (distances < 1e-9)) > 2.5
        assert "-" not in family.alignment.row(0) and len(family.secondary) == len(family.ca)
        truth = metrics.distances(family.cb)
        found = metrics.contact_precision(
            dca.mean_field(family.alignment).scores, truth, separation=(6, None)
        )
        gains.append(found["P@L/2"] / found["random"])
    assert np.mean(gains) > 1.5


def test_same_seed_same_family(made) -> None:  # type: ignore[no-untyped-def]
    again = families(2, seed=5, length=(30, 36), at_once=2)
    assert np.array_equal(again[1].alignment.rows, made[1].alignment.rows)
    with pytest.raises(InputError, match="cannot make 0"):
        families(0)


def test_features_are_finite_and_symmetric(made) -> None:  # type: ignore[no-untyped-def]
    for alignment in (made[0].alignment, Alignment.from_sequences(["ACDEFGHIKLMNPQ"])):
        found = contact_features(alignment)
        columns = alignment.columns
        assert found.nodes.shape == (columns, NODE_FEATURES)
        assert found.pairs.shape == (columns, columns, PAIR_FEATURES)
        assert np.isfinite(found.nodes).all() and np.isfinite(found.pairs).all()
        assert np.allclose(found.pairs, found.pairs.transpose(1, 0, 2), atol=1e-3)


def test_prediction_is_symmetric_and_padding_free(made) -> None:  # type: ignore[no-untyped-def]
    net = ContactNet(SMALL).eval()
    examples = [as_example(contact_features(f.alignment)) for f in made]
    with torch.no_grad():
        logits = net(collate(examples))[0]
        assert torch.allclose(logits, logits.transpose(1, 2), atol=1e-5)
        short = min(range(2), key=lambda i: len(examples[i]["node_profile"]))
        n = len(examples[short]["node_profile"])
        alone = net(collate([examples[short]]))[0]
        assert torch.allclose(alone[0], logits[short, :n, :n], atol=1e-4)


def test_flipping_twice_is_nothing(made) -> None:  # type: ignore[no-untyped-def]
    example = as_example(contact_features(made[0].alignment), metrics.distances(made[0].cb))
    again = flip(flip(example))
    assert all(torch.equal(again[key], example[key]) for key in example)
    assert not torch.equal(flip(example)["node_profile"], example["node_profile"])


def test_learning_fits_a_family(made) -> None:  # type: ignore[no-untyped-def]
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


def test_predictor_files_and_columns(made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
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


def test_folding_recovers_a_fold_from_its_own_distances(made) -> None:  # type: ignore[no-untyped-def]
    family = made[0]
    truth = metrics.distances(family.cb)
    classes = np.searchsorted(EDGES, truth, side="right")
    known = 0.9 * np.eye(len(CENTERS))[classes] + 0.1 / len(CENTERS)
    found = fold(known, starts=2, steps=150)
    mirrored = found.ca * np.array([1, 1, -1])
    score = max(metrics.tm_score(x, family.ca) for x in (found.ca, mirrored))
    assert score > 0.5
    assert np.abs(np.linalg.norm(np.diff(found.ca, axis=0), axis=1) - 3.8).mean() < 0.4
    with pytest.raises(InputError, match="N >= 4"):
        fold(known[:3, :3])
