"""Local alignment of two sequences: BLOSUM62, gaps of -11 - (length - 1), as BLAST has them."""

from __future__ import annotations

from typing import Any


def local_alignment(one: str, other: str) -> list[tuple[int, int]]:
    """Aligned residues (index in `one`, index in `other`) of the best alignment; [] without any.

    Letters that BLOSUM62 does not know count as X.
    """
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner: Any = PairwiseAligner()
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -11, -1
    aligner.mode = "local"
    alphabet = set(str(aligner.substitution_matrix.alphabet))
    one, other = ("".join(c if c in alphabet else "X" for c in s.upper()) for s in (one, other))
    alignments = aligner.align(one, other) if one and other else []
    if not alignments:
        return []
    return [
        (start + k, begin + k)
        for (start, stop), (begin, _) in zip(*alignments[0].aligned, strict=True)
        for k in range(stop - start)
    ]
