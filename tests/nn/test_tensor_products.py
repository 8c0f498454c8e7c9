"""Products of irreps: equal to e3nn's and to each other, in value and gradient."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sciml.errors import InputError
from sciml.nn import irreps as ir
from sciml.nn.scatter import Adjacency
from sciml.nn.tensor_products import (
    Convolution,
    FullyConnectedTensorProduct,
    Linear,
    SO2Convolution,
    paths,
)

o3 = pytest.importorskip("e3nn.o3")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Build and compare in float64."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def graph(nodes: int = 12, edges: int = 50) -> tuple[Adjacency, torch.Tensor]:
    index = torch.randint(0, nodes, (2, edges))
    direction = torch.randn(edges, 3)
    return Adjacency.of(index, nodes), direction / direction.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    ("first", "second", "out"),
    [
        ("4x0e+3x1o+2x2e", "1x0e+1x1o+1x2e", "5x0e+2x1o+3x2e"),
        ("2x0e+2x0o+3x1o+1x1e+2x3o", "2x0e+3x1o+1x1e", "4x0e+2x0o+3x1e+2x2o+1x3o"),
    ],
)
def test_equals_e3nn_fully_connected(first: str, second: str, out: str) -> None:
    theirs = o3.FullyConnectedTensorProduct(first, second, out)
    ours = FullyConnectedTensorProduct.from_e3nn(theirs)
    x = torch.randn(7, theirs.irreps_in1.dim, requires_grad=True)
    y = torch.randn(7, theirs.irreps_in2.dim, requires_grad=True)
    expected, result = theirs(x, y), ours(x, y)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(result)
    for a, b in zip(
        torch.autograd.grad(result, [x, y, ours.weight], upstream),
        torch.autograd.grad(expected, [x, y, theirs.weight], upstream),
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_convolution_equals_e3nn_channelwise_product_and_scatter() -> None:
    irreps_in, lmax, out = ir.parse("4x0e+3x1o+2x2e"), 2, ir.parse("1x0e+1x1o+1x1e+1x2e")
    edges, direction = graph()
    layer = Convolution(irreps_in, lmax, out)
    weights = [torch.randn(50, *shape) for shape in layer.weight_shapes]
    vector = torch.randn(12, ir.dim(irreps_in))
    harmonics = torch.cat(ir.spherical_harmonics(direction, lmax), -1)
    result = layer(ir.split(vector, irreps_in), harmonics, weights, edges)

    # The same by e3nn: one "uvu" instruction a path, sorted by where it leads.
    routes = sorted(paths(irreps_in, lmax, out), key=lambda path: path.target)
    theirs = o3.TensorProduct(
        o3.Irreps("4x0e+3x1o+2x2e"),
        o3.Irreps.spherical_harmonics(lmax),
        o3.Irreps([(irreps_in[p.source].mul, out[p.target].kind) for p in routes]),
        [(p.source, p.l2, number, "uvu", True) for number, p in enumerate(routes)],
        shared_weights=False,
        internal_weights=False,
    )
    number_of_path = {s: 0 for s in layer.sources}
    flat = {}
    for path in paths(irreps_in, lmax, out):
        position = layer.sources.index(path.source)
        flat[path] = weights[position][:, number_of_path[path.source]]
        number_of_path[path.source] += 1
    messages = theirs(
        vector[edges.source], harmonics, torch.cat([flat[path] for path in routes], -1)
    )
    summed = torch.zeros(12, messages.shape[1]).index_add(0, edges.target, messages)
    pieces = ir.split(summed, ir.parse(theirs.irreps_out))
    for target, got in zip(layer.targets, result):
        expected = torch.cat([p for p, r in zip(pieces, routes) if r.target == target], -1)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("irreps", ["3x0e+3x1o+3x2e+3x3o", "3x0e+3x0o+3x1o+3x1e+3x2e+3x3o"])
def test_so2_path_equals_the_sum_over_paths(irreps: str, reference: bool) -> None:
    irreps_in = ir.parse(irreps)
    lmax = 6  # every path between degrees up to 3
    edges, direction = graph()
    full, short = Convolution(irreps_in, lmax, irreps_in), SO2Convolution(irreps_in, irreps_in, 3)
    weights = [torch.randn(50, *shape, requires_grad=True) for shape in full.weight_shapes]
    features = [torch.randn(12, i.width, i.mul, requires_grad=True) for i in irreps_in]
    direction.requires_grad_()

    unit = direction / direction.norm(dim=-1, keepdim=True)
    harmonics = torch.cat(ir.spherical_harmonics(unit, lmax), -1)
    apart = full(features, harmonics, weights, edges)
    expected = [part.unflatten(-1, (-1, 3)).sum(-2) for part in apart]
    frames = ir.wigner_matrices(ir.aligning_rotation(unit), 3)
    mixed = torch.einsum("wp,epc->ewc", short.from_paths(lmax), torch.cat(weights, 1))
    result = short(features, frames, mixed, edges, reference=reference)
    for a, b in zip(result, expected):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    inputs = [*features, *weights, direction]  # the frame's own angle must drop out of this too
    upstream = [torch.randn_like(a) for a in result]
    for a, b in zip(
        torch.autograd.grad(result, inputs, upstream, retain_graph=True),
        torch.autograd.grad(expected, inputs, upstream),
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_fused_kernel_equals_the_reference_twice_differentiated() -> None:
    irreps_in = ir.parse("4x0e+4x1o+4x2e")
    edges, direction = graph(6, 20)
    layer = Convolution(irreps_in, 2, irreps_in)
    weights = [torch.randn(20, *shape, requires_grad=True) for shape in layer.weight_shapes]
    features = [torch.randn(6, i.width, i.mul, requires_grad=True) for i in irreps_in]
    harmonics = torch.cat(ir.spherical_harmonics(direction, 2), -1).requires_grad_()
    inputs = [harmonics, *features, *weights]

    def energy_and_forces(reference: bool) -> list[torch.Tensor]:
        out = layer(features, harmonics, weights, edges, reference=reference)
        energy = torch.stack([part.square().sum() for part in out]).sum()
        forces = torch.autograd.grad(energy, inputs, create_graph=True)
        second = torch.autograd.grad(torch.stack([f.square().sum() for f in forces]).sum(), inputs)
        return [*out, *forces, *second]

    for fused, plain in zip(energy_and_forces(False), energy_and_forces(True)):
        torch.testing.assert_close(fused, plain, rtol=1e-11, atol=1e-11)


def test_fused_kernel_without_second_derivatives_has_the_same_gradient() -> None:
    irreps_in = ir.parse("4x0e+4x1o")
    edges, direction = graph()
    layer = Convolution(irreps_in, 1, irreps_in)
    weights = [torch.randn(50, *shape, requires_grad=True) for shape in layer.weight_shapes]
    features = [torch.randn(12, i.width, i.mul, requires_grad=True) for i in irreps_in]
    harmonics = torch.cat(ir.spherical_harmonics(direction, 1), -1).requires_grad_()
    grads = []
    for reference in (False, True):
        out = layer(features, harmonics, weights, edges, reference=reference)
        loss = sum((part**3).sum() for part in out)
        grads.append(torch.autograd.grad(loss, [harmonics, *features, *weights]))
    for fused, plain in zip(*grads):
        torch.testing.assert_close(fused, plain, rtol=1e-11, atol=1e-11)


def test_so2_kernel_differentiates_twice() -> None:
    irreps_in = ir.parse("2x0e+2x1o+2x2e")
    edges, direction = graph(4, 6)
    layer = SO2Convolution(irreps_in, irreps_in, 2)
    inputs = [
        torch.randn(4, 9, 2, requires_grad=True),
        torch.randn(6, *layer.weight_shape, requires_grad=True),
        direction.requires_grad_(),
    ]

    def convolve(x: torch.Tensor, weight: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        frames = ir.wigner_matrices(ir.aligning_rotation(torch.nn.functional.normalize(vector)), 2)
        return torch.cat(layer(list(x.split([1, 3, 5], 1)), frames, weight, edges), 1)

    assert torch.autograd.gradcheck(convolve, inputs)
    assert torch.autograd.gradgradcheck(convolve, inputs)


def test_compiles_without_graph_breaks() -> None:
    irreps_in = ir.parse("4x0e+4x1o+4x2e")
    edges, direction = graph()
    layer = Convolution(irreps_in, 2, irreps_in)
    weights = [torch.randn(50, *shape) for shape in layer.weight_shapes]
    features = [torch.randn(12, i.width, i.mul) for i in irreps_in]
    harmonics = torch.cat(ir.spherical_harmonics(direction, 2), -1)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for a, b in zip(
        compiled(features, harmonics, weights, edges), layer(features, harmonics, weights, edges)
    ):
        torch.testing.assert_close(a, b)


def test_so2_path_compiles_without_graph_breaks() -> None:
    irreps_in = ir.parse("4x0e+4x1o+4x2e")
    edges, direction = graph()
    layer = SO2Convolution(irreps_in, irreps_in, 4)
    features = [torch.randn(12, i.width, i.mul) for i in irreps_in]
    frames = ir.wigner_matrices(ir.aligning_rotation(direction), 2)
    weight = torch.randn(50, *layer.weight_shape)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for a, b in zip(
        compiled(features, frames, weight, edges), layer(features, frames, weight, edges)
    ):
        torch.testing.assert_close(a, b)


def test_linear_equals_a_loop_over_channels_and_fills_missing_kinds_with_zeros() -> None:
    layer = Linear(ir.parse("3x0e+2x1o"), ir.parse("4x0e+5x1o+2x1e"), bias=True)
    features = [torch.randn(6, 1, 3), torch.randn(6, 3, 2)]
    scalars, vectors, pseudo = layer(features)
    own: Any = layer.maps[1]
    torch.testing.assert_close(vectors[:, 2], features[1][:, 2] @ own.weight.T)
    assert scalars.shape == (6, 1, 4) and pseudo.shape == (6, 3, 2) and not pseudo.any()


def test_no_path_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no product"):
        FullyConnectedTensorProduct("2x0e", "1x0e", "1x1o")
