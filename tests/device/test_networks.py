"""Trunks, adapters, objectives and decoding on the pretended device."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from sciml import graph, objectives, testing, trunks
from sciml.objectives.graphs import FeatureEmbedder
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq, collate
from sciml.trunks import lora
from sciml.trunks.multihead import MultiHead
from sciml.trunks.sequence import Sequence, SequenceConfig

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "waits.py"
SPEC = importlib.util.spec_from_file_location("waits", PATH)
assert SPEC is not None and SPEC.loader is not None
waits = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(waits)


def test_every_trunk_is_counted():
    assert {settings["name"] for settings in waits.CASES.values()} == set(trunks.names())


@pytest.mark.parametrize("case", waits.CASES)
def test_a_trunk_trains_without_waits_in_its_own_layout(case):
    own = waits.build(case).layout
    counts = waits.step(case, own)
    assert counts["faults"] == 0
    assert counts["waits"] == 0, counts["where"]
    assert counts["kernels"] > counts["kernels forward"] > 0


@pytest.mark.parametrize("case", waits.CASES)
def test_the_other_layout_waits_for_its_sizes_alone(case):
    own = waits.build(case).layout
    counts = waits.step(case, "ragged" if own == "dense" else "dense")
    assert counts["faults"] == 0
    assert counts["waits"] <= 2, counts["where"]


def test_adapters_train():
    trunk = waits.build("pair_transformer")
    lora.inject(trunk, rank=2)
    with testing.PretendedDevice() as device:
        batch = device.to_device(waits.batch_of("pair_transformer", "dense"))
        device.to_device(trunk)
        device.clear()
        trunk(batch).graph.sum().backward()
        gradients = [p.grad for p in trunk.parameters() if p.grad is not None]
        assert gradients and all(gradient.device == device.device for gradient in gradients)
        assert not device.faults and not device.waits


COUNTING = (
    "jepa", "masked", "missing_patch", "next_token", "supervised, nodes", "supervised, pairs"
)  # fmt: skip
"""They wait once a step: for how many nodes or pairs are to be predicted."""


def test_every_objective_is_counted():
    assert set(objectives.names()) <= set(waits.OBJECTIVES)


@pytest.mark.parametrize("name", waits.OBJECTIVES)
def test_an_objective_trains(name):
    counts = waits.objective_step(name)
    assert counts["faults"] == 0
    assert counts["waits"] <= (name in COUNTING), counts["where"]


def test_one_trunk_for_two_domains_trains_without_waits():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1, pair_dim=4)

    def loss(answer, batch):
        return {"loss": torch.nn.functional.cross_entropy(answer, batch.y)}

    class Head(torch.nn.Linear):
        def forward(self, encoded):
            return super().forward(encoded.graph)

    def batch(features):
        items = [{"x": torch.randn(n, features), "pos": torch.randn(n, 3), "y": n % 2}
                 for n in (6, 7)]  # fmt: skip
        return graph.make_dense(items)

    widths = {"jets": 5, "protein": 3}
    model = MultiHead(
        trunk,
        {name: FeatureEmbedder(width, 16, 4) for name, width in widths.items()},
        {name: Head(16, 2) for name in widths},
        dict.fromkeys(widths, loss),
    )
    with testing.PretendedDevice() as device:
        device.to_device(model)
        mixed = device.to_device({name: batch(width) for name, width in widths.items()})
        device.clear()
        model(mixed)["loss"].backward()
        assert not device.faults and not device.waits


def test_the_symbolic_network_trains_without_waits_and_decodes():
    torch.manual_seed(0)
    sizes = SequenceConfig(
        dim=16, vocabulary=len(vb.WORDS), heads=2, groups=1, encoder_layers=1, decoder_layers=1,
        tree_reach=2,
    )  # fmt: skip
    model = Seq2Seq(ModelConfig(sizes, max_answer=8))
    pairs = collate([([5, 6, 7], [8, 9, vb.END]), ([5, 6], [8, vb.END])])
    with testing.PretendedDevice() as device:
        device.to_device(model)
        batch = device.to_device(pairs)
        model(batch)
        device.clear()
        model(batch)["loss"].backward()
        assert not device.faults and not device.waits
        model.eval().propose([parse("x^2")], beam=2)
        assert not device.faults


def test_a_beam_search_waits_once_a_token_and_finds_the_same():
    counts = waits.beam_search_token()
    assert counts["faults"] == 0
    assert counts["waits"] <= 1.25  # and now and then as its memory grows
    torch.manual_seed(0)
    sizes = SequenceConfig(
        dim=16, heads=2, groups=1, encoder_layers=1, decoder_layers=1, vocabulary=30
    )  # fmt: skip
    model = Sequence(sizes).eval()
    source = torch.randint(3, 30, (4, 7))
    expected = model.beam_search(source, 4, 16)
    with testing.PretendedDevice() as device:
        result = device.to_device(model).beam_search(device.to_device(source), 4, 16)
        torch.testing.assert_close(result.scores.cpu(), expected.scores, rtol=1e-5, atol=1e-5)
        assert torch.equal(result.tokens.cpu(), expected.tokens)
