"""Statistics of repeated runs: means with spread, and paired differences between equal seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean_and_spread(values: Sequence[float], digits: int = 3) -> str:
    """ "mean +- standard deviation" of repeated runs; the mean alone of one run."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def paired(values: Sequence[float], control: Sequence[float], better: int = 1) -> dict[str, Any]:
    """The paired gain of `values` over `control` (the same seeds in the same order).

    Args:
        better: +1 if higher is better, -1 if lower is.

    Returns:
        "gain" (mean difference, positive = better), "half_interval" (Student's, 95 %, for this
        comparison by itself; infinite for one run), "wins" (runs in which `values` was better)
        and "found": "gain", "loss" or "no difference shown".
    """
    from scipy.stats import t as student

    gain = better * (np.asarray(values, float) - np.asarray(control, float))
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    half = float(student.ppf(0.975, max(len(gain) - 1, 1)) * error)
    mean = float(gain.mean())
    verdict = "gain" if mean > half else "loss" if mean < -half else "no difference shown"
    return {"gain": mean, "half_interval": half, "wins": int((gain > 0).sum()), "found": verdict}
