"""OmniLearned's classifier (PET v2): local attention among neighbours, then with a pair bias.

Bhimji, Harris, Mikuni, Nachman, "OmniLearned: A Foundation Model Framework for All Tasks Involving
Jet Physics", arXiv:2510.24066. The network reads particles as (deta, dphi, ln pT, ln E), perhaps
with a type and with impact parameters, and answers from class tokens that attend to them.

    local:   the K nearest particles of each attend to each other; their mean joins its embedding
    body:    attention among class tokens and particles, biased by ln m2, ln dR and ln kT of pairs
    head:    the class tokens attend to the particles; their concatenation -> classes

Names of modules are those of the package's state dict. Time, with which the body is trained to
generate jets, is zero here: its token is then exactly zero, which masks it, and is left out.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range

Positive = Annotated[int, Range(min=1)]
Count = Annotated[int, Range(min=0)]
ETA, PHI, LOG_PT = range(3)
FAR = 999.0
"""Coordinates of padding."""
MASKED = -1e9


@dataclasses.dataclass(frozen=True)
class OmniLearnedConfig:
    """Sizes of the network; the defaults are those of the small one."""

    features: Positive = 4
    """Features per particle, beginning with deta, dphi, ln pT."""
    classes: Positive = 2
    """Outputs."""
    dim: Positive = 128
    """Width."""
    heads: Positive = 8
    """Attention heads."""
    layers: Count = 8
    """Blocks of the body."""
    local_layers: Count = 2
    """Blocks among neighbours."""
    head_layers: Count = 2
    """Blocks of the head."""
    tokens: Positive = 4
    """Class tokens."""
    expansion: Positive = 2
    """Hidden width of feed-forward layers over `dim`."""
    neighbours: Annotated[int, Range(min=1, max=4096)] = 10
    """Neighbours of each particle (K)."""
    coordinates: Positive = 2
    """Features among which neighbours are looked for (num_coord): deta, dphi, perhaps ln pT."""
    pair_bias: bool = True
    """The body's attention has a pair bias."""
    local_pairs: bool = True
    """Neighbours have pair features."""
    kinds: Count = 0
    """Types of particles; 0: not read."""
    track_features: Count = 0
    """Further features per particle; 0: none."""
    conditions: Count = 0
    """Features of the jet; 0: none."""


class DynamicTanh(nn.Module):
    """tanh(alpha x) with a gain, in place of a norm (Zhu et al., arXiv:2503.10622)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), 0.5))
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return torch.tanh(self.alpha * x) * self.weight


class MLP(nn.Module):
    """Linear, GELU, norm (unless left out), linear."""

    def __init__(
        self, inputs: int, hidden: int, width: int, normed: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden, bias=bias)
        self.norm = DynamicTanh(hidden) if normed else nn.Identity()
        self.fc2 = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., width]."""
        return self.fc2(self.norm(F.gelu(self.fc1(x))))


class Attention(nn.Module):
    """Multi-head attention without biases."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, query: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """`query` [B, Q, dim] attends to `x` [B, N, dim], bias [B, 1 or heads, 1 or Q, N]."""
        q, k, v = (
            F.linear(of, weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for of, weight in zip((query, x, x), self.in_proj_weight.chunk(3), strict=True)
        )
        received = F.scaled_dot_product_attention(q, k, v, bias)
        return self.out_proj(received.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention among particles, then an MLP; padding stays zero."""

    def __init__(self, dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = DynamicTanh(dim), DynamicTanh(dim)
        self.attn = Attention(dim, heads)
        self.mlp = MLP(dim, expansion * dim, dim)

    def forward(self, x: Tensor, real: Tensor, bias: Tensor) -> Tensor:
        """x [B, N, dim], real [B, N, 1] of zeros and ones -> [B, N, dim]."""
        normed = self.norm1(x * real)
        x = x + self.attn(normed, normed, bias) * real
        return x + self.mlp(self.norm2(x)) * real


class TokenBlock(nn.Module):
    """Class tokens attend to particles, which stay as they are."""

    def __init__(self, dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.norm = DynamicTanh(dim)
        self.attn = Attention(dim, heads)
        self.mlp = MLP(dim, expansion * dim, dim)

    def forward(self, tokens: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        """tokens [B, T, dim], x [B, N, dim] -> [B, T, dim]."""
        tokens = tokens + self.attn(tokens, x, bias)
        return tokens + self.mlp(self.norm(tokens))


def pair_features(first: Tensor, second: Tensor, real: Tensor) -> Tensor:
    """ln m2, ln dR and ln kT of pairs [..., features]: [..., 3]; zero where `real` [..., 1] is."""
    eta, phi = (first[..., k] - second[..., k] for k in (ETA, PHI))
    pt_i, pt_j = first[..., LOG_PT].exp(), second[..., LOG_PT].exp()
    mass2 = 2 * pt_i * pt_j * (torch.cosh(eta) - torch.cos(phi))
    dr2 = eta.square() + phi.square()
    kt = torch.minimum(pt_i, pt_j) * dr2.clamp(min=1e-30).sqrt() * (dr2 > 0)
    values = torch.stack([_log(mass2), 0.5 * _log(dr2), _log(kt * real[..., 0])], -1)
    return values * real


def _log(x: Tensor) -> Tensor:
    """Zero where there is no logarithm."""
    return torch.where(x > 0, x, 1.0).log()


class Embed(nn.Module):
    """Norm and MLP of the features."""

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.mlp, self.norm = MLP(features, hidden, dim), DynamicTanh(features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, features] -> [B, N, dim]."""
        return self.mlp(self.norm(x))


class Interaction(nn.Module):
    """Pair features -> a bias per head."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.mlp = MLP(3, 2 * dim, heads, normed=False)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [B, N, features], real [B, N, 1] -> [B, heads, N, N]."""
        both = (real @ real.mT)[..., None]
        bias = self.mlp(pair_features(x[:, :, None], x[:, None], both)) * both
        return bias.permute(0, 3, 1, 2)


class LocalPhysics(nn.Module):
    """What the neighbours of each particle say about it."""

    def __init__(self, config: OmniLearnedConfig) -> None:
        super().__init__()
        self.config = config
        inputs = config.features + 3 * config.local_pairs
        self.mlp = MLP(inputs, config.expansion * config.dim, config.dim)
        self.in_blocks = nn.ModuleList(
            # blocks among neighbours have twice the width inside, whatever `expansion` is
            Block(config.dim, config.heads, 2) for _ in range(config.local_layers)
        )  # fmt: skip

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [B, N, features], N > neighbours, real [B, N, 1] -> [B, N, dim]."""
        jets, count, _ = x.shape
        points = x[..., : self.config.coordinates] + FAR * (1 - real)
        square = points.square().sum(-1, keepdim=True)
        distances = square - 2 * points @ points.mT + square.mT
        index = (-distances).topk(self.config.neighbours + 1, -1).indices[..., 1:]
        rows = index + count * torch.arange(jets, device=x.device)[:, None, None]
        near = x.flatten(0, 1)[rows]
        real_near = real.flatten(0, 1)[rows]
        own = x[:, :, None].expand_as(near)
        relative = own - near
        if self.config.local_pairs:
            pairs = pair_features(own, near, real_near)
            relative = torch.cat([relative, pairs], -1) * real_near
        relative, mask = relative.flatten(0, 1), real_near.flatten(0, 1)
        bias = MASKED * (1 - mask @ mask.mT)[:, None]
        edges = self.mlp(relative) * mask
        for block in self.in_blocks:
            edges = block(edges, mask, bias)
        edges, mask = (v.unflatten(0, (jets, count)) for v in (edges, mask))
        return edges.sum(2) / (1e-9 + mask).sum(2) * real


class Body(nn.Module):
    """Particles -> class tokens and particles."""

    def __init__(self, config: OmniLearnedConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = Embed(c.features, c.expansion * c.dim, c.dim)
        self.interaction = Interaction(c.dim, c.heads) if c.pair_bias else None
        self.local_physics = LocalPhysics(c)
        if c.conditions:
            self.cond_embed = nn.Sequential(MLP(c.conditions, c.dim, c.dim))
        if c.track_features:
            hidden = c.expansion * c.dim
            self.add_embed = nn.Sequential(MLP(c.track_features, hidden, c.dim, bias=False))
        if c.kinds:
            self.pid_embed = nn.Sequential(nn.Embedding(c.kinds, c.dim, padding_idx=0))
        self.token = nn.Parameter(torch.empty(1, c.tokens, c.dim))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.in_blocks = nn.ModuleList(Block(c.dim, c.heads, c.expansion) for _ in range(c.layers))
        self.norm = DynamicTanh(c.dim)

    def forward(
        self, x: Tensor, real: Tensor, kinds: Tensor | None, tracks: Tensor | None,
        conditions: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """[B, N, features] -> [B, tokens (+ 1) + N, dim], and which of them are no padding."""
        nodes = self.embed(x) * real + self.local_physics(x, real)
        if kinds is not None:
            nodes = nodes + self.pid_embed(kinds) * real
        if tracks is not None:
            nodes = nodes + self.add_embed(tracks) * real
        front = [self.token.expand(len(x), -1, -1)]
        if conditions is not None:
            front.append(self.cond_embed(conditions)[:, None])
        before = sum(part.shape[1] for part in front)
        nodes = torch.cat([*front, nodes], 1)
        mask = F.pad(real, (0, 0, before, 0), value=1.0)
        bias = MASKED * (1 - mask @ mask.mT)[:, None]
        if self.interaction is not None:
            bias = bias + F.pad(self.interaction(x, real), (before, 0, before, 0))
        for block in self.in_blocks:
            nodes = block(nodes, mask, bias)
        return self.norm(nodes) * mask, mask


class Classifier(nn.Module):
    """Class tokens attend to the rest; an MLP of all of them gives the logits."""

    def __init__(self, config: OmniLearnedConfig) -> None:
        super().__init__()
        self.tokens = config.tokens
        width = config.tokens * config.dim
        self.in_blocks = nn.ModuleList(
            TokenBlock(config.dim, config.heads, config.expansion)
            for _ in range(config.head_layers)
        )
        self.fc = MLP(width, config.expansion * width, width)
        self.out = nn.Linear(width, config.classes)

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        """[B, tokens + N, dim], [B, tokens + N, 1] -> [B, classes]."""
        tokens, rest = nodes[:, : self.tokens], nodes[:, self.tokens :]
        bias = MASKED * (1 - mask[:, None, None, self.tokens :, 0])
        for block in self.in_blocks:
            tokens = block(tokens, rest, bias)
        return self.out(self.fc(tokens.flatten(1)))


class OmniLearned(nn.Module):
    """Jets -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: OmniLearnedConfig) -> None:
        super().__init__()
        self.config = config
        self.body, self.classifier = Body(config), Classifier(config)

    def forward(
        self, x: Tensor, mask: Tensor, kinds: Tensor | None = None, tracks: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            x: [B, N, features]: deta, dphi, ln pT, ln E.
            mask: [B, N] bool, True for a particle.
            kinds: [B, N] type of each particle.
            tracks: [B, N, track_features]: tanh d0, its error, tanh dz, its error.
            conditions: [B, conditions] features of the jet.
        """
        more = self.config.neighbours + 1  # every particle has that many others, if padding
        if not torch.jit.is_tracing():
            more = max(0, more - mask.shape[1])
        rows = (0, 0, 0, more)
        real = F.pad(mask, (0, more))
        x = F.pad(x, rows).masked_fill(~real[..., None], 0.0)
        kinds = None if kinds is None else F.pad(kinds, (0, more))
        tracks = None if tracks is None else F.pad(tracks, rows)
        nodes, whole = self.body(x, real[..., None].to(x.dtype), kinds, tracks, conditions)
        return self.classifier(nodes, whole).masked_fill(~mask.any(1, keepdim=True), torch.nan)
