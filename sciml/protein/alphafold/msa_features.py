"""AlphaFold's features of an alignment: masked cluster centres, cluster profiles, extra sequences.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.7: the query and random rows become cluster
centres, of which some cells are masked; the other rows are counted into the profile of the nearest
centre, and some of them are kept as extra sequences. All randomness comes from one seed.
"""

from __future__ import annotations

import numpy as np

from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES, FeatureConfig
from sciml.protein.io.alignment import Alignment

Features = dict[str, np.ndarray]
CLASSES = 23
"""Residues, unknown, gap and mask."""
MASK = CLASSES - 1
"""Class of a masked cell."""
RESIDUE_CLASSES = 21
"""Classes whose agreement counts for the nearest centre; gaps and masked cells do not."""


def deletion_value(counts: np.ndarray) -> np.ndarray:
    """Deletion counts on a scale from 0 to 1."""
    return (np.arctan(counts / 3.0) * (2 / np.pi)).astype(np.float32)


def msa_features(
    alignment: Alignment, config: FeatureConfig = DEFAULT_FEATURES, seed: int = 0
) -> Features:
    """Features of the cluster centres and of the extra sequences.

    Args:
        alignment: the query first and without gaps.
        config: sizes and masking.
        seed: of the choice of rows and of masked cells; use another one for each recycle.
    """
    rng = np.random.default_rng(seed)
    rows = alignment.rows
    depth, n = rows.shape
    order = np.r_[0, 1 + rng.permutation(depth - 1)] if depth > 1 else np.zeros(1, int)
    centre, rest = order[: config.clusters], order[config.clusters :]

    def deletions(chosen: np.ndarray) -> np.ndarray:
        if alignment.deletions is None:
            return np.zeros((len(chosen), n), np.float32)
        return alignment.deletions[chosen].astype(np.float32)

    true, own = rows[centre].astype(np.int64), deletions(centre)
    shown, hidden = mask_cells(true, profile(rows), config.masked, rng)

    # All other rows are counted into their nearest centres; only then some of them are kept.
    summary, removed = np.eye(CLASSES, dtype=np.float32)[shown], own.copy()
    counts = np.ones((len(centre), 1), np.float32)
    centres = centre_planes(shown)
    for start in range(0, len(rest), 2048):
        part = rest[start : start + 2048]
        nearest = nearest_centre(centres, rows[part])
        counts[:, 0] += np.bincount(nearest, minlength=len(centre))
        cells = (nearest[:, None] * n + np.arange(n)) * CLASSES + rows[part]
        summary += np.bincount(cells.ravel(), minlength=summary.size).reshape(summary.shape)
        if alignment.deletions is not None:
            np.add.at(removed, nearest, deletions(part))
    summary /= counts[..., None]

    extra = rest[: config.extra]
    feature = np.concatenate(
        [
            np.eye(CLASSES, dtype=np.float32)[shown],
            np.minimum(own, 1)[..., None],
            deletion_value(own)[..., None],
            summary,
            deletion_value(removed / counts)[..., None],
        ],
        -1,
    )
    # One masked row where there are none keeps every shape valid.
    extra_rows = rows[extra].astype(np.int64) if len(extra) else np.zeros((1, n), np.int64)
    extra_deletions = deletions(extra) if len(extra) else np.zeros((1, n), np.float32)
    return {
        "msa_feat": feature.astype(np.float32),
        "msa_mask": np.ones(true.shape, np.float32),
        "true_msa": true,
        "bert_mask": hidden.astype(np.float32),
        "extra_msa": extra_rows,
        "extra_msa_mask": np.full(extra_rows.shape, float(len(extra) > 0), np.float32),
        "extra_has_deletion": np.minimum(extra_deletions, 1).astype(np.float32),
        "extra_deletion_value": deletion_value(extra_deletions),
    }


def profile(rows: np.ndarray) -> np.ndarray:
    """[N, 22] share of each class in each column, every row counted once."""
    return np.stack([(rows == kind).mean(0) for kind in range(22)], -1)


def mask_cells(
    rows: np.ndarray, columns: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hide cells: 70 % by the mask class, 10 % each by a random residue, the profile, themselves.

    Returns:
        rows [S, N] as shown to the network, and which cells were chosen.
    """
    chosen = rng.random(rows.shape) < share
    uniform = np.r_[np.full(20, 0.05), 0, 0]
    weights = 0.1 * uniform + 0.1 * columns  # [N, 22]
    total = np.concatenate(
        [
            np.broadcast_to(weights, (*rows.shape, 22)) + 0.1 * np.eye(22)[rows],
            np.full((*rows.shape, 1), 0.7),
        ],
        -1,
    )
    edges = total.cumsum(-1)
    drawn = (rng.random((*rows.shape, 1)) * edges[..., -1:] > edges).sum(-1)
    return np.where(chosen, np.minimum(drawn, MASK), rows), chosen


def centre_planes(centres: np.ndarray) -> np.ndarray:
    """Cluster centres [S, N] as `nearest_centre` wants them: one-hot, [N * 21, S]."""
    return np.ascontiguousarray(residue_planes(centres).T)


def residue_planes(rows: np.ndarray) -> np.ndarray:
    """Rows [E, N] one-hot, [E, N * 21]; gaps and masked cells are zeros."""
    onehot = np.zeros((len(rows), rows.shape[1] * RESIDUE_CLASSES), np.float32)
    row, column = np.nonzero(rows < RESIDUE_CLASSES)
    onehot[row, column * RESIDUE_CLASSES + rows[row, column]] = 1
    return onehot


def nearest_centre(planes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[E] the centre that agrees with each row [E, N] in most residues."""
    return (residue_planes(rows) @ planes).argmax(1)
