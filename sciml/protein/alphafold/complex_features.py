"""AlphaFold-Multimer's input features of a complex, from the rows of its chains.

Evans et al., bioRxiv 2021.10.04.463034, sections 2 and 7: chains stand side by side, and three
numbers a residue tell them apart. `asym_id` counts chains, `entity_id` distinct sequences, `sym_id`
the copies of one, all from 1 and 0 in the padding. The first rows of the alignment are cluster
centres, the others are counted into the profiles of the nearest ones; unlike the monomer's, a row
with several nearest centres is shared among them, and counts as often as it has columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError
from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES, FeatureConfig
from sciml.protein.alphafold.msa_features import (
    CLASSES,
    Features,
    centre_planes,
    deletion_value,
    mask_cells,
    profile,
    residue_planes,
)
from sciml.protein.alphafold.templates import Template, template_features
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import Complex

CHAIN_BREAK = 200
"""Added to the residue numbers of each further chain, by which a monomer's network sees a gap."""
CHAIN_KEYS = ("asym_id", "entity_id", "sym_id")
RAW_KEYS = ("msa", "msa_mask", "deletion_matrix")


@dataclass(frozen=True)
class ChainNumbers:
    """Which chain each of [N] residues is of.

    Attributes:
        asym_id: number of the chain.
        entity_id: number of its sequence.
        sym_id: which copy of this sequence it is.
        residue_index: number of the residue in its chain, from 0.
    """

    asym_id: np.ndarray
    entity_id: np.ndarray
    sym_id: np.ndarray
    residue_index: np.ndarray

    @classmethod
    def of(cls, entities: list[tuple[int, int]]) -> ChainNumbers:
        """Of sequences with their length and number of copies; copies stand together."""
        columns: list[list[np.ndarray]] = [[], [], [], []]
        asym = 0
        for entity, (length, copies) in enumerate(entities, 1):
            for copy in range(1, copies + 1):
                asym += 1
                for column, number in zip(columns, (asym, entity, copy), strict=False):
                    column.append(np.full(length, number, np.int64))
                columns[3].append(np.arange(length))
        return cls(*(np.concatenate(column) for column in columns))

    @property
    def numbers(self) -> np.ndarray:
        """[N, 3] of each residue its chain, that chain's sequence, and its place in the chain."""
        return np.stack([self.asym_id, self.entity_id, self.residue_index], 1)

    @property
    def lengths(self) -> list[int]:
        """Residues of each chain."""
        return [int(n) for n in np.bincount(self.asym_id)[1:]]

    def broken(self) -> np.ndarray:
        """[N] residue numbers through all chains with a gap between two of them."""
        return np.arange(len(self.asym_id)) + CHAIN_BREAK * (self.asym_id - 1)


def chain_numbers(of: Complex) -> ChainNumbers:
    """The numbers of a complex's chains."""
    return ChainNumbers.of([(len(chain.sequence), chain.copies) for chain in of.chains])


def complex_features(
    alignment: Alignment,
    chains: ChainNumbers,
    config: FeatureConfig = DEFAULT_FEATURES,
    *,
    seed: int = 0,
    templates: list[Template] | None = None,
) -> Features:
    """All features of a complex for AlphaFold-Multimer.

    Args:
        alignment: of the whole complex, the query first.
        chains: of its columns.
        config: sizes and masking.
        seed: of the choice of rows and of masked cells; use another one for each recycle.
        templates: aligned to the whole complex, of one chain or several.
    """
    rng = np.random.default_rng(seed)
    depth, n = alignment.rows.shape
    if len(chains.asym_id) != n:
        raise InputError(f"the chains have {len(chains.asym_id)} residues, the alignment {n}")
    order = np.r_[0, 1 + rng.permutation(depth - 1)].astype(np.int64)
    rows = alignment.rows[order].astype(np.int64)
    true = rows[: config.clusters].copy()
    shown, hidden = mask_cells(true, profile(rows), config.masked, rng)
    rows[: config.clusters] = shown
    deletions = np.zeros(rows.shape, np.float32)
    if alignment.deletions is not None:
        deletions = alignment.deletions[order].astype(np.float32)
    types = np.minimum(alignment.rows[0], residues.UNKNOWN).astype(np.int64)
    batch: Features = {
        "aatype": types,
        "seq_mask": np.ones(n, np.float32),
        "msa": rows,
        "msa_mask": np.ones(rows.shape, np.float32),
        "deletion_matrix": deletions,
        "residue_index": chains.residue_index,
        **{key: getattr(chains, key) for key in CHAIN_KEYS},
    }
    merged = merged_templates(templates or [], chains.asym_id)
    batch |= template_features(merged, n, config.templates)
    # Gaps of chains that a row skips were never seen, and are not learned from.
    for chain in np.unique(chains.asym_id):
        here = chains.asym_id == chain
        hidden[np.ix_((true[:, here] == residues.GAP).all(1), here)] = False
    return network_features(batch, config.clusters, config.extra) | {
        "true_msa": true,
        "bert_mask": hidden.astype(np.float32),
    }


def merged_templates(templates: Sequence[Template], asym_id: np.ndarray) -> list[Template]:
    """The templates of all chains side by side: the k-th has the k-th best of every chain.

    Where a chain has fewer, its residues are those of an empty template. The network sees no
    distances between chains, so that those of different structures may stand together.
    """
    parts: list[list[tuple[Template, np.ndarray]]] = []
    for chain in np.unique(asym_id):
        here = asym_id == chain
        own = [t for t in templates if (t.mask[here] > 0).any()]
        parts.append([(t, here) for t in sorted(own, key=lambda t: -t.weight)])
    merged = []
    for k in range(max(map(len, parts), default=0)):
        chosen = [part[k] for part in parts if len(part) > k]
        types = np.zeros(len(asym_id), np.int64)
        atoms = np.zeros((len(asym_id), 37, 3), np.float32)
        mask = np.zeros((len(asym_id), 37), np.float32)
        for template, here in chosen:
            types[here], atoms[here] = template.types[here], template.atoms[here]
            mask[here] = template.mask[here]
        names = dict.fromkeys(template.name for template, _ in chosen)
        merged.append(Template(types, atoms, mask, " ".join(names), weight=-float(k)))
    return merged


def network_features(
    batch: Mapping[str, np.ndarray], num_msa: int, num_extra_msa: int, templates: int = 0
) -> Features:
    """What the network takes, from rows that are already chosen and masked.

    Args:
        batch: aatype, residue_index, seq_mask, asym_id, entity_id, sym_id [N]; msa, msa_mask,
            deletion_matrix [M, N]; perhaps template_aatype, template_all_atom_positions and
            template_all_atom_mask.
        num_msa: the first rows, which are the cluster centres.
        num_extra_msa: the next ones, which are the extra sequences; all rows after the centres are
            counted into the profiles.
        templates: how many empty ones there are where the batch has none.
    """
    needed = ("aatype", "residue_index", "seq_mask", *CHAIN_KEYS, *RAW_KEYS)
    if missing := [key for key in needed if key not in batch]:
        raise InputError(f"the features lack {', '.join(missing)}")
    if num_msa < 1 or num_extra_msa < 1:
        raise InputError(f"num_msa and num_extra_msa must be 1 or more: {num_msa}, {num_extra_msa}")
    features: Features = {key: np.asarray(batch[key]) for key in needed if key not in RAW_KEYS}
    features = {k: v.astype("f4" if k == "seq_mask" else "i8") for k, v in features.items()}
    features["target_feat"] = np.eye(21, dtype=np.float32)[features["aatype"]]
    msa, mask, deletions = (np.asarray(batch[key]) for key in RAW_KEYS)
    msa, mask, deletions = msa.astype(np.int64), mask.astype("f4"), deletions.astype("f4")
    own, rest = slice(0, num_msa), slice(num_msa, None)
    clusters, removed = _clusters(
        msa[own], mask[own], deletions[own], msa[rest], mask[rest], deletions[rest]
    )
    features["msa_mask"] = mask[own]
    features["msa_feat"] = np.concatenate(
        [
            np.eye(CLASSES, dtype=np.float32)[msa[own]],
            np.clip(deletions[own], 0, 1)[..., None],
            deletion_value(deletions[own])[..., None],
            clusters,
            deletion_value(removed)[..., None],
        ],
        -1,
    )
    extra = slice(num_msa, num_msa + num_extra_msa)
    arrays = [msa[extra], mask[extra], deletions[extra]]
    if not len(arrays[0]):  # one masked row where there are none keeps every shape valid
        arrays = [np.zeros((1, msa.shape[1]), array.dtype) for array in arrays]
    features["extra_msa"], features["extra_msa_mask"] = arrays[0], arrays[1]
    features["extra_has_deletion"] = np.clip(arrays[2], 0, 1)
    features["extra_deletion_value"] = deletion_value(arrays[2])
    return features | _templates(batch, msa.shape[1], templates)


def _templates(batch: Mapping[str, np.ndarray], n: int, count: int) -> Features:
    """The templates of a batch, or empty ones, which say nothing but are averaged in."""
    if "template_aatype" not in batch:
        empty = template_features([], n, count)
        return {k: v for k, v in empty.items() if k in TEMPLATE_KEYS}
    masks = "template_all_atom_masks" if "template_all_atom_masks" in batch else None
    return {
        "template_aatype": np.asarray(batch["template_aatype"]).astype(np.int64),
        "template_all_atom_positions": np.asarray(batch["template_all_atom_positions"]),
        "template_all_atom_masks": np.asarray(batch[masks or "template_all_atom_mask"]),
    }


TEMPLATE_KEYS = ("template_aatype", "template_all_atom_positions", "template_all_atom_masks")


def _clusters(
    msa: np.ndarray,
    mask: np.ndarray,
    deletions: np.ndarray,
    rest: np.ndarray,
    rest_mask: np.ndarray,
    rest_deletions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Profiles [S, N, 23] and mean deletions [S, N] of the clusters."""
    summary = np.eye(CLASSES, dtype=np.float32)[msa] * mask[..., None]
    removed = deletions.copy()
    counts = np.ones(len(msa), np.float32)
    planes = centre_planes(np.where(mask > 0, msa, CLASSES - 1))
    for start in range(0, len(rest), 1024):
        part = slice(start, start + 1024)
        rows, seen = rest[part], rest_mask[part]
        agreement = residue_planes(np.where(seen > 0, rows, CLASSES - 1)) @ planes  # [E, S]
        nearest = agreement == agreement.max(1, keepdims=True)
        shares = nearest / nearest.sum(1, keepdims=True, dtype=np.float32)
        weight = (shares * (seen @ mask.T)).T.astype(np.float32)  # [S, E]
        counts += weight.sum(1)
        cells = np.eye(CLASSES, dtype=np.float32)[rows] * seen[..., None]
        summary += np.tensordot(weight, cells, 1)
        removed += weight @ (seen * rest_deletions[part])
    return summary / counts[:, None, None], removed / counts[:, None]
