"""The placement recipe: reinforcement learning goes on bit by bit after an interruption."""

from dataclasses import replace
from typing import Any

import numpy as np
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
    whole = recipe.start_policy(config, None, frozen=False)
    rows = list(recipe.reinforce(config, whole, designs, tmp_path / "whole.pt"))
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
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_costs_of_several_runs_are_put_on_common_times():
    runs = [
        [{"cpu_seconds": 0.0, "best": 4.0}, {"cpu_seconds": 2.0, "best": 2.0}],
        [{"cpu_seconds": 1.0, "best": 2.0}, {"cpu_seconds": 2.0, "best": 1.0}],
    ]
    at, mean, low, high = recipe.spread(runs)
    assert at[0] == 1.0 and at[-1] == 2.0
    assert (mean[0], low[0], high[0]) == (2.5, 2.0, 3.0) and (low[-1], high[-1]) == (1.0, 2.0)


def rows_of(table):
    """Runs of a design `d` from method -> proxies by seed."""
    return [{"design": "d", "method": m, "seed": s, "proxy": v, "robust_proxy": v,
             "before_annealing": v, "cpu_seconds": 1.0, "legal": True}
            for m, values in table.items() for s, v in enumerate(values)]  # fmt: skip


def test_only_gains_beyond_the_spread_count_as_learning():
    rows = rows_of({
        "annealing": [0.60, 0.61, 0.62, 0.60, 0.61],
        "wire-mask search": [0.70, 0.71, 0.72, 0.70, 0.71],
        "policy: pretrained": [0.60, 0.61, 0.62, 0.61, 0.60],
        "policy: scratch": [0.60, 0.61, 0.61, 0.62, 0.60],
        "policy: random frozen trunk": [0.59, 0.60, 0.61, 0.595, 0.585],
        "policy: imitation only": [0.65, 0.60, 0.61, 0.60, 0.60],
    })  # fmt: skip
    found = {r["control"]: r for r in recipe.against(rows, "d")}
    network = found["wire-mask search"]
    difference = np.array([0.10, 0.10, 0.10, 0.09, 0.11])
    half = 2.7764 * difference.std(ddof=1) / 5**0.5  # Student's t, four degrees of freedom
    assert network["gain"] == pytest.approx(0.1) and network["better"] == "5/5"
    assert network["half_interval"] == pytest.approx(half, rel=1e-4)
    assert [r["found"] for r in found.values()] == [
        "no difference shown", "gain", "no difference shown", "loss", "no difference shown"
    ]  # fmt: skip
    said = recipe.verdict(rows, "d", 5)
    assert said.startswith("A learning gain is real") and "the network (gain of 0.1000" in said
    assert recipe.verdict(rows, "d", 1).startswith("These weights gain here, but 1 training")
    for row in rows:
        if row["method"] == "wire-mask search":
            row["proxy"] = 0.61
    assert recipe.verdict(rows, "d", 5).startswith("No learning gain")
    assert recipe.summary(rows, "d")[0]["method"] == "policy: random frozen trunk"
    one_seed = [r for r in rows if r["seed"] == 0]
    assert all(r["found"] == "no difference shown" for r in recipe.against(one_seed, "d"))


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
