"""A small invariant trunk, an embedder and batches in both layouts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from sciml.graph import make_dense, mean_nodes, ragged
from sciml.objectives.graphs import FeatureEmbedder
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


@dataclass(frozen=True)
class SmallConfig(TrunkConfig):
    """Settings of the test trunk."""

    see_positions: bool = False
    """Feed positions as plain features, which breaks every symmetry."""


class Small(Trunk):
    """One round of messages weighted by distance; invariant unless it sees positions."""

    Config = SmallConfig
    config: SmallConfig
    layout = "dense"

    def __init__(self, config=None):
        super().__init__(config)
        self.message = nn.Linear(self.dim, self.dim)
        self.update = nn.Sequential(
            nn.Linear(2 * self.dim, self.dim), nn.GELU(), nn.Linear(self.dim, self.dim)
        )
        self.place = nn.Linear(3, self.dim) if self.config.see_positions else None

    @property
    def symmetries(self):
        return ("permutation",) if self.place is not None else ("permutation", "O(3)")

    def encode(self, batch):
        x, mask = batch.x, batch.mask[..., None]
        near = torch.ones_like(batch.mask[:, :, None] * 1.0).expand(-1, -1, x.shape[1])
        if batch.pos is not None:
            square = (batch.pos[:, :, None] - batch.pos[:, None]).square().sum(-1)
            near = torch.exp(-square)
            if self.place is not None:
                x = x + self.place(batch.pos)
        received = near.to(x) @ (self.message(x) * mask) / mask.sum(1, keepdim=True).clamp_min(1)
        nodes = (x + self.update(torch.cat([x, received], -1))) * mask
        return Encoded(nodes, mean_nodes(batch, nodes))


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    return Small(SmallConfig(dim=16))


@pytest.fixture
def seeing_trunk():
    torch.manual_seed(0)
    return Small(SmallConfig(dim=16, see_positions=True))


@pytest.fixture
def embedder():
    torch.manual_seed(1)
    return FeatureEmbedder(4, 16)


def graphs(batch: int = 6, seed: int = 0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    items = []
    for i in range(batch):
        n = 3 + (5 * i) % 7
        items.append(
            {
                "x": torch.randn(n, 4, generator=random).to(dtype),
                "pos": torch.randn(n, 3, generator=random).to(dtype),
                "node_token": torch.randint(0, 9, (n,), generator=random),
                "y": torch.tensor(i % 2),
                "domain": torch.tensor(i % 3 == 0).long(),
            }
        )
    return make_dense(items)


@pytest.fixture(params=["dense", "ragged"])
def batch(request):
    items = graphs()
    if request.param == "dense":
        return items
    items.pair_one = torch.ones(*items.mask.shape, items.mask.shape[1], 1)  # so that edges come
    return ragged(items)


@pytest.fixture
def dense_batch():
    return graphs()


@pytest.fixture
def make_batch():
    return graphs
