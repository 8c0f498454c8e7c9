"""ParticleNeXt: edge convolutions at several scales of neighbourhood, with attention over edges.

Qu, "ParticleNeXt: Pushing the limit of jet tagging with graph neural networks", talk at ML4Jets
2021 (indico.cern.ch/event/980214/contributions/4413544); the squeeze-and-excitation gates are of Hu
et al. 2018 (arXiv:1709.01507). Next to ParticleNet (arXiv:1902.08570):

    neighbours: the k nearest in (deta, dphi), the particle itself first; found once (static graph),
        or anew in every layer, which then moves the points (`update_points`)
    edge (i, j): x_i, x_j, and ln kT, ln z, ln dR, ln m2 of the two momenta [, polarisation angle]
    message = two layers (batch norm, ReLU, linear) of an edge, gated by the mean over all edges
    for each scale, a part of the neighbours: weighted sum of messages [, and of momenta]
    x_i <- shortcut(x_i) + gain * gated two layers of the scales together

Parity with weaver-core 0.5.3 holds in evaluation; names and shapes of its weights are in
`sciml.jets.weaver.names`. As in our ParticleNet, batch norms in training see real particles and
edges only. weaver's augmentations of inputs (`pt_dropout`, `lorentz_vector_*`) are not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.jets.data.features import TINY, wrap_angle
from sciml.jets.data.grouping import by_length
from sciml.jets.networks.pair_kinematics import features as pair_features
from sciml.trunks.particle_net import FAR, normalised

MAX_SIZE = 512
"""Size (jets x longest) of a pass without training: its edges stay in cache."""
REDUCTION = 16
"""Squeeze-and-excitation: how much narrower its hidden layer is."""

Positive = Annotated[int, Range(min=1, max=1 << 20)]
Neighbours = Annotated[int, Range(min=1, max=4096)]
Aggregation = Literal["attention", "sum", "mean", "max"]


@dataclasses.dataclass(frozen=True)
class NextLayerConfig:
    """One multi-scale edge convolution."""

    width: Positive = 256
    """Width of the particles that come out."""
    message: Positive = 64
    """Width of messages."""
    neighbours: Neighbours = 32
    """Neighbours of a particle, which is one of them."""
    scales: tuple[tuple[Positive, Positive], ...] = ((8, 1), (4, 1), (2, 1), (1, 1))
    """(reduction, dilation) of each: every dilation-th of the neighbours / reduction nearest."""
    attention: Annotated[int, Range(min=0)] = 8
    """Channels of attention over the edges of a scale; needed where they are summed by it."""

    def __post_init__(self) -> None:
        if not self.scales:
            raise InputError("`scales` must have at least one (reduction, dilation)")
        for reduction, dilation in self.scales:
            nearest = self.neighbours // reduction
            if not nearest:
                raise InputError(
                    f"a scale's reduction must not exceed {self.neighbours} neighbours, "
                    f"got {reduction}"
                )
            if self.chosen and nearest % dilation:
                raise InputError(
                    f"a scale's dilation must divide its {nearest} nearest, got {dilation}"
                )
        narrow, wide = sorted((self.message, self.attention or self.message))
        if wide % narrow:
            raise InputError(
                f"channels of attention and message width must divide, got {self.attention} and "
                f"{self.message}"
            )

    def slices(self) -> list[slice]:
        """Where the edges of each scale lie among the neighbours."""
        return [slice(0, self.neighbours // r, d) for r, d in self.scales]

    @property
    def chosen(self) -> list[int]:
        """Columns of the neighbours whose messages are computed, where that is not all of them."""
        if sum(self.neighbours // r // d for r, d in self.scales) >= self.neighbours:
            return []
        columns = range(self.neighbours)
        return [column for part in self.slices() for column in columns[part]]

    def parts(self) -> list[slice]:
        """Where the edges of each scale lie among the computed ones."""
        if not self.chosen:
            return self.slices()
        parts, begin = [], 0
        for reduction, dilation in self.scales:
            end = begin + self.neighbours // reduction // dilation
            parts.append(slice(begin, end))
            begin = end
        return parts


@dataclasses.dataclass(frozen=True)
class ParticleNeXtConfig:
    """Sizes and options of a `ParticleNeXt`."""

    features: Positive = 17
    """Features per particle."""
    classes: Positive = 10
    """Classes."""
    layers: tuple[NextLayerConfig, ...] = (NextLayerConfig(),) * 3
    """The convolutions."""
    node_width: Annotated[int, Range(min=0)] = 32
    """Width of the linear encoding of features; 0: none."""
    node_norm: bool = True
    """Batch norm of the features."""
    edge_width: Annotated[int, Range(min=0)] = 8
    """Width of the linear encoding of pair features (static graph); 0: none."""
    edge_norm: bool = True
    """Batch norm of the pair features."""
    pair_features: bool = True
    """Edges have the pair features of two momenta."""
    polarisation: bool = False
    """They have the cosine of the polarisation angle, too."""
    distance: bool = False
    """They have the logarithm of the distance of the points, too (`update_points` only)."""
    relative: bool = False
    """Edges have x_j - x_i in place of x_j."""
    aggregation: Aggregation = "attention"
    """Of the edges of a scale."""
    update_points: bool = False
    """Layers move the points, and find neighbours anew."""
    momenta: bool = False
    """Layers have ln pT^2 and ln m^2 of the attention-weighted sum of the neighbours' momenta."""
    edge_gate: bool = True
    """Squeeze-and-excitation of messages."""
    node_gate: bool = True
    """Squeeze-and-excitation of what a layer adds."""
    global_aggregation: Aggregation = "attention"
    """Of the particles at the end."""
    global_attention: Annotated[int, Range(min=0)] = 4
    """Its channels of attention."""
    hidden: tuple[Positive, ...] = (256,)
    """Hidden widths of the classifier."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.1
    """Probability of dropping a hidden unit of the classifier."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("`layers` must have at least one convolution")
        if self.polarisation and not self.pair_features:
            raise InputError("`polarisation` needs `pair_features`")
        if self.momenta and not self.pair_features:
            raise InputError("`momenta` needs `pair_features`")
        if self.update_points:
            if any(len(layer.scales) > 1 or layer.chosen for layer in self.layers):
                raise InputError("`update_points` needs layers of one scale, (1, 1)")
            if self.edge_width and self.pair_width:
                raise InputError("`update_points` needs `edge_width` = 0")
        elif self.distance:
            raise InputError("`distance` needs `update_points`")
        if self.aggregation == "attention" and not all(layer.attention for layer in self.layers):
            raise InputError("aggregation by attention needs layers with channels of attention")
        if self.global_aggregation == "attention" and (
            not self.global_attention or self.layers[-1].width % self.global_attention
        ):
            raise InputError(
                f"`global_attention` must divide the last layer's width {self.layers[-1].width}, "
                f"got {self.global_attention}"
            )

    @property
    def pair_width(self) -> int:
        """Raw features of an edge beside those of its two particles."""
        pair = (5 if self.polarisation else 4) if self.pair_features else 0
        return pair + self.distance


@dataclasses.dataclass
class Graph:
    """Neighbours of every particle.

    Attributes:
        neighbours: [B, N, k] int64, nearest first.
        real: [B, N, k] bool, False where either end is padding.
        edges: [B, N, k, c] features of the pairs, or None.
        momenta: [B, N, k, 4] of the neighbours in GeV, or None.
        steps: [B, N, k, 2] from a point to its neighbours', or None.
    """

    neighbours: Tensor
    real: Tensor
    edges: Tensor | None = None
    momenta: Tensor | None = None
    steps: Tensor | None = None


def gather(x: Tensor, neighbours: Tensor) -> Tensor:
    """[B, N, c] at [B, N, k] -> [B, N, k, c]."""
    rows = neighbours.flatten(1)[..., None].expand(-1, -1, x.shape[-1])
    return x.gather(1, rows).unflatten(1, neighbours.shape[1:])


def find_graph(
    points: Tensor, momenta: Tensor, mask: Tensor, count: int, config: ParticleNeXtConfig
) -> Graph:
    """The `count` nearest of every particle, and the raw features of the pairs.

    Args:
        points: [B, N, 2] (deta, dphi), N >= count.
        momenta: [B, N, 4] (px, py, pz, E) in GeV.
        mask: [B, N] bool.
        count: neighbours.
        config: of the network.
    """
    apart = points[:, :, None] - points[:, None]
    distances = apart[..., 0].square() + wrap_angle(apart[..., 1]).square()
    distances = distances.masked_fill(~(mask[:, None] & mask[:, :, None]), FAR)
    index = torch.arange(mask.shape[1], device=mask.device)
    # a particle is its own nearest, also where others lie on it
    distances = distances.masked_fill(index[:, None] == index, -1.0)
    neighbours = distances.topk(count, dim=-1, largest=False, sorted=True).indices
    real = gather(mask[..., None], neighbours)[..., 0] & mask[..., None]
    graph = Graph(neighbours, real)
    edges = []
    if config.update_points:
        graph.steps = gather(points, neighbours) - points[:, :, None]
        if config.distance:
            length = graph.steps.square().sum(-1, keepdim=True).clamp(min=TINY**2).sqrt()
            edges.append(length.log())
    if config.pair_features:
        graph.momenta = gather(momenta, neighbours)
        pairs = pair_features(
            "pp", 6 if config.polarisation else 4, momenta[:, :, None], graph.momenta
        )
        edges += [pairs[..., :4], pairs[..., 5:]]
    if edges:  # the azimuth of a zero momentum is NaN in exported graphs
        graph.edges = torch.cat(edges, -1).masked_fill(~real[..., None], 0.0)
    return graph


class Encoding(nn.Module):
    """Batch norm, then a linear layer without bias; either may be missing."""

    def __init__(self, features: int, width: int, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features) if norm else None
        self.linear = nn.Linear(features, width, bias=False) if width else None

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """[..., features] -> [..., width], whose entries `real` [...] count; all if None."""
        if self.norm is not None:
            real = x.new_ones(x.shape[:-1], dtype=torch.bool) if real is None else real
            x = normalised(self.norm, x, real)
        return x if self.linear is None else self.linear(x)


class Unit(nn.Module):
    """Batch norm, ReLU, linear without bias."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.linear = nn.Linear(features, width, bias=False)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[..., features] -> [..., width], whose entries `real` [...] count.

        In training on a CPU, padding is left out of all of it, and zero in what comes out.
        """
        if not self.training or x.device.type != "cpu":
            return cast(Tensor, self.linear(F.relu(normalised(self.norm, x, real))))
        places = real.flatten().nonzero()[:, 0]
        rows = self.linear(F.relu(self.norm(x.flatten(0, -2).index_select(0, places))))
        out = rows.new_zeros(real.numel(), rows.shape[-1]).index_copy(0, places, rows)
        return out.unflatten(0, real.shape)


class Gate(nn.Module):
    """Squeeze-and-excitation: channels are weighed by what all real entries have in the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // REDUCTION, bias=False)
        self.up = nn.Linear(width // REDUCTION, width, bias=False)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[B, ..., width], real [B, ...] -> [B, ..., width]."""
        axes = tuple(range(1, real.ndim))
        total = (x * real[..., None]).sum(axes)
        mean = total / real.sum(axes)[:, None].clamp(min=1).to(x.dtype)
        gate = torch.sigmoid(self.up(F.relu(self.down(mean))))
        return x * (gate[:, None] if len(axes) == 1 else gate[:, None, None])


def attended(values: Tensor, logits: Tensor, real: Tensor, axis: int) -> Tensor:
    """Sum of values [..., c] over `axis`, weighed by the softmax of logits [..., a].

    Channel i is weighed by channel i mod a, or values are repeated where a is larger; a must divide
    c, or c divide a.
    """
    logits = logits.masked_fill(~real[..., None], torch.finfo(logits.dtype).min)
    weights = logits.softmax(axis)
    width, channels = values.shape[-1], logits.shape[-1]
    repeats = (1,) * (values.ndim - 1)
    if channels > width:
        values = values.repeat(*repeats, channels // width)
    elif 1 < channels < width:
        weights = weights.repeat(*repeats, width // channels)
    return (weights * values).sum(axis)


def aggregated(kind: Aggregation, values: Tensor, real: Tensor, axis: int) -> Tensor:
    """Sum, mean (over padding, too) or largest of values [..., c], zero where padded."""
    values = values.masked_fill(~real[..., None], 0.0)
    if kind == "max":
        return values.amax(axis)
    return values.sum(axis) if kind == "sum" else values.mean(axis)


class MultiScaleEdgeConv(nn.Module):
    """One layer; see the module's docstring.

    Args:
        width_in: of the particles.
        edge_width: of the pairs' features.
        config: of the layer.
        network: of the network.
    """

    def __init__(
        self, width_in: int, edge_width: int, config: NextLayerConfig, network: ParticleNeXtConfig
    ) -> None:
        super().__init__()
        self.config, self.network = config, network
        message, width, scales = config.message, config.width, len(config.scales)
        half = message // 2
        self.encode = Unit(width_in, half) if width_in != half else None
        self.message = nn.ModuleList([Unit(2 * half + edge_width, message), Unit(message, message)])
        self.edge_gate = Gate(message) if network.edge_gate else None
        wide = message

        def each(channels: int) -> nn.ModuleList:
            return nn.ModuleList(Unit(message, channels) for _ in config.scales)

        self.shift = each(1) if network.update_points else None
        self.attention = None
        if network.aggregation == "attention":
            self.attention = each(config.attention)
            wide = max(message, config.attention)
        self.momentum_attention, self.momentum_encode = None, None
        if network.momenta:
            self.momentum_attention = each(1)
            self.momentum_encode = Unit(2 * scales, 2 * scales)
        extra = 2 * scales if network.momenta else 0
        self.update = nn.ModuleList([Unit(wide * scales + extra, width), Unit(width, width)])
        self.node_gate = Gate(width) if network.node_gate else None
        self.shortcut = nn.Linear(width_in, width, bias=False) if width_in != width else None
        self.gain = nn.Parameter(torch.full((width,), 1e-5))

    def forward(
        self, x: Tensor, points: Tensor, mask: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        """Particles [B, N, width_in] and points [B, N, 2] -> [B, N, width], and points."""
        count = self.config.neighbours
        neighbours, real = graph.neighbours[..., :count], graph.real[..., :count]
        encoded = x if self.encode is None else self.encode(x, mask)
        second = gather(encoded, neighbours)
        first = encoded[:, :, None].expand_as(second)
        parts = [first, second - first if self.network.relative else second]
        if graph.edges is not None:
            parts.append(graph.edges[..., :count, :].to(x.dtype))
        messages = torch.cat(parts, -1)
        if self.config.chosen:
            messages, real = messages[:, :, self.config.chosen], real[:, :, self.config.chosen]
        for unit in self.message:
            messages = unit(messages, real)
        if self.edge_gate is not None:
            messages = self.edge_gate(messages, real)

        found, momenta = [], []
        for number, part in enumerate(self.config.parts()):
            own, there = messages[:, :, part], real[:, :, part]
            if self.shift is not None and graph.steps is not None:
                step = self.shift[number](own, there).masked_fill(~there[..., None], 0.0)
                points = points + (step.to(points.dtype) * graph.steps).sum(2)
            if self.attention is not None:
                found.append(attended(own, self.attention[number](own, there), there, 2))
            else:
                found.append(aggregated(self.network.aggregation, own, there, 2))
            if self.momentum_attention is not None and graph.momenta is not None:
                logits = self.momentum_attention[number](own, there).to(graph.momenta.dtype)
                near = graph.momenta[:, :, self.config.slices()[number]]
                momenta.append(_sizes(attended(near, logits, there, 2)).to(x.dtype))
        if self.momentum_encode is not None:
            found.append(self.momentum_encode(torch.cat(momenta, -1), mask))
        new = torch.cat(found, -1)
        for unit in self.update:
            new = unit(new, mask)
        if self.node_gate is not None:
            new = self.node_gate(new, mask)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return shortcut + self.gain * new, points


def _sizes(momentum: Tensor) -> Tensor:
    """ln pT^2 and ln m^2 of momenta [..., 4] -> [..., 2]."""
    px, py, pz, energy = momentum.unbind(-1)
    pt2 = px.square() + py.square()
    mass2 = energy.square() - (pt2 + pz.square())
    return torch.stack([pt2, mass2], -1).clamp(min=TINY).log()


class ParticleNeXt(nn.Module):
    """Jets as clouds of particles with momenta -> logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleNeXtConfig) -> None:
        super().__init__()
        self.config = config
        self.encode = Encoding(config.features, config.node_width, config.node_norm)
        encoded = config.edge_width if config.pair_width else 0
        self.encode_edges = Encoding(
            config.pair_width, encoded, config.edge_norm and config.pair_width > 0
        )
        edge_width = encoded or config.pair_width
        width = config.node_width or config.features
        self.layers = nn.ModuleList()
        for layer in config.layers:
            self.layers.append(MultiScaleEdgeConv(width, edge_width, layer, config))
            width = layer.width
        self.norm = nn.BatchNorm1d(width)
        self.attention = None
        if config.global_aggregation == "attention":
            self.attention = nn.Linear(width, config.global_attention, bias=False)
        sizes = [width, *config.hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = nn.Linear(sizes[-1], config.classes)

    def forward(self, features: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Logits [B, classes]; NaN for a jet without particles.

        Args:
            features: [B, N, features].
            positions: [B, N, 6]: points (deta, dphi), then (px, py, pz, E) in GeV; [B, N, 2] points
                alone where edges have no pair features.
            mask: [B, N] bool, True for a particle; those of a jet first.
        """
        if not mask.numel() and not torch.jit.is_tracing():
            return features.new_full((len(mask), self.config.classes), torch.nan)
        count = max(layer.neighbours for layer in self.config.layers)
        # a particle has `count` neighbours, even if padding; a traced graph must take any length
        missing = count - (0 if torch.jit.is_tracing() else mask.shape[1])
        padded = mask
        if missing > 0:
            features = F.pad(features, (0, 0, 0, missing))
            positions = F.pad(positions, (0, 0, 0, missing))
            padded = F.pad(mask, (0, missing))
        if self.training or torch.jit.is_tracing():
            graph = self.graph_vector(features, positions, padded)
        else:
            graph = by_length(
                self.graph_vector, (features, positions), padded,
                min_width=count, max_size=max(MAX_SIZE, count),
            )  # fmt: skip
        for linear in self.hidden:
            graph = F.dropout(F.relu(linear(graph)), self.config.dropout, self.training)
        return cast(Tensor, self.head(graph).masked_fill(~mask.any(1, keepdim=True), torch.nan))

    def graph_vector(self, features: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """The same inputs, of at least as many columns as neighbours -> [B, width]."""
        config, static = self.config, not self.config.update_points
        points, momenta = positions[..., :2], positions[..., 2:]
        x = self.encode(features, mask)
        count = max(layer.neighbours for layer in config.layers)
        graph = find_graph(points, momenta, mask, count, config) if static else None
        if graph is not None and graph.edges is not None:
            graph.edges = self.encode_edges(graph.edges.to(x.dtype), graph.real)
        for layer in cast(Sequence[MultiScaleEdgeConv], self.layers):
            own = graph or find_graph(points, momenta, mask, layer.config.neighbours, config)
            x, points = layer(x, points, mask, own)
        x = F.relu(normalised(self.norm, x, mask))
        if self.attention is not None:
            return attended(x, self.attention(x), mask, 1)
        if config.global_aggregation == "mean":
            total = aggregated("sum", x, mask, 1)
            return total / mask.sum(1, keepdim=True).clamp(min=1).to(x.dtype)
        return aggregated(config.global_aggregation, x, mask, 1)
