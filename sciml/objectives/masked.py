"""Masked modelling: hide some nodes, predict their content from the rest.

BERT (Devlin et al. 2018, arXiv:1810.04805) on single nodes, SpanBERT (Joshi et al. 2019,
arXiv:1907.10529) on runs of a sequence, and a missing patch (He et al. 2021, arXiv:2111.06377) on
compact neighbourhoods in space or along edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import optional, sizes
from sciml.objectives.base import Embedder, changed, per_node, position, ranks, real
from sciml.objectives.content import Content
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data

Shape = Literal["nodes", "spans", "patch", "own"]


@dataclass(frozen=True)
class MaskedConfig:
    """Which nodes are hidden, and how much of them is really hidden."""

    fraction: Annotated[float, Range(min=0, max=1, exclusive=True)] = 0.3
    """Share of each graph's nodes to predict, at least one."""
    shape: Shape = "nodes"
    """What is hidden: scattered nodes, runs of a sequence, one compact patch, or what the
    domain's embedder chooses (`own`: complete subtrees of expressions, for example)."""
    span: Annotated[int, Range(min=1)] = 4
    """Length of a run, for `spans` [nodes]."""
    keep: Annotated[float, Range(min=0, max=1)] = 0.0
    """Share of the nodes to predict that stay visible (BERT: 0.1)."""
    swap: Annotated[float, Range(min=0, max=1)] = 0.0
    """Share of the nodes to predict that show another node's content instead (BERT: 0.1)."""

    def __post_init__(self) -> None:
        if self.keep + self.swap >= 1:
            raise InputError(f"`keep` + `swap` must be < 1, got {self.keep + self.swap:g}")


class Masked(nn.Module):
    """Predict the content of hidden nodes; see `Content` for the loss."""

    Config = MaskedConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: MaskedConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.content = Content(embedder, trunk.dim)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch with freshly drawn hidden nodes."""
        return self.losses(batch, draw(batch, self.config, self.embedder))

    def losses(self, batch: Data, chosen: Tensor) -> dict[str, Tensor]:
        """The losses with `chosen` (bool, one per node) the nodes to predict."""
        # The only thing that an accelerator is waited for: how many nodes there are to predict.
        rows = chosen.flatten().nonzero()[:, 0]
        axes = chosen.ndim - 1

        def of_chosen(values: Tensor) -> Tensor:
            return values.flatten(0, axes).index_select(0, rows)

        targets = {name: of_chosen(value) for name, value in self.embedder.targets(batch).items()}
        batch, hidden = corrupt(batch, chosen, self.config)
        return self.content(of_chosen(self.trunk(self.embedder(batch, hidden)).nodes), targets)


class MissingPatch(Masked):
    """`Masked` with one compact patch of each graph missing: the pretext task of that name."""

    @dataclass(frozen=True)
    class Config(MaskedConfig):
        """`MaskedConfig` whose hidden nodes form one patch."""

        shape: Shape = "patch"


def draw(batch: Data, config: MaskedConfig, embedder: Embedder) -> Tensor:
    """bool, one per node: which nodes to predict, chosen by `config.shape`."""
    if config.shape == "own":
        return embedder.choose(batch, config.fraction)
    return choose(batch, config, embedder.coordinates(batch))


def choose(batch: Data, config: MaskedConfig, coordinates: Tensor | None = None) -> Tensor:
    """bool, one per node: which nodes to predict; drawn from torch's global random numbers.

    Every graph with at least two nodes has max(1, round(fraction * n)) of them, and never all.

    Raises:
        InputError: the shape is a patch and nodes have neither positions nor edges.
    """
    nodes = real(batch)
    count = sizes(batch)
    number = (count * config.fraction).round().long().clamp_min(1)
    number = torch.minimum(number, (count - 1).clamp_min(0))
    noise = torch.rand(nodes.shape, device=nodes.device)
    if config.shape == "nodes":
        score = noise
    elif config.shape == "spans":
        # Runs of a sequence, cut at a random offset, are chosen as wholes.
        at = position(batch) + per_node(
            torch.randint(0, config.span, count.shape, device=nodes.device), batch
        )
        score = _shared(noise, at // config.span, batch) + at * 1e-6
    else:
        score = _distance(batch, coordinates, noise) + 1e-6 * noise
    return (ranks(score, batch) < per_node(number, batch)) & nodes


def _shared(noise: Tensor, run: Tensor, batch: Data) -> Tensor:
    """One random number per run [shape of noise], the same for all nodes of the run."""
    longest = int(run.max()) + 1 if run.numel() else 1
    graphs = len(sizes(batch))
    draw = torch.rand(graphs, longest, device=noise.device)
    if optional(batch, "mask") is not None:
        return draw.gather(1, run)
    return draw[batch.batch, run]


def _distance(batch: Data, coordinates: Tensor | None, noise: Tensor) -> Tensor:
    """Distance of each node from a random real node of its graph: Euclidean, else in hops."""
    seed = ranks(noise, batch) == 0
    if coordinates is not None:
        if coordinates.dim() == 3:
            centre = (coordinates * seed.unsqueeze(-1)).sum(1)
        else:
            centre = torch.zeros(
                len(sizes(batch)),
                coordinates.shape[-1],
                device=coordinates.device,
                dtype=coordinates.dtype,
            ).index_add(0, batch.batch[seed], coordinates[seed])
        return (coordinates - per_node(centre, batch)).norm(dim=-1)
    edges = optional(batch, "edge_index")
    if edges is None:
        raise InputError(
            "a patch needs nodes with positions (`pos`) or edges (`edge_index`), "
            "and this batch has neither",
            hint="Use shape 'spans' for sequences, or 'nodes'",
        )
    distance = torch.where(seed, 0.0, torch.inf)
    while True:
        reached = torch.cat([edges, edges.flip(0)], 1)
        nearer = distance.scatter_reduce(0, reached[1], distance[reached[0]] + 1, "amin")
        if torch.equal(nearer, distance):
            # Nodes that no path reaches come last.
            return distance.nan_to_num(posinf=float(distance.numel()))
        distance = nearer


def corrupt(batch: Data, chosen: Tensor, config: MaskedConfig) -> tuple[Data, Tensor]:
    """(batch with swapped content, which of the chosen nodes are hidden)."""
    draw = torch.rand(chosen.shape, device=chosen.device)
    hidden = chosen & (draw >= config.keep + config.swap)
    swapped = chosen & (draw >= config.keep) & ~hidden
    if config.swap == 0:
        return batch, hidden
    # Real nodes first, and one of those for every node: no size depends on the data.
    nodes = real(batch).flatten()
    order = nodes.logical_not().byte().argsort(stable=True)
    donors = order[(torch.rand(nodes.shape, device=nodes.device) * nodes.sum()).long()]
    values = {}
    for key in ("x", "node_token"):
        value = optional(batch, key)
        if value is not None:
            other = value.flatten(0, chosen.ndim - 1)[donors].view_as(value)
            rows = swapped.view(swapped.shape + (1,) * (value.ndim - swapped.ndim))
            values[key] = torch.where(rows, other, value)
    return changed(batch, **values), hidden
