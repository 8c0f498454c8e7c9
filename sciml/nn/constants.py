"""Constant tables on the device that computes, copied there once.

A copy from the CPU makes it wait until the device has done all that is queued, so a table that
every pass needs (coefficients, masks of residues, a metric) is kept where it was copied to. Modules
keep theirs as buffers; this is for functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COPIES: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}
"""The original beside the copy: while it lives, no other table can have its `id`."""


def constant(table: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """`table` [...], a tensor of the CPU that nobody changes, on `device` and in `dtype`, by
    default its own."""
    dtype = dtype or table.dtype
    if device.type == "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return table.to(device, dtype)  # costs no wait, or becomes part of the program
    key = (id(table), device, dtype)
    if key not in _COPIES:
        with torch.inference_mode(False):  # else no later pass could differentiate through it
            _COPIES[key] = (table, table.to(device, dtype))
    return _COPIES[key][1]
