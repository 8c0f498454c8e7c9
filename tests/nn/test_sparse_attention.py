"""Attention along edges: the kernel equals the plain version in value and all gradients."""

from typing import Any

import pytest
import torch

from sciml.nn import sparse_attention as module
from sciml.nn.scatter import Adjacency

sparse_attention: Any = module.sparse_attention


def example(
    width: int = 3, dtype: torch.dtype = torch.float64, targets: int = 7
) -> tuple[Any, Adjacency]:
    torch.manual_seed(0)
    sources, edges = 9, 40
    index = torch.stack(
        [torch.randint(0, sources, (edges,)), torch.randint(0, targets - 1, (edges,))]
    )
    q, k, v = (torch.randn(n, 2, 5, dtype=dtype) for n in (targets, sources, sources))
    u, e = torch.randn(targets, 2, width, dtype=dtype), torch.randn(edges, width, dtype=dtype)
    tensors = [part.requires_grad_() for part in (q, k, v, u, e)]
    return tensors, Adjacency.of(index, sources, targets)


def test_equals_a_loop_over_nodes() -> None:
    (q, k, v, u, e), edges = example()
    out, edge_out = sparse_attention(q, k, v, u, e, edges)
    for i in range(7):
        incoming = (edges.target == i).nonzero()[:, 0]
        for h in range(2):
            logits = k[edges.source[incoming], h] @ q[i, h] + e[incoming] @ u[i, h]
            weights = torch.softmax(logits, 0)
            expected = weights @ v[edges.source[incoming], h]
            torch.testing.assert_close(out[i, h], expected)
            torch.testing.assert_close(edge_out[i, h], weights @ e[incoming])
    assert not out[6].any()  # has no neighbours


@pytest.mark.parametrize("width", [0, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_kernel_equals_reference(width: int, dtype: torch.dtype, tolerance: float) -> None:
    results = []
    for reference in (False, True):
        tensors, edges = example(width, dtype)
        outputs = sparse_attention(*tensors, edges, reference=reference)
        loss = torch.stack([(part**3).sum() for part in outputs]).sum()
        results.append([*outputs, *torch.autograd.grad(loss, tensors)])
    for fused, plain in zip(*results):
        torch.testing.assert_close(fused, plain, rtol=tolerance, atol=tolerance)


def test_second_derivatives() -> None:
    tensors, edges = example()
    assert torch.autograd.gradgradcheck(lambda *t: sparse_attention(*t, edges)[0], tensors)


def test_large_logits_do_not_overflow() -> None:
    tensors, edges = example(dtype=torch.float32)
    tensors[0].data *= 1e4
    out, edge_out = sparse_attention(*tensors, edges)
    assert torch.isfinite(out).all() and torch.isfinite(edge_out).all()


def test_compiles_without_graph_breaks() -> None:
    tensors, edges = example()
    compiled = torch.compile(sparse_attention, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(*tensors, edges), sparse_attention(*tensors, edges)):
        torch.testing.assert_close(a, b)
