"""Attributions: occlusion, integrated gradients and roll-out in cases that are known, and beside
shuffled weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.deployment.onnx import example
from sciml.jets.learning import attribution
from sciml.jets.learning.attribution import (
    integrated_gradients,
    occlusion,
    path_gradients,
    randomised,
    rank_correlation,
    rollout,
)
from sciml.jets.networks.embedder import raw_batch
from sciml.trunks.base import Encoded

CLASSES = ("QCD", "Tbqq")


@pytest.fixture(scope="module")
def tagger():
    torch.manual_seed(0)
    trunk = {"name": "pair_transformer", "dim": 16, "depth": 2, "heads": 2, "pair_dim": 4}
    return JetTagger.build(trunk, CLASSES).eval()


def log_odds(tagger, jet):
    p = tagger.probabilities(jet)[0].astype(float)
    return np.log(p[1] / p[0])


def test_occlusion_equals_tagging_the_jet_without_the_constituent(tagger):
    jet = example(1, 9, seed=3)
    contributions = occlusion(tagger, jet, "Tbqq")
    for place in (0, 4, 8):
        keep = torch.arange(9) != place
        without = example(1, 9, seed=3)
        without.particles, without.mask = without.particles[:, keep], without.mask[:, keep]
        expected = log_odds(tagger, jet) - log_odds(tagger, without)
        assert contributions[place] == pytest.approx(expected, abs=1e-4)


class SumOfNodes(nn.Module):
    """A trunk whose graph vector is the sum of the nodes' squares, or of the nodes."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, batch):
        return Encoded(batch.x, (batch.x**self.power).sum(1), None)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_integrated_gradients_of_sums_of_powers(power):
    """Each particle enters on its own: its contribution is its term of the sum, exactly."""
    torch.manual_seed(1)
    tagger = JetTagger.build(
        {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2}, CLASSES
    )
    network: Any = tagger.eval().network
    network.trunk = SumOfNodes(power)
    network.embedder.network = nn.Identity()
    network.embedder.project = nn.Linear(17, 16, bias=False)
    jet = example(1, 6, seed=2)
    with torch.no_grad():
        nodes = network.embedder(raw_batch(jet)).x[0]
        difference = network.head.weight[1] - network.head.weight[0]
        terms = (nodes**power * difference).sum(-1).numpy()
    got = integrated_gradients(tagger, jet, "Tbqq", steps=64)
    np.testing.assert_allclose(got, terms, rtol=2e-3, atol=1e-5)


def test_integrated_gradients_add_up_to_the_change_along_the_path(tagger):
    jet = example(1, 8, seed=5)
    parts = path_gradients(tagger, jet, "Tbqq", steps=256)
    assert set(parts) == {"particles", "pairs"}
    total = integrated_gradients(tagger, jet, "Tbqq", steps=256).sum()
    assert total == pytest.approx(sum(part.sum() for part in parts.values()), abs=1e-6)
    embedder = tagger.network.embedder
    zero = [part.register_forward_pre_hook(lambda module, inputs: (0 * inputs[0],))
            for part in (embedder.network, embedder.project_pairs)]  # fmt: skip
    baseline = log_odds(tagger, jet)
    for hook in zero:
        hook.remove()
    assert total == pytest.approx(log_odds(tagger, jet) - baseline, abs=2e-3)


def test_roll_out_of_uniform_attention_is_uniform(tagger):
    torch.manual_seed(0)
    trunk = {"name": "pair_transformer", "dim": 16, "depth": 3, "heads": 2, "pair_dim": 0}
    flat: Any = JetTagger.build(trunk, CLASSES).eval()
    with torch.no_grad():
        for block in flat.network.trunk.blocks:
            block.attention.linear_qkv.weight[:32] = 0
            block.attention.linear_qkv.bias[:32] = 0
        for block in flat.network.trunk.class_blocks:
            block.attention.linear_q.weight.zero_()
            block.attention.linear_q.bias.zero_()
    np.testing.assert_allclose(rollout(flat, example(1, 7, seed=1)), np.full(7, 1 / 7), rtol=1e-5)
    shares = rollout(tagger, example(1, 7, seed=1))
    assert shares.sum() == pytest.approx(1) and (shares > 0).all() and np.ptp(shares) > 1e-3


def test_roll_out_reads_the_weights_that_attention_uses():
    """With one head, the output is the weighted sum of the values."""
    torch.manual_seed(0)
    trunk = {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 1, "pair_dim": 4}
    tagger: Any = JetTagger.build(trunk, CLASSES).eval()
    block = tagger.network.trunk.blocks[0].attention
    seen = []
    hook = block.register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0], output))
    )
    with torch.no_grad(), attribution._attention(tagger.network.trunk) as (of_nodes, of_token):
        tagger(raw_batch(example(1, 5, seed=4)))
        rows, output = seen[0]
        values = block.linear_qkv(rows)[:, 32:]
        expected = block.linear_o(of_nodes[0] @ values)
    hook.remove()
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    assert len(of_token) == 2 and float(of_token[0].sum()) == pytest.approx(1, abs=1e-6)


def test_shuffled_weights_change_what_is_signed():
    """Adebayo et al.: an attribution that survives random weights shows the jet alone."""
    tagger = JetTagger.from_pretrained("jets-tiny", device="cpu")
    sample = JetSample.read(shipped("test"), max_jets=200)
    other = randomised(tagger, 1)
    for mine, shuffled in zip(tagger.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.flatten().sort().values, shuffled.flatten().sort().values)
    for attribute in (occlusion, integrated_gradients):
        alike = []
        for number in np.flatnonzero(sample.lengths >= 20)[:6]:
            jet = sample.subset([number]).dense()
            trained = attribute(tagger, jet, "Tbqq", "QCD")
            assert rank_correlation(trained, trained) == pytest.approx(1)
            alike.append(rank_correlation(trained, attribute(other, jet, "Tbqq", "QCD")))
        assert np.mean(alike) < 0.8, attribute.__name__


@pytest.mark.parametrize("attribute", [occlusion, integrated_gradients])
def test_bad_input(tagger, attribute):
    with pytest.raises(InputError, match="Hbb"):
        attribute(tagger, example(1, 5), "Hbb")
    with pytest.raises(InputError, match="one jet"):
        attribute(tagger, example(2, 5), "Tbqq")


def test_what_a_network_does_not_allow():
    torch.manual_seed(0)
    other = JetTagger.build({"name": "message_passing", "dim": 16, "depth": 1}, CLASSES).eval()
    with pytest.raises(InputError, match="class token"):
        rollout(other, example(1, 5))
    assert len(integrated_gradients(other, example(1, 5), "Tbqq", steps=2)) == 5
