"""Equivariant trunk: its symmetry in both precisions, negative controls, and what it can tell."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from sciml import trunks
from sciml.errors import InputError
from sciml.testing import (
    assert_batch_invariant,
    assert_equivariant,
    assert_gradients,
    assert_layouts_agree,
    assert_padding_invariant,
    assert_sensitive,
    batch_for,
)
from sciml.trunks.equivariant import envelope

KINDS = [
    {"irreps": "8x0e+4x1o+2x2e"},
    {"irreps": "8x0e+4x1o+4x2e+2x3o"},  # SO(2) path
    {"irreps": "8x0e+4x0o+8x1o+4x1e+4x2e+2x2o", "chiral": True},
    {"edges": "radius", "cutoff": 2.0},
    {"pair_dim": 3},
]


@pytest.fixture
def double() -> Iterator[None]:
    """Build in float64, so that coefficients are exact to the last digit."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("settings", KINDS)
def test_symmetry_in_double(settings: dict, double: None) -> None:
    torch.manual_seed(0)
    trunk = trunks.build("equivariant", dim=8, depth=2, **settings)
    for layout in ("dense", "ragged"):
        batch = batch_for(trunk, layout)
        assert_equivariant(trunk, trunk.symmetries[1], batch, trials=2, verbose=False)
        assert_equivariant(trunk, "permutation", batch, trials=1, verbose=False)
        assert_sensitive(trunk, ("x", "pos"), batch, verbose=False)
    batch = batch_for(trunk)
    assert_padding_invariant(trunk, batch, verbose=False)
    assert_layouts_agree(trunk, batch, verbose=False)
    assert_batch_invariant(trunk, batch, verbose=False)


@pytest.mark.parametrize("settings", KINDS[:2])
def test_symmetry_in_single(settings: dict) -> None:
    torch.manual_seed(0)
    trunk = trunks.build("equivariant", dim=16, **settings)
    assert_equivariant(trunk, "E(3)", batch_for(trunk), verbose=False)


def test_a_layer_that_treats_axes_apart_is_found_out(double: None) -> None:
    trunk: Any = trunks.build("equivariant", dim=16)
    table = trunk.layers[1].product.table_1
    table[..., 0] *= 1.01  # one component of the vectors weighs more
    with pytest.raises(AssertionError, match="TOO LARGE"):
        assert_equivariant(trunk, "E(3)", verbose=False)


def mirror_images() -> tuple[Data, Data]:
    generator = torch.Generator().manual_seed(3)
    pos = torch.randn(6, 3, generator=generator)
    x = torch.randn(6, 16, generator=generator)
    rest = {"x": x, "batch": torch.zeros(6, dtype=torch.int64), "ptr": torch.tensor([0, 6])}
    return Data(pos=pos, **rest), Data(pos=pos * torch.tensor([-1.0, 1.0, 1.0]), **rest)


def test_only_the_chiral_trunk_tells_mirror_images_apart(double: None) -> None:
    torch.manual_seed(0)
    left, right = mirror_images()
    for chiral in (False, True):
        trunk = trunks.build("equivariant", dim=16, chiral=chiral)
        with torch.no_grad():
            apart = (trunk(left).graph - trunk(right).graph).abs().max()
        assert (apart > 1e-4) == chiral
        if chiral:
            assert_equivariant(trunk, "SE(3)", left, verbose=False)


def test_both_products_reach_the_same_degrees_and_gradients_hold() -> None:
    torch.manual_seed(0)
    for product in ("paths", "so2"):
        trunk = trunks.build("equivariant", dim=4, depth=2, product=product, radial_hidden=8)
        trunk.freeze("layers.*.radial.hidden", "layers.*.norm")  # one direction each takes time
        assert_gradients(trunk, batch_for(trunk, sizes=(4,)), verbose=False)


def test_energy_is_smooth_where_a_neighbour_leaves(double: None) -> None:
    torch.manual_seed(0)
    trunk = trunks.build("equivariant", dim=8, edges="radius", cutoff=1.0)

    def graph(distance: float) -> torch.Tensor:
        batch = Data(
            x=torch.ones(2, 8),
            pos=torch.tensor([[0.0, 0, 0], [distance, 0, 0]]),
            batch=torch.zeros(2, dtype=torch.int64),
            ptr=torch.tensor([0, 2]),
        )
        return trunk(batch).graph.detach()

    inside, outside = graph(1 - 1e-5), graph(1 + 1e-5)
    torch.testing.assert_close(inside, outside, rtol=0, atol=1e-9)
    assert (graph(0.5) - outside).abs().max() > 1e-4


def test_envelope_ends_flat() -> None:
    ratio = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    value = envelope(ratio)
    assert value[0] == 1 and value[2:].tolist() == [0.0, 0.0]
    torch.testing.assert_close(value[1], torch.tensor(1 - 21 / 32 + 35 / 64 - 15 / 128).double())
    (slope,) = torch.autograd.grad(value.sum(), ratio)
    assert slope[2] == 0 and slope[0] == 0


def test_lone_and_coincident_nodes_are_finite() -> None:
    trunk = trunks.build("equivariant", dim=8)
    batch = Data(
        x=torch.randn(4, 8),
        pos=torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [5, 5, 5]], requires_grad=True),
        batch=torch.tensor([0, 0, 0, 1]),
        ptr=torch.tensor([0, 3, 4]),
    )
    encoded = trunk(batch)
    (gradient,) = torch.autograd.grad(encoded.nodes.sum(), batch.pos)
    assert torch.isfinite(encoded.nodes).all() and torch.isfinite(gradient).all()


def test_bad_input_says_what() -> None:
    with pytest.raises(InputError, match="even scalars"):
        trunks.build("equivariant", irreps="4x1o")
    trunk = trunks.build("equivariant", dim=16)
    with pytest.raises(InputError, match="width 3"):
        trunk(batch_for(trunk, pos_dim=2))
