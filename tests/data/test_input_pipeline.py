"""The simulation of many GPUs' input against what can be worked out by hand."""

import runpy
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "input_pipeline.py"
simulate = runpy.run_path(str(PATH))["simulate"]


@pytest.mark.parametrize(
    ("changes", "limit", "bottleneck"),
    [
        ({}, 64 * 1000, "GPUs"),
        ({"readers": 2, "gpu_rate": 1e5}, 64 * 2 * 4000, "readers"),
        ({"storage": 1e6}, 1e6 / 100, "storage"),
        ({"link": 1e5, "gpus": 16}, 2 * 1e5 / 100, "links"),
    ],
)
def test_the_slowest_part_sets_the_rate(changes, limit, bottleneck):
    result = simulate(**({"gpu_rate": 1000, "reader_rate": 4000, "size": 100,
                          "spread": 0.01} | changes))  # fmt: skip
    assert result["bottleneck"] == bottleneck
    assert 0.9 * limit < result["examples_per_s"] <= 1.01 * limit
    assert max(result["busy"].values()) == result["busy"][bottleneck] <= 1.01


def test_varying_readers_cost_something_and_queues_hide_it():
    options = {"gpu_rate": 1000, "reader_rate": 260, "size": 100, "readers": 4, "spread": 0.8}
    even = simulate(**(options | {"spread": 0.01}))["examples_per_s"]
    short, long = (simulate(**options, depth=d)["examples_per_s"] for d in (1, 16))
    assert short < long <= 1.02 * even
