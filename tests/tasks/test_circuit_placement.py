"""The placement recipe: reinforcement learning goes on bit by bit after an interruption."""

from dataclasses import replace

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


def test_ppo_in_the_recipe_resumes_bit_by_bit(tmp_path):
    config = small()
    designs = [recipe.synthetic(config, k) for k in range(2)]
    whole = recipe.start_policy(config, None, frozen=False)
    rows = list(recipe.reinforce(config, whole, designs, tmp_path / "whole.pt"))
    assert [row["update"] for row in rows] == [0, 1, 2]

    cut = recipe.start_policy(config, None, frozen=False)
    running = recipe.reinforce(config, cut, designs, tmp_path / "cut.pt")
    next(running)
    running.close()  # interrupted after the first update
    torch.manual_seed(99)
    again = recipe.start_policy(replace(config, seed=5), None, frozen=False)
    rest = list(recipe.reinforce(config, again, designs, tmp_path / "cut.pt"))
    assert [row["update"] for row in rest] == [1, 2]
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
