"""Lines and records of sequence files: FASTA, `id,sequence` tables, AlphaFold 3's JSON.

Files are read line by line, with any line ends, with or without a byte-order mark.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from sciml.errors import InputError
from sciml.protein.io import query_forms
from sciml.protein.io.query_forms import END, Entity

MAX_COLUMNS = 100_000
MAX_TABLE = 64 << 20
"""Most bytes of a table of sequences or a JSON file."""


def suffix_of(path: Path) -> str:
    """The last suffix in lower case, .gz aside; "" where there is none."""
    return next((s for s in map(str.lower, reversed(path.suffixes)) if s != ".gz"), "")


def lines_of(stream: io.BufferedReader, where: object) -> Iterator[bytes]:
    """Lines without their ends (LF, CRLF or CR), byte-order mark removed.

    A NUL byte ends a block (`END`) where the next one, if any, begins as one does; elsewhere it
    tells a binary file.
    """
    first = True
    while line := stream.readline(MAX_COLUMNS * 64):
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            first = False
        for number, part in enumerate(line.split(b"\0")):
            if number:
                if part.strip() and not part.lstrip().startswith((b">", b"#")):
                    raise InputError("is a binary file, not text", where=where)
                yield END
            if part or not number:
                yield from part.rstrip(b"\r\n").split(b"\r")


def fasta_records(lines: Iterator[bytes], where: object) -> Iterator[tuple[str, bytes]]:
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


def read_records(stream: io.BufferedReader, path: str | Path) -> Iterator[tuple[str, bytes]]:
    """(header, letters as written) of each chain of a FASTA file, an `id,sequence` table or an
    AlphaFold 3 job.

    Raises:
        InputError: another file.
        ComplexError: a record is a complex.
    """
    first, lines = head_of(query_forms.one_query(lines_of(stream, path), path, []), path)
    if is_structured(first):
        for name, chain in query_forms.single_records(text_of(lines, path), path):
            if chain.alignments:
                raise InputError(
                    f"{name[:60]!r} has an alignment where a sequence is needed", where=path
                )
            yield name, chain.letters.encode("latin-1", "replace")
        return
    query_forms.check_other(first.decode("utf-8", "replace"), path)
    for name, letters in fasta_records(lines, path):
        query_forms.check_name(name, path)
        query_forms.check_letters(name, letters, path)
        yield name, letters


def head_of(lines: Iterator[bytes], where: object) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is neither blank nor a comment, and the lines from there on."""
    for line in lines:
        text = line.lstrip()
        if text and (not text.startswith((b"#", b";")) or text.startswith(b"# STOCKHOLM")):
            return line, itertools.chain([line], lines)
    return b"", iter(())


def entity_rows(name: str, chain: Entity, where: object) -> Iterator[tuple[str, bytes]]:
    """(name, letters of A3M form) of a chain and of the rows of its alignments.

    Raises:
        InputError: the first row of an alignment is not the chain.
    """
    yield name, chain.letters.upper().encode("latin-1", "replace")
    for text in chain.alignments:
        lines = (line.rstrip(b"\r") for line in text.encode("latin-1", "replace").split(b"\n"))
        for number, (label, letters) in enumerate(fasta_records(lines, where)):
            if number:
                yield label, letters
            elif letters.translate(None, b"-. ").upper().decode("latin-1") != chain.letters.upper():
                raise InputError(
                    f"{name[:60]!r} has an alignment of another chain: its first row is not the "
                    "sequence",
                    where=where,
                )


def is_structured(first: bytes) -> bool:
    """Whether a first line is that of a table of sequences or of JSON."""
    text = first.decode("utf-8", "replace").strip()
    return text.startswith(("{", "[")) or query_forms.is_table(text)


def text_of(lines: Iterator[bytes], where: object) -> str:
    """A table or JSON as text."""
    parts, size = [], 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > MAX_TABLE:
            raise InputError(f"is larger than {MAX_TABLE >> 20} MiB", where=where)
    return b"\n".join(parts).decode("utf-8", "replace")
