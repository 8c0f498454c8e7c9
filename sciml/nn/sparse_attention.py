"""Attention along the edges of a graph: softmax over the neighbours of a node.

With heads h, target i, source j, edge features e_ij (UniMP, Shi et al. 2021, arXiv:2009.03509):

    a_ij = softmax_j (q_i . k_j + u_i . e_ij)
    out_i = sum_j a_ij v_j            edge_i = sum_j a_ij e_ij

`u_i` is the query carried into the space of edge features and `edge_i` is projected to values
afterwards, so that keys and values of edges never exist: (q W_k) . e = q . (W_k e). The CPU kernel
keeps one number per edge and head, the weight; the plain version (`reference=True`; GPU, half
precision, second derivatives) forms keys and values of all edges.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from sciml.nn.kernels import over_rows
from sciml.nn.scatter import Adjacency, segment_softmax, segment_sum


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor,
    e: Tensor,
    edges: Adjacency,
    *,
    reference: bool = False,
) -> tuple[Tensor, Tensor]:
    """The sums above.

    Args:
        q: queries [T, H, D] of the targets, scaled.
        k: keys [M, H, D] of the sources.
        v: values [M, H, D].
        u: queries for edge features [T, H, P], scaled; P may be 0.
        e: edge features [E, P].
        edges: which nodes the edges join, M sources and T targets.
        reference: form keys and values of edges.

    Returns:
        (out [T, H, D], edge_out [T, H, P]); zeros for a node without edges.
    """
    if reference or q.device.type != "cpu" or q.dtype not in (torch.float32, torch.float64):
        return _reference(q, k, v, u, e, edges.source, edges.target)
    out, edge_out, _ = _sparse_attention(q, k, v, u, e, *edges)
    return out, edge_out


def _reference(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor, e: Tensor, source: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    logits = (q.index_select(0, target) * k.index_select(0, source)).sum(-1)
    logits = logits + (u.index_select(0, target) * e.unsqueeze(1)).sum(-1)
    weights = segment_softmax(logits, target, len(q)).unsqueeze(-1)
    out = segment_sum(weights * v.index_select(0, source), target, len(q))
    return out, segment_sum(weights * e.unsqueeze(1), target, len(q))


@torch.library.custom_op("sciml::sparse_attention", mutates_args=(), device_types="cpu")
def _sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor, e: Tensor, source: Tensor, target: Tensor,
    target_ptr: Tensor, by_target: Tensor, source_ptr: Tensor, by_source: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = (q.new_zeros(q.shape), u.new_zeros(u.shape), q.new_empty(len(e), q.shape[1]))
    over_rows(
        _forward, len(q), target_ptr.numpy(), by_target.numpy(), source.numpy(),
        *_arrays(q, k, v, u, e), *_arrays(*out),
    )  # fmt: skip
    return out


@_sparse_attention.register_fake
def _(q, k, v, u, e, source, target, target_ptr, by_target, source_ptr, by_source):
    return q.new_empty(q.shape), u.new_empty(u.shape), q.new_empty(e.shape[0], q.shape[1])


@torch.library.custom_op("sciml::sparse_attention_backward", mutates_args=(), device_types="cpu")
def _sparse_attention_backward(
    grad_out: Tensor, grad_edge_out: Tensor, delta: Tensor, weights: Tensor,
    q: Tensor, k: Tensor, v: Tensor, u: Tensor, e: Tensor, source: Tensor, target: Tensor,
    target_ptr: Tensor, by_target: Tensor, source_ptr: Tensor, by_source: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    grads = (
        q.new_zeros(q.shape), k.new_zeros(k.shape), v.new_zeros(v.shape),
        u.new_zeros(u.shape), e.new_zeros(e.shape),
    )  # fmt: skip
    grad_logits = torch.empty_like(weights)
    grad_q, grad_k, grad_v, grad_u, grad_e = _arrays(*grads)
    grad_out, grad_edge_out = grad_out.contiguous(), grad_edge_out.contiguous()
    over_rows(
        _backward_targets, len(q), target_ptr.numpy(), by_target.numpy(), source.numpy(),
        *_arrays(grad_out, grad_edge_out, delta, weights, k, v, u, e),
        grad_q, grad_u, grad_e, grad_logits.numpy(),
    )  # fmt: skip
    over_rows(
        _backward_sources, len(k), source_ptr.numpy(), by_source.numpy(), target.numpy(),
        *_arrays(grad_out, weights, grad_logits, q), grad_k, grad_v,
    )  # fmt: skip
    return grads


@_sparse_attention_backward.register_fake
def _(grad_out, grad_edge_out, delta, weights, q, k, v, u, e, *edges):
    return tuple(part.new_empty(part.shape) for part in (q, k, v, u, e))


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(True)


def _differentiate(ctx, grad_out, grad_edge_out, _):
    *inputs, out, edge_out, weights = ctx.saved_tensors
    q, k, v, u, e, *edges = inputs
    floating = (q, k, v, u, e)
    if torch.is_grad_enabled():  # create_graph=True
        requiring = [part for part in floating if part.requires_grad]
        again = _reference(*floating, edges[0], edges[1])
        grad = torch.autograd.grad(
            again, requiring, (grad_out, grad_edge_out), create_graph=True, allow_unused=True
        )
        gradients = iter(grad)
        grads = [next(gradients) if part.requires_grad else None for part in floating]
    else:
        # sum over the neighbours of a_ij da_ij, which softmax's derivative subtracts
        delta = (grad_out * out).sum(-1) + (grad_edge_out * edge_out).sum(-1)
        grads = _sparse_attention_backward(
            grad_out, grad_edge_out, delta, weights, q, k, v, u, e, *edges
        )
    return *grads, *[None] * 6


_sparse_attention.register_autograd(_differentiate, setup_context=_save)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# Rows are taken out as arrays of their own before the loops over them, so that these vectorise.


@numba.njit(inline="always", fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = a.dtype.type(0)
    for c in range(len(a)):
        total += a[c] * b[c]
    return total


@numba.njit(inline="always", fastmath={"reassoc", "contract", "nsz"})
def _add(total, scale, row):
    for c in range(len(total)):
        total[c] += scale * row[c]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _forward(start, stop, ptr, order, source, q, k, v, u, e, out, edge_out, weights):
    for i in range(start, stop):
        for h in range(q.shape[1]):
            query, edge_query = q[i, h], u[i, h]
            largest = -np.inf
            for slot in range(ptr[i], ptr[i + 1]):
                edge = order[slot]
                logit = _dot(query, k[source[edge], h]) + _dot(edge_query, e[edge])
                weights[edge, h] = logit
                largest = max(largest, logit)
            total = 0.0
            for slot in range(ptr[i], ptr[i + 1]):
                edge = order[slot]
                weight = np.exp(weights[edge, h] - largest)
                weights[edge, h] = weight
                total += weight
            row, edge_row = out[i, h], edge_out[i, h]
            for slot in range(ptr[i], ptr[i + 1]):
                edge = order[slot]
                weights[edge, h] /= total
                weight = weights[edge, h]
                _add(row, weight, v[source[edge], h])
                _add(edge_row, weight, e[edge])


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _backward_targets(
    start, stop, ptr, order, source, grad_out, grad_edge_out, delta, weights, k, v, u, e,
    grad_q, grad_u, grad_e, grad_logits,
):  # fmt: skip
    for i in range(start, stop):
        for slot in range(ptr[i], ptr[i + 1]):
            edge = order[slot]
            j = source[edge]
            features, grad_features = e[edge], grad_e[edge]
            for h in range(k.shape[1]):
                weight = weights[edge, h]
                grad = _dot(grad_out[i, h], v[j, h]) + _dot(grad_edge_out[i, h], features)
                logit = weight * (grad - delta[i, h])
                grad_logits[edge, h] = logit
                _add(grad_q[i, h], logit, k[j, h])
                _add(grad_u[i, h], logit, features)
                _add(grad_features, logit, u[i, h])
                _add(grad_features, weight, grad_edge_out[i, h])


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _backward_sources(
    start, stop, ptr, order, target, grad_out, weights, grad_logits, q, grad_k, grad_v
):
    for j in range(start, stop):
        for slot in range(ptr[j], ptr[j + 1]):
            edge = order[slot]
            i = target[edge]
            for h in range(q.shape[1]):
                _add(grad_k[j, h], grad_logits[edge, h], q[i, h])
                _add(grad_v[j, h], weights[edge, h], grad_out[i, h])
