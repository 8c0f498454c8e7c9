"""Irreps, harmonics and Wigner matrices against e3nn."""

from collections.abc import Iterator

import pytest
import torch

from sciml.errors import InputError
from sciml.nn import irreps as ir

o3 = pytest.importorskip("e3nn.o3")


@pytest.fixture
def double() -> Iterator[None]:
    """e3nn's angles are of the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def directions(n: int = 40) -> torch.Tensor:
    torch.manual_seed(0)
    vector = torch.randn(n, 3, dtype=torch.float64)
    vector[0], vector[1] = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    return vector / vector.norm(dim=-1, keepdim=True)


def test_parse_reads_text_and_e3nn() -> None:
    assert ir.parse("64x0e + 1o") == (ir.Irrep(64, 0, 1), ir.Irrep(1, 1, -1))
    assert ir.parse(o3.Irreps("8x0e+2x1e")) == ir.parse("8x0e+2x1e")
    assert ir.dim(ir.parse("8x0e+2x1e+3x2o")) == o3.Irreps("8x0e+2x1e+3x2o").dim
    assert ir.merged(ir.parse("2x1o+3x0e+1x1o")) == ir.parse("3x0e+3x1o")
    with pytest.raises(InputError, match="'3x1z' is not an irrep"):
        ir.parse("2x0e+3x1z")


def test_split_and_join_are_inverse_and_follow_e3nn_layout() -> None:
    irreps = ir.parse("2x0e+3x1o")
    vector = torch.arange(11.0)
    scalars, vectors = ir.split(vector, irreps)
    assert scalars.tolist() == [[0.0, 1.0]]
    assert vectors[:, 1].tolist() == [5.0, 6.0, 7.0]  # second vector's x, y, z
    assert torch.equal(ir.join([scalars, vectors]), vector)


def test_harmonics_equal_e3nn() -> None:
    harmonics = ir.spherical_harmonics(directions(), 6)
    for l, harmonic in enumerate(harmonics):
        expected = o3.spherical_harmonics(l, directions(), True, "component")
        torch.testing.assert_close(harmonic, expected, rtol=0, atol=1e-12)


def test_wigner_matrices_equal_e3nn_and_turn_harmonics(double: None) -> None:
    rotation = o3.rand_matrix(20, dtype=torch.float64)
    unit = directions(20)
    before = ir.spherical_harmonics(unit, 4)
    after = ir.spherical_harmonics((rotation @ unit.unsqueeze(-1)).squeeze(-1), 4)
    for l, matrix in enumerate(ir.wigner_matrices(rotation, 4)):
        torch.testing.assert_close(
            matrix, o3.Irrep(l, 1).D_from_matrix(rotation), rtol=0, atol=1e-12
        )
        torch.testing.assert_close((matrix @ before[l].unsqueeze(-1)).squeeze(-1), after[l])


def test_aligning_rotation_reaches_the_pole_everywhere() -> None:
    unit = directions()
    rotation = ir.aligning_rotation(unit)
    pole = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand_as(unit)
    torch.testing.assert_close((rotation @ unit.unsqueeze(-1)).squeeze(-1), pole)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(40, dtype=torch.float64))
