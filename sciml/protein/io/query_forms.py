"""Forms of queries, and which of them are complexes.

A network of single chains must not take two chains as one. Complexes come as ColabFold's A3M (first
line `#LENGTHS<TAB>COPIES`, rows named `101<TAB>102`), as `A:B` in FASTA and tables, as blocks that
end in NUL bytes (MMseqs2's servers) and as AlphaFold 3's JSON. What holds one chain is passed on;
what holds more raises `ComplexError`. `sciml.protein.io.complexes` reads them into their chains.
"""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sciml.errors import InputError

SEPARATORS = ":/"
MAX_CHAINS = 10_000
"""Larger numbers of chains are refused."""
END = b"\0"
"""Stands for the end of a block among the lines of a file."""
_NUMBERS = r"(\d+(?:\s*,\s*\d+)*)"
_HEADER = re.compile(rf"#(\s*){_NUMBERS}(\s+){_NUMBERS}\s*(?:\t.*)?$")
_LENGTHS = re.compile(rf"#\s*{_NUMBERS}\s*$")
_OTHERS = (
    (re.compile(r"Query\s+\S"), "an HHsearch result (.hhr)", "`sciml protein fold --hhr` takes it"),
    (re.compile(r"HMMER3/|HHsearch 1\."), "a profile", "Give the alignment it was made from"),
    (re.compile(r"data_\S*\s*$|(HEADER|TITLE |REMARK|CRYST1|SEQRES|MODEL |ATOM  |HETATM)"),
     "a structure", "`sciml protein score` compares structures"),
    (re.compile(r"<(!DOCTYPE|html|\?xml)", re.IGNORECASE), "a web page", None),
)  # fmt: skip


class ComplexError(InputError):
    """A complex where a single chain is needed.

    Args:
        chains: how many chains it has.
        form: how it was recognised.
        where: the file, and the record in it.
    """

    def __init__(self, chains: int, form: str, where: object = None) -> None:
        self.chains = chains
        super().__init__(
            f"is a complex of {chains} chains ({form}) where a single chain is needed",
            where=where,
            hint="Single chains can be given, each with an alignment or FASTA record of its own; "
            "`sciml protein fold` takes complexes with the parameters of AlphaFold",
        )


class Entity(NamedTuple):
    """A chain of a table or job: letters ("" where it is no protein), copies, alignments as A3M."""

    letters: str
    copies: int = 1
    alignments: tuple[str, ...] = ()


Records = list[tuple[str, list[Entity]]]
"""(name, chains) of each row of a table or job of JSON."""


@dataclass(frozen=True)
class Header:
    """ColabFold's first line: the length of each distinct chain, and how many copies it has.

    `copies` is empty where the line gives lengths alone.
    """

    lengths: tuple[int, ...]
    copies: tuple[int, ...]

    @property
    def chains(self) -> int:
        """Chains of the complex, copies counted."""
        return sum(self.copies) if self.copies else len(self.lengths)


def parse_header(line: bytes, where: object = None) -> Header | None:
    """The header that a line is, or None for a comment.

    Raises:
        InputError: it has the form of a header, but its numbers make no sense.
    """
    text = line.strip().decode("utf-8", "replace")
    match = _HEADER.match(text)
    if match and match[1] and "," not in text and "\t" not in text:
        return None  # `# 5 2` is a comment
    only = None if match else _LENGTHS.match(text)
    if match is None and (only is None or "," not in only[1]):
        return None
    if len(text) > 10000:
        raise InputError("has a header of more chains than any complex", where=where)
    lengths, copies = (
        tuple(int(number[:9]) for number in re.findall(r"\d+", part))
        for part in ((match[2], match[4]) if match else (only[1] if only else "", ""))
    )
    if sum(copies) > MAX_CHAINS:
        raise InputError(f"has the header {text[:60]!r} of {sum(copies)} chains", where=where)
    if match and (len(lengths) != len(copies) or not all(lengths) or not all(copies)):
        raise InputError(
            f"has the header of a complex, {text[:60]!r}, with {len(lengths)} lengths and "
            f"{len(copies)} numbers of copies, all of which must be above 0",
            where=where,
            hint="Such a line is '#LENGTH,LENGTH<TAB>COPIES,COPIES'",
        )
    return Header(lengths, copies)


def one_query(lines: Iterator[bytes], where: object, headers: list[Header]) -> Iterator[bytes]:
    """The lines of a file of one chain.

    Args:
        lines: with `END` where a block ends.
        where: the file, for messages.
        headers: the header is added, where there is one; see `check_columns`.

    Raises:
        ComplexError: the header is that of a complex, or there are several blocks.
    """
    content = records = False
    for line in lines:
        if line[:1].isalpha() or line[:1] in (b">", b"-"):  # nearly all of them
            content, records = True, records or line[:1] == b">"
            yield line
            continue
        if line == END:
            more = _blocks(lines)
            if content and more:
                form = (
                    f"or {more + 1} separate queries: its blocks end in NUL bytes, MMseqs2's form"
                )
                raise ComplexError(more + 1, form, where)
            if content:
                return
            continue
        start = line.lstrip()
        if start.startswith(b"#"):
            header = parse_header(start, where)
            if header is not None and header.copies:
                text = start.strip().decode("utf-8", "replace")[:60]
                if header.chains > 1:
                    raise ComplexError(header.chains, f"header {text!r}", where)
                if headers or records:
                    raise ComplexError(2, f"a second header {text!r} after the first query", where)
            if header is not None and not records:
                headers.append(header)
        content = content or bool(start)
        records = records or start.startswith(b">")
        yield line


def _blocks(lines: Iterator[bytes]) -> int:
    """Number of remaining blocks that are not empty."""
    count, content = 0, False
    for line in lines:
        if line == END:
            count, content = count + content, False
        elif line.strip():
            content = True
    return count + content


def check_columns(headers: list[Header], columns: int, where: object) -> None:
    """Refuse rows of another length than the header's.

    Raises:
        ComplexError: several lengths add up to the rows.
        InputError: the one chain has another length.
    """
    for header in headers:
        if not header.copies:  # numbers that may mean anything
            if sum(header.lengths) == columns:
                raise ComplexError(header.chains, f"a header of lengths {header.lengths}", where)
        elif header.lengths[0] != columns:
            raise InputError(
                f"has the header of a chain of {header.lengths[0]} residues, its rows have "
                f"{columns} columns",
                where=where,
                hint="Is the file cut or joined? Without its first line it is read as it is",
            )


def paired(name: str) -> int:
    """Number of chains in a row by its name: ColabFold numbers queries 101, 102, ...; else 1."""
    if not name.startswith("101"):
        return 1
    parts = name.split()
    numbers = [str(101 + k) for k in range(len(parts))]
    return len(parts) if parts == numbers else 1


def check_name(name: str, where: object) -> None:
    """Refuse a query row whose name lists several chains side by side."""
    if paired(name) > 1:
        raise ComplexError(paired(name), f"a row named {' '.join(name.split())!r}", where)


def check_letters(name: str, letters: bytes, where: object) -> None:
    """Refuse a sequence with a separator of chains.

    Raises:
        ComplexError: with the number of chains.
    """
    parts = split_chains(letters.decode("latin-1"))
    if len(parts) > 1:
        empty = ", one of them empty" if not all(parts) else ""
        raise ComplexError(
            len(parts), f"{name[:60]!r} holds ':' or '/' between chains{empty}", where
        )


def split_chains(letters: str) -> list[str]:
    """The sequences between separators, spaces removed."""
    return re.split(f"[{SEPARATORS}]", "".join(letters.split()))


def check_other(first: str, where: object) -> None:
    """Refuse a file whose first line shows that it is something else than an alignment.

    Raises:
        InputError: says what it is.
    """
    for pattern, what, hint in _OTHERS:
        if pattern.match(first):
            raise InputError(f"is {what}, not an alignment", where=where, hint=hint)


def is_table(first: str) -> bool:
    """Whether a line is the head of a table of sequences, such as `id,sequence`."""
    return _delimiter(first) is not None


def _delimiter(first: str) -> str | None:
    names = [name.strip().strip('"').lower() for name in re.split("[,;\t]", first)]
    return re.findall("[,;\t]", first)[0] if "sequence" in names and len(names) > 1 else None


def table_records(text: str, where: object) -> list[tuple[str, str]]:
    """(name, letters, separators still inside) of each row of ColabFold's `id,sequence`.

    Raises:
        InputError: not that form, or a row without a sequence.
    """
    text = text.lstrip("\ufeff \r\n\t")
    first = text.split("\n", 1)[0].strip()
    delimiter = _delimiter(first)
    if delimiter is None:
        raise InputError("has no column 'sequence' in its first line", where=where)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise InputError(f"is no readable table ({error})", where=where) from error
    names = [name.strip().lower() for name in rows[0]]
    at = names.index("sequence")
    label = next((names.index(n) for n in ("id", "name", "jobname") if n in names), None)
    records = []
    for number, row in enumerate(rows[1:], 1):
        name = row[label].strip() if label is not None and label < len(row) else ""
        letters = "".join(row[at].split()) if at < len(row) else ""
        if not letters:
            raise InputError(f"row {number} ({name[:60]!r}) has no sequence", where=where)
        records.append((name or f"sequence_{number}", letters))
    if not records:
        raise InputError("holds no sequences", where=where)
    return records


def job_records(text: str, where: object) -> Records:
    """The jobs of AlphaFold 3's JSON, its own or its server's.

    What is no protein (nucleic acids, ligands, ions) has no letters but counts as a chain.

    Raises:
        InputError: not such JSON, or it has something for a chain that is not supported
            (modified residues, templates, alignments in files of their own).
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({str(error)[:80]})", where=where) from error
    jobs = value if isinstance(value, list) else [value]
    records = []
    for number, job in enumerate(jobs, 1):
        entities = job.get("sequences") if isinstance(job, dict) else None
        if not isinstance(entities, list) or not entities:
            raise InputError("is JSON, but no AlphaFold 3 job (it has no 'sequences')", where=where)
        records.append(
            (str(job.get("name") or f"job_{number}"), [_entity(e, where) for e in entities])
        )
    if not records:
        raise InputError("holds no jobs", where=where)
    return records


def is_job(path: Path) -> bool:
    """Whether a JSON file among others is an AlphaFold 3 job, damaged or not."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        value = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return False
    jobs = value if isinstance(value, list) else [value]
    return any(isinstance(job, dict) and isinstance(job.get("sequences"), list) for job in jobs)


def _entity(entity: Any, where: object) -> Entity:
    """One entry of `sequences`."""
    kind, inside = next(iter(entity.items())) if isinstance(entity, dict) and entity else ("", None)
    if not isinstance(inside, dict):
        raise InputError(
            f"has an entry of 'sequences' that is none: {str(entity)[:60]}", where=where
        )
    names, count = inside.get("id"), inside.get("count", 1)
    copies = len(names) if isinstance(names, list) else count
    if not isinstance(copies, int) or not 1 <= copies <= MAX_CHAINS:
        raise InputError(f"has a {kind} of {str(copies)[:20]} copies", where=where)
    if kind not in ("protein", "proteinChain"):
        return Entity("", copies)
    letters = inside.get("sequence")
    if not isinstance(letters, str) or not letters.strip():
        raise InputError(f"has a {kind} without a sequence", where=where)
    supported = (
        "id",
        "count",
        "sequence",
        "description",
        "useStructureTemplate",
        "maxTemplateDate",
        *_ALIGNMENTS,
    )
    extra = [key for key, content in inside.items() if content and key not in supported]
    if extra:
        raise InputError(
            f"has a {kind} with {', '.join(map(repr, extra))}, which is not supported here",
            where=where,
            hint="Give its alignment as text in 'unpairedMsa', templates by --templates, modified "
            "residues as their parents",
        )
    alignments = [inside[key] for key in _ALIGNMENTS if inside.get(key)]
    if not all(isinstance(text, str) for text in alignments):
        raise InputError(f"has a {kind} with an alignment that is no text", where=where)
    return Entity("".join(letters.split()), copies, tuple(alignments))


_ALIGNMENTS = ("pairedMsa", "unpairedMsa")


def all_records(text: str, where: object) -> Records:
    """The rows of a table or jobs of JSON."""
    if text.lstrip("\ufeff \r\n\t").startswith(("{", "[")):
        return job_records(text, where)
    return [
        (name, [Entity(chain) for chain in split_chains(letters)])
        for name, letters in table_records(text, where)
    ]


def single_records(text: str, where: object) -> list[tuple[str, Entity]]:
    """(name, chain) of each row of a table or job of JSON, which must be single chains.

    Raises:
        ComplexError: the first of the complexes.
    """
    records = []
    for name, chains in all_records(text, where):
        number = sum(chain.copies for chain in chains)
        if number > 1:
            raise ComplexError(number, f"the record {name[:60]!r}", where)
        letters = chains[0].letters
        if not letters:
            raise InputError(f"the record {name[:60]!r} has no protein", where=where)
        check_letters(name, letters.encode("latin-1", "replace"), where)
        records.append((name, chains[0]))
    return records


def __getattr__(name: str) -> Any:
    if name == "ComplexGiven":
        warnings.warn("`ComplexGiven` is now `ComplexError`", DeprecationWarning, stacklevel=2)
        return ComplexError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
