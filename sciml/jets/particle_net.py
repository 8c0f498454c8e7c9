"""ParticleNet as published: dynamic graph convolutions on the nearest particles.

Qu, Gouskos, "ParticleNet: Jet Tagging via Particle Clouds", arXiv:1902.08570; the edge convolution
is that of DGCNN (Wang et al., arXiv:1801.07829). The variant is the one of the published JetClass
weights: no fusion layer, mean over neighbours, mean over the real particles.

An edge convolution starts with a linear map of (x_i, x_j - x_i). It is done a particle, not an
edge: W (x_i, x_j - x_i) = (W1 - W2) x_i + W2 x_j, k times less work for the same numbers.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.jets.features import wrap_angle
from sciml.jets.grouping import group_by_length

FAR = 1e18
"""Squared distance to a padded particle: a neighbour only where real ones run out."""


@dataclasses.dataclass(frozen=True)
class ParticleNetConfig:
    """Sizes of a ParticleNet; the defaults are those of the published JetClass weights."""

    features: int = 17
    """Features a particle."""
    classes: int = 10
    """Classes."""
    neighbours: tuple[int, ...] = (16, 16, 16)
    """Neighbours a particle, for each edge convolution."""
    channels: tuple[tuple[int, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    """Widths of the layers of each edge convolution."""
    hidden: tuple[int, ...] = (256,)
    """Hidden widths of the classifier."""
    dropout: float = 0.1
    """Probability of dropping a hidden unit of the classifier."""


def squared_distances(x: Tensor) -> Tensor:
    """[B, N, D] -> [B, N, N], by |a|^2 - 2ab + |b|^2."""
    square = x.square().sum(-1)
    return (square[:, :, None] - 2 * x @ x.transpose(1, 2) + square[:, None, :]).clamp(min=0)


def nearest(distances: Tensor, count: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of every particle, and whether rounding could have chosen others.

    Args:
        distances: [B, N, N] squared, padded particles far from all.
        count: neighbours a particle; itself, the very nearest, does not count.
        mask: [B, N] bool.

    Returns:
        indices [B, N, count], and [B] bool: the last neighbour and the next particle are as near
        as the error of a distance in this precision.
    """
    more = min(count + 2, distances.shape[-1])
    found = distances.topk(more, dim=-1, largest=False, sorted=True)
    indices = found.indices[..., 1 : count + 1]
    if more < count + 2:
        return indices, mask.new_zeros(len(mask))
    real = mask[:, :, None] & mask[:, None, :]
    spread = distances.masked_fill(~real, 0).amax(2)
    gap = (found.values[..., -1] - found.values[..., -2]).masked_fill(~mask, torch.inf)
    tied = gap < 16 * torch.finfo(distances.dtype).eps * spread
    return indices, (tied & (found.values[..., -1] < FAR)).any(1)


class EdgeConvolution(nn.Module):
    """Mean over neighbours of a small network on (x_i, x_j - x_i), plus a shortcut."""

    def __init__(self, inputs: int, widths: tuple[int, ...], neighbours: int) -> None:
        super().__init__()
        self.size = neighbours
        sizes = [2 * inputs, *widths]
        self.linears = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.shortcut = nn.Linear(inputs, widths[-1], bias=False) if inputs != widths[-1] else None
        self.shortcut_norm = nn.BatchNorm1d(widths[-1]) if inputs != widths[-1] else None

    def forward(self, x: Tensor, nearby: Tensor, mask: Tensor) -> Tensor:
        """[B, N, inputs], neighbours [B, N, k], mask [B, N] -> [B, N, width]."""
        linears, norms = cast(list[nn.Linear], self.linears), cast(list[nn.BatchNorm1d], self.norms)
        own_half, other_half = linears[0].weight.chunk(2, dim=1)
        own = F.linear(x, own_half - other_half)
        other = F.linear(x, other_half)
        jets, particles, width = other.shape
        starts = torch.arange(jets, device=x.device)[:, None, None] * particles
        picked = other.reshape(-1, width)[(nearby + starts).flatten()]
        edges = picked.view(*nearby.shape, width) + own[:, :, None]
        real = mask[:, :, None].expand(nearby.shape)
        edges = F.relu(normalised(norms[0], edges, real))
        for linear, norm in zip(linears[1:], norms[1:], strict=True):
            edges = F.relu(normalised(norm, linear(edges), real))
        skip = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            skip = normalised(self.shortcut_norm, self.shortcut(x), mask)
        return F.relu(edges.mean(2) + skip)


def normalised(norm: nn.BatchNorm1d, x: Tensor, real: Tensor) -> Tensor:
    """Batch norm over the last axis; in training only `real` entries count."""
    if norm.training:
        return torch.zeros_like(x).masked_scatter(real[..., None], norm(x[real]))
    scale, shift = as_affine(norm)
    return x * scale + shift


def as_affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift that a batch norm applies in eval mode."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics has no eval mode")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


class ParticleNet(nn.Module):
    """Jets as clouds of particles -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleNetConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm1d(config.features)
        self.convolutions = nn.ModuleList()
        inputs = config.features
        for widths, count in zip(config.channels, config.neighbours, strict=True):
            self.convolutions.append(EdgeConvolution(inputs, widths, count))
            inputs = widths[-1]
        sizes = [inputs, *config.hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = nn.Linear(sizes[-1], config.classes)

    def forward(self, features: Tensor, points: Tensor, mask: Tensor) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            points: [B, N, 2] (deta, dphi).
            mask: [B, N] bool, True for a particle.
        """
        least = max(self.config.neighbours) + 1
        if torch.jit.is_tracing() or mask.shape[1] < least:
            # a traced graph must serve any length: there always add what the shortest jet lacks
            short = least - (0 if torch.jit.is_tracing() else mask.shape[1])
            mask = F.pad(mask, (0, short))
            features, points = (F.pad(x, (0, 0, 0, short)) for x in (features, points))
        if self.training or torch.jit.is_tracing():
            logits, _ = self._padded(features, points, mask)
        else:
            groups = group_by_length(mask, least=least, most=1024)
            parts = [
                self._padded(features[g.rows, : g.width], points[g.rows, : g.width], g.mask)
                for g in groups
            ]
            rows = torch.cat([group.rows for group in groups])
            logits = torch.cat([part[0] for part in parts])
            logits = torch.empty_like(logits).index_copy(0, rows, logits)
            tied = torch.empty_like(rows, dtype=torch.bool)
            tied[rows] = torch.cat([part[1] for part in parts])
            if features.dtype == torch.float32 and features.device.type != "mps":
                logits = self._settle(tied, logits, features, points, mask)
        return logits.masked_fill(~mask.any(1, keepdim=True), torch.nan)

    def _settle(
        self, tied: Tensor, logits: Tensor, features: Tensor, points: Tensor, mask: Tensor
    ) -> Tensor:
        """Does jets whose neighbours hang on rounding again, in double precision.

        So the answer does not depend on the order of particles or on the machine.
        """
        rows = tied.nonzero()[:, 0]
        if not len(rows):
            return logits
        double = {
            name: value.double() if value.is_floating_point() else value
            for name, value in (*self.named_parameters(), *self.named_buffers())
        }
        again = torch.func.functional_call(
            self, double, (features[rows].double(), points[rows].double(), mask[rows])
        )
        return logits.index_copy(0, rows, again.float())

    def _padded(self, features: Tensor, points: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and which jets' neighbours hang on rounding."""
        padded = ~mask[..., None]
        far = padded | padded.transpose(1, 2)
        x = normalised(self.norm, features, mask).masked_fill(padded, 0.0)
        count = mask.sum(1, keepdim=True).clamp(min=1)
        tied = mask.new_zeros(len(mask))
        for number, convolution in enumerate(self.convolutions):
            if number == 0:
                eta, phi = points[..., :1], points[..., 1]
                dphi = wrap_angle(phi[:, :, None] - phi[:, None, :])
                distances = dphi.square() + squared_distances(eta)
            else:
                # about their mean, coordinates are smaller and distances rounded less
                centre = x.sum(1, keepdim=True) / count[..., None]
                distances = squared_distances(x - centre)
            nearby, close = nearest(
                distances.masked_fill(far, FAR), cast(int, convolution.size), mask
            )
            tied |= close
            x = convolution(x, nearby, mask).masked_fill(padded, 0.0)
        pooled = x.sum(1) / count
        for linear in self.hidden:
            pooled = F.dropout(F.relu(linear(pooled)), self.config.dropout, self.training)
        return self.head(pooled), tied
