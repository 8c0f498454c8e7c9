"""Triangle updates against their algorithms written out with loops over i, j, k."""

import pytest
import torch

from sciml.nn import triangles
from sciml.nn.triangles import (
    OuterProductMean,
    PairStack,
    Transition,
    TriangleAttention,
    TriangleMultiplication,
)

N = 5


def randomised(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)
    return module.double()


@pytest.fixture
def pairs():
    torch.manual_seed(1)
    z = torch.randn(2, N, N, 6).double()
    real = torch.ones(2, N, dtype=torch.bool)
    real[1, 3:] = False
    return z, real[:, :, None] & real[:, None, :]


@pytest.mark.parametrize("direction", ["outgoing", "incoming"])
def test_multiplication_is_algorithm_11_and_12(direction, pairs):
    z, mask = pairs
    m = randomised(TriangleMultiplication(6, 4, direction))
    z_norm = m.layer_norm_in(z)
    a = torch.sigmoid(m.linear_a_g(z_norm)) * m.linear_a_p(z_norm) * mask[..., None]
    b = torch.sigmoid(m.linear_b_g(z_norm)) * m.linear_b_p(z_norm) * mask[..., None]
    edges = torch.zeros(2, N, N, 4).double()
    for i in range(N):
        for j in range(N):
            for k in range(N):
                if direction == "outgoing":
                    edges[:, i, j] += a[:, i, k] * b[:, j, k]
                else:
                    edges[:, i, j] += a[:, k, i] * b[:, k, j]
    expected = torch.sigmoid(m.linear_g(z_norm)) * m.linear_z(m.layer_norm_out(edges))
    torch.testing.assert_close(m(z, mask), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("around", ["starting", "ending"])
def test_attention_is_algorithm_13_and_14(around, pairs):
    z, mask = pairs
    m = randomised(TriangleAttention(6, 3, 2, around))
    x = m.layer_norm(z)
    q, k, v = (
        linear(x).view(2, N, N, 2, 3) for linear in (m.mha.linear_q, m.mha.linear_k, m.mha.linear_v)
    )
    bias, gate = m.linear(x), torch.sigmoid(m.mha.linear_g(x)).view(2, N, N, 2, 3)
    out = torch.zeros(2, N, N, 2, 3).double()
    for i in range(N):
        for j in range(N):
            if around == "starting":  # edges i-k, third edge j-k
                third = [(i, n) for n in range(N)], [(j, n) for n in range(N)]
            else:  # edges k-j, third edge k-i
                third = [(n, j) for n in range(N)], [(n, i) for n in range(N)]
            logits, values, seen = [], [], []
            for (a, b), (c, d) in zip(*third):
                logits.append((q[:, i, j] * k[:, a, b]).sum(-1) / 3**0.5 + bias[:, c, d])
                values.append(v[:, a, b])
                seen.append(mask[:, a, b])
            real_edges = torch.stack(seen)[..., None]
            weight = torch.stack(logits).masked_fill(~real_edges, -1e30).softmax(0) * real_edges
            out[:, i, j] = (weight[..., None] * torch.stack(values)).sum(0)
    expected = m.mha.linear_o((out * gate).flatten(-2))
    real = mask[..., None]
    torch.testing.assert_close(m(z, mask) * real, expected * real, rtol=0, atol=1e-12)


@pytest.mark.parametrize("limit", [1, 1 << 30], ids=["in slabs", "whole"])
def test_outer_product_mean_is_algorithm_10(limit, monkeypatch):
    monkeypatch.setattr(triangles, "OUTER_BYTES", limit)
    torch.manual_seed(1)
    m = torch.randn(2, 3, N, 6).double().requires_grad_()
    mask = torch.rand(2, 3, N) > 0.3
    module = randomised(OuterProductMean(6, 7, 4))
    norm = module.layer_norm(m)
    a, b = (linear(norm) * mask[..., None] for linear in (module.linear_1, module.linear_2))
    expected = torch.zeros(2, N, N, 7).double()
    for i in range(N):
        for j in range(N):
            outer = torch.einsum("brc,brd->bcd", a[:, :, i], b[:, :, j]).flatten(1)
            count = (mask[:, :, i] & mask[:, :, j]).sum(1, keepdim=True).double()
            expected[:, i, j] = module.linear_out(outer) / (count + 1e-3)
    got = module(m, mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    (slope,) = torch.autograd.grad(got.sin().sum(), m, retain_graph=True)
    (gradient,) = torch.autograd.grad(expected.sin().sum(), m)
    torch.testing.assert_close(slope, gradient, rtol=0, atol=1e-10)


def test_nodes_without_rows_are_one_row():
    module = randomised(OuterProductMean(6, 7, 4))
    m, mask = torch.randn(2, N, 6).double(), torch.rand(2, N) > 0.3
    assert torch.equal(module(m, mask), module(m[:, None], mask[:, None]))


def test_transition_is_algorithm_15():
    module = randomised(Transition(6, 2))
    x = torch.randn(3, 6).double()
    expected = module.linear_2(module.linear_1(module.layer_norm(x)).clamp(min=0))
    assert torch.equal(module(x), expected)


@pytest.mark.parametrize("heads", [0, 2])
def test_padding_does_not_reach_real_pairs(heads, pairs):
    z, mask = pairs
    stack = randomised(PairStack(6, 4, heads))
    other = torch.where(mask[..., None], z, 5.0)
    keep = mask[..., None]
    torch.testing.assert_close(stack(other, mask) * keep, stack(z, mask) * keep, rtol=0, atol=1e-12)


def test_a_fresh_stack_changes_nothing(pairs):
    z, mask = pairs
    assert torch.equal(PairStack(6, 4, 2).double()(z, mask), z)


def test_names_are_alphafolds():
    names = {n.rpartition(".")[0] for n, _ in PairStack(6, 4, 2).named_parameters()}
    assert {
        "tri_mul_out.layer_norm_in", "tri_mul_out.linear_a_p", "tri_mul_in.linear_b_g",
        "tri_mul_in.linear_z", "tri_att_start.linear", "tri_att_start.mha.linear_g",
        "tri_att_end.mha.linear_o", "pair_transition.linear_2",
    } <= names  # fmt: skip
