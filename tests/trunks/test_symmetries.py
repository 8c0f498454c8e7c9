"""Every trunk x symmetry x precision x {eager, compiled} x {dense, ragged}."""

import copy
from typing import Any

import pytest
import torch

from sciml import symmetry, testing, trunks

SETTINGS: dict[str, dict[str, Any]] = {
    "pair_transformer": dict(dim=16, depth=2, heads=2, pair_dim=3),
    "pair_transformer, no pairs": dict(dim=16, depth=1, heads=2, class_depth=0),
    "pair_transformer, triangles": dict(
        dim=16, depth=2, heads=2, pair_dim=4, pair_update="attention", pair_hidden=4, pair_heads=2
    ),
    "pair_transformer, causal": dict(dim=16, depth=2, heads=2, pair_dim=3, causal=True),
    "message_passing": dict(dim=16, depth=2, pair_dim=3),
    "particle_net": dict(dim=16),
    "equivariant": dict(dim=8, depth=2),
    "equivariant, chiral": dict(dim=8, depth=3, chiral=True),
    "equivariant, l = 3": dict(dim=4, depth=2, irreps="4x0e+4x1o+4x2e+4x3o"),
    "lorentz": dict(dim=16, depth=2),
    "lorentz, beam": dict(dim=16, depth=2, beam=True),
    "sequence": dict(dim=16, heads=4, groups=2, encoder_layers=2, decoder_layers=1),
}
PRECISIONS = {"fp32": (torch.float32, 1e-5), "fp64": (torch.float64, 1e-12)}


def make(case, precision="fp32"):
    """A small trunk with no parameter left at the zeros it starts from."""
    torch.manual_seed(0)
    trunk = trunks.build(case.partition(",")[0], **SETTINGS[case])
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return trunk.to(PRECISIONS[precision][0]).eval()


def test_every_trunk_has_a_case():
    assert {case.partition(",")[0] for case in SETTINGS} == set(trunks.names())


@pytest.mark.parametrize("layout", ["dense", "ragged"])
@pytest.mark.parametrize("mode", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", SETTINGS)
def test_trunk_is_equivariant(case, precision, mode, layout):
    trunk = make(case, precision)
    dtype, tolerance = PRECISIONS[precision]
    batch = testing.batch_for(trunk, layout)
    module = trunk
    if mode == "compiled":
        torch._dynamo.reset()
        module = torch.compile(trunk)
        with torch.no_grad():
            got, expected = module(copy.copy(batch)), trunk(copy.copy(batch))
        assert testing.relative_error(got.nodes, expected.nodes) < tolerance * 10
    assert batch.x.dtype == dtype
    # A group's own coordinates are tested on batches of the right width; all trunks that promise
    # a subgroup or a larger group are tested on what they say themselves.
    for group in trunk.symmetries:
        testing.assert_equivariant(module, group, batch, tolerance=tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", SETTINGS)
def test_trunk_keeps_its_promises(case, precision):
    """Padding, batch composition, layouts, empty graphs, gradients, and inputs that matter."""
    testing.check_trunk(make(case, precision))


@pytest.mark.parametrize("case", SETTINGS)
def test_outputs_change_with_inputs(case):
    trunk = make(case)
    batch = testing.batch_for(trunk)
    keys = ["x"] + ["pos"] * (len(trunk.symmetries) > 1) + ["pair"] * bool(trunk.pair_dim)
    changes = testing.assert_sensitive(trunk, keys, batch)
    assert min(changes.values()) > 1e-3


@pytest.mark.parametrize("case", [c for c in SETTINGS if c.startswith(("equi", "lorentz"))])
def test_vectors_turn_with_positions(case):
    """Not trivially: the vectors are there, are not zero, and do move."""
    trunk = make(case)
    batch = testing.batch_for(trunk)
    vectors = trunk(batch).vectors
    assert vectors is not None and float(vectors.detach().abs().max()) > 1e-3
    group = trunk.symmetries[1]
    generator = torch.Generator().manual_seed(0)
    moved = trunk(symmetry.act(batch, symmetry.random_element(group, generator))).vectors
    assert testing.relative_error(moved, vectors) > 1e-2
