"""Complexes read into their chains: each with its own rows, and the rows that pair chains.

The forms are those of `query_forms`. In ColabFold's A3M the chains stand side by side in the first
row; a row with residues in several chains is paired (its parts are of one organism), a row with
residues in one chain alone belongs to that chain. The networks of this package take single
chains; this is the data that one for complexes needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.files.unpack import open_binary
from sciml.protein.io import query_forms
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import RowReader, alignment_of, plain_rows
from sciml.protein.io.query_forms import END, Header
from sciml.protein.io.residues import GAP
from sciml.protein.io.sequence_records import (
    fasta_records,
    head_of,
    is_structured,
    lines_of,
    text_of,
)


@dataclass
class ComplexChain:
    """One distinct chain.

    Attributes:
        sequence: its letters.
        copies: number of copies in the complex.
        unpaired: the chain first, then the rows that are of this chain alone.
        paired: the chain first, then its part of each paired row (all gaps where a row skips this
            chain): row k of every chain is of the same organism. None where there are none.
    """

    sequence: str
    copies: int
    unpaired: Alignment
    paired: Alignment | None = None


@dataclass
class Complex:
    """The distinct chains of a complex, or of one chain."""

    name: str
    chains: list[ComplexChain]

    @property
    def sequences(self) -> list[str]:
        """Sequences of all chains, copies repeated."""
        return [chain.sequence for chain in self.chains for _ in range(chain.copies)]


def read_complexes(path: str | Path) -> list[Complex]:
    """Complexes of a file: A3M of one or several queries, FASTA, an `id,sequence` table, or a job
    of AlphaFold 3.

    Raises:
        InputError: the file is damaged, a chain is not given in full, or a ligand or nucleic acid
            is among the chains.
    """
    path = Path(path)
    complexes: list[Complex] = []
    with open_binary(path) as stream:
        for block in _blocks(lines_of(stream, path)):
            stem = path.name.split(".")[0] or "complex"
            complexes += _of_block(
                block, path, f"{stem}_{len(complexes) + 1}" if complexes else stem
            )
    if not complexes:
        raise InputError("is empty", where=path)
    return complexes


def read_complex(path: str | Path) -> Complex:
    """`read_complexes` of a file that holds one.

    Raises:
        InputError: it holds several.
    """
    complexes = read_complexes(path)
    if len(complexes) > 1:
        raise InputError(f"holds {len(complexes)} queries, not one", where=path)
    return complexes[0]


def _blocks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The lines between ends of blocks, where there are any."""
    block: list[bytes] = []
    for line in lines:
        if line != END:
            block.append(line)
            continue
        if any(part.strip() for part in block):
            yield block
        block = []
    if any(part.strip() for part in block):
        yield block


def _of_block(block: list[bytes], path: Path, name: str) -> list[Complex]:
    first, rest = head_of(iter(block), path)
    if is_structured(first):
        return _of_records(query_forms.all_records(text_of(rest, path), path), path)
    headers = [h for h in (query_forms.parse_header(line, path) for line in block) if h is not None]
    if len(headers) > 1:
        raise InputError("has several headers of complexes in one block", where=path)
    if headers and headers[0].copies:
        return [_of_rows(block, headers[0], path, name)]
    records = list(fasta_records(rest, path)) if first.startswith(b">") else []
    sequences = [query_forms.split_chains(letters.decode("latin-1")) for _, letters in records]
    lengths = {len(letters) for _, letters in records}
    if any(len(chains) > 1 for chains in sequences) or (path.suffix != ".a3m" and len(lengths) > 1):
        return _of_records(
            [
                (label, [(letters, 1) for letters in chains])
                for (label, _), chains in zip(records, sequences, strict=True)
            ],
            path,
        )
    try:
        alignment = alignment_of(iter(block), path)
    except query_forms.ComplexError as error:
        raise InputError(
            f"is a complex of {error.chains} chains without its first line",
            where=path,
            hint="It says where chains end: '#LENGTH,LENGTH<TAB>COPIES,COPIES'",
        ) from error
    return [Complex(name, [ComplexChain(alignment.sequence(), 1, alignment.with_query(0))])]


def _of_records(records: list[tuple[str, list[tuple[str, int]]]], path: Path) -> list[Complex]:
    """Complexes without alignments; equal chains are copies of one."""
    complexes = []
    for name, chains in records:
        where = f"{path}: {name[:60]!r}"
        copies: dict[str, int] = {}
        for letters, count in chains:
            if not letters:
                raise InputError("has a chain that is empty or no protein", where=where)
            copies[letters.upper()] = copies.get(letters.upper(), 0) + count
        parts = []
        for letters, count in copies.items():
            alone = Alignment.from_sequences([letters.translate(_PLAIN)], [name], source=str(where))
            parts.append(ComplexChain(alone.row(0), count, alone))
        complexes.append(Complex(name, parts))
    return complexes


_PLAIN = str.maketrans("", "", "-.*")


def _of_rows(block: list[bytes], header: Header, path: Path, name: str) -> Complex:
    """ColabFold's A3M: its rows cut at the ends of the chains."""
    reader = RowReader(path)
    for label, letters in plain_rows(fasta_records(iter(block), path)):
        reader.add(label, letters)
    rows = reader.finish()
    ends = np.cumsum(header.lengths)
    if ends[-1] != rows.columns:
        raise InputError(
            f"says that its chains have {', '.join(map(str, header.lengths))} residues, its rows "
            f"have {rows.columns} columns",
            where=path,
            hint="In every row the chains stand side by side, those that it lacks as gaps",
        )
    parts = [_columns(rows, end - n, end) for n, end in zip(header.lengths, ends, strict=True)]
    present = np.stack([(part.rows != GAP).any(1) for part in parts], 1)  # [rows, chains]
    together = np.flatnonzero(present.sum(1) > 1)
    chains = []
    for k, (part, copies) in enumerate(zip(parts, header.copies, strict=True)):
        own = np.flatnonzero(present[:, k])
        if not len(own) or (part.rows[own[0]] == GAP).any():
            raise InputError(
                f"no row gives chain {k + 1} in full before its homologues", where=path
            )
        query = int(own[0])
        for row, label in enumerate(part.names):
            labels = label.split("\t")
            part.names[row] = labels[k] if len(labels) == len(parts) else label
        alone = own[present[own].sum(1) == 1]
        chains.append(
            ComplexChain(
                part.sequence(query),
                copies,
                part.select(_first(query, alone, part)),
                part.select(_first(query, together, part)) if len(together) else None,
            )
        )
    return Complex(name, chains)


def _first(query: int, rows: np.ndarray, part: Alignment) -> np.ndarray:
    """The rows, with the query before them unless it is the first already."""
    same = len(rows) > 0 and np.array_equal(part.rows[rows[0]], part.rows[query])
    return rows if same else np.r_[query, rows].astype(np.int64)


def _columns(rows: Alignment, start: int, end: int) -> Alignment:
    """A chain's columns; residues of other chains are no insertions of this one."""
    counts = None if rows.deletions is None else rows.deletions[:, start:end]
    return Alignment(list(rows.names), rows.rows[:, start:end], counts, rows.source)
