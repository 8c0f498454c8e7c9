"""Pairs of residues by their probability, as contact lists name them."""

from __future__ import annotations

import numpy as np


def ranked_pairs(probability: np.ndarray, separation: int = 6) -> list[tuple[int, int, float]]:
    """(i, j, probability) from 0, most probable first, of pairs at least that far apart.

    Args:
        probability: [N, N], NaN for pairs that were not predicted, which are left out.
        separation: least distance along the chain.
    """
    row, column = np.triu_indices(len(probability), separation)
    predicted = np.isfinite(probability[row, column])
    row, column = row[predicted], column[predicted]
    values = probability[row, column]
    order = np.argsort(-values, kind="stable")
    return [(int(row[k]), int(column[k]), float(values[k])) for k in order]
