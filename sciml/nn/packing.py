"""Rows of real nodes without the padding between them, and back.

Layers that treat each node by itself (linear, norm, feed-forward) run on packed rows [S, F], so
that padding costs nothing; attention unpacks to [B, N, F].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FULL = 0.95
"""With at least this share of real rows, packing costs more than it saves."""


def packs(device: torch.device) -> bool:
    """Whether padding is left out: on a CPU, where its arithmetic is what a layer costs.

    Sizes that depend on data would break a compiled graph, and an accelerator would make the CPU
    wait for them; there, batches of similar lengths have little padding (`sciml.graph.bucket`).
    """
    return device.type == "cpu" and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


@dataclass(frozen=True)
class Packed:
    """Where packed rows come from.

    shape: (B, N). rows: [S] int64, indices in [B * N], or None if all rows stay.
    """

    shape: tuple[int, int]
    rows: Tensor | None

    @classmethod
    def of(cls, mask: Bool[Tensor, "B N"]) -> Packed:
        """The packing for `mask`; all rows stay if nearly all are real, in compiled code, and on
        an accelerator."""
        shape = (mask.shape[0], mask.shape[1])
        if not packs(mask.device):
            return cls(shape, None)
        rows = mask.flatten().nonzero()[:, 0]
        return cls(shape, None if len(rows) >= FULL * mask.numel() else rows)

    def per_graph(self, values: Float[Tensor, "B F"]) -> Tensor:
        """[B, F] -> each row's own graph's value: [S, F]."""
        if self.rows is None:
            return values.repeat_interleave(self.shape[1], 0)
        return values[self.rows // self.shape[1]]


class _Gather(torch.autograd.Function):
    """x[rows] for distinct rows; the backward pass copies instead of adding up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.length = len(x)
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _Scatter.apply(grad, rows, ctx.length), None


class _Scatter(torch.autograd.Function):
    """zeros[rows] = x for distinct rows; the backward pass is `_Gather`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(rows)
        return x.new_zeros((length, *x.shape[1:])).index_copy_(0, rows, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        return _Gather.apply(grad, rows), None, None


def gather(x: Float[Tensor, "L F"], rows: Int[Tensor, " S"]) -> Float[Tensor, "S F"]:
    """x[rows] for distinct rows."""
    return _Gather.apply(x, rows)


def pack(x: Float[Tensor, "B N F"], packed: Packed) -> Float[Tensor, "S F"]:
    """[B, N, F] -> real rows [S, F] (or all of them, B * N, see `Packed.of`)."""
    flat = x.flatten(0, 1)
    return flat if packed.rows is None else _Gather.apply(flat, packed.rows)


def unpack(x: Float[Tensor, "S F"], packed: Packed) -> Float[Tensor, "B N F"]:
    """[S, F] -> [B, N, F], zeros between."""
    batch, n = packed.shape
    if packed.rows is not None:
        x = _Scatter.apply(x, packed.rows, batch * n)
    return x.view(batch, n, -1)
