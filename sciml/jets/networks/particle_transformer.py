"""The Particle Transformer as published, exact and fast on ragged jets.

Qu, Li, Qian, "Particle Transformer for Jet Tagging", arXiv:2202.03772. The layout of weights is
that of weaver-core's `ParticleTransformer` in all its versions and options (see `weaver.names`).

Where the time goes, and what is done about it:
- padding: jets are sorted by length into groups of nearly equal length; all layers but attention
  run over the particles of all groups end to end, without padding to the longest jet;
- pairs: where the bias is symmetric, only i >= j of real particles go through the pair network; its
  batch norms fold into the linear layers in eval mode, and in training its activations are
  computed again in backward rather than saved;
- attention: all heads of a group in one batched product, the padding inside the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.jets.data.grouping import Group, group_by_length, runs
from sciml.jets.networks import fused
from sciml.jets.networks.particle_transformer_blocks import ROWS, Block, blocked, norm_of
from sciml.jets.networks.particle_transformer_config import Activation, ParTConfig
from sciml.jets.networks.particle_transformer_pairs import LinearNorm, PairLayers, PairNetwork

CHUNK = 4096
"""Size (jets x longest) of a pass through the network without gradients."""


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
    """Batch norm over features, then (layer norm, linear, GELU) per width.

    Args:
        features, widths: sizes.
        relu: ReLU in place of GELU.
        convolution: (linear, batch norm, GELU) per width instead, without the last GELU.
    """

    def __init__(
        self, features: int, widths: Sequence[int], relu: bool = False, convolution: bool = False
    ) -> None:
        super().__init__()
        self.relu, self.convolution = relu, convolution
        self.norm = nn.BatchNorm1d(features)
        sizes = [features, *widths]
        self.layers = nn.ModuleList(
            LinearNorm(a, b, bias=False) if convolution else NormedLinear(a, b, relu)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[S, features] -> [S, dim]."""
        x = self.norm(x)
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            return self._layers(x)
        return torch.cat([self._layers(rows) for rows in x.split(ROWS)])

    def _layers(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if self.convolution and number + 1 < len(self.layers):
                x = F.relu(x) if self.relu else F.gelu(x)
        return x


class HiddenLayer(nn.Module):
    """A hidden layer of the classifier: linear and activation, or SwiGLU and a norm."""

    def __init__(
        self, inputs: int, width: int, activation: Activation, dropout: float, bias: bool, rms: bool
    ) -> None:
        super().__init__()
        self.activation, self.dropout = activation, dropout
        if activation == "swiglu":
            self.linear = nn.Linear(inputs, 8 * width, bias=bias)
            self.out = nn.Linear(4 * width, width, bias=bias)
            self.norm = norm_of(width, rms)
        else:
            self.linear = nn.Linear(inputs, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] -> [B, width]."""
        x = self.linear(x)
        if self.activation == "swiglu":
            gate, x = x.chunk(2, -1)
            return self.norm(self.out(F.dropout(F.silu(gate) * x, self.dropout, self.training)))
        x = F.gelu(x) if self.activation == "gelu" else F.relu(x)
        return F.dropout(x, self.dropout, self.training)


class ParticleTransformer(nn.Module):
    """Jets as clouds of particles -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParTConfig) -> None:
        super().__init__()
        self.config = config
        dim, heads, activation = config.dim, config.heads, config.activation
        self.embed = (
            Embedding(config.features, config.embed, activation != "gelu", config.convolution)
            if config.embed
            else nn.Identity()
        )
        biases = config.block.heads or heads
        last_gelu, linear_bias = not config.use_pre_activation_pair, config.pair_linear_bias
        self.pairs = (
            PairNetwork(
                config.pair_features, config.pair, biases, last_gelu, linear_bias, config.pair_kind
            )
            if config.biased and config.pair_features
            else None
        )
        self.extra_pairs = (
            PairLayers(config.pair_extra, config.pair, biases, last_gelu, linear_bias)
            if config.biased and config.pair_extra
            else None
        )
        if config.token:
            self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
            nn.init.trunc_normal_(self.class_token, std=0.02)
        self.blocks = nn.ModuleList(
            Block(dim, heads, config.expansion, config.dropout, activation, config.block)
            for _ in range(config.layers)
        )
        self.class_blocks = nn.ModuleList(
            Block(dim, heads, config.expansion, 0.0, activation, config.class_block)
            for _ in range(config.class_layers)
        )
        self.norm = norm_of(dim, config.rms_norm)
        sizes = [dim, *config.hidden]
        activations: list[Activation] = list(config.hidden_activations)
        activations = activations or ["relu"] * len(config.hidden)
        self.hidden = nn.ModuleList(
            HiddenLayer(a, b, name, config.dropout, config.hidden_linear_bias, config.rms_norm)
            for a, b, name in zip(sizes, config.hidden, activations, strict=False)
        )
        self.head = nn.Linear(sizes[-1], config.classes)
        chosen = config.bias_blocks
        numbers = range(config.layers) if chosen is None else [n % config.layers for n in chosen]
        self.biased = [number in numbers for number in range(config.layers)]

    def forward(
        self, features: Tensor, p4: Tensor, mask: Tensor, pairs: Tensor | None = None
    ) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            p4: [B, N, 4] (px, py, pz, E), GeV.
            mask: [B, N] bool, True for a particle.
            pairs: [B, N, N, extra] further features of pairs, for a network that has them.
        """
        if (self.extra_pairs is None) != (pairs is None):
            missing = "needs" if pairs is None else "does not take"
            raise InputError(f"the network {missing} extra features of pairs (pf_uu)")
        if torch.jit.is_tracing():
            return self.reference(features, p4, mask, pairs)
        if not mask.numel():
            return features.new_full((len(mask), self.config.classes), torch.nan)
        if self.training or torch.is_grad_enabled():
            batches = [group_by_length(mask)]
        else:
            batches = runs(group_by_length(mask, max_size=CHUNK), CHUNK)
        groups = [group for batch in batches for group in batch]
        rows = torch.cat([group.rows for group in groups])
        vectors = torch.cat([self._groups(features, p4, batch, pairs) for batch in batches])
        logits = self._answer(vectors)
        logits = logits.new_empty(logits.shape).index_copy(0, rows, logits)
        return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def reference(
        self, features: Tensor, p4: Tensor, mask: Tensor, pairs: Tensor | None = None
    ) -> Tensor:
        """The same as `forward` in eval mode, in plain torch on the padded batch."""
        x = self.embed(features.flatten(0, 1)).unflatten(0, mask.shape)
        x = x.masked_fill(~mask[..., None], 0.0)
        hidden = blocked(mask, x.dtype)[:, None, None, :]
        bias = hidden
        if (pair_bias := self._dense_bias(p4, mask, pairs)) is not None:
            bias = pair_bias + hidden
        if self.config.global_token:
            x = torch.cat([self.class_token.expand(mask.shape[0], -1, -1), x], 1)
            hidden = F.pad(hidden, (1, 0))
            if pair_bias is None:
                bias = hidden
            else:
                bias = torch.cat([hidden.expand(-1, bias.shape[1], -1, -1), F.pad(bias, (1, 0))], 2)
        for block, biased in zip(self.blocks, self.biased, strict=True):
            x = cast(Block, block).dense(x, x, bias if biased else hidden)
        if self.config.global_token:
            vector = x[:, 0]
        elif not self.config.class_layers:
            real = mask[..., None].to(x.dtype)
            vector = (x * real).sum(1) / real.sum(1).clamp(min=1)
        else:
            token = self.class_token.expand(mask.shape[0], -1, -1)
            for block in self.class_blocks:
                both = torch.cat([token, x], 1)
                token = cast(Block, block).dense(token, both, F.pad(hidden, (1, 0)))
            vector = token[:, 0]
        return self._answer(vector).masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def _answer(self, vectors: Tensor) -> Tensor:
        """[B, dim] -> logits [B, classes]."""
        x = self.norm(vectors)
        for layer in self.hidden:
            x = layer(x)
        return self.head(x)

    def _dense_bias(self, p4: Tensor, mask: Tensor, extra: Tensor | None) -> Tensor | None:
        """Pair bias [B, heads, N, N] of every ordered pair, in eval mode."""
        bias = None
        if self.pairs is not None:
            # ONNX has no direction for a padded particle's zeros
            unit = p4.new_tensor([1.0, 0.0, 0.0, 1.0])
            bias = self.pairs.dense(torch.where(mask[..., None], p4, unit))
            if self.config.remove_self_pair and self.config.symmetric:
                bias = bias * (1 - torch.eye(mask.shape[1], dtype=bias.dtype))[..., None]
        if self.extra_pairs is not None and extra is not None:
            more = self.extra_pairs.apply_folded(extra, self.extra_pairs.folded())
            bias = more if bias is None else bias + more
        return None if bias is None else bias.permute(0, 3, 1, 2)

    def _groups(
        self, features: Tensor, p4: Tensor, groups: Sequence[Group], pairs: Tensor | None
    ) -> Tensor:
        """The vectors [jets, dim] of the jets of all groups."""
        real = torch.cat([group.mask.flatten() for group in groups])
        x = torch.cat([features[g.rows, : g.width].flatten(0, 1) for g in groups])
        embedded = self.embed(x[real])
        x = embedded.new_zeros(len(x), embedded.shape[1]).index_copy(
            0, real.nonzero()[:, 0], embedded
        )
        bias = self._bias(p4, groups, x.dtype, pairs) if any(self.biased) else []
        plain = [] if all(self.biased) else self._no_bias(groups, x.dtype)
        if self.config.global_token:
            x, groups, bias, plain = self._with_token(x, groups, bias, plain)
        for block, biased in zip(self.blocks, self.biased, strict=True):
            x = block(x, groups, bias if biased else plain)
        if not self.config.class_layers:
            parts = x.split([group.mask.numel() for group in groups])
            padded = [p.view(*g.mask.shape, -1) for p, g in zip(parts, groups, strict=True)]
            if self.config.global_token:
                return torch.cat([part[:, 0] for part in padded])
            masks = [group.mask[..., None].to(x.dtype) for group in groups]
            means = zip(padded, masks, strict=True)
            return torch.cat([(p * m).sum(1) / m.sum(1).clamp(min=1) for p, m in means])
        token = self.class_token[0].expand(sum(len(g.rows) for g in groups), -1)
        for block in self.class_blocks:
            token = cast(Block, block).for_class(x, token, groups)
        return token

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
            blocked(g.mask, dtype)[:, None].expand(self.heads, -1, g.width, -1).flatten(0, 1)
            for g in groups
        ]

    @property
    def heads(self) -> int:
        """Attention heads of the particle blocks."""
        return self.config.block.heads or self.config.heads

    def _bias(
        self, p4: Tensor, groups: Sequence[Group], dtype: torch.dtype, extra: Tensor | None
    ) -> list[Tensor]:
        """Attention bias [heads x jets, width, width] of every group; padding is masked."""
        if not self.config.biased:
            return self._no_bias(groups, dtype)
        symmetric = self.config.symmetric
        lengths = torch.cat([group.mask.sum(1) for group in groups])
        first, second = lower_triangles(lengths) if symmetric else squares(lengths)
        per_pair: Tensor | None = None
        if self.pairs is not None:
            particles = torch.cat([p4[group.rows, : group.width][group.mask] for group in groups])
            per_pair = self.pairs(particles, first, second)
        if self.extra_pairs is not None and extra is not None:
            cut = [extra[g.rows, : g.width, : g.width][self._real(g)] for g in groups]
            more = self.extra_pairs.apply_to(torch.cat(cut))
            per_pair = more if per_pair is None else per_pair + more
        assert per_pair is not None
        # one more column for pairs with a padded particle
        per_pair = F.pad(per_pair, (0, 1), value=torch.finfo(dtype).min / 4)
        count = lengths * (lengths + 1) // 2 if symmetric else lengths.square()
        sizes = [len(group.rows) for group in groups]
        offsets = (count.cumsum(0) - count).split(sizes)
        biases = []
        for group, offset, own in zip(groups, offsets, lengths.split(sizes), strict=True):
            i = torch.arange(group.width, device=lengths.device)
            real = self._real(group)
            if symmetric:
                high = torch.maximum(i[:, None], i)
                place = (high * (high + 1) // 2 + torch.minimum(i[:, None], i))[None]
            else:
                place = i[:, None] * own[:, None, None] + i
            column = torch.where(real, offset[:, None, None] + place, per_pair.shape[1] - 1)
            bias = per_pair.index_select(1, column.flatten()).view(self.heads, *column.shape)
            if self.config.remove_self_pair and symmetric:
                bias = bias.masked_fill(real & (i[:, None] == i), 0.0)
            biases.append(bias.flatten(0, 1))
        return biases

    @staticmethod
    def _real(group: Group) -> Tensor:
        """[B, N, N]: pairs of two particles."""
        return group.mask[:, :, None] & group.mask[:, None, :]


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


def squares(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (i, j) into packed particles of all ordered pairs, jet by jet, row by row."""
    starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    partners = torch.repeat_interleave(lengths, lengths)
    first = torch.repeat_interleave(torch.arange(len(starts), device=lengths.device), partners)
    ends = partners.cumsum(0)
    position = torch.arange(len(first), device=lengths.device)
    second = position - torch.repeat_interleave(ends - partners - starts, partners)
    return first, second
