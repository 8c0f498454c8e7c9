"""Protein structure: alignments, contacts, and the AlphaFold 2 monomer network.

from sciml.protein import ContactPredictor, StructurePredictor, read_alignment, read_structure
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "Alignment": "io.alignment",
    "Chain": "io.structure",
    "ContactPrediction": "contacts.prediction",
    "ContactPredictor": "contacts.predictor",
    "Structure": "io.structure",
    "StructurePrediction": "alphafold.prediction",
    "StructurePredictor": "alphafold.predictor",
    "read_alignment": "io.alignment_files",
    "read_structure": "io.structure",
    "write_structure": "io.structure_writing",
}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
