"""Coefficients of a hypothesis solved for by linear algebra (undetermined coefficients).

A sequence model often writes the right terms with a wrong coefficient or sign. The derivatives of
the terms of one hypothesis, or of all hypotheses of a beam, are the columns of a least squares fit
to the integrand at many points, restricted to independent columns; the coefficients are rounded to
fractions. The result is only a better candidate, to be verified like any other.
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
MAX_DENOMINATOR = 2520
_RESIDUAL = 1e-8
_ERRORS = (ex.TooLarge, ex.Undefined, InputError, RecursionError, OverflowError, ZeroDivisionError)


def terms(hypothesis: Expr, x: str) -> list[Expr]:
    """The terms of a hypothesis without coefficients: as it is written, and expanded."""
    out: dict[Expr, None] = {}
    forms = [hypothesis]
    try:
        forms.append(expand(hypothesis))
    except _ERRORS:
        pass
    for form in forms:
        for term in form.args if form.op == "add" else (form,):
            factors = term.args if term.op == "mul" else (term,)
            core = ex.mul([a for a in factors if x in a.free])
            if x in core.free:
                out[core] = None
    return list(out)


def refitted(f: Expr, hypotheses: Sequence[Expr], x: str) -> Iterator[tuple[Expr, str]]:
    """Candidates for the integral of f, each with how it was made: from every hypothesis by itself,
    then from the terms of all of them together."""
    pool: dict[Expr, None] = {}
    for rank, hypothesis in enumerate(hypotheses, 1):
        own_terms = terms(hypothesis, x)
        pool.update(dict.fromkeys(own_terms))
        answer = combination(f, own_terms, x)
        if answer is not None:
            yield answer, f"hypothesis {rank}, coefficients solved for"
    if len(hypotheses) > 1:
        answer = combination(f, list(pool)[:MAX_TERMS], x)
        if answer is not None:
            yield answer, "terms of all hypotheses, coefficients solved for"


def combination(f: Expr, parts: Sequence[Expr], x: str) -> Expr | None:
    """The rational linear combination of `parts` whose derivative is f, up to rounding; None where
    there is none."""
    if not parts or len(parts) > MAX_TERMS:
        return None
    try:
        program = Program(f, *(part.diff(x) for part in parts))
    except _ERRORS:
        return None
    if f.free - {x}:
        return None  # the other symbols have no values
    count = 4 * len(parts) + 12
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.uniform(0.05, 3, count), rng.uniform(-3, -0.05, count)])
    values = [np.broadcast_to(v, points.shape) for v in program.complex({x: points})]
    table = np.stack(values)
    usable = np.isfinite(table).all(0) & (np.abs(table) < 1e12).all(0)
    if usable.sum() < len(parts) + 6:
        return None
    table = table[:, usable]
    table = table / np.maximum(np.abs(table[0]), 1e-12)
    flat = np.concatenate([table.real, table.imag], 1)
    coefficients = _independent(flat[1:].T, flat[0])
    if coefficients is None:
        return None
    fractions = [Fraction(c).limit_denominator(MAX_DENOMINATOR) for c in coefficients]
    if any(abs(float(q) - c) > 1e-8 * max(1.0, abs(c))
           for q, c in zip(fractions, coefficients, strict=True)):  # fmt: skip
        return None
    try:
        return ex.add([q * part for q, part in zip(fractions, parts, strict=True) if q])
    except _ERRORS:
        return None


def _independent(matrix: np.ndarray, right: np.ndarray) -> list[float] | None:
    """Coefficients c with matrix @ c = right, zero for linearly dependent columns; None where there
    are none."""
    from scipy.linalg import qr

    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    _, r, order = qr(matrix / scale, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int((diagonal > 1e-9 * diagonal[0]).sum()) if diagonal[0] > 0 else 0
    independent = order[:rank]
    solution = np.linalg.lstsq(matrix[:, independent], right, rcond=None)[0]
    residual = right - matrix[:, independent] @ solution
    if not rank or np.abs(residual).max() > _RESIDUAL * max(1.0, np.abs(right).max()):
        return None
    out = [0.0] * matrix.shape[1]
    for i, value in zip(independent, solution, strict=True):
        out[i] = float(value)
    return out
