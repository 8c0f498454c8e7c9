"""Accuracy of a predicted structure or contact map: lDDT, GDT, TM-score, RMSD, contact precision.

Sources: lDDT Mariani et al., Bioinformatics 29, 2722 (2013); GDT Zemla, NAR 31, 3370 (2003);
TM-score Zhang and Skolnick, Proteins 57, 702 (2004); superposition Kabsch, Acta Cryst. A32, 922
(1976). Distances in Angstrom throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError

LONG_RANGE = (24, None)
"""Separations along the chain that contact precision counts [residues]."""
CONTACT_DISTANCE = 8.0


def distances(points: np.ndarray) -> np.ndarray:
    """[N, 3] -> [N, N] distances; NaN where a point is missing (NaN)."""
    points = np.asarray(points, np.float64)
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def contact_precision(
    scores: np.ndarray,
    truth: np.ndarray,
    *,
    separation: tuple[int, int | None] = LONG_RANGE,
    index: np.ndarray | None = None,
    length: int | None = None,
) -> dict[str, float]:
    """Share of true contacts among the L, L/2 and L/5 best-scored pairs.

    Args:
        scores: [N, N], the higher the likelier; symmetric or not (the mean of both is taken).
        truth: [N, N] bool contacts, or distances [A] (a contact is < 8 A; NaN pairs are left out).
        separation: residue separations, from (included) to (left out; None: no limit).
        index: [N] residue number of each row, 0..N-1 if None.
        length: L, N if None.

    Returns:
        "P@L", "P@L/2", "P@L/5", "random" (share of contacts among all such pairs), "pairs",
        "contacts". Precisions are NaN where there is no pair.
    """
    scores = np.asarray(scores, np.float64)
    truth = np.asarray(truth)
    if scores.shape != truth.shape or scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise InputError(f"scores are {scores.shape}, truth is {truth.shape}: both must be [N, N]")
    length = len(scores) if length is None else length
    index = np.arange(len(scores)) if index is None else np.asarray(index)
    known = np.ones(truth.shape, bool)
    if truth.dtype != bool:
        known = np.isfinite(truth)
        truth = np.where(known, truth, np.inf) < CONTACT_DISTANCE
    gap = index[None] - index[:, None]
    low, high = separation
    use = (gap >= low) & known & (gap < (np.inf if high is None else high))
    values = (0.5 * (scores + scores.T))[use]
    hits = truth[use]
    ranked = hits[np.argsort(-values, kind="stable")]
    result: dict[str, float] = {}
    for name, part in (("P@L", 1), ("P@L/2", 2), ("P@L/5", 5)):
        most = ranked[: max(1, length // part)]
        result[name] = float(most.mean()) if len(most) else float("nan")
    result["random"] = float(hits.mean()) if len(hits) else float("nan")
    result["pairs"], result["contacts"] = float(len(hits)), float(hits.sum())
    return result


def superpose(
    moving: np.ndarray, fixed: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and translation [3] with least RMSD: moving @ rotation.T + translation.

    Proper rotations only: a mirror image is not turned into its original.
    """
    weights = np.ones(len(moving)) if weights is None else np.asarray(weights, np.float64)
    total = max(weights.sum(), 1e-12)
    centre_moving = (weights[:, None] * moving).sum(0) / total
    centre_fixed = (weights[:, None] * fixed).sum(0) / total
    left, _, right = np.linalg.svd(
        (weights[:, None] * (moving - centre_moving)).T @ (fixed - centre_fixed)
    )
    sign = np.sign(np.linalg.det(left @ right)) or 1.0
    rotation = (left @ np.diag([1, 1, sign]) @ right).T
    return rotation, centre_fixed - rotation @ centre_moving


def _pair(model: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model, truth = np.asarray(model, np.float64), np.asarray(truth, np.float64)
    if model.shape != truth.shape or model.ndim != 2 or model.shape[1] != 3:
        raise InputError(f"structures of {model.shape} and {truth.shape}: both must be [N, 3]")
    both = np.isfinite(model).all(1) & np.isfinite(truth).all(1)
    if not both.any():
        raise InputError("the two structures have no atom in common")
    return model[both], truth[both]


def rmsd(model: np.ndarray, truth: np.ndarray, *, superposed: bool = False) -> float:
    """Root mean square deviation [A] of [N, 3], after superposition unless `superposed`."""
    model, truth = _pair(model, truth)
    if not superposed:
        rotation, shift = superpose(model, truth)
        model = model @ rotation.T + shift
    return float(np.sqrt(((model - truth) ** 2).sum(1).mean()))


def lddt(
    model: np.ndarray,
    truth: np.ndarray,
    *,
    owner: np.ndarray | None = None,
    radius: float = 15.0,
    per_residue: bool = False,
) -> float | np.ndarray:
    """Local distance difference test, 0 to 1; no superposition.

    Args:
        model: [N, 3] atoms (CA atoms for lDDT-Ca); NaN where missing: its distances count as lost.
        truth: [N, 3]; NaN where unresolved: left out.
        owner: [N] residue of each atom (atoms of one residue are not compared); 0..N-1 if None.
        radius: inclusion radius [A] in the truth.
        per_residue: return one value per residue (NaN where a residue has no distance).
    """
    model, truth = np.asarray(model, np.float64), np.asarray(truth, np.float64)
    if model.shape != truth.shape or model.ndim != 2:
        raise InputError(f"structures of {model.shape} and {truth.shape}: both must be [N, 3]")
    owner = np.arange(len(truth)) if owner is None else np.asarray(owner)
    real = np.isfinite(truth).all(1)
    model, truth, owner = model[real], truth[real], owner[real]
    count = int(owner.max()) + 1 if len(owner) else 0
    preserved, total = np.zeros(count), np.zeros(count)
    for start in range(0, len(truth), 512):  # rows at a time: all-atom structures are large
        part = slice(start, start + 512)
        true_distance = np.sqrt(((truth[part, None] - truth[None]) ** 2).sum(-1))
        model_distance = np.sqrt(((model[part, None] - model[None]) ** 2).sum(-1))
        use = (true_distance < radius) & (owner[part, None] != owner[None])
        error = np.where(
            np.isfinite(model_distance), np.abs(true_distance - model_distance), np.inf
        )
        share = sum((error < limit).astype(np.float64) for limit in (0.5, 1, 2, 4)) / 4
        np.add.at(preserved, owner[part], (share * use).sum(1))
        np.add.at(total, owner[part], use.sum(1))
    if per_residue:
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, preserved / np.maximum(total, 1), np.nan)
    return float(preserved.sum() / total.sum()) if total.sum() else float("nan")


SEARCH_STARTS = 400
"""Fragments of each length that a search for superpositions begins with, at most."""
LIMITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Distances [A] of GDT-HA (all but the last) and GDT-TS (all but the first)."""


@dataclass
class Superposed:
    """Best scores over many superpositions of a model on a structure, 0 to 1.

    Attributes:
        tm_score: normalised by the truth's resolved length.
        within: share of the residues that some superposition brings within each of `LIMITS`.
    """

    tm_score: float
    within: np.ndarray

    @property
    def gdt_ts(self) -> float:
        """GDT-TS: the mean of 1, 2, 4 and 8 A."""
        return float(self.within[1:].mean())

    @property
    def gdt_ha(self) -> float:
        """GDT-HA: the mean of 0.5, 1, 2 and 4 A."""
        return float(self.within[:-1].mean())


def superposed(model: np.ndarray, truth: np.ndarray) -> Superposed:
    """TM-score and GDT of CA atoms [N, 3]; residue i of one is residue i of the other.

    As in the TM-score and LGA programs every fragment of several lengths is superposed, then the
    atoms that come within a radius, again and again; all scores are the best of all superpositions
    seen. Residues that the model (NaN) lacks count as wrong.
    """
    resolved = int(np.isfinite(np.asarray(truth, np.float64)).all(1).sum())
    model, truth = _pair(model, truth)
    model, truth = model - model.mean(0), truth - truth.mean(0)  # digits of the moments below
    count = len(model)
    scale = max(1.24 * np.cbrt(max(resolved, 16) - 15) - 1.8, 0.5)
    best_tm, best = 0.0, np.zeros(len(LIMITS))

    def errors(chosen: np.ndarray) -> np.ndarray:
        """[F, N] distances after superposing the atoms chosen [F, N]; keeps the best scores."""
        nonlocal best_tm
        gap = np.empty(chosen.shape)
        for start in range(0, len(chosen), max(1, 1_000_000 // count)):
            part = slice(start, start + max(1, 1_000_000 // count))
            rotation, shift = _superpose_many(model, truth, chosen[part].astype(np.float64))
            moved = np.einsum("fij,nj->fni", rotation, model) + shift[:, None]
            gap[part] = np.sqrt(((moved - truth) ** 2).sum(-1))
        best_tm = max(best_tm, float((1 / (1 + (gap / scale) ** 2)).sum(1).max()) / resolved)
        for k, limit in enumerate(LIMITS):
            best[k] = max(best[k], (gap <= limit).sum(1).max() / resolved)
        return gap

    first = np.unique(np.concatenate(list(_fragments(count))), axis=0)
    apart = errors(first)
    middle = float(np.clip(scale, 4.5, 8.0))
    for radius in sorted({*LIMITS, middle, middle + 1}):
        seen: set[bytes] = set()
        gap = apart
        for _ in range(20):
            # At least three atoms: a wider radius where there are fewer.
            third = np.partition(gap, min(2, count - 1), axis=1)[:, min(2, count - 1)]
            chosen = gap <= np.maximum(radius, third)[:, None]
            fresh = {}
            for row, key in zip(chosen, np.packbits(chosen, axis=1), strict=True):
                if (name := key.tobytes()) not in seen:
                    seen.add(name)
                    fresh[name] = row
            if not fresh:
                break
            gap = errors(np.stack(list(fresh.values())))
    return Superposed(best_tm, best)


def _fragments(count: int) -> Iterator[np.ndarray]:
    """Masks [F, N] of stretches of N, N/2, N/4 ... 4 residues at all places."""
    length = count
    while True:
        places = count - length + 1
        starts = np.arange(0, places, max(1, places // SEARCH_STARTS))
        index = np.arange(count)
        yield (index >= starts[:, None]) & (index < starts[:, None] + length)
        if length <= 4:
            return
        length = max(4, length // 2)


def _superpose_many(
    moving: np.ndarray, fixed: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`superpose` for every row of weights [F, N]: rotations [F, 3, 3], translations [F, 3]."""
    total = weights.sum(1, keepdims=True)
    centre_moving, centre_fixed = weights @ moving / total, weights @ fixed / total
    outer = (moving[:, :, None] * fixed[:, None, :]).reshape(len(moving), 9)
    covariance = (weights @ outer).reshape(-1, 3, 3)
    covariance -= total[:, :, None] * centre_moving[:, :, None] * centre_fixed[:, None, :]
    left, _, right = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= np.where(sign == 0, 1.0, sign)[:, None]
    rotation = (left @ right).transpose(0, 2, 1)
    return rotation, centre_fixed - np.einsum("fij,fj->fi", rotation, centre_moving)


def tm_score(model: np.ndarray, truth: np.ndarray, *, aligned: bool = True) -> float:
    """TM-score, 0 to 1, normalised by the truth's resolved length, over CA atoms [N, 3].

    Args:
        model: [N, 3] (or [M, 3] when not aligned).
        truth: [N, 3].
        aligned: residue i of one is residue i of the other; otherwise TM-align (tmtools) finds
            the alignment.
    """
    if aligned:
        return superposed(model, truth).tm_score
    from tmtools import tm_align

    model, truth = (np.asarray(points, np.float64) for points in (model, truth))
    model, truth = (points[np.isfinite(points).all(1)] for points in (model, truth))
    letters = ("A" * len(model), "A" * len(truth))
    return float(tm_align(model, truth, *letters).tm_norm_chain2)
