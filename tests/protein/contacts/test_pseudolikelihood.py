"""Pseudo-likelihood couplings: their gradient, known couplings, threads, limits."""

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein import Alignment
from sciml.protein.contacts import dca
from sciml.protein.contacts import pseudolikelihood as plm
from sciml.protein.contacts.dca import STATES


def alignment(depth: int = 500, columns: int = 13, seed: int = 0) -> Alignment:
    """Random residues; columns 1 and 9, and 3 and 11, go together."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 20, (depth, columns)).astype(np.uint8)
    rows[rng.random(rows.shape) < 0.05] = 21
    for a, b in ((1, 9), (3, 11)):
        copied = (rng.random(depth) < 0.7) & (rows[:, a] < 20)
        rows[copied, b] = (rows[copied, a] + 5) % 20
    return Alignment([str(i) for i in range(depth)], rows)


def test_gradient_is_that_of_the_likelihood() -> None:
    rng = np.random.default_rng(1)
    states = rng.integers(0, STATES, (40, 6))
    weights = rng.random(40).astype(np.float32)
    first, together = 2, 3
    x = (0.3 * rng.normal(size=(6 * STATES + 1, together * STATES))).astype(np.float32)
    slope = np.zeros_like(x)
    loss = plm._gradient(states, weights, first, x, slope)

    free = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor(states) + torch.arange(6) * STATES
    logits = (free[rows].sum(1) + free[-1]).reshape(40, together, STATES).log_softmax(-1)
    own = torch.tensor(states[:, first : first + together])
    chosen = logits.gather(2, own[..., None])[..., 0]
    expected = -(torch.tensor(weights, dtype=torch.float64)[:, None] * chosen).sum()
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4)
    assert free.grad is not None
    assert np.abs(slope - free.grad.numpy()).max() < 1e-4


def test_the_fit_ends_where_the_slope_is_nothing() -> None:
    made = alignment(300, 5 + 8)
    states = np.where(made.rows >= 20, 20, made.rows).astype(np.int64)
    weights = np.ones(300, np.float32)
    x = np.zeros((13 * STATES + 1, STATES), np.float32)
    penalty = np.full_like(x, 2.0)
    penalty[:STATES] = 0  # column 0 is not coupled to itself
    slope = np.zeros_like(x)
    before = plm._evaluate(states, weights, 0, x, penalty, slope)
    steepest = np.abs(slope).max()
    fitted = plm._fit(states, weights, 0, x, penalty, 60)
    after = plm._evaluate(states, weights, 0, fitted, penalty, slope)
    assert after < before and np.abs(slope).max() < 0.01 * steepest
    assert not fitted[:STATES].any()


def test_coupled_columns_come_first_and_threads_change_nothing() -> None:
    made = alignment()
    couplings = plm.pseudo_likelihood(made)
    assert couplings.shape == (13, 13, 20, 20)
    assert np.allclose(couplings, couplings.transpose(1, 0, 3, 2), atol=1e-5)
    scores = dca.average_product_correction(dca.frobenius(couplings))
    row, column = np.triu_indices(13, 1)
    best = np.argsort(-scores[row, column])[:2]
    assert {(int(row[k]), int(column[k])) for k in best} == {(1, 9), (3, 11)}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert np.array_equal(plm.pseudo_likelihood(made), couplings)
    finally:
        torch.set_num_threads(threads)


def test_deep_alignments_are_thinned_and_wide_ones_refused() -> None:
    made = alignment(400)
    thinned = plm.pseudo_likelihood(made, work=100 * 13**2)
    assert np.isfinite(thinned).all() and not np.array_equal(thinned, plm.pseudo_likelihood(made))
    assert np.isfinite(plm.pseudo_likelihood(Alignment.from_sequences(["ACDEFG"]))).all()
    with pytest.raises(InputError, match="columns"):
        plm.pseudo_likelihood(Alignment(["q"], np.zeros((1, dca.MAX_COLUMNS + 1), np.uint8)))
