"""The Particle Transformer as published, exact and fast on ragged jets.

Qu, Li, Qian, "Particle Transformer for Jet Tagging", arXiv:2202.03772; block: NormFormer (Shleifer
et al., arXiv:2110.09456); class attention: CaiT (Touvron et al., arXiv:2103.17239). The layout of
weights is weaver-core's default `ParticleTransformer` (see `sciml.jets.weaver` for the names).

Where the time goes, and what is done about it:
- padding: jets are sorted by length into groups of nearly equal length; all layers but attention
  see the particles of all groups end to end, without the padding of the longest jet;
- pairs: the bias is symmetric, so only i >= j of real particles go through the pair network; its
  batch norms fold into the linear layers in eval mode, and in training its activations are
  computed again in backward rather than kept;
- attention: all heads of a group in one batched product, the padding inside the bias.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sciml.jets import fused
from sciml.jets.grouping import ANY, Group, group_by_length
from sciml.jets.part_pairs import PairNetwork


@dataclasses.dataclass(frozen=True)
class ParTConfig:
    """Sizes of a Particle Transformer; the defaults are the published ones."""

    features: int = 17
    """Features a particle."""
    classes: int = 10
    """Classes."""
    embed: tuple[int, ...] = (128, 512, 128)
    """Widths of the particle embedding; the last is the width of the model."""
    pair: tuple[int, ...] = (64, 64, 64)
    """Hidden widths of the pair embedding; empty for no pair bias."""
    heads: int = 8
    """Attention heads."""
    layers: int = 8
    """Particle attention blocks."""
    class_layers: int = 2
    """Class attention blocks."""
    expansion: int = 4
    """Hidden width of a block's feed-forward layer over the width of the model."""
    dropout: float = 0.1
    """Probability of dropping in particle blocks (residual, attention, activation)."""
    use_pre_activation_pair: bool = True
    """False: GELU also after the last pair layer, as in the published JetClass weights."""
    remove_self_pair: bool = False
    """True: no bias from a particle on itself."""


class NormedLinear(nn.Module):
    """Layer norm, linear, GELU."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.linear = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., width]."""
        return fused.linear(self.norm(x), self.linear.weight, self.linear.bias, gelu=True)


class Embedding(nn.Module):
    """Batch norm over features, then (layer norm, linear, GELU) a width."""

    def __init__(self, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        sizes = [features, *widths]
        self.layers = nn.ModuleList(
            NormedLinear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[S, features] -> [S, dim]."""
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Attention(nn.Module):
    """Projections of multi-head attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)


class Block(nn.Module):
    """Attention and feed-forward with the extra norms and gains of NormFormer."""

    def __init__(self, dim: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.head_gain = nn.Parameter(torch.ones(heads))
        self.residual_gain = nn.Parameter(torch.ones(dim))
        self.norm_1 = nn.LayerNorm(dim)
        self.attention = Attention(dim)
        self.norm_2 = nn.LayerNorm(dim)
        self.norm_3 = nn.LayerNorm(dim)
        self.linear_1 = nn.Linear(dim, dim * expansion)
        self.norm_4 = nn.LayerNorm(dim * expansion)
        self.linear_2 = nn.Linear(dim * expansion, dim)

    def forward(self, x: Tensor, groups: Sequence[Group], bias: Sequence[Tensor | None]) -> Tensor:
        """Particle attention within each group: [S, dim] -> [S, dim]."""
        qkv = apply(self.attention.qkv, self.norm_1(x))
        parts = qkv.split([group.mask.numel() for group in groups])
        heard = []
        for part, group, own in zip(parts, groups, bias, strict=True):
            jets, width = group.mask.shape
            q, k, v = part.view(jets, width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            if own is None:
                own = blocked(group.mask, q.dtype)[:, None, None, :]
            heard.append(self._attend(q, k, v, own).transpose(1, 2).reshape(jets * width, -1))
        return self._rest(x, torch.cat(heard) if len(heard) > 1 else heard[0])

    def for_class(self, x: Tensor, token: Tensor, groups: Sequence[Group]) -> Tensor:
        """The class token [B, dim] hears itself and the particles [S, dim]: -> [B, dim]."""
        jets, dim = token.shape
        weight, shift = self.attention.qkv.weight, self.attention.qkv.bias
        queries = F.linear(token, weight[:dim], shift[:dim])  # not normalised, as published
        own = F.linear(self.norm_1(token), weight[dim:], shift[dim:])
        kv = fused.linear(self.norm_1(x), weight[dim:], shift[dim:])
        heard = []
        sizes = [len(group.rows) for group in groups]
        parts = kv.split([group.mask.numel() for group in groups])
        for q, mine, part, group in zip(
            queries.split(sizes), own.split(sizes), parts, groups, strict=True
        ):
            jets, width = group.mask.shape
            q = q.view(jets, 1, self.heads, -1).transpose(1, 2)
            both = torch.cat([mine[:, None], part.view(jets, width, -1)], 1)
            k, v = both.view(jets, width + 1, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            bias = F.pad(blocked(group.mask, q.dtype), (1, 0))[:, None, None, :]
            heard.append(self._attend(q, k, v, bias).reshape(jets, dim))
        return self._rest(token, torch.cat(heard))

    def dense(self, query: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """Plain attention of `query` [B, Q, dim] to `x` [B, N, dim] (itself, or with it in front).

        Particles ask with their normalised selves, the class token as it is, as published.
        """
        normed = self.norm_1(x)
        asks = normed if query is x else query
        weight, shift = self.attention.qkv.weight, self.attention.qkv.bias
        q, k, v = (
            F.linear(of, w, b).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for of, w, b in zip(
                (asks, normed, normed), weight.chunk(3), shift.chunk(3), strict=True
            )
        )
        return self._rest(query, self._attend(q, k, v, bias).transpose(1, 2).flatten(2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or q.shape[-2] == 1:
            return F.scaled_dot_product_attention(q, k, v, bias)
        # with a gradient for the bias torch's kernel would fall back to this, and keep more of it
        shape = (*q.shape[:-1], k.shape[-2])
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        logits = torch.baddbmm(bias.expand(shape).flatten(0, 1), q, k.mT, alpha=q.shape[-1] ** -0.5)
        weights = fused.dropout(logits.softmax(-1), self.dropout, self.training)
        return torch.bmm(weights, v).view(*shape[:-1], -1)

    def _rest(self, x: Tensor, heard: Tensor) -> Tensor:
        out = self.attention.out
        # as published, the gain comes after the projection: it scales the projection's rows
        gain = self.head_gain.repeat_interleave(x.shape[-1] // self.heads)
        heard = fused.linear(heard, out.weight * gain[:, None], out.bias * gain)
        x = x + self._drop(self.norm_2(heard))
        # made again in backward: half of a block's memory for a twentieth of its time
        again = self.training and torch.is_grad_enabled()
        update = (
            checkpoint(self._feed_forward, x, use_reentrant=False)
            if again
            else self._feed_forward(x)
        )
        return x * self.residual_gain + self._drop(update)

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self._drop(apply(self.linear_1, self.norm_3(x), gelu=True))
        return apply(self.linear_2, self.norm_4(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return fused.dropout(x, self.dropout, self.training)


def apply(layer: nn.Linear, x: Tensor, *, gelu: bool = False) -> Tensor:
    """A linear layer, with GELU in the same pass where it can be."""
    return fused.linear(x, layer.weight, layer.bias, gelu=gelu)


def blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where True, a number that no attention logit outweighs where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, torch.finfo(dtype).min / 4
    )


class ParticleTransformer(nn.Module):
    """Jets as clouds of particles -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed[-1]
        self.embed = Embedding(config.features, config.embed)
        self.pairs = (
            PairNetwork(4, config.pair, config.heads, not config.use_pre_activation_pair)
            if config.pair
            else None
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.blocks = nn.ModuleList(
            Block(dim, config.heads, config.expansion, config.dropout) for _ in range(config.layers)
        )
        self.class_blocks = nn.ModuleList(
            Block(dim, config.heads, config.expansion, 0.0) for _ in range(config.class_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.classes)

    def forward(self, features: Tensor, p4: Tensor, mask: Tensor) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            p4: [B, N, 4] (px, py, pz, E), GeV.
            mask: [B, N] bool, True for a particle.
        """
        if torch.jit.is_tracing():
            return self.reference(features, p4, mask)
        whole = self.training or torch.is_grad_enabled()
        groups = group_by_length(mask, most=ANY if whole else 1024)
        batches = [groups] if whole else [[group] for group in groups]
        rows = torch.cat([group.rows for group in groups])
        logits = torch.cat([self._groups(features, p4, batch) for batch in batches])
        logits = logits.new_empty(logits.shape).index_copy(0, rows, logits)
        return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def reference(self, features: Tensor, p4: Tensor, mask: Tensor) -> Tensor:
        """The same as `forward` in eval mode, on the padded batch as a whole, as one writes it."""
        x = self.embed(features.flatten(0, 1)).unflatten(0, mask.shape)
        x = x.masked_fill(~mask[..., None], 0.0)
        hidden = blocked(mask, x.dtype)[:, None, None, :]
        bias = hidden
        if self.pairs is not None:
            # ONNX has no direction for a padded particle's zeros
            unit = p4.new_tensor([1.0, 0.0, 0.0, 1.0])
            pairs = self.pairs.dense(torch.where(mask[..., None], p4, unit))
            if self.config.remove_self_pair:
                pairs = pairs * (1 - torch.eye(mask.shape[1], dtype=p4.dtype))[..., None]
            bias = pairs.permute(0, 3, 1, 2) + hidden
        for block in self.blocks:
            x = cast(Block, block).dense(x, x, bias)
        token = self.class_token.expand(mask.shape[0], -1, -1)
        for block in self.class_blocks:
            both = torch.cat([token, x], 1)
            token = cast(Block, block).dense(token, both, F.pad(hidden, (1, 0)))
        token = token[:, 0]
        logits = self.head(self.norm(token))
        return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def _groups(self, features: Tensor, p4: Tensor, groups: Sequence[Group]) -> Tensor:
        real = torch.cat([group.mask.flatten() for group in groups])
        x = torch.cat([features[g.rows, : g.width].flatten(0, 1) for g in groups])
        embedded = self.embed(x[real])
        x = embedded.new_zeros(len(x), embedded.shape[1]).index_copy(
            0, real.nonzero()[:, 0], embedded
        )
        bias = self._bias(p4, groups, x.dtype)
        for block in self.blocks:
            x = block(x, groups, bias)
        token = self.class_token[0].expand(sum(len(g.rows) for g in groups), -1)
        for block in self.class_blocks:
            token = cast(Block, block).for_class(x, token, groups)
        return self.head(self.norm(token))

    def _bias(
        self, p4: Tensor, groups: Sequence[Group], dtype: torch.dtype
    ) -> list[Tensor] | list[None]:
        """Attention bias [jets, heads, width, width] of every group."""
        if self.pairs is None:
            return [None for _ in groups]
        lengths = torch.cat([group.mask.sum(1) for group in groups])
        particles = torch.cat([p4[group.rows, : group.width][group.mask] for group in groups])
        first, second = lower_triangles(lengths)
        per_pair = self.pairs(particles, first, second)
        # one more row for pairs with a padded particle: nobody hears them
        per_pair = torch.cat(
            [per_pair, per_pair.new_full((1, per_pair.shape[1]), torch.finfo(dtype).min / 4)]
        )
        biases, start = [], 0
        for group in groups:
            own = group.mask.sum(1)
            count = own * (own + 1) // 2
            offset = start + count.cumsum(0) - count
            start += int(count.sum())
            i = torch.arange(group.width, device=group.mask.device)
            low, high = torch.minimum(i[:, None], i), torch.maximum(i[:, None], i)
            place = offset[:, None, None] + high * (high + 1) // 2 + low
            place = place.masked_fill(high >= own[:, None, None], len(per_pair) - 1)
            bias = per_pair[place.flatten()].view(*place.shape, -1).permute(0, 3, 1, 2)
            if self.config.remove_self_pair:
                bias = bias.masked_fill((low == high) & (high < own[:, None, None])[:, None], 0.0)
            biases.append(bias.contiguous())
        return biases


def lower_triangles(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (i, j) into packed particles of all pairs with i >= j, jet by jet, row by row."""
    starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    token = torch.arange(len(starts), device=lengths.device)
    partners = token - starts + 1
    first = torch.repeat_interleave(token, partners)
    ends = partners.cumsum(0)
    place = torch.arange(len(first), device=lengths.device)
    second = place - torch.repeat_interleave(ends - partners - starts, partners)
    return first, second
