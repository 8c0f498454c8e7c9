"""Denoising: an equivariant gradient, both layouts alike, and it does learn."""

from __future__ import annotations

import pytest
import torch

from sciml.errors import InputError
from sciml.graph import make_dense, ragged
from sciml.objectives.base import changed
from sciml.objectives.denoising import Denoising, DenoisingConfig
from sciml.objectives.graphs import FeatureEmbedder


def rotation(dtype=torch.float64):
    random = torch.Generator().manual_seed(3)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=dtype))
    return q if torch.linalg.det(q) > 0 else -q


def test_loss_is_invariant_and_its_gradient_equivariant(trunk, make_batch):
    objective = Denoising(trunk, FeatureEmbedder(4, 16)).double()
    batch = make_batch(dtype=torch.float64)
    noise = torch.randn_like(batch.pos)
    turn = rotation()
    gradients, losses = [], []
    for matrix in (torch.eye(3, dtype=torch.float64), turn):
        pos = (batch.pos @ matrix.T + 5 * (matrix is turn)).requires_grad_()
        loss = objective.losses(changed(batch, pos=pos), noise @ matrix.T)["loss"]
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, pos)[0])
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    torch.testing.assert_close(gradients[1], gradients[0] @ turn.T, rtol=0, atol=1e-12)
    assert gradients[0].abs().max() > 1e-4


def test_a_trunk_that_sees_positions_is_not_equivariant(seeing_trunk, make_batch):
    objective = Denoising(seeing_trunk, FeatureEmbedder(4, 16)).double()
    batch = make_batch(dtype=torch.float64)
    noise, turn = torch.randn_like(batch.pos), rotation()
    plain = objective.losses(batch, noise)["loss"]
    rotated = objective.losses(changed(batch, pos=batch.pos @ turn.T), noise @ turn.T)["loss"]
    assert abs((plain - rotated).item()) > 1e-6


def test_both_layouts_give_the_same(trunk, dense_batch):
    objective = Denoising(trunk, FeatureEmbedder(4, 16))
    noise = torch.randn_like(dense_batch.pos) * dense_batch.mask[..., None]
    dense = objective.losses(dense_batch, noise)["loss"]
    dense_batch.pair_one = torch.ones(*dense_batch.mask.shape, dense_batch.mask.shape[1], 1)
    flat = ragged(dense_batch)
    rows = objective.losses(flat, noise[dense_batch.mask])["loss"]
    torch.testing.assert_close(dense, rows)
    # Padding, whatever it holds, does not matter.
    dense_batch.pos = torch.where(dense_batch.mask[..., None], dense_batch.pos, 7.0)
    torch.testing.assert_close(objective.losses(dense_batch, noise)["loss"], dense)


def test_learns_the_noise_of_a_rigid_shape(trunk):
    """Atoms of a tetrahedron: where they belong can be told from the others."""
    torch.manual_seed(0)
    shape = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    items = []
    for _ in range(32):
        q, _ = torch.linalg.qr(torch.randn(3, 3))
        items.append({"x": torch.eye(4), "pos": shape @ q.T})
    batch = make_dense(items)
    objective = Denoising(trunk, FeatureEmbedder(4, 16), DenoisingConfig(sigma=0.2))
    optimizer = torch.optim.Adam(objective.parameters(), 2e-2)
    for _ in range(90):
        loss = objective(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8  # 12 coordinates, 6 are free to move: 0.5 is the best


def test_needs_positions(trunk, embedder):
    with pytest.raises(InputError, match="needs positions"):
        Denoising(trunk, embedder)(make_dense([{"x": torch.zeros(3, 4)}]))
