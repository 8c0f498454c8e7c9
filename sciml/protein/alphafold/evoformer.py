"""The Evoformer: alignment rows and residue pairs that inform each other.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 6 to 19. The attention and triangle
blocks are the package's own (`sciml.nn`); what is here is the alignment's side and the order.

With gradients off, every update is added in place, a slice of rows (or columns) at a time, so that
memory grows with the representations and not with the intermediate results. On a CPU a slice stays
in cache, which also is what makes it fast: a large intermediate result costs page faults and trips
to memory, a very small one more calls (one block, 1 to 64 MiB: least time from 8 to 16).
"""

from __future__ import annotations

from collections.abc import Callable
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
from sciml.nn.workers import cores, for_each

Update = Callable[[Tensor, Tensor | None], Tensor]
SLICE_BYTES = 8 << 20
"""Intermediate results of one slice aim at this size on a CPU when gradients are off."""
DEVICE_SLICE_BYTES = 64 << 20
"""The same on a GPU."""


@dataclass
class Masks:
    """True where real; None: everything is.

    Attributes:
        msa: [B, S, N].
        pair: [B, N, N].
    """

    msa: Tensor | None
    pair: Tensor | None


def shared_dropout(x: Tensor, rate: float, dim: int, training: bool) -> Tensor:
    """Dropout whose mask is shared along `dim` (supplement 1.11.6)."""
    if not training or rate == 0:
        return x
    shape = list(x.shape)
    shape[dim] = 1
    return x * F.dropout(x.new_ones(shape), rate, True)


def slices(x: Tensor, dim: int, width: float) -> list[slice]:
    """Slices of `x` along `dim` of which `width` copies stay within the budget; one with gradients.

    As many for each core.

    Args:
        x: what is worked on.
        dim: along which slices do not depend on one another.
        width: numbers held a number of `x`.
    """
    if torch.is_grad_enabled():
        return [slice(None)]
    on_cpu = x.device.type == "cpu"
    budget, threads = (SLICE_BYTES, cores()) if on_cpu else (DEVICE_SLICE_BYTES, 1)
    lines = x.shape[dim]
    line = x.numel() // lines * x.element_size() * width
    size = max(1, int(budget // max(line, 1)))
    rounds = -(-lines // (size * threads))
    size = -(-lines // (rounds * threads))
    return [slice(start, start + size) for start in range(0, lines, size)]


def add_update(
    x: Tensor,
    mask: Tensor | None,
    hidden: Update,
    last: nn.Linear,
    *,
    width: float = 1,
    dropout: float = 0.0,
) -> Tensor:
    """x + last(hidden(x, mask)); in place and in slices of rows when gradients are off.

    Args:
        x: [B, R, N, c]; rows must not depend on one another.
        mask: [B, R, N] or None.
        hidden: takes a slice and its mask.
        last: the update's last layer, which then adds straight to `x`.
        width: numbers that are held a number of `x`.
        dropout: of the update, shared by all rows; with gradients only.
    """
    if torch.is_grad_enabled():
        return x + shared_dropout(last(hidden(x, mask)), dropout, 1, dropout > 0)
    weight, bias = last.weight, last.bias
    lean = not torch.is_autocast_enabled(x.device.type)

    def work(part: slice) -> None:
        here = x[:, part]
        found = hidden(here, None if mask is None else mask[:, part])
        if lean and here.is_contiguous():
            here += bias
            here.view(-1, x.shape[-1]).addmm_(found.flatten(0, -2), weight.T)
        else:
            here += last(found)

    for_each(slices(x, 1, width), work, x.device)
    return x


def attend(attention: Attention, x: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
    """Attention along each row of [B, R, N, c] without its last layer.

    A row without any real key (padding) gets the plain mean of its values there, as in the
    published network, where this package's attention gives zeros; no real cell depends on it.
    """
    if mask is None:
        if len(x) == 1:  # rows as the batch: one bias for all rows is then never repeated
            return attention.mix(x[0], bias)[None]
        return attention.mix(x, None if bias is None else bias[:, None])
    out = attention.mix(x, None if bias is None else bias[:, None], mask)
    empty = ~mask.any(-1)
    if bool(empty.any()):
        cells = x[empty]
        value = attention.linear_v(cells).mean(1, keepdim=True)
        if attention.linear_g is not None:
            value = value * torch.sigmoid(attention.linear_g(cells))
        out = out.index_put((empty,), value.expand(*cells.shape[:-1], -1).to(out.dtype))
    return out


class MsaRowAttention(nn.Module):
    """Algorithm 7: each sequence attends along its residues, biased by the pairs."""

    def __init__(self, dim: int, pair_dim: int, heads: int) -> None:
        super().__init__()
        self.layer_norm_m = nn.LayerNorm(dim)
        self.layer_norm_z = nn.LayerNorm(pair_dim)
        self.linear_z = nn.Linear(pair_dim, heads, bias=False)
        self.mha = Attention(dim, heads)

    def forward(self, m: Tensor, mask: Tensor | None, bias: Tensor, dropout: float = 0.0) -> Tensor:
        """[B, S, N, c] and the pairs' bias [B, H, N, N] -> m, updated."""

        def hidden(x: Tensor, here: Tensor | None) -> Tensor:
            return attend(self.mha, self.layer_norm_m(x), here, bias)

        return add_update(m, mask, hidden, self.mha.linear_o, width=6, dropout=dropout)


class MsaColumnAttention(nn.Module):
    """Algorithm 8: each residue attends along its column of the alignment."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.layer_norm_m = nn.LayerNorm(dim)
        self.mha = Attention(dim, heads)

    def forward(self, m: Tensor, mask: Tensor | None) -> Tensor:
        """[B, S, N, c] -> m, updated."""

        def hidden(x: Tensor, here: Tensor | None) -> Tensor:
            return attend(self.mha, self.layer_norm_m(x), here, None)

        columns = None if mask is None else mask.transpose(1, 2)
        out = add_update(m.transpose(1, 2), columns, hidden, self.mha.linear_o, width=6)
        return out.transpose(1, 2)


class MsaColumnGlobalAttention(nn.Module):
    """Algorithm 19: one query a head for the whole column, the column's mean."""

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
        """[B, S, N, c] -> m, updated."""
        columns = None if mask is None else mask.transpose(1, 2)
        out = add_update(m.transpose(1, 2), columns, self.mix, self.linear_o, width=5)
        return out.transpose(1, 2)

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
        if mask is not None:  # as in `attend`
            out = torch.where(mask.any(-1)[..., None, None, None], out, v.mean(-2, keepdim=True))
        return torch.sigmoid(self.linear_g(m)) * out.flatten(2)[:, :, None]


def outer_product_mean(
    module: OuterProductMean, m: Tensor, mask: Tensor | None, z: Tensor
) -> Tensor:
    """Algorithm 10, added to the pairs: m [B, S, N, c], z [B, N, N, p] -> z."""
    if torch.is_grad_enabled():
        real = m.new_ones(m.shape[:-1], dtype=torch.bool) if mask is None else mask
        return z + module(m, real)
    batch, depth, n, _ = m.shape
    c = module.linear_1.out_features
    # For each i a product [j d, S] x [S, c]: its result is already in the order i, j, (d c).
    left, right = m.new_empty(batch, n, depth, c), m.new_empty(batch, n, c, depth)

    def project(rows: slice) -> None:
        x = module.layer_norm(m[:, rows])
        keep = None if mask is None else mask[:, rows, :, None].to(x.dtype)
        for layer, place in (
            (module.linear_1, left[:, :, rows].transpose(1, 2)),
            (module.linear_2, right[..., rows].permute(0, 3, 1, 2)),
        ):
            place.copy_(layer(x) if keep is None else layer(x) * keep)

    for_each(slices(m, 1, 2), project, m.device)
    count = None
    if mask is not None:
        cells = mask.to(m.dtype)
        count = torch.einsum("bsi,bsj->bij", cells, cells)[..., None] + module.epsilon
    weight = module.linear_out.weight.view(-1, c, c).transpose(1, 2).flatten(1)
    bias: Tensor = module.linear_out.bias
    if count is None:
        weight, bias = weight / (depth + module.epsilon), bias / (depth + module.epsilon)

    def work(rows: slice) -> None:
        for b in range(batch):
            here = left[b, rows]
            outer = torch.bmm(right[b].flatten(0, 1).expand(len(here), -1, -1), here).view(
                len(here), n, -1
            )
            update = F.linear(outer, weight, bias)
            z[b, rows] += update if count is None else update.div_(count[b, rows])

    for_each(slices(left, 1, n * c / (batch * depth)), work, z.device)
    return z


def triangle_multiplication(
    module: TriangleMultiplication, z: Tensor, mask: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """Algorithms 11 and 12, added to the pairs [B, N, N, p].

    Without gradients only the two factors, [B, C, N, N] each, are whole at any time.
    """
    if torch.is_grad_enabled():
        real = z.new_ones(z.shape[:-1], dtype=torch.bool) if mask is None else mask
        return z + shared_dropout(module(z, real), dropout, 1, module.training)
    batch, n = z.shape[:2]
    layers = (module.linear_a_p, module.linear_b_p, module.linear_a_g, module.linear_b_g)
    weight = torch.cat([layer.weight for layer in layers]).expand(batch, -1, -1)
    bias = torch.cat([layer.bias for layer in layers])[:, None]
    factors = z.new_empty(batch, weight.shape[1] // 2, n, n)
    a, b = factors.chunk(2, 1)

    def project(rows: slice) -> None:
        x = module.layer_norm_in(z[:, rows])
        # Made with the channels in front, as the products over the third node want them.
        both = torch.baddbmm(bias, weight, x.flatten(1, 2).mT).unflatten(2, x.shape[1:3])
        value, gate = both.chunk(2, 1)
        if mask is not None:
            value.masked_fill_(~mask[:, None, rows], 0)
        torch.mul(value, gate.sigmoid_(), out=factors[:, :, rows])

    def multiply(channels: slice) -> None:
        left, right = a[:, channels], b[:, channels]
        left.copy_(left @ right.mT if module.direction == "outgoing" else left.mT @ right)

    def update(rows: slice) -> None:
        edges = module.linear_z(module.layer_norm_out(a[:, :, rows].permute(0, 2, 3, 1)))
        gate = module.linear_g(module.layer_norm_in(z[:, rows])).sigmoid_()
        z[:, rows].addcmul_(edges, gate)

    for_each(slices(z, 1, 1 + weight.shape[1] / z.shape[-1]), project, z.device)
    for_each(slices(a, 1, 2), multiply, z.device)
    for_each(slices(z, 1, 5), update, z.device)
    return z


def triangle_attention(
    module: TriangleAttention, z: Tensor, mask: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """Algorithms 13 and 14, added to the pairs [B, N, N, p]."""
    ending = module.around == "ending"
    turned = z.transpose(1, 2) if ending else z
    if mask is not None and ending:
        mask = mask.transpose(1, 2)
    bias = pair_bias(module.layer_norm, module.linear, turned)

    def hidden(x: Tensor, here: Tensor | None) -> Tensor:
        return attend(module.mha, module.layer_norm(x), here, bias)

    out = add_update(turned, mask, hidden, module.mha.linear_o, width=6, dropout=dropout)
    return out.transpose(1, 2) if ending else out


def pair_bias(norm: nn.LayerNorm, linear: nn.Linear, z: Tensor) -> Tensor:
    """Pairs [B, N, M, p] -> attention bias [B, H, N, M]."""
    if torch.is_grad_enabled():
        return linear(norm(z)).permute(0, 3, 1, 2)
    bias = z.new_empty(z.shape[0], linear.out_features, *z.shape[1:3])

    def work(rows: slice) -> None:
        bias[:, :, rows] = linear(norm(z[:, rows])).permute(0, 3, 1, 2)

    for_each(slices(z, 1, 2), work, z.device)
    return bias


class PairUpdate(nn.Module):
    """Algorithm 6, lines 6 to 10, or algorithm 16's block, where attention comes first."""

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
        self.tri_att_start = TriangleAttention(dim, head_dim, heads, "starting")
        self.tri_att_end = TriangleAttention(dim, head_dim, heads, "ending")
        self.pair_transition = Transition(dim, factor)

    def forward(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """[B, N, N, p] -> [B, N, N, p]."""
        rate = self.dropout if self.training else 0.0
        if not self.attention_first:
            z = triangle_multiplication(self.tri_mul_out, z, mask, rate)
            z = triangle_multiplication(self.tri_mul_in, z, mask, rate)
        z = triangle_attention(self.tri_att_start, z, mask, rate)
        z = triangle_attention(self.tri_att_end, z, mask, rate)
        if self.attention_first:
            z = triangle_multiplication(self.tri_mul_out, z, mask, rate)
            z = triangle_multiplication(self.tri_mul_in, z, mask, rate)
        return transition(self.pair_transition, z)


def transition(module: Transition, x: Tensor) -> Tensor:
    """Algorithms 9 and 15, added to [B, R, N, c]."""
    width = module.linear_1.out_features / module.linear_1.in_features + 1
    return add_update(x, None, lambda part, _: module.hidden(part), module.linear_2, width=width)


class EvoformerBlock(nn.Module):
    """Algorithm 6, lines 2 to 10; with `extra`, algorithm 18's block for the extra sequences."""

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
        msa_dropout: float = 0.15,
        pair_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.msa_dropout = msa_dropout
        self.row_attention = MsaRowAttention(msa_dim, pair_dim, msa_heads)
        column = MsaColumnGlobalAttention if extra else MsaColumnAttention
        self.column_attention = column(msa_dim, column_heads or msa_heads)
        self.msa_transition = Transition(msa_dim, msa_factor)
        self.outer_product_mean = OuterProductMean(msa_dim, pair_dim, outer_dim)
        self.pair_update = PairUpdate(
            pair_dim, pair_heads, triangle_dim, factor=pair_factor, dropout=pair_dropout
        )

    def forward(self, m: Tensor, z: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """MSA [B, S, N, c] and pairs [B, N, N, p] -> both, updated (in place without gradients)."""
        bias = pair_bias(self.row_attention.layer_norm_z, self.row_attention.linear_z, z)

        m = self.row_attention(m, masks.msa, bias, self.msa_dropout if self.training else 0.0)
        del bias
        m = self.column_attention(m, masks.msa)
        m = transition(self.msa_transition, m)
        z = outer_product_mean(self.outer_product_mean, m, masks.msa, z)
        return m, self.pair_update(z, masks.pair)
