"""Homology search: an alignment by iterated profile hidden Markov models, as jackhmmer makes it.

pyhmmer (Larralde and Zeller, Bioinformatics 39, btad214, 2023) is HMMER's library in Python: the
rounds are jackhmmer's (Johnson et al., BMC Bioinformatics 11, 431, 2010), with its settings and its
hits, but all threads work on one query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from sciml.config import Range
from sciml.errors import InputError, load_extra
from sciml.files.unpack import open_binary
from sciml.paths import existing_file
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_fasta
from sciml.protein.io.query_forms import check_letters
from sciml.protein.io.sequence_records import read_records
from sciml.renamed import Formerly


@dataclass(frozen=True)
class SearchConfig:
    """How to search."""

    iterations: Annotated[int, Range(min=1, max=20)] = 3
    """Rounds; the first searches with the sequence, the others with the profile of the hits."""
    evalue: Annotated[float, Range(min=0, exclusive=True)] = 1e-3
    """Largest E-value of a hit that enters the alignment."""
    max_hits: Annotated[int, Range(min=1), Formerly("most")] = 10000
    """Largest number of hits."""
    cores: Annotated[int, Range(min=0)] = 0
    """Threads; 0: all cores."""


@dataclass
class SearchResult:
    """The alignment (query first), and for each hit: name, E-value, bit score."""

    alignment: Alignment
    hits: list[tuple[str, float, float]]
    rounds: int
    converged: bool


def _library() -> Any:
    return load_extra("pyhmmer", "protein", "searching sequences")


def read_database(path: str | Path) -> Any:
    """The sequences of a FASTA file (gzip allowed), as a pyhmmer block.

    Raises:
        InputError: no sequences, or letters that are no residue.
    """
    pyhmmer = _library()
    path = existing_file(path, "sequence file")
    alphabet = pyhmmer.easel.Alphabet.amino()
    block = pyhmmer.easel.TextSequenceBlock()
    with open_binary(path) as stream:
        for number, (name, letters) in enumerate(read_records(stream, path)):
            head, _, description = name.partition(" ")
            text = letters.decode("ascii", "replace").replace("-", "").replace(".", "").upper()
            if not text:
                continue
            if not text.replace("*", "").isalpha():
                raise InputError(f"{name[:60]!r} holds letters that are no residue", where=path)
            block.append(
                pyhmmer.easel.TextSequence(
                    name=(head or f"sequence_{number + 1}").encode(),
                    description=description.encode(),
                    sequence=text.replace("*", ""),
                )
            )
    if not len(block):
        raise InputError("holds no sequences", where=path)
    return block.digitize(alphabet)


def search(
    query: str,
    database: str | Path | Any,
    config: SearchConfig | None = None,
    *,
    name: str = "query",
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Search a database for homologues of a query and align them.

    Args:
        query: letters of the sequence.
        database: a FASTA file, or the block that `read_database` gave.
        config: rounds, threshold, threads.
        name: of the query's row.
        progress: called with (round, hits) after each round.

    Returns:
        An alignment over the query's residues (insertions of the hits as deletion counts).
    """
    pyhmmer = _library()
    config = config or SearchConfig()
    check_letters(name, query.encode("latin-1", "replace"), "query")
    block = read_database(database) if isinstance(database, str | Path) else database
    alphabet = pyhmmer.easel.Alphabet.amino()
    text = pyhmmer.easel.TextSequence(name=name.encode(), sequence=query.upper())
    try:
        digital = text.digitize(alphabet)
    except ValueError as error:
        raise InputError(f"the query holds letters that are no residue ({error})") from error
    # The loop of jackhmmer, with all threads on one query.
    builder = pyhmmer.plan7.Builder(alphabet, seed=42, architecture="hand")
    background = pyhmmer.plan7.Background(alphabet)
    hmm, _, _ = builder.build(digital, background)
    own = pyhmmer.plan7.Trace.from_sequence(digital)
    before: set[bytes] = set()
    rows_before, converged, rounds = 1, False, 0
    top: Any = None
    aligned: Any = None
    for rounds in range(1, config.iterations + 1):
        results = pyhmmer.hmmer.hmmsearch(
            hmm, block, cpus=config.cores, E=config.evalue, incE=config.evalue, incdomE=1e-3
        )
        top = next(iter(results))
        top.sort(by="key")
        names = {_bytes(hit.name) for hit in top if hit.included}
        if progress is not None:
            progress(rounds, len(names))
        aligned = top.to_msa(
            alphabet, sequences=[digital], traces=[own], digitize=True, all_consensus_cols=True
        )
        if names <= before and len(aligned.sequences) <= rows_before:
            converged = True
            break
        before = names
        rows_before = len(aligned.sequences)
        if rounds < config.iterations:
            aligned.name = name.encode() + f"-i{rounds}".encode()
            hmm, _, _ = builder.build_msa(aligned, background)
    hits = [
        (_bytes(hit.name).decode(), float(hit.evalue), float(hit.score))
        for hit in top
        if hit.included
    ][: config.max_hits]
    rows = aligned.textize()
    alignment = Alignment.from_sequences(
        [str(row).replace(".", "-").upper() for row in rows.alignment],
        [_bytes(label).decode() for label in rows.names],
        source=name,
    )
    alignment = alignment.with_query(alignment.find(name))
    if alignment.depth > config.max_hits + 1:
        alignment = alignment.select(np.arange(config.max_hits + 1))
    return SearchResult(alignment.deduplicate(), hits, rounds, converged)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def queries(path: str | Path) -> list[tuple[str, str]]:
    """(name, letters) of the sequences of a FASTA file, names made usable as file names."""
    return [
        (safe_name(head.split(" ")[0]) or f"sequence_{number + 1}", letters)
        for number, (head, letters) in enumerate(read_fasta(path))
    ]


def safe_name(text: str) -> str:
    """Letters, digits, dot, dash and underscore only; no leading dot."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)
    return safe.lstrip(".")[:80]
