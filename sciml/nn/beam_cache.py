"""Keys and values of a beam search without copies: hypotheses share a pool of entries.

Usually each hypothesis owns a cache, and keeping the best hypotheses means copying caches about at
every step. Here the W hypotheses of a source write into one pool, one entry per step each, and a
boolean table holds the ancestors of each. Reordering permutes rows of that small table
alone. Entries that no hypothesis descends from are dropped from time to time; since hypotheses
of a beam soon share their past, the pool stays little longer than one hypothesis.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SLACK = 8
"""Steps between two looks for entries that no hypothesis descends from."""


WORTHWHILE = 0.8
"""Share of the pool that is alive below which dropping the rest pays for the copy."""


class BeamCache:
    """Keys and values of S sources x W hypotheses in L layers.

    Attributes:
        length: P, entries in the pool now.
        ancestors: [S, W, P] bool, whether a hypothesis descends from an entry.
        time: [S, P] int64, the step in which an entry was written.
        paths: [S, P, D] int64, its place in the tree, or None.
    """

    def __init__(
        self,
        layers: int,
        sources: int,
        width: int,
        heads: int,
        head_dim: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.length, self.step, self.width = 0, 0, width
        self.pool = torch.empty(layers, 2, sources, heads, 0, head_dim, device=device, dtype=dtype)
        self.ancestors = torch.zeros(sources, width, 0, dtype=torch.bool, device=device)
        self.time = torch.zeros(sources, 0, dtype=torch.int64, device=device)
        self.paths: Tensor | None = None
        self.compact_at = SLACK * width
        self.own = torch.eye(width, dtype=torch.bool, device=device)

    def begin_step(self, paths: Int[Tensor, "S W D"] | None = None) -> None:
        """Make room for an entry of every hypothesis."""
        if self.width > 1 and self.length >= self.compact_at:
            self.compact()
        sources = self.pool.shape[2]
        capacity = self.pool.shape[4]
        needed = self.length + self.width
        if needed > capacity:
            more = max(needed, 2 * capacity, 32 * self.width)
            wider = self.pool.new_empty(*self.pool.shape[:4], more, self.pool.shape[5])
            wider[..., : self.length, :] = self.pool[..., : self.length, :]
            self.pool = wider
        self.ancestors = torch.cat([self.ancestors, self.own.expand(sources, -1, -1)], 2)
        now = self.time.new_full((sources, self.width), self.step)
        self.time = torch.cat([self.time, now], 1)
        if paths is not None:
            self.paths = paths if self.paths is None else torch.cat([self.paths, paths], 1)
        self.length += self.width
        self.step += 1

    def write(
        self, layer: int, keys: Float[Tensor, "S W H d"], values: Float[Tensor, "S W H d"]
    ) -> tuple[Float[Tensor, "S H P d"], Float[Tensor, "S H P d"]]:
        """Store this step's entries of a layer; all of its keys and values."""
        end, begin = self.length, self.length - self.width
        self.pool[layer, 0, :, :, begin:end] = keys.transpose(1, 2)
        self.pool[layer, 1, :, :, begin:end] = values.transpose(1, 2)
        return self.pool[layer, 0, :, :, :end], self.pool[layer, 1, :, :, :end]

    def reorder(self, parents: Int[Tensor, "S W"]) -> None:
        """Hypothesis w of source s continues hypothesis `parents[s, w]`."""
        if self.width > 1:
            self.ancestors = self.ancestors.gather(
                1, parents[..., None].expand(-1, -1, self.ancestors.shape[2])
            )

    def keep(self, sources: Int[Tensor, " K"]) -> None:
        """Go on with these sources only."""
        self.pool = self.pool[:, :, sources]
        self.ancestors, self.time = self.ancestors[sources], self.time[sources]
        self.paths = None if self.paths is None else self.paths[sources]

    def compact(self) -> None:
        """Drop the entries that no hypothesis descends from."""
        used: Bool[Tensor, "S P"] = self.ancestors.any(1)
        length = int(used.sum(1).max())
        if length < WORTHWHILE * self.length:
            order = used.logical_not().long().argsort(dim=1, stable=True)[:, :length]
            # Entries before the first gap stay where they are. Rows are copied source by source:
            # a gather over all of them would go number by number.
            stay = int((order == torch.arange(length, device=order.device)).all(0).long().argmin())
            for source, index in enumerate(order[:, stay:]):
                pages = self.pool[:, :, source].index_select(3, index)
                self.pool[:, :, source, :, stay:length] = pages
            self.ancestors = self.ancestors.gather(2, order[:, None].expand(-1, self.width, -1))
            self.time = self.time.gather(1, order)
            if self.paths is not None:
                depth = self.paths.shape[2]
                self.paths = self.paths.gather(1, order[..., None].expand(-1, -1, depth))
            self.length = length
        self.compact_at = self.length + SLACK * self.width
