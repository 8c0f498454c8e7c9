"""What to say after tagging: constituents that were left out, values that were repaired."""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("cut", "dropped", "repaired")
"""Counts a jet that `Scores` holds."""


class Tally:
    """Sums over pieces of scores, in memory that does not grow with the file.

    Args:
        limit: constituents that are used of a jet.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.jets, self.faulty = limit, 0, 0
        self.some = dict.fromkeys(KINDS, 0)
        """Jets that are concerned."""
        self.all = dict.fromkeys(KINDS, 0)

    def add(self, scores: Any) -> None:
        """Count a `sciml.jets.tagger.Scores`."""
        self.jets += len(scores.flags)
        self.faulty += int((scores.flags != 0).sum())
        for kind in KINDS:
            counts: np.ndarray = getattr(scores, kind)
            self.some[kind] += int((counts > 0).sum())
            self.all[kind] += int(counts.sum())

    def remarks(self) -> list[str]:
        """A sentence for everything that happened."""
        some, total = self.some, self.all
        said = {
            "cut": f"{some['cut']} of {self.jets} jets have more than {self.limit} constituents: "
            f"the leading {self.limit} in pT were used",
            "dropped": f"{total['dropped']} candidates without momentum were left out of "
            f"{some['dropped']} of {self.jets} jets",
            "repaired": f"{total['repaired']} values of {some['repaired']} of {self.jets} jets "
            "were repaired (energy below momentum by rounding, infinite impact parameter)",
        }
        return [text for kind, text in said.items() if some[kind]]
