"""The contact network on a language model's embedding: shapes, hidden columns, what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.graph import Light
from sciml.protein.contacts.features import NODE_FEATURES, contact_features
from sciml.protein.contacts.language import LanguageEmbedder, add_language, language_network
from sciml.protein.contacts.network import ContactConfig
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.contacts.training import ContactLearner, as_example, collate, flip
from sciml.protein.esm.esm2 import Esm2, Esm2Config
from sciml.protein.esm.predictor import EsmEmbedding, EsmPredictor
from sciml.protein.io.alignment import Alignment

SMALL = ContactConfig(
    pair_dim=8, convolutions=1, trunk=replace(ContactConfig().trunk, pair_dim=8, dim=8, heads=2)
)


def alignment(columns: int = 12) -> Alignment:
    rng = np.random.default_rng(0)
    return Alignment.from_sequences(
        ["".join(rng.choice(list("ACDEFGHIKL"), columns)) for _ in "ab"]
    )


def test_features_and_embedding_are_of_one_query() -> None:
    torch.manual_seed(0)
    esm = EsmPredictor(Esm2(Esm2Config(dim=8, layers=2, heads=2, hidden=12)), "cpu")
    msa = alignment()
    features = add_language(contact_features(msa), esm.embed(msa))
    assert features.nodes.shape == (12, NODE_FEATURES + 8)
    assert features.couplings is not None and features.couplings.shape == (12, 12, 4)
    net = language_network(SMALL, 8, 4)
    distogram = ContactPredictor(net, "cpu").from_features(features).distogram
    assert distogram.shape == (12, 12, 16) and np.allclose(distogram, distogram.swapaxes(0, 1))
    example = as_example(features)
    assert torch.equal(flip(flip(example))["node_profile"], example["node_profile"])
    with pytest.raises(InputError, match="12 columns and an embedding of 9"):
        add_language(contact_features(msa), esm.embed(alignment(9)))


def test_hidden_columns_say_nothing() -> None:
    torch.manual_seed(0)
    embedder = LanguageEmbedder(8, 8, 5, 3, convolutions=None)
    x, pair = torch.randn(1, 6, NODE_FEATURES + 5), torch.randn(1, 6, 6, 28)
    hidden = torch.tensor([[False, True, False, False, True, False]])
    other, there = x.clone(), pair.clone()
    other[:, hidden[0]] = 9.0
    either = hidden[0][:, None] | hidden[0]
    there[:, either, -3:] = 7.0  # its maps
    one = embedder(Light(x=x, pair=pair), hidden)
    two = embedder(Light(x=other, pair=there), hidden)
    assert torch.equal(one.x, two.x) and torch.equal(one.pair, two.pair)
    seen = embedder(Light(x=other, pair=there))
    assert not torch.equal(seen.x, one.x) and not torch.equal(seen.pair, one.pair)


def test_maps_that_hold_the_contacts_are_learned_from() -> None:
    """Contacts at random, which the statistics cannot know and one attention map tells."""
    torch.manual_seed(0)
    rng, msa = np.random.default_rng(1), alignment(16)
    statistics, losses = contact_features(msa), {}
    for told in (True, False):
        examples = []
        for _ in range(6):
            contact = np.triu(rng.random((16, 16)) < 0.3, 6)
            contact = contact | contact.T
            told_map = contact if told else np.triu(rng.random((16, 16)) < 0.3, 6)
            maps = np.stack([np.zeros((16, 16)), told_map | told_map.T], -1)
            embedding = EsmEmbedding(rng.normal(size=(16, 4)), maps, None, msa.row(0))
            distances = np.where(contact, 6.0, 18.0)
            examples.append(as_example(add_language(statistics, embedding), distances))
        torch.manual_seed(0)
        learner = ContactLearner(language_network(SMALL, 4, 2), noise=0.0, dropped=0.0)
        optimizer = torch.optim.Adam(learner.parameters(), 2e-2)
        for step in range(60):
            batch = collate([examples[step % 3], examples[step % 2]])
            optimizer.zero_grad()
            learner(batch)["loss"].backward()
            optimizer.step()
        with torch.no_grad():
            held_out = learner.eval()(collate(examples[3:]))["distance_loss"]
        losses[told] = float(held_out)
    assert losses[True] < 0.8 * losses[False], losses
