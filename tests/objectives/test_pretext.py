"""Rotation and jigsaw: what they do to a graph, and which trunks they refuse."""

from __future__ import annotations

import pytest
import torch

from sciml import objectives, trunks
from sciml.errors import InputError
from sciml.graph import make_dense, make_ragged
from sciml.objectives.graphs import FeatureEmbedder
from sciml.objectives.pretext import (
    Jigsaw,
    JigsawConfig,
    Rotation,
    RotationConfig,
    permutations,
    rotations,
)


@pytest.mark.parametrize("dimensions, number", [(2, 4), (3, 24), (4, 24)])
def test_rotations_are_a_group_without_reflections(dimensions, number):
    group = rotations(dimensions)
    assert group.shape == (number, dimensions, dimensions)
    assert torch.equal(group[0], torch.eye(dimensions))
    assert torch.allclose(torch.linalg.det(group), torch.ones(number))
    elements = {tuple(m.flatten().tolist()) for m in group}
    assert len(elements) == number
    assert all(tuple((a @ b + 0.0).flatten().tolist()) in elements for a in group for b in group)


def test_rotation_refuses_an_invariant_trunk_and_says_why(trunk, embedder, batch):
    with pytest.raises(InputError, match="rotation-invariant.*O\\(3\\).*'denoising'"):
        Rotation(trunk, embedder)


def test_rotation_finds_out_by_itself_that_a_trunk_is_invariant(embedder, batch):
    # It promises nothing, but nothing tells it where nodes are either.
    blind = trunks.build("sequence", dim=16, heads=4)
    with pytest.raises(InputError, match="rotation-invariant.*changes by"):
        Rotation(blind, embedder)(batch)


def test_rotation_trains_a_trunk_that_sees_positions(seeing_trunk, embedder, batch):
    objective = Rotation(seeing_trunk, embedder)
    result = objective(batch)
    result["loss"].backward()
    assert float(result["count"]) == 6
    assert seeing_trunk.place.weight.grad.abs().sum() > 0
    which = torch.arange(6)
    rotated = objective.altered(batch, which)
    identity = objective.altered(batch, torch.zeros(6, dtype=torch.long))
    assert torch.equal(identity.pos, batch.pos)
    first = rotated.pos[2] if batch.pos.dim() == 3 else rotated.pos[batch.batch == 2]
    plain = batch.pos[2] if batch.pos.dim() == 3 else batch.pos[batch.batch == 2]
    assert torch.allclose(first, plain @ objective.matrices[2].T)


def test_rotation_needs_positions_of_its_dimensions(seeing_trunk, embedder, batch):
    with pytest.raises(InputError, match="2 dimensions, got 3"):
        Rotation(seeing_trunk, embedder, RotationConfig(dimensions=2))(batch)


def test_by_default_rotation_takes_the_dimensions_of_the_positions(seeing_trunk, embedder, batch):
    """A plane has four quarter turns; the head of 24 is cut to them."""
    objective = Rotation(seeing_trunk, embedder)
    assert objective.ways(batch) == 24
    plane = batch.clone()
    plane.pos = batch.pos[..., :2]
    assert objective.ways(plane) == 4
    rotated = objective.altered(plane, torch.full((6,), 1))
    expected = plane.pos @ rotations(2)[1].T
    assert torch.allclose(rotated.pos, expected)


def test_permutations_are_far_apart():
    orders = permutations(4, 24)
    assert orders[0].tolist() == [0, 1, 2, 3] and len(torch.unique(orders, dim=0)) == 24
    few = permutations(9, 10)
    assert few[0].tolist() == list(range(9))
    apart = (few[:, None] != few[None]).sum(-1) + 9 * torch.eye(10, dtype=torch.long)
    assert int(apart.min()) >= 7
    assert torch.equal(few, permutations(9, 10))


@pytest.mark.parametrize("collate", [make_dense, make_ragged])
def test_jigsaw_moves_tiles_as_wholes(seeing_trunk, embedder, collate):
    corners = torch.tensor([[0.0, 0, 9], [3, 1, 8], [4, 0, 7], [0, 4, 6], [4, 4, 5]])
    batch = collate([{"x": torch.zeros(5, 4), "pos": corners}] * 3)
    objective = Jigsaw(seeing_trunk, embedder, JigsawConfig(grid=2, orders=24))
    swap = (objective.orders == torch.tensor([1, 0, 2, 3])).all(1).nonzero()[0]
    moved = objective.altered(batch, torch.cat([torch.zeros(2, dtype=torch.long), swap])).pos
    moved = moved.view(3, 5, 3)
    assert torch.equal(moved[0], corners)
    # The two tiles of the lower row changed places: 2 up in x, 2 down in x.
    want = torch.tensor([[2.0, 0, 9], [1, 1, 8], [2, 0, 7], [0, 4, 6], [4, 4, 5]])
    assert torch.allclose(moved[2], want)
    objective(batch)["loss"].backward()


def test_jigsaw_of_a_sequence_reorders_runs():
    trunk = trunks.build("sequence", dim=16, heads=4)
    batch = make_dense(
        [
            {"x": torch.arange(7.0)[:, None].expand(7, 4)},
            {"x": torch.arange(4.0)[:, None].expand(4, 4)},
        ]
    )
    objective = Jigsaw(trunk, FeatureEmbedder(4, 16), JigsawConfig(grid=2, dimensions=0, orders=2))
    moved = objective.altered(batch, torch.tensor([1, 1]))
    assert moved.x[0, :, 0].tolist() == [4, 5, 6, 0, 1, 2, 3]
    assert moved.x[1, :4, 0].tolist() == [2, 3, 0, 1]
    assert torch.equal(objective.altered(batch, torch.tensor([0, 0])).x, batch.x)
    objective(batch)["loss"].backward()


def test_jigsaw_refuses_a_trunk_that_does_not_see_order(trunk, embedder, make_batch):
    with pytest.raises(InputError, match="does not see the order"):
        Jigsaw(trunk, embedder, JigsawConfig(dimensions=0))(
            make_dense([{"x": torch.randn(8, 4)} for _ in range(3)])
        )


def test_all_names_build():
    assert {"rotation", "jigsaw", "missing_patch"} <= set(objectives.names())
    for name in objectives.names():
        kind, config = objectives.config(name)
        assert type(config) is kind.Config and kind.__doc__
        assert objectives.config(config)[0] is kind
    with pytest.raises(InputError, match="Did you mean 'masked'"):
        objectives.build("maskd")
    with pytest.raises(InputError, match="did you mean `fraction`"):
        objectives.build({"name": "masked", "fractoin": 0.1})
    with pytest.raises(InputError, match="need a `name`"):
        objectives.build({"fraction": 0.1})
    with pytest.raises(InputError, match="cannot import"):
        objectives.build("nowhere:Objective")
    with pytest.raises(InputError, match="dataclass `Config`"):
        objectives.build("torch.nn:Linear")
    assert objectives.find("sciml.objectives.masked:Masked") is objectives.find("masked")
