"""Protein structure: alignments, contacts, and the AlphaFold 2 monomer network.

from sciml.protein import ContactPredictor, StructurePredictor
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.protein.alignment import Alignment
    from sciml.protein.alignment_io import read_alignment
    from sciml.protein.contacts import ContactPredictor
    from sciml.protein.predictor import StructurePredictor

_WHERE = {
    "Alignment": "alignment",
    "read_alignment": "alignment_io",
    "ContactPredictor": "contacts",
    "StructurePredictor": "predictor",
}
__all__ = ["Alignment", "ContactPredictor", "StructurePredictor", "read_alignment"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
