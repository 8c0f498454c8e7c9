"""Means with spread, and differences between runs of the same seeds."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from sciml.report.statistics import mean_and_spread, paired


def test_mean_and_sample_deviation():
    assert mean_and_spread([1.0, 2.0, 3.0]) == "2.000 ± 1.000"
    assert mean_and_spread([0.25]) == "0.250"


@pytest.mark.parametrize("better", [1, -1])
def test_a_gain_is_found_where_the_paired_t_test_finds_it(better):
    rng = np.random.default_rng(0)
    verdicts = set()
    for shift in np.linspace(-2, 2, 41):
        control = rng.normal(0, 3, 5)
        values = control + shift + rng.normal(0, 0.7, 5)
        row = paired(values.tolist(), control.tolist(), better)
        test = ttest_rel(values, control)
        sure = test.pvalue < 0.05
        assert (row["found"] != "no difference shown") == sure
        if sure:
            assert (row["found"] == "gain") == (better * test.statistic > 0)
        assert row["wins"] == int((better * (values - control) > 0).sum())
        verdicts.add(row["found"])
    assert verdicts == {"gain", "loss", "no difference shown"}


def test_one_run_shows_nothing():
    assert paired([2.0], [1.0])["found"] == "no difference shown"
