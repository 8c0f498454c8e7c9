"""Tables and verdicts of the placement recipe."""

import numpy as np
import pytest

from sciml.placement.report import Comparison, on_common_times


def test_costs_of_several_runs_are_put_on_common_times():
    runs = [
        [{"cpu_seconds": 0.0, "best": 4.0}, {"cpu_seconds": 2.0, "best": 2.0}],
        [{"cpu_seconds": 1.0, "best": 2.0}, {"cpu_seconds": 2.0, "best": 1.0}],
    ]
    at, mean, low, high = on_common_times(runs)
    assert at[0] == 1.0 and at[-1] == 2.0
    assert (mean[0], low[0], high[0]) == (2.5, 2.0, 3.0) and (low[-1], high[-1]) == (1.0, 2.0)


def rows_of(table):
    """Runs of a design `d` from method -> proxies by seed."""
    return [{"design": "d", "method": m, "seed": s, "proxy": v, "robust_proxy": v,
             "before_annealing": v, "cpu_seconds": 1.0, "legal": True}
            for m, values in table.items() for s, v in enumerate(values)]  # fmt: skip


def compared(rows, trainings=5):
    return Comparison([], rows, trainings, cpu_seconds=1.0)


def test_only_gains_beyond_the_spread_count_as_learning():
    rows = rows_of({
        "annealing": [0.60, 0.61, 0.62, 0.60, 0.61],
        "wire-mask search": [0.70, 0.71, 0.72, 0.70, 0.71],
        "policy: pretrained": [0.60, 0.61, 0.62, 0.61, 0.60],
        "policy: scratch": [0.60, 0.61, 0.61, 0.62, 0.60],
        "policy: random frozen trunk": [0.59, 0.60, 0.61, 0.595, 0.585],
        "policy: imitation only": [0.65, 0.60, 0.61, 0.60, 0.60],
    })  # fmt: skip
    rows_by_control = {r["control"]: r for r in compared(rows).against("d")}
    network = rows_by_control["wire-mask search"]
    difference = np.array([0.10, 0.10, 0.10, 0.09, 0.11])
    half = 2.7764 * difference.std(ddof=1) / 5**0.5  # Student's t, four degrees of freedom
    assert network["gain"] == pytest.approx(0.1) and network["better"] == "5/5"
    assert network["half_interval"] == pytest.approx(half, rel=1e-4)
    assert [r["found"] for r in rows_by_control.values()] == [
        "no difference shown", "gain", "no difference shown", "loss", "no difference shown"
    ]  # fmt: skip
    verdict = compared(rows).verdict("d")
    assert (
        verdict.startswith("A learning gain is real") and "the network (gain of 0.1000" in verdict
    )
    assert compared(rows, 1).verdict("d").startswith("These weights gain here, but 1 training")
    for row in rows:
        if row["method"] == "wire-mask search":
            row["proxy"] = 0.61
    assert compared(rows).verdict("d").startswith("No learning gain")
    assert compared(rows).summary("d")[0]["method"] == "policy: random frozen trunk"
    one_seed = [r for r in rows if r["seed"] == 0]
    comparisons = compared(one_seed).against("d")
    assert all(r["found"] == "no difference shown" for r in comparisons)
