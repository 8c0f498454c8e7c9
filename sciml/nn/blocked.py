"""Attention in blocks that stay in cache, with the gradient of its pair bias.

Covers a case that fused kernels leave out: `scaled_dot_product_attention` on a CPU falls back to
full [N, M] matrices as soon as the bias needs a gradient. Here a block of logits is made,
normalised and used before the next one is made, so nothing of size rows x heads x N x M is
kept; the backward pass makes the block again (Rabe & Staats 2021, arXiv:2112.05682) and adds the
bias's gradient up over the rows that share it. Where all weights together are small they are kept
from the forward pass instead, which saves a third of the backward pass.

One opaque operator, which `torch.compile` does not split. It has no second derivative: for
that, `pair_biased_attention(backend="reference")`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_BYTES = 1 << 19
"""Size of one block of logits: several fit a core's second-level cache."""
KEEP_BYTES = 64 << 20
"""Weights up to this size are kept for the backward pass; larger ones are made again."""


def blocks(groups: int, rows: int, n: int, m: int, itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Slices (groups, rows, queries) whose logits fill about one block each.

    Whole matrices of several groups if they fit, else several rows of one group, else several
    queries of one row: each slice of contiguous [groups, rows, n, ...] is one contiguous piece.
    """
    most = max(1, BLOCK_BYTES // itemsize)
    every = slice(None)
    if rows * n * m <= most:
        step = max(1, most // max(1, rows * n * m))
        for g in range(0, groups, step):
            yield slice(g, g + step), every, every
    elif n * m <= most:
        step = max(1, most // (n * m))
        for g in range(groups):
            for r in range(0, rows, step):
                yield slice(g, g + 1), slice(r, r + step), every
    else:
        step = max(16, most // m)
        for g in range(groups):
            for r in range(rows):
                for i in range(0, n, step):
                    yield slice(g, g + 1), slice(r, r + 1), slice(i, i + step)


def _weights(
    q: Tensor,
    k: Tensor,
    bias: Tensor | None,
    hidden: Tensor | None,
    block: tuple[slice, ...],
    scale: float,
    out: Tensor | None = None,
) -> Tensor:
    """Softmax weights [matrices, queries, M] of one block, in `out` if given."""
    g, r, i = block
    queries, keys = q[g, r, i].flatten(0, 1), k[g, r].flatten(0, 1).mT
    if bias is None:
        logits = torch.bmm(queries * scale, keys)
    else:
        rows = len(range(*r.indices(q.shape[1])))
        offset = bias[g, None, i].expand(-1, rows, -1, -1).flatten(0, 1)
        logits = torch.baddbmm(offset, queries, keys, alpha=scale)
    if hidden is not None:
        logits.masked_fill_(hidden[g, r].flatten(0, 1)[:, None], torch.finfo(logits.dtype).min)
    return torch.softmax(logits, -1) if out is None else torch.softmax(logits, -1, out=out)


@torch.library.custom_op(
    "sciml::blocked_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor? bias, Tensor? mask, bool keep)"
    " -> (Tensor, Tensor)",
)
def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor]:
    """Attention of contiguous groups; the public form is `sciml.nn.attention`.

    Args:
        q: queries [G, R, N, d]. All R rows of a group share its bias.
        k: keys [G, R, M, d].
        v: values [G, R, M, d].
        bias: [G, N, M], added to the logits q.k / sqrt(d).
        mask: [G, R, M] bool, False = a masked key; a row without any key gives zeros.
        keep: return the weights, for the backward pass.

    Returns:
        out [G, R, N, d], and the weights [G, R, N, M] (or an empty tensor).
    """
    groups, rows, n, d = q.shape
    m = k.shape[2]
    hidden = None if mask is None or bool(mask.all()) else ~mask
    out = q.new_empty(q.shape)
    saved = q.new_empty((groups, rows, n, m) if keep else (0,))
    with torch.autocast(q.device.type, enabled=False):
        for block in blocks(groups, rows, n, m, q.element_size()):
            g, r, i = block
            out_weights = saved[g, r, i].flatten(0, 1) if keep else None
            weights = _weights(q, k, bias, hidden, block, d**-0.5, out_weights)
            torch.bmm(weights, v[g, r].flatten(0, 1), out=out[g, r, i].flatten(0, 1))
    if hidden is not None:
        out.masked_fill_(hidden.all(-1)[..., None, None], 0)
    return out, saved


@blocked_attention.register_fake
def _(q, k, v, bias, mask, keep):
    shape = (*q.shape[:3], k.shape[2]) if keep else (0,)
    return q.new_empty(q.shape), q.new_empty(shape)


@torch.library.custom_op(
    "sciml::blocked_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor? bias, Tensor? mask, Tensor kept,"
    " bool bias_gradient) -> (Tensor, Tensor, Tensor, Tensor)",
)
def blocked_attention_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    saved: Tensor,
    bias_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `blocked_attention` for q, k, v and the bias (empty if not needed)."""
    groups, rows, n, d = q.shape
    m, scale = k.shape[2], d**-0.5
    hidden = None if mask is None or bool(mask.all()) else ~mask
    if hidden is not None:
        grad = grad.masked_fill(hidden.all(-1)[..., None, None], 0)
    dq = q.new_empty(q.shape)
    one_block = n * m * q.element_size() <= BLOCK_BYTES
    make = k.new_empty if one_block else k.new_zeros
    dk, dv = make(k.shape), make(v.shape)
    shape = (groups, n, m) if bias_gradient else (0,)
    dbias = q.new_empty(shape) if rows == 1 else q.new_zeros(shape)
    beta = 0 if one_block else 1
    with torch.autocast(q.device.type, enabled=False):
        for block in blocks(groups, rows, n, m, q.element_size()):
            g, r, i = block
            if saved.numel():
                weights = saved[g, r, i].flatten(0, 1)
            else:
                weights = _weights(q, k, bias, hidden, block, scale)
            out_grad, queries = grad[g, r, i].flatten(0, 1), q[g, r, i].flatten(0, 1)
            keys, values = k[g, r].flatten(0, 1), v[g, r].flatten(0, 1)
            dv_block, dk_block = dv[g, r].flatten(0, 1), dk[g, r].flatten(0, 1)
            dq_block = dq[g, r, i].flatten(0, 1)
            dv_block.baddbmm_(weights.mT, out_grad, beta=beta)
            dweights = torch.bmm(out_grad, values.mT)
            if bias_gradient and rows == 1:  # the bias's gradient is that of the logits
                dlogits = dbias[g, i]
            else:
                dlogits = torch.empty_like(dweights)
            torch._softmax_backward_data(dweights, weights, -1, q.dtype, grad_input=dlogits)
            torch.baddbmm(dq_block, dlogits, keys, beta=0, alpha=scale, out=dq_block)
            dk_block.baddbmm_(dlogits.mT, queries, beta=beta, alpha=scale)
            if bias_gradient and rows > 1:
                dbias[g, i] += dlogits.view(len(dbias[g]), -1, *dlogits.shape[1:]).sum(1)
    return dq, dk, dv, dbias


@blocked_attention_backward.register_fake
def _(grad, q, k, v, bias, mask, saved, bias_gradient):
    shape = (q.shape[0], q.shape[2], k.shape[2]) if bias_gradient else (0,)
    return (*(t.new_empty(t.shape) for t in (q, k, v)), q.new_empty(shape))


def _setup(ctx, inputs, output):
    q, k, v, bias, mask, _ = inputs
    ctx.save_for_backward(q, k, v, bias, mask, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # else zeros as large as the weights would be made
    ctx.bias_gradient = bias is not None and bias.requires_grad


def _backward(ctx, grad, _):
    if grad is None:  # nothing depends on the result
        return (None,) * 6
    q, k, v, bias, mask, saved = ctx.saved_tensors
    needed = ctx.bias_gradient
    dq, dk, dv, dbias = blocked_attention_backward(
        grad.contiguous(), q, k, v, bias, mask, saved, needed
    )
    return dq, dk, dv, dbias if needed else None, None, None


blocked_attention.register_autograd(_backward, setup_context=_setup)
