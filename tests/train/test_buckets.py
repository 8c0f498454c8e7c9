"""Batches padded up to a few lengths: few shapes, the same losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml import graph, objectives, trunks
from sciml.errors import InputError
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning import views
from sciml.jets.networks.embedder import JetEmbedder
from sciml.objectives.graphs import FeatureEmbedder
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq
from sciml.symbolic.neural.model import collate as collate_pairs
from sciml.train import TrainConfig, fit
from sciml.train.buckets import bucket, padded
from sciml.train.log import read_metrics
from sciml.train.sampler import Plan, read
from sciml.trunks.multihead import Mixture
from sciml.trunks.sequence import SequenceConfig

SIZES = (12, 24, 48)


@given(st.integers(0, 500), st.lists(st.integers(1, 100), min_size=1))
def test_a_bucket_is_the_smallest_that_fits(length, sizes):
    chosen = bucket(length, sizes)
    assert chosen >= length
    if length <= max(sizes):
        assert chosen in sizes and not any(length <= s < chosen for s in sizes)
    else:
        assert chosen % max(sizes) == 0 and chosen - length < max(sizes)


def graphs(count: int = 60) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    lengths = torch.randint(3, 45, (count,)).tolist()
    return [{"x": torch.randn(n, 5), "pos": torch.randn(n, 3), "y": n % 2} for n in lengths]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_meets_few_shapes(workers):
    data = graphs()
    shapes = []
    for buckets in ((), SIZES):
        batches = read(data, graph.make_dense, Plan(60, 4), 0, workers, buckets=buckets)
        shapes.append({tuple(next(batches)[0].x.shape) for _ in range(30)})
    assert len(shapes[0]) > 3 >= len(shapes[1])
    assert {shape[1] for shape in shapes[1]} <= set(SIZES)


def supervised(features: int = 5) -> Any:
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1, pair_dim=4)
    build = objectives.build({"name": "supervised", "outputs": 2})
    return build(trunk, FeatureEmbedder(features, 16, 4))


def of_graphs() -> tuple[Any, Any]:
    return supervised(), graph.make_dense(graphs(6))


def of_jets() -> tuple[Any, Any]:
    """A batch that holds that of the jets of the other showers."""
    jets = JetSample.read(shipped("test"), max_jets=8)
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1, pair_dim=4)
    build = objectives.build({"name": "simclr", "width": 8})
    objective = build(trunk, JetEmbedder(16, 4), augment=lambda batch: batch)
    items = [{**jets[i], "other": jets[i + 4]} for i in range(4)]
    return objective, views.collate(items)


def of_expressions() -> tuple[Any, Any]:
    torch.manual_seed(0)
    sizes = SequenceConfig(
        dim=16, vocabulary=len(vb.WORDS), heads=2, groups=1, encoder_layers=1, decoder_layers=1,
        tree_reach=2,
    )  # fmt: skip
    pairs = [([5, 6, 7], [8, 9, vb.END]), ([5, 6], [8, vb.END])]
    return Seq2Seq(ModelConfig(sizes, max_answer=8)), collate_pairs(pairs)


def of_a_mixture() -> tuple[Any, Any]:
    mixture = Mixture({"a": supervised(), "b": supervised(3)})
    other = [{**item, "x": item["x"][:, :3]} for item in graphs(4)]
    return mixture, {"a": graph.make_dense(graphs(3)), "b": graph.make_dense(other)}


@pytest.mark.parametrize("make", [of_graphs, of_jets, of_expressions, of_a_mixture])
def test_padding_changes_no_loss(make):
    module, batch = make()
    module.eval()
    larger = padded(batch, (100,))
    before, after = module(batch), module(larger)
    torch.testing.assert_close(after["loss"], before["loss"], rtol=1e-5, atol=1e-6)
    if "count" in before:
        assert float(after["count"]) == float(before["count"])
    whole = [t for t in larger if torch.is_tensor(t)] if isinstance(larger, tuple) else []
    assert all(t.shape[1] == 100 for t in whole)
    if make is of_jets:
        assert larger.other.x.shape[1] == larger.mask.shape[1] == 100


def test_a_training_with_buckets_has_the_same_losses(tmp_path):
    losses = []
    for buckets in ((), SIZES):
        out = tmp_path / str(len(buckets))
        config = TrainConfig(
            steps=6, batch_size=8, log_every=1, buckets=buckets, device="cpu", precision="fp32"
        )
        fit(supervised(), graphs(), config, out=out, collate=graph.make_dense, quiet=True)
        losses.append([r["loss"] for r in read_metrics(out / "metrics.jsonl")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    "batch", [torch.zeros(3), {"a": torch.zeros(3)}, graph.make_ragged(graphs(2))]
)
def test_a_batch_without_lengths_is_refused(batch):
    with pytest.raises(InputError, match="train.buckets empty"):
        padded(batch, SIZES)


def test_a_worker_refuses_in_the_same_words(tmp_path):
    config = TrainConfig(steps=1, batch_size=2, buckets=(8,), workers=1)
    with pytest.raises(InputError, match="train.buckets empty"):
        fit(torch.nn.Linear(1, 1), [torch.zeros(1)] * 4, config, out=tmp_path, quiet=True)
