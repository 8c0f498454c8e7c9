"""Homology search: an alignment by iterated profile hidden Markov models, as jackhmmer makes it.

pyhmmer (Larralde and Zeller, Bioinformatics 39, btad214, 2023) is HMMER's library in Python: the
rounds are jackhmmer's (Johnson et al., BMC Bioinformatics 11, 431, 2010), with its settings and its
hits, but all threads work on one query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from sciml.config import Range
from sciml.errors import InputError, load_extra
from sciml.files.unpack import open_binary
from sciml.paths import existing_file
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import Complex, read_complexes
from sciml.protein.io.query_forms import check_letters
from sciml.protein.io.sequence_records import read_records
from sciml.protein.io.structure_writing import chain_name
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
        An alignment over the query's residues (insertions of the hits as deletion counts). Rows are
        named by the hits, their places in them, and their descriptions, which tell the organism.
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
    described = {_bytes(s.name).decode(): _bytes(s.description or b"").decode() for s in block}
    rows = aligned.textize()
    alignment = Alignment.from_sequences(
        [str(row).replace(".", "-").upper() for row in rows.alignment],
        [_described(_bytes(label).decode(), described) for label in rows.names],
        source=name,
    )
    alignment = alignment.with_query(alignment.find(name))
    if alignment.depth > config.max_hits + 1:
        alignment = alignment.select(np.arange(config.max_hits + 1))
    return SearchResult(alignment.deduplicate(), hits, rounds, converged)


def _described(label: str, described: dict[str, str]) -> str:
    """The name of a row, HIT/FROM-TO, with the hit's description."""
    description = described.get(label.rpartition("/")[0] or label, "")
    return f"{label} {description}".rstrip()


def search_all(
    query: str,
    databases: Sequence[str | Path | Any],
    config: SearchConfig | None = None,
    *,
    name: str = "query",
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """`search` in several databases, each for itself; hits in the order of the databases.

    Rows that are equal are kept once.
    """
    results = [search(query, db, config, name=name, progress=progress) for db in databases]
    first = results[0].alignment
    parts = [first, *(r.alignment.select(np.arange(1, r.alignment.depth)) for r in results[1:]
                      if r.alignment.depth > 1)]  # fmt: skip
    counts = [np.zeros(p.rows.shape, np.uint16) if p.deletions is None else p.deletions
              for p in parts]  # fmt: skip
    whole = Alignment(
        [label for part in parts for label in part.names],
        np.concatenate([part.rows for part in parts]),
        np.concatenate(counts) if any(part.deletions is not None for part in parts) else None,
        first.source,
    )
    return SearchResult(
        whole.deduplicate(),
        [hit for result in results for hit in result.hits],
        max(result.rounds for result in results),
        all(result.converged for result in results),
    )


def search_complex(
    complex_: Complex,
    databases: Sequence[str | Path | Any],
    config: SearchConfig | None = None,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Complex, list[SearchResult]]:
    """`search_all` of every distinct chain; its rows become the chain's unpaired ones.

    Args:
        complex_: the chains; alignments that they have are left out.
        databases: FASTA files, or what `read_database` gave.
        config: rounds, threshold, threads.
        progress: called with (chain, round, hits) after each round.
    """
    results = []
    for k, chain in enumerate(complex_.chains):
        label = f"{complex_.name}_{chain_name(k)}" if len(complex_.chains) > 1 else complex_.name
        tell = None if progress is None else partial(progress, label)
        results.append(search_all(chain.sequence, databases, config, name=label, progress=tell))
    chains = [
        replace(chain, unpaired=result.alignment, paired=None)
        for chain, result in zip(complex_.chains, results, strict=True)
    ]
    return replace(complex_, chains=chains), results


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def queries(path: str | Path) -> list[Complex]:
    """The sequences and complexes of a file, names made usable as file names; see
    `read_complexes`."""
    complexes = read_complexes(path, aligned=False)
    return [
        replace(complex_, name=safe_name(complex_.name.split(" ")[0]) or f"sequence_{number}")
        for number, complex_ in enumerate(complexes, 1)
    ]


def safe_name(text: str) -> str:
    """Letters, digits, dot, dash and underscore only; no leading dot."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)
    return safe.lstrip(".")[:80]
