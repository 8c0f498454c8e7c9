"""Next token: the right targets, causality checked, padding without loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sciml import trunks
from sciml.errors import InputError
from sciml.graph import make_dense, ragged
from sciml.objectives.base import Embedder, changed
from sciml.objectives.graphs import FeatureEmbedder
from sciml.objectives.next_token import NextToken


class Tokens(Embedder):
    """Ids -> features."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size, self.table = size, nn.Embedding(size + 1, dim)

    def targets(self, batch):
        return {"token": batch.node_token}

    def target_sizes(self):
        return {"token": self.size}

    def forward(self, batch, hidden=None):
        ids = (
            batch.node_token if hidden is None else batch.node_token.masked_fill(hidden, self.size)
        )
        return changed(batch, x=self.table(ids))


def sentences(lengths=(7, 4, 1)):
    random = torch.Generator().manual_seed(0)
    return make_dense(
        [
            {"x": torch.zeros(n, 0), "node_token": torch.randint(0, 5, (n,), generator=random)}
            for n in lengths
        ]
    )


def decoder():
    return trunks.build("sequence", dim=16, heads=4, kind="decoder", decoder_layers=1)


def test_loss_is_the_cross_entropy_of_the_next_real_token():
    objective = NextToken(decoder(), Tokens(5, 16)).eval()
    batch = sentences()
    result = objective(batch)
    terms = []
    for tokens, mask in zip(batch.node_token, batch.mask):
        n = int(mask.sum())
        if n < 2:
            continue
        one = make_dense([{"x": torch.zeros(n, 0), "node_token": tokens[:n]}])
        logits = objective.content.heads["token"](objective.trunk(objective.embedder(one)).nodes)[0]
        terms += F.cross_entropy(logits[:-1], tokens[1:n], reduction="none").tolist()
    assert float(result["count"]) == len(terms) == 9
    assert result["loss"].item() == pytest.approx(sum(terms) / 9, abs=1e-5)
    assert objective(ragged(batch))["loss"].item() == pytest.approx(result["loss"].item(), abs=1e-6)


def test_refuses_a_trunk_that_looks_ahead(trunk):
    for bidirectional in (trunk, trunks.build("sequence", dim=16, heads=4, kind="encoder")):
        with pytest.raises(InputError, match="looks ahead"):
            NextToken(bidirectional, Tokens(5, 16))(sentences())


def events(lengths=(7, 4, 1)):
    return make_dense([{"x": torch.randn(n, 4)} for n in lengths])


def causal_pairs():
    return trunks.build("pair_transformer", dim=16, heads=4, depth=2, causal=True)


def test_features_are_predicted_as_tokens_are():
    torch.manual_seed(0)
    objective = NextToken(causal_pairs(), FeatureEmbedder(4, 16)).eval()
    batch = events()
    nodes = objective.trunk(objective.embedder(batch)).nodes
    predicted = torch.cat(
        [objective.content.heads["x"](nodes[i, : n - 1]) for i, n in ((0, 7), (1, 4))]
    )
    target = torch.cat([batch.x[0, 1:7], batch.x[1, 1:4]])
    scale: Any = objective.content.scales["x"]
    scale.update(target)
    expected = F.smooth_l1_loss(predicted, scale(target))
    result = objective(batch)
    assert result["loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert float(result["count"]) == 9
    assert objective(ragged(batch))["loss"].item() == pytest.approx(expected.item(), abs=1e-5)


def test_needs_tokens():
    with pytest.raises(InputError, match="needs `node_token`"):
        NextToken(decoder(), Tokens(5, 16))(make_dense([{"x": torch.zeros(3, 0)}]))


def test_refuses_features_that_are_seen_before_they_are_said():
    bidirectional = trunks.build("pair_transformer", dim=16, heads=4, depth=2)
    with pytest.raises(InputError, match="looks ahead"):
        NextToken(bidirectional, FeatureEmbedder(4, 16))(events())
    with pytest.raises(InputError, match="looks ahead"):
        NextToken(bidirectional, FeatureEmbedder(4, 16))(ragged(events()))


def test_learns_a_cycle():
    torch.manual_seed(0)
    objective = NextToken(decoder(), Tokens(5, 16))
    batch = make_dense(
        [{"x": torch.zeros(10, 0), "node_token": (torch.arange(10) + i) % 5} for i in range(5)]
    )
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    for _ in range(40):
        result = objective(batch)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
    assert float(result["token_accuracy"]) == 1
