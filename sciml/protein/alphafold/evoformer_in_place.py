"""The Evoformer's updates in place, a slice of rows at a time: what runs without gradients.

The same updates as in `evoformer`, which tests hold them equal to; see `sciml.nn.in_place` for why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from sciml.nn import in_place

if TYPE_CHECKING:
    from sciml.protein.alphafold.evoformer import (
        EvoformerBlock,
        Masks,
        MSAColumnAttention,
        MSAColumnGlobalAttention,
        MSARowAttentionWithPairBias,
        PairUpdate,
    )


def row_attention(
    module: MSARowAttentionWithPairBias, m: Tensor, z: Tensor, mask: Tensor | None
) -> Tensor:
    """m += module(m, z, mask) (algorithm 7): m [B, S, N, c], z [B, N, N, p]."""
    bias = in_place.pair_bias(module.layer_norm_z, module.linear_z, z)
    return in_place.attention(module.mha, module.layer_norm_m, m, mask, bias)


def column_attention(
    module: MSAColumnAttention | MSAColumnGlobalAttention, m: Tensor, mask: Tensor | None
) -> Tensor:
    """m += module(m, mask) (algorithm 8 or 19), [B, S, N, c]."""
    columns = m.transpose(1, 2)
    mask = None if mask is None else mask.transpose(1, 2)
    from sciml.protein.alphafold.evoformer import MSAColumnGlobalAttention

    if isinstance(module, MSAColumnGlobalAttention):
        in_place.add_rows(columns, mask, module.mix, module.linear_o, width=5)
    else:
        in_place.attention(module.mha, module.layer_norm_m, columns, mask, None)
    return m


def pair_update(module: PairUpdate, z: Tensor, mask: Tensor | None) -> Tensor:
    """Algorithm 6, lines 6 to 10, or a block of algorithm 16, on [B, N, N, p]."""
    if not module.attention_first:
        in_place.triangle_multiplication(module.tri_mul_out, z, mask)
        in_place.triangle_multiplication(module.tri_mul_in, z, mask)
    in_place.triangle_attention(module.tri_att_start, z, mask)
    in_place.triangle_attention(module.tri_att_end, z, mask)
    if module.attention_first:
        in_place.triangle_multiplication(module.tri_mul_out, z, mask)
        in_place.triangle_multiplication(module.tri_mul_in, z, mask)
    return in_place.transition(module.pair_transition, z)


def evoformer_block(
    block: EvoformerBlock, m: Tensor, z: Tensor, masks: Masks
) -> tuple[Tensor, Tensor]:
    """Algorithm 6, lines 2 to 10: m [B, S, N, c] and z [B, N, N, p]."""
    if block.outer_first:
        z = in_place.outer_product_mean(block.outer_product_mean, m, masks.msa, z)
    m = row_attention(block.row_attention, m, z, masks.msa)
    if block.column_attention is not None:
        m = column_attention(block.column_attention, m, masks.msa)
    m = in_place.transition(block.msa_transition, m)
    if not block.outer_first:
        z = in_place.outer_product_mean(block.outer_product_mean, m, masks.msa, z)
    return m, pair_update(block.pair_update, z, masks.pair)
