"""Alignment statistics -> the nodes and pairs of a trunk, for pretraining and for contacts alike.

Column and column-pair statistics (`sciml.protein.contacts.features`) are projected to the widths of
the trunk. The contact network adds to each pair a projection of its two columns, and passes the
pairs through residual convolutions, which see the ladders of paired strands and the stripes of
packed helices (Wang et al., PLoS Comput. Biol. 13, e1005324, 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.objectives.base import Embedder, changed
from sciml.protein.contacts.features import (
    COUPLINGS,
    NODE_FEATURES,
    PAIR_FEATURES,
    PAIR_SCORES,
    PROFILE,
)

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

DILATIONS = (1, 2, 4)
"""Dilations of the convolutions, in turn."""


class PairConvolution(nn.Module):
    """x + conv(relu(norm x)), on pairs [B, N, N, C]; padding stays zero."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Conv2d(dim, dim, 3, padding=dilation, dilation=dilation)
        nn.init.normal_(self.conv.weight, std=0.3 / (3 * dim**0.5))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[B, N, N, C] and [B, N, N, 1] -> [B, N, N, C]."""
        inner = F.relu(self.norm(x)) * real
        # Channels stay last in memory, which is the fast layout of a CPU's convolutions.
        return x + self.conv(inner.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class AlignmentEmbedder(Embedder):
    """`x` [B, N, 26] and `pair` [B, N, N, 25 or 74] of an alignment -> those of the trunk.

    A hidden column loses its profile and everything that its sequences say about its pairs; how far
    apart two columns are stays.

    Args:
        dim: width of node features for the trunk.
        pair_dim: width of pair features for the trunk; 0 = none.
        convolutions: residual 3 x 3 convolutions of the pairs, dilated 1, 2, 4, 1, ..., after a
            projection of the two columns was added to each pair; None leaves out both.
        maskable: with a learned token for hidden columns; the contact network needs none.
        couplings: pairs have the couplings along properties of residues, too; without, these are
            left out where a batch holds them.
    """

    def __init__(
        self,
        dim: int,
        pair_dim: int = 0,
        convolutions: int | None = None,
        maskable: bool = True,
        couplings: bool = False,
    ) -> None:
        super().__init__()
        self.linear_nodes = nn.Linear(NODE_FEATURES, dim)
        self.token = nn.Parameter(torch.zeros(NODE_FEATURES)) if maskable else None
        self.pair_features = PAIR_FEATURES + couplings * COUPLINGS
        self.linear_pairs = nn.Linear(self.pair_features, pair_dim) if pair_dim else None
        self.linear_left: nn.Linear | None = None
        self.blocks = nn.ModuleList()
        if pair_dim and convolutions is not None:
            self.linear_left = nn.Linear(NODE_FEATURES, pair_dim, bias=False)
            self.blocks.extend(
                PairConvolution(pair_dim, DILATIONS[i % len(DILATIONS)])
                for i in range(convolutions)
            )

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See the class; `mask` [B, N] is needed with convolutions."""
        x = batch.x
        if hidden is not None:
            if self.token is None:
                raise TypeError("this embedder has no token for hidden columns")
            x = torch.where(hidden[..., None], self.token, x)
        values: dict[str, Tensor] = {"x": self.linear_nodes(x)}
        if self.linear_pairs is not None:
            pair = batch.pair[..., : self.pair_features]
            if hidden is not None:
                either = (hidden[:, :, None] | hidden[:, None])[..., None]
                scores, places, couplings = pair.tensor_split((PAIR_SCORES, PAIR_FEATURES), -1)
                scores, couplings = (
                    scores.masked_fill(either, 0.0),
                    couplings.masked_fill(either, 0.0),
                )
                pair = torch.cat([scores, places, couplings], -1)
            values["pair"] = self._convolved(self.linear_pairs(pair), x, batch)
        return changed(batch, **values)

    def _convolved(self, pair: Tensor, x: Tensor, batch: Data) -> Tensor:
        """Pairs with their columns added and after the convolutions."""
        if self.linear_left is None:
            return pair
        column = self.linear_left(x)
        pair = pair + column[:, :, None] + column[:, None]
        real = (batch.mask[:, :, None] & batch.mask[:, None])[..., None].to(pair.dtype)
        for block in self.blocks:
            pair = block(pair, real)
        return pair * real

    @torch.no_grad()
    def take(self, other: AlignmentEmbedder) -> None:
        """Begin as `other`, of the same widths: its weights are copied, and convolutions beyond its
        own add nothing at first.

        Raises:
            InputError: it has more convolutions than this one.
        """
        if len(other.blocks) > len(self.blocks):
            raise InputError(
                f"the pretrained embedder has {len(other.blocks)} convolutions, this one "
                f"{len(self.blocks)}", hint=f"--net.convolutions {len(other.blocks)} or more",
            )  # fmt: skip
        weights = other.state_dict()
        self.load_state_dict({k: weights.get(k, v) for k, v in self.state_dict().items()})
        if self.linear_left is not None and other.linear_left is None:
            nn.init.zeros_(self.linear_left.weight)
        for block in self.blocks[len(other.blocks) :]:
            nn.init.zeros_(block.conv.weight)  # type: ignore[union-attr,arg-type]

    def targets(self, batch: Data) -> dict[str, Tensor]:
        """`profile`: the column's 21 frequencies; `residue`: the most frequent of them."""
        profile = batch.x[..., :PROFILE]
        return {"profile": profile, "residue": profile.argmax(-1)}

    def target_sizes(self) -> dict[str, int]:
        """Widths of the targets."""
        return {"profile": PROFILE, "residue": PROFILE}

    def coordinates(self, batch: Data) -> Tensor | None:
        """The index in the chain, so that near columns are neighbours."""
        index = torch.arange(batch.x.shape[1], device=batch.x.device, dtype=batch.x.dtype)
        return index[None, :, None].expand(len(batch.x), -1, 1)
