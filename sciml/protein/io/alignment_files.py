"""Alignments in and out: FASTA, A3M, A2M, Stockholm, Clustal and plain rows, gzipped or not.

An alignment is of one chain: every form of complex is refused (`query_forms`).

Letters that are no standard residue follow HHblits: B -> D, Z -> E, U -> C; J, O, X, * -> unknown.
Files are read row by row, so that a million rows need little more than their own bytes.
"""

from __future__ import annotations

import gzip
import io
import itertools
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from sciml.errors import InputError, unknown
from sciml.files.unpack import open_binary
from sciml.paths import atomic_write
from sciml.protein.io import query_forms
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.query_forms import Header
from sciml.protein.io.residues import ALPHABET, GAP, RESIDUES
from sciml.protein.io.sequence_records import (
    MAX_COLUMNS,
    entity_rows,
    fasta_records,
    head_of,
    is_structured,
    lines_of,
    read_records,
    suffix_of,
    text_of,
)
from sciml.protein.io.side_by_side import check_blocks, check_pieces
from sciml.renamed import renamed

FORMATS = ("a3m", "fasta", "stockholm", "aln", "clustal")
BLOCK = 4096
"""Rows that memory is allocated for at a time."""
_SUFFIXES = {
    ".a3m": "a3m",
    ".a2m": "fasta",
    ".fasta": "fasta",
    ".fa": "fasta",
    ".fas": "fasta",
    ".faa": "fasta",
    ".afa": "fasta",
    ".sto": "stockholm",
    ".stockholm": "stockholm",
    ".stk": "stockholm",
    ".aln": "aln",
}
ALIGNED = tuple(suffix for suffix in _SUFFIXES if suffix not in (".fasta", ".fa", ".fas", ".faa"))
"""Suffixes of files that hold alignments; FASTA may hold either."""
_ANNOTATIONS = ("ss_dssp", "ss_pred", "ss_conf", "sa_dssp")
_INSERTED, _DOT, _BAD = 100, 101, 255


def _code_table() -> bytes:
    table = np.full(256, _BAD, np.uint8)
    for code, letter in enumerate(RESIDUES):
        table[ord(letter)] = code
    for letter, residue in {"B": "D", "Z": "E", "U": "C", "J": "X", "O": "X", "X": "X"}.items():
        table[ord(letter)] = ALPHABET.index(residue)
    table[ord("*")] = ALPHABET.index("X")
    table[ord("-")] = GAP
    table[ord("a") : ord("z") + 1] = _INSERTED
    table[ord(".")] = _DOT
    return table.tobytes()


_TABLE = _code_table()
_UPPER = bytes(range(256)).upper().replace(b"_", b"-")


class RowReader:
    """Collects rows of A3M form, checking each, in blocks of memory that grow."""

    def __init__(
        self, source: object, *, unique: bool = False, max_rows: int | None = None
    ) -> None:
        self.source = str(source)
        self.names: list[str] = []
        self._columns = 0
        self._blocks: list[np.ndarray] = []  # of BLOCK rows
        # Few cells have a deletion count: their flat indices, and the counts.
        self._deleted, self._counts = array("q"), array("H")
        self._unique: set[bytes] | None = set() if unique else None
        self._max_rows = max_rows

    @property
    def full(self) -> bool:
        """Whether the largest number of rows is reached."""
        return self._max_rows is not None and len(self.names) >= self._max_rows

    def add(self, name: str, letters: bytes) -> None:
        """One row. Raises InputError for letters that are no residue and for ragged rows."""
        codes = np.frombuffer(letters.translate(_TABLE, b" \t\r\n"), np.uint8)
        if (codes == _BAD).any():
            query_forms.check_letters(name, letters, self.source)
            raw = letters.translate(None, b" \t\r\n")
            bad = chr(raw[int(np.argmax(codes == _BAD))])
            raise _no_residue(f"row {len(self.names) + 1} ({name[:60]!r})", bad, self.source)
        columns = codes[codes <= GAP]
        if not len(columns) and not self.names and (codes == _INSERTED).any():
            raw = letters.translate(_UPPER, b" \t\r\n.")  # a query written in lower case throughout
            codes = columns = np.frombuffer(raw.translate(_TABLE), np.uint8)
        if len(columns) > MAX_COLUMNS:
            raise InputError(f"more than {MAX_COLUMNS} columns", where=self.source)
        number = len(self.names)
        if number and len(columns) != self._columns:
            raise InputError(
                f"row {number + 1} ({name[:60]!r}) has {len(columns)} columns, the first "
                f"row has {self._columns}",
                where=self.source,
                hint="Are the sequences aligned? `sciml protein search` builds an alignment",
            )
        if self._unique is not None:
            key = columns.tobytes()
            if key in self._unique:
                return
            self._unique.add(key)
        if (codes == _INSERTED).any():
            solid = codes[codes != _DOT]
            at = np.flatnonzero(solid <= GAP)
            counts = np.diff(at, prepend=-1) - 1
            where = np.flatnonzero(counts)
            self._deleted.extend((number * len(columns) + where).tolist())
            self._counts.extend(np.minimum(counts[where], 65535).tolist())
        self._columns = len(columns)
        if number % BLOCK == 0:
            self._blocks.append(np.empty((BLOCK, self._columns), np.uint8))
        self.names.append(name)
        self._blocks[-1][number % BLOCK] = columns

    def finish(self) -> Alignment:
        """The alignment. Raises InputError if there is no row or no column."""
        if not self.names or not self._columns:
            raise InputError("holds no sequences", where=self.source)
        rows = np.empty((len(self.names), self._columns), np.uint8)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            part[:] = self._blocks[start // BLOCK][: len(part)]
            self._blocks[start // BLOCK] = rows[:0]  # its memory is free
        deletions = None
        if self._deleted:
            deletions = np.zeros(rows.shape, np.uint16)
            deletions.reshape(-1)[np.frombuffer(self._deleted, np.int64)] = self._counts
        return Alignment(self.names, rows, deletions, self.source)


def _no_residue(what: str, letter: str, where: object) -> InputError:
    hint = (
        "Write modified residues as their parents, such as K for (M3L)" if letter in "()" else None
    )
    return InputError(f"{what} holds {letter!r}, which is no residue", where=where, hint=hint)


def read_fasta(path: str | Path) -> list[tuple[str, str]]:
    """Plain sequences, not aligned: (header, upper-case letters without gaps).

    Tables with the columns `id,sequence` and AlphaFold 3's JSON are read, too.

    Raises:
        InputError: no sequence, or a letter that is no residue.
        ComplexError: several chains in one record.
    """
    records = []
    with open_binary(path) as stream:
        for name, letters in read_records(stream, path):
            records.append((name, plain_sequence(name, letters, path)))
    if not records:
        raise InputError("holds no sequences", where=path, hint="A FASTA file starts with '>'")
    return records


def plain_sequence(name: str, letters: bytes, where: object) -> str:
    """Upper-case letters without gaps and a stop at the end.

    Raises:
        InputError: nothing is left, or a letter is no residue.
    """
    text = letters.translate(_UPPER, b" \t-.").rstrip(b"*")
    if b"*" in text:
        raise InputError(
            f"{name[:60]!r} goes on after a stop ('*')", where=where,
            hint="Give what is before and after it as sequences of their own",
        )  # fmt: skip
    codes = np.frombuffer(text.translate(_TABLE), np.uint8)
    if (codes > GAP).any():
        raise _no_residue(f"{name[:60]!r}", chr(text[int(np.argmax(codes > GAP))]), where)
    if not text:
        raise InputError(f"the sequence {name[:60]!r} is empty", where=where)
    return text.decode("ascii")


@renamed(most="max_rows")
def read_alignment(
    path: str | Path,
    *,
    format: str | None = None,
    query: str | None = None,
    unique: bool = False,
    max_rows: int | None = None,
) -> Alignment:
    """Read an alignment; its content tells the format, between A3M and FASTA also its name.

    Args:
        path: FASTA, A3M, A2M, Stockholm, Clustal or one row per line; gzip allowed.
        format: overrides the guess; one of `FORMATS`.
        query: name or sequence of the query, which becomes the first row and gives the columns.
        unique: keep only the first of equal rows.
        max_rows: stop after this many rows.

    Raises:
        InputError: the file is empty, binary, ragged, or holds letters that are no residue.
        ComplexError: it is of several chains; `sciml.protein.io.complexes` reads it.
    """
    if format is not None and format not in FORMATS:
        raise unknown("alignment format", format, FORMATS)
    with open_binary(path) as stream:
        alignment = alignment_of(
            lines_of(stream, path), path, format, unique=unique, max_rows=max_rows
        )
    return alignment.with_query(query) if query is not None else alignment


def alignment_of(
    lines: Iterator[bytes],
    path: str | Path,
    format: str | None = None,
    *,
    unique: bool = False,
    max_rows: int | None = None,
) -> Alignment:
    """The alignment that lines of a file hold; see `read_alignment`."""
    headers: list[Header] = []
    first, lines = head_of(query_forms.one_query(lines, path, headers), path)
    if not first:
        raise InputError("is empty", where=path)
    reader = RowReader(path, unique=unique, max_rows=max_rows)
    rows: Iterator[tuple[str, bytes]]
    if format is None and is_structured(first):
        records = query_forms.single_records(text_of(lines, path), path)
        if len(records) > 1:
            raise InputError(f"holds {len(records)} sequences, not an alignment", where=path)
        rows = itertools.chain(*(entity_rows(*record, path) for record in records))
    else:
        if format is None:
            query_forms.check_other(first.decode("utf-8", "replace"), path)
        rows = _records(format or _guess(first, Path(path)), lines, path)
    for name, letters in rows:
        query_forms.check_name(name, path)
        reader.add(name, letters)
        if reader.full:
            break
    alignment = reader.finish()
    query_forms.check_columns(headers, alignment.columns, path)
    if not any(header.copies for header in headers):
        check_blocks(alignment)
        check_pieces(alignment)
    return alignment


def _guess(first: bytes, path: Path) -> str:
    if first.startswith(b"# STOCKHOLM"):
        return "stockholm"
    if first.upper().startswith((b"CLUSTAL", b"MUSCLE", b"PROBCONS")):
        return "clustal"
    if not first.startswith(b">"):
        return "aln"
    return "a3m" if suffix_of(path) == ".a3m" else "fasta"


def _records(kind: str, lines: Iterator[bytes], where: object) -> Iterator[tuple[str, bytes]]:
    """(name, letters of A3M form) of each row."""
    if kind == "a3m":
        yield from plain_rows(fasta_records(lines, where))
    elif kind == "fasta":
        yield from _aligned(plain_rows(fasta_records(lines, where)))
    elif kind == "aln":
        for number, line in enumerate(lines):
            if line.strip():
                yield f"row_{number + 1}", line.strip().translate(_UPPER).replace(b".", b"-")
    else:
        rows = _interleaved(lines, kind, where)
        for name, letters in rows.items():
            yield name, b"".join(letters).upper().translate(None, b" ").replace(b".", b"-")


def plain_rows(records: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Without the rows of secondary structure and solvent accessibility that HH-suite writes."""
    for name, letters in records:
        if not name.startswith(_ANNOTATIONS):
            yield name, letters


def _aligned(records: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Distinguish aligned FASTA (rows of one length) from A3M (lower case only inserted).

    Aligned rows whose lower-case letters stand only in columns of '.' or lower case are A2M and
    lose those columns; elsewhere lower case is soft masking and '.' a gap.
    """
    start: list[tuple[str, bytes]] = []
    for record in records:
        start.append(record)
        if len(start) == 2000:
            break
    lengths = {len(letters) for _, letters in start}
    inserted = np.zeros(0, bool)
    if len(lengths) == 1 and lengths != {0}:
        raw = np.stack([np.frombuffer(letters, np.uint8) for _, letters in start])
        lower = (raw >= ord("a")) & (raw <= ord("z"))
        inserted = (lower | (raw == ord("."))).all(0) & lower.any(0) & (len(start) > 1)

    def normal(letters: bytes) -> bytes:
        if len(lengths) != 1 or inserted.any():
            return letters
        return letters.translate(_UPPER).replace(b".", b"-")

    for name, letters in start:
        yield name, normal(letters)
    for name, letters in records:
        yield name, normal(letters)


def _interleaved(lines: Iterator[bytes], kind: str, where: object) -> dict[str, list[bytes]]:
    """Rows of Stockholm or Clustal blocks, joined by name; descriptions join the names."""
    rows: dict[str, list[bytes]] = {}
    described: dict[str, str] = {}
    next(lines)
    ended = kind == "clustal"
    for line in lines:
        if line.startswith(b"//"):
            ended = True
            break
        words = line.split()
        if line.startswith(b"#=GS") and len(words) > 3 and words[2] == b"DE":
            name, _, text = line[4:].strip().decode("utf-8", "replace").partition(" ")
            described[name] = text.strip().removeprefix("DE").strip()
        if not words or line.startswith(b"#") or (kind == "clustal" and line[:1].isspace()):
            continue
        if len(words) < 2:
            raise InputError(
                f"line {line[:40].decode('utf-8', 'replace')!r} is not 'name letters'", where=where
            )
        rows.setdefault(words[0].decode("utf-8", "replace"), []).append(words[1])
    if not ended:
        raise InputError("a Stockholm file ends with '//': this one is cut off", where=where)
    return {f"{name} {described[name]}" if name in described else name: row
            for name, row in rows.items()}  # fmt: skip


def a3m_rows(alignment: Alignment) -> Iterator[tuple[str, str]]:
    """(name, letters) of each row in A3M form, residues that were inserted as `x`."""
    for number, name in enumerate(alignment.names):
        row = alignment.row(number)
        if alignment.deletions is not None:
            counts = alignment.deletions[number]
            row = "".join("x" * int(n) + c for n, c in zip(counts, row, strict=True))
        yield name, row


def write_alignment(alignment: Alignment, path: str | Path, format: str | None = None) -> None:
    """Write an alignment; a name that ends in .gz is gzipped.

    Only the number of inserted residues is known, so that A3M writes them as `x`.

    Args:
        alignment: what to write.
        path: the file; its suffix gives the format where `format` is None.
        format: "a3m", "fasta", "stockholm" or "aln".
    """
    path = Path(path)
    if format is None:
        format = _SUFFIXES.get(suffix_of(path), "")
    if format not in ("a3m", "fasta", "stockholm", "aln"):
        raise unknown("alignment format", format or path.suffix, FORMATS[:4], where=path)
    with atomic_write(path) as temporary:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(temporary, "wt", encoding="utf-8", newline="\n") as file:
            text = cast(io.TextIOBase, file)
            if format == "stockholm":
                _write_stockholm(alignment, text)
            elif format == "aln":
                text.writelines(alignment.row(k) + "\n" for k in range(alignment.depth))
            else:
                plain = replace(alignment, deletions=None) if format == "fasta" else alignment
                text.writelines(f">{name}\n{row}\n" for name, row in a3m_rows(plain))


def _write_stockholm(alignment: Alignment, text: io.TextIOBase) -> None:
    """Rows named by the first word of their names, the rest as their descriptions."""
    names: dict[str, int] = {}
    for number, name in enumerate(alignment.names):
        word = name.split()[0] if name.split() else "row"
        while word in names:
            word = f"{word}_{number + 1}"
        names[word] = number
    text.write("# STOCKHOLM 1.0\n")
    for word, number in names.items():
        description = " ".join(alignment.names[number].split()[1:])
        if description:
            text.write(f"#=GS {word} DE {description}\n")
    text.writelines(f"{word} {alignment.row(number)}\n" for word, number in names.items())
    text.write("//\n")
