"""Statistical contact potentials: which residues are found near each other in structures.

Logarithms of the observed over the expected numbers of residue pairs (quasi-chemical approximation:
Miyazawa and Jernigan, JMB 256, 623, 1996), by CB distance and by the secondary structure of both.
Each class is compared with its own composition, so that what a single residue prefers (the core, a
strand) is left to the fields of a family.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sciml.protein.contacts.topologies import Fold

DISTANCES = np.array([6.0, 8.0, 10.0])
"""Upper edges of the classes of CB distance [A]."""
KINDS = 3
"""Pairs of two helices, of two strands, and all others."""
SEPARATION = 4
"""Pairs nearer along the chain are not counted."""
PSEUDOCOUNT = 200.0
"""Pairs of chance added to each class, so that few observations say little."""


def distance_class(distance: np.ndarray) -> np.ndarray:
    """Class 0, 1, 2 of CB distances [A]; pairs further apart take the last."""
    return np.minimum(np.searchsorted(DISTANCES, distance, side="right"), len(DISTANCES) - 1)


def kind_of(secondary: str) -> np.ndarray:
    """[L, L] 0: both residues in helices, 1: both in strands, 2: neither."""
    letters = np.array(list(secondary))
    kind = np.full((len(letters), len(letters)), 2)
    for number, letter in enumerate("HE"):
        kind[np.ix_(letters == letter, letters == letter)] = number
    return kind


def contact_potential(folds: Sequence[Fold]) -> np.ndarray | None:
    """[3, 3, 20, 20] logarithms of odds [nat] by distance class, kind, residue and residue.

    Symmetric in the residues; None where no fold has a sequence.
    """
    counts = np.zeros((len(DISTANCES), KINDS, 20, 20))
    for fold in folds:
        if fold.native is None:
            continue
        gap = np.sqrt(((fold.cb[:, None] - fold.cb[None]) ** 2).sum(-1))
        row, column = np.nonzero(np.triu(gap < DISTANCES[-1], SEPARATION))
        pair = (distance_class(gap[row, column]), kind_of(fold.secondary)[row, column])
        np.add.at(counts, (*pair, fold.native[row], fold.native[column]), 0.5)
        np.add.at(counts, (*pair, fold.native[column], fold.native[row]), 0.5)
    if not counts.sum():
        return None
    total = counts.sum((2, 3), keepdims=True)
    share = (counts.sum(3) + 1.0) / (total[..., 0] + 20.0)  # of each residue in the class
    expected = share[..., :, None] * share[..., None, :]
    observed = (counts + PSEUDOCOUNT * expected) / (total + PSEUDOCOUNT)
    return np.log(observed / expected)
