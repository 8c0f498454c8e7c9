"""MessagePassing: attention along the edges of a sparse graph, from 10 to a million nodes.

Attention messages with edge features and a gated update, as UniMP (Shi et al. 2021,
arXiv:2009.03509, eqs. 3 to 5), in pre-norm blocks with a feed-forward layer:

    a_ij = softmax_j <W_q x_i, W_k x_j + U_k e_ij>        per head
    m_i  = W_o sum_j a_ij (W_v x_j + U_v e_ij)
    x_i <- x_i + sigmoid(W_g [x_i, m_i]) * m_i
    x_i <- x_i + feed-forward(x_i)

Memory is linear in the edges, with one number per edge and head (`sciml.nn.sparse_attention`).

A hypergraph has nodes and nets that join any number of them: a circuit's cells and wires. It comes
as one graph whose rows are of two kinds, `node_kind` [S] = 0 for nodes and 1 for nets, with
`edge_index` from node to net, one edge a pin, and `edge_attr` the pin's features. With
`hypergraph` every layer sends messages from nodes to their nets, then from nets to their nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import optional
from sciml.nn.layers import FeedForward
from sciml.nn.scatter import Adjacency, segment_mean
from sciml.nn.sparse_attention import sparse_attention
from sciml.trunks.base import Encoded, Trunk, TrunkConfig
from sciml.trunks.edges import EdgeRule, edges_of

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


@dataclass(frozen=True)
class MessagePassingConfig(TrunkConfig):
    """Settings of `MessagePassing`."""

    depth: Annotated[int, Range(min=1)] = 6
    """Number of layers."""
    heads: Annotated[int, Range(min=1)] = 8
    """Attention heads; must divide `dim`."""
    expansion: Annotated[float, Range(min=0)] = 2.0
    """Hidden width of the feed-forward layers over `dim`; 0 = none."""
    edges: EdgeRule = "auto"
    """Edges: "given", "knn", "radius", "all"; "auto" = the first of given, knn (if there
    are coordinates), all."""
    coordinates: str = "pos"
    """Key of the batch among which neighbours are sought."""
    k: Annotated[int, Range(min=1, max=4096)] = 16
    """Neighbours of a node, for "knn"."""
    radius: Annotated[float, Range(min=0, exclusive=True)] = 1.0
    """Cut-off in the unit of the coordinates, for "radius"."""
    offset_dim: Annotated[int, Range(min=0)] = 0
    """Width of the coordinates whose difference edges receive; 0 = none."""
    hypergraph: bool = False
    """The graph is of nodes and nets; see the module's docstring."""
    kinds: Annotated[int, Range(min=1)] = 1
    """Kinds of nodes in `node_kind` (0 .. kinds - 1); each adds a vector of its own.
    At least 2 with `hypergraph`."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.0
    """Probability of dropping a hidden unit of the feed-forward layers in training."""


class MessageBlock(nn.Module):
    """Targets receive from sources along edges: the same nodes, or the two sides of a hypergraph.

    Args:
        dim: width of targets and sources.
        heads: attention heads.
        edge_dim: width of edge features; 0 = none.
        expansion, dropout: of the feed-forward layer.
    """

    def __init__(
        self, dim: int, heads: int, edge_dim: int, expansion: float, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.norm_target, self.norm_source = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.edge_key = nn.Parameter(torch.empty(heads, self.head_dim, edge_dim))
        self.edge_value = nn.Parameter(torch.empty(heads, self.head_dim, edge_dim))
        for weight in (self.edge_key, self.edge_value):
            nn.init.uniform_(weight, -(edge_dim**-0.5 if edge_dim else 0), max(edge_dim, 1) ** -0.5)
        self.out = nn.Linear(dim, dim)
        self.gate = nn.Linear(2 * dim, dim)
        self.feed_forward = None
        if expansion:
            self.feed_forward = nn.Sequential(
                nn.LayerNorm(dim), FeedForward(dim, expansion, dropout=dropout)
            )

    def forward(self, target: Tensor, source: Tensor, attr: Tensor, edges: Adjacency) -> Tensor:
        """target [T, dim], source [M, dim], attr [E, edge_dim] -> target [T, dim]."""
        split = (self.heads, self.head_dim)
        x, y = self.norm_target(target), self.norm_source(source)
        q = self.query(x).unflatten(-1, split) * self.head_dim**-0.5
        k, v = self.key(y).unflatten(-1, split), self.value(y).unflatten(-1, split)
        u = torch.einsum("thd,hdp->thp", q, self.edge_key)
        out, edge_out = sparse_attention(q, k, v, u, attr, edges)
        out = out + torch.einsum("thp,hdp->thd", edge_out, self.edge_value)
        message = self.out(out.flatten(1))
        target = target + torch.sigmoid(self.gate(torch.cat([x, message], -1))) * message
        return target if self.feed_forward is None else target + self.feed_forward(target)


class HypergraphLayer(nn.Module):
    """Messages from nodes to their nets, then from nets to their nodes.

    Usable on its own: `layer(nodes [n, dim], nets [m, dim], attr [pins, edge_dim], up, down)` with
    `up = Adjacency.of(pins, n, m)` for pins [2, pins] = (node, net) and
    `down = Adjacency.of(pins.flip(0), m, n)`.
    """

    def __init__(
        self, dim: int, heads: int, edge_dim: int, expansion: float = 2.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.up = MessageBlock(dim, heads, edge_dim, expansion, dropout)
        self.down = MessageBlock(dim, heads, edge_dim, expansion, dropout)

    def forward(
        self, nodes: Tensor, nets: Tensor, attr: Tensor, up: Adjacency, down: Adjacency
    ) -> tuple[Tensor, Tensor]:
        """(nodes [n, dim], nets [m, dim]) -> the same, updated."""
        nets = self.up(nets, nodes, attr, up)
        return self.down(nodes, nets, attr, down), nets


class MessagePassing(Trunk):
    """Attention along edges; see the module's docstring."""

    Config = MessagePassingConfig
    layout = "ragged"
    config: MessagePassingConfig

    def __init__(self, config: MessagePassingConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        if c.dim % c.heads:
            raise InputError(f"`heads` = {c.heads} must divide `dim` = {c.dim}")
        if c.hypergraph and c.kinds < 2:
            raise InputError("`hypergraph` needs `kinds` >= 2: nodes and nets")
        if c.hypergraph and c.edges not in ("auto", "given"):
            raise InputError(f'`hypergraph` takes its pins as given, not edges: "{c.edges}"')
        self.kind = nn.Embedding(c.kinds, c.dim) if c.kinds > 1 else None
        # Differences of coordinates come with their length.
        edge_dim = c.pair_dim + (c.offset_dim + 1 if c.offset_dim else 0)
        layer: Any = HypergraphLayer if c.hypergraph else MessageBlock
        self.layers = nn.ModuleList(
            layer(c.dim, c.heads, edge_dim, c.expansion, c.dropout) for _ in range(c.depth)
        )
        self.norm = nn.LayerNorm(c.dim)

    def encode(self, batch: Data) -> Encoded:
        """x [S, dim] -> nodes [S, dim], graph [B, dim] (a hypergraph's: mean over nodes, not nets).

        Raises:
            InputError: the batch lacks edges, coordinates or `node_kind` that the settings need.
        """
        c = self.config
        x, kind = batch.x, optional(batch, "node_kind")
        if self.kind is not None:
            if kind is None:
                raise InputError(f"the batch has no `node_kind` [S], but `kinds` is {c.kinds}")
            x = x + self.kind(kind)
        edge_index, attr = edges_of(
            batch, c.edges, k=c.k, radius=c.radius, coordinates=c.coordinates
        )
        attr = self.edge_features(batch, edge_index, attr)
        if c.hypergraph:
            assert kind is not None
            x = self._through_nets(x, kind, edge_index, attr)
        else:
            edges = Adjacency.of(edge_index, len(x))
            for layer in self.layers:
                x = layer(x, x, attr, edges)
        nodes = self.norm(x)
        counted, of = nodes, batch.batch
        if c.hypergraph:
            counted, of = nodes[kind == 0], of[kind == 0]
        return Encoded(nodes=nodes, graph=segment_mean(counted, of, len(batch.ptr) - 1))

    def edge_features(self, batch: Data, edge_index: Tensor, attr: Tensor | None) -> Tensor:
        """What edges carry, [E, edge_dim]: given features (zeros if there are none), and the
        difference of coordinates source - target with its length."""
        c = self.config
        parts = []
        if c.pair_dim:
            parts.append(
                batch.x.new_zeros(edge_index.shape[1], c.pair_dim) if attr is None else attr
            )
        if c.offset_dim:
            pos = optional(batch, c.coordinates)
            if pos is None or pos.shape[-1] != c.offset_dim:
                raise InputError(f"`{c.coordinates}` must have width `offset_dim` = {c.offset_dim}")
            offset = pos.index_select(0, edge_index[0]) - pos.index_select(0, edge_index[1])
            # The length's derivative at zero is taken as zero (self edges, coincident nodes).
            square = offset.square().sum(-1, keepdim=True)
            length = torch.where(square > 0, square, 1.0).sqrt() * (square > 0)
            parts += [offset.to(batch.x.dtype), length.to(batch.x.dtype)]
        return torch.cat(parts, -1) if parts else batch.x.new_zeros(edge_index.shape[1], 0)

    def _through_nets(self, x: Tensor, kind: Tensor, pins: Tensor, attr: Tensor) -> Tensor:
        up, down, is_net = _sides(kind, pins)
        nodes, nets = x[~is_net], x[is_net]
        for layer in self.layers:
            nodes, nets = layer(nodes, nets, attr, up, down)
        out = torch.empty_like(x)
        out[~is_net], out[is_net] = nodes, nets
        return out


@torch.compiler.disable
def _sides(kind: Tensor, pins: Tensor) -> tuple[Adjacency, Adjacency, Tensor]:
    """Pins in the numbering of nodes and of nets alone, both ways, and which rows are nets.

    Raises:
        InputError: a pin leads from a net or to a node, or the trunk is being exported.
    """
    if torch.compiler.is_exporting():
        raise InputError(
            "a hypergraph cannot be exported: how many rows are nets depends on the batch",
            hint="Set `hypergraph` to False: pins are then plain edges",
        )
    is_net = kind == 1
    if bool(is_net[pins[0]].any()) or not bool(is_net[pins[1]].all()):
        raise InputError(
            "`edge_index` of a hypergraph must lead from nodes (row 0) to nets (row 1)",
            hint="List every pin once; the way back is added",
        )
    rank = torch.where(is_net, is_net.cumsum(0), (~is_net).cumsum(0)) - 1
    local, nets = rank[pins], int(is_net.sum())
    nodes = len(kind) - nets
    return Adjacency.of(local, nodes, nets), Adjacency.of(local.flip(0), nets, nodes), is_net
