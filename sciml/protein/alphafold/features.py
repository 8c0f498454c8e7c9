"""AlphaFold's input features from an alignment, and from templates.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.7 (masking and clustering) and 1.2.9
(features): the query and random rows become cluster centres, the other rows are counted into the
nearest centre and some of them kept as extra sequences. All randomness comes from one seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP

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


def published(name: str, templates: bool) -> FeatureConfig:
    """The sizes that a published model was trained with (supplement, tables 4 and 5).

    Args:
        name: of the parameters, such as params_model_1_ptm of AlphaFold or finetuning_ptm_2 of
            OpenFold; others get the smaller sizes.
        templates: whether the model takes templates, whose rows then replace four clusters.
    """
    many = re.search(r"model_[134](?!\d)|finetuning", name) is not None
    return FeatureConfig(clusters=508 if templates else 512, extra=5120 if many else 1024)


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
    summary, removed = np.eye(23, dtype=np.float32)[shown], own.copy()
    counts = np.ones((len(centre), 1), np.float32)
    centres = centre_planes(shown)
    for start in range(0, len(rest), 2048):
        part = rest[start : start + 2048]
        nearest = nearest_centre(centres, rows[part])
        counts[:, 0] += np.bincount(nearest, minlength=len(centre))
        cells = (nearest[:, None] * n + np.arange(n)) * 23 + rows[part]
        summary += np.bincount(cells.ravel(), minlength=summary.size).reshape(summary.shape)
        if alignment.deletions is not None:
            np.add.at(removed, nearest, deletions(part))
    summary /= counts[..., None]

    extra = rest[: config.extra]
    feature = np.concatenate(
        [
            np.eye(23, dtype=np.float32)[shown],
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


RESIDUE_CLASSES = 21
"""Classes whose agreement counts; gaps and masked cells do not."""


def centre_planes(centres: np.ndarray) -> np.ndarray:
    """Cluster centres [S, N] as `nearest_centre` wants them: one-hot, [N * 21, S]."""
    size, n = centres.shape
    flat = np.zeros((size, n * RESIDUE_CLASSES), np.float32)
    row, column = np.nonzero(centres < RESIDUE_CLASSES)
    flat[row, column * RESIDUE_CLASSES + centres[row, column]] = 1
    return np.ascontiguousarray(flat.T)


def nearest_centre(planes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[E] the centre that agrees with each row [E, N] in most residues."""
    onehot = np.zeros((len(rows), len(planes)), np.float32)
    row, column = np.nonzero(rows < RESIDUE_CLASSES)
    onehot[row, column * RESIDUE_CLASSES + rows[row, column]] = 1
    return (onehot @ planes).argmax(1)


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
