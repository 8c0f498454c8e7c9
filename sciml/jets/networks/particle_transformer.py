"""The Particle Transformer as published, exact and fast on ragged jets.

Qu, Li, Qian, "Particle Transformer for Jet Tagging", arXiv:2202.03772; block: NormFormer (Shleifer
et al., arXiv:2110.09456); class attention: CaiT (Touvron et al., arXiv:2103.17239). The layout of
weights is weaver-core's default `ParticleTransformer` (see `weaver.checkpoints` for the names).

Where the time goes, and what is done about it:
- padding: jets are sorted by length into groups of nearly equal length; all layers but attention
  run over the particles of all groups end to end, without padding to the longest jet;
- pairs: the bias is symmetric, so only i >= j of real particles go through the pair network; its
  batch norms fold into the linear layers in eval mode, and in training its activations are
  computed again in backward rather than saved;
- attention: all heads of a group in one batched product, the padding inside the bias.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.jets.data.grouping import Group, group_by_length, runs
from sciml.jets.networks import fused
from sciml.jets.networks.particle_transformer_pairs import PairNetwork

CHUNK = 4096
"""Size (jets x longest) of a pass through the network without gradients."""
ROWS = fused.ROWS
"""Rows of it that go through the feed-forward layers at a time: they stay in cache."""


Positive = Annotated[int, Range(min=1)]


@dataclasses.dataclass(frozen=True)
class ParTConfig:
    """Sizes of a Particle Transformer; the defaults are the published ones."""

    features: Positive = 17
    """Features per particle."""
    classes: Positive = 10
    """Classes."""
    embed: tuple[Positive, ...] = (128, 512, 128)
    """Widths of the particle embedding; the last is the width of the model."""
    pair: tuple[Positive, ...] = (64, 64, 64)
    """Hidden widths of the pair embedding; empty for no pair bias."""
    heads: Positive = 8
    """Attention heads."""
    layers: Annotated[int, Range(min=0)] = 8
    """Particle attention blocks."""
    class_layers: Annotated[int, Range(min=0)] = 2
    """Class attention blocks."""
    expansion: Positive = 4
    """Hidden width of a block's feed-forward layer over the width of the model."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.1
    """Probability of dropping in particle blocks (residual, attention, activation)."""
    use_pre_activation_pair: bool = True
    """False: GELU also after the last pair layer, as in the published JetClass weights."""
    remove_self_pair: bool = False
    """True: no bias from a particle on itself."""
    activation: Literal["gelu", "relu"] = "gelu"
    """Activation of the embedding and the blocks; the pair network always has GELU."""
    bias_blocks: tuple[int, ...] | None = None
    """Particle blocks whose attention has the pair bias; None: all."""
    global_token: bool = False
    """True: the class token goes through the particle blocks, and there are no class blocks."""

    def __post_init__(self) -> None:
        if self.activation not in ("gelu", "relu"):
            raise unknown("activation", str(self.activation), ("gelu", "relu"))
        wrong = [n for n in self.bias_blocks or () if not -self.layers <= n < self.layers]
        if wrong:
            raise InputError(f"there is no block {wrong[0]}: the network has {self.layers}")
        if self.global_token and self.class_layers:
            raise InputError("a global token has no class blocks")
        if not self.embed or self.embed[-1] % self.heads:
            raise InputError(
                f"the last of `embed` must be a multiple of `heads` ({self.heads}), "
                f"got {list(self.embed)}"
            )


class NormedLinear(nn.Module):
    """Layer norm, linear, GELU (or ReLU)."""

    def __init__(self, inputs: int, width: int, relu: bool = False) -> None:
        super().__init__()
        self.relu = relu
        self.norm = nn.LayerNorm(inputs)
        self.linear = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., width]."""
        return fused.linear_active(self.norm(x), self.linear.weight, self.linear.bias, self.relu)


class Embedding(nn.Module):
    """Batch norm over features, then (layer norm, linear, GELU) per width."""

    def __init__(self, features: int, widths: Sequence[int], relu: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        sizes = [features, *widths]
        self.layers = nn.ModuleList(
            NormedLinear(a, b, relu) for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[S, features] -> [S, dim]."""
        x = self.norm(x)
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            return self._layers(x)
        return torch.cat([self._layers(rows) for rows in x.split(ROWS)])

    def _layers(self, x: Tensor) -> Tensor:
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

    def __init__(
        self, dim: int, heads: int, expansion: int, dropout: float, relu: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.relu = heads, dropout, relu
        self.head_gain = nn.Parameter(torch.ones(heads))
        self.residual_gain = nn.Parameter(torch.ones(dim))
        self.norm_1 = nn.LayerNorm(dim)
        self.attention = Attention(dim)
        self.norm_2 = nn.LayerNorm(dim)
        self.norm_3 = nn.LayerNorm(dim)
        self.linear_1 = nn.Linear(dim, dim * expansion)
        self.norm_4 = nn.LayerNorm(dim * expansion)
        self.linear_2 = nn.Linear(dim * expansion, dim)

    def forward(self, x: Tensor, groups: Sequence[Group], bias: Sequence[Tensor]) -> Tensor:
        """Particle attention within each group: [S, dim] -> [S, dim]."""
        qkv = self.attention.qkv(self.norm_1(x))
        parts = qkv.split([group.mask.numel() for group in groups])
        received = []
        for part, group, own in zip(parts, groups, bias, strict=True):
            jets, width = group.mask.shape
            qkv = part.view(jets, width, 3, self.heads, -1).permute(2, 3, 0, 1, 4)
            q, k, v = qkv.reshape(3, self.heads * jets, width, -1)
            out = self._attend(q, k, v, own).view(self.heads, jets, width, -1)
            received.append(out.permute(1, 2, 0, 3).reshape(jets * width, -1))
        return self._rest(x, torch.cat(received) if len(received) > 1 else received[0])

    def for_class(self, x: Tensor, token: Tensor, groups: Sequence[Group]) -> Tensor:
        """The class token [B, dim] attends to itself and the particles [S, dim]: -> [B, dim].

        With one query per jet, projecting the query back (W^T q) and the weighted sum of particles
        (W sum a x) replaces the keys and values of all particles: q (W x) = (W^T q) x.
        """
        jets, dim = token.shape
        query, key, value = self.attention.qkv.weight.view(3, self.heads, -1, dim)
        query_bias, key_bias, value_bias = self.attention.qkv.bias.view(3, self.heads, -1)
        # the query is not normalised, as published
        q = torch.einsum("bc,hdc->bhd", token, query) + query_bias
        q = q * q.shape[-1] ** -0.5
        back = torch.einsum("bhd,hdc->bhc", q, key)
        constant = (q * key_bias).sum(-1, keepdim=True)
        own, normed = self.norm_1(token), self.norm_1(x)
        own_logits = back @ own[..., None] + constant
        sums = []
        sizes = [len(group.rows) for group in groups]
        for projected, shift, mine, logit, part, group in zip(
            back.split(sizes), constant.split(sizes), own.split(sizes), own_logits.split(sizes),
            normed.split([group.mask.numel() for group in groups]), groups, strict=True,
        ):  # fmt: skip
            part = part.view(*group.mask.shape, dim)
            logits = torch.baddbmm(
                shift + blocked(group.mask, x.dtype)[:, None], projected, part.mT
            )
            weights = torch.cat([logit, logits], -1).softmax(-1)
            sums.append(torch.baddbmm(weights[..., :1] * mine[:, None], weights[..., 1:], part))
        received = torch.einsum("bhc,hdc->bhd", torch.cat(sums), value) + value_bias
        return self._rest(token, received.flatten(1))

    def dense(self, query: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """Plain attention of `query` [B, Q, dim] to `x` [B, N, dim] (itself, or with it in front).

        The queries of particles are normalised, that of the class token is not, as published.
        """
        normed = self.norm_1(x)
        source = normed if query is x else query
        weight, shift = self.attention.qkv.weight, self.attention.qkv.bias
        q, k, v = (
            F.linear(of, w, b).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for of, w, b in zip(
                (source, normed, normed), weight.chunk(3), shift.chunk(3), strict=True
            )
        )
        received = F.scaled_dot_product_attention(q, k, v, bias)
        return self._rest(query, received.transpose(1, 2).flatten(2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """[heads x jets, N, d] each, bias [heads x jets, N, N]: heads so thin that products of
        whole matrices are faster than torch's fused kernel, with and without a gradient."""
        logits = torch.baddbmm(bias, q, k.mT, alpha=q.shape[-1] ** -0.5)
        weights = fused.dropout(logits.softmax(-1), self.dropout, self.training)
        return torch.bmm(weights, v)

    def _rest(self, x: Tensor, received: Tensor) -> Tensor:
        """The layers after attention, particle by particle: [S, dim] -> [S, dim]."""
        out = self.attention.out
        # as published, the gain comes after the projection: it scales the projection's rows
        gain = self.head_gain.repeat_interleave(x.shape[-1] // self.heads)
        weight, bias = out.weight * gain[:, None], out.bias * gain
        if torch.is_grad_enabled() or x.ndim > 2:
            return self._project(x, received, weight, bias)
        # the same without a gradient, in place: `received` becomes the answer
        for own, before in zip(received.split(ROWS), x.split(ROWS), strict=True):
            mixed = self.norm_2(F.linear(own, weight, bias)).add_(before)
            torch.addcmul(self._feed_forward(mixed), mixed, self.residual_gain, out=own)
        return received

    def _project(self, x: Tensor, received: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = self._drop(self.norm_2(F.linear(received, weight, bias))) + x
        # recomputed in backward: half of a block's memory for a twentieth of its time
        again = self.training and torch.is_grad_enabled()
        update = (
            checkpoint(self._feed_forward, x, use_reentrant=False)
            if again
            else self._feed_forward(x)
        )
        return torch.addcmul(self._drop(update), x, self.residual_gain)

    def _feed_forward(self, x: Tensor) -> Tensor:
        wide = self.linear_1
        hidden = fused.linear_active(self.norm_3(x), wide.weight, wide.bias, self.relu)
        hidden = self._drop(hidden)
        return self.linear_2(self.norm_4(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return fused.dropout(x, self.dropout, self.training)


def blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask: 0 where True, a large negative number where False."""
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
        dim, relu = config.embed[-1], config.activation == "relu"
        self.embed = Embedding(config.features, config.embed, relu)
        self.pairs = (
            PairNetwork(4, config.pair, config.heads, not config.use_pre_activation_pair)
            if config.pair
            else None
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.blocks = nn.ModuleList(
            Block(dim, config.heads, config.expansion, config.dropout, relu)
            for _ in range(config.layers)
        )
        self.class_blocks = nn.ModuleList(
            Block(dim, config.heads, config.expansion, 0.0, relu)
            for _ in range(config.class_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.classes)
        chosen = config.bias_blocks
        numbers = range(config.layers) if chosen is None else [n % config.layers for n in chosen]
        self.biased = [number in numbers for number in range(config.layers)]

    def forward(self, features: Tensor, p4: Tensor, mask: Tensor) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            p4: [B, N, 4] (px, py, pz, E), GeV.
            mask: [B, N] bool, True for a particle.
        """
        if torch.jit.is_tracing():
            return self.reference(features, p4, mask)
        if self.training or torch.is_grad_enabled():
            batches = [group_by_length(mask)]
        else:
            batches = runs(group_by_length(mask, max_size=CHUNK), CHUNK)
        groups = [group for batch in batches for group in batch]
        rows = torch.cat([group.rows for group in groups])
        logits = torch.cat([self._groups(features, p4, batch) for batch in batches])
        logits = logits.new_empty(logits.shape).index_copy(0, rows, logits)
        return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def reference(self, features: Tensor, p4: Tensor, mask: Tensor) -> Tensor:
        """The same as `forward` in eval mode, in plain torch on the padded batch."""
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
        if self.config.global_token:
            x = torch.cat([self.class_token.expand(mask.shape[0], -1, -1), x], 1)
            hidden = F.pad(hidden, (1, 0))
            if self.pairs is None:
                bias = hidden
            else:
                bias = torch.cat([hidden.expand(-1, bias.shape[1], -1, -1), F.pad(bias, (1, 0))], 2)
        for block, biased in zip(self.blocks, self.biased, strict=True):
            x = cast(Block, block).dense(x, x, bias if biased else hidden)
        if self.config.global_token:
            logits = self.head(self.norm(x[:, 0]))
            return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)
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
        bias = self._bias(p4, groups, x.dtype) if any(self.biased) else []
        plain = [] if all(self.biased) else self._no_bias(groups, x.dtype)
        if self.config.global_token:
            x, groups, bias, plain = self._with_token(x, groups, bias, plain)
        for block, biased in zip(self.blocks, self.biased, strict=True):
            x = block(x, groups, bias if biased else plain)
        if self.config.global_token:
            parts = x.split([group.mask.numel() for group in groups])
            shapes = [group.mask.shape for group in groups]
            first = [part.view(*s, -1)[:, 0] for part, s in zip(parts, shapes, strict=True)]
            return self.head(self.norm(torch.cat(first)))
        token = self.class_token[0].expand(sum(len(g.rows) for g in groups), -1)
        for block in self.class_blocks:
            token = cast(Block, block).for_class(x, token, groups)
        return self.head(self.norm(token))

    def _with_token(
        self, x: Tensor, groups: Sequence[Group], *biases: list[Tensor]
    ) -> tuple[Tensor, list[Group], list[Tensor], list[Tensor]]:
        """The class token in front of every jet; they attend to each other without bias."""
        parts = x.split([group.mask.numel() for group in groups])
        wider = [Group(g.rows, g.width + 1, F.pad(g.mask, (1, 0), value=True)) for g in groups]
        rows = [
            torch.cat(
                [self.class_token.expand(len(g.rows), -1, -1), part.view(*g.mask.shape, -1)], 1
            ).flatten(0, 1)
            for part, g in zip(parts, groups, strict=True)
        ]
        first = self._no_bias(wider, x.dtype)
        padded = [
            [
                torch.cat([row[:, :1], F.pad(bias, (1, 0))], 1)
                for row, bias in zip(first, own, strict=True)
            ]
            if own
            else []
            for own in biases
        ]
        return torch.cat(rows), wider, padded[0], padded[1]

    def _no_bias(self, groups: Sequence[Group], dtype: torch.dtype) -> list[Tensor]:
        """[heads x jets, width, width] of every group: padding is masked, without a pair bias."""
        return [
            blocked(g.mask, dtype)[:, None].expand(self.config.heads, -1, g.width, -1).flatten(0, 1)
            for g in groups
        ]

    def _bias(self, p4: Tensor, groups: Sequence[Group], dtype: torch.dtype) -> list[Tensor]:
        """Attention bias [heads x jets, width, width] of every group; padding is masked."""
        heads = self.config.heads
        if self.pairs is None:
            return self._no_bias(groups, dtype)
        lengths = torch.cat([group.mask.sum(1) for group in groups])
        particles = torch.cat([p4[group.rows, : group.width][group.mask] for group in groups])
        per_pair = self.pairs(particles, *lower_triangles(lengths))
        # one more column for pairs with a padded particle
        per_pair = F.pad(per_pair, (0, 1), value=torch.finfo(dtype).min / 4)
        count = lengths * (lengths + 1) // 2
        offsets = (count.cumsum(0) - count).split([len(group.rows) for group in groups])
        biases = []
        for group, offset in zip(groups, offsets, strict=True):
            i = torch.arange(group.width, device=lengths.device)
            high = torch.maximum(i[:, None], i)
            triangle = high * (high + 1) // 2 + torch.minimum(i[:, None], i)
            real = group.mask[:, :, None] & group.mask[:, None, :]
            column = torch.where(real, offset[:, None, None] + triangle, per_pair.shape[1] - 1)
            bias = per_pair.index_select(1, column.flatten()).view(heads, *column.shape)
            if self.config.remove_self_pair:
                bias = bias.masked_fill(real & (i[:, None] == i), 0.0)
            biases.append(bias.flatten(0, 1))
        return biases


def lower_triangles(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (i, j) into packed particles of all pairs with i >= j, jet by jet, row by row."""
    starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    token = torch.arange(len(starts), device=lengths.device)
    partners = token - starts + 1
    first = torch.repeat_interleave(token, partners)
    ends = partners.cumsum(0)
    position = torch.arange(len(first), device=lengths.device)
    second = position - torch.repeat_interleave(ends - partners - starts, partners)
    return first, second
