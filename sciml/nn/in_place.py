"""Updates of pair and MSA representations in place, one slice of rows at a time: for inference.

Each function adds what the module of the same name in `sciml.nn.triangles` returns, without
gradients: memory then grows with the representations and not with intermediate results. On a CPU a
slice stays in cache, which also is what makes it fast: a large intermediate result costs page
faults and trips to memory, a very small one more calls (one Evoformer block, 1 to 64 MiB: least
time from 8 to 16). Tests hold these equal to the modules' `forward`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.attention import Attention
from sciml.nn.triangles import (
    OuterProductMean,
    Transition,
    TriangleAttention,
    TriangleMultiplication,
)
from sciml.nn.workers import cores, for_each

SLICE_BYTES = 8 << 20
"""Target size of the intermediate results of one slice on a CPU."""
DEVICE_SLICE_BYTES = 64 << 20
"""The same on a GPU."""
FACTOR_BYTES, MAX_GROUPS = 128 << 20, 4
"""Size of a factor of a triangle multiplication above which only some of its channels are made at
a time, and in how many groups at most: each group normalises the pairs again."""


def slices(x: Tensor, dim: int, width: float) -> list[slice]:
    """Slices of `x` along `dim` whose intermediate results stay within the target size.

    Their number is a multiple of the number of cores; with gradients there is one slice.

    Args:
        x: the representation.
        dim: along which slices do not depend on one another.
        width: size of the intermediate results over that of `x`.
    """
    if torch.is_grad_enabled():
        return [slice(None)]
    on_cpu = x.device.type == "cpu"
    budget, threads = (SLICE_BYTES, cores()) if on_cpu else (DEVICE_SLICE_BYTES, 1)
    lines = x.shape[dim]
    line = x.numel() // lines * x.element_size() * width
    size = max(1, int(budget // max(line, 1)))
    rounds = -(-lines // (size * threads))
    size = -(-lines // (rounds * threads))
    return [slice(start, start + size) for start in range(0, lines, size)]


def add_rows(
    x: Tensor,
    mask: Tensor | None,
    hidden: Callable[[Tensor, Tensor | None], Tensor],
    last: nn.Linear,
    width: float,
) -> Tensor:
    """x += last(hidden(x, mask)), a slice of rows at a time.

    Args:
        x: [B, R, N, c]; rows must not depend on one another.
        mask: [B, R, N] or None.
        hidden: takes a slice and its mask.
        last: the update's last layer, which then adds straight to `x`.
        width: size of the intermediate results over that of `x`.
    """
    weight, bias = last.weight, last.bias
    lean = not torch.is_autocast_enabled(x.device.type)

    def work(part: slice) -> None:
        rows = x[:, part]
        update = hidden(rows, None if mask is None else mask[:, part])
        if lean and rows.is_contiguous():
            rows += bias
            rows.view(-1, x.shape[-1]).addmm_(update.flatten(0, -2), weight.T)
        else:
            rows += last(update)

    for_each(slices(x, 1, width), work, x.device)
    return x


def attention(
    module: Attention, norm: nn.LayerNorm, x: Tensor, mask: Tensor | None, bias: Tensor | None
) -> Tensor:
    """x += module(norm(x)) along each row of [B, R, N, c]; bias [B, H, N, N], the same for all."""

    def hidden(rows: Tensor, real: Tensor | None) -> Tensor:
        if real is None and len(rows) == 1:  # rows as the batch: the bias is then never repeated
            return module.mix(norm(rows[0]), bias)[None]
        return module.mix(norm(rows), None if bias is None else bias[:, None], real)

    return add_rows(x, mask, hidden, module.linear_o, width=6)


def pair_bias(norm: nn.LayerNorm, linear: nn.Linear, z: Tensor) -> Tensor:
    """linear(norm(z)): pairs [B, N, M, p] -> attention bias [B, H, N, M]."""
    bias = z.new_empty(z.shape[0], linear.out_features, *z.shape[1:3])

    def work(rows: slice) -> None:
        bias[:, :, rows] = linear(norm(z[:, rows])).permute(0, 3, 1, 2)

    for_each(slices(z, 1, 2), work, z.device)
    return bias


def transition(module: Transition, x: Tensor) -> Tensor:
    """x += module(x), [B, R, N, c]."""
    width = module.linear_1.out_features / module.linear_1.in_features + 1
    return add_rows(x, None, lambda rows, _: module.hidden(rows), module.linear_2, width)


def triangle_attention(module: TriangleAttention, z: Tensor, mask: Tensor | None) -> Tensor:
    """z += module(z, mask), [B, N, N, p]."""
    edges = z
    if module.around == "ending":
        edges, mask = z.transpose(1, 2), None if mask is None else mask.transpose(1, 2)
    bias = pair_bias(module.layer_norm, module.linear, edges)
    attention(module.mha, module.layer_norm, edges, mask, bias)
    return z


def factor_groups(size: float) -> int:
    """In how many groups of channels a factor of this size [bytes] is made."""
    return int(min(MAX_GROUPS, max(1, -(-size // FACTOR_BYTES))))


def triangle_multiplication(
    module: TriangleMultiplication, z: Tensor, mask: Tensor | None
) -> Tensor:
    """z += module(z, mask), [B, N, N, p]; what is complete at any time is the product [B, C, N, N]
    and one of its two factors, that for `factor_groups` of the channels apiece."""
    batch, n = z.shape[:2]
    layers = (module.linear_a_p, module.linear_b_p, module.linear_a_g, module.linear_b_g)
    channels = module.linear_a_p.out_features
    product = z.new_empty(batch, channels, n, n)
    size = -(-channels // factor_groups(product.numel() * product.element_size()))
    factor = z.new_empty(batch, min(size, channels), n, n)
    for start in range(0, channels, size):
        group = slice(start, min(start + size, channels))
        weight = torch.cat([layer.weight[group] for layer in layers]).expand(batch, -1, -1)
        bias = torch.cat([layer.bias[group] for layer in layers])[:, None]
        a, b = product[:, group], factor[:, : group.stop - start]

        def project(rows: slice, a=a, b=b, weight=weight, bias=bias) -> None:
            x = module.layer_norm_in(z[:, rows])
            # Made with the channels in front, as the products over the third node need them.
            both = torch.baddbmm(bias, weight, x.flatten(1, 2).mT).unflatten(2, x.shape[1:3])
            value, gate = both.chunk(2, 1)
            if mask is not None:
                value.masked_fill_(~mask[:, None, rows], 0)
            gate.sigmoid_()
            for side, one, by in zip((a, b), value.chunk(2, 1), gate.chunk(2, 1), strict=True):
                torch.mul(one, by, out=side[:, :, rows])

        def multiply(part: slice, a=a, b=b) -> None:
            left, right = a[:, part], b[:, part]
            left.copy_(left @ right.mT if module.direction == "outgoing" else left.mT @ right)

        for_each(slices(z, 1, 1 + weight.shape[1] / z.shape[-1]), project, z.device)
        for_each(slices(a, 1, 2), multiply, z.device)
    del factor

    def update(rows: slice) -> None:
        edges = module.linear_z(module.layer_norm_out(product[:, :, rows].permute(0, 2, 3, 1)))
        gate = module.linear_g(module.layer_norm_in(z[:, rows])).sigmoid_()
        z[:, rows].addcmul_(edges, gate)

    for_each(slices(z, 1, 5), update, z.device)
    return z


def outer_product_mean(
    module: OuterProductMean, m: Tensor, mask: Tensor | None, z: Tensor
) -> Tensor:
    """z += module(m, mask): m [B, S, N, c], z [B, N, N, p]."""
    batch, depth, n, _ = m.shape
    c = module.linear_1.out_features
    # For each i a product [j d, S] x [S, c]: its result is already in the order i, j, (d c).
    left, right = m.new_empty(batch, n, depth, c), m.new_empty(batch, n, c, depth)

    def project(rows: slice) -> None:
        x = module.layer_norm(m[:, rows])
        real = None if mask is None else mask[:, rows, :, None].to(x.dtype)
        for layer, side in (
            (module.linear_1, left[:, :, rows].transpose(1, 2)),
            (module.linear_2, right[..., rows].permute(0, 3, 1, 2)),
        ):
            side.copy_(layer(x) if real is None else layer(x) * real)

    for_each(slices(m, 1, 2), project, m.device)
    count = None
    if mask is not None:
        cells = mask.to(m.dtype)
        count = torch.einsum("bsi,bsj->bij", cells, cells)[..., None] + module.epsilon
    weight = module.linear_out.weight.view(-1, c, c).transpose(1, 2).flatten(1)
    bias: Tensor = module.linear_out.bias
    if count is None:
        weight, bias = weight / (depth + module.epsilon), bias / (depth + module.epsilon)

    def work(rows: slice) -> None:
        for b in range(batch):
            factor = left[b, rows]
            outer = torch.bmm(right[b].flatten(0, 1).expand(len(factor), -1, -1), factor)
            update = F.linear(outer.view(len(factor), n, -1), weight, bias)
            z[b, rows] += update if count is None else update.div_(count[b, rows])

    for_each(slices(left, 1, n * c / (batch * depth)), work, z.device)
    return z
