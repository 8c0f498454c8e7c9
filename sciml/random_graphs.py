"""Random graphs to test trunks with, the same in either precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sciml import graph, symmetry

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.trunks.base import Trunk
else:
    Data = Trunk = Any


def random_batch(
    sizes: Sequence[int] = (6, 3, 9),
    *,
    dim: int = 16,
    pos_dim: int = 3,
    pair_dim: int = 0,
    layout: graph.Layout = "dense",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Data:
    """A batch of random graphs.

    Args:
        sizes: nodes in each graph.
        dim: width of `x`.
        pos_dim: width of `pos`; 4 makes four-momenta (E, px, py, pz) of particles with mass;
            0 leaves `pos` out.
        pair_dim: width of `pair`, or of `edge_attr` of a random graph in the ragged layout.
        layout: "dense" or "ragged".
        dtype: of all floats.
        seed: the same seed gives the same graphs in either precision.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    items = []
    for n in sizes:
        item = {"x": normal(n, dim).to(dtype)}
        if pos_dim == 4:
            momentum = normal(n, 3)
            mass = 0.1 + torch.rand(n, 1, generator=generator, dtype=torch.float64)
            energy = (momentum.square().sum(1, keepdim=True) + mass**2).sqrt()
            item["pos"] = torch.cat([energy, momentum], 1).to(dtype)
        elif pos_dim:
            item["pos"] = normal(n, pos_dim).to(dtype)
        if layout == "dense" and pair_dim:
            item["pair"] = normal(n, n, pair_dim).to(dtype)
        elif layout == "ragged":
            linked = torch.rand(n, n, generator=generator) < 0.5
            item["edge_index"] = (linked & ~torch.eye(n, dtype=torch.bool)).nonzero().T
            if pair_dim:
                item["edge_attr"] = normal(item["edge_index"].shape[1], pair_dim).to(dtype)
        items.append(item)
    return graph.collate(items, layout)


def batch_for(trunk: Trunk, layout: graph.Layout = "dense", **settings: Any) -> Data:
    """`random_batch` with the widths of a trunk, in the precision of its parameters."""
    dims = [3] + [symmetry.POSITION_DIM.get(group, 3) for group in trunk.symmetries]
    dtype = next((p.dtype for p in trunk.parameters()), torch.float32)
    defaults = {"dim": trunk.dim, "pair_dim": trunk.pair_dim, "pos_dim": max(dims), "dtype": dtype}
    return random_batch(layout=layout, **{**defaults, **settings})
