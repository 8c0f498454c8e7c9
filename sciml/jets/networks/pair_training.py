"""The pair network of the Particle Transformer in training: batch norms, little memory.

There are a hundred thousand pairs in a batch of 64 jets, so each saved activation is a few dozen
megabytes. One function for the whole network saves only the output of each linear layer; norms and
GELUs are applied piece by piece, in cache, before the next layer, and again in backward.
`reference` is the same network in plain torch; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 4096
"""Pairs in a piece: a megabyte at 64 channels."""

Norm = tuple[Tensor, Tensor]
"""Gain and shift of a batch norm."""
Layer = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weight and bias of a linear layer, gain and shift of the batch norm after it."""


def reference(
    x: Tensor, norm: Norm, layers: Sequence[Layer], last_gelu: bool, eps: float
) -> Tensor:
    """Batch norm, then (linear, batch norm, GELU) per layer, with the batch's own statistics."""
    x = F.batch_norm(x, None, None, *norm, True, 0.0, eps)
    for number, (weight, bias, gain, shift) in enumerate(layers):
        x = F.batch_norm(F.linear(x, weight, bias), None, None, gain, shift, True, 0.0, eps)
        if number + 1 < len(layers) or last_gelu:
            x = F.gelu(x)
    return x


def network(
    x: Tensor, norm: Norm, layers: Sequence[Layer], last_gelu: bool, eps: float
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The output of `reference` for [P, inputs], and each norm's mean and (biased) variance."""
    flat = [tensor for layer in layers for tensor in layer]
    out, *statistics = _Network.apply(x, last_gelu, eps, *norm, *flat)
    return out, list(zip(statistics[::2], statistics[1::2], strict=True))


def _pieces(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


class _Moments:
    """Mean and variance of rows that come piece by piece (Chan, Golub & LeVeque 1983)."""

    def __init__(self, width: int, x: Tensor) -> None:
        self.count, self.mean, self.square = 0, x.new_zeros(width), x.new_zeros(width)

    def add(self, rows: Tensor) -> None:
        count = len(rows)
        mean = rows.sum(0) / count
        apart, total = mean - self.mean, self.count + count
        self.square += (rows - mean).square_().sum(0)
        self.square += apart.square() * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """Biased, as batch norm uses it."""
        return self.square / self.count


class _Affine:
    """A batch norm with given statistics: u = z * scale + offset, and the inverse."""

    def __init__(self, mean: Tensor, variance: Tensor, gain: Tensor, shift: Tensor, eps: float):
        self.mean, self.rate = mean, (variance + eps).rsqrt()
        self.scale = gain * self.rate
        self.offset = shift - mean * self.scale

    def __call__(self, z: Tensor) -> Tensor:
        return torch.addcmul(self.offset, z, self.scale)

    def unit(self, z: Tensor) -> Tensor:
        return (z - self.mean) * self.rate


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, last_gelu: bool, eps: float, *parameters: Tensor) -> Any:
        layers = [parameters[i : i + 4] for i in range(2, len(parameters), 4)]
        moments = _Moments(x.shape[1], x)
        for piece in _pieces(len(x)):
            moments.add(x[piece])
        mean, variance = moments.mean, moments.variance
        affine = _Affine(mean, variance, parameters[0], parameters[1], eps)
        statistics, activations, below = [mean, variance], [x], x
        for number, (weight, bias, gain, shift) in enumerate(layers):
            z = x.new_empty(len(x), len(weight))
            moments = _Moments(len(weight), x)
            for piece in _pieces(len(x)):
                hidden = affine(below[piece])
                torch.addmm(bias, F.gelu(hidden) if number else hidden, weight.T, out=z[piece])
                moments.add(z[piece])
            mean, variance = moments.mean, moments.variance
            affine = _Affine(mean, variance, gain, shift, eps)
            statistics += [mean, variance]
            activations.append(z)
            below = z
        out = affine(below)
        ctx.save_for_backward(*parameters, *statistics, *activations)
        ctx.layers, ctx.last_gelu, ctx.eps = len(layers), last_gelu, eps
        ctx.mark_non_differentiable(*statistics)
        return F.gelu(out) if last_gelu else out, *statistics

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> Any:
        depth, saved = ctx.layers, ctx.saved_tensors
        parameters, statistics = saved[: 2 + 4 * depth], saved[2 + 4 * depth : -depth - 1]
        activations = saved[-depth - 1 :]
        count = len(activations[0])
        pieces = _pieces(count)
        affines = [
            _Affine(statistics[2 * i], statistics[2 * i + 1], gains[0], gains[1], ctx.eps)
            for i, gains in enumerate(
                [parameters[:2], *(parameters[4 + 4 * i : 6 + 4 * i] for i in range(depth))]
            )
        ]
        grads: list[Tensor] = []
        grad = grad.contiguous()
        for number in range(depth, -1, -1):
            z, affine = activations[number], affines[number]
            gelu = 0 < number < depth or (number == depth and ctx.last_gelu)
            through = grad if not gelu else torch.empty_like(grad)
            shift, gain = z.new_zeros(z.shape[1]), z.new_zeros(z.shape[1])
            for piece in pieces:
                if gelu:
                    through[piece] = torch.ops.aten.gelu_backward(grad[piece], affine(z[piece]))
                shift += through[piece].sum(0)
                gain += (through[piece] * affine.unit(z[piece])).sum(0)
            if number == 0:
                grads = [gain, shift, *grads]
                first = None
                if ctx.needs_input_grad[0]:
                    units = affine.unit(z)
                    first = affine.scale * (through - (shift + units * gain) / count)
                return first, None, None, *grads
            weight = parameters[4 * number - 2]
            lower, under = activations[number - 1], affines[number - 1]
            down = z.new_empty(count, weight.shape[1])
            weight_grad, bias_grad = torch.zeros_like(weight), z.new_zeros(len(weight))
            for piece in pieces:
                unit = affine.unit(z[piece])
                dz = affine.scale * (through[piece] - (shift + unit * gain) / count)
                hidden = under(lower[piece])
                if number > 1:
                    hidden = F.gelu(hidden)
                weight_grad.addmm_(dz.T, hidden)
                bias_grad += dz.sum(0)
                torch.mm(dz, weight, out=down[piece])
            grads = [weight_grad, bias_grad, gain, shift, *grads]
            grad = down
        raise AssertionError("the loop returns at its last turn")
