"""Guessed answers put right by linear algebra: the terms' shapes kept, the numbers solved for.

A sequence model often writes the right terms with a wrong coefficient or sign. The derivatives of
the terms of one guess, or of all guesses of a beam together, are columns; f is their combination in
many points by least squares, of the independent ones only; what comes out is taken for fractions.
The answer is no more than a better guess, to be verified like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr

MAX_TERMS = 48
LARGEST_DENOMINATOR = 2520
_RESIDUAL = 1e-8
_ERRORS = (ex.TooLarge, ex.Undefined, InputError, RecursionError, OverflowError, ZeroDivisionError)


def terms(guess: Expr, x: str) -> list[Expr]:
    """The terms of a guess without their coefficients: as it is written, and multiplied out."""
    out: dict[Expr, None] = {}
    forms = [guess]
    try:
        forms.append(expand(guess))
    except _ERRORS:
        pass
    for form in forms:
        for term in form.args if form.op == "add" else (form,):
            factors = term.args if term.op == "mul" else (term,)
            core = ex.mul([a for a in factors if x in a.free])
            if x in core.free:
                out[core] = None
    return list(out)


def refitted(f: Expr, guesses: Sequence[Expr], x: str) -> Iterator[tuple[Expr, str]]:
    """Better guesses at the integral of f, each with a word on how: every guess by itself, then
    the terms of all of them together."""
    pool: dict[Expr, None] = {}
    for rank, guess in enumerate(guesses, 1):
        found = terms(guess, x)
        pool.update(dict.fromkeys(found))
        answer = combination(f, found, x)
        if answer is not None:
            yield answer, f"hypothesis {rank}, coefficients solved for"
    if len(guesses) > 1:
        answer = combination(f, list(pool)[:MAX_TERMS], x)
        if answer is not None:
            yield answer, "terms of all hypotheses, coefficients solved for"


def combination(f: Expr, parts: Sequence[Expr], x: str) -> Expr | None:
    """The sum of rational multiples of `parts` whose derivative is f, up to rounding; None where
    there is none."""
    if not parts or len(parts) > MAX_TERMS:
        return None
    try:
        program = Program(f, *(part.diff(x) for part in parts))
    except _ERRORS:
        return None
    if f.free - {x}:
        return None  # other symbols have no numbers here
    count = 4 * len(parts) + 12
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.uniform(0.05, 3, count), rng.uniform(-3, -0.05, count)])
    values = [np.broadcast_to(v, points.shape) for v in program.complex({x: points})]
    table = np.stack(values)
    kept = np.isfinite(table).all(0) & (np.abs(table) < 1e12).all(0)
    if kept.sum() < len(parts) + 6:
        return None
    table = table[:, kept]
    table = table / np.maximum(np.abs(table[0]), 1e-12)
    flat = np.concatenate([table.real, table.imag], 1)
    coefficients = _independent(flat[1:].T, flat[0])
    if coefficients is None:
        return None
    fractions = [Fraction(c).limit_denominator(LARGEST_DENOMINATOR) for c in coefficients]
    if any(abs(float(q) - c) > 1e-8 * max(1.0, abs(c))
           for q, c in zip(fractions, coefficients, strict=True)):  # fmt: skip
        return None
    try:
        return ex.add([q * part for q, part in zip(fractions, parts, strict=True) if q])
    except _ERRORS:
        return None


def _independent(matrix: np.ndarray, right: np.ndarray) -> list[float] | None:
    """Coefficients with matrix @ c = right, zero for columns that others can stand for."""
    from scipy.linalg import qr

    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    _, r, order = qr(matrix / scale, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int((diagonal > 1e-9 * diagonal[0]).sum()) if diagonal[0] > 0 else 0
    chosen = order[:rank]
    solved = np.linalg.lstsq(matrix[:, chosen], right, rcond=None)[0]
    left = right - matrix[:, chosen] @ solved
    if not rank or np.abs(left).max() > _RESIDUAL * max(1.0, np.abs(right).max()):
        return None
    out = [0.0] * matrix.shape[1]
    for i, value in zip(chosen, solved, strict=True):
        out[i] = float(value)
    return out
