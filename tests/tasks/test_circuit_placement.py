"""The placement recipe: reinforcement learning goes on bit by bit after an interruption."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from sciml.config import from_dict
from tasks import circuit_placement as recipe


def small():
    config = from_dict(recipe.Config, {
        k: v for k, v in recipe.TINY.items() if not isinstance(v, dict)
    })  # fmt: skip
    return replace(
        config,
        env=replace(config.env, columns=10, rows=10),
        policy=from_dict(recipe.PolicyConfig, {
            "trunk": {"dim": 16, "pair_dim": 4, "depth": 1, "heads": 2, "hypergraph": True,
                      "kinds": 2, "edges": "given"},
            "channels": 8,
        }),
        rollout=5,
        updates=3,
    )  # fmt: skip


@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_ppo_in_the_recipe_resumes_bit_by_bit(tmp_path, contrast):
    config = replace(small(), curl=recipe.CURLConfig(weight=contrast, width=8))
    designs = [recipe.synthetic(k, config.scale) for k in range(2)]
    uninterrupted = recipe.start_policy(config, None, frozen=False)
    rows = list(recipe.reinforce(config, uninterrupted, designs, tmp_path / "whole.pt"))
    assert [row["update"] for row in rows] == [0, 1, 2]

    cut = recipe.start_policy(config, None, frozen=False)
    running: Any = recipe.reinforce(config, cut, designs, tmp_path / "cut.pt")
    next(running)
    running.close()  # interrupted after the first update
    torch.manual_seed(99)
    again = recipe.start_policy(replace(config, seed=5), None, frozen=False)
    rest = list(recipe.reinforce(config, again, designs, tmp_path / "cut.pt"))
    assert [row["update"] for row in rest] == [1, 2]
    assert ("contrastive" in rest[-1]) == (contrast > 0)
    for key in ("return", "loss", "kl"):
        assert rest[-1][key] == rows[-1][key]
    for a, b in zip(uninterrupted.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("objective", [
    "masked", "simclr", "sciml.placement.learning.objectives:MaskedPins",
    "sciml.placement.learning.objectives:PlaceDenoising",
])  # fmt: skip
def test_the_trunk_is_pretrained_by_any_objective(tmp_path, objective):
    config = replace(small(), objective=objective)
    config = replace(config, pretrain=replace(config.pretrain, steps=2, batch_size=2, log_every=1))
    designs = [recipe.synthetic(k, config.scale) for k in range(2)]
    before = recipe.start_policy(config, None, frozen=False)
    after = recipe.start_policy(config, recipe.pretrain(config, designs, tmp_path), frozen=False)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(before.trunk.parameters(), after.trunk.parameters(), strict=True)
    )
    assert torch.equal(before.first.weight, after.first.weight)
