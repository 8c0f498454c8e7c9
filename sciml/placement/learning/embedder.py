"""A netlist as the batch of a trunk: macros, clusters, cells, ports, and the nets that join them.

Rows of nodes come first and rows of nets after them (`node_kind` 0 and 1); `edge_index` leads from
node to net, one edge per pin, with the pin's offset and direction as `edge_attr`.

| feature of a node | | feature of a net |
|---|---|---|
| kind (4, one of them 1) | | logarithm of its pins |
| width, height, area over the canvas (roots and logs) | | logarithm of its weight |
| logarithm of its pins | | share of its pins on macros, on ports |
| fixed; if so, x and y over the canvas | | |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.objectives.base import Embedder, changed
from sciml.placement.design import MACRO, PORT, Design

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

NODE_FEATURES = 12
PIN_FEATURES = 3
WIDTH, HEIGHT, AREA, PINS, ASPECT = range(4, 9)
PLACED, X, Y = range(9, 12)
"""Columns of a node's features after the one-hot kind; coordinates are 0 if it is not `PLACED`."""
NET_PINS, NET_WEIGHT, ON_MACROS, ON_PORTS = range(4, 8)
"""Columns of a net's features."""
HIDDEN = (WIDTH, HEIGHT, AREA, PINS, ASPECT)
"""Features of a node that masked modelling hides: its size and its number of pins."""


def netlist_graph(design: Design, placed: np.ndarray | None = None) -> Data:
    """Raw batch of one design, ragged; see the module.

    Args:
        placed: [N] bool, nodes whose coordinates the network sees (default: the fixed ones).
    """
    from torch_geometric.data import Data as Carrier

    n, m, canvas = design.nodes, design.nets, design.canvas
    visible = design.fixed if placed is None else placed
    width, height = design.size()
    w, h = width / canvas.width, height / canvas.height
    degree = np.bincount(design.pin_node, minlength=n)
    x = np.zeros((n + m, NODE_FEATURES), np.float32)
    x[np.arange(n), design.kind] = 1.0
    x[:n, WIDTH], x[:n, HEIGHT] = np.sqrt(w), np.sqrt(h)
    x[:n, AREA] = np.log(w * h + 1e-6) / 7 + 1
    x[:n, PINS] = np.log1p(degree) / 4
    x[:n, ASPECT] = np.log((h + 1e-3) / (w + 1e-3)) / 3
    px, py = (design.x - canvas.x0) / canvas.width, (design.y - canvas.y0) / canvas.height
    x[:n, PLACED] = visible
    x[:n, X], x[:n, Y] = np.where(visible, px - 0.5, 0), np.where(visible, py - 0.5, 0)
    pins = np.diff(design.net_start)
    net_of = np.repeat(np.arange(m), pins)
    x[n:, NET_PINS] = np.log1p(pins) / 3
    x[n:, NET_WEIGHT] = np.log(np.maximum(design.net_weight, 1e-3)) / 3
    for column, kind in ((ON_MACROS, MACRO), (ON_PORTS, PORT)):
        on = design.kind[design.pin_node] == kind
        x[n:, column] = np.bincount(net_of, on, m) / np.maximum(pins, 1)
    attr = np.stack(
        [
            design.pin_dx / canvas.width * 4,
            design.pin_dy / canvas.height * 4,
            design.pin_output.astype(np.float64),
        ],
        1,
    )
    position = np.full((n + m, 2), 0.5, np.float32)
    position[:n] = np.stack([px, py], 1)
    return Carrier(
        x=torch.from_numpy(x),
        pos=torch.from_numpy(position),
        node_kind=torch.from_numpy(np.repeat([0, 1], [n, m]).astype(np.int64)),
        edge_index=torch.from_numpy(np.stack([design.pin_node, n + net_of]).astype(np.int64)),
        edge_attr=torch.from_numpy(attr.astype(np.float32)),
        batch=torch.zeros(n + m, dtype=torch.int64),
        ptr=torch.tensor([0, n + m]),
    )


def collate(graphs: Sequence[Data]) -> Data:
    """Several netlists as one ragged batch."""
    from torch_geometric.data import Data as Carrier

    sizes = torch.tensor([len(g.x) for g in graphs])
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    values: dict[str, Tensor] = {
        key: torch.cat([g[key] for g in graphs]) for key in ("x", "pos", "node_kind", "edge_attr")
    }
    values["edge_index"] = torch.cat([g.edge_index + ptr[k] for k, g in enumerate(graphs)], 1)
    values["batch"] = torch.repeat_interleave(torch.arange(len(graphs)), sizes)
    return Carrier(**values, ptr=ptr)


class NetlistEmbedder(Embedder):
    """Raw netlists -> `x` [S, dim] and `edge_attr` [E, pair_dim].

    A hidden node loses its size, its number of pins and its coordinates; its nets stay.
    """

    def __init__(self, dim: int, pair_dim: int = 0) -> None:
        super().__init__()
        self.nodes = nn.Sequential(nn.Linear(NODE_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.nets = nn.Sequential(nn.Linear(NODE_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.pins = nn.Linear(PIN_FEATURES, pair_dim) if pair_dim else None
        self.token = nn.Parameter(torch.randn(len(HIDDEN)) * 0.5)

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        x = batch.x
        if hidden is not None:
            x = x.clone()
            columns = list(HIDDEN)
            x[:, columns] = torch.where(hidden[:, None], self.token, x[:, columns])
            x[:, PLACED:] = x[:, PLACED:].masked_fill(hidden[:, None], 0.0)
        is_net = (batch.node_kind == 1)[:, None]
        values = {"x": torch.where(is_net, self.nets(x), self.nodes(x))}
        attr = batch.edge_attr
        if self.pins is not None:
            if hidden is not None:
                attr = attr.masked_fill(hidden[batch.edge_index[0]][:, None], 0.0)
            values["edge_attr"] = self.pins(attr)
        else:
            values["edge_attr"] = attr.new_zeros(len(attr), 0)
        return changed(batch, **values)

    def targets(self, batch: Data) -> dict[str, Tensor]:
        """`size`: the hidden features of a node (size and pins) or a net (pins and weight)."""
        return {"size": batch.x[:, list(HIDDEN)]}

    def target_sizes(self) -> dict[str, int]:
        return {"size": len(HIDDEN)}

    def displaced(self, batch: Data, pos: Tensor) -> Data:
        """The nodes at other positions, all of which the network sees."""
        x = batch.x.clone()
        is_node = batch.node_kind == 0
        x[is_node, PLACED] = 1.0
        x[is_node, X:] = (pos - 0.5)[is_node].to(x.dtype)
        return changed(batch, pos=pos, x=x)
