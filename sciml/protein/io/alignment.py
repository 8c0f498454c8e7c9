"""A multiple sequence alignment: residue types, deletion counts, filters, sequence weights.

Rows are sequences, columns are match columns. Insertions relative to the columns are kept as
counts ("deletions" in AlphaFold's words: residues of the row deleted to fit it to the columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit

from sciml.errors import InputError, unknown
from sciml.protein.io.residues import ALPHABET, GAP, UNKNOWN
from sciml.renamed import renamed

_LETTERS = np.frombuffer(ALPHABET.encode(), np.uint8)


@dataclass
class Alignment:
    """Rows of equal length.

    Attributes:
        names: one per row.
        rows: [R, C] uint8, residue types 0..19 in AlphaFold's order, 20 unknown, 21 gap.
        deletions: [R, C] uint16, how many residues of the row were inserted just before the
            column (those after the last column are not counted, as in AlphaFold), or None: none.
        source: where it was read from, for messages.
    """

    names: list[str]
    rows: np.ndarray
    deletions: np.ndarray | None = None
    source: str = field(default="alignment", compare=False)

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.names) != len(self.rows):
            raise InputError(
                f"{len(self.names)} names for rows of shape {self.rows.shape}", where=self.source
            )
        if not self.rows.size:
            raise InputError("the alignment is empty", where=self.source)

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[str], names: Sequence[str] | None = None, source: str = "sequences"
    ) -> Alignment:
        """Aligned sequences of A3M form: upper case and '-' are columns, lower case insertions."""
        from sciml.protein.io.alignment_files import RowReader

        reader = RowReader(source)
        for number, sequence in enumerate(sequences):
            name = names[number] if names is not None else f"sequence_{number + 1}"
            reader.add(name, sequence.encode("latin-1", "replace"))
        return reader.finish()

    @property
    def depth(self) -> int:
        """Number of rows."""
        return self.rows.shape[0]

    @property
    def columns(self) -> int:
        """Number of match columns."""
        return self.rows.shape[1]

    def row(self, index: int) -> str:
        """Row `index` as letters, gaps as '-'."""
        return _LETTERS[self.rows[index]].tobytes().decode()

    def sequence(self, index: int = 0) -> str:
        """Row `index` without gaps."""
        return self.row(index).replace("-", "")

    def sample(self, rows: int, rng: np.random.Generator) -> Alignment:
        """The first row with `rows` - 1 random others, in their order."""
        others = rng.choice(self.depth - 1, rows - 1, replace=False)
        return self.select(np.concatenate([[0], 1 + np.sort(others)]).astype(np.int64))

    def select(self, rows: np.ndarray, columns: np.ndarray | None = None) -> Alignment:
        """A selection of rows (indices or mask), and of columns.

        Residues of dropped columns join the deletion counts of the next column chosen.
        """
        rows = np.asarray(rows)
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        names = [self.names[i] for i in indices]
        cells = self.rows[indices]
        deletions = self.deletions[indices] if self.deletions is not None else None
        if columns is not None:
            columns = np.asarray(columns)
            chosen = np.flatnonzero(columns) if columns.dtype == bool else columns
            extra = (cells != GAP).astype(np.int64)
            extra[:, chosen] = 0
            if deletions is not None:
                extra += deletions
            before = np.cumsum(extra, axis=1)[:, chosen]
            before[:, 1:] -= before[:, :-1].copy()
            cells = np.ascontiguousarray(cells[:, chosen])
            deletions = np.minimum(before, 65535).astype(np.uint16) if before.any() else None
        return Alignment(names, cells, deletions, self.source)

    def find(self, query: str) -> int:
        """Row of a query given by name (the whole header, or its first word) or by sequence.

        Raises:
            InputError: no row has that name or that sequence.
        """
        for number, name in enumerate(self.names):
            if name == query or name.split(" ")[0] == query:
                return number
        letters = query.upper().replace("-", "")
        lengths = (self.rows != GAP).sum(1)
        for row in np.flatnonzero(lengths == len(letters)):
            if self.sequence(int(row)) == letters:
                return int(row)
        heads = [name.split(" ")[0] for name in self.names[:10000]]
        raise unknown("query", query, heads, where=self.source)

    def with_query(self, query: str | int = 0) -> Alignment:
        """The query's row first, and only the columns where the query has a residue."""
        first = query if isinstance(query, int) else self.find(query)
        order = np.r_[first, np.delete(np.arange(self.depth), first)]
        present = self.rows[first] != GAP
        if not present.any():
            raise InputError("the query row has no residues", where=self.source)
        return self.select(order, None if present.all() else present)

    def deduplicate(self) -> Alignment:
        """The first of each set of rows that are equal in all columns, in the old order."""
        void = np.ascontiguousarray(self.rows).view(np.dtype((np.void, self.columns)))[:, 0]
        first = np.sort(np.unique(void, return_index=True)[1])
        return self if len(first) == self.depth else self.select(first)

    def identity_to(self, row: int = 0) -> np.ndarray:
        """[R] share of the positions where both have a residue at which they agree."""
        both = (self.rows != GAP) & (self.rows[row] != GAP)
        same = (self.rows == self.rows[row]) & both
        return same.sum(1) / np.maximum(both.sum(1), 1)

    def coverage(self, row: int = 0) -> np.ndarray:
        """[R] share of the residues of `row` that each row covers."""
        here = self.rows[row] != GAP
        return (self.rows[:, here] != GAP).sum(1) / max(int(here.sum()), 1)

    @renamed(most="max_rows")
    def filter(
        self,
        *,
        min_coverage: float = 0.0,
        min_identity: float = 0.0,
        max_identity: float = 1.0,
        max_rows: int | None = None,
    ) -> Alignment:
        """Keep the query (row 0) and the rows that pass.

        Args:
            min_coverage: of the query's residues, 0 to 1.
            min_identity: to the query, 0 to 1.
            max_identity: a row that agrees with an earlier kept row in more than this share of
                their common residues is dropped (greedy, rows with more residues first).
            max_rows: keep at most this many rows.
        """
        for name, value in (
            ("min_coverage", min_coverage),
            ("min_identity", min_identity),
            ("max_identity", max_identity),
        ):
            if not 0 <= value <= 1:
                raise InputError(f"{name} must be between 0 and 1, got {value}")
        keep = (self.coverage() >= min_coverage) & (self.identity_to() >= min_identity)
        keep[0] = True
        kept = self if keep.all() else self.select(keep)
        if max_identity < 1:
            residues = (kept.rows != GAP).sum(1)
            residues[0] = kept.columns + 1
            order = np.argsort(-residues, kind="stable")
            chosen = _greedy(_planes(kept.rows[order]), max_identity)
            kept = kept.select(np.sort(order[chosen]))
        if max_rows is not None and kept.depth > max_rows:
            kept = kept.select(np.arange(max(max_rows, 1)))
        return kept

    @cached_property
    def weights80(self) -> np.ndarray:
        """`weights()` at 80 % identity, kept."""
        return self.weights(0.8)

    def weights(self, identity: float = 0.8) -> np.ndarray:
        """[R] 1 / number of rows that agree in at least `identity` of the columns, gaps included.

        Their sum is the effective number of sequences (Morcos et al., PNAS 108, E1293, 2011).
        """
        needed = int(np.ceil(identity * self.columns - 1e-9))
        return 1.0 / _neighbours(_planes(self.rows), self.columns - needed)

    def neff(self, identity: float = 0.8) -> float:
        """The effective number of sequences."""
        return float(self.weights(identity).sum())

    def profile(self, pseudocount: float = 0.0) -> np.ndarray:
        """[C, 22] weighted frequency of each residue type, unknown and gap."""
        onehot_sum = np.zeros((self.columns, 22))
        weights = self.weights80
        for kind in range(22):
            onehot_sum[:, kind] = weights @ (self.rows == kind)
        onehot_sum += pseudocount / 22
        return onehot_sum / onehot_sum.sum(1, keepdims=True)

    def shuffled_columns(self, seed: int = 0) -> Alignment:
        """Each column permuted by itself: profile and depth stay, coevolution is gone."""
        rng = np.random.default_rng(seed)
        rows = rng.permuted(self.rows, axis=0)
        deletions = rng.permuted(self.deletions, axis=0) if self.deletions is not None else None
        return Alignment(list(self.names), rows, deletions, self.source)

    def write(self, path: str | Path, format: str | None = None) -> None:
        """Write as "a3m", "fasta", "stockholm" or "aln"; see `alignment_files.write_alignment`."""
        from sciml.protein.io.alignment_files import write_alignment

        write_alignment(self, path, format)


def encode(sequence: str) -> np.ndarray:
    """Residue types of a sequence of letters; letters that are no residue raise InputError."""
    return Alignment.from_sequences([sequence.upper()]).rows[0]


def decode(types: np.ndarray) -> str:
    """Letters of residue types 0..21."""
    return _LETTERS[np.minimum(types, GAP)].tobytes().decode()


def _planes(rows: np.ndarray) -> np.ndarray:
    """[R, W, 6] uint64: for 64 columns at a time the five bits of each residue type, and whether
    it is a residue at all. Pairs of rows are then compared 64 columns at once."""
    depth, columns = rows.shape
    words = -(-columns // 64)
    planes = np.zeros((depth, words * 8, 6), np.uint8)
    for start in range(0, depth, 65536):
        part = rows[start : start + 65536]
        for plane in range(6):
            bits = (part >> plane) & 1 if plane < 5 else part != GAP
            packed = np.packbits(bits, axis=1)
            planes[start : start + len(part), : packed.shape[1], plane] = packed
    wide = planes.reshape(depth, words, 8, 6).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(wide).view(np.uint64)[..., 0]


@njit(cache=True, inline="always")
def _bits(x: np.uint64) -> np.uint64:
    """How many bits of a word are set."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    x = (x & pairs) + ((x >> np.uint64(2)) & pairs)
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, inline="always")
def _differ(one: np.ndarray, other: np.ndarray) -> np.uint64:
    """The columns of a word in which two rows differ."""
    low = (one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2])
    return low | (one[3] ^ other[3]) | (one[4] ^ other[4])


@njit(cache=True)
def _neighbours(planes: np.ndarray, allowed: int) -> np.ndarray:
    """[R] how many rows (itself included) differ from each row in at most `allowed` cells."""
    depth, words, _ = planes.shape
    counts = np.ones(depth)
    most = np.uint64(allowed)
    for i in range(depth):
        for j in range(i + 1, depth):
            different = np.uint64(0)
            for w in range(words):
                different += _bits(_differ(planes[i, w], planes[j, w]))
                if different > most:
                    break
            if different <= most:
                counts[i] += 1
                counts[j] += 1
    return counts


@njit(cache=True)
def _greedy(planes: np.ndarray, limit: float) -> np.ndarray:
    """Indices of rows that are not more than `limit` identical to any row chosen before."""
    depth, words, _ = planes.shape
    chosen = np.zeros(depth, np.int64)
    count = 0
    for i in range(depth):
        redundant = False
        for c in range(count):
            j = chosen[c]
            both = np.uint64(0)
            same = np.uint64(0)
            for w in range(words):
                here = planes[i, w, 5] & planes[j, w, 5]
                both += _bits(here)
                same += _bits(here & ~_differ(planes[i, w], planes[j, w]))
            if both > 0 and same > limit * both:
                redundant = True
                break
        if not redundant:
            chosen[count] = i
            count += 1
    return chosen[:count]


__all__ = ["GAP", "UNKNOWN", "Alignment", "decode", "encode"]
