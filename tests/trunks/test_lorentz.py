"""Lorentz trunk: boosts and rotations change nothing but the vectors, and spurions break that."""

import math
from typing import Any

import pytest
import torch

from sciml import trunks
from sciml.errors import InputError
from sciml.graph import Layout
from sciml.symmetry import Element, act
from sciml.testing import (
    assert_batch_invariant,
    assert_equivariant,
    assert_gradients,
    assert_layouts_agree,
    assert_padding_invariant,
    assert_sensitive,
    batch_for,
)
from sciml.trunks.lorentz import products, psi


def build(dtype: torch.dtype = torch.float64, **settings: object) -> Any:
    torch.manual_seed(0)
    return trunks.build("lorentz", dim=16, depth=3, step=0.1, **settings).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["dense", "ragged"])
@pytest.mark.parametrize("pair_dim", [0, 3])
def test_lorentz_symmetry(dtype: torch.dtype, layout: Layout, pair_dim: int) -> None:
    trunk = build(dtype, pair_dim=pair_dim)
    batch = batch_for(trunk, layout)
    assert_equivariant(trunk, "Lorentz", batch, verbose=False)
    assert_equivariant(trunk, "permutation", batch, verbose=False)
    assert_sensitive(trunk, ("x", "pos"), batch, verbose=False)


def test_promises_of_a_trunk() -> None:
    trunk = build()
    batch = batch_for(trunk)
    assert_padding_invariant(trunk, batch, verbose=False)
    assert_batch_invariant(trunk, batch, verbose=False)
    assert_layouts_agree(trunk, batch, verbose=False)
    small = trunks.build("lorentz", dim=4, depth=2, step=0.1).double()
    assert_gradients(small, batch_for(small, sizes=(4, 2)), verbose=False)


def test_beam_leaves_the_collider_symmetry_and_nothing_more() -> None:
    trunk = build(beam=True)
    batch = batch_for(trunk)
    assert_equivariant(trunk, "collider", batch, verbose=False)
    with pytest.raises(AssertionError, match="TOO LARGE"):
        assert_equivariant(trunk, "Lorentz", batch, verbose=False)


def test_time_leaves_rotations_about_the_beam_alone() -> None:
    trunk = build(beam=True, time=True)
    batch = batch_for(trunk, pos_dim=4)
    with pytest.raises(AssertionError, match="TOO LARGE"):
        assert_equivariant(trunk, "collider", batch, verbose=False)
    turn = torch.eye(4, dtype=torch.float64)
    turn[1:3, 1:3] = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    before, after = trunk(batch), trunk(act(batch, Element(turn, torch.zeros(4).double())))
    torch.testing.assert_close(before.nodes, after.nodes, rtol=0, atol=1e-12)
    torch.testing.assert_close(before.vectors @ turn.T, after.vectors, rtol=0, atol=1e-12)


def test_a_wrong_metric_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = build()
    monkeypatch.setattr("sciml.trunks.lorentz.products", lambda x, longitudinal=False: x @ x.mT)
    with pytest.raises(AssertionError, match="TOO LARGE"):
        assert_equivariant(trunk, "Lorentz", verbose=False)


def test_products_are_minkowski() -> None:
    x = torch.tensor([[[5.0, 0.0, 3.0, 0.0], [2.0, 1.0, 1.0, 1.0]]])
    assert products(x).tolist() == [[[16.0, 7.0], [7.0, 1.0]]]
    assert products(x, longitudinal=True).tolist() == [[[25.0, 10.0], [10.0, 3.0]]]
    assert psi(torch.tensor([-(math.e - 1), 0.0])).tolist() == pytest.approx([-1.0, 0.0])


def test_jets_of_none_and_one_particle_are_finite() -> None:
    trunk = build(torch.float32)
    batch = batch_for(trunk, sizes=(1, 3))
    batch.mask[1] = False
    encoded = trunk(batch)
    assert torch.isfinite(encoded.nodes).all()
    assert not encoded.graph[1].any()


def test_other_positions_are_an_input_error() -> None:
    trunk = build(torch.float32)
    with pytest.raises(InputError, match=r"\(E, px, py, pz\)"):
        trunk(batch_for(trunk, pos_dim=3))
