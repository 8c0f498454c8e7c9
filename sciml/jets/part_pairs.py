"""The pair network of the Particle Transformer: four-momenta of a pair -> one bias a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.jets.features import pair_features

CHUNK = 4096


class PairNetwork(nn.Module):
    """Batch norm, then (linear, batch norm, GELU) a width; by default no GELU at the end."""

    def __init__(self, inputs: int, widths: Sequence[int], heads: int, last_gelu: bool) -> None:
        super().__init__()
        self.last_gelu = last_gelu
        self.norm = nn.BatchNorm1d(inputs)
        self.layers = nn.ModuleList()
        for width in (*widths, heads):
            self.layers.append(
                nn.ModuleDict({"linear": nn.Linear(inputs, width), "norm": nn.BatchNorm1d(width)})
            )
            inputs = width

    def forward(self, p4: Tensor, first: Tensor, second: Tensor) -> Tensor:
        if self.training:
            x = self.norm(pair_features(p4[first], p4[second]))
            for number, layer in enumerate(self.layers):
                x = layer["norm"](layer["linear"](x))
                if number + 1 < len(self.layers) or self.last_gelu:
                    x = F.gelu(x)
            return x
        folded = self.folded()
        if torch.is_grad_enabled():
            return self._apply_folded(pair_features(p4[first], p4[second]), folded)
        out = p4.new_empty(len(first), self.layers[-1]["linear"].out_features)
        for start in range(0, len(first), CHUNK):
            span = slice(start, start + CHUNK)
            out[span] = self._apply_folded(pair_features(p4[first[span]], p4[second[span]]), folded)
        return out

    def _apply_folded(self, x: Tensor, folded: list[tuple[Tensor, Tensor]]) -> Tensor:
        for number, (weight, bias) in enumerate(folded):
            x = F.linear(x, weight, bias)
            if number + 1 < len(folded) or self.last_gelu:
                x = F.gelu(x)
        return x

    def folded(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases with the batch norms' running statistics inside."""
        gain, shift = _affine(self.norm)
        result = []
        for number, layer in enumerate(self.layers):
            linear, norm = layer["linear"], layer["norm"]
            weight, bias = linear.weight, linear.bias
            if number == 0:
                weight, bias = weight * gain, bias + weight @ shift
            scale, offset = _affine(norm)
            result.append((weight * scale[:, None], bias * scale + offset))
        return result


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale
