"""Complexes read into their chains: each with its own rows, and the rows that pair chains.

The forms are those of `query_forms`, and files of single chains that stand for a complex: a folder
of A3Ms, or `A.a3m:B.a3m`. In ColabFold's A3M the chains stand side by side in the first row; a row
with residues in several chains is paired (its parts are of one organism), a row with residues in
one chain alone belongs to that chain. `sciml.protein.io.pairing` finds pairs where there are none.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.files.unpack import open_binary
from sciml.paths import atomic_write
from sciml.protein.io import query_forms
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import (
    ALIGNED,
    RowReader,
    a3m_rows,
    alignment_of,
    plain_rows,
    plain_sequence,
    read_alignment,
)
from sciml.protein.io.query_forms import END, Entity, Header, Records
from sciml.protein.io.residues import GAP
from sciml.protein.io.sequence_records import (
    entity_rows,
    fasta_records,
    head_of,
    is_structured,
    lines_of,
    suffix_of,
    text_of,
)

Chain = str | os.PathLike[str] | Alignment
"""A chain as `complex_of` takes it."""


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

    @property
    def paired_depth(self) -> int:
        """Number of rows that pair chains, the query included; 1 without any."""
        return max((c.paired.depth for c in self.chains if c.paired is not None), default=1)


def read_complexes(path: str | Path, *, aligned: bool | None = None) -> list[Complex]:
    """Complexes of a file: A3M of one or several queries, FASTA, an `id,sequence` table, or a job
    of AlphaFold 3; or the complex whose chains are the alignments of a folder or of `FILE:FILE`.

    Args:
        path: the file, folder, or files with ':' between them.
        aligned: whether the records of a FASTA file are rows of an alignment; None: where they
            are of one length. Otherwise each is a query of its own.

    Raises:
        InputError: the file is damaged, a chain is not given in full, or a ligand or nucleic acid
            is among the chains.
    """
    path = Path(path)
    if (files := chain_files(path)) is not None:
        return [complex_of(files, _stem(path))]
    complexes: list[Complex] = []
    with open_binary(path) as stream:
        for block in _blocks(lines_of(stream, path)):
            stem = f"{_stem(path)}_{len(complexes) + 1}" if complexes else _stem(path)
            complexes += _of_block(block, path, stem, aligned)
    if not complexes:
        raise InputError("is empty", where=path)
    return _server_chains(complexes, path)


def _stem(path: Path) -> str:
    return "_".join(Path(part).name.split(".")[0] for part in str(path).split(":")) or "complex"


def chain_files(path: Path) -> list[Path] | None:
    """The files of a complex's chains: the alignments of a folder, or those between ':'; None of
    a single file.

    Raises:
        InputError: a folder without alignments, or one of several files is missing.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if suffix_of(file) in ALIGNED)
        if not files:
            raise InputError("holds no alignments of chains", where=path)
        return files
    parts = [Path(part) for part in str(path).split(":")]
    if path.exists() or len(parts) < 2 or not any(part.is_file() for part in parts):
        return None
    for part in parts:
        if not part.is_file():
            raise InputError("is missing; ':' stands between the files of chains", where=part)
    return parts


def complex_of(chains: Sequence[Chain], name: str) -> Complex:
    """The complex of chains, each an alignment (query first), a file of one, or its letters.

    A chain that comes again is a copy of the first.

    Raises:
        InputError: copies of a chain have different alignments.
    """
    found: dict[str, ComplexChain] = {}
    for part in chains:
        if isinstance(part, str) and part.isalpha():
            part = Alignment.from_sequences([part.upper()], [name])
        alignment = (
            part if isinstance(part, Alignment) else read_alignment(Path(part))
        ).with_query(0)
        sequence = alignment.row(0)
        chain = found.setdefault(sequence, ComplexChain(sequence, 0, alignment))
        chain.copies += 1
        if not np.array_equal(chain.unpaired.rows, alignment.rows):
            raise InputError(
                f"is another alignment of the chain in {chain.unpaired.source}",
                where=alignment.source,
                hint="Copies of a chain share one alignment",
            )
    if not found:
        raise InputError("a complex without chains", where=name)
    return Complex(name, list(found.values()))


def together(one: Complex, other: Complex) -> Complex:
    """The chains of both; equal ones become copies. Pairs that one of them has are left out."""
    chains: dict[str, ComplexChain] = {}
    for chain in (*one.chains, *other.chains):
        known = chains.setdefault(chain.sequence, replace(chain, copies=0, paired=None))
        known.copies += chain.copies
        if chain.unpaired.depth > known.unpaired.depth:
            known.unpaired = chain.unpaired
    return Complex(f"{one.name}_{other.name}", list(chains.values()))


def _server_chains(complexes: list[Complex], path: Path) -> list[Complex]:
    """One complex where blocks are of the queries 101, 102, ...: ColabFold's server numbers the
    chains of a complex so; other blocks are queries of their own."""
    chains = [chain for complex_ in complexes for chain in complex_.chains]
    names = [chain.unpaired.names[0].split(" ")[0] for chain in chains]
    numbered = [str(101 + k) for k in range(len(complexes))]
    if len(complexes) < 2 or names != numbered or any(len(c.sequences) > 1 for c in complexes):
        return complexes
    if len({chain.sequence for chain in chains}) < len(chains):
        return complexes
    return [Complex(_stem(path), chains)]


def read_complex(path: str | Path) -> Complex:
    """`read_complexes` of a file that holds one.

    Raises:
        InputError: it holds several.
    """
    complexes = read_complexes(path)
    if len(complexes) > 1:
        raise InputError(
            f"holds {len(complexes)} queries, not one", where=path,
            hint="The chains of a complex stand in one record, with ':' between them",
        )  # fmt: skip
    return complexes[0]


def _blocks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The lines between ends of blocks, where there are any.

    Blocks without a header after one with it, whose query is a chain numbered 101, 102, ..., hold
    further rows of the same complex.
    """
    block: list[bytes] = []
    whole: list[bytes] = []
    for line in itertools.chain(lines, (END,)):
        if line != END:
            block.append(line)
            continue
        start = next((part for part in block if part.strip()), None)
        if start is None:
            continue
        if whole and (_NUMBERED.match(start) is None or not _has_header(whole)):
            yield whole
            whole = []
        whole, block = whole + block, []
    if whole:
        yield whole


_NUMBERED = re.compile(rb">10[1-9](\s|$)")


def _has_header(block: list[bytes]) -> bool:
    start = next(part for part in block if part.strip())
    header = query_forms.parse_header(start) if start.startswith(b"#") else None
    return header is not None and len(header.copies) > 1


def _of_block(
    block: list[bytes], path: Path, name: str, aligned: bool | None = None
) -> list[Complex]:
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
    if aligned is None:
        aligned = suffix_of(path) == ".a3m" or len({len(letters) for _, letters in records}) == 1
    if any(len(chains) > 1 for chains in sequences) or (records and not aligned):
        return _of_records(
            [
                (label, [Entity(letters) for letters in chains])
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


def _of_records(records: Records, path: Path) -> list[Complex]:
    """Complexes of a table or job; equal chains are copies of one."""
    complexes = []
    for name, entities in records:
        where = f"{path}: {name[:60]!r}"
        chains: dict[str, ComplexChain] = {}
        for entity in entities:
            if not entity.letters:
                raise InputError("has a chain that is empty or no protein", where=where)
            letters = plain_sequence(name, entity.letters.encode("latin-1", "replace"), path)
            reader = RowReader(where)
            for label, row in entity_rows(name, entity._replace(letters=letters), where):
                reader.add(label, row)
            rows = reader.finish().deduplicate()
            chain = chains.setdefault(letters, ComplexChain(rows.row(0), 0, rows))
            chain.copies += entity.copies
            if rows.depth > chain.unpaired.depth:
                chain.unpaired = rows
        complexes.append(Complex(name, list(chains.values())))
    return complexes


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


def write_complex(complex_: Complex, path: str | Path) -> None:
    """Write ColabFold's A3M: lengths and copies, the paired rows, then those of each chain."""
    path = Path(path)
    chains = complex_.chains
    lengths, copies = (",".join(map(str, n)) for n in zip(*_sizes(chains), strict=True))
    numbers = [str(101 + k) for k in range(len(chains))]
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(f"#{lengths}\t{copies}\n")
        if len(chains) > 1:
            file.write(">" + "\t".join(numbers) + "\n")
            file.write("".join(chain.sequence for chain in chains) + "\n")
            paired = [chain.paired for chain in chains if chain.paired is not None]
            rows = [list(a3m_rows(part)) for part in paired]
            for parts in itertools.islice(zip(*rows, strict=True), 1, None):
                labels = (label.replace("\t", " ") for label, _ in parts)
                file.write(">" + "\t".join(labels) + "\n")
                file.write("".join(row for _, row in parts) + "\n")
        for k, chain in enumerate(chains):
            before, after = (
                "-" * sum(len(other.sequence) for other in part)
                for part in (chains[:k], chains[k + 1 :])
            )
            for number, (label, row) in enumerate(a3m_rows(chain.unpaired)):
                file.write(f">{label if number else numbers[k]}\n{before}{row}{after}\n")


def _sizes(chains: list[ComplexChain]) -> list[tuple[int, int]]:
    return [(len(chain.sequence), chain.copies) for chain in chains]
