"""AlphaFold's input features from an alignment, and from templates.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.6 (masked MSA), 1.2.7 (clustering) and 1.2.9
(features): the query and random rows become cluster centres, the other rows are counted into the
nearest centre and some of them kept as extra sequences. All randomness comes from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein import residues
from sciml.protein.alignment import Alignment
from sciml.protein.residues import GAP

MASK = 22
"""Class of a cell that is hidden from the network."""
Features = dict[str, np.ndarray]


@dataclass(frozen=True)
class FeatureConfig:
    """How an alignment becomes features."""

    clusters: Annotated[int, Range(min=1)] = 512
    """Rows of the main alignment."""
    extra: Annotated[int, Range(min=1)] = 1024
    """Extra sequences (5120 in models 1, 3 and 4, 1024 in models 2 and 5)."""
    masked: Annotated[float, Range(min=0, max=1)] = 0.15
    """Share of cells that are hidden or replaced, as in training."""
    templates: Annotated[int, Range(min=0)] = 4
    """Most templates."""


DEFAULT_FEATURES = FeatureConfig()


def sequence_features(types: np.ndarray, index: np.ndarray | None = None) -> Features:
    """Features of the sequence alone: types [N] 0..20, residue numbers [N]."""
    n = len(types)
    types = np.minimum(types, residues.UNKNOWN).astype(np.int64)
    features: Features = {
        "aatype": types,
        "residue_index": np.arange(n) if index is None else np.asarray(index, np.int64),
        "seq_mask": np.ones(n, np.float32),
        "target_feat": np.zeros((n, 22), np.float32),
    }
    # The first channel marks domain breaks, which single chains do not have.
    features["target_feat"][np.arange(n), types + 1] = 1
    return features


def deletion_value(counts: np.ndarray) -> np.ndarray:
    """Deletion counts on a scale from 0 to 1."""
    return (np.arctan(counts / 3.0) * (2 / np.pi)).astype(np.float32)


def msa_features(
    alignment: Alignment, config: FeatureConfig = DEFAULT_FEATURES, seed: int = 0
) -> Features:
    """Main and extra alignment features.

    Args:
        alignment: the query first and without gaps.
        config: sizes and masking.
        seed: of the choice of rows and of masked cells; use another one for each recycle.
    """
    rng = np.random.default_rng(seed)
    depth, n = alignment.rows.shape
    order = np.r_[0, 1 + rng.permutation(depth - 1)] if depth > 1 else np.zeros(1, int)
    centre, rest = order[: config.clusters], order[config.clusters :]
    rows = alignment.rows.astype(np.int64)
    deletions = np.zeros(rows.shape, np.float32)
    if alignment.deletions is not None:
        deletions[:] = alignment.deletions
    true = rows[centre]
    shown, hidden = mask_cells(true, profile(rows), config.masked, rng)

    extra = rest[: config.extra]
    assigned = nearest_centre(shown, rows[extra]) if len(extra) else np.zeros(0, int)
    counts = np.ones((len(centre), n), np.float32)
    summary = np.eye(23, dtype=np.float32)[shown]
    removed = deletions[centre].copy()
    for kind in range(22):
        np.add.at(summary[..., kind], assigned, (rows[extra] == kind).astype(np.float32))
    np.add.at(counts, assigned, 1.0)
    np.add.at(removed, assigned, deletions[extra])
    summary /= counts[..., None]

    feature = np.concatenate(
        [
            np.eye(23, dtype=np.float32)[shown],
            np.minimum(deletions[centre], 1)[..., None],
            deletion_value(deletions[centre])[..., None],
            summary,
            deletion_value(removed / counts)[..., None],
        ],
        -1,
    )
    if not len(extra):  # one masked row keeps every shape valid
        blank = np.zeros((1, n), np.int64)
        extra_rows, extra_mask, extra_deletions = blank, blank.astype(np.float32), blank * 0.0
    else:
        extra_rows, extra_deletions = rows[extra], deletions[extra]
        extra_mask = np.ones(extra_rows.shape, np.float32)
    return {
        "msa_feat": feature.astype(np.float32),
        "msa_mask": np.ones(true.shape, np.float32),
        "true_msa": true,
        "bert_mask": hidden.astype(np.float32),
        "extra_msa": extra_rows,
        "extra_msa_mask": extra_mask,
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


def nearest_centre(centres: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[E] the centre that agrees with each row in most residues (gaps and masks do not count)."""
    classes = 21
    flat = np.zeros((len(centres), centres.shape[1] * classes), np.float32)
    at = np.arange(centres.shape[1]) * classes
    for number, row in enumerate(centres):
        known = row < classes
        flat[number, at[known] + row[known]] = 1
    best = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512]
        onehot = np.zeros((len(part), flat.shape[1]), np.float32)
        r, c = np.nonzero(part < classes)
        onehot[r, at[c] + part[r, c]] = 1
        best[start : start + 512] = (onehot @ flat.T).argmax(1)
    return best


@dataclass
class Template:
    """A structure aligned to the query.

    Attributes:
        types: [N] residue types of the template at each query residue, 21 where it has a gap.
        atoms: [N, 37, 3] [A], 0 where missing.
        mask: [N, 37].
        name: for reports.
        weight: confidence of the alignment, e.g. HHsearch's sum of probabilities.
    """

    types: np.ndarray
    atoms: np.ndarray
    mask: np.ndarray
    name: str = "template"
    weight: float = 1.0


def template_features(templates: list[Template], n: int, most: int = 4) -> Features:
    """Template features, padded to `most` with masked templates; empty if `most` is 0."""
    if not most:
        return {}
    templates = sorted(templates, key=lambda t: -t.weight)[:most]
    found: Features = {
        "template_aatype": np.zeros((most, n), np.int64),
        "template_mask": np.zeros(most, np.float32),
        "template_all_atom_positions": np.zeros((most, n, 37, 3), np.float32),
        "template_all_atom_masks": np.zeros((most, n, 37), np.float32),
        "template_pseudo_beta": np.zeros((most, n, 3), np.float32),
        "template_pseudo_beta_mask": np.zeros((most, n), np.float32),
    }
    for t, template in enumerate(templates):
        if template.types.shape != (n,) or template.atoms.shape != (n, 37, 3):
            raise InputError(
                f"has {len(template.types)} residues, the query has {n}", where=template.name
            )
        glycine = template.types == residues.RESIDUES.index("G")
        beta = np.where(glycine, 1, residues.ATOM37_INDEX["CB"])
        rows = np.arange(n)
        found["template_aatype"][t] = np.minimum(template.types, GAP)
        found["template_mask"][t] = 1
        found["template_all_atom_positions"][t] = template.atoms
        found["template_all_atom_masks"][t] = template.mask
        found["template_pseudo_beta"][t] = template.atoms[rows, beta]
        found["template_pseudo_beta_mask"][t] = template.mask[rows, beta]
    return found


def features(
    alignment: Alignment,
    config: FeatureConfig = DEFAULT_FEATURES,
    *,
    seed: int = 0,
    templates: list[Template] | None = None,
    use_templates: bool = True,
) -> Features:
    """All features of a query with its alignment (its first row gives sequence and columns)."""
    alignment = alignment.with_query(0).deduplicate()
    found = sequence_features(alignment.rows[0].astype(np.int64))
    found |= msa_features(alignment, config, seed)
    if use_templates and config.templates:
        found |= template_features(templates or [], alignment.columns, config.templates)
    return found
