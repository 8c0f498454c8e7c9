"""Pretraining of a trunk on netlists without labels: masked pins, denoised placements.

    sciml run pretrain --data netlists/ --trunk message_passing --pair-dim 8 \
        --trunk-settings '{hypergraph: true, kinds: 2, edges: given}' \
        --objective sciml.placement.learning.objectives:MaskedPins

`MaskedPins` removes some pins from the graph and predicts which node each belonged to, among
negatives of the same netlist, and its offset on the node: link prediction as in Kipf and Welling
2016 (arXiv:1611.07308), with the contrastive loss of van den Oord et al. 2018 (arXiv:1807.03748).
`PlaceDenoising` adds noise to the positions of nodes and predicts it (Zaidi et al. 2022,
arXiv:2206.00133); the predictions are plain vectors, since the canvas has a frame. Contrast between
subgraphs is `simclr` with this package's `augment` (parts of large netlists are drawn at random).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.objectives.base import Embedder, changed, mean_of, mlp, wide
from sciml.placement.learning.embedder import NET_PINS, PINS, PLACED
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class MaskedPinsConfig:
    """How many pins are masked, and against how many negatives they are predicted."""

    fraction: Annotated[float, Range(min=0, max=0.9, exclusive=True)] = 0.15
    """Share of the pins that is masked."""
    others: Annotated[int, Range(min=1)] = 15
    """Negatives per pin: other nodes of the same netlist; chance is 1 / (others + 1)."""
    offset_weight: Annotated[float, Range(min=0)] = 1.0
    """Weight of the error of the pin's offset."""


def without(batch: Data, keep: Tensor) -> Data:
    """The batch with the pins of `keep` [E bool] alone; features that count pins follow."""
    edges = batch.edge_index[:, keep]
    x = batch.x.clone()
    pins = torch.bincount(edges.flatten(), minlength=len(x)).to(x.dtype)
    is_net = batch.node_kind == 1
    x[~is_net, PINS] = torch.log1p(pins[~is_net]) / 4
    x[is_net, NET_PINS] = torch.log1p(pins[is_net]) / 3
    return changed(batch, x=x, edge_index=edges, edge_attr=batch.edge_attr[keep])


def negatives(batch: Data, net: Tensor, count: int) -> Tensor:
    """[len(net), count] nodes, drawn uniformly from the netlist of each net."""
    nodes = torch.bincount(batch.batch[batch.node_kind == 0], minlength=len(batch.ptr) - 1)
    graph = batch.batch[net]
    drawn = torch.rand(len(net), count, device=batch.x.device) * nodes[graph][:, None]
    return batch.ptr[:-1][graph][:, None] + drawn.long()  # nodes come before nets


class MaskedPins(nn.Module):
    """Predict the node of a masked pin, and its offset on the node."""

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
        other = negatives(batch, net, c.others)
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
    """How much noise is added."""

    sigma: Annotated[float, Range(min=0, exclusive=True)] = 0.05
    """Standard deviation of the noise on each coordinate [canvas widths]."""


class PlaceDenoising(nn.Module):
    """Predict the noise on the position of each node of a placement."""

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
        movable = (batch.node_kind == 0) & (batch.x[:, PLACED] == 0)
        noise = torch.randn_like(batch.pos) * movable[:, None]
        moved = self.embedder.displaced(batch, batch.pos + self.config.sigma * noise)
        predicted = wide(self.head(self.trunk(self.embedder(moved)).nodes))[movable]
        loss, count = mean_of((predicted - noise[movable]).square().mean(-1))
        return {"loss": loss, "count": count}
