"""Supervised heads: each loss against torch's own, weights, unknown labels, frozen trunks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sciml import objectives
from sciml.errors import InputError
from sciml.objectives.adversarial import AdversarialConfig, DomainAdversarial, reverse_gradient
from sciml.objectives.base import changed
from sciml.objectives.supervised import Supervised, SupervisedConfig
from sciml.trunks import lora


def test_cross_entropy_with_weights_and_unknown_labels(trunk, embedder, batch):
    objective = Supervised(trunk, embedder)
    outputs = objective.predict(batch)
    labels = torch.tensor([0, 1, -1, 1, 0, 1])
    weight = torch.tensor([1.0, 2, 100, 0.5, 0, 1])
    result = objective(changed(batch, y=labels, weight=weight))
    labelled = labels >= 0
    terms = F.cross_entropy(outputs[labelled], labels[labelled], reduction="none")
    expected = (terms * weight[labelled]).sum() / weight[labelled].sum()
    torch.testing.assert_close(result["loss"], expected)
    assert float(result["count"]) == 4.5
    soft = F.one_hot(labels.clamp_min(0), 2).float() * labelled[:, None]
    again = objective(changed(batch, y=soft, weight=weight))
    torch.testing.assert_close(again["loss"], expected)
    with pytest.raises(InputError, match="2 classes"):
        objective(changed(batch, y=labels + 1))
    with pytest.raises(InputError, match="needs the label `y`"):
        batch = changed(batch)
        del batch["y"]
        objective(batch)


def test_node_labels(trunk, embedder, batch):
    objective = Supervised(trunk, embedder, SupervisedConfig(outputs=9, level="node"))
    result = objective(changed(batch, node_y=batch.node_token))
    assert float(result["count"]) == sum(3 + (5 * i) % 7 for i in range(6))


@pytest.mark.parametrize("loss, reference", [("mse", F.mse_loss), ("smooth_l1", F.smooth_l1_loss)])
def test_regression_leaves_out_what_is_not_known(trunk, embedder, dense_batch, loss, reference):
    objective = Supervised(trunk, embedder, SupervisedConfig(outputs=2, loss=loss))
    values = torch.randn(6, 2)
    expected = reference(objective.predict(dense_batch)[1:], values[1:])
    values[0, 1] = torch.nan
    result = objective(changed(dense_batch, y=values))
    torch.testing.assert_close(result["loss"], expected)
    assert float(result["count"]) == 5


def test_quantiles_of_a_constant_input_are_those_of_the_labels(trunk, embedder, dense_batch):
    config = SupervisedConfig(outputs=1, loss="quantile", quantiles=(0.25, 0.5, 0.75))
    objective = Supervised(trunk, embedder, config)
    values = torch.randn(4001)
    outputs = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([outputs], 0.5)
    for _ in range(300):
        loss = objective.losses(outputs.expand(4001, 3), values, None)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(
        outputs.detach(), values.quantile(torch.tensor([0.25, 0.5, 0.75])), rtol=0, atol=0.03
    )


def test_binary(trunk, embedder, dense_batch):
    objective = Supervised(trunk, embedder, SupervisedConfig(outputs=1, loss="binary"))
    result = objective(dense_batch)
    expected = F.binary_cross_entropy_with_logits(
        objective.predict(dense_batch)[:, 0], dense_batch.y.float()
    )
    torch.testing.assert_close(result["loss"], expected)


def test_a_frozen_trunk_does_not_move(trunk, embedder, dense_batch):
    objective = Supervised(trunk, embedder, SupervisedConfig(frozen=True)).train()
    assert not objective.trunk.training and objective.head.training
    objective(dense_batch)["loss"].backward()
    assert {n for n, p in objective.named_parameters() if p.grad is not None} == {
        "head.weight",
        "head.bias",
    }


def test_low_rank_fine_tuning_trains_adapters_and_head_alone(trunk, embedder, dense_batch):
    before = trunk(embedder(dense_batch)).graph
    objective = Supervised(trunk, embedder, SupervisedConfig(lora=2))
    torch.testing.assert_close(trunk(embedder(dense_batch)).graph, before)
    trained = {name for name, p in objective.named_parameters() if p.requires_grad}
    assert trained == {n for n in trained if "lora_" in n or n.startswith("head.")}
    assert any("lora_a" in name for name in trained)
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], 0.5)
    for _ in range(2):
        objective(dense_batch)["loss"].backward()
        optimizer.step()
    changed_ = trunk(embedder(dense_batch)).graph
    assert (changed_ - before).abs().max() > 1e-4
    lora.merge(trunk)
    torch.testing.assert_close(trunk(embedder(dense_batch)).graph, changed_)


def test_gradient_reversal_sign():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    (y * torch.tensor([5.0, 7.0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-1.5, -2.1]))


def test_the_adversary_descends_and_the_trunk_ascends(trunk, embedder, dense_batch):
    objective = DomainAdversarial(trunk, embedder, AdversarialConfig(strength=1.0, ramp=10))
    batch = changed(dense_batch, y=torch.full((6,), -1))  # unlabelled: the domain term alone
    objective.after_step(10)
    strength = objective.strength()
    assert strength == pytest.approx(0.9999, abs=1e-4)
    reversed_ = torch.autograd.grad(objective(batch)["loss"], trunk.message.weight)[0]
    features = trunk(embedder(batch)).graph
    plain = F.cross_entropy(objective.adversary(features), batch.domain)
    last = objective.adversary.get_parameter("0.weight")
    direct, adversary = torch.autograd.grad(plain, [trunk.message.weight, last])
    torch.testing.assert_close(reversed_, -strength * direct)
    own = torch.autograd.grad(objective(batch)["loss"], last)[0]
    torch.testing.assert_close(own, adversary)


def test_adversary_grows_from_nothing(trunk, embedder, dense_batch):
    objective = DomainAdversarial(trunk, embedder, AdversarialConfig(ramp=100))
    values = []
    for step in range(0, 101, 20):
        objective.after_step(step)
        values.append(objective.strength())
    assert values[0] == 0 and values == sorted(values) and values[-1] > 0.999
    labels = torch.tensor([0, 1, -1, -1, 0, 1])
    result = objective(changed(dense_batch, y=labels))
    assert 0 <= float(result["accuracy"]) <= 1 and float(result["count"]) == 6
    with pytest.raises(InputError, match="`y` and `domain`"):
        batch = changed(dense_batch)
        del batch["domain"]
        objective(batch)


def test_builds_by_name(trunk, embedder, dense_batch):
    for name in ("supervised", "adversarial"):
        objectives.build({"name": name, "outputs": 3})(trunk, embedder)(dense_batch)


def test_labels_of_pairs(trunk, embedder, dense_batch):
    """Symmetric, of real pairs only, unknown ones left out; ragged batches are refused."""
    config = SupervisedConfig(outputs=1, loss="binary", level="pair", hidden=8)
    objective = Supervised(trunk, embedder, config)
    mask = dense_batch.mask
    n = mask.shape[1]
    truth = torch.randint(0, 2, (len(mask), n, n)).float()
    truth = torch.triu(truth, 1) + torch.triu(truth, 1).transpose(1, 2)
    truth[0] = torch.nan
    counts = mask.sum(1)
    outputs = objective.predict(dense_batch)
    assert outputs.shape == (int((counts * (counts - 1) // 2).sum()), 1)
    result = objective(changed(dense_batch, pair_y=truth))
    labelled = torch.cat(
        [truth[k][torch.triu_indices(c, c, 1).unbind()] for k, c in enumerate(counts.tolist())]
    )
    first = int(counts[0] * (counts[0] - 1) // 2)
    expected = F.binary_cross_entropy_with_logits(outputs[first:, 0], labelled[first:])
    torch.testing.assert_close(result["loss"], expected)
    assert float(result["count"]) == len(labelled) - first

    def backwards(values: torch.Tensor, axes: int) -> torch.Tensor:
        order = torch.arange(n).expand(len(mask), n).clone()
        for k, c in enumerate(counts.tolist()):
            order[k, :c] = torch.arange(c - 1, -1, -1)
        rows = torch.stack([v[o] for v, o in zip(values, order)])
        return torch.stack([v[:, o] for v, o in zip(rows, order)]) if axes == 2 else rows

    rotated = {
        key: backwards(dense_batch[key], 2 if key == "pair" else 1)
        for key in dense_batch.keys()
        if key in ("x", "pos", "pair", "node_token")
    }
    again = objective(changed(dense_batch, **rotated, pair_y=backwards(truth, 2)))
    torch.testing.assert_close(again["loss"], result["loss"])


def test_pairs_of_a_ragged_batch_are_refused(trunk, embedder, dense_batch):
    from sciml.graph import ragged

    config = SupervisedConfig(outputs=1, loss="binary", level="pair")
    with pytest.raises(InputError, match="dense"):
        Supervised(trunk, embedder, config).predict(ragged(dense_batch))
