"""L-GATr, the Lorentz-equivariant geometric algebra transformer, as version 2 of `lgatr` has it.

Spinner, Breso, de Haan, Plehn, Thaler, Brehmer, arXiv:2405.14806; Brehmer, Breso, de Haan, Plehn,
Qu, Spinner, Thaler, arXiv:2411.00446. Items are multivectors and scalars; in each block they attend
to each other by inner products, then pass through an MLP whose first layer is a geometric product.
Names of modules are those of the package's state dict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.jets.networks.geometric_algebra import (
    INNER,
    EquivariantLinear,
    EquivariantNorm,
    geometric_product,
)

Positive = Annotated[int, Range(min=1)]
Count = Annotated[int, Range(min=0)]
Places = tuple[int, ...]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "sigmoid": F.sigmoid, "tanh": F.tanh, "silu": F.silu,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LGATrConfig:
    """Sizes of the network."""

    inputs: Positive = 1
    """Multivectors per item."""
    outputs: Positive = 1
    """Multivectors out per item."""
    channels: Positive = 16
    """Multivectors inside."""
    scalar_inputs: Count = 0
    """Scalars per item."""
    scalar_outputs: Count = 0
    """Scalars out per item."""
    scalars: Count = 32
    """Scalars inside."""
    blocks: Count = 12
    """Blocks."""
    heads: Positive = 8
    """Attention heads."""
    head_channels: Positive = 2
    """Multivectors of each head."""
    head_scalars: Count = 4
    """Scalars of each head."""
    hidden: Positive = 64
    """Multivectors inside the MLP."""
    hidden_scalars: Count = 128
    """Scalars inside the MLP."""
    mlp_layers: Annotated[int, Range(min=1, max=1000)] = 2
    """Layers of the MLP."""
    maps: Literal[5, 10] = 10
    """Linear maps of multivectors: 10, or 5 that commute with mirrors (subgroup=False)."""
    activation: Literal["relu", "sigmoid", "tanh", "silu", "gelu"] = "gelu"
    """Activation (nonlinearity)."""
    multi_query: bool = False
    """All heads share keys and values."""
    head_scale: bool = False
    """Each head has a factor."""
    affine: bool = True
    """Norms have gains (norm_elementwise_affine)."""
    geometric_product: bool = True
    """The first layer of an MLP is a geometric product."""
    bivector: bool = True
    """False: products have no bivectors."""
    reinserted: Places = ()
    """Inputs that each attention sees again (reinsert_mv_channels)."""
    reinserted_scalars: Places = ()
    """Scalar inputs that each attention sees again (reinsert_s_channels)."""
    dropout_layers: bool = False
    """The package's MLP has layers for dropout, which count in the names of the others."""


class QKV(nn.Module):
    """Queries, keys and values: multivectors and scalars of each head."""

    def __init__(self, c: LGATrConfig) -> None:
        super().__init__()
        self.config = c
        channels = c.channels + len(c.reinserted)
        scalars = c.scalars + len(c.reinserted_scalars)
        one = (c.head_channels, c.head_scalars)
        each = (c.heads * one[0], c.heads * one[1])

        def linear(inputs: tuple[int, int], outputs: tuple[int, int]) -> EquivariantLinear:
            return EquivariantLinear(
                (inputs[0], outputs[0]), (inputs[1], outputs[1]), c.maps, bias=False
            )

        if c.multi_query:
            self.q_linear = linear((channels, scalars), each)
            self.k_linear = linear((channels, scalars), one)
            self.v_linear = linear((c.channels, c.scalars), one)
        else:
            self.in_linear = linear((channels, scalars), (3 * each[0], 3 * each[1]))
        self.norm_qkv = EquivariantNorm()

    def forward(
        self, x: Tensor, s: Tensor | None, again: Tensor, again_s: Tensor | None
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Three pairs [B, heads, N, channels, 16], [B, heads, N, scalars]."""
        c = self.config
        more = torch.cat([x, again], -2)
        more_s = s if s is None or again_s is None else torch.cat([s, again_s], -1)
        if c.multi_query:
            parts = [
                self._heads(self.q_linear(more, more_s), c.heads),
                self._heads(self.k_linear(more, more_s), 1),
                self._heads(self.v_linear(x, s), 1),
            ]
        else:
            joined, joined_s = self.in_linear(more, more_s)
            scalars = [None] * 3 if joined_s is None else joined_s.chunk(3, -1)
            parts = [
                self._heads((one, one_s), c.heads)
                for one, one_s in zip(joined.chunk(3, -2), scalars, strict=True)
            ]
        return [self.norm_qkv(*part) for part in parts]

    @staticmethod
    def _heads(items: tuple[Tensor, Tensor | None], heads: int) -> tuple[Tensor, Tensor | None]:
        x, s = items
        x = x.unflatten(-2, (-1, heads)).movedim(-2, -4)
        return x, None if s is None else s.unflatten(-1, (-1, heads)).movedim(-1, -3)


class SelfAttention(nn.Module):
    """Attention by the inner products of multivectors and of scalars."""

    def __init__(self, c: LGATrConfig) -> None:
        super().__init__()
        self.qkv_module = QKV(c)
        self.out_linear = EquivariantLinear(
            (c.heads * c.head_channels, c.channels), (c.heads * c.head_scalars, c.scalars), c.maps
        )
        self.head_scale = nn.Parameter(torch.ones(c.heads)) if c.head_scale else None

    def forward(
        self, x: Tensor, s: Tensor | None, again: Tensor, again_s: Tensor | None, mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Items [B, N, channels, 16], [B, N, scalars], mask [B, N] of those attended to."""
        (q, q_s), (k, k_s), (v, v_s) = self.qkv_module(x, s, again, again_s)
        channels = v.shape[-2]
        q, k, v = (one.flatten(-2) for one in (q * INNER.to(q), k, v))
        if q_s is not None and k_s is not None and v_s is not None:
            q, k, v = torch.cat([q, q_s], -1), torch.cat([k, k_s], -1), torch.cat([v, v_s], -1)
        k, v = (one.expand(-1, q.shape[1], -1, -1) for one in (k, v))
        received = F.scaled_dot_product_attention(q, k, v, mask[:, None, None])
        if self.head_scale is not None:
            received = received * self.head_scale[:, None, None]
        received = received.transpose(1, 2)
        out = received[..., : 16 * channels].unflatten(-1, (-1, 16)).flatten(-3, -2)
        out_s = None if q_s is None else received[..., 16 * channels :].flatten(-2)
        return self.out_linear(out, out_s)


class GeometricBilinear(nn.Module):
    """Products of multivectors, mapped on."""

    def __init__(self, channels: tuple[int, int], scalars: tuple[int, int], c: LGATrConfig) -> None:
        super().__init__()
        self.bivector = c.bivector
        self.linear_left = EquivariantLinear(channels, (scalars[0], 0), c.maps)
        self.linear_right = EquivariantLinear(channels, (scalars[0], 0), c.maps)
        self.linear_out = EquivariantLinear((channels[1], channels[1]), scalars, c.maps)
        self.norm = EquivariantNorm()

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[..., in, 16], [..., scalars in] -> [..., out, 16], [..., scalars out]."""
        product = geometric_product(self.linear_left(x, s)[0], self.linear_right(x, s)[0])
        if not self.bivector:
            product = torch.cat([product[..., :5], 0 * product[..., 5:11], product[..., 11:]], -1)
        return self.norm(*self.linear_out(product, s))


class GatedActivation(nn.Module):
    """f(x_0) x of multivectors, f of scalars."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[..., channels, 16], [..., scalars] -> the same."""
        activation = ACTIVATIONS[self.name]
        return activation(x[..., :1]) * x, None if s is None else activation(s)


class Pass(nn.Module):
    """Nothing: the place of a layer that acts in training alone."""

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The same."""
        return x, s


class GeometricMLP(nn.Module):
    """An MLP whose first layer is a geometric product."""

    def __init__(self, c: LGATrConfig) -> None:
        super().__init__()
        inner = c.mlp_layers - 1
        widths = [c.channels, *[c.hidden] * inner, c.channels]
        scalars = [c.scalars, *[c.hidden_scalars] * inner, c.scalars]
        layers: list[nn.Module] = []
        sizes = zip(widths, widths[1:], scalars, scalars[1:], strict=False)
        for number, (a, b, a_s, b_s) in enumerate(sizes):
            if number == 0 and c.geometric_product:
                layers.append(GeometricBilinear((a, b), (a_s, b_s), c))
            else:
                layers.append(GatedActivation(c.activation))
                layers.append(EquivariantLinear((a, b), (a_s, b_s), c.maps))
            if c.dropout_layers:
                layers.append(Pass())
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[..., channels, 16], [..., scalars] -> the same."""
        for layer in self.layers:
            x, s = layer(x, s)
        return x, s


class Block(nn.Module):
    """Attention and an MLP, each after a norm and added to its input."""

    def __init__(self, c: LGATrConfig) -> None:
        super().__init__()
        gains = (c.channels, c.scalars) if c.affine else ()
        self.norm1, self.norm2 = EquivariantNorm(*gains), EquivariantNorm(*gains)
        self.attention, self.mlp = SelfAttention(c), GeometricMLP(c)

    def forward(
        self, x: Tensor, s: Tensor | None, again: Tensor, again_s: Tensor | None, mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See `SelfAttention`."""
        more, more_s = self.attention(*self.norm1(x, s), again, again_s, mask)
        x, s = x + more, _sum(s, more_s)
        more, more_s = self.mlp(*self.norm2(x, s))
        return x + more, _sum(s, more_s)


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return first if second is None else second if first is None else first + second


class LGATr(nn.Module):
    """Items of multivectors and scalars -> the same.

    Args:
        config: sizes.
    """

    def __init__(self, config: LGATrConfig) -> None:
        super().__init__()
        self.config = c = config
        self.linear_in = EquivariantLinear(
            (c.inputs, c.channels), (c.scalar_inputs, c.scalars), c.maps
        )
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.blocks))
        self.linear_out = EquivariantLinear(
            (c.channels, c.outputs), (c.scalars, c.scalar_outputs), c.maps
        )

    def forward(self, x: Tensor, s: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, N, inputs, 16], [B, N, scalar inputs], [B, N] bool (True: an item)."""
        c = self.config
        again = x[..., list(c.reinserted), :]
        again_s = None if s is None else s[..., list(c.reinserted_scalars)]
        x, s = self.linear_in(x, s)
        for block in self.blocks:
            x, s = block(x, s, again, again_s, mask)
        return self.linear_out(x, s)
