"""Updates of a pair representation that obey the triangle: AlphaFold 2's algorithms 10 to 15.

Jumper et al. 2021 (doi:10.1038/s41586-021-03819-2), supplementary section 1.6. Layers are named so
that published AlphaFold weights fit by renaming alone. All of them return the update, without
the residual: `z = z + TriangleMultiplication(...)(z, mask)`. `sciml.nn.in_place` adds the same
updates in place, for inference.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sciml.nn.attention import Attention

OUTER_BYTES = 64 << 20
"""Largest piece of the outer product that is held at once."""


def _final(linear: nn.Linear) -> nn.Linear:
    """A last layer that starts at zero: a fresh block changes nothing."""
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _gate(linear: nn.Linear) -> nn.Linear:
    """A gate that starts open."""
    nn.init.zeros_(linear.weight)
    nn.init.ones_(linear.bias)
    return linear


class TriangleMultiplication(nn.Module):
    """Triangular multiplicative update, outgoing (algorithm 11) or incoming (algorithm 12) edges.

    z_ij receives from every third node k through the two other edges of the triangle:
    sum_k a_ik * b_jk (outgoing) or sum_k a_ki * b_kj (incoming).

    Args:
        pair_dim: width of the pair representation.
        hidden: width of a and b.
        direction: which edges.
    """

    def __init__(
        self,
        pair_dim: int,
        hidden: int = 128,
        direction: Literal["outgoing", "incoming"] = "outgoing",
    ) -> None:
        super().__init__()
        self.direction = direction
        self.layer_norm_in = nn.LayerNorm(pair_dim)
        self.linear_a_p = nn.Linear(pair_dim, hidden)
        self.linear_a_g = _gate(nn.Linear(pair_dim, hidden))
        self.linear_b_p = nn.Linear(pair_dim, hidden)
        self.linear_b_g = _gate(nn.Linear(pair_dim, hidden))
        self.layer_norm_out = nn.LayerNorm(hidden)
        self.linear_z = _final(nn.Linear(hidden, pair_dim))
        self.linear_g = _gate(nn.Linear(pair_dim, pair_dim))

    def forward(
        self, z: Float[Tensor, "B N N P"], mask: Bool[Tensor, "B N N"] | None = None
    ) -> Float[Tensor, "B N N P"]:
        """[B, N, N, P] -> the update, [B, N, N, P]; `mask` True = both nodes are real."""
        z = self.layer_norm_in(z)
        a = torch.sigmoid(self.linear_a_g(z)) * self.linear_a_p(z)
        b = torch.sigmoid(self.linear_b_g(z)) * self.linear_b_p(z)
        if mask is not None:
            a, b = (factor.masked_fill(~mask[..., None], 0.0) for factor in (a, b))
        # One matrix product per channel: [B, N, N, C] -> [B, C, N, N].
        a, b = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
        edges = a @ b.mT if self.direction == "outgoing" else a.mT @ b
        edges = self.linear_z(self.layer_norm_out(edges.permute(0, 2, 3, 1)))
        return torch.sigmoid(self.linear_g(z)) * edges


class TriangleAttention(nn.Module):
    """Attention of edges that share a node: the starting one (algorithm 13) or the ending (14).

    Args:
        pair_dim: width of the pair representation.
        head_dim: width of a head.
        heads: number of heads.
        around: which node.
        backend: attention backend; "chunked" keeps N^3 out of memory.
        padded_rows: of `Attention`.
    """

    def __init__(
        self,
        pair_dim: int,
        head_dim: int = 32,
        heads: int = 4,
        around: Literal["starting", "ending"] = "starting",
        backend: str = "auto",
        padded_rows: Literal["zeros", "mean"] = "zeros",
    ) -> None:
        super().__init__()
        self.around = around
        self.layer_norm = nn.LayerNorm(pair_dim)
        self.linear = nn.Linear(pair_dim, heads, bias=False)
        self.mha = Attention(pair_dim, heads, head_dim, backend=backend, padded_rows=padded_rows)
        _final(self.mha.linear_o)

    def forward(
        self, z: Float[Tensor, "B N N P"], mask: Bool[Tensor, "B N N"] | None = None
    ) -> Float[Tensor, "B N N P"]:
        """[B, N, N, P] -> the update, [B, N, N, P]; `mask` True = both nodes are real."""
        if self.around == "ending":
            z, mask = z.transpose(1, 2), None if mask is None else mask.transpose(1, 2)
        z = self.layer_norm(z)
        bias = self.linear(z).permute(0, 3, 1, 2)[:, None]  # the third edge, [B, 1, H, N, N]
        out = self.mha(z, bias, mask)
        return out.transpose(1, 2) if self.around == "ending" else out


class OuterProductMean(nn.Module):
    """Nodes to pairs (algorithm 10): the outer product of two nodes, averaged over rows.

    Args:
        dim: width of the nodes.
        pair_dim: width of the pair representation.
        hidden: width of each side of the product.
    """

    epsilon = 1e-3  # in the denominator, as published

    def __init__(self, dim: int, pair_dim: int, hidden: int = 32) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim)
        self.linear_1 = nn.Linear(dim, hidden)
        self.linear_2 = nn.Linear(dim, hidden)
        self.linear_out = _final(nn.Linear(hidden * hidden, pair_dim))

    def forward(
        self, m: Float[Tensor, "B *R N dim"], mask: Bool[Tensor, "B *R N"] | None = None
    ) -> Float[Tensor, "B N N P"]:
        """Nodes [B, N, dim], or with rows of an alignment [B, R, N, dim] -> [B, N, N, P]."""
        if mask is None:
            mask = torch.ones(m.shape[:-1], dtype=torch.bool, device=m.device)
        if m.ndim == 3:
            m, mask = m[:, None], mask[:, None]
        m = self.layer_norm(m)
        keep = mask[..., None]
        left = self.linear_1(m).masked_fill(~keep, 0.0)
        right = self.linear_2(m).masked_fill(~keep, 0.0)
        weight = mask.to(m.dtype)
        count = torch.einsum("bri,brj->bij", weight, weight)[..., None]
        batch, _, n, hidden = left.shape
        step = max(1, OUTER_BYTES // max(1, batch * n * hidden**2 * m.element_size()))
        if step >= n:
            outer = self._outer(left, right)
        else:  # in slabs of i, made again in the backward pass
            outer = torch.cat(
                [
                    checkpoint(self._outer, left[:, :, i : i + step], right, use_reentrant=False)
                    for i in range(0, n, step)
                ],
                dim=1,
            )
        return outer / (count + self.epsilon)

    def _outer(self, left: Tensor, right: Tensor) -> Tensor:
        """Sum over rows of left_i (x) right_j, projected: [B, I, N, P]."""
        batch, _, i, hidden = left.shape
        n = right.shape[2]
        product = left.permute(0, 2, 3, 1).flatten(1, 2) @ right.flatten(2)  # [B, I c, N c]
        product = product.view(batch, i, hidden, n, hidden).transpose(2, 3)
        return self.linear_out(product.flatten(3))


class Transition(nn.Module):
    """Two-layer network with a ReLU on nodes or pairs (algorithms 9 and 15).

    Args:
        dim: width in and out.
        expansion: hidden width over `dim`.
    """

    def __init__(self, dim: int, expansion: int = 4) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim)
        self.linear_1 = nn.Linear(dim, expansion * dim)
        self.linear_2 = _final(nn.Linear(expansion * dim, dim))

    def forward(self, x: Float[Tensor, "*G dim"]) -> Float[Tensor, "*G dim"]:
        """[..., dim] -> the update, [..., dim]."""
        return self.linear_2(self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        """`forward` but for its last layer, [..., expansion * dim]."""
        return F.relu(self.linear_1(self.layer_norm(x)), inplace=True)


class PairStack(nn.Module):
    """The pair half of an Evoformer block (algorithm 6, lines 6 to 10), with its residuals.

    Args:
        pair_dim: width of the pair representation.
        hidden: width inside the triangle multiplications.
        heads: heads of the triangle attention, `pair_dim // heads` wide; 0 = without attention.
        expansion: of the transition.
        head_dim: width of a head.
        backend: attention backend.
    """

    def __init__(
        self,
        pair_dim: int,
        hidden: int = 128,
        heads: int = 4,
        expansion: int = 4,
        head_dim: int | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.tri_mul_out = TriangleMultiplication(pair_dim, hidden, "outgoing")
        self.tri_mul_in = TriangleMultiplication(pair_dim, hidden, "incoming")
        head_dim = head_dim or max(1, pair_dim // max(1, heads))
        self.tri_att_start = self.tri_att_end = None
        if heads:
            self.tri_att_start = TriangleAttention(pair_dim, head_dim, heads, "starting", backend)
            self.tri_att_end = TriangleAttention(pair_dim, head_dim, heads, "ending", backend)
        self.pair_transition = Transition(pair_dim, expansion)

    def forward(
        self, z: Float[Tensor, "B N N P"], mask: Bool[Tensor, "B N N"]
    ) -> Float[Tensor, "B N N P"]:
        """[B, N, N, P] -> [B, N, N, P]."""
        z = z + self.tri_mul_out(z, mask)
        z = z + self.tri_mul_in(z, mask)
        if self.tri_att_start is not None and self.tri_att_end is not None:
            z = z + self.tri_att_start(z, mask)
            z = z + self.tri_att_end(z, mask)
        return z + self.pair_transition(z)
