"""Which device and number format to compute with, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciml.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16")
_pretended: torch.device | None = None
"""What "auto" means while a `sciml.testing.PretendedDevice` is open."""


@dataclass(frozen=True)
class Placement:
    """A device, the dtype that matrix products run in, and the reason for both."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        return f"{self.device} in {str(self.dtype).removeprefix('torch.')} ({self.reason})"


def choose(device: str = "auto", precision: str = "auto") -> Placement:
    """Pick device and dtype.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "fp32" or "bf16".

    Raises:
        InputError: the device does not exist, or the name is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    reasons = []
    if device == "auto":
        if _pretended is not None:
            device = str(_pretended)
            reasons.append("pretended by a test")
        elif torch.cuda.is_available():
            device = "cuda"
            reasons.append(f"{torch.cuda.get_device_name()} is available")
        else:
            device = "cpu"
            reasons.append(f"no CUDA device is visible, {torch.get_num_threads()} threads")
    else:
        reasons.append("requested")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise unknown("device", device, ("auto", "cpu", "cuda", "cuda:0", "mps")) from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or (chosen.index or 0) >= count:
            raise InputError(
                f"device {device!r} is not there: {count} CUDA devices are visible",
                hint="Use device=auto or cpu",
            )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps' is not there", hint="Use device=auto or cpu")
    if precision == "auto":
        if chosen.type == "cuda" and torch.cuda.is_bf16_supported():
            dtype = torch.bfloat16
            reasons.append("bf16 is fast there")
        else:
            dtype = torch.float32
            reasons.append(
                "fp32 is exact; this processor multiplies bf16 faster, if asked"
                if chosen.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
                else "fp32 is exact and bf16 gains nothing here"
            )
    else:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        reasons.append(f"{precision} requested")
    return Placement(chosen, dtype, "; ".join(reasons))
