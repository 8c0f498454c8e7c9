"""Transformer blocks for sequences: grouped key/value heads, RMSNorm, SwiGLU, cross-attention.

Grouped heads: Ainslie et al. 2023, arXiv:2305.13245. RMSNorm: Zhang & Sennrich 2019,
arXiv:1910.07467. SwiGLU: Shazeer 2020, arXiv:2002.05202.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.attention import pair_biased_attention
from sciml.nn.layers import FeedForward, rescale_


class GroupedAttention(nn.Module):
    """Attention in which several query heads share a key/value head (Ainslie et al. 2023).

    Args:
        dim: width in and out.
        heads: query heads.
        groups: key/value heads.
        dropout: probability of dropping an output unit in training.
        cross: whether keys and values come from a memory.
    """

    def __init__(self, dim: int, heads: int, groups: int, dropout: float, cross: bool) -> None:
        super().__init__()
        self.heads, self.groups, self.width = heads, groups, dim // heads
        kv = 2 * groups * self.width
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.cross = cross
        if cross:
            self.linear_q = nn.Linear(dim, dim, bias=False)
            self.linear_kv = nn.Linear(dim, kv, bias=False)
        else:
            self.linear_qkv = nn.Linear(dim, dim + kv, bias=False)
        self.linear_o = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def queries(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> queries [B, N, H, d] of cross-attention."""
        return self.linear_q(self.norm(x)).unflatten(-1, (-1, self.width))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, N, dim] -> queries [B, N, H, d], keys and values [B, N, G, d] of self-attention."""
        both = self.linear_qkv(self.norm(x)).unflatten(-1, (-1, self.width))
        q, k, v = both.split([self.heads, self.groups, self.groups], -2)
        return q, k, v

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[B, M, dim] -> keys and values [B, G, M, d] of cross-attention."""
        k, v = self.linear_kv(memory).unflatten(-1, (-1, self.width)).transpose(1, 2).chunk(2, 1)
        return k, v

    def output(self, attended: Tensor) -> Tensor:
        """[B, N, H, d] -> the residual branch [B, N, dim]."""
        return self.dropout(self.linear_o(attended.flatten(-2)))

    def forward(
        self, x: Tensor, bias: Tensor | None, mask: Tensor | None, memory: Tensor | None = None
    ) -> Tensor:
        """All queries at once; bias [B or 1, H, N, M], mask [B, M]."""
        if memory is not None:
            q = self.queries(x)
            k, v = self.keys_values(memory)
        else:
            q, k, v = self.project(x)
            k, v = k.transpose(1, 2), v.transpose(1, 2)
        shared = self.heads // self.groups
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        attended = pair_biased_attention(q.transpose(1, 2), k, v, bias, mask)
        return self.output(attended.transpose(1, 2))

    def few(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """A few queries per source: q [S, W, H, d], k, v [S, G, M, d], bias [S, H or 1, W or 1, M].

        The queries of a group are concatenated, so that its keys are read once.
        """
        sources, width, _, d = q.shape
        shared = self.heads // self.groups
        q = q.transpose(1, 2).reshape(sources, self.groups, shared * width, d)
        if bias is not None and bias.shape[1] > 1:
            bias = bias.reshape(sources, self.groups, shared * width, -1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.view(sources, self.heads, width, d).transpose(1, 2)


class TransposedLinear(nn.Module):
    """A linear layer for few rows: with the weight transposed, CPU products are a third faster."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().T.contiguous()
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Float[Tensor, "*G F"]) -> Float[Tensor, "*G O"]:
        """[..., in] -> [..., out]."""
        rows = x.reshape(-1, x.shape[-1])
        out = rows @ self.weight if self.bias is None else torch.addmm(self.bias, rows, self.weight)
        return out.view(*x.shape[:-1], -1)


def for_few_rows(module: nn.Module) -> nn.Module:
    """`module` for inference with few rows at a time: on a CPU, a copy with `TransposedLinear`.

    The copy shares all other parameters with `module`, and does not see later changes of weights.
    """
    if next(module.parameters()).device.type != "cpu":
        return module
    if type(module) is nn.Linear:
        return TransposedLinear(module)
    # A shallow copy: copy.deepcopy would take as long as several steps.
    clone = copy.copy(module)
    clone._modules = {
        name: child if child is None or not any(True for _ in child.parameters())
        else for_few_rows(child)
        for name, child in module._modules.items()
    }  # fmt: skip
    return clone


class Block(nn.Module):
    """Self-attention, perhaps cross-attention, and a SwiGLU layer, each normalised first.

    Args:
        dim, heads, groups, dropout: see `GroupedAttention`.
        expansion: hidden width over `dim`, in parameters of a plain feed-forward layer.
        cross: whether it attends to a memory.
        depth: number of blocks in the stack: residual branches start small (GPT-2), so that
            activations do not grow with depth.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        groups: int,
        expansion: float,
        dropout: float,
        cross: bool,
        depth: int,
    ) -> None:
        super().__init__()
        self.attention = GroupedAttention(dim, heads, groups, dropout, cross=False)
        self.cross = GroupedAttention(dim, heads, groups, dropout, cross=True) if cross else None
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.feed_forward = FeedForward(dim, expansion, "swiglu")
        self.dropout = nn.Dropout(dropout)
        rescale_(self.attention.linear_o, (2 * depth) ** -0.5)
        rescale_(self.feed_forward.linear_2, (2 * depth) ** -0.5)

    def mix(self, x: Tensor) -> Tensor:
        """The feed-forward branch, added."""
        return x + self.dropout(self.feed_forward(self.norm(x)))

    def forward(
        self,
        x: Float[Tensor, "B N dim"],
        bias: Tensor | None,
        mask: Bool[Tensor, "B N"],
        memory: Float[Tensor, "B M dim"] | None = None,
        memory_mask: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B N dim"]:
        """All tokens at once; bias [B or 1, H, N, N], which also masks later tokens."""
        x = x + self.attention(x, bias, mask)
        if self.cross is not None and memory is not None:
            x = x + self.cross(x, None, memory_mask, memory)
        return self.mix(x)
