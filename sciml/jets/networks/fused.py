"""Fused operations on a CPU: linear with GELU, dropout from 16 random bits per number.

oneDNN's kernel applies the activation while the product is still in cache. It has no gradient and
is reached through an internal operator of torch, so a plain path stays beside it, and a test holds
the two equal. oneDNN compiles a kernel for each number of rows, so only multiples of `ROWS` use it:
otherwise every batch of new lengths would wait for kernels, and keep them. Dropout divides each
64-bit word of the generator into four numbers.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 512
"""The fused product takes multiples of this many rows."""


@functools.cache
def available() -> bool:
    """Whether this torch has the fused operator, with the expected result."""
    try:
        x, w, b = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
        fused = torch.ops.mkldnn._linear_pointwise(x, w, b, "gelu", [], "none")
        return bool(torch.allclose(fused, F.gelu(F.linear(x, w, b)), atol=1e-5))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.gelu(F.linear(x, weight, bias))`."""
    plain = (
        x.shape[:-1].numel() % ROWS
        or torch.is_grad_enabled()
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or torch.is_autocast_enabled("cpu")
        or torch.jit.is_tracing()
        or torch.compiler.is_compiling()
        or not available()
    )
    if plain:
        return F.gelu(F.linear(x, weight, bias))
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "none")


def linear_active(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """`linear_gelu`, or the same with ReLU."""
    return F.relu(F.linear(x, weight, bias)) if relu else linear_gelu(x, weight, bias)


class _Dropout(torch.autograd.Function):
    """Dropout that draws 16 random bits per number and keeps one byte per number for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        count = x.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        dropped = round(p * 65536)
        keep = (bits.view(torch.int16)[:count] >= dropped - 32768).view(x.shape)
        ctx.save_for_backward(keep)
        ctx.scale = 65536 / (65536 - dropped)
        return (x * ctx.scale).mul_(keep)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (grad * ctx.scale).mul_(keep), None


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout`; on a CPU in single precision with four numbers per draw of the generator.

    The probability is rounded to a multiple of 2^-16, and the scale is exact for it. Random numbers
    come from torch's global generator.
    """
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return F.dropout(x, p, training)
    return _Dropout.apply(x, p)
