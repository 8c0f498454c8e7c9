"""Linear layer and GELU in one pass, where torch has a kernel for it.

oneDNN's kernel applies the activation while the product is still in cache. It has no gradient and
is reached through an internal operator of torch, so there is a plain path beside it, and a test
holds them equal.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F


@functools.cache
def available() -> bool:
    """Whether this torch has the fused operator, and it does what its name says."""
    try:
        x, w, b = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
        found = torch.ops.mkldnn._linear_pointwise(x, w, b, "gelu", [], "none")
        return bool(torch.allclose(found, F.gelu(F.linear(x, w, b)), atol=1e-5))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Tensor:
    """`F.gelu(F.linear(x, weight, bias))`, or without the GELU."""
    plain = (
        torch.is_grad_enabled()
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or torch.is_autocast_enabled("cpu")
        or torch.jit.is_tracing()
        or torch.compiler.is_compiling()
        or not available()
    )
    if plain:
        out = F.linear(x, weight, bias)
        return F.gelu(out) if gelu else out
    kind, algorithm = ("gelu", "none") if gelu else ("none", "")
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, kind, [], algorithm)
