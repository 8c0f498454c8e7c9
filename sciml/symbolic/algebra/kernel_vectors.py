"""Linear equations over a field of fractions, or over the rational numbers where they suffice."""

from __future__ import annotations

from flint import fmpq, fmpq_mat

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import ONE, Quotient


def kernel_vector(rows: list[list[Quotient]]) -> list[Quotient] | None:
    """A vector that the matrix maps to 0, or None; its first free variable is 1."""
    width = len(rows[0]) if rows else 0
    if all(c.d.is_constant() and c.n.is_constant() for r in rows for c in r):
        return _rational(rows, width)
    rows = [list(r) for r in rows]
    pivots: list[int] = []
    for column in range(width):
        rank = len(pivots)
        usable = [r for r in range(rank, len(rows)) if not rows[r][column].is_zero]
        if not usable:
            return _solution(rows, pivots, width, column)
        pivot = min(usable, key=lambda r: len(rows[r][column].n) + len(rows[r][column].d))
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        lead = rows[rank][column]
        rows[rank] = [z / lead for z in rows[rank]]
        for r, row in enumerate(rows):
            factor = row[column]
            if r != rank and not factor.is_zero:
                rows[r] = [a - factor * b for a, b in zip(row, rows[rank], strict=True)]
        pivots.append(column)
    return None


def _solution(
    rows: list[list[Quotient]], pivots: list[int], width: int, column: int
) -> list[Quotient]:
    out = [fd.Q0] * width
    out[column] = fd.Q1
    for r, c in enumerate(pivots):
        out[c] = -rows[r][column]
    return out


def _rational(rows: list[list[Quotient]], width: int) -> list[Quotient] | None:
    entries = [fmpq(_integer(c.n), _integer(c.d)) for r in rows for c in r]
    reduced, rank = fmpq_mat(len(rows), width, entries).rref()
    if rank == width:
        return None
    pivots, column = [], 0
    for r in range(rank):
        while reduced[r, column] == 0:
            column += 1
        pivots.append(column)
        column += 1
    free = next(c for c in range(width) if c not in pivots)
    out = [fd.Q0] * width
    out[free] = fd.Q1
    for r, c in enumerate(pivots):
        if c < free:
            value = -reduced[r, free]
            out[c] = Quotient(ONE * int(value.p), ONE * int(value.q))
    return out


def _integer(p: fd.Poly) -> int:
    return int(p.leading_coefficient()) if p != 0 else 0
