"""Pretraining on netlists: what is hidden stays hidden, and there is something to learn."""

import numpy as np
import pytest
import torch

from sciml import objectives
from sciml.placement.classical.annealing import Annealer, zero_start
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning.embedder import NetlistEmbedder
from sciml.placement.learning.objectives import negatives, without
from sciml.placement.learning.pretraining import corpus
from sciml.trunks.message_passing import MessagePassing, MessagePassingConfig

TRUNK = MessagePassingConfig(
    dim=24, pair_dim=4, depth=2, heads=2, hypergraph=True, kinds=2, edges="given"
)
HERE = "sciml.placement.learning.objectives:"


@pytest.fixture(scope="module")
def batch():
    config = NetlistConfig(macros=6, clusters=24, ports=6, nets_per_node=5)
    designs = []
    for k in range(6):
        start = zero_start(netlist(config, k), k)
        designs.append(Annealer(start, seed=k, max_moves=4000).run().result())
    data = corpus(designs)
    return data.collate([data.dataset[k] for k in range(6)])


def trained(name, batch, steps, **settings):
    torch.manual_seed(0)
    objective = objectives.build({"name": name, **settings})(
        MessagePassing(TRUNK), NetlistEmbedder(24, 4)
    )
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    rows = []
    for _ in range(steps):
        losses = objective(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        rows.append({k: float(v.detach()) for k, v in losses.items()})
    return rows


def test_missing_pins_are_found_better_than_by_chance(batch):
    rows = trained(HERE + "MaskedPins", batch, 60)
    assert rows[0]["count"] > 50
    late = sum(r["accuracy"] for r in rows[-10:]) / 10
    assert late > 1.3 / 16  # chance is 1 / 16, and ten steps ask for thousands of pins
    assert sum(r["link"] for r in rows[-10:]) / 10 < np.log(16)


def test_places_are_denoised_better_than_by_saying_nothing(batch):
    rows = trained(HERE + "PlaceDenoising", batch, 80, sigma=0.2)
    assert 0.8 < rows[0]["loss"] < 1.4
    assert sum(r["loss"] for r in rows[-10:]) / 10 < 0.85  # saying 0 costs 1


def test_a_missing_pin_leaves_no_trace(batch):
    keep = torch.ones(batch.edge_index.shape[1], dtype=torch.bool)
    keep[5] = False
    one = without(batch, keep)
    other = batch.clone()
    other.edge_attr[5] += 3.0
    two = without(other, keep)
    for key in ("x", "edge_index", "edge_attr"):
        assert torch.equal(one[key], two[key])
    net = int(batch.edge_index[1, 5])
    left = int((one.edge_index[1] == net).sum())
    assert one.x[net, 4] == pytest.approx(float(torch.log1p(torch.tensor(float(left)))) / 3)
    full = without(batch, torch.ones_like(keep))
    torch.testing.assert_close(full.x[:, [4, 7]], batch.x[:, [4, 7]])


def test_others_are_nodes_of_the_same_netlist(batch):
    torch.manual_seed(0)
    net = batch.edge_index[1]
    other = negatives(batch, net, 40)
    assert (batch.batch[other] == batch.batch[net][:, None]).all()
    assert (batch.node_kind[other] == 0).all()
    nodes = int((batch.node_kind == 0).sum())
    assert len(other.unique()) > 0.9 * nodes  # all of them can be drawn
