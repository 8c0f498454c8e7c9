"""Constant tables on the device that computes, copied there once.

A copy from the CPU makes it wait until the device has done all that is queued, so a table that
every pass needs (coefficients, masks of residues, a metric) is kept where it was copied to. Modules
keep theirs as buffers; this is for functions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_COPIES: dict[tuple[int, torch.device, torch.dtype | None], tuple[Tensor | np.ndarray, Tensor]] = {}
"""The original beside the copy: while it lives, no other table can have its `id`."""


def constant(
    table: Tensor | np.ndarray, device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """`table` [...], a tensor of the CPU or an array, which lasts and which nobody changes, on
    `device` and in `dtype`, by default its own."""
    if device.type == "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        # Costs no wait, or becomes part of the program.
        return torch.as_tensor(table, dtype=dtype, device=device)
    key = (id(table), device, dtype)
    if key not in _COPIES:
        with torch.inference_mode(False):  # else no later pass could differentiate through it
            _COPIES[key] = (table, torch.as_tensor(table, dtype=dtype, device=device))
    return _COPIES[key][1]
