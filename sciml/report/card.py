"""The header of a science: the question, the answer, one number with its interval, the rival's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A number with the interval in which it may lie.

    Attributes:
        value: the number.
        low, high: the ends of its interval; None: not known, as of one run.
        digits: decimals that are shown.
        text: shown in its place, such as "37 of 40".
    """

    value: float
    low: float | None = None
    high: float | None = None
    digits: int = 3
    text: str = ""

    @property
    def shown(self) -> str:
        """The number as text."""
        return self.text or f"{self.value:.{self.digits}f}"

    @property
    def between(self) -> str:
        """The interval as text; empty without one."""
        if self.low is None or self.high is None:
            return ""
        scale, unit = (100, " %") if self.text else (1, "")
        digits = 0 if self.text else self.digits
        return f"{scale * self.low:.{digits}f} to {scale * self.high:.{digits}f}{unit}"

    @classmethod
    def of_runs(
        cls, values: Sequence[float], digits: int = 3, at_most: float = float("inf")
    ) -> Estimate:
        """Mean over runs, with Student's 95 % interval of the mean; no interval of one run.

        `at_most`: what the quantity cannot exceed, where the interval ends.
        """
        from scipy.stats import t as student

        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, digits=digits)
        error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
        half = float(student.ppf(0.975, len(values) - 1) * error)
        return cls(mean, mean - half, min(mean + half, at_most), digits)

    @classmethod
    def of_counts(cls, hits: int, total: int) -> Estimate:
        """A share, with its 95 % interval by Clopper and Pearson (Biometrika 26, 404)."""
        from scipy.stats import beta

        low = float(beta.ppf(0.025, hits, total - hits + 1)) if hits else 0.0
        high = float(beta.ppf(0.975, hits + 1, total - hits)) if hits < total else 1.0
        return cls(hits / max(total, 1), low, high, text=f"{hits} of {total}")


@dataclass(frozen=True)
class Card:
    """The header of a science.

    Attributes:
        question: what was asked, for somebody of another field.
        answer: one sentence; **marks** as in `Page.text`.
        measure: what the number is, with its unit and its direction.
        estimates: (name, number) of our method first, then of its rivals.
        source: run, seeds and file of the numbers; empty: those of the page.
        science: whose card it is, on a page of several.
        anchor: of the section that it leads to.
    """

    question: str
    answer: str
    measure: str
    estimates: tuple[tuple[str, Estimate], ...]
    source: str = ""
    science: str = ""
    anchor: str = ""
