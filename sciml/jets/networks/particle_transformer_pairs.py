"""The pair network of the Particle Transformer: four-momenta of a pair -> one bias per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.jets.data.features import (
    PAIR_FEATURES,
    TINY,
    all_pairs,
    with_kinematics,
    wrap_angle,
)
from sciml.jets.networks import fused, pair_kinematics, pair_training
from sciml.trunks.particle_net import as_affine

CHUNK = 8192
"""Pairs that go through the network at a time without gradients: they stay in cache."""


def packed_features(particles: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """`features.pair_features` of chosen pairs, a feature per row: [7, S] -> [4, P].

    Args:
        particles: `features.with_kinematics`, transposed.
        first, second: [P] indices of the two particles of each pair.
    """
    one, other = particles.index_select(1, first), particles.index_select(1, second)
    px, py, pz, energy = (one[:4] + other[:4]).unbind()
    mass2 = energy.square() - (px.square() + py.square() + pz.square())
    dr2 = (one[5] - other[5]).square() + wrap_angle(one[6] - other[6]).square()
    dr = dr2.clamp(min=1e-30).sqrt()  # the floor keeps the gradient of equal directions finite
    softer = torch.minimum(one[4], other[4])
    z = softer / (one[4] + other[4]).clamp(min=TINY)
    return torch.stack([softer * dr, z, dr, mass2]).clamp(min=TINY).log()


class LinearNorm(nn.Module):
    """Linear, batch norm."""

    def __init__(self, inputs: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width, bias=bias)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[P, inputs] -> [P, width]."""
        return self.norm(self.linear(x))

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight, bias (zeros where there is none), gain, shift."""
        weight, bias = self.linear.weight, self.linear.bias
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        return weight, bias, self.norm.weight, self.norm.bias


class PairLayers(nn.Module):
    """Batch norm, then (linear, batch norm, GELU) per width; by default no GELU at the end.

    It keeps its GELU in networks whose other activations are ReLU, as in weaver-core.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], heads: int, last_gelu: bool, bias: bool = True
    ) -> None:
        super().__init__()
        self.last_gelu, self.heads = last_gelu, heads
        self.norm = nn.BatchNorm1d(inputs)
        sizes = [inputs, *widths, heads]
        self.layers = nn.ModuleList(
            LinearNorm(a, b, bias) for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def apply_to(self, features: Tensor) -> Tensor:
        """Features of pairs [P, inputs] -> biases [heads, P]."""
        if self.training:
            layers = [cast(LinearNorm, layer).parts() for layer in self.layers]
            out, statistics = pair_training.network(
                features, (self.norm.weight, self.norm.bias), layers, self.last_gelu, self.norm.eps
            )
            self._note(statistics, len(features))
            return out.T
        folded = self.folded()
        # the kinematics stay in single precision where the network is in half
        features = features.to(folded[0][0].dtype)
        if torch.is_grad_enabled():
            return self.apply_folded(features, folded).T
        out = features.new_empty(self.heads, len(features))
        for start in range(0, len(features), CHUNK):
            span = slice(start, start + CHUNK)
            out[:, span] = self.apply_folded(features[span].contiguous(), folded).T
        return out

    @torch.no_grad()
    def _note(self, statistics: list[tuple[Tensor, Tensor]], count: int) -> None:
        """Running statistics, as BatchNorm1d keeps them."""
        norms = [self.norm, *(cast(LinearNorm, layer).norm for layer in self.layers)]
        for norm, (mean, variance) in zip(norms, statistics, strict=True):
            weight = norm.momentum or 0.1
            cast(Tensor, norm.running_mean).lerp_(mean, weight)
            cast(Tensor, norm.running_var).lerp_(variance * (count / max(count - 1, 1)), weight)
            cast(Tensor, norm.num_batches_tracked).add_(1)

    def apply_folded(self, x: Tensor, folded: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The layers in eval mode: [..., inputs] -> [..., heads]."""
        for number, (weight, bias) in enumerate(folded):
            active = number + 1 < len(folded) or self.last_gelu
            x = fused.linear_gelu(x, weight, bias) if active else F.linear(x, weight, bias)
        return x

    def folded(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases with the batch norms' running statistics inside."""
        gain, shift = as_affine(self.norm)
        result = []
        for number, layer in enumerate(self.layers):
            weight, bias, *_ = cast(LinearNorm, layer).parts()
            if number == 0:
                weight, bias = weight * gain, bias + weight @ shift
            scale, offset = as_affine(cast(LinearNorm, layer).norm)
            result.append((weight * scale[:, None], bias * scale + offset))
        return result


class PairNetwork(PairLayers):
    """`PairLayers` on the kinematics of pairs.

    Args:
        inputs: number of features.
        widths, heads, last_gelu, bias: of the layers.
        kind: set of features, see `sciml.jets.networks.pair_kinematics`.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], heads: int, last_gelu: bool,
        bias: bool = True, kind: str = "pp",
    ) -> None:  # fmt: skip
        super().__init__(inputs, widths, heads, last_gelu, bias)
        self.kind, self.inputs = kind, inputs
        self.published = (kind, inputs) == ("pp", len(PAIR_FEATURES))

    def forward(self, p4: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Biases [heads, P] of the pairs (first[k], second[k]) of particles [S, 4]."""
        if self.published:
            particles = with_kinematics(p4).T.contiguous()
            return self.apply_to(packed_features(particles, first, second).T)
        pair = p4.index_select(0, first), p4.index_select(0, second)
        return self.apply_to(pair_kinematics.features(self.kind, self.inputs, *pair))

    def dense(self, p4: Tensor) -> Tensor:
        """Every ordered pair in eval mode: [B, N, 4] -> [B, N, N, heads]."""
        folded = self.folded()
        if self.published:
            features = all_pairs(p4)
        else:
            pair = p4[:, :, None], p4[:, None]
            features = pair_kinematics.features(self.kind, self.inputs, *pair)
        return self.apply_folded(features.to(folded[0][0].dtype), folded)
