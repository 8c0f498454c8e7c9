"""The Evoformer: the MSA and the pair representation update each other.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 6 to 16, 18 and 19. Attention, outer
product mean, triangle updates and transitions are the package's own (`sciml.nn`); what is here is
the attention of the MSA and the order of the updates. As in the supplement, a module returns its
update, and its caller adds it. Without gradients the same updates are made in place
(`evoformer_in_place`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.attention import Attention, pair_biased_attention
from sciml.nn.triangles import (
    OuterProductMean,
    Transition,
    TriangleAttention,
    TriangleMultiplication,
)
from sciml.protein.alphafold import evoformer_in_place as in_place


@dataclass
class Masks:
    """True where real; None: everything is.

    Attributes:
        msa: [B, S, N].
        pair: [B, N, N].
    """

    msa: Tensor | None
    pair: Tensor | None


def shared_dropout(x: Tensor, rate: float, dim: int) -> Tensor:
    """Dropout of [B, R, N, c] with one mask for all positions along `dim` (supplement 1.11.6).

    `dim` 1 is the supplement's DropoutRowwise, 2 its DropoutColumnwise.
    """
    if rate == 0:
        return x
    shape = list(x.shape)
    shape[dim] = 1
    return x * F.dropout(x.new_ones(shape), rate, True)


def works_in_place(dropping: bool) -> bool:
    """Whether a block updates in place: without gradients, dropout and `torch.compile`, which
    would break its graph at the threads that share the slices and plans memory itself."""
    return not (torch.is_grad_enabled() or dropping or torch.compiler.is_compiling())


class MSARowAttentionWithPairBias(nn.Module):
    """Algorithm 7: gated self-attention along the residues of each sequence, with a pair bias."""

    def __init__(self, dim: int, pair_dim: int, heads: int) -> None:
        super().__init__()
        self.layer_norm_m = nn.LayerNorm(dim)
        self.layer_norm_z = nn.LayerNorm(pair_dim)
        self.linear_z = nn.Linear(pair_dim, heads, bias=False)
        self.mha = Attention(dim, heads, padded_rows="mean")

    def forward(self, m: Tensor, z: Tensor, mask: Tensor | None) -> Tensor:
        """MSA [B, S, N, c] and pairs [B, N, N, p] -> the update of the MSA."""
        bias = self.linear_z(self.layer_norm_z(z)).permute(0, 3, 1, 2)  # [B, H, N, N]
        return self.mha(self.layer_norm_m(m), bias[:, None], mask)


class MSAColumnAttention(nn.Module):
    """Algorithm 8: gated self-attention along the sequences of each column."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.layer_norm_m = nn.LayerNorm(dim)
        self.mha = Attention(dim, heads, padded_rows="mean")

    def forward(self, m: Tensor, mask: Tensor | None) -> Tensor:
        """MSA [B, S, N, c] -> its update."""
        columns = None if mask is None else mask.transpose(1, 2)
        return self.mha(self.layer_norm_m(m.transpose(1, 2)), None, columns).transpose(1, 2)


class MSAColumnGlobalAttention(nn.Module):
    """Algorithm 19: column attention with one query per head, the mean of the column."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        head_dim = dim // heads
        self.heads = heads
        self.layer_norm_m = nn.LayerNorm(dim)
        self.linear_q = nn.Linear(dim, dim, bias=False)
        self.linear_k = nn.Linear(dim, head_dim, bias=False)
        self.linear_v = nn.Linear(dim, head_dim, bias=False)
        self.linear_g = nn.Linear(dim, dim)
        self.linear_o = nn.Linear(dim, dim)

    def forward(self, m: Tensor, mask: Tensor | None) -> Tensor:
        """MSA [B, S, N, c] -> its update."""
        columns = None if mask is None else mask.transpose(1, 2)
        return self.linear_o(self.mix(m.transpose(1, 2), columns)).transpose(1, 2)

    def mix(self, m: Tensor, mask: Tensor | None) -> Tensor:
        """Columns [B, N, S, c] -> the heads' gated outputs, the same shape."""
        m = self.layer_norm_m(m)
        if mask is None:
            mean = m.mean(2)
        else:
            weight = mask[..., None].to(m.dtype)
            mean = (m * weight).sum(2) / (weight.sum(2) + 1e-10)
        # The heads are the queries of one attention whose keys they share: [B, N, 1, H, d].
        q = self.linear_q(mean).unflatten(-1, (self.heads, -1))[:, :, None]
        k, v = (layer(m)[:, :, None] for layer in (self.linear_k, self.linear_v))
        out = pair_biased_attention(q, k, v, None, mask)
        if mask is not None:  # a column of padding, as in `Attention.padded_rows`
            out = torch.where(mask.any(-1)[..., None, None, None], out, v.mean(-2, keepdim=True))
        return torch.sigmoid(self.linear_g(m)) * out.flatten(2)[:, :, None]


class PairUpdate(nn.Module):
    """Algorithm 6, lines 6 to 10; or a block of algorithm 16, where attention comes first."""

    dropping = False
    """Dropout also outside of training."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        *,
        head_dim: int | None = None,
        factor: int = 4,
        dropout: float = 0.25,
        attention_first: bool = False,
    ) -> None:
        super().__init__()
        head_dim = head_dim or dim // heads
        self.dropout, self.attention_first = dropout, attention_first
        self.tri_mul_out = TriangleMultiplication(dim, hidden, "outgoing")
        self.tri_mul_in = TriangleMultiplication(dim, hidden, "incoming")
        self.tri_att_start = TriangleAttention(dim, head_dim, heads, "starting", padded_rows="mean")
        self.tri_att_end = TriangleAttention(dim, head_dim, heads, "ending", padded_rows="mean")
        self.pair_transition = Transition(dim, factor)

    def forward(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Pairs [B, N, N, p] -> pairs, updated (in place without gradients)."""
        if works_in_place(self.dropping):
            return in_place.pair_update(self, z, mask)
        if self.attention_first:
            z = self._multiplications(self._attentions(z, mask), mask)
        else:
            z = self._attentions(self._multiplications(z, mask), mask)
        return z + self.pair_transition(z)

    def _multiplications(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Lines 6 and 7."""
        rate = self.dropout if self.training or self.dropping else 0.0
        z = z + shared_dropout(self.tri_mul_out(z, mask), rate, 1)
        return z + shared_dropout(self.tri_mul_in(z, mask), rate, 1)

    def _attentions(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Lines 8 and 9."""
        rate = self.dropout if self.training or self.dropping else 0.0
        z = z + shared_dropout(self.tri_att_start(z, mask), rate, 1)
        return z + shared_dropout(self.tri_att_end(z, mask), rate, 2)


class EvoformerBlock(nn.Module):
    """Algorithm 6, lines 2 to 10; with `extra`, algorithm 18's block for the extra sequences.

    `outer_first`: the outer product mean comes first, as in AlphaFold-Multimer. `columns`: whether
    there is attention along columns, of which a single row has no need (OpenFold's SoloSeq).
    """

    dropping = False
    """Dropout also outside of training."""

    def __init__(
        self,
        msa_dim: int,
        pair_dim: int,
        msa_heads: int,
        pair_heads: int,
        *,
        column_heads: int | None = None,
        outer_dim: int = 32,
        triangle_dim: int = 128,
        msa_factor: int = 4,
        pair_factor: int = 4,
        extra: bool = False,
        outer_first: bool = False,
        columns: bool = True,
        msa_dropout: float = 0.15,
        pair_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.msa_dropout, self.outer_first = msa_dropout, outer_first
        self.row_attention = MSARowAttentionWithPairBias(msa_dim, pair_dim, msa_heads)
        column = MSAColumnGlobalAttention if extra else MSAColumnAttention
        self.column_attention = column(msa_dim, column_heads or msa_heads) if columns else None
        self.msa_transition = Transition(msa_dim, msa_factor)
        self.outer_product_mean = OuterProductMean(msa_dim, pair_dim, outer_dim)
        self.pair_update = PairUpdate(
            pair_dim, pair_heads, triangle_dim, factor=pair_factor, dropout=pair_dropout
        )

    def forward(self, m: Tensor, z: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """MSA [B, S, N, c] and pairs [B, N, N, p] -> both, updated (in place without gradients)."""
        if works_in_place(self.dropping):
            return in_place.evoformer_block(self, m, z, masks)
        rate = self.msa_dropout if self.training or self.dropping else 0.0
        if self.outer_first:
            z = z + self.outer_product_mean(m, masks.msa)
        m = m + shared_dropout(self.row_attention(m, z, masks.msa), rate, 1)
        if self.column_attention is not None:
            m = m + self.column_attention(m, masks.msa)
        m = m + self.msa_transition(m)
        if not self.outer_first:
            z = z + self.outer_product_mean(m, masks.msa)
        return m, self.pair_update(z, masks.pair)
