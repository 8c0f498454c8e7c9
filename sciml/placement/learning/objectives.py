"""Pretraining of a trunk on netlists without labels: pins that are missing, places that are off.

    sciml run pretrain --data netlists/ --trunk message_passing --pair-dim 8 \
        --trunk-settings '{hypergraph: true, kinds: 2, edges: given}' \
        --objective sciml.placement.learning.objectives:MaskedPins

`MaskedPins` takes some pins out of the graph and asks which node each belonged to, among others of
the same netlist, and where on the node it sat: link prediction as in Kipf and Welling 2016
(arXiv:1611.07308), with the contrastive loss of van den Oord et al. 2018 (arXiv:1807.03748).
`PlaceDenoising` shakes the places of nodes and asks which way each was moved (Zaidi et al. 2022,
arXiv:2206.00133); answers are plain vectors, since the canvas has a frame. Contrast between
subgraphs is `simclr` with this package's `augment` (parts of large netlists are drawn at random).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.objectives.base import Embedder, changed, mean_of, mlp, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class MaskedPinsConfig:
    """What is taken out and what it is told from."""

    fraction: Annotated[float, Range(min=0, max=0.9, exclusive=True)] = 0.15
    """Share of the pins that is taken out."""
    others: Annotated[int, Range(min=1)] = 15
    """Nodes of the same netlist that the true one is told from; chance is 1 / (others + 1)."""
    offset_weight: Annotated[float, Range(min=0)] = 1.0
    """Weight of the pin offset's error."""


def without(batch: Data, keep: Tensor) -> Data:
    """The batch without some pins [E bool]; counts of pins among the features follow."""
    edges = batch.edge_index[:, keep]
    x = batch.x.clone()
    pins = torch.bincount(edges.flatten(), minlength=len(x)).to(x.dtype)
    is_net = batch.node_kind == 1
    x[~is_net, 7] = torch.log1p(pins[~is_net]) / 4
    x[is_net, 4] = torch.log1p(pins[is_net]) / 3
    return changed(batch, x=x, edge_index=edges, edge_attr=batch.edge_attr[keep])


def others_of(batch: Data, net: Tensor, count: int) -> Tensor:
    """[len(net), count] nodes, drawn evenly from those of each net's own netlist."""
    nodes = torch.bincount(batch.batch[batch.node_kind == 0], minlength=len(batch.ptr) - 1)
    graph = batch.batch[net]
    drawn = torch.rand(len(net), count, device=batch.x.device) * nodes[graph][:, None]
    return batch.ptr[:-1][graph][:, None] + drawn.long()  # nodes come before nets


class MaskedPins(nn.Module):
    """Which node did a missing pin belong to, and where on it was it?"""

    Config = MaskedPinsConfig

    def __init__(
        self, trunk: Trunk, embedder: Embedder, config: MaskedPinsConfig, *, augment: Any = None
    ) -> None:
        super().__init__()
        del augment
        self.trunk, self.embedder, self.config = trunk, embedder, config
        self.node, self.net = nn.Linear(trunk.dim, trunk.dim), nn.Linear(trunk.dim, trunk.dim)
        self.offset = mlp(2 * trunk.dim, trunk.dim, 2)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        c = self.config
        hidden = torch.rand(batch.edge_index.shape[1], device=batch.x.device) < c.fraction
        node, net = batch.edge_index[:, hidden]
        h = wide(self.trunk(self.embedder(without(batch, ~hidden))).nodes)
        other = others_of(batch, net, c.others)
        candidates = torch.cat([node[:, None], other], 1)
        score = (self.node(h)[candidates] * self.net(h)[net][:, None]).sum(-1) / h.shape[-1] ** 0.5
        score[:, 1:] = score[:, 1:].masked_fill(other == node[:, None], -torch.inf)
        zero = torch.zeros(len(net), dtype=torch.int64, device=h.device)
        link, count = mean_of(nn.functional.cross_entropy(score, zero, reduction="none"))
        predicted = self.offset(torch.cat([h[node], h[net]], -1))
        error = nn.functional.smooth_l1_loss(
            predicted, wide(batch.edge_attr[hidden, :2]), reduction="none"
        )
        offset_error, _ = mean_of(error.mean(-1))
        accuracy, _ = mean_of((score.argmax(1) == 0).to(h.dtype))
        return {
            "loss": link + c.offset_weight * offset_error, "count": count, "link": link.detach(),
            "offset": offset_error.detach(), "accuracy": accuracy.detach(),
        }  # fmt: skip


@dataclass(frozen=True)
class PlaceDenoisingConfig:
    """How far nodes are moved."""

    sigma: Annotated[float, Range(min=0, exclusive=True)] = 0.05
    """Deviation of the noise on each coordinate [canvas widths]."""


class PlaceDenoising(nn.Module):
    """Which way was each node of a placement moved?"""

    Config = PlaceDenoisingConfig

    def __init__(
        self, trunk: Trunk, embedder: Embedder, config: PlaceDenoisingConfig, *,
        augment: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        del augment
        self.trunk, self.embedder, self.config = trunk, embedder, config
        self.head = mlp(trunk.dim, trunk.dim, 2)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        movable = (batch.node_kind == 0) & (batch.x[:, 9] == 0)
        noise = torch.randn_like(batch.pos) * movable[:, None]
        moved = self.embedder.displaced(batch, batch.pos + self.config.sigma * noise)
        predicted = wide(self.head(self.trunk(self.embedder(moved)).nodes))[movable]
        loss, count = mean_of((predicted - noise[movable]).square().mean(-1))
        return {"loss": loss, "count": count}
