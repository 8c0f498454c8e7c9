"""Contacts of alignments wider than the contact network takes: overlapping windows along the chain.

Time and memory of the couplings grow with the third and second power of the columns. A wide
alignment is therefore predicted window by window, each from its own columns alone, and where
windows overlap the mean is taken, in which a pair counts more the further it is from the window's
ends. Every pair up to `STEP` columns apart lies in a window. Pairs that lie in none are not
predicted: NaN, not "no contact".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sciml.errors import InputError
from sciml.protein.contacts.distogram import CLASSES
from sciml.protein.contacts.prediction import ContactPrediction
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP

WINDOW, STEP = 400, 200
"""Columns of a window, and from the start of one to that of the next."""
MAX_COLUMNS = 5000
"""The distogram of this many columns takes 1.6 GB."""


def starts(columns: int) -> list[int]:
    """First columns of the windows; the last one ends with the chain."""
    last = max(columns - WINDOW, 0)
    return [*range(0, last, STEP), last]


def predict_windows(
    msa: Alignment,
    predict: Callable[[Alignment, np.ndarray], ContactPrediction],
    progress: Callable[[int, int], None] | None = None,
) -> ContactPrediction:
    """Predict windows and join them.

    Args:
        msa: the alignment.
        predict: takes the alignment of a window and the distances of its columns from the two
            ends of the chain [C, 2].
        progress: called with (windows done, number of windows).

    Raises:
        InputError: even the joined result would be too large.
    """
    n = msa.columns
    if n > MAX_COLUMNS:
        raise InputError(
            f"{n} columns; contacts are predicted for at most {MAX_COLUMNS}",
            where=msa.source,
            hint="Cut the alignment into domains, or use columns='query'",
        )
    begins = starts(n)
    weight = np.zeros((n, n), np.float32)
    distogram = np.zeros((n, n, CLASSES), np.float32)
    dca = np.zeros((n, n), np.float32)
    probability = np.zeros((n, n), np.float32)
    for number, (part, index) in enumerate(_parts(msa, begins)):
        prediction = predict(part, np.stack([index, n - 1 - index], 1))
        near_end = np.minimum(np.arange(1, len(index) + 1), np.arange(len(index), 0, -1))
        share = np.outer(near_end, near_end).astype(np.float32)
        at = slice(index[0], index[-1] + 1)
        weight[at, at] += share
        distogram[at, at] += share[..., None] * prediction.distogram
        dca[at, at] += share * prediction.dca
        probability[at, at] += share * prediction.probability
        if progress is not None:
            progress(number + 1, len(begins))
    with np.errstate(invalid="ignore"):
        distogram /= weight[..., None]
        dca /= weight
        probability /= weight
    return ContactPrediction(
        probability, distogram, dca, msa.neff(), msa.row(0), windows=len(begins)
    )


def _parts(msa: Alignment, begins: list[int]) -> Iterator[tuple[Alignment, np.ndarray]]:
    """Alignment and column indices of each window; rows without a residue in it are left out."""
    for start in begins:
        index = np.arange(start, min(start + WINDOW, msa.columns))
        cells = np.ascontiguousarray(msa.rows[:, index])
        rows = np.flatnonzero((cells != GAP).any(1) | (np.arange(msa.depth) == 0))
        names = [msa.names[row] for row in rows]
        yield Alignment(names, cells[rows], source=msa.source).deduplicate(), index
