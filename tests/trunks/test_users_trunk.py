"""A trunk of a user's own, outside the package and in under 60 lines, is a full citizen."""

import sys
from typing import Any

import pytest
import torch

from sciml import testing, trunks
from sciml.errors import InputError
from sciml.trunks import lora

SOURCE = '''"""Nodes receive the mean of their graph, weighted by the distance to its centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from sciml.config import Range
from sciml.graph import mean_nodes
from sciml.nn.layers import zero_padding
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


@dataclass(frozen=True)
class MeanFieldConfig(TrunkConfig):
    """Settings of `MeanField`."""

    dim: Annotated[int, Range(min=1)] = 32
    """Width of node features."""
    depth: Annotated[int, Range(min=1)] = 2
    """Number of layers."""


class MeanField(Trunk):
    """Each node receives the mean of its graph and its distance from the centre."""

    Config = MeanFieldConfig
    layout = "dense"

    def __init__(self, config=None):
        super().__init__(config)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * self.dim + 1, self.dim), nn.SiLU(), nn.LayerNorm(self.dim))
            for _ in range(self.config.depth)
        )

    @property
    def symmetries(self):
        return ("permutation", "E(3)")

    def encode(self, batch):
        x = batch.x
        centre = mean_nodes(batch, batch.pos)[:, None]
        square = (batch.pos - centre).square().sum(-1, keepdim=True)
        for layer in self.layers:
            mean = mean_nodes(batch, x)[:, None].expand_as(x)
            x = x + layer(torch.cat([x, mean, square / (1 + square)], -1))
        x = zero_padding(x, batch.mask)
        return Encoded(nodes=x, graph=mean_nodes(batch, x))
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_trunks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_trunks", None)


def test_it_is_short():
    assert len(SOURCE.splitlines()) < 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("by", ["import path", "file"])
def test_it_passes_all_checks_by_import_path(folder, by, dtype):
    name = "my_trunks:MeanField" if by == "import path" else f"{folder}/my_trunks.py:MeanField"
    trunk: Any = trunks.build(name, depth=3).to(dtype)
    assert trunk.config.depth == 3
    errors = testing.check_trunk(trunk)
    assert any(check.startswith("E(3), ragged") for check in errors)


def test_a_promise_it_breaks_is_found(folder):
    kind: Any = trunks.find("my_trunks:MeanField")

    class Lying(kind):
        @property
        def symmetries(self):
            return ("permutation", "Lorentz")

    with pytest.raises(AssertionError, match="Lorentz"):
        testing.check_trunk(Lying(), verbose=False)


def test_it_is_saved_loaded_adapted_and_given_a_head(folder):
    trunk = trunks.build({"name": "my_trunks:MeanField", "dim": 8})
    batch = testing.batch_for(trunk)
    trunks.save(trunk, folder / "saved")
    again = trunks.load(folder / "saved")
    assert torch.equal(again(batch).graph, trunk(batch).graph)
    assert trunk.with_head(5)(batch).shape == (3, 5)
    lora.inject(again, rank=2)
    assert torch.equal(again(batch).graph, trunk(batch).graph)


def test_it_learns(folder):
    """Its graph vector, re-headed, fits the mean distance to the centre."""
    trunk = trunks.build("my_trunks:MeanField", dim=8)
    model = trunk.with_head(1)
    batch = testing.batch_for(trunk, sizes=[5] * 32)
    centre = batch.pos.mean(1, keepdim=True)
    target = (batch.pos - centre).norm(dim=-1).mean(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = (model(batch).squeeze(-1) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_a_wrong_name_says_so(folder):
    with pytest.raises(InputError, match="cannot import the trunk 'my_trunks:Mean'"):
        trunks.build("my_trunks:Mean")
    with pytest.raises(InputError, match="is not a trunk"):
        trunks.build("my_trunks:MeanFieldConfig")
    with pytest.raises(InputError, match="did you mean `depth`"):
        trunks.build("my_trunks:MeanField", dept=3)
