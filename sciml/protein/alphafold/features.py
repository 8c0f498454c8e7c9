"""AlphaFold's input features of a chain, from its alignment and templates.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.9, table 1: names and shapes are those of the
published network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES, FeatureConfig
from sciml.protein.alphafold.msa_features import Features, msa_features
from sciml.protein.alphafold.templates import Template, template_features
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment


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


def features(
    alignment: Alignment,
    config: FeatureConfig = DEFAULT_FEATURES,
    *,
    seed: int = 0,
    templates: list[Template] | None = None,
    use_templates: bool = True,
    index: np.ndarray | None = None,
) -> Features:
    """All features of a query with its alignment (its first row gives sequence and columns).

    `index`: numbers of the residues [N], from 0 without gaps if None.
    """
    alignment = alignment.with_query(0).deduplicate()
    result = sequence_features(alignment.rows[0].astype(np.int64), index)
    result |= msa_features(alignment, config, seed)
    if use_templates and config.templates:
        result |= template_features(templates or [], alignment.columns, config.templates)
    return result


def collate(chains: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
    """Pad the features of chains to the largest and stack them; the masks are 0 for padding."""
    batch = {}
    for key in chains[0]:
        values = [np.asarray(chain[key]) for chain in chains]
        shape = np.max([value.shape for value in values], axis=0).astype(int)
        padded = np.zeros((len(values), *shape), values[0].dtype)
        for number, value in enumerate(values):
            part: tuple[int | slice, ...] = (number, *(slice(size) for size in value.shape))
            padded[part] = value
        tensor = torch.as_tensor(padded)
        batch[key] = tensor.float() if tensor.is_floating_point() else tensor.long()
    return batch
