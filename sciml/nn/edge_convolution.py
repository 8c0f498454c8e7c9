"""Gather, transform, weigh, add up: the inner loop of an equivariant convolution, in one pass.

    out[i, r, c] = sum over edges e = (j -> i) of weight[e, path[r], c] * (operator[e] @ x[j])[r, c]

`operator` is a small matrix per edge (Clebsch-Gordan coefficients contracted with the spherical
harmonics of its direction), `weight` its radial weights, one row of channels per path. In PyTorch
(`reference=True`; GPU, half precision, second derivatives) the messages [edges, rows, channels]
pass through memory several times; the CPU kernel keeps them in registers and writes only sums over
edges. Each output row belongs to one thread, so results do not depend on timing.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from sciml.nn.kernels import over_rows
from sciml.nn.scatter import Adjacency, segment_sum


def edge_convolution(
    x: Tensor,
    operator: Tensor,
    weight: Tensor,
    path: Tensor,
    edges: Adjacency,
    *,
    reference: bool = False,
) -> Tensor:
    """The sum above.

    Args:
        x: [M, I, C] features of the source nodes.
        operator: [E, R, I] a matrix per edge.
        weight: [E, P, C] the weights of every path on every edge.
        path: [R] int64, which path each row belongs to; rows of one path lie together.
        edges: which nodes the edges join.
        reference: form the messages.

    Returns:
        [edges.targets, R, C].
    """
    plain = x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64)
    if reference or plain:
        return _reference(x, operator, weight, path, edges.source, edges.target, edges.targets)
    return _edge_convolution(x, operator, weight, path, *edges)


def _reference(
    x: Tensor, operator: Tensor, weight: Tensor, path: Tensor,
    source: Tensor, target: Tensor, size: int,
) -> Tensor:  # fmt: skip
    messages = torch.bmm(operator, x.index_select(0, source))
    return segment_sum(messages * weight.index_select(1, path), target, size)


@torch.library.custom_op("sciml::edge_convolution", mutates_args=(), device_types="cpu")
def _edge_convolution(
    x: Tensor, operator: Tensor, weight: Tensor, path: Tensor,
    source: Tensor, target: Tensor,
    target_ptr: Tensor, by_target: Tensor, source_ptr: Tensor, by_source: Tensor,
) -> Tensor:  # fmt: skip
    out = x.new_zeros(len(target_ptr) - 1, operator.shape[1], x.shape[2])
    over_rows(
        _forward, len(out), target_ptr.numpy(), by_target.numpy(), source.numpy(),
        *_arrays(x, operator, weight), path.numpy(), out.numpy(),
    )  # fmt: skip
    return out


@_edge_convolution.register_fake
def _(x, operator, weight, path, source, target, target_ptr, by_target, source_ptr, by_source):
    return x.new_empty(target_ptr.shape[0] - 1, operator.shape[1], x.shape[2])


@torch.library.custom_op("sciml::edge_convolution_backward", mutates_args=(), device_types="cpu")
def _edge_convolution_backward(
    grad: Tensor, x: Tensor, operator: Tensor, weight: Tensor, path: Tensor,
    target: Tensor, source_ptr: Tensor, by_source: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = (
        torch.zeros_like(x, memory_format=torch.contiguous_format),
        torch.empty_like(operator, memory_format=torch.contiguous_format),
        torch.zeros_like(weight, memory_format=torch.contiguous_format),
    )
    over_rows(
        _backward, len(x), source_ptr.numpy(), by_source.numpy(), target.numpy(),
        *_arrays(grad, x, operator, weight), path.numpy(), *(part.numpy() for part in out),
    )  # fmt: skip
    return out


@_edge_convolution_backward.register_fake
def _(grad, x, operator, weight, path, target, source_ptr, by_source):
    return tuple(torch.empty_like(part).contiguous() for part in (x, operator, weight))


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, grad):
    x, operator, weight, path, source, target, target_ptr, _, source_ptr, by_source = (
        ctx.saved_tensors
    )
    if torch.is_grad_enabled():  # create_graph=True: forces from an energy, and their gradient
        inputs = [part for part in (x, operator, weight) if part.requires_grad]
        out = _reference(x, operator, weight, path, source, target, len(target_ptr) - 1)
        gradients = iter(torch.autograd.grad(out, inputs, grad, create_graph=True))
        grads = [next(gradients) if part.requires_grad else None for part in (x, operator, weight)]
    else:
        grads = _edge_convolution_backward(
            grad, x, operator, weight, path, target, source_ptr, by_source
        )
    return *grads, *[None] * 7


_edge_convolution.register_autograd(_differentiate, setup_context=_save)


def _arrays(*tensors: Tensor):
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# In the kernels every row of channels becomes a separate array before the loop over it:
# so LLVM sees contiguous, unit-stride loops and vectorises them (five times faster than without).


@numba.njit(inline="always", fastmath={"reassoc", "contract", "nsz"})
def _multiply(operator, x, product):
    """product[c] = sum over m of operator[m] * x[m, c]."""
    entry, row = operator[0], x[0]
    for c in range(len(product)):
        product[c] = entry * row[c]
    for m in range(1, len(operator)):
        entry, row = operator[m], x[m]
        for c in range(len(product)):
            product[c] += entry * row[c]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _forward(start, stop, ptr, order, source, x, operator, weight, path, out):
    product = np.empty(x.shape[2], x.dtype)
    for i in range(start, stop):
        for slot in range(ptr[i], ptr[i + 1]):
            e = order[slot]
            features = x[source[e]]
            for r in range(operator.shape[1]):
                _multiply(operator[e, r], features, product)
                weights, total = weight[e, path[r]], out[i, r]
                for c in range(len(product)):
                    total[c] += weights[c] * product[c]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _backward(
    start, stop, ptr, order, target, grad, x, operator, weight, path,
    grad_x, grad_operator, grad_weight,
):  # fmt: skip
    product = np.empty(x.shape[2], x.dtype)
    arriving = np.empty(x.shape[2], x.dtype)  # gradient of operator @ x
    for j in range(start, stop):
        features, grad_features = x[j], grad_x[j]
        for slot in range(ptr[j], ptr[j + 1]):
            e = order[slot]
            grads_out = grad[target[e]]
            for r in range(operator.shape[1]):
                matrix, grad_matrix, grads = operator[e, r], grad_operator[e, r], grads_out[r]
                weights, grad_weights = weight[e, path[r]], grad_weight[e, path[r]]
                _multiply(matrix, features, product)
                for c in range(len(product)):
                    grad_weights[c] += grads[c] * product[c]
                    arriving[c] = grads[c] * weights[c]
                for m in range(len(matrix)):
                    entry, row, grad_row = matrix[m], features[m], grad_features[m]
                    total = x.dtype.type(0)
                    for c in range(len(arriving)):
                        total += arriving[c] * row[c]
                        grad_row[c] += entry * arriving[c]
                    grad_matrix[m] = total
