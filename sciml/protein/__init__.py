"""Protein structure: alignments, contacts, and the AlphaFold 2 monomer network.

from sciml.protein import ContactPredictor, StructurePredictor
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "Alignment": "io.alignment",
    "read_alignment": "io.alignment_files",
    "ContactPredictor": "contacts.predictor",
    "StructurePredictor": "alphafold.predictor",
}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
