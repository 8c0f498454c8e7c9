"""Build an alignment by searching with profile hidden Markov models, without HMMER itself.

pyhmmer (Larralde and Zeller, Bioinformatics 39, btad214, 2023) is HMMER's library in Python: the
search is phmmer in the first round and hmmsearch with the hits' profile afterwards, as jackhmmer
does (Johnson et al., BMC Bioinformatics 11, 431, 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from sciml.config import Range
from sciml.errors import InputError, MissingExtra
from sciml.paths import existing_file
from sciml.protein.alignment import Alignment
from sciml.protein.alignment_io import open_binary, read_fasta


@dataclass(frozen=True)
class SearchConfig:
    """How to search."""

    iterations: Annotated[int, Range(min=1, max=20)] = 3
    """Rounds; the first searches with the sequence, the others with the profile of the hits."""
    evalue: Annotated[float, Range(min=0, exclusive=True)] = 1e-3
    """Largest E-value of a hit that enters the alignment."""
    most: Annotated[int, Range(min=1)] = 10000
    """Most hits."""
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
    try:
        import pyhmmer
    except ImportError as error:
        raise MissingExtra("pyhmmer", "protein", "searching sequences") from error
    return pyhmmer


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
        from sciml.protein.alignment_io import _fasta, _lines

        for number, (name, letters) in enumerate(_fasta(_lines(stream, path), path)):
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
    """Search a query sequence and align what is found.

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
    block = read_database(database) if isinstance(database, str | Path) else database
    alphabet = pyhmmer.easel.Alphabet.amino()
    text = pyhmmer.easel.TextSequence(name=name.encode(), sequence=query.upper())
    try:
        digital = text.digitize(alphabet)
    except ValueError as error:
        raise InputError(f"the query holds letters that are no residue ({error})") from error
    builder = pyhmmer.plan7.Builder(alphabet)
    background = pyhmmer.plan7.Background(alphabet)
    hmm, _, _ = builder.build(digital, background)
    seen: set[bytes] = set()
    converged, rounds, top = False, 0, None
    aligned: Any = None
    for rounds in range(1, config.iterations + 1):
        if rounds == 1:
            results = pyhmmer.hmmer.phmmer(
                digital, block, cpus=config.cores, incE=config.evalue, E=config.evalue
            )
        else:
            results = pyhmmer.hmmer.hmmsearch(
                hmm, block, cpus=config.cores, incE=config.evalue, E=config.evalue
            )
        top = next(iter(results))
        included = [hit for hit in top if hit.included][: config.most]
        names = {_bytes(hit.name) for hit in included}
        if progress is not None:
            progress(rounds, len(included))
        if not names:
            break
        aligned = _to_msa(top, alphabet, digital, pyhmmer, hmm)
        if names <= seen:
            converged = True
            break
        seen |= names
        if rounds < config.iterations:
            aligned.name = name.encode()
            hmm, _, _ = builder.build_msa(aligned, background)
    hits = (
        []
        if top is None
        else [
            (_bytes(hit.name).decode(), float(hit.evalue), float(hit.score))
            for hit in top
            if hit.included
        ][: config.most]
    )
    if aligned is None:
        alignment = Alignment.from_sequences([query.upper()], [name], source=name)
    else:
        rows = aligned.textize()
        alignment = Alignment.from_sequences(
            [str(row).replace(".", "-").upper() for row in rows.alignment],
            [_bytes(label).decode() for label in rows.names],
            source=name,
        )
        alignment = alignment.with_query(alignment.find(name))
    if alignment.depth > config.most + 1:
        alignment = alignment.select(np.arange(config.most + 1))
    return SearchResult(alignment.deduplicate(), hits, rounds, converged)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _to_msa(top: Any, alphabet: Any, digital: Any, pyhmmer: Any, hmm: Any) -> Any:
    """The hits' alignment with the query itself as a row."""
    trace = pyhmmer.plan7.TraceAligner().compute_traces(
        hmm, pyhmmer.easel.DigitalSequenceBlock(alphabet, [digital])
    )
    return top.to_msa(
        alphabet, sequences=[digital], traces=list(trace), digitize=True, all_consensus_cols=True
    )


def queries(path: str | Path) -> list[tuple[str, str]]:
    """(name, letters) of the sequences of a FASTA file, names made usable as file names."""
    found = []
    for number, (head, letters) in enumerate(read_fasta(path)):
        found.append((safe_name(head.split(" ")[0]) or f"sequence_{number + 1}", letters))
    return found


def safe_name(text: str) -> str:
    """Letters, digits, dot, dash and underscore only; no leading dot."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)
    return kept.lstrip(".")[:80]
