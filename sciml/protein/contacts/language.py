"""The contact network on a protein language model beside the statistics of the alignment.

`add_language` puts the representations and attention maps of ESM-2 or MSA Transformer behind the
statistics of columns and pairs; `LanguageEmbedder` reads both, for the contact network and for any
other trunk that `AlignmentEmbedder` serves. The language model itself is frozen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.objectives.base import changed
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.features import NODE_FEATURES, ContactFeatures
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.esm.predictor import EsmEmbedding

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


def add_language(features: ContactFeatures, embedding: EsmEmbedding) -> ContactFeatures:
    """The features of an alignment with a language model's behind them.

    Args:
        features: of the columns in which the query has a residue.
        embedding: of the same query.

    Raises:
        InputError: the two are of different lengths.
    """
    if len(features.nodes) != len(embedding):
        raise InputError(
            f"features of {len(features.nodes)} columns and an embedding of {len(embedding)} "
            "residues",
            hint="Take the columns of the query: alignment.with_query(0)",
        )
    maps = embedding.pairs.astype(np.float32)
    pairs = [maps] if features.couplings is None else [features.couplings, maps]
    nodes = np.concatenate([features.nodes, embedding.residues.astype(np.float32)], -1)
    return replace(features, nodes=nodes, couplings=np.concatenate(pairs, -1))


class LanguageEmbedder(AlignmentEmbedder):
    """`x` [B, N, 26 + c] and `pair` [B, N, N, 25 (74) + m] of `add_language` -> those of the trunk.

    The language model's part is normalised, projected and added to what `AlignmentEmbedder` makes
    of the statistics, after its convolutions. Of a hidden column both are left out.

    Args:
        dim, pair_dim: widths of the trunk.
        residues: width c of the representations.
        maps: number m of attention maps.
        options: of `AlignmentEmbedder`.
    """

    def __init__(self, dim: int, pair_dim: int, residues: int, maps: int, **options: Any) -> None:
        super().__init__(dim, pair_dim, **options)
        self.norm_residues = nn.LayerNorm(residues)
        self.linear_residues = nn.Linear(residues, dim)
        self.linear_maps = nn.Linear(maps, pair_dim, bias=False)

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See the class; `mask` [B, N] is needed with convolutions."""
        x, residues = batch.x.split((NODE_FEATURES, batch.x.shape[-1] - NODE_FEATURES), -1)
        own = batch.pair.shape[-1] - self.linear_maps.in_features
        pair, maps = batch.pair.split((own, self.linear_maps.in_features), -1)
        inner = super().forward(changed(batch, x=x, pair=pair), hidden)
        said = self.linear_residues(self.norm_residues(residues))
        mapped = self.linear_maps(maps)
        if hidden is not None:
            said = said.masked_fill(hidden[..., None], 0.0)
            either = hidden[:, :, None] | hidden[:, None]
            mapped = mapped.masked_fill(either[..., None], 0.0)
        return changed(inner, x=inner.x + said, pair=inner.pair + mapped)


def language_network(config: ContactConfig, residues: int, maps: int) -> ContactNet:
    """A contact network whose embedder reads the features of `add_language`.

    Args:
        config: sizes of the contact network.
        residues, maps: widths of the language model's part; see `LanguageEmbedder`.
    """
    net = ContactNet(config)
    net.embedder = LanguageEmbedder(
        config.trunk.dim, config.pair_dim, residues, maps,
        convolutions=config.convolutions, maskable=False, couplings=config.couplings,
    )  # fmt: skip
    return net
