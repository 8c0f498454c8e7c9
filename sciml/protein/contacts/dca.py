"""Mean-field direct coupling analysis: which alignment columns evolve together.

Morcos et al., PNAS 108, E1293 (2011): reweighted frequencies with a pseudocount, couplings as the
negative inverse of the covariance, scored by the Frobenius norm in the zero-sum gauge (Ekeberg et
al., PRE 87, 012707, 2013) and corrected by the average product (Dunn et al., Bioinformatics 24,
333, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP

STATES = 21
"""Twenty residues and the gap; an unknown residue counts as a gap."""
MAX_COLUMNS = 1500


@dataclass
class Coupling:
    """Couplings and scores of `mean_field`.

    Attributes:
        couplings: [C, C, 20, 20] float32, without the gap, which is the gauge's zero state.
        scores: [C, C] Frobenius norms after the average product correction, 0 on the diagonal.
        raw: [C, C] Frobenius norms before it.
        neff: effective number of sequences.
    """

    couplings: np.ndarray
    scores: np.ndarray
    raw: np.ndarray
    neff: float


def average_product_correction(scores: np.ndarray) -> np.ndarray:
    """[C, C] minus row mean times column mean over the overall mean; the diagonal is left out."""
    count = len(scores)
    if count < 2:
        return np.zeros_like(scores)
    plain = scores - np.diag(np.diag(scores))
    mean = plain.sum(1) / (count - 1)
    total = mean.mean()
    corrected = plain - np.outer(mean, mean) / (total if total > 0 else 1.0)
    np.fill_diagonal(corrected, 0)
    return corrected


def pair_frequencies(
    alignment: Alignment, identity: float = 0.8
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weighted frequencies without pseudocount: [C, 21], [C*21, C*21] and Neff."""
    weights = alignment.weights80 if identity == 0.8 else alignment.weights(identity)
    columns = alignment.columns
    states = np.where(alignment.rows >= GAP - 1, STATES - 1, alignment.rows).astype(np.int64)
    total = weights.sum()
    pairs = np.zeros((columns * STATES, columns * STATES), np.float32)
    offsets = np.arange(columns) * STATES
    for start in range(0, alignment.depth, 4096):
        block = states[start : start + 4096] + offsets
        onehot = np.zeros((len(block), columns * STATES), np.float32)
        np.put_along_axis(onehot, block, 1.0, axis=1)
        onehot *= np.sqrt(weights[start : start + 4096, None]).astype(np.float32)
        pairs += onehot.T @ onehot
    pairs /= np.float32(total)
    single = np.diag(pairs).reshape(columns, STATES).astype(np.float64)
    return single, pairs, float(total)


def mean_field(
    alignment: Alignment, *, pseudocount: float = 0.5, identity: float = 0.8
) -> Coupling:
    """Couplings and contact scores of an alignment's columns.

    Args:
        alignment: at least two rows; more than a hundred effective sequences to be of use.
        pseudocount: share of the uniform distribution mixed in.
        identity: sequences that agree in at least this share of columns share their weight.

    Raises:
        InputError: the alignment is too wide for the C x 20 square matrix to be inverted.
    """
    if alignment.columns > MAX_COLUMNS:
        raise InputError(
            f"{alignment.columns} columns; the coupling analysis takes at most {MAX_COLUMNS}",
            where=alignment.source,
            hint="Cut the alignment into domains",
        )
    if not 0 < pseudocount <= 1:
        raise InputError(f"pseudocount must be > 0 and <= 1, got {pseudocount}")
    single, pairs, neff = pair_frequencies(alignment, identity)
    return couple(single, pairs, neff, pseudocount)


def couple(
    single: np.ndarray, pairs: np.ndarray, neff: float, pseudocount: float = 0.5
) -> Coupling:
    """`mean_field` from ready frequencies of `pair_frequencies`."""
    from scipy.linalg import lapack

    columns, inner = len(single), STATES - 1
    single = (1 - pseudocount) * single + pseudocount / STATES
    without_gap = np.flatnonzero(np.arange(columns * STATES) % STATES != inner)
    flat = single.reshape(-1)[without_gap]
    covariance = pairs[np.ix_(without_gap, without_gap)].astype(np.float64)
    covariance *= 1 - pseudocount
    covariance += pseudocount / STATES**2
    for column in range(columns):  # within a column only equal states occur together
        block = slice(column * inner, (column + 1) * inner)
        covariance[block, block] = np.diag(flat[block])
    covariance -= np.outer(flat, flat)
    factor, failed = lapack.dpotrf(covariance, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise InputError("the covariance is singular", hint="Raise the pseudocount")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    couplings = -inverse.reshape(columns, inner, columns, inner).transpose(0, 2, 1, 3)
    couplings = np.ascontiguousarray(couplings, np.float32)
    raw = frobenius(couplings)
    return Coupling(couplings, average_product_correction(raw), raw, neff)


def frobenius(couplings: np.ndarray) -> np.ndarray:
    """[C, C, 20, 20] with the gap as zero state -> [C, C] norms over residue pairs.

    The couplings are first shifted to the zero-sum gauge of all 21 states; the gap's row and column
    are then left out of the norm (Ekeberg et al. 2013). Written out over sums, so that no second
    array of the couplings' size is made.
    """
    rows, cols = couplings.sum(3, dtype=np.float64), couplings.sum(2, dtype=np.float64)
    total = rows.sum(2)
    inner = STATES - 1
    row_mean, col_mean, mean = rows / STATES, cols / STATES, total / STATES**2
    square = np.einsum("ijab,ijab->ij", couplings, couplings, optimize=True).astype(np.float64)
    square += inner * ((row_mean**2).sum(2) + (col_mean**2).sum(2)) + inner**2 * mean**2
    square -= 2 * ((row_mean * rows).sum(2) + (col_mean * cols).sum(2))
    square += 2 * mean * total + 2 * (total / STATES) ** 2 - 4 * inner * mean * total / STATES
    norms = np.sqrt(np.maximum(square, 0))
    np.fill_diagonal(norms, 0)
    return norms


def mutual_information(
    single: np.ndarray, pairs: np.ndarray, pseudocount: float = 0.1
) -> np.ndarray:
    """[C, C] mutual information [nat], 0 on the diagonal, not yet corrected.

    Args:
        single, pairs: of `pair_frequencies`.
        pseudocount: share of the uniform distribution mixed in.
    """
    columns = len(single)
    single = (1 - pseudocount) * single + pseudocount / STATES
    joint = pairs.reshape(columns, STATES, columns, STATES).transpose(0, 2, 1, 3)
    joint = (1 - pseudocount) * joint + pseudocount / STATES**2
    entropy = -(single * np.log(single)).sum(1)
    information = np.zeros((columns, columns))
    for column in range(columns):  # a column at a time: the logarithms are large
        information[column] = (joint[column] * np.log(joint[column])).sum((1, 2))
    information += entropy[:, None] + entropy[None]
    np.fill_diagonal(information, 0)
    return information
