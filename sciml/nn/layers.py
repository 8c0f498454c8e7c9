"""Small layers that several trunks use: feed-forward blocks and padding helpers."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import unknown

Activation = Literal["gelu", "relu", "silu", "swiglu"]


class FeedForward(nn.Module):
    """Two linear layers with a non-linearity between; `swiglu` gates the hidden layer.

    SwiGLU (Shazeer 2020, arXiv:2002.05202) uses 2/3 of the hidden width, so that the parameter
    count is that of the plain block.

    Args:
        dim: width in and out.
        expansion: hidden width over `dim`.
        activation: one of `Activation`.
        dropout: probability of dropping a hidden unit in training.
    """

    def __init__(
        self,
        dim: int,
        expansion: float = 4.0,
        activation: str = "gelu",
        dropout: float = 0.0,
        out: int | None = None,
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise unknown("activation", activation, get_args(Activation))
        self.activation = activation
        hidden = int(dim * expansion)
        if activation == "swiglu":
            hidden = max(8, (2 * hidden // 3 + 7) // 8 * 8)
        self.linear_1 = nn.Linear(dim, 2 * hidden if activation == "swiglu" else hidden)
        self.linear_2 = nn.Linear(hidden, out or dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "... dim"]) -> Float[Tensor, "... out"]:
        """[..., dim] -> [..., out]."""
        hidden = self.linear_1(x)
        if self.activation == "swiglu":
            gate, value = hidden.chunk(2, -1)
            hidden = F.silu(gate) * value
        else:
            hidden = getattr(F, self.activation)(hidden)
        return self.linear_2(self.dropout(hidden))


def pair_mask(mask: Bool[Tensor, "B N"]) -> Bool[Tensor, "B N N"]:
    """True where both nodes of a pair are real."""
    return mask[:, :, None] & mask[:, None, :]


def zero_padding(x: Float[Tensor, "*G F"], mask: Bool[Tensor, "*G"]) -> Float[Tensor, "*G F"]:
    """Zeros where `mask` is False, gradients too; padded NaNs do not survive."""
    return x.masked_fill(~mask[..., None], 0.0)


def count_parameters(module: nn.Module, trainable_only: bool = False) -> int:
    """Number of parameters; shared ones count once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def rescale_(linear: nn.Linear, factor: float) -> nn.Linear:
    """Shrink a freshly initialised linear layer in place (small last layers train more stably)."""
    with torch.no_grad():
        linear.weight.mul_(factor)
        if linear.bias is not None:
            linear.bias.zero_()
    return linear
