"""Pseudo-likelihood direct coupling analysis: each column as a softmax of all others.

Ekeberg et al., PRE 87, 012707 (2013) and J. Comput. Phys. 276, 341 (2014), in its asymmetric form:
column i gets fields h_i and couplings J_i(j) of its own, by maximum likelihood of its residues
given the rest of each row; J_ij is the mean of both directions. Columns are fitted a few at a time,
so that their couplings stay in a core's cache; a row touches only the couplings of its own
residues. L2 weights as in CCMpred (Seemayer et al., Bioinformatics 30, 3128, 2014).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit

from sciml.errors import InputError
from sciml.protein.contacts.dca import MAX_COLUMNS, STATES
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP

WORK = 4e8
"""Largest rows x columns^2 that is fitted, 100 CPU seconds; deeper alignments are thinned."""
TOGETHER = 4
"""Columns fitted at a time: their couplings to 100 others take 0.7 MB."""


@njit(cache=True, fastmath=True, nogil=True)
def _gradient(
    states: np.ndarray, weights: np.ndarray, first: int, x: np.ndarray, slope: np.ndarray
) -> float:
    """Weighted negative log-likelihood of columns first, first + 1, ...; its slope is added.

    states [R, C] residues 0..20; x, slope [C*21 + 1, K*21] float32: row j*21 + b couples residue b
    of column j to the K columns, the last row holds their fields.
    """
    rows, columns = states.shape
    width = x.shape[1]
    together = width // STATES
    logits = np.empty(width, np.float32)
    loss = 0.0
    for r in range(rows):
        for k in range(width):
            logits[k] = x[columns * STATES, k]
        for j in range(columns):
            line = x[j * STATES + states[r, j]]
            for k in range(width):
                logits[k] += line[k]
        for c in range(together):
            part = logits[c * STATES : (c + 1) * STATES]
            top = part.max()
            own = states[r, first + c]
            loss += weights[r] * (top - part[own])
            total = np.float32(0)
            for a in range(STATES):
                part[a] = np.exp(part[a] - top)
                total += part[a]
            loss += weights[r] * np.log(total)
            scale = weights[r] / total
            for a in range(STATES):
                part[a] *= scale
            part[own] -= weights[r]
        for j in range(columns):
            line = slope[j * STATES + states[r, j]]
            for k in range(width):
                line[k] += logits[k]
        line = slope[columns * STATES]
        for k in range(width):
            line[k] += logits[k]
    return loss


@njit(cache=True, fastmath=True, nogil=True)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        part = a[i, 0] * b[i, 0]  # in single precision, which is fast
        for k in range(1, a.shape[1]):
            part += a[i, k] * b[i, k]
        total += part
    return total


@njit(cache=True, fastmath=True, nogil=True)
def _add(a: np.ndarray, factor: float, b: np.ndarray, out: np.ndarray) -> None:
    """out = a + factor b."""
    share = np.float32(factor)
    for i in range(len(a)):
        for k in range(a.shape[1]):
            out[i, k] = a[i, k] + share * b[i, k]


@njit(cache=True, fastmath=True, nogil=True)
def _evaluate(
    states: np.ndarray, weights: np.ndarray, first: int, x: np.ndarray, penalty: np.ndarray,
    slope: np.ndarray,
) -> float:  # fmt: skip
    """Likelihood and penalty; `slope` is overwritten, 0 where the penalty is."""
    _add(x, 0.0, x, slope)
    loss = 0.0
    for i in range(len(x)):
        for k in range(x.shape[1]):
            slope[i, k] *= penalty[i, k]
            loss += 0.5 * slope[i, k] * x[i, k]
    loss += _gradient(states, weights, first, x, slope)
    for i in range(len(x)):
        for k in range(x.shape[1]):
            if penalty[i, k] == 0:  # a column is not coupled to itself
                slope[i, k] = 0
    return loss


@njit(cache=True, fastmath=True, nogil=True)
def _fit(
    states: np.ndarray, weights: np.ndarray, first: int, x: np.ndarray, penalty: np.ndarray,
    steps: int,
) -> np.ndarray:  # fmt: skip
    """Minimise from x by L-BFGS (Nocedal and Wright, algorithm 7.4) with backtracking."""
    memory = 4
    step = np.zeros((memory, x.shape[0], x.shape[1]), np.float32)
    slope_change = np.zeros_like(step)
    product, alpha = np.zeros(memory), np.zeros(memory)
    slope, new, new_slope = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    direction = np.zeros_like(x)
    loss = _evaluate(states, weights, first, x, penalty, slope)
    pairs = 0  # of steps and changes seen; the newest is number pairs - 1, modulo memory
    for _ in range(steps):
        _add(slope, 0.0, slope, direction)
        for age in range(min(pairs, memory)):
            m = (pairs - 1 - age) % memory
            alpha[m] = _dot(step[m], direction) / product[m]
            _add(direction, -alpha[m], slope_change[m], direction)
        if pairs:
            m = (pairs - 1) % memory
            scale = product[m] / _dot(slope_change[m], slope_change[m])
        else:
            scale = min(1.0, 0.5 / (np.abs(slope).max() + 1e-9))
        _add(direction, scale - 1, direction, direction)
        for age in range(min(pairs, memory) - 1, -1, -1):
            m = (pairs - 1 - age) % memory
            beta = _dot(slope_change[m], direction) / product[m]
            _add(direction, alpha[m] - beta, step[m], direction)
        length, better = 1.0, False
        for _halving in range(8):
            _add(x, -length, direction, new)
            new_loss = _evaluate(states, weights, first, new, penalty, new_slope)
            better = new_loss < loss
            if better:
                break
            length *= 0.4
        if not better:
            break
        m = pairs % memory
        _add(new, -1.0, x, step[m])
        _add(new_slope, -1.0, slope, slope_change[m])
        product[m] = _dot(step[m], slope_change[m])
        if product[m] > 0:
            pairs += 1
        loss = new_loss
        x, new = new, x
        slope, new_slope = new_slope, slope
    return x


def pseudo_likelihood(
    alignment: Alignment, *, strength: float = 0.2, steps: int = 12, work: float = WORK
) -> np.ndarray:
    """[C, C, 20, 20] float32 couplings in the gauge where the gap is the zero state.

    Args:
        alignment: rows and columns.
        strength: L2 weight of couplings over columns (0.2 in CCMpred).
        steps: of L-BFGS for each column; cost is steps x rows x columns^2, 3 CPU seconds for
            2,000 rows of 100 columns.
        work: rows x columns^2 at most; deeper alignments are thinned evenly.

    Raises:
        InputError: too wide.
    """
    columns = alignment.columns
    if columns > MAX_COLUMNS:
        raise InputError(
            f"{columns} columns; the coupling analysis takes at most {MAX_COLUMNS}",
            where=alignment.source,
            hint="Cut the alignment into domains",
        )
    weights = alignment.weights80.astype(np.float32)
    states = np.where(alignment.rows >= GAP - 1, STATES - 1, alignment.rows).astype(np.int64)
    depth = max(1, int(work / columns**2))
    if len(states) > depth:
        kept = np.unique(np.linspace(0, len(states) - 1, depth).astype(int))
        states, weights = states[kept], weights[kept]

    def fitted(first: int) -> np.ndarray:
        """[K, C, 21, 21] couplings of columns `first`, `first + 1`, ... to all others."""
        together = min(TOGETHER, columns - first)
        x = np.zeros((columns * STATES + 1, together * STATES), np.float32)
        penalty = np.full_like(x, strength * max(1, columns - 1))
        penalty[-1] = 0.01
        for c in range(together):
            own = slice((first + c) * STATES, (first + c + 1) * STATES)
            penalty[own, c * STATES : (c + 1) * STATES] = 0
            counts = np.bincount(states[:, first + c], weights, STATES) + 1
            x[-1, c * STATES : (c + 1) * STATES] = np.log(counts / counts.sum())
        x = _fit(states, weights, first, x, penalty, steps)
        return x[:-1].reshape(columns, STATES, together, STATES).transpose(2, 0, 3, 1)

    couplings = np.zeros((columns, columns, STATES, STATES), np.float32)
    # The loops hold no lock, so that threads share the columns; their number changes no result.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        starts = range(0, columns, TOGETHER)
        for first, block in zip(starts, pool.map(fitted, starts), strict=True):
            couplings[first : first + TOGETHER] = block
    couplings = 0.5 * (couplings + couplings.transpose(1, 0, 3, 2))
    couplings -= couplings[..., -1:].copy()
    couplings -= couplings[..., -1:, :].copy()
    return np.ascontiguousarray(couplings[..., :-1, :-1])
