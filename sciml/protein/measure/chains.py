"""Which chain of a known complex each chain of a model is, where several are equal.

Evans et al., bioRxiv 2021.10.04.463034, section 7.3 (multi-chain permutation alignment): the truth
is laid on the model by one pair of equal chains, then chain after chain of the model gets the
nearest free one of the same sequence; all pairs with the least ambiguous chain of the model are
tried, and the assignment with the least deviation wins. Distances in Angstrom.
"""

from __future__ import annotations

import numpy as np

from sciml.errors import InputError
from sciml.protein.measure.metrics import superpose

LEAST_COMMON = 3
"""Residues that two chains must share to be superposed."""

Common = dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]


def match_chains(
    model: np.ndarray,
    model_numbers: np.ndarray,
    truth: np.ndarray,
    truth_numbers: np.ndarray,
) -> dict[int, int]:
    """The truth's chain of each chain of the model.

    Args:
        model, truth: CA atoms [N, 3] and [M, 3], NaN where missing; the model may be a crop.
        model_numbers, truth_numbers: [N, 3] and [M, 3] number of the chain, of its sequence, and of
            the residue in it; equal sequences have equal numbers in both.

    Raises:
        InputError: the truth has too few chains of a sequence.
    """
    ours, theirs = _chains(model_numbers), _chains(truth_numbers)
    for sequence in set(ours.values()):
        have, need = (list(c.values()).count(sequence) for c in (theirs, ours))
        if have < need:
            raise InputError(
                f"the model has {need} chains of sequence {sequence}, the truth {have}"
            )
    common: Common = {
        (one, other): _common(model, model_numbers, one, truth, truth_numbers, other)
        for one, sequence in ours.items()
        for other in theirs
        if theirs[other] == sequence
    }
    best: tuple[float, dict[int, int]] | None = None
    for one, other in _anchors(ours, theirs, common):
        mine, real = common[one, other]
        rotation, shift = superpose(truth[real], model[mine])
        moved = truth @ rotation.T + shift
        assigned = {one: other}
        for chain in sorted(ours, key=lambda c: -_size(c, theirs, common)):
            if chain in assigned:
                continue
            free = [c for c in theirs if (chain, c) in common and c not in assigned.values()]
            apart = {c: _deviation(model, moved, common[chain, c]) for c in free}
            assigned[chain] = min(free, key=apart.__getitem__)
        pairs = [common[pair] for pair in assigned.items()]
        mine, real = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        rotation, shift = superpose(truth[real], model[mine])
        error = _deviation(model, truth @ rotation.T + shift, (mine, real))
        if best is None or error < best[0] - 1e-9:
            best = error, assigned
    if best is None:  # nothing to superpose: in the order of the file
        order: dict[int, int] = {}
        for chain in ours:
            order[chain] = min(
                c for c in theirs if (chain, c) in common and c not in order.values()
            )
        return order
    return best[1]


def matched_residues(
    model_numbers: np.ndarray, truth_numbers: np.ndarray, assigned: dict[int, int]
) -> np.ndarray:
    """[N] the truth's residue of each of the model's, -1 where it has none."""
    places = {(int(n[0]), int(n[2])): k for k, n in enumerate(truth_numbers)}
    return np.array(
        [places.get((assigned.get(int(n[0]), -1), int(n[2])), -1) for n in model_numbers]
    )


def _chains(numbers: np.ndarray) -> dict[int, int]:
    """Chain -> its sequence."""
    return {int(chain): int(sequence) for chain, sequence in np.unique(numbers[:, :2], axis=0)}


def _common(
    model: np.ndarray,
    model_numbers: np.ndarray,
    one: int,
    truth: np.ndarray,
    truth_numbers: np.ndarray,
    other: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Residues of two chains that both have: indices into the model and the truth."""
    mine = np.flatnonzero((model_numbers[:, 0] == one) & np.isfinite(model).all(1))
    real = np.flatnonzero((truth_numbers[:, 0] == other) & np.isfinite(truth).all(1))
    _, first, second = np.intersect1d(
        model_numbers[mine, 2], truth_numbers[real, 2], return_indices=True
    )
    return mine[first], real[second]


def _size(chain: int, theirs: dict[int, int], common: Common) -> int:
    """Most residues that a chain of the model shares with one of the truth."""
    return max(len(common[chain, c][0]) for c in theirs if (chain, c) in common)


def _anchors(ours: dict[int, int], theirs: dict[int, int], common: Common) -> list[tuple[int, int]]:
    """Pairs to superpose by: the model's chain with fewest equal ones, of these the longest."""
    usable = [c for c in ours if _size(c, theirs, common) >= LEAST_COMMON]
    if not usable:
        return []
    copies = list(theirs.values())
    anchor = min(usable, key=lambda c: (copies.count(ours[c]), -_size(c, theirs, common)))
    return [
        pair for pair, (mine, _) in common.items()
        if pair[0] == anchor and len(mine) >= LEAST_COMMON
    ]  # fmt: skip


def _deviation(model: np.ndarray, moved: np.ndarray, pair: tuple[np.ndarray, np.ndarray]) -> float:
    """Root mean square distance; infinite without residues in common."""
    mine, real = pair
    if not len(mine):
        return float("inf")
    return float(np.sqrt(((model[mine] - moved[real]) ** 2).sum(-1).mean()))
