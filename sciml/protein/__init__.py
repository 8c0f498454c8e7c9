"""Protein structure: alignments, contacts, and the AlphaFold 2 monomer network.

from sciml.protein import ContactPredictor, StructurePredictor
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.protein.alphafold.predictor import StructurePredictor
    from sciml.protein.contacts.network import ContactPredictor
    from sciml.protein.io.alignment import Alignment
    from sciml.protein.io.alignment_files import read_alignment

_WHERE = {
    "Alignment": "io.alignment",
    "read_alignment": "io.alignment_files",
    "ContactPredictor": "contacts.network",
    "StructurePredictor": "alphafold.predictor",
}
__all__ = ["Alignment", "ContactPredictor", "StructurePredictor", "read_alignment"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
