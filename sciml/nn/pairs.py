"""Pair features -> attention bias, for real pairs only and in blocks that stay in cache.

A network on all N^2 padded pairs costs more than the transformer it serves. Here only pairs of
real nodes go through it, only one of (i, j) and (j, i) where both are the same, and its hidden
layer is recomputed in the backward pass instead of being stored (M x hidden numbers otherwise).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.packing import gather

BLOCK_ROWS = 4096
"""Rows of the hidden layer held at once: 1 MiB at 64 wide in float32."""


def hide(dtype: torch.dtype) -> float:
    """A logit of weight zero in a softmax that does not overflow when others are added to it."""
    return max(-1e9, torch.finfo(dtype).min / 4)


class _Network(torch.autograd.Function):
    """linear(gelu(linear(x))) on rows, block by block, storing its input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(x, w1, b1, w2)
        out = x.new_empty(len(x), len(w2))
        with torch.autocast(x.device.type, enabled=False):
            for i in range(0, len(x), BLOCK_ROWS):
                hidden = F.gelu(torch.addmm(b1, x[i : i + BLOCK_ROWS], w1.T))
                torch.addmm(b2, hidden, w2.T, out=out[i : i + BLOCK_ROWS])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, b1, w2 = ctx.saved_tensors
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        dw1, dw2, db1 = torch.zeros_like(w1), torch.zeros_like(w2), torch.zeros_like(b1)
        with torch.autocast(x.device.type, enabled=False):
            for i in range(0, len(x), BLOCK_ROWS):
                rows, slope = x[i : i + BLOCK_ROWS], grad[i : i + BLOCK_ROWS]
                raw = torch.addmm(b1, rows, w1.T)
                dw2.addmm_(slope.T, F.gelu(raw))
                draw = torch.ops.aten.gelu_backward(slope @ w2, raw)
                dw1.addmm_(draw.T, rows)
                db1 += draw.sum(0)
                if dx is not None:
                    torch.mm(draw, w1, out=dx[i : i + BLOCK_ROWS])
        return dx, dw1, db1, dw2, grad.sum(0)


class _Scatter(torch.autograd.Function):
    """Rows [M, H] to rows [M] of a table of `length` rows, and to their mirror images."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, index: Tensor, mirror: Tensor | None, length: int
    ) -> Tensor:
        ctx.save_for_backward(index, mirror)
        out = values.new_full((length, values.shape[1]), hide(values.dtype))
        out.index_copy_(0, index, values)
        if mirror is not None:
            out.index_copy_(0, mirror, values)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        index, mirror = ctx.saved_tensors
        slope = grad.index_select(0, index)
        if mirror is not None:  # a pair of a node with itself is one row, not two
            other = grad.index_select(0, mirror)
            slope = slope + other.masked_fill((index == mirror)[:, None], 0.0)
        return slope, None, None, None


def real_pairs(
    mask: Bool[Tensor, "B N"], symmetric: bool
) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"] | None]:
    """Indices in [B * N * N] of pairs of real nodes; with `symmetric` those with i >= j only, and
    the indices of their mirror images."""
    n = mask.shape[1]
    pairs = mask[:, :, None] & mask[:, None, :]
    if not symmetric:
        return pairs.flatten().nonzero()[:, 0], None
    pairs &= torch.ones(n, n, dtype=torch.bool, device=mask.device).tril()
    graph, i, j = pairs.nonzero(as_tuple=True)
    return (graph * n + i) * n + j, (graph * n + j) * n + i


def packed_bias(
    pair: Float[Tensor, "B N N P"], mask: Bool[Tensor, "B N"], net: nn.Module, symmetric: bool
) -> Float[Tensor, "B H N N"]:
    """`net` on the features of real pairs; a very low value everywhere else.

    Args:
        pair: features.
        mask: True = a real node.
        net: linear layer, or linear, GELU, linear in an `nn.Sequential`.
        symmetric: pair[i, j] equals pair[j, i].
    """
    batch, n = mask.shape
    index, mirror = real_pairs(mask, symmetric)
    rows = gather(pair.flatten(0, 2), index)
    if isinstance(net, nn.Sequential):
        first, last = cast(nn.Linear, net[0]), cast(nn.Linear, net[2])
        rows = rows.to(first.weight.dtype)
        values = _Network.apply(rows, first.weight, first.bias, last.weight, last.bias)
    else:
        values = net(rows)
    table = _Scatter.apply(values, index, mirror, batch * n * n)
    return table.view(batch, n, n, -1).permute(0, 3, 1, 2).contiguous()
