"""What ESM-2 and MSA Transformer share: attentions that hand back their weights, and two heads.

Attention without weights runs on the package's own (`sciml.nn.attention`); contacts are read from
the weights (Rao et al., ICLR 2021, bioRxiv 2020.12.15.422761).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.nn.attention import pair_biased_attention


@dataclass
class EsmOutput:
    """What a protein language model says of a batch.

    Attributes:
        logits: [B, T, 33] of each token; of alignments [B, R, T, 33]. None without that head.
        representations: [B, T, c] (alignments: [B, R, T, c]) of the last layer, after its norm.
        contacts: [B, N, N] logits of contacts between residues, which leave out <cls> and <eos>;
            None if they were not asked for.
        maps: [B, layers * heads, N, N] the weights that contacts are read from, symmetrised and
            corrected (`corrected`); None if they were not asked for.
    """

    logits: Tensor | None
    representations: Tensor
    contacts: Tensor | None = None
    maps: Tensor | None = None


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weights: bool
) -> tuple[Tensor, Tensor | None]:
    """Attention over [B, (R,) H, N, d] with a key mask [B, (R,) N]; its weights where asked for."""
    if not weights:
        return pair_biased_attention(q, k, v, None, mask), None
    logits = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        hidden = ~mask[..., None, None, :]
        logits = logits.masked_fill(hidden, torch.finfo(logits.dtype).min)
    probability = logits.softmax(-1)
    return probability @ v, probability


class Projections(nn.Module):
    """Queries, keys, values and the output of an attention, all with biases."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise InputError(f"the width {dim} is no multiple of the number of heads, {heads}")
        self.heads = heads
        self.linear_q, self.linear_k = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_v, self.linear_o = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def split(self, x: Tensor) -> list[Tensor]:
        """[..., N, c] -> queries, keys and values [..., H, N, d]."""
        layers = (self.linear_q, self.linear_k, self.linear_v)
        return [layer(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2) for layer in layers]


class SequenceAttention(Projections):
    """Self-attention of a sequence with rotary positions (Su et al., arXiv:2104.09864)."""

    def forward(
        self, x: Tensor, mask: Tensor | None, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, c] -> its update, and [B, H, T, T]."""
        q, k, v = self.split(x)
        out, probability = attend(rotate(q), rotate(k), v, mask, weights)
        return self.linear_o(out.transpose(-3, -2).flatten(-2)), probability


class RowAttention(Projections):
    """Attention along the columns that all rows share: the tied row attention.

    Logits are added up over the rows, over the root of their number: one attention whose features
    are those of all rows.
    """

    def forward(
        self, x: Tensor, real: Tensor | None, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """[B, R, T, c] and which cells are real [B, R, T] -> its update, and [B, H, T, T]."""
        rows = x.shape[1]
        q, k, v = self.split(x)  # [B, R, H, T, d]
        if real is not None:
            q = q * real[:, :, None, :, None]
        q, k, v = (t.permute(0, 2, 3, 1, 4).flatten(3) for t in (q, k, v))
        out, probability = attend(q, k, v, None if real is None else real[:, 0], weights)
        out = out.unflatten(-1, (rows, -1)).permute(0, 3, 2, 1, 4).flatten(-2)
        return self.linear_o(out), probability


class ColumnAttention(Projections):
    """Self-attention along the rows of each column."""

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """[B, R, T, c] and which cells are real [B, R, T] -> its update."""
        q, k, v = self.split(x.transpose(1, 2))
        mask = None if real is None else real.transpose(1, 2)
        out, _ = attend(q, k, v, mask, False)
        return self.linear_o(out.transpose(-3, -2).flatten(-2)).transpose(1, 2)


def rotate(x: Tensor) -> Tensor:
    """Rotary positions of [..., T, d]: features k and k + d/2 turn by T * 10000^(-2k/d)."""
    half = x.shape[-1] // 2
    wide = torch.promote_types(x.dtype, torch.float32)
    step = torch.arange(half, device=x.device, dtype=wide) / half
    place = torch.arange(x.shape[-2], device=x.device, dtype=wide)
    angle = torch.outer(place, 1.0 / 10000.0**step)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.split(half, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Transition(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., c] -> its update."""
        return self.linear_2(F.gelu(self.linear_1(x)))


class TokenHead(nn.Module):
    """Logits of the tokens, by the embedding's own weights."""

    def __init__(self, dim: int, classes: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.layer_norm = nn.LayerNorm(dim, eps)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[..., c] and the embedding's weights [classes, c] -> [..., classes]."""
        return F.linear(self.layer_norm(F.gelu(self.linear(x))), embedding, self.bias)


def corrected(maps: Tensor) -> Tensor:
    """Attention maps [..., N, N], symmetrised, without the average product of row and column."""
    maps = maps + maps.mT
    rows, columns = maps.sum(-1, keepdim=True), maps.sum(-2, keepdim=True)
    return maps - rows * columns / maps.sum((-1, -2), keepdim=True)


class ContactReader:
    """Adds up a logistic regression on the maps of one layer after another.

    Args:
        head: weights [1, layers * heads] and a bias, or None where a model has none.
        heads: of a layer.
        keep: keep the maps, too.
    """

    def __init__(self, head: nn.Linear | None, heads: int, keep: bool) -> None:
        self.head, self.heads, self.keep = head, heads, keep
        self.contacts: Tensor | None = None
        self.maps: list[Tensor] = []
        self.layers_read = 0

    def add(self, maps: Tensor) -> None:
        """Maps [B, H, N, N] of the next layer, of residues alone."""
        maps = corrected(maps)
        if self.head is not None:
            start = self.layers_read * self.heads
            weight = self.head.weight[0, start : start + self.heads]
            part = torch.einsum("bhij,h->bij", maps, weight)
            self.contacts = part + (self.head.bias if self.contacts is None else self.contacts)
        self.layers_read += 1
        if self.keep:
            self.maps.append(maps)

    def all_maps(self) -> Tensor | None:
        """[B, layers * heads, N, N]."""
        return torch.cat(self.maps, 1) if self.maps else None
