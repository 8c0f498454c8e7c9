"""Which trained model the package brings along, found without importing torch."""

from __future__ import annotations

from pathlib import Path

NAME = "integrate-small"


def default_model() -> str | None:
    """The path of the shipped integrator's weights; None where there are none."""
    path = Path(__file__).resolve().parent.parent / "weights" / f"{NAME}.safetensors"
    return str(path) if path.is_file() else None
