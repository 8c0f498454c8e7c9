"""The rows of all chains of a complex as one alignment, as AlphaFold-Multimer merges them.

Evans et al., bioRxiv 2021.10.04.463034, section 2: paired rows stand side by side; the rows of one
chain alone form blocks along the diagonal, with gaps for all other chains; the copies of a chain
repeat its rows.
"""

from __future__ import annotations

import numpy as np

from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import Complex, ComplexChain
from sciml.protein.io.residues import GAP

MAX_ROWS = 2048
"""Most rows of a chain, of which at most half are paired."""


def merged_alignment(of: Complex, max_rows: int = MAX_ROWS) -> Alignment:
    """One alignment of the whole complex: the query, paired rows, then those of each chain alone.

    A chain's rows that its paired ones repeat are left out. The first `max_rows / 2` paired rows
    are kept, and of each chain alone as many as make up `max_rows` with those paired rows in which
    the chain is.
    """
    count = min(of.paired_depth, max(max_rows // 2, 1))
    alone = [_alone(chain, count, max_rows) for chain in of.chains]
    widths = [len(chain.sequence) * chain.copies for chain in of.chains]
    rows = np.full((count + sum(map(len, alone)), sum(widths)), GAP, np.uint8)
    deletions = np.zeros(rows.shape, np.int32)
    names = [of.name, *([""] * (len(rows) - 1))]
    start, below = 0, count
    for chain, own, width in zip(of.chains, alone, widths, strict=True):
        query = chain.unpaired.with_query(0)
        first = query if chain.paired is None else chain.paired
        together = min(first.depth, count if chain.paired is not None else 1)
        for source, chosen, at in (
            (first, np.arange(together), 0),
            (query.deduplicate(), own, below),
        ):
            here = (slice(at, at + len(chosen)), slice(start, start + width))
            rows[here] = np.tile(source.rows[chosen], chain.copies)
            if source.deletions is not None:
                deletions[here] = np.tile(source.deletions[chosen], chain.copies)
            for k, row in enumerate(chosen, at):
                if k and source.names[row]:
                    names[k] = "\t".join(filter(None, (names[k], source.names[row])))
        start, below = start + width, below + len(own)
    return Alignment(
        names, rows, deletions if deletions.any() else None, of.chains[0].unpaired.source
    )


def _alone(chain: ComplexChain, paired: int, max_rows: int) -> np.ndarray:
    """The chain's rows, without duplicates and those that its paired rows repeat: indices."""
    rows = chain.unpaired.with_query(0).deduplicate().rows
    known, most = {rows[0].tobytes()}, max_rows - 1
    if chain.paired is not None:
        known |= {row.tobytes() for row in chain.paired.rows}
        most = max_rows - int((chain.paired.rows[:paired] != GAP).any(1).sum())
    kept = [k for k, row in enumerate(rows) if row.tobytes() not in known]
    return np.array(kept[: max(most, 0)], np.int64)
