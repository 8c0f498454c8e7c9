"""Families with a known structure: an alignment, a structure, and which column is which residue.

A folder holds one sub-folder per family with an alignment (`*.a3m`, `*.fasta`, `*.sto`, ... gzipped
or not), a structure (`*.pdb`, `*.cif`) and, if its author was careful, `mapping.json` with `pairs`
of [residue index, column], both from 0. Without it the residues are aligned to the row of highest
similarity.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.io.pairwise import local_alignment
from sciml.protein.io.residues import GAP
from sciml.protein.io.sequence_records import suffix_of
from sciml.protein.io.structure import Chain, read_chains
from sciml.protein.measure import metrics

ALIGNMENTS = (".a3m", ".fasta", ".fa", ".afa", ".sto", ".stk", ".aln")
STRUCTURES = (".pdb", ".cif", ".ent")


@dataclass
class Family:
    """One family.

    Attributes:
        name: of its folder.
        alignment: as read.
        residue, column: [M] residue indices of the structure and alignment columns, paired.
        ca, cb: [M, 3] positions [A] of those residues, NaN where missing.
    """

    name: str
    alignment: Alignment
    residue: np.ndarray
    column: np.ndarray
    ca: np.ndarray
    cb: np.ndarray

    def distances(self) -> np.ndarray:
        """[C, C] CB distances [A] of all columns, NaN where unknown."""
        points = np.full((self.alignment.columns, 3), np.nan)
        points[self.column] = self.cb
        return metrics.distances(points)

    def precision(
        self, scores: np.ndarray, separation: tuple[int, int | None] = metrics.LONG_RANGE
    ) -> dict[str, float]:
        """Contact precision of column scores [C, C] over the residues that have a column."""
        at = np.ix_(self.column, self.column)
        return metrics.contact_precision(
            scores[at], metrics.distances(self.cb), separation=separation, index=self.residue
        )


def _one(folder: Path, suffixes: tuple[str, ...], what: str) -> Path:
    files = [path for path in sorted(folder.iterdir()) if suffix_of(path) in suffixes]
    if not files:
        raise InputError(f"holds no {what} ({', '.join(suffixes)})", where=folder)
    return files[0]


def read_family(folder: str | Path) -> Family:
    """Read one family's folder.

    Raises:
        InputError: a file is missing or bad, or the structure does not fit the alignment.
    """
    folder = Path(folder)
    alignment = read_alignment(_one(folder, ALIGNMENTS, "alignment"))
    chain = read_chains(_one(folder, STRUCTURES, "structure"))[0]
    mapping = folder / "mapping.json"
    if mapping.exists():
        try:
            pairs = np.array(json.loads(mapping.read_text())["pairs"], np.int64).reshape(-1, 2)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"has no usable 'pairs' ({error})", where=mapping) from error
    else:
        pairs = map_columns(alignment, chain)
    if not len(pairs):
        raise InputError("no residue has a column", where=folder)
    if pairs.min() < 0 or pairs[:, 0].max() >= len(chain) or pairs[:, 1].max() >= alignment.columns:
        raise InputError("names residues or columns that do not exist", where=mapping)
    residue, column = pairs[:, 0], pairs[:, 1]
    return Family(
        folder.name, alignment, residue, column, chain.points()[residue], chain.beta()[residue]
    )


def map_columns(alignment: Alignment, chain: Chain, max_rows: int = 2000) -> np.ndarray:
    """[M, 2] (residue, column): the chain aligned to its most similar row."""
    sequence = chain.sequence
    words = {sequence[i : i + 3] for i in range(len(sequence) - 2)}

    def shared(row: int) -> int:
        letters = alignment.sequence(row)
        return sum(letters[i : i + 3] in words for i in range(len(letters) - 2))

    rows = range(min(alignment.depth, max_rows))
    best = max(rows, key=shared)
    pairs = local_alignment(sequence, alignment.sequence(best))
    columns = np.flatnonzero(alignment.rows[best] != GAP)
    return np.array([(i, columns[j]) for i, j in pairs], np.int64).reshape(-1, 2)


def read_families(folder: str | Path) -> list[Family]:
    """Every family in a folder, by name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is no folder of families", where=folder)
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    if not parts:
        raise InputError("holds no family folders", where=folder)
    return [read_family(path) for path in parts]


def one_sequence(alignment: Alignment) -> Alignment:
    """The fullest of the first 200 rows alone."""
    fullest = int((alignment.rows[: min(alignment.depth, 200)] != GAP).sum(1).argmax())
    return alignment.select(np.array([fullest]))


controls: dict[str, Callable[[Alignment], Alignment]] = {
    "columns shuffled": Alignment.shuffled_columns,
    "one sequence": one_sequence,
}
"""Alignments with which a network should do worse: each column shuffled by itself, and one row."""
