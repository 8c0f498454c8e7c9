"""Pairing the rows of a complex's chains: sequences of one organism, or of neighbouring genes.

By species as AlphaFold-Multimer pairs (Evans et al., bioRxiv 2021.10.04.463034, section 2.2): in
each organism the rows most like their chains meet, then the second ones, and so on. By genome: the
rows whose UniProt accessions are nearest, as the genes of a bacterial operon are (Ovchinnikov et
al., eLife 3, e02030, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from sciml.config import Range
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import Complex
from sciml.protein.io.residues import GAP
from sciml.protein.io.species import accession_number, organisms

ABSENT = -1
"""Stands for a chain that a paired row skips."""


@dataclass(frozen=True)
class PairingConfig:
    """How rows of different chains are paired."""

    by: Literal["given", "species", "genome", "none"] = "given"
    """species; genome: distance of UniProt accessions; none; given: the file's own pairs, and
    species where it has none."""
    complete: bool = False
    """Only rows of all chains; otherwise of two or more (greedy)."""
    max_distance: Annotated[int, Range(min=1)] = 20
    """Most accessions between paired rows of neighbouring genes."""
    max_rows_per_species: Annotated[int, Range(min=1)] = 600
    """Organisms with more rows in a chain are left out."""


def pair_chains(complex_: Complex, config: PairingConfig | None = None) -> Complex:
    """A complex with the paired rows that its unpaired rows give.

    Every row of a chain but the first may be paired; a complex of one distinct chain has no pairs,
    since the copies of a chain share its rows.
    """
    config = config or PairingConfig()
    chains = complex_.chains
    if len(chains) < 2 or (config.by == "given" and any(c.paired is not None for c in chains)):
        return complex_
    alone = [replace(chain, paired=None) for chain in chains]
    if config.by == "none":
        return replace(complex_, chains=alone)
    alignments = [chain.unpaired.with_query(0).deduplicate() for chain in chains]
    find = by_genome if config.by == "genome" else by_species
    rows = find(alignments, config, [chain.copies for chain in chains])
    if len(rows) < 2:
        return replace(complex_, chains=alone)
    paired = [_rows(a, column) for a, column in zip(alignments, rows.T, strict=True)]
    return replace(
        complex_,
        chains=[
            replace(chain, unpaired=alignment, paired=part)
            for chain, alignment, part in zip(chains, alignments, paired, strict=True)
        ],
    )


def _rows(alignment: Alignment, rows: np.ndarray) -> Alignment:
    """Rows of an alignment, all gaps where there is none."""
    present = rows != ABSENT
    cells = np.where(present[:, None], alignment.rows[rows], np.uint8(GAP))
    counts = None
    if alignment.deletions is not None:
        counts = np.where(present[:, None], alignment.deletions[rows], np.uint16(0))
    names = [alignment.names[k] if k != ABSENT else "" for k in rows]
    return Alignment(names, cells, counts, alignment.source)


def by_species(
    alignments: Sequence[Alignment], config: PairingConfig, copies: Sequence[int] = ()
) -> np.ndarray:
    """Rows that are of one organism: [P, chains] indices, `ABSENT` where a chain has none.

    The first is that of the queries. Rows of more chains come first, then those that stand higher
    in the alignments (the smaller product of their indices). The `copies` of a chain count as
    chains: a row of two copies pairs them.
    """
    weights = np.array(copies or [1] * len(alignments))
    kinds = organisms([alignment.names for alignment in alignments])
    members: dict[str, list[list[int]]] = {}
    for chain, names in enumerate(kinds):
        for row, organism in enumerate(names):
            if row and organism is not None:
                members.setdefault(organism, [[] for _ in alignments])[chain].append(row)
    similar = [(a.rows == a.rows[0]).mean(1) for a in alignments]
    pairs = []
    for _, rows in sorted(members.items()):
        counts = [len(part) for part in rows if part]
        present = np.array([bool(part) for part in rows])
        if max(counts) > config.max_rows_per_species or not _enough(present, weights, config):
            continue
        ranked = [sorted(part, key=lambda r: -near[r]) for part, near in
                  zip(rows, similar, strict=True)]  # fmt: skip
        for k in range(min(counts)):
            pairs.append([part[k] if part else ABSENT for part in ranked])
    return _ordered(pairs, weights)


def _enough(present: np.ndarray, copies: np.ndarray, config: PairingConfig) -> bool:
    return bool(present.all()) if config.complete else int((present * copies).sum()) > 1


def by_genome(
    alignments: Sequence[Alignment], config: PairingConfig, copies: Sequence[int] = ()
) -> np.ndarray:
    """Rows whose genes are neighbours, as `by_species` gives them.

    Pairs of rows of two chains are taken from the nearest on; a row is in one pair. With more
    chains, pairs grow to groups while each chain is in a group once. Rows that are known to be of
    two organisms are not paired, nor those of one protein.

    Where an operon's genes stand closer to each other than to any others, these are the pairs of
    AlphaFold-Multimer's first version (`max_distance` 19), but for its filters: it drops rows that
    are alike to the query by more than 90 % or have gaps in half of their columns. Genes that are
    each other's nearest, as ColabFold paired them, always meet.
    """
    kinds = organisms([alignment.names for alignment in alignments])
    places: dict[int, list[tuple[int, int, int]]] = {}  # form -> (number, chain, row)
    for chain, alignment in enumerate(alignments):
        for row, name in enumerate(alignment.names):
            if row and (place := accession_number(name)) is not None:
                places.setdefault(place[0], []).append((place[1], chain, row))
    near = []
    for form in places.values():
        form.sort()
        for k, (number, chain, row) in enumerate(form):
            for other_number, other, other_row in form[k + 1 :]:
                if other_number - number > config.max_distance:
                    break
                one, two = kinds[chain][row], kinds[other][other_row]
                same = one is None or two is None or one == two
                if chain != other and other_number != number and same:
                    near.append((other_number - number, (chain, row), (other, other_row)))
    groups: dict[tuple[int, int], dict[int, int]] = {}
    for _, first, second in sorted(near):
        one_group = groups.get(first, {first[0]: first[1]})
        other_group = groups.get(second, {second[0]: second[1]})
        if one_group.keys() & other_group.keys():
            continue
        joined = one_group | other_group
        for member in joined.items():
            groups[member] = joined
    unique = {id(group): group for group in groups.values()}.values()
    pairs = [
        [group.get(chain, ABSENT) for chain in range(len(alignments))]
        for group in unique
        if len(group) == len(alignments) or not config.complete
    ]
    return _ordered(pairs, np.array(copies or [1] * len(alignments)))


def _ordered(pairs: list[list[int]], copies: np.ndarray) -> np.ndarray:
    """The queries, then rows of more chains first, of these those that stand higher."""
    rows = np.array(pairs, np.int64).reshape(-1, len(copies))
    product = (np.log(np.abs(rows)) * copies).sum(1).round(9)
    order = np.lexsort((product, -((rows != ABSENT) * copies).sum(1)))
    return np.concatenate([np.zeros((1, len(copies)), np.int64), rows[order]])
