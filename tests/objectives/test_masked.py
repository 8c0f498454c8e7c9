"""Masked positions alone carry loss, and what is hidden cannot be seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sciml import objectives
from sciml.errors import InputError
from sciml.graph import make_dense, optional
from sciml.objectives.base import changed, position
from sciml.objectives.graphs import FeatureEmbedder
from sciml.objectives.masked import Masked, MaskedConfig, choose, corrupt


class Classifying(FeatureEmbedder):
    """Predicts features and a class of each node."""

    def targets(self, batch):
        return {"x": batch.x, "kind": batch.node_token}

    def target_sizes(self):
        return {"x": 4, "kind": 9}


@pytest.mark.parametrize("shape", ["nodes", "patch"])
def test_masked_positions_alone_carry_loss(trunk, batch, shape):
    objective = Masked(trunk, Classifying(4, 16), MaskedConfig(shape=shape)).eval()
    scale: Any = objective.content.scales["x"]
    scale.update(torch.randn(100, 4))
    torch.manual_seed(0)
    chosen = choose(batch, objective.config, batch.pos)
    result = objective.losses(batch, chosen)
    assert float(result["count"]) == int(chosen.sum())
    # Targets of other nodes do not matter ...
    other = changed(batch, node_token=torch.where(chosen, batch.node_token, 0))
    assert objective.losses(other, chosen)["loss"].item() == result["loss"].item()
    # ... those of the chosen ones do.
    wrong = changed(
        batch, node_token=torch.where(chosen, (batch.node_token + 1) % 9, batch.node_token)
    )
    assert objective.losses(wrong, chosen)["loss"].item() != result["loss"].item()
    # The gradient to visible features comes through the input; hidden ones get none.
    x = batch.x.clone().requires_grad_()
    objective.losses(changed(batch, x=x), chosen)["loss"].backward()
    assert (x.grad[chosen] == 0).all()
    real = batch.mask if optional(batch, "mask") is not None else torch.ones_like(chosen)
    assert x.grad[real & ~chosen].abs().sum() > 0


def test_predictions_do_not_depend_on_hidden_content(trunk, batch):
    for pair_dim in (0, 3):
        embedder = FeatureEmbedder(4, 16, pair_dim)
        chosen = choose(batch, MaskedConfig(fraction=0.5))
        before = embedder(batch, chosen)
        pos, x = batch.pos.clone(), batch.x.clone()
        x[chosen], pos[chosen] = torch.nan, 1e3
        after = embedder(changed(batch, x=x, pos=pos), chosen)
        assert torch.equal(before.x, after.x)
        for key in ("pair", "edge_attr"):
            if optional(before, key) is not None:
                assert torch.equal(before[key], after[key])
        torch.testing.assert_close(trunk(before).nodes, trunk(after).nodes)


def test_unknown_classes_bear_no_loss(trunk, dense_batch):
    objective = Masked(trunk, Classifying(4, 16)).eval()
    chosen = choose(dense_batch, objective.config)
    unknown = changed(dense_batch, node_token=torch.full_like(dense_batch.node_token, -1))
    result = objective.losses(unknown, chosen)
    assert float(result["kind_loss"]) == 0 and float(result["x_loss"]) > 0


@pytest.mark.parametrize("shape", ["nodes", "spans", "patch"])
def test_each_graph_loses_its_share_and_never_all(batch, shape):
    torch.manual_seed(0)
    sizes = [3 + (5 * i) % 7 for i in range(6)]
    for fraction in (0.01, 0.3, 0.99):
        chosen = choose(batch, MaskedConfig(fraction=fraction, shape=shape, span=2), batch.pos)
        if chosen.dim() == 2:
            counts = chosen.sum(1).tolist()
            assert not (chosen & ~batch.mask).any()
        else:
            counts = torch.bincount(batch.batch[chosen], minlength=6).tolist()
        assert counts == [min(max(1, round(fraction * n)), n - 1) for n in sizes]


def test_a_patch_is_compact_in_space_and_along_edges():
    torch.manual_seed(0)
    line = make_dense([{"x": torch.zeros(20, 1), "pos": torch.arange(20.0)[:, None]}])
    for _ in range(20):
        where = choose(line, MaskedConfig(shape="patch"), line.pos)[0].nonzero()[:, 0]
        assert len(where) == 6 and int(where.max() - where.min()) <= 10
    from sciml.graph import make_ragged

    chain = torch.stack([torch.arange(19), torch.arange(1, 20)])
    graph = make_ragged([{"x": torch.zeros(20, 1), "edge_index": chain}] * 3)
    for _ in range(20):
        chosen = choose(graph, MaskedConfig(shape="patch")).view(3, 20)
        for row in chosen:
            where = row.nonzero()[:, 0]
            assert len(where) == 6 and int(where.max() - where.min()) <= 10
    with pytest.raises(InputError, match="neither"):
        choose(make_dense([{"x": torch.zeros(20, 1)}]), MaskedConfig(shape="patch"))


def test_spans_are_runs():
    torch.manual_seed(0)
    batch = make_dense([{"x": torch.zeros(40, 1)}])
    starts = 0
    for _ in range(50):
        chosen = choose(batch, MaskedConfig(shape="spans", span=5, fraction=0.25))[0].long()
        starts += int((chosen.diff(prepend=torch.zeros(1, dtype=torch.long)) == 1).sum())
    assert starts / 50 < 3.6  # scattered nodes would have 7.5


def test_bert_shares_of_kept_and_swapped():
    torch.manual_seed(0)
    batch = make_dense([{"x": torch.randn(4000, 2)}])
    config = MaskedConfig(fraction=0.5, keep=0.1, swap=0.2)
    chosen = choose(batch, config)
    changed_batch, hidden = corrupt(batch, chosen, config)
    assert not (hidden & ~chosen).any()
    assert float(hidden.sum() / chosen.sum()) == pytest.approx(0.7, abs=0.04)
    moved = (changed_batch.x != batch.x).any(-1)
    assert float(moved.sum() / chosen.sum()) == pytest.approx(0.2, abs=0.03)
    assert not (moved & (hidden | ~chosen)).any()


def test_units_do_not_weigh_features(trunk):
    """A feature in other units gives the same loss once it is standardised."""
    torch.manual_seed(0)
    losses = []
    for scale in (1.0, 1000.0):
        torch.manual_seed(0)
        objective = Masked(trunk, FeatureEmbedder(4, 16)).train()
        objective.embedder.get_parameter("linear.weight").data.zero_()
        torch.manual_seed(5)
        items = [{"x": torch.randn(9, 4) * torch.tensor([1.0, 1.0, 1.0, scale])} for _ in range(8)]
        batch = make_dense(items)
        torch.manual_seed(6)
        losses.append(objective(batch)["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_missing_patch_is_masked_with_a_patch(trunk, embedder, batch):
    objective = objectives.build("missing_patch")(trunk, embedder)
    assert objective.config.shape == "patch"
    result = objective(batch)
    result["loss"].backward()
    assert result["loss"].item() > 0


def test_a_domain_may_choose_what_is_hidden(trunk, embedder, batch):
    objective = Masked(trunk, embedder, MaskedConfig(shape="own", fraction=0.25))
    with pytest.raises(InputError, match="no rule of its own"):
        objective(batch)

    class Even(FeatureEmbedder):
        def choose(self, batch, fraction):
            assert fraction == 0.25
            return position(batch) == 1

    objective = Masked(trunk, Even(4, 16), MaskedConfig(shape="own", fraction=0.25))
    assert float(objective(batch)["count"]) == 6


def test_limits():
    with pytest.raises(InputError, match="keep"):
        MaskedConfig(keep=0.5, swap=0.5)
    with pytest.raises(InputError, match="fraction"):
        objectives.build({"name": "masked", "fraction": 1.5})
