"""Convolution in the frames of the edges, in one pass: rotate, weigh every component, rotate back.

    out[i] = sum over edges e = (j -> i) of  D_e^T  W_e  D_e  x[j]

`D_e` rotates features of every degree so that the edge becomes the pole; `W_e` couples a component
of the input to the same (or the mirrored) component of the output, one weight per channel. As in
`sciml.nn.edge_convolution`, the CPU kernel keeps the messages of one edge in cache; the plain
version (`reference=True`; GPU, half precision, second derivatives) forms those of all edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from sciml.nn.kernels import over_rows
from sciml.nn.scatter import Adjacency, segment_sum


class Plan(NamedTuple):
    """The couplings between components.

    Irreps of these degrees are concatenated along the component axis. `terms` [4, T] is,
    for every coupling, (component of the input, of the output, number of the weight, sign).
    """

    degrees_in: list[int]
    degrees_out: list[int]
    terms: Tensor


def so2_convolution(
    x: Tensor,
    frames: list[Tensor],
    weight: Tensor,
    plan: Plan,
    edges: Adjacency,
    *,
    reference: bool = False,
) -> Tensor:
    """The sum above.

    Args:
        x: [M, I, C] features of the source nodes, I components of all input irreps.
        frames: Wigner matrices, one [E, 2 l + 1, 2 l + 1] per degree from 0 on.
        weight: [E, W, C].
        plan: the couplings.
        edges: which nodes the edges join.
        reference: form the messages of all edges.

    Returns:
        [edges.targets, O, C], O components of all output irreps.
    """
    flat = torch.cat([matrix.flatten(1) for matrix in frames], 1)
    components = sum(2 * l + 1 for l in plan.degrees_out)
    if reference or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return _reference(x, flat, weight, *plan, *edges[:2], edges.targets, components)
    return _so2_convolution(x, flat, weight, *plan, *edges, components)


def _rotated(x: Tensor, frames: Tensor, degrees: list[int], back: bool = False) -> Tensor:
    """Features [E, components, C] rotated irrep by irrep into the edges' frames, or back."""
    parts, start = [], 0
    for l in degrees:
        width = 2 * l + 1
        first = l * (2 * l - 1) * (2 * l + 1) // 3  # 1 + 9 + 25 + ... entries of lower degrees
        matrix = frames[:, first : first + width**2].unflatten(1, (width, width))
        matrix = matrix.mT if back else matrix
        parts.append(torch.bmm(matrix, x[:, start : start + width]))
        start += width
    return torch.cat(parts, 1)


def _reference(
    x: Tensor, frames: Tensor, weight: Tensor, degrees_in: list[int], degrees_out: list[int],
    terms: Tensor, source: Tensor, target: Tensor, size: int, components: int,
) -> Tensor:  # fmt: skip
    come, go, number, sign = terms
    rotated = _rotated(x.index_select(0, source), frames, degrees_in)
    coupled = weight[:, number] * rotated[:, come] * sign.to(x.dtype).unsqueeze(-1)
    mixed = x.new_zeros(len(rotated), components, x.shape[2]).index_add(1, go, coupled)
    return segment_sum(_rotated(mixed, frames, degrees_out, back=True), target, size)


@torch.library.custom_op("sciml::so2_convolution", mutates_args=(), device_types="cpu")
def _so2_convolution(
    x: Tensor, frames: Tensor, weight: Tensor,
    degrees_in: list[int], degrees_out: list[int], terms: Tensor, source: Tensor, target: Tensor,
    target_ptr: Tensor, by_target: Tensor, source_ptr: Tensor, by_source: Tensor,
    components: int,
) -> Tensor:  # fmt: skip
    out = x.new_zeros(len(target_ptr) - 1, components, x.shape[2])
    over_rows(
        _forward, len(out), *_arrays(target_ptr, by_target, source),
        np.array(degrees_in), np.array(degrees_out), *_arrays(terms, x, frames, weight),
        out.numpy(),
    )  # fmt: skip
    return out


@_so2_convolution.register_fake
def _(x, frames, weight, degrees_in, degrees_out, terms, source, target, target_ptr, by_target,
      source_ptr, by_source, components):  # fmt: skip
    return x.new_empty(target_ptr.shape[0] - 1, components, x.shape[2])


@torch.library.custom_op("sciml::so2_convolution_backward", mutates_args=(), device_types="cpu")
def _so2_convolution_backward(
    grad: Tensor, x: Tensor, frames: Tensor, weight: Tensor,
    degrees_in: list[int], degrees_out: list[int], terms: Tensor,
    target: Tensor, source_ptr: Tensor, by_source: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = (
        x.new_zeros(x.shape), frames.new_zeros(frames.shape), weight.new_zeros(weight.shape)
    )  # fmt: skip
    over_rows(
        _backward, len(x), *_arrays(source_ptr, by_source, target),
        np.array(degrees_in), np.array(degrees_out), *_arrays(terms, grad, x, frames, weight),
        *_arrays(*out),
    )  # fmt: skip
    return out


@_so2_convolution_backward.register_fake
def _(grad, x, frames, weight, degrees_in, degrees_out, terms, target, source_ptr, by_source):
    return tuple(part.new_empty(part.shape) for part in (x, frames, weight))


def _save(ctx, inputs, output) -> None:
    x, frames, weight, degrees_in, degrees_out, *tensors, components = inputs
    ctx.save_for_backward(x, frames, weight, *tensors)
    ctx.degrees, ctx.components = (degrees_in, degrees_out), components


def _differentiate(ctx, grad):
    x, frames, weight, terms, source, target, target_ptr, _, *by_source = ctx.saved_tensors
    floating = (x, frames, weight)
    plan = (ctx.degrees[0], ctx.degrees[1], terms)
    if torch.is_grad_enabled():  # create_graph=True
        inputs = [part for part in floating if part.requires_grad]
        size = len(target_ptr) - 1
        out = _reference(*floating, *plan, source, target, size, ctx.components)
        gradients = iter(torch.autograd.grad(out, inputs, grad, create_graph=True))
        grads = [next(gradients) if part.requires_grad else None for part in floating]
    else:
        grads = _so2_convolution_backward(grad, *floating, *plan, target, *by_source)
    return *grads, *[None] * 10


_so2_convolution.register_autograd(_differentiate, setup_context=_save)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# In the kernels, `frame` is the flat row of one edge's matrices; features are [components, C].


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _turn(frame, degrees, back, x, out):
    """out = D x, or D^T x if `back`."""
    start = 0
    for l in degrees:
        width = 2 * l + 1
        first = l * (2 * l - 1) * (2 * l + 1) // 3
        for m in range(width):
            total = out[start + m]
            total[:] = 0
            for n in range(width):
                entry = frame[first + (n * width + m if back else m * width + n)]
                row = x[start + n]
                for c in range(len(total)):
                    total[c] += entry * row[c]
        start += width


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _outer(grad_frame, degrees, a, b):
    """Gradient of the matrices: sum over channels of a[m] b[n] for every degree."""
    start = 0
    for l in degrees:
        width = 2 * l + 1
        first = l * (2 * l - 1) * (2 * l + 1) // 3
        for m in range(width):
            left = a[start + m]
            for n in range(width):
                right = b[start + n]
                total = left.dtype.type(0)
                for c in range(len(left)):
                    total += left[c] * right[c]
                grad_frame[first + m * width + n] += total
        start += width


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _couple(terms, weight, rotated, mixed):
    mixed[:] = 0
    for t in range(terms.shape[1]):
        row, total, weights = rotated[terms[0, t]], mixed[terms[1, t]], weight[terms[2, t]]
        sign = weight.dtype.type(terms[3, t])
        for c in range(len(total)):
            total[c] += sign * weights[c] * row[c]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _forward(
    start, stop, ptr, order, source, degrees_in, degrees_out, terms, x, frames, weight, out
):
    rotated = np.empty(x.shape[1:], x.dtype)
    mixed, back = np.empty(out.shape[1:], x.dtype), np.empty(out.shape[1:], x.dtype)
    for i in range(start, stop):
        total = out[i]
        for slot in range(ptr[i], ptr[i + 1]):
            e = order[slot]
            _turn(frames[e], degrees_in, False, x[source[e]], rotated)
            _couple(terms, weight[e], rotated, mixed)
            _turn(frames[e], degrees_out, True, mixed, back)
            for r in range(len(back)):
                row, sums = back[r], total[r]
                for c in range(len(row)):
                    sums[c] += row[c]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _backward(
    start, stop, ptr, order, target, degrees_in, degrees_out, terms, grad, x, frames, weight,
    grad_x, grad_frames, grad_weight,
):  # fmt: skip
    rotated, grad_rotated = np.empty(x.shape[1:], x.dtype), np.empty(x.shape[1:], x.dtype)
    mixed, grad_mixed = np.empty(grad.shape[1:], x.dtype), np.empty(grad.shape[1:], x.dtype)
    back = np.empty(x.shape[1:], x.dtype)
    for j in range(start, stop):
        for slot in range(ptr[j], ptr[j + 1]):
            e = order[slot]
            arriving = grad[target[e]]
            _turn(frames[e], degrees_in, False, x[j], rotated)
            _couple(terms, weight[e], rotated, mixed)
            _turn(frames[e], degrees_out, False, arriving, grad_mixed)
            _outer(grad_frames[e], degrees_out, mixed, arriving)
            grad_rotated[:] = 0
            for t in range(terms.shape[1]):
                row, grad_row = rotated[terms[0, t]], grad_rotated[terms[0, t]]
                weights, grad_weights = weight[e, terms[2, t]], grad_weight[e, terms[2, t]]
                total = grad_mixed[terms[1, t]]
                sign = x.dtype.type(terms[3, t])
                for c in range(len(row)):
                    grad_row[c] += sign * weights[c] * total[c]
                    grad_weights[c] += sign * row[c] * total[c]
            _outer(grad_frames[e], degrees_in, grad_rotated, x[j])
            _turn(frames[e], degrees_in, True, grad_rotated, back)
            for r in range(len(back)):
                row, sums = back[r], grad_x[j, r]
                for c in range(len(row)):
                    sums[c] += row[c]
