"""What an alignment says about its columns and pairs of columns, as numbers a network can take.

Profiles and conservation for a column; for a pair pseudo-likelihood and mean-field couplings,
mutual information, and how the couplings go with hydropathy, charge and volume. Scores are divided
by their own spread, so that shallow and deep alignments look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.protein.contacts import dca
from sciml.protein.contacts.pseudolikelihood import WORK, pseudo_likelihood
from sciml.protein.contacts.synthetic_families import CHARGE, HYDROPATHY, VOLUME
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP

SEPARATIONS = np.array([1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 48])
NODE_FEATURES = 26
NOISY = 9
"""The first so many pair features are scores; training adds noise to them."""
PAIR_SCORES = NOISY + 2
"""The first so many pair features come from the sequences; the others say where the pair is."""
PAIR_FEATURES = PAIR_SCORES + len(SEPARATIONS) + 1 + 2


@dataclass
class ContactFeatures:
    """Inputs of the contact network.

    Attributes:
        nodes: [C, 26] float32: profile of 20 residues and the gap, entropy, mean coupling, place in
            the chain from either end, gap share of the neighbours.
        pairs: [C, C, 25] float32: pseudo-likelihood scores (corrected, not, ranks), mean-field
            scores (corrected, not), mutual information, physico-chemical parts of the couplings,
            joint gaps, gaps, separation classes, depth and length.
        dca: [C, C] the corrected mean-field scores themselves.
        plm: [C, C] the corrected pseudo-likelihood scores themselves.
        neff: effective number of sequences.
    """

    nodes: np.ndarray
    pairs: np.ndarray
    dca: np.ndarray
    plm: np.ndarray
    neff: float

    def write(self, path: str | Path, cb: np.ndarray | None = None) -> None:
        """Keep them (pair features in half precision), and CB positions [C, 3], in a .npz file."""
        from sciml.paths import atomic_write

        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                nodes=self.nodes,
                pairs=self.pairs.astype(np.float16),
                dca=self.dca.astype(np.float32),
                plm=self.plm.astype(np.float32),
                neff=self.neff,
                cb=np.zeros((0, 3), np.float32) if cb is None else cb.astype(np.float32),
            )

    @classmethod
    def read(cls, path: str | Path) -> tuple[ContactFeatures, np.ndarray]:
        """What `write` kept: the features, and the CB positions (none: [0, 3])."""
        with np.load(path) as file:
            pairs = file["pairs"].astype(np.float32)
            found = cls(file["nodes"], pairs, file["dca"], file["plm"], float(file["neff"]))
            return found, file["cb"]

    def without_scores(self) -> ContactFeatures:
        """Profiles and places only: what pairs of columns say together is 0."""
        pairs = self.pairs.copy()
        pairs[..., :PAIR_SCORES] = 0
        nodes = self.nodes.copy()
        nodes[:, 22] = 0  # the mean coupling
        return ContactFeatures(nodes, pairs, 0 * self.dca, 0 * self.plm, self.neff)


def standardised(scores: np.ndarray) -> np.ndarray:
    """Minus the median and over the spread of pairs six or more apart, cut to -4..12."""
    far = np.triu_indices(len(scores), min(6, max(1, len(scores) - 1)))
    values = scores[far]
    if not len(values):
        return np.zeros_like(scores)
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle)) + 1e-9
    found = np.clip((scores - middle) / spread, -4, 12)
    np.fill_diagonal(found, 0)
    return found


def cost(depth: int, columns: int) -> tuple[float, float]:
    """About how long `contact_features` takes [s of a core] and its peak memory [bytes]."""
    seconds = 8e-7 * columns**3 + 2.5e-7 * min(depth * columns**2, WORK)
    return seconds, 17_000 * columns**2


def contact_features(alignment: Alignment, separation: np.ndarray | None = None) -> ContactFeatures:
    """Features of every column and pair of columns.

    Args:
        alignment: any depth; one row has no couplings.
        separation: [C] residue number of each column; 0..C-1 if None.
    """
    single, pairs, neff = dca.pair_frequencies(alignment)
    plain = dca.couple(single, pairs, neff)
    columns = len(single)
    information = dca.average_product_correction(dca.mutual_information(single, pairs))
    joint_gap = pairs.reshape(columns, 21, columns, 21)[:, -1, :, -1]
    gap = single[:, -1]
    gap_excess = joint_gap - np.outer(gap, gap)
    couplings = pseudo_likelihood(alignment)
    raw = dca.frobenius(couplings)
    raw = 0.5 * (raw + raw.T)  # equal but for rounding, which the ranks would show
    scores = dca.average_product_correction(raw)
    physics = []
    spread = np.sqrt((couplings**2).mean()) + 1e-9
    for scale in (HYDROPATHY, CHARGE, VOLUME):
        unit = (scale / np.linalg.norm(scale)).astype(np.float32)
        physics.append(np.einsum("ijab,a,b->ij", couplings, unit, unit, optimize=True))
    physics = [np.clip(part / spread, -15, 15) / 3 for part in physics]

    index = np.arange(columns) if separation is None else np.asarray(separation)
    away = np.abs(index[:, None] - index[None])
    classes = np.searchsorted(SEPARATIONS, away, side="right")
    strong = standardised(scores)
    features = np.zeros((columns, columns, PAIR_FEATURES), np.float32)
    features[..., 0] = strong
    features[..., 1] = standardised(raw)
    features[..., 2] = _ranks(scores, columns)
    features[..., 3] = standardised(plain.scores)
    features[..., 4] = standardised(plain.raw)
    features[..., 5] = standardised(information)
    features[..., 6:9] = np.stack(physics, -1)
    features[..., 9] = gap_excess * 10
    features[..., 10] = np.maximum(gap[:, None], gap[None])
    features[..., PAIR_SCORES:-2] = np.eye(len(SEPARATIONS) + 1)[classes]
    features[..., -2] = np.log(max(neff, 1.0)) / 4 - 1.5
    features[..., -1] = np.log(columns) / 2 - 2.2

    nodes = np.zeros((columns, NODE_FEATURES), np.float32)
    nodes[:, :21] = single
    nodes[:, 21] = -(single * np.log(single + 1e-9)).sum(1) / np.log(21)
    nodes[:, 22] = strong.mean(1)
    ends = np.minimum(index - index.min(), 20), np.minimum(index.max() - index, 20)
    nodes[:, 23], nodes[:, 24] = ends[0] / 20, ends[1] / 20
    padded = np.pad(gap, 2, mode="edge")
    nodes[:, 25] = np.convolve(padded, np.ones(5) / 5, "valid")
    return ContactFeatures(nodes, features, plain.scores, scores, neff)


def _ranks(scores: np.ndarray, columns: int) -> np.ndarray:
    """log10 of (rank over length) of each pair six or more apart, best first, over -2..2."""
    row, column = np.triu_indices(columns, min(6, max(1, columns - 1)))
    order = np.argsort(-scores[row, column], kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(1, len(order) + 1)
    found = np.zeros_like(scores)
    found[row, column] = np.clip(np.log10(place / columns), -2, 2)
    return found + found.T


__all__ = ["GAP", "ContactFeatures", "contact_features", "standardised"]
