"""Mixed precision: matrix products in bfloat16, positions and four-momenta in single precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from sciml import graph, symmetry, testing, trunks
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.networks.embedder import JetEmbedder, collate
from sciml.objectives.graphs import FeatureEmbedder

TRUNKS: dict[str, dict[str, Any]] = {
    "equivariant": {"irreps": "8x0e+4x1o", "depth": 1},
    "lorentz": {"depth": 1},
    "message_passing": {"depth": 1, "heads": 2, "offset_dim": 3},
    "pair_transformer": {"depth": 1, "heads": 2, "class_depth": 1},
    "particle_net": {"k": 4},
    "sequence": {"heads": 2, "groups": 2, "encoder_layers": 1},
}
POSITIONS = ("equivariant", "lorentz", "message_passing", "particle_net")
"""Trunks that read positions."""
FAR = 500.0
"""In bfloat16, positions here are multiples of 2."""


def make(name: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    trunk = trunks.build({"name": name, **TRUNKS[name]}, dim=16, pair_dim=4)
    return trunk, testing.batch_for(trunk, trunk.layout or "dense")


def run(trunk: Any, batch: Any) -> dict[str, torch.Tensor]:
    """Outputs under autocast, in float32."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert (batch.x @ batch.x.mT).dtype == torch.bfloat16
        outputs = testing.real_rows(testing.outputs_of(trunk.eval()(copy.copy(batch))), batch)
    return {name: value.float() for name, value in outputs.items() if name != "pairs"}


def rounded(batch: Any) -> Any:
    """The same batch with positions as half precision would have them."""
    other = copy.copy(batch)
    other.pos = batch.pos.bfloat16().float()
    return other


def moved(name: str, batch: Any) -> Any:
    """The batch elsewhere: all outputs but vectors stay as they are."""
    if name == "lorentz":
        group = next(g for g in trunks.build("lorentz", dim=8).symmetries if g != "permutation")
        element = symmetry.random_element(group, torch.Generator().manual_seed(1))
        return symmetry.act(batch, element)
    other = copy.copy(batch)
    other.pos = batch.pos + FAR
    return other


def test_every_trunk_is_tried():
    assert set(TRUNKS) == set(trunks.names())


@pytest.mark.parametrize("name", TRUNKS)
def test_a_trunk_trains_under_autocast(name):
    trunk, batch = make(name)
    with torch.autocast("cpu", torch.bfloat16):
        encoded = trunk.train()(batch)
        loss = encoded.nodes.float().square().mean() + encoded.graph.float().square().mean()
    loss.backward()
    gradients = {n: p.grad for n, p in trunk.named_parameters() if p.grad is not None}
    assert gradients and all(bool(g.isfinite().all()) for g in gradients.values())
    assert any(float(g.abs().max()) > 0 for g in gradients.values())
    assert all(g.dtype == torch.float32 for g in gradients.values())


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_keep_their_digits_under_autocast(name):
    """Far away, or boosted, the differences of positions are what half precision would lose."""
    trunk, batch = make(name)
    there = moved(name, batch)
    here, far, control = (run(trunk, b) for b in (batch, there, rounded(there)))
    for key in ("nodes", "graph"):
        error = testing.relative_error(far[key], here[key])
        lost = testing.relative_error(control[key], here[key])
        assert error < 0.03, (key, error)
        assert lost > max(3 * error, 3e-3), (key, error, lost)


@pytest.mark.parametrize("name", ["equivariant", "lorentz"])
def test_vectors_under_autocast_are_those_of_single_precision(name):
    trunk, batch = make(name)
    with torch.no_grad():
        expected = trunk.eval()(batch)
        with torch.autocast("cpu", torch.bfloat16):
            answer = trunk(batch)
    if name == "lorentz":  # an equivariant trunk's vectors are features
        assert answer.vectors.dtype == torch.float32
    error = testing.relative_error(answer.vectors.float(), expected.vectors)
    assert 0 < error < 0.05  # the network's own half precision is seen, no more than that


def test_pair_features_come_from_positions_in_single_precision():
    torch.manual_seed(0)
    items = [{"x": torch.randn(n, 5), "pos": torch.randn(n, 3) + FAR} for n in (6, 4)]
    jets = JetSample.read(shipped("test"), max_jets=4)
    pairs = []
    for embedder, batch in (
        (JetEmbedder(16, 4), collate([jets[i] for i in range(4)])),
        (FeatureEmbedder(5, 16, 4), graph.make_dense(items)),
    ):
        with torch.no_grad():
            expected = embedder.eval()(batch).pair
            with torch.autocast("cpu", torch.bfloat16):
                answer = embedder(batch).pair
        pairs.append(testing.relative_error(answer.float(), expected))
    assert pairs[0] < 1e-6  # no matrix product between momenta and features
    assert pairs[1] < 0.02  # one linear layer in half precision
