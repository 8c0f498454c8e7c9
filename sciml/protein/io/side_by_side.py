"""Chains side by side in an alignment that has lost ColabFold's header.

Other programs cannot read that header, so that people remove it; the rest looks like the alignment
of one long chain.
"""

from __future__ import annotations

import numpy as np

from sciml.protein.io.alignment import Alignment
from sciml.protein.io.query_forms import ComplexError
from sciml.protein.io.residues import GAP

BLOCK = 4096
"""Rows compared at a time."""


def check_pieces(alignment: Alignment) -> None:
    """Refuse ColabFold's rows without the header where its search named the chains itself: a
    first row of several names, and rows of each chain alone that make it up exactly.

    Raises:
        ComplexError: with the number of chains.
    """
    first, query = alignment.names[0], alignment.rows[0]
    if "\t" not in first or (query == GAP).any():
        return
    pieces: dict[int, int] = {0: alignment.columns}  # start -> end, of exact parts of the query
    for start in range(0, alignment.depth, BLOCK):
        rows = alignment.rows[start : start + BLOCK]
        for row in rows[((rows == query) | (rows == GAP)).all(1)]:
            at = np.flatnonzero(row != GAP)
            if 0 < len(at) < len(query) and len(at) == at[-1] - at[0] + 1:
                pieces[int(at[0])] = int(at[-1]) + 1
    ends = [pieces.get(0, 0)]
    while ends[-1] in pieces and ends[-1] < alignment.columns:
        ends.append(pieces[ends[-1]])
    if len(ends) > 1 and ends[-1] == alignment.columns:
        raise ComplexError(
            len(ends), f"its first row {first[:60]!r} is made up of other rows", alignment.source
        )


def check_blocks(alignment: Alignment) -> None:
    """Refuse ColabFold's rows of a complex without its header: below the query 101 of one chain
    that of another, 102, in the columns beside it.

    Raises:
        ComplexError: with the number of chains.
    """
    taken = alignment.rows[0] != GAP
    if alignment.names[0].split(" ")[0] != "101" or taken.all():
        return
    names = {name.split(" ")[0]: row for row, name in reversed(list(enumerate(alignment.names)))}
    chains = 1
    while (row := names.get(str(101 + chains))) is not None:
        if (taken & (alignment.rows[row] != GAP)).any():
            break
        taken = taken | (alignment.rows[row] != GAP)
        chains += 1
    if chains > 1:
        raise ComplexError(
            chains, "queries 101 and 102 stand in columns of their own", alignment.source
        )
