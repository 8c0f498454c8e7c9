"""The interface between objectives, trunks and the embedders of each science.

An objective is an `nn.Module` around a trunk and an embedder; `objective(batch)` gives a dict with

    loss  | scalar | mean over `count` terms, to be minimised
    count | scalar | how many terms the mean is over; an engine weights batches by it, so that
          |        | ragged, accumulated and distributed batches give one global mean
    ...   | scalar | metrics, without gradient

`batch` is raw: `torch_geometric.data.Data`, dense or ragged (see `sciml.graph`), as the domain's
reader made it; token ids are `node_token` (and `x` may then have width 0). The embedder turns it
into the batch of a trunk.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.graph import layout, optional, sizes
from sciml.train.sampler import Examples as Examples

if TYPE_CHECKING:
    from torch_geometric.data import Data


class Embedder(nn.Module):
    """Raw batch -> the batch of a trunk; each domain implements one for all objectives.

    A subclass must define `forward`. The other methods have defaults that fit a batch whose `x`
    holds continuous features and whose `pos` holds independent coordinates.
    """

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """The trunk's batch: `x` of width `trunk.dim`, `pair` or `edge_attr` of width `pair_dim`.

        Args:
            batch: raw batch.
            hidden: bool, one per node (the shape of `mask`, or [S]). The content of a hidden
                node must not reach the result: its features become a learned token, its
                position is left out (unless positions are what marks *where* to predict, as in
                a sequence), and so are the pairs and edges that would leak it.
        """
        raise TypeError(f"{type(self).__name__} must define forward(batch, hidden=None)")

    def targets(self, batch: Data) -> dict[str, Tensor]:
        """Targets of a node: float [..., F] to regress, int64 [...] to classify.

        A negative class is unknown and adds no loss.
        """
        return {"x": batch.x}

    def target_sizes(self) -> dict[str, int]:
        """The width F of each float target, the number of classes of each integer target."""
        raise InputError(
            f"{type(self).__name__} does not say what can be predicted of a node",
            hint="Define target_sizes() -> dict[str, int] next to targets()",
        )

    def coordinates(self, batch: Data) -> Tensor | None:
        """[..., D] positions, which define what is near; None without positions."""
        return optional(batch, "pos")

    def choose(self, batch: Data, fraction: float) -> Tensor:
        """bool, one per node: which nodes to hide, by a rule of the domain (complete subtrees).

        About `fraction` of each graph's nodes, never all, drawn from torch's global random numbers.
        """
        raise InputError(
            f"{type(self).__name__} has no rule of its own to choose hidden nodes",
            hint="Set the objective's `shape` to 'nodes', 'spans' or 'patch'",
        )

    def displaced(self, batch: Data, pos: Tensor) -> Data:
        """The raw batch with its nodes moved to `pos`, and whatever derives from it moved too."""
        return changed(batch, pos=pos)


def changed(batch: Data, **values: Any) -> Data:
    """A shallow copy of `batch` with some keys replaced; the original stays as it is."""
    if torch.compiler.is_compiling():  # which cannot follow the copy, but this
        result = type(batch)()
        for key in batch.keys():
            result[key] = batch[key]
    else:
        result = copy.copy(batch)
    for key, value in values.items():
        result[key] = value
    return result


def real(batch: Data) -> Tensor:
    """bool, one per node: True = real, not padding. [B, N] or [S]."""
    if layout(batch) == "dense":
        return batch.mask
    return torch.ones(len(batch.x), dtype=torch.bool, device=batch.x.device)


def per_node(values: Tensor, batch: Data) -> Tensor:
    """Values per graph [B, ...] as values per node, [B, 1, ...] (to broadcast) or [sumN, ...]."""
    return values.unsqueeze(1) if layout(batch) == "dense" else values[batch.batch]


def ranks(scores: Tensor, batch: Data) -> Tensor:
    """int64, each node's rank among its graph's real nodes by ascending score, from 0.

    Padding comes after every real node.
    """
    nodes = real(batch)
    scores = scores.masked_fill(~nodes, torch.inf)
    if layout(batch) == "dense":
        # Stable sorts keep padding (the trailing infinities) behind real nodes at infinity.
        order = scores.argsort(dim=1, stable=True)
        first_real = (~nodes).long().gather(1, order).argsort(dim=1, stable=True)
        return order.gather(1, first_real).argsort(1)
    order = scores.argsort(stable=True)
    order = order[batch.batch[order].argsort(stable=True)]
    count = sizes(batch)
    start = count.cumsum(0) - count
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - start[batch.batch[order]]
    return rank


def position(batch: Data) -> Tensor:
    """int64, each node's index within its graph (its position in the sequence)."""
    return ranks(torch.zeros(real(batch).shape, device=real(batch).device), batch)


class Standardise(nn.Module):
    """Running mean and deviation of a target, so that units do not set the weight of its features.

    The statistics are those of all values seen in training, and carry no gradient.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.zeros(width))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in [M, F] more values (Chan, Golub & LeVeque 1983, parallel variance)."""
        if not len(values):
            return
        values = values.to(self.mean)
        mean, variance = values.mean(0), values.var(0, unbiased=False)
        total = self.count + len(values)
        share = len(values) / total
        shift = mean - self.mean
        self.variance += share * (variance - self.variance) + share * (1 - share) * shift**2
        self.mean += share * shift
        self.count.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """(values - mean) / deviation; a feature that never varies is only centred."""
        deviation = self.variance.sqrt()
        deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
        return (values - self.mean.to(values)) / deviation.to(values)


def mlp(width_in: int, hidden: int, width_out: int, layers: int = 2) -> nn.Sequential:
    """Linear layers with layer norm and GELU between them (no batch statistics)."""
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width_in, hidden), nn.LayerNorm(hidden), nn.GELU()]
        width_in = hidden
    return nn.Sequential(*parts, nn.Linear(width_in, width_out))


def wide(values: Tensor) -> Tensor:
    """`values` in at least single precision, for losses under mixed precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def mean_of(terms: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, count) of loss terms, possibly none; the empty mean is 0, with a gradient."""
    count = torch.full((), float(terms.numel()), device=terms.device)
    return terms.sum() / count.clamp_min(1), count
