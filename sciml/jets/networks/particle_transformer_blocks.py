"""Blocks of the Particle Transformer, with the options that weaver-core's versions of it differ in.

Version 1 is the published block: NormFormer (Shleifer et al., arXiv:2110.09456) with class
attention as in CaiT (Touvron et al., arXiv:2103.17239). Versions 2 and 3 have SwiGLU (Shazeer,
arXiv:2002.05202) and none of NormFormer's gains; version 3 RMS norms (Zhang and Sennrich,
arXiv:1910.07467) and no biases; 3.5 and 3.6 also norms of queries and keys (Henry et al.,
arXiv:2010.04245) and gated attention (Qiu et al., arXiv:2505.06708).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sciml.jets.data.grouping import Group
from sciml.jets.networks import fused
from sciml.jets.networks.particle_transformer_config import Activation, BlockConfig

ROWS = fused.ROWS
"""Rows without gradients that go through the feed-forward layers at a time: they stay in cache."""


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) with a gain; eps is the precision of x, as in `torch.nn.RMSNorm`.

    Written out, because the ONNX of opset 17 has no such operator.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        square = x.square().mean(-1, keepdim=True)
        return x * torch.rsqrt(square + torch.finfo(x.dtype).eps) * self.weight


def norm_of(width: int, rms: bool) -> nn.Module:
    """A norm over the last axis."""
    return RMSNorm(width) if rms else nn.LayerNorm(width)


class Scale(nn.Module):
    """A gain per element."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return x * self.gain


class Attention(nn.Module):
    """Projections of multi-head attention."""

    def __init__(self, dim: int, heads: int, config: BlockConfig) -> None:
        super().__init__()
        bias, rms = config.linear_bias, config.rms_norm
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.out = nn.Linear(dim, dim, bias=bias)
        normed = config.query_key_norm
        self.query_norm = norm_of(dim // heads, rms) if normed else nn.Identity()
        self.key_norm = norm_of(dim // heads, rms) if normed else nn.Identity()
        width = {"none": 0, "head": heads, "element": dim}[config.gate]
        self.gate = nn.Linear(dim, width, bias=bias) if width else None


class Block(nn.Module):
    """Attention and feed-forward; the extra norms and gains of NormFormer unless left out.

    Args:
        dim: width.
        heads, expansion, activation: of the network, where `config` leaves them open.
        dropout: probability of dropping residuals, attention and activations.
        config: options.
    """

    def __init__(
        self, dim: int, heads: int, expansion: int, dropout: float, activation: Activation,
        config: BlockConfig,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.dropout = config.heads or heads, dropout
        self.activation = config.activation or activation
        hidden = dim * (config.expansion or expansion)
        rms, bias = config.rms_norm, config.linear_bias
        self.head_gain = nn.Parameter(torch.ones(self.heads)) if config.head_gain else None
        self.residual_gain = nn.Parameter(torch.ones(dim)) if config.residual_gain else None
        self.bias_gain = nn.Parameter(torch.ones(1)) if config.bias_gain else None
        self.norm_1 = norm_of(dim, rms)
        self.attention = Attention(dim, self.heads, config)
        self.norm_2 = norm_of(dim, rms) if config.attention_norm else nn.Identity()
        self.scale_1 = Scale(dim) if config.layer_scale else nn.Identity()
        self.norm_3 = norm_of(dim, rms)
        self.linear_1 = nn.Linear(dim, hidden, bias=bias)
        self.linear_gate = (
            nn.Linear(dim, hidden, bias=bias) if self.activation == "swiglu" else None
        )
        self.norm_4 = norm_of(hidden, rms) if config.hidden_norm else nn.Identity()
        self.linear_2 = nn.Linear(hidden, dim, bias=bias)
        self.scale_2 = Scale(dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor, groups: Sequence[Group], bias: Sequence[Tensor]) -> Tensor:
        """Particle attention within each group: [S, dim] -> [S, dim]."""
        normed = self.norm_1(x)
        parts = self.attention.qkv(normed).split([group.mask.numel() for group in groups])
        received = []
        for part, group, own in zip(parts, groups, bias, strict=True):
            jets, width = group.mask.shape
            qkv = part.view(jets, width, 3, self.heads, -1).permute(2, 3, 0, 1, 4)
            q, k, v = qkv.reshape(3, self.heads * jets, width, -1)
            q, k = self.attention.query_norm(q), self.attention.key_norm(k)
            out = self._attend(q, k, v, self._weighted(own)).view(self.heads, jets, width, -1)
            received.append(out.permute(1, 2, 0, 3).reshape(jets * width, -1))
        together = torch.cat(received) if len(received) > 1 else received[0]
        return self._rest(x, self._gated(together, normed))

    def for_class(self, x: Tensor, token: Tensor, groups: Sequence[Group]) -> Tensor:
        """The class token [B, dim] attends to itself and the particles [S, dim]: -> [B, dim]."""
        own, normed = self.norm_1(token), self.norm_1(x)
        sizes = [len(group.rows) for group in groups]
        parts = [
            part.view(*group.mask.shape, -1)
            for part, group in zip(
                normed.split([group.mask.numel() for group in groups]), groups, strict=True
            )
        ]
        if isinstance(self.attention.key_norm, nn.Identity):
            received = self._projected_back(token, own, parts, groups)
        else:
            received = torch.cat(
                [
                    self._received(
                        one[:, None],
                        torch.cat([mine[:, None], part], 1),
                        blocked(F.pad(group.mask, (1, 0), value=True), x.dtype)[:, None, None],
                    )[:, 0]
                    for one, mine, part, group in zip(
                        token.split(sizes), own.split(sizes), parts, groups, strict=True
                    )
                ]
            )
        # neither the query nor the input of the gate is normalised, as published
        return self._rest(token, self._gated(received, token))

    def _projected_back(
        self, token: Tensor, own: Tensor, parts: Sequence[Tensor], groups: Sequence[Group]
    ) -> Tensor:
        """Class attention from normalised particles [B, N, dim] of each group.

        With one query per jet, projecting the query back (W^T q) and the weighted sum of particles
        (W sum a x) replaces the keys and values of all particles: q (W x) = (W^T q) x.
        """
        dim, qkv = token.shape[1], self.attention.qkv
        query, key, value = qkv.weight.view(3, self.heads, -1, dim)
        shifts = qkv.weight.new_zeros(3 * dim) if qkv.bias is None else qkv.bias
        query_bias, key_bias, value_bias = shifts.view(3, self.heads, -1)
        q = torch.einsum("bc,hdc->bhd", token, query) + query_bias
        q = q * q.shape[-1] ** -0.5
        back = torch.einsum("bhd,hdc->bhc", q, key)
        constant = (q * key_bias).sum(-1, keepdim=True)
        own_logits = back @ own[..., None] + constant
        sums = []
        sizes = [len(group.rows) for group in groups]
        for projected, shift, mine, logit, part, group in zip(
            back.split(sizes), constant.split(sizes), own.split(sizes), own_logits.split(sizes),
            parts, groups, strict=True,
        ):  # fmt: skip
            logits = torch.baddbmm(
                shift + blocked(group.mask, part.dtype)[:, None], projected, part.mT
            )
            weights = torch.cat([logit, logits], -1).softmax(-1)
            sums.append(torch.baddbmm(weights[..., :1] * mine[:, None], weights[..., 1:], part))
        return (torch.einsum("bhc,hdc->bhd", torch.cat(sums), value) + value_bias).flatten(1)

    def dense(self, query: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """Plain attention of `query` [B, Q, dim] to `x` [B, N, dim] (itself, or with it in front).

        The queries of particles are normalised, that of the class token is not, as published.
        """
        normed = self.norm_1(x)
        source = normed if query is x else query
        received = self._received(source, normed, self._weighted(bias))
        return self._rest(query, self._gated(received, source))

    def _received(self, source: Tensor, normed: Tensor, bias: Tensor) -> Tensor:
        """Attention of `source` [B, Q, dim] to `normed` [B, N, dim]: [B, Q, dim]."""
        qkv = self.attention.qkv
        shifts = (None, None, None) if qkv.bias is None else qkv.bias.chunk(3)
        q, k, v = (
            F.linear(of, w, b).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for of, w, b in zip((source, normed, normed), qkv.weight.chunk(3), shifts, strict=True)
        )
        q, k = self.attention.query_norm(q), self.attention.key_norm(k)
        return F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)

    def _weighted(self, bias: Tensor) -> Tensor:
        """The bias times its gain, which leaves the mask within it alone."""
        if self.bias_gain is None:
            return bias
        return torch.where(bias > torch.finfo(bias.dtype).min / 8, bias * self.bias_gain, bias)

    def _gated(self, received: Tensor, source: Tensor) -> Tensor:
        """[..., dim] times the gates that `source` [..., dim] opens."""
        if self.attention.gate is None:
            return received
        gates = self.attention.gate(source).sigmoid()
        if gates.shape[-1] == received.shape[-1]:
            return received * gates
        return (received.unflatten(-1, (self.heads, -1)) * gates[..., None]).flatten(-2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """[heads x jets, N, d] each, bias [heads x jets, N, N]: heads so thin that products of
        whole matrices are faster than torch's fused kernel, with and without a gradient."""
        logits = torch.baddbmm(bias, q, k.mT, alpha=q.shape[-1] ** -0.5)
        weights = fused.dropout(logits.softmax(-1), self.dropout, self.training)
        return torch.bmm(weights, v)

    def _rest(self, x: Tensor, received: Tensor) -> Tensor:
        """The layers after attention, particle by particle: [S, dim] -> [S, dim]."""
        weight: Tensor = self.attention.out.weight
        bias: Tensor | None = self.attention.out.bias
        if self.head_gain is not None:
            # as published, the gain comes after the projection: it scales the projection's rows
            gain = self.head_gain.repeat_interleave(x.shape[-1] // self.heads)
            weight, bias = weight * gain[:, None], bias if bias is None else bias * gain
        if torch.is_grad_enabled() or x.ndim > 2:
            return self._project(x, received, weight, bias)
        # the same without a gradient, in place: `received` becomes the answer
        for own, before in zip(received.split(ROWS), x.split(ROWS), strict=True):
            mixed = self.scale_1(self.norm_2(F.linear(own, weight, bias))).add_(before)
            update = self._feed_forward(mixed)
            if self.residual_gain is None:
                torch.add(update, mixed, out=own)
            else:
                torch.addcmul(update, mixed, self.residual_gain, out=own)
        return received

    def _project(self, x: Tensor, received: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = self.scale_1(self._drop(self.norm_2(F.linear(received, weight, bias)))) + x
        # recomputed in backward: half of a block's memory for a twentieth of its time
        again = self.training and torch.is_grad_enabled()
        update = (
            checkpoint(self._feed_forward, x, use_reentrant=False)
            if again
            else self._feed_forward(x)
        )
        update = self._drop(update)
        if self.residual_gain is None:
            return update + x
        return torch.addcmul(update, x, self.residual_gain)

    def _feed_forward(self, x: Tensor) -> Tensor:
        wide, x = self.linear_1, self.norm_3(x)
        if self.linear_gate is not None:
            hidden = F.silu(self.linear_gate(x)) * wide(x)
        else:
            hidden = fused.linear_active(x, wide.weight, wide.bias, self.activation == "relu")
        return self.scale_2(self.linear_2(self.norm_4(self._drop(hidden))))

    def _drop(self, x: Tensor) -> Tensor:
        return fused.dropout(x, self.dropout, self.training)


def blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask: 0 where True, a large negative number where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, torch.finfo(dtype).min / 4
    )
