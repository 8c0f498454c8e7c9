"""The heads of flavour tagging: their losses by hand, symmetry, vertices, the saved model."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sciml import trunks
from sciml.errors import InputError
from sciml.graph import Light
from sciml.jets import FlavourTagger, JetTagger
from sciml.jets.data.ragged import to_dense
from sciml.jets.flavours import group
from sciml.jets.networks.embedder import JetEmbedder
from sciml.jets.networks.flavour import (
    FlavourLoss,
    FlavourNetwork,
    FlavourTagging,
    HeadsConfig,
    is_track,
    track_pairs,
)

NAMES = ("b", "c", "light", "pt_16", "pt_50", "pt_84")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    trunk = trunks.build(
        {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}
    )
    return FlavourNetwork(JetEmbedder(16, 4), trunk, HeadsConfig(classes=3, hidden=8)).eval()


@pytest.fixture(scope="module")
def batch(jets):
    """Three jets with truth; the last has one constituent."""
    padded = to_dense(jets([6, 9, 1], seed=3))
    random = np.random.default_rng(0)
    shape = padded.mask.shape
    tracks = is_track(padded.particles, padded.mask)

    def of_tracks(high):
        values = torch.from_numpy(random.integers(0, high, shape))
        return values.masked_fill(~tracks, -1)

    return Light(
        x=padded.particles, jet=padded.jets, mask=padded.mask, y=torch.tensor([0, 2, 1]),
        node_origin=of_tracks(7), node_vertex=of_tracks(3),
        truth_pt=torch.tensor([30.0, 0.0, 55.0]),
    )  # fmt: skip


def test_losses_are_those_written_out_one_by_one(network, batch):
    weights = FlavourLoss(origin=0.3, vertex=0.7, pt=2.0)
    with torch.no_grad():
        measured = FlavourTagging(network, weights)(batch)
        heads = network.heads(batch)
        pairs = track_pairs(batch.node_vertex >= 0)
        logits = network.same_vertex(heads.vertex, pairs)
    origin, vertex, k = [], [], 0
    for jet in range(3):
        known = [i for i in range(9) if batch.node_origin[jet, i] >= 0]
        origin += [-heads.origins[jet, i].log_softmax(0)[batch.node_origin[jet, i]] for i in known]
        for a, i in enumerate(known):
            for j in known[a + 1 :]:
                assert (pairs.jet[k], pairs.first[k], pairs.second[k]) == (jet, i, j)
                same = float(batch.node_vertex[jet, i] == batch.node_vertex[jet, j])
                p = float(logits[k].double().sigmoid())
                vertex.append(-np.log(p if same else 1 - p))
                k += 1
    assert k == len(logits) > 10
    pinball = []
    for jet in (0, 2):  # the pT of the other is unknown
        miss = torch.log(batch.truth_pt[jet]) - heads.log_pt[jet]
        levels = (0.16, 0.5, 0.84)
        pinball += [max(q * m, (q - 1) * m) for q, m in zip(levels, miss.tolist(), strict=True)]
    by_class = F.cross_entropy(heads.classes, batch.y)
    np.testing.assert_allclose(measured["origin"], np.mean(origin), rtol=1e-5)
    np.testing.assert_allclose(measured["vertex"], np.mean(vertex), rtol=1e-5)
    np.testing.assert_allclose(measured["pt"], np.mean(pinball), rtol=1e-5)
    total = by_class + 0.3 * np.mean(origin) + 0.7 * np.mean(vertex) + 2 * np.mean(pinball)
    np.testing.assert_allclose(measured["loss"], total, rtol=1e-5)


def test_heads_follow_a_permutation_of_the_constituents(network, batch):
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    x = batch.x.clone()
    x[0, :6] = batch.x[0, order]
    moved = Light(x=x, jet=batch.jet, mask=batch.mask)
    with torch.no_grad():
        one, other = network.heads(batch), network.heads(moved)
        torch.testing.assert_close(one.classes, other.classes, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one.origins[0, order], other.origins[0, :6], atol=1e-5, rtol=0)
        assert (one.origins[0, :6] - other.origins[0, :6]).abs().max() > 1e-3
        # a pair has one probability, whichever of the two comes first
        pairs = track_pairs(batch.mask)
        turned = pairs._replace(first=pairs.second, second=pairs.first)
        torch.testing.assert_close(
            network.same_vertex(one.vertex, pairs), network.same_vertex(one.vertex, turned)
        )


def test_a_class_alone_leaves_the_other_heads_as_they_are(network, batch):
    objective = FlavourTagging(network, FlavourLoss(0, 0, 0))
    objective(batch)["loss"].backward()
    assert network.classes.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in (*network.origins.parameters(), *network.pt.parameters()))
    network.zero_grad()


def test_tracks_are_grouped_by_the_mean_over_pairs():
    same = np.full((5, 5), 0.1)
    same[:2, :2] = same[2:, 2:] = 0.9
    assert group(same, np.array([0.9, 0.8, 0.1, 0.1, 0.1])).tolist() == [0, 0, 1, 1, 1]
    assert group(same, np.array([0.1, 0.1, 0.9, 0.9, 0.9])).tolist() == [1, 1, 0, 0, 0]
    assert group(same, np.full(5, 0.1)).tolist() == [1, 1, 2, 2, 2]  # none is primary
    # one confident pair between two groups does not join them
    same[1, 2] = same[2, 1] = 0.85
    assert group(same, np.array([0.9, 0.8, 0.1, 0.1, 0.1])).tolist() == [0, 0, 1, 1, 1]
    assert group(np.ones((1, 1)), np.array([0.2])).tolist() == [1]
    assert group(np.ones((0, 0)), np.zeros(0)).tolist() == []


def test_a_saved_tagger_gives_the_same_and_is_none_of_classes(network, jets, tmp_path):
    tagger = FlavourTagger(network, NAMES)
    tagger.temperature.fill_(1.5)
    tagger.pt_shift.copy_(torch.tensor([-0.1, 0.0, 0.1]))
    events = jets([4, 0, 7], seed=5)
    one = tagger.predict(events)
    assert one.flags.tolist() == [0, 1, 0] and np.isnan(one[1]).all()
    good = one.values[[0, 2]]
    np.testing.assert_allclose(good[:, :3].sum(1), 1, atol=1e-6)
    assert (np.diff(one.pt[[0, 2]]) > 0).all()
    again = FlavourTagger.from_pretrained(tagger.save(tmp_path / "m.safetensors"))
    np.testing.assert_allclose(again.predict(events).values, one.values, atol=1e-6)
    assert again.outputs == ("score_b", "score_c", "score_light", "pt_16", "pt_50", "pt_84")
    tracks = again.tracks(events)
    assert tracks.counts.tolist() == [4, 0, 7]
    charge = np.concatenate([np.asarray(events["part_charge"][k]) for k in range(3)])
    assert (np.isnan(tracks.origins[:, 0]) == (charge == 0)).all()
    assert ((tracks.vertex >= 0) == (charge != 0)).all()
    np.testing.assert_allclose(np.nansum(tracks.origins, 1)[charge != 0], 1, atol=1e-5)
    with pytest.raises(InputError, match="FlavourTagger"):
        JetTagger.from_pretrained(tmp_path / "m.safetensors")


def test_bad_quantiles_are_refused():
    for levels in ((0.5, 0.1), (0.0, 0.5), (), (0.5, 0.5)):
        with pytest.raises(InputError, match="ascend"):
            HeadsConfig(quantiles=levels)
