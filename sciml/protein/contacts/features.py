"""Features of the columns and the pairs of columns of an alignment, for the contact network.

Profiles and conservation of a column; of a pair pseudo-likelihood and mean-field couplings, mutual
information, and the parts of the couplings along hydropathy, charge and volume. Scores are divided
by their own spread, so that shallow and deep alignments have features of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.protein.contacts import dca
from sciml.protein.contacts.pseudolikelihood import WORK, pseudo_likelihood
from sciml.protein.contacts.synthetic_families import CHARGE, HELIX, HYDROPATHY, STRAND, VOLUME
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import RESIDUES

SEPARATIONS = np.array([1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 48])
"""Edges of the classes of separation along the chain [residues]."""

# Features of a column.
PROFILE = 21
"""The first so many are the frequencies of the 20 residues and the gap."""
ENTROPY, MEAN_COUPLING, FROM_START, FROM_END, GAPS_AROUND = range(PROFILE, PROFILE + 5)
NODE_FEATURES = PROFILE + 5

# Features of a pair of columns.
PLM, PLM_RAW, PLM_RANK, MEAN_FIELD, MEAN_FIELD_RAW, INFORMATION = range(6)
PHYSICS = slice(6, 9)
"""Couplings along hydropathy, charge and volume."""
NOISY = 9
"""The first so many pair features are scores; training adds noise to them."""
JOINT_GAPS, GAPS = 9, 10
PAIR_SCORES = NOISY + 2
"""The first so many pair features come from the sequences; the others from the positions."""
SEPARATION = slice(PAIR_SCORES, PAIR_SCORES + len(SEPARATIONS) + 1)
DEPTH, LENGTH = SEPARATION.stop, SEPARATION.stop + 1
PAIR_FEATURES = LENGTH + 1

RINGS, CYSTEINE = (np.isin(list(RESIDUES), list(kind)) * 1.0 for kind in ("FWYH", "C"))
PROPERTIES = np.stack([HYDROPATHY, CHARGE, VOLUME, HELIX, STRAND, RINGS, CYSTEINE], 1)
"""[20, 7] properties of residues, along which the couplings of a pair are given."""
COUPLINGS = PROPERTIES.shape[1] ** 2
"""Further features of a pair, where the network takes them: its couplings along two properties."""

NEAR_END = 20
"""Distances from the ends of the chain are clipped at this [residues]."""


@dataclass
class ContactFeatures:
    """Inputs of the contact network.

    Attributes:
        nodes: [C, 26] float32: profile of 20 residues and the gap, entropy, mean coupling, distance
            from either end of the chain, share of gaps around the column.
        pairs: [C, C, 25] float32: pseudo-likelihood scores (corrected, raw, ranks), mean-field
            scores (corrected, raw), mutual information, physico-chemical parts of the couplings,
            joint gaps, gaps, separation classes, depth and length.
        dca: [C, C] the corrected mean-field scores themselves.
        plm: [C, C] the corrected pseudo-likelihood scores themselves.
        neff: effective number of sequences.
        couplings: [C, C, 49] float32 pseudo-likelihood couplings along each two of `PROPERTIES`, of
            the row's and of the column's residue; None where they were not asked for.
    """

    nodes: np.ndarray
    pairs: np.ndarray
    dca: np.ndarray
    plm: np.ndarray
    neff: float
    couplings: np.ndarray | None = None

    def write(self, path: str | Path, cb: np.ndarray | None = None) -> None:
        """Save them (pairs in half precision), with CB positions [C, 3] if given, as .npz."""
        from sciml.paths import atomic_write

        arrays: dict[str, Any] = {
            "nodes": self.nodes,
            "pairs": self.pairs.astype(np.float16),
            "dca": self.dca.astype(np.float32),
            "plm": self.plm.astype(np.float32),
            "neff": self.neff,
            "cb": np.zeros((0, 3), np.float32) if cb is None else cb.astype(np.float32),
        }
        if self.couplings is not None:
            arrays["couplings"] = self.couplings.astype(np.float16)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: str | Path) -> tuple[ContactFeatures, np.ndarray]:
        """The features, and the CB positions ([0, 3] if none), from a file of `write`."""
        with np.load(path) as file:
            pairs = file["pairs"].astype(np.float32)
            features = cls(file["nodes"], pairs, file["dca"], file["plm"], float(file["neff"]))
            if "couplings" in file:
                features.couplings = file["couplings"].astype(np.float32)
            return features, file["cb"]

    def without_scores(self) -> ContactFeatures:
        """Profiles and positions only: everything computed from pairs of columns is 0."""
        pairs = self.pairs.copy()
        pairs[..., :PAIR_SCORES] = 0
        nodes = self.nodes.copy()
        nodes[:, MEAN_COUPLING] = 0
        couplings = None if self.couplings is None else 0 * self.couplings
        return ContactFeatures(nodes, pairs, 0 * self.dca, 0 * self.plm, self.neff, couplings)


def standardised(scores: np.ndarray) -> np.ndarray:
    """Robust z-scores [C, C], by median and MAD of pairs six or more apart, clipped to -4..12."""
    far = np.triu_indices(len(scores), min(6, max(1, len(scores) - 1)))
    values = scores[far]
    if not len(values):
        return np.zeros_like(scores)
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle)) + 1e-9
    standard = np.clip((scores - middle) / spread, -4, 12)
    np.fill_diagonal(standard, 0)
    return standard


def cost(depth: int, columns: int) -> tuple[float, float]:
    """Estimated CPU time of `contact_features` [s] and its peak memory [bytes]."""
    seconds = 8e-7 * columns**3 + 2.5e-7 * min(depth * columns**2, WORK)
    return seconds, 17_000 * columns**2


def contact_features(
    alignment: Alignment, separation: np.ndarray | None = None, couplings: bool = False
) -> ContactFeatures:
    """Features of every column and pair of columns.

    Args:
        alignment: any depth; one row has no couplings.
        separation: [C] residue number of each column; 0..C-1 if None.
        couplings: give also the couplings along properties of residues.
    """
    single, pairs, neff = dca.pair_frequencies(alignment)
    plain = dca.couple(single, pairs, neff)
    columns = len(single)
    information = dca.average_product_correction(dca.mutual_information(single, pairs))
    joint_gap = pairs.reshape(columns, 21, columns, 21)[:, -1, :, -1]
    gap = single[:, -1]
    gap_excess = joint_gap - np.outer(gap, gap)
    fitted = pseudo_likelihood(alignment)
    raw = dca.frobenius(fitted)
    raw = 0.5 * (raw + raw.T)  # symmetric but for rounding, which the ranks would show
    scores = dca.average_product_correction(raw)
    physics = []
    spread = np.sqrt((fitted**2).mean()) + 1e-9
    for scale in (HYDROPATHY, CHARGE, VOLUME):
        unit = (scale / np.linalg.norm(scale)).astype(np.float32)
        physics.append(np.einsum("ijab,a,b->ij", fitted, unit, unit, optimize=True))
    physics = [np.clip(part / spread, -15, 15) / 3 for part in physics]

    index = np.arange(columns) if separation is None else np.asarray(separation)
    away = np.abs(index[:, None] - index[None])
    classes = np.searchsorted(SEPARATIONS, away, side="right")
    strong = standardised(scores)
    features = np.zeros((columns, columns, PAIR_FEATURES), np.float32)
    features[..., PLM] = strong
    features[..., PLM_RAW] = standardised(raw)
    features[..., PLM_RANK] = _log_ranks(scores, columns)
    features[..., MEAN_FIELD] = standardised(plain.scores)
    features[..., MEAN_FIELD_RAW] = standardised(plain.raw)
    features[..., INFORMATION] = standardised(information)
    features[..., PHYSICS] = np.stack(physics, -1)
    features[..., JOINT_GAPS] = gap_excess * 10
    features[..., GAPS] = np.maximum(gap[:, None], gap[None])
    features[..., SEPARATION] = np.eye(len(SEPARATIONS) + 1)[classes]
    features[..., DEPTH] = np.log(max(neff, 1.0)) / 4 - 1.5
    features[..., LENGTH] = np.log(columns) / 2 - 2.2

    nodes = np.zeros((columns, NODE_FEATURES), np.float32)
    nodes[:, :PROFILE] = single
    nodes[:, ENTROPY] = -(single * np.log(single + 1e-9)).sum(1) / np.log(PROFILE)
    nodes[:, MEAN_COUPLING] = strong.mean(1)
    ends = np.stack([index - index.min(), index.max() - index], 1)
    nodes[:, [FROM_START, FROM_END]] = relative_to_ends(ends)
    padded = np.pad(gap, 2, mode="edge")
    nodes[:, GAPS_AROUND] = np.convolve(padded, np.ones(5) / 5, "valid")
    along = _along_properties(fitted, spread) if couplings else None
    return ContactFeatures(nodes, features, plain.scores, scores, neff, along)


def _along_properties(fitted: np.ndarray, spread: float) -> np.ndarray:
    """[C, C, 20, 20] couplings, the gap as zero state -> [C, C, 49] along orthogonal properties.

    Properties are made orthogonal to each other and to the constant: the gauge plays no part.
    """
    basis = np.linalg.qr(np.column_stack([np.ones(20), PROPERTIES]))[0][:, 1:].astype(np.float32)
    along = np.einsum("ijab,ap,bq->ijpq", fitted, basis, basis, optimize=True)
    return np.clip(along.reshape(*fitted.shape[:2], COUPLINGS) / (3 * spread), -5, 5)


def relative_to_ends(ends: np.ndarray) -> np.ndarray:
    """[C, 2] columns from the two ends of the chain -> the features FROM_START and FROM_END."""
    return np.minimum(ends, NEAR_END) / NEAR_END


def _log_ranks(scores: np.ndarray, columns: int) -> np.ndarray:
    """log10 of (rank / length) of each pair six or more apart, best first, clipped to -2..2."""
    row, column = np.triu_indices(columns, min(6, max(1, columns - 1)))
    order = np.argsort(-scores[row, column], kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    ranks = np.zeros_like(scores)
    ranks[row, column] = np.clip(np.log10(rank / columns), -2, 2)
    return ranks + ranks.T
