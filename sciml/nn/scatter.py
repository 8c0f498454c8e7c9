"""Sums, means and softmax over the edges that end in each node.

`index` names the node of every row; it need not be sorted. Memory is linear in the rows, nothing
of size nodes x nodes is formed, and the result does not depend on thread timing: on a CPU
`index_add_` runs in row order, on CUDA (where it would be atomic) rows are sorted and reduced
segment by segment.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def segment_sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum the rows of every segment.

    Args:
        values: [E, ...].
        index: [E] int64 in 0..size-1, the segment of each row.
        size: number of segments; one without rows gets zero.

    Returns:
        [size, ...].
    """
    if values.device.type != "cpu" and not torch.compiler.is_compiling():
        return _segment_sum_sorted(values, index, size)
    return values.new_zeros((size, *values.shape[1:])).index_add_(0, index, values)


def _segment_sum_sorted(values: Tensor, index: Tensor, size: int) -> Tensor:
    """The same by sorting (stable, so that the order of summation is fixed)."""
    ascending, order = torch.sort(index, stable=True)
    # Unlike `bincount` this does not wait for the device.
    bounds = torch.searchsorted(ascending, torch.arange(size + 1, device=index.device))
    lengths = bounds.diff()
    rows = values.index_select(0, order).flatten(1)
    if rows.shape[0] == 0:
        return values.new_zeros((size, *values.shape[1:]))
    summed = torch.segment_reduce(rows, "sum", lengths=lengths, unsafe=True, initial=0.0)
    return summed.reshape(size, *values.shape[1:])


def segment_mean(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of the rows of every segment, [size, ...]; an empty segment gets zero."""
    counts = index.new_zeros(size).index_add_(0, index, torch.ones_like(index)).clamp(min=1)
    counts = counts.to(values.dtype).view(size, *[1] * (values.dim() - 1))
    return segment_sum(values, index, size) / counts


def segment_max(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Largest entry of every segment, [size, ...]; an empty segment gets -inf."""
    index = index.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    start = values.new_full((size, *values.shape[1:]), -torch.inf)
    return start.scatter_reduce(0, index, values, "amax")


def segment_softmax(logits: Tensor, index: Tensor, size: int) -> Tensor:
    """Softmax among the rows of every segment.

    Args:
        logits: [E, ...]; -inf leaves a row out, and a segment of nothing but -inf gets zeros.
        index: [E] int64, the segment of each row.
        size: number of segments.

    Returns:
        [E, ...] that sums to one in every segment with a finite row.
    """
    # The shift cancels in value and gradient, so it needs no gradient of its own.
    shift = segment_max(logits.detach(), index, size)
    shift = torch.where(torch.isfinite(shift), shift, torch.zeros_like(shift))
    weights = torch.exp(logits - shift.index_select(0, index))
    total = segment_sum(weights, index, size).clamp(min=torch.finfo(logits.dtype).tiny)
    return weights / total.index_select(0, index)


class Adjacency(NamedTuple):
    """The edges of a graph with their order by target and by source, computed once and reused.

    Edges that end in node i are `by_target[target_ptr[i] : target_ptr[i + 1]]`, edges that leave
    node j are `by_source[source_ptr[j] : source_ptr[j + 1]]`.
    """

    source: Tensor
    target: Tensor
    target_ptr: Tensor
    by_target: Tensor
    source_ptr: Tensor
    by_source: Tensor

    @classmethod
    def of(cls, edge_index: Tensor, sources: int, targets: int | None = None) -> Adjacency:
        """From edge_index [2, E] int64 (row 0 source, row 1 target) and the number of nodes on
        either side (`targets` = `sources` unless the graph is bipartite)."""
        source, target = edge_index.contiguous().unbind(0)
        targets = sources if targets is None else targets
        pieces = [source, target]
        for index, size in ((target, targets), (source, sources)):
            ascending, order = torch.sort(index, stable=True)
            bounds = torch.arange(size + 1, device=index.device)
            pieces += [torch.searchsorted(ascending, bounds), order]
        return cls(*pieces)

    @property
    def sources(self) -> int:
        """Number of nodes that edges may leave."""
        return len(self.source_ptr) - 1

    @property
    def targets(self) -> int:
        """Number of nodes that edges may end in."""
        return len(self.target_ptr) - 1
