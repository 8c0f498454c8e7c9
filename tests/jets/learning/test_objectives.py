"""Pretraining by a jet's observables: they are learned, and labels are not looked at."""

import numpy as np
import pytest
import torch

from sciml import objectives, trunks
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.observables import OBSERVABLES
from sciml.jets.networks.embedder import JetEmbedder, collate

NAME = "sciml.jets.learning.objectives:JetObservables"


def new():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    return objectives.build(NAME)(trunk, JetEmbedder(trunk.dim, trunk.pair_dim))


@pytest.fixture(scope="module")
def jets():
    sample = JetSample.read(shipped("test"))
    return [sample[k] for k in range(600)]


def test_unseen_jets_are_known_better_than_by_their_mean(jets):
    module = new()
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for step in range(60):
        batch = collate([jets[k] for k in np.random.default_rng(step).integers(0, 500, 32)])
        loss = module(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    unseen = collate(jets[500:])
    with torch.no_grad():
        predicted = module.head(module.trunk(module.embedder(unseen)).graph)
        true = module.targets(unseen)
    assert true.std(0).median() == pytest.approx(1, abs=0.3)  # in their own deviations
    explained = 1 - (predicted - true).square().mean(0) / true.var(0)
    assert explained[OBSERVABLES.index("multiplicity")] > 0.5
    assert explained.median() > 0.15


def test_labels_change_nothing(jets):
    with_labels = collate(jets[:8])
    without = collate([{k: v for k, v in item.items() if k != "y"} for item in jets[:8]])
    assert "y" in with_labels and "y" not in without
    assert torch.equal(new()(with_labels)["loss"], new()(without)["loss"])


def test_targets_stay_when_not_training(jets):
    module = new()
    module(collate(jets[:64]))
    seen = module.scale.count.clone()
    module.eval()
    module(collate(jets[64:128]))
    assert module.scale.count == seen == 64


def test_of_jets_with_views_the_other_one_is_described(jets):
    """The targets are the observables of the other jet: a jet that is its own view has its own
    as targets, and those of shuffled partners cannot be predicted."""
    alone = collate(jets[:64])
    itself, another = (collate(jets[:64]) for _ in range(2))
    itself.other, another.other = collate(jets[:64]), collate(jets[64:128])
    losses = [new()(batch)["loss"].item() for batch in (alone, itself, another)]
    assert losses[0] == losses[1] != losses[2]
    module = new()
    expected = torch.nn.functional.smooth_l1_loss(
        module.head(module.trunk(module.embedder(another)).graph), module.targets(another.other)
    )
    assert losses[2] == pytest.approx(expected.item(), rel=1e-5)
