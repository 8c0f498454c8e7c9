"""Node ranks in both layouts, and the running standardisation."""

from __future__ import annotations

import torch

from sciml.graph import ragged
from sciml.objectives.base import Standardise, mean_of, position, ranks


def test_ranks_are_within_graphs_and_padding_is_last(dense_batch):
    torch.manual_seed(0)
    scores = torch.rand(dense_batch.mask.shape)
    dense = ranks(scores, dense_batch)
    for row, real, values in zip(dense, dense_batch.mask, scores):
        n = int(real.sum())
        assert row[real].tolist() == values[real].argsort().argsort().tolist()
        assert sorted(row[~real].tolist()) == list(range(n, len(row)))
    flat = ragged(dense_batch)
    assert torch.equal(ranks(scores[dense_batch.mask], flat), dense[dense_batch.mask])


def test_ranks_keep_real_nodes_before_padding_even_at_infinity(dense_batch):
    scores = torch.full(dense_batch.mask.shape, torch.inf)
    assert torch.equal(
        ranks(scores, dense_batch)[dense_batch.mask], position(dense_batch)[dense_batch.mask]
    )


def test_standardise_equals_all_at_once():
    torch.manual_seed(0)
    values = torch.randn(1000, 3) * torch.tensor([1.0, 1e3, 0.0]) + 5
    scale = Standardise(3)
    for part in values.split([1, 10, 0, 489, 500]):
        scale.update(part)
    out = scale(values)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.std(0, unbiased=False), torch.tensor([1.0, 1.0, 0.0]))


def test_mean_of_nothing_is_zero_with_a_gradient():
    x = torch.zeros(0, requires_grad=True)
    mean, count = mean_of(x)
    mean.backward()
    assert float(mean.detach()) == 0 and float(count) == 0
