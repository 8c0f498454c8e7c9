"""Protein structure: alignments, contacts, and AlphaFold 2 for chains and complexes.

from sciml.protein import ContactPredictor, StructurePredictor, read_alignment, read_structure
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciml.exports import lazy

if TYPE_CHECKING:
    from sciml.protein.alphafold.prediction import StructurePrediction as StructurePrediction
    from sciml.protein.alphafold.predictor import StructurePredictor as StructurePredictor
    from sciml.protein.contacts.prediction import ContactPrediction as ContactPrediction
    from sciml.protein.contacts.predictor import ContactPredictor as ContactPredictor
    from sciml.protein.esm.predictor import EsmPredictor as EsmPredictor
    from sciml.protein.io.alignment import Alignment as Alignment
    from sciml.protein.io.alignment_files import read_alignment as read_alignment
    from sciml.protein.io.complexes import Complex as Complex
    from sciml.protein.io.complexes import read_complex as read_complex
    from sciml.protein.io.structure import Chain as Chain
    from sciml.protein.io.structure import Structure as Structure
    from sciml.protein.io.structure import read_structure as read_structure
    from sciml.protein.io.structure_writing import write_structure as write_structure

_EXPORTS = {
    "Alignment": "io.alignment",
    "Chain": "io.structure",
    "Complex": "io.complexes",
    "ContactPrediction": "contacts.prediction",
    "ContactPredictor": "contacts.predictor",
    "EsmPredictor": "esm.predictor",
    "Structure": "io.structure",
    "StructurePrediction": "alphafold.prediction",
    "StructurePredictor": "alphafold.predictor",
    "read_complex": "io.complexes",
    "read_alignment": "io.alignment_files",
    "read_structure": "io.structure",
    "write_structure": "io.structure_writing",
}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
