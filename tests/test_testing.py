"""The checks find what is broken: a negative control for each."""

import copy

import pytest
import torch
from torch import nn

from sciml import graph, symmetry, testing, trunks
from sciml.errors import InputError
from sciml.nn.layers import zero_padding
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


class Good(Trunk):
    """Invariant under E(3): receives distances to the centre; returns the vectors to it."""

    layout = "dense"
    fault = ""

    def __init__(self, config=None):
        super().__init__(config or TrunkConfig(dim=4))
        self.linear = nn.Linear(5, 4)

    @property
    def symmetries(self):
        return ("permutation", "E(3)")

    def encode(self, batch):
        fault, mask = self.fault, batch.mask
        centre = graph.mean_nodes(batch, batch.pos)[:, None]
        if fault == "padding":
            centre = batch.pos.mean(1, keepdim=True)
        if fault == "batch":
            centre = centre.mean(0, keepdim=True)
        away = batch.pos - centre
        if fault == "translation":
            away = batch.pos
        distance = away.square().sum(-1, keepdim=True).sqrt()
        if fault == "rotation":
            distance = away[..., :1].abs()
        if fault == "reflection":  # a pseudoscalar
            a, b = away.roll(1, 1), away.roll(2, 1)
            distance = (torch.linalg.cross(away, a) * b).sum(-1, keepdim=True)
        x = batch.x
        if fault == "ignores x":
            x = torch.zeros_like(x)
        if fault == "order":
            x = x + torch.arange(x.shape[1])[:, None]
        x = self.linear(torch.cat([x, distance], -1)).tanh()
        if fault == "gradient":
            x = x + (x * 0.1 - (x * 0.1).detach())
        if fault == "nan":
            x = x / mask.sum(1)[:, None, None]
        nodes = x if fault == "dirty padding" else zero_padding(x, mask)
        pooled = nodes.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        if fault == "empty":
            pooled = pooled + 1
        vectors = (distance * away)[:, :, None] * mask[..., None, None]
        if fault == "vectors":
            vectors = vectors.square()
        return Encoded(nodes=nodes, graph=pooled, vectors=vectors)


def broken(fault):
    module = Good()
    module.fault = fault
    return module


def test_the_good_one_passes():
    testing.check_trunk(Good())
    testing.check_trunk(Good().double())


@pytest.mark.parametrize(
    "fault, check",
    [
        ("padding", testing.assert_padding_invariant),
        ("dirty padding", testing.assert_padding_invariant),
        ("batch", testing.assert_batch_invariant),
        ("order", lambda m: testing.assert_equivariant(m, "permutation")),
        ("translation", lambda m: testing.assert_equivariant(m, "SE(3)")),
        ("rotation", lambda m: testing.assert_equivariant(m, "SO(3)")),
        ("reflection", lambda m: testing.assert_equivariant(m, "O(3)")),
        ("vectors", lambda m: testing.assert_equivariant(m, "SO(3)")),
        ("ignores x", testing.assert_sensitive),
        ("gradient", testing.assert_gradients),
    ],
)
def test_a_broken_trunk_fails(fault, check):
    check(Good())
    with pytest.raises(AssertionError):
        check(broken(fault))
    with pytest.raises(AssertionError):
        testing.check_trunk(broken(fault), verbose=False)


def test_layouts_that_disagree_are_found():
    class Ragged(Good):
        def forward(self, batch):
            encoded = super().forward(batch)
            if graph.layout(batch) == "ragged":
                encoded.graph = encoded.graph * 1.001
            return encoded

    testing.assert_layouts_agree(Good())
    with pytest.raises(AssertionError, match="graph .*TOO LARGE"):
        testing.assert_layouts_agree(Ragged())


@pytest.mark.parametrize("fault", ["nan", "empty"])
def test_faults_on_graphs_without_nodes_are_found(fault):
    batch = testing.batch_for(Good(), sizes=(0, 3))
    testing.assert_finite(Good(), batch)
    with pytest.raises(AssertionError):
        testing.assert_finite(broken(fault), batch)


def test_reflections_are_not_asked_of_what_promises_rotations_only():
    """The pseudoscalar fault is a fault under O(3) alone (nodes are in a fixed order here)."""
    testing.assert_equivariant(broken("reflection"), "SE(3)")


def test_the_error_of_each_output_is_printed(capsys):
    testing.assert_equivariant(Good(), "O(3)")
    out = capsys.readouterr().out
    for name in ("nodes", "graph", "vectors"):
        assert f"O(3): {name}" in out
    assert "tolerance 1e-05" in out
    with pytest.raises(AssertionError, match="graph .*TOO LARGE"):
        testing.assert_equivariant(broken("rotation"), "O(3)", verbose=False)
    assert capsys.readouterr().out == ""


def test_any_module_with_any_kind_of_output_can_be_checked():
    batch = testing.random_batch(pos_dim=4, sizes=(4, 6))

    def square(b):
        return b.pos[..., :1] ** 2 - b.pos[..., 1:].square().sum(-1, keepdim=True)

    class Both(nn.Module):
        def forward(self, b):
            return {"mass2": square(b), "momentum": b.pos * square(b), "beam": b.pos[..., 3:] ** 2}

    kinds = {"momentum": "vector"}
    with pytest.raises(AssertionError, match="beam"):
        testing.assert_equivariant(Both(), "Lorentz", batch, kinds=kinds)

    class Mass(nn.Module):
        def forward(self, b):
            return square(b), torch.atan2(b.pos[..., 2], b.pos[..., 1]).cos()

    class Transverse(nn.Module):
        def forward(self, b):
            return b.pos[..., 1:3].norm(dim=-1, keepdim=True)

    testing.assert_equivariant(Transverse(), "collider", batch)
    with pytest.raises(AssertionError):
        testing.assert_equivariant(Transverse(), "Lorentz", batch)
    with pytest.raises(AssertionError):
        testing.assert_equivariant(Mass(), "collider", batch)
    with pytest.raises(InputError, match="needs a `batch`"):
        testing.assert_equivariant(Mass(), "collider")


def test_irreps_of_e3nn_and_functions_are_kinds():
    from e3nn import o3

    batch = testing.random_batch(sizes=(5,), dtype=torch.float64)

    class Harmonics(nn.Module):
        def forward(self, b):
            return o3.spherical_harmonics("1x1o+1x2e", b.pos, normalize=False)

    testing.assert_equivariant(Harmonics(), "O(3)", batch, kinds={"output": "1x1o+1x2e"})
    with pytest.raises(AssertionError):
        testing.assert_equivariant(Harmonics(), "O(3)", batch, kinds={"output": "1x1e+1x2e"})

    class Tensor2(nn.Module):
        def forward(self, b):
            return b.pos[..., :, None] * b.pos[..., None, :]

    kinds = {"output": lambda value, matrix: matrix @ value @ matrix.T}
    testing.assert_equivariant(Tensor2(), "SO(3)", batch, kinds=kinds)


def test_a_wrong_derivative_is_traced_to_its_parameter():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.right = nn.Parameter(torch.ones(3))
            self.wrong = nn.Parameter(torch.ones(3))

        def forward(self, b):
            half = self.wrong.detach() * 0.5 + self.wrong * 0.5
            return b.x[..., :3] * self.right * half

    batch = testing.random_batch()
    with pytest.raises(AssertionError, match=r"(?s)right .*ok.*wrong .*TOO LARGE"):
        testing.assert_gradients(Wrong(), batch)


def test_group_elements_are_what_they_say():
    generator = torch.Generator().manual_seed(0)
    eye, metric = torch.eye(3).double(), torch.diag(torch.tensor([1.0, -1, -1, -1]).double())
    for improper, sign in ((False, 1.0), (True, -1.0)):
        matrix, shift = symmetry.random_element("E(3)", generator, improper=improper)
        assert torch.allclose(matrix @ matrix.T, eye, atol=1e-12) and shift.abs().sum() > 0
        assert torch.linalg.det(matrix).item() == pytest.approx(sign)
    for group in ("Lorentz", "collider"):
        matrix, _ = symmetry.random_element(group, generator)
        assert torch.allclose(matrix.T @ metric @ matrix, metric, atol=1e-12)
        assert matrix[0, 0] > 1.0
    beam = torch.tensor([1.0, 0, 0, 1.0]).double()
    moved = matrix @ beam
    assert torch.allclose(moved / moved[0], beam, atol=1e-12)
    with pytest.raises(InputError, match="Did you mean 'Lorentz'"):
        symmetry.random_element("lorenz")


def test_random_batches_are_the_same_graphs_in_either_precision():
    one, two = (testing.random_batch(dtype=t, pair_dim=2) for t in (torch.float32, torch.float64))
    assert torch.equal(one.pair, two.pair.float()) and one.x.dtype == torch.float32
    four = testing.random_batch(pos_dim=4).pos
    assert (four[..., 0] ** 2 >= four[..., 1:].square().sum(-1))[testing.random_batch().mask].all()


def test_checks_leave_the_module_and_the_batch_as_they_were():
    trunk = trunks.build("pair_transformer", dim=8, heads=2, depth=1, dropout=0.5).train()
    state = copy.deepcopy(trunk.state_dict())
    batch = testing.batch_for(trunk)
    x = batch.x.clone()
    testing.assert_gradients(trunk, batch)
    testing.assert_equivariant(trunk, "permutation", batch)
    assert trunk.training and torch.equal(batch.x, x) and not batch.x.requires_grad
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, state[name])
    assert all(p.grad is None for p in trunk.parameters())
