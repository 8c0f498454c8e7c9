"""Templates: known structures laid onto the query's residues.

The template's residues are aligned to the query by their sequences (local alignment, BLOSUM62), as
one does without a profile search; AlphaFold's own pipeline takes HHsearch's alignment instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.protein.alphafold.features import Template
from sciml.protein.io import residues
from sciml.protein.io.structure import Chain, read_chains

LEAST_RESIDUES = 10


def from_chain(chain: Chain, query: str, name: str = "") -> Template:
    """A chain as a template of `query`.

    Raises:
        InputError: fewer than ten residues can be aligned.
    """
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner: Any = PairwiseAligner()
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -11, -1
    aligner.mode = "local"
    known = set(str(aligner.substitution_matrix.alphabet))
    letters = "".join(c if c in known else "X" for c in query.upper())
    found = aligner.align(letters, chain.sequence) if letters and len(chain) else []
    pairs: list[tuple[int, int]] = []
    if found:
        for (start, stop), (other, _) in zip(*found[0].aligned, strict=True):
            pairs += [(start + k, other + k) for k in range(stop - start)]
    if len(pairs) < LEAST_RESIDUES:
        raise InputError(
            f"{len(pairs)} residues can be aligned to the query, {LEAST_RESIDUES} are needed",
            where=name or f"chain {chain.name}",
        )
    here, there = np.array(pairs).T
    n = len(query)
    types = np.full(n, residues.GAP, np.int64)
    atoms, mask = np.zeros((n, 37, 3), np.float32), np.zeros((n, 37), np.float32)
    types[here], atoms[here], mask[here] = chain.types[there], chain.atoms[there], chain.mask[there]
    same = float(np.mean([query[i] == chain.sequence[j] for i, j in pairs]))
    return Template(types, atoms, mask, name or chain.name, weight=same * len(pairs))


def read_templates(path: str | Path, query: str) -> list[Template]:
    """Templates of `query` from a structure file or a folder of them; chains that do not fit are
    left out."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
    files = [f for f in files if {".pdb", ".cif", ".ent"} & {s.lower() for s in f.suffixes}]
    if not files:
        raise InputError("holds no structure files (.pdb, .cif)", where=path)
    found = []
    for file in files:
        for chain in read_chains(file):
            try:
                found.append(from_chain(chain, query, f"{file.name}:{chain.name}"))
            except InputError:
                continue
    return found
