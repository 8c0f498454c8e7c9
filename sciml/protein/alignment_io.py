"""Alignments in and out: FASTA, A3M, A2M, Stockholm, Clustal and plain rows, gzipped or not.

Letters that are no standard residue follow HHblits: B -> D, Z -> E, U -> C; J, O, X, * -> unknown.
Files are read row by row, so that a million rows need little more than their own bytes.
"""

from __future__ import annotations

import gzip
import io
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from sciml.errors import InputError, unknown
from sciml.paths import atomic_write, existing_file
from sciml.protein.alignment import Alignment
from sciml.protein.residues import ALPHABET, GAP, RESIDUES

FORMATS = ("a3m", "fasta", "stockholm", "aln", "clustal")
MAX_COLUMNS = 100_000
BLOCK = 4096
"""Rows whose memory is taken at a time."""
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
_INSERTED, _DOT, _BAD = 100, 101, 255


def _code_table() -> bytes:
    table = np.full(256, _BAD, np.uint8)
    for code, letter in enumerate(RESIDUES):
        table[ord(letter)] = code
    for letter, like in {"B": "D", "Z": "E", "U": "C", "J": "X", "O": "X", "X": "X"}.items():
        table[ord(letter)] = ALPHABET.index(like)
    table[ord("*")] = ALPHABET.index("X")
    table[ord("-")] = GAP
    table[ord("a") : ord("z") + 1] = _INSERTED
    table[ord(".")] = _DOT
    return table.tobytes()


_TABLE = _code_table()
_UPPER = bytes(range(256)).upper().replace(b"_", b"-")


class RowReader:
    """Collects rows of A3M form, checking each, in blocks of memory that grow."""

    def __init__(self, source: object, *, unique: bool = False, most: int | None = None) -> None:
        self.source = str(source)
        self.names: list[str] = []
        self._columns = 0
        self._blocks: list[np.ndarray] = []  # of BLOCK rows
        # Few cells have a deletion count: their flat indices, and the counts.
        self._deleted, self._counts = array("q"), array("H")
        self._unique: set[bytes] | None = set() if unique else None
        self._most = most

    @property
    def full(self) -> bool:
        """As many rows as were asked for."""
        return self._most is not None and len(self.names) >= self._most

    def add(self, name: str, letters: bytes) -> None:
        """One row. Raises InputError for letters that are no residue and for ragged rows."""
        codes = np.frombuffer(letters.translate(_TABLE, b" \t\r\n"), np.uint8)
        if (codes == _BAD).any():
            raw = letters.translate(None, b" \t\r\n")
            bad = chr(raw[int(np.argmax(codes == _BAD))])
            raise InputError(
                f"row {len(self.names) + 1} ({name[:60]!r}) holds {bad!r}, which is no residue",
                where=self.source,
            )
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


class _Guarded(io.RawIOBase):
    """A binary stream whose decompression errors are the user's, with the file's name."""

    def __init__(self, stream: BinaryIO, path: Path, raw: BinaryIO) -> None:
        self.stream, self.path, self.raw = stream, path, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot be read ({error})", where=self.path) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.stream.close()
        self.raw.close()  # gzip leaves it open
        super().close()


def open_binary(path: str | Path) -> io.BufferedReader:
    """The file's bytes, unzipped if it is gzip (told by its first bytes, not its name)."""
    path = existing_file(path)
    raw: BinaryIO = open(path, "rb")
    magic = raw.read(2)
    raw.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if magic == b"\x1f\x8b" else raw
    return io.BufferedReader(_Guarded(stream, path, raw), 1 << 20)


def _lines(stream: io.BufferedReader, where: object) -> Iterator[bytes]:
    """Lines without their ends (LF, CRLF or CR), byte-order mark removed."""
    first = True
    while line := stream.readline(MAX_COLUMNS * 64):
        if b"\0" in line:
            raise InputError("is a binary file, not text", where=where)
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            first = False
        yield from line.rstrip(b"\r\n").split(b"\r")


def _fasta(lines: Iterator[bytes], where: object) -> Iterator[tuple[str, bytes]]:
    """(header, letters) of each record; '#' and ';' comment lines are passed over."""
    name: str | None = None
    parts: list[bytes] = []
    size = 0
    for line in lines:
        if line.startswith(b">"):
            if name is not None:
                yield name, b"".join(parts)
            name, parts, size = line[1:].decode("utf-8", "replace").strip(), [], 0
        elif not line.strip() or line.startswith((b"#", b";")):
            continue
        elif name is None:
            raise InputError("text before the first '>' line", where=where)
        else:
            parts.append(line.strip())
            size += len(line)
            if size > 64 * MAX_COLUMNS:
                raise InputError("a sequence is longer than any protein", where=where)
    if name is not None:
        yield name, b"".join(parts)


def read_fasta(path: str | Path) -> list[tuple[str, str]]:
    """Plain sequences, not aligned: (header, upper-case letters without gaps).

    Raises:
        InputError: no sequence, or a letter that is no residue.
    """
    found = []
    with open_binary(path) as stream:
        for name, letters in _fasta(_lines(stream, path), path):
            text = letters.translate(_UPPER, b" \t-.*")
            codes = np.frombuffer(text.translate(_TABLE), np.uint8)
            if (codes > GAP).any():
                bad = chr(text[int(np.argmax(codes > GAP))])
                raise InputError(f"{name[:60]!r} holds {bad!r}, which is no residue", where=path)
            if not text:
                raise InputError(f"the sequence {name[:60]!r} is empty", where=path)
            found.append((name, text.decode("ascii")))
    if not found:
        raise InputError("holds no sequences", where=path, hint="A FASTA file starts with '>'")
    return found


def read_alignment(
    path: str | Path,
    *,
    format: str | None = None,
    query: str | None = None,
    unique: bool = False,
    most: int | None = None,
) -> Alignment:
    """Read an alignment; the format is told from the content and, between A3M and FASTA, the name.

    Args:
        path: FASTA, A3M, A2M, Stockholm, Clustal or one row a line; gzip allowed.
        format: overrides the guess; one of `FORMATS`.
        query: name or sequence of the query, which becomes the first row and gives the columns.
        unique: keep only the first of equal rows.
        most: stop after this many rows.

    Raises:
        InputError: the file is empty, binary, ragged, or holds letters that are no residue.
    """
    if format is not None and format not in FORMATS:
        raise unknown("alignment format", format, FORMATS)
    reader = RowReader(path, unique=unique, most=most)
    with open_binary(path) as stream:
        lines = _lines(stream, path)
        head: list[bytes] = []
        for line in lines:
            if line.strip() and not (line.startswith(b"#") and b"STOCKHOLM" not in line):
                head.append(line)
                break
        if not head:
            raise InputError("is empty", where=path)
        kind = format or _guess(head[0], Path(path))
        rows = _records(kind, _chain(head, lines), path)
        for name, letters in rows:
            reader.add(name, letters)
            if reader.full:
                break
    alignment = reader.finish()
    return alignment.with_query(query) if query is not None else alignment


def _chain(head: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from head
    yield from rest


def _guess(first: bytes, path: Path) -> str:
    if first.startswith(b"# STOCKHOLM"):
        return "stockholm"
    if first.upper().startswith((b"CLUSTAL", b"MUSCLE", b"PROBCONS")):
        return "clustal"
    if not first.startswith(b">"):
        return "aln"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return "a3m" if suffixes and suffixes[-1] == ".a3m" else "fasta"


def _records(kind: str, lines: Iterator[bytes], where: object) -> Iterator[tuple[str, bytes]]:
    """(name, letters of A3M form) of each row."""
    if kind == "a3m":
        yield from _fasta(lines, where)
    elif kind == "fasta":
        yield from _aligned(_fasta(lines, where))
    elif kind == "aln":
        for number, line in enumerate(lines):
            if line.strip():
                yield f"row_{number + 1}", line.strip().translate(_UPPER).replace(b".", b"-")
    else:
        rows = _interleaved(lines, kind, where)
        for name, letters in rows.items():
            yield name, b"".join(letters).upper().translate(None, b" ").replace(b".", b"-")


def _aligned(records: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Tell aligned FASTA (every row as long) from A3M (lower case only inserted) by its start.

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
    """Rows of Stockholm or Clustal blocks, joined by name."""
    rows: dict[str, list[bytes]] = {}
    next(lines)
    ended = kind == "clustal"
    for line in lines:
        if line.startswith(b"//"):
            ended = True
            break
        words = line.split()
        if not words or line.startswith(b"#") or (kind == "clustal" and line[:1].isspace()):
            continue
        if len(words) < 2:
            raise InputError(
                f"line {line[:40].decode('utf-8', 'replace')!r} is not 'name letters'", where=where
            )
        rows.setdefault(words[0].decode("utf-8", "replace"), []).append(words[1])
    if not ended:
        raise InputError("a Stockholm file ends with '//': this one is cut off", where=where)
    return rows


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
        suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
        format = _SUFFIXES.get(suffixes[-1] if suffixes else "", "")
    if format not in ("a3m", "fasta", "stockholm", "aln"):
        raise unknown("alignment format", format or path.suffix, FORMATS[:4], where=path)
    with atomic_write(path) as temporary:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(temporary, "wt", encoding="utf-8", newline="\n") as file:
            text = cast(io.TextIOBase, file)
            if format == "stockholm":
                text.write("# STOCKHOLM 1.0\n")
            for number, name in enumerate(alignment.names):
                row = alignment.row(number)
                if format == "stockholm":
                    text.write(f"{'_'.join(name.split()) or 'row'} {row}\n")
                elif format == "aln":
                    text.write(row + "\n")
                else:
                    if format == "a3m" and alignment.deletions is not None:
                        counts = alignment.deletions[number]
                        row = "".join("x" * int(n) + c for n, c in zip(counts, row, strict=True))
                    text.write(f">{name}\n{row}\n")
            if format == "stockholm":
                text.write("//\n")
