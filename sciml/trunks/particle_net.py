"""ParticleNet: convolution over the nearest neighbours, which every block finds anew.

Qu and Gouskos 2020 (arXiv:1902.08570), after EdgeConv (Wang et al. 2019, arXiv:1801.07829).

    block 1 looks for neighbours among the given coordinates, the others among features
    edge (i, j): (x_i, x_j - x_i) -> 3 x [linear, batch norm, ReLU] -> mean over j
    x_i <- ReLU(mean + shortcut(x_i)); graph = mean over real particles

By default the variant is that of the authors' published weights: no fusion layer. Padding is kept
away as in their code: it lies infinitely far from every particle, has features zero, and is a
neighbour only where a graph has fewer than k + 1 particles; unlike there, batch norms in training
see real particles only. Where the choice of a neighbour depends on rounding, single precision would
let the answer depend on the order of particles: such graphs are encoded again in double precision.
Which they are depends on the data: `torch.compile(fullgraph=True)` needs `settle=False`, and an
exported program leaves it out. Distances are computed in single precision at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import mean_nodes, optional
from sciml.trunks.base import Encoded, Trunk, TrunkConfig

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

FAR = 1e18
"""Squared distance to a padded particle: a neighbour only where real ones run out."""


@dataclass(frozen=True)
class ParticleNetConfig(TrunkConfig):
    """Settings of `ParticleNet`."""

    in_dim: Annotated[int, Range(min=0)] = 0
    """Width of node features, in; 0 = `dim`, the width of those that come out."""
    channels: tuple[tuple[Annotated[int, Range(min=1)], ...], ...] = ()
    """Widths of the layers of every block, the very last equal to `dim`; empty = three blocks of
    three layers, dim/4, dim/2 and dim wide."""
    k: Annotated[int, Range(min=1, max=4096)] = 16
    """Neighbours of a node."""
    k_of_blocks: tuple[Annotated[int, Range(min=1)], ...] = ()
    """Neighbours in each block, where they differ; empty = `k` in all."""
    coordinates: str = "pos"
    """Key of the batch among which block 1 looks for neighbours ("node_points": angles relative
    to the jet's axis); empty = among features, like the later blocks."""
    input_norm: bool = True
    """Batch norm of the features before block 1."""
    fusion: bool = False
    """(linear, batch norm, ReLU), `dim` wide, of the nodes of all blocks together, at the end; then
    the last of `channels` may have any width."""
    settle: bool = True
    """In evaluation, encode graphs whose neighbours depend on rounding in double precision."""


def squared_distances(x: Tensor, mask: Tensor) -> Tensor:
    """[B, N, D] -> [B, N, N]; a point is nearest to itself, padding `FAR` from everything."""
    real = mask[..., None]
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if x.shape[-1] <= 4:
        distances = (x[:, :, None] - x[:, None, :]).square().sum(-1)
    else:
        # |a|^2 - 2ab + |b|^2: no [B, N, N, D] in memory. About the mean of the real points,
        # coordinates are smaller and distances rounded less.
        x = x - (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        square = x.square().sum(-1)
        distances = square[:, :, None] - 2 * x @ x.transpose(1, 2) + square[:, None, :]
    distances = distances.clamp(min=0).masked_fill(~(real & real.transpose(1, 2)), FAR)
    index = torch.arange(x.shape[1], device=x.device)
    return distances.masked_fill(index[:, None] == index, -1.0)


def nearest(distances: Tensor, count: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of every particle, and whether rounding could have chosen others.

    Args:
        distances: [B, N, N] squared, padded particles far from all.
        count: neighbours per particle; itself, the very nearest, does not count.
        mask: [B, N] bool.

    Returns:
        indices [B, N, count], and [B] bool: the last neighbour and the next particle are as near
        as the error of a distance in this precision.
    """
    more = min(count + 2, distances.shape[-1])
    closest = distances.topk(more, dim=-1, largest=False, sorted=True)
    indices = closest.indices[..., 1 : count + 1]
    if more < count + 2:
        return indices, mask.new_zeros(len(mask))
    spread = distances.masked_fill(distances >= FAR, 0).amax(2)
    gap = (closest.values[..., -1] - closest.values[..., -2]).masked_fill(~mask, torch.inf)
    tied = gap < 16 * torch.finfo(distances.dtype).eps * spread
    return indices, (tied & (closest.values[..., -1] < FAR)).any(1)


def normalised(norm: nn.BatchNorm1d, x: Tensor, real: Tensor) -> Tensor:
    """Batch norm over the last axis; in training only `real` entries count."""
    if norm.training and x.device.type == "cpu":
        return torch.zeros_like(x).masked_scatter(real[..., None], norm(x[real]))
    if norm.training:
        return _normalised_beside_padding(norm, x, real)
    scale, shift = as_affine(norm)
    return x * scale + shift


def _normalised_beside_padding(norm: nn.BatchNorm1d, x: Tensor, real: Tensor) -> Tensor:
    """The same with padding left in its place: an accelerator would make the CPU wait for the
    number of real entries."""
    weight = real[..., None].to(x.dtype)
    axes = tuple(range(x.ndim - 1))
    count = weight.sum()
    mean = (x * weight).sum(axes) / count.clamp(min=1)
    variance = ((x - mean).square() * weight).sum(axes) / count.clamp(min=1)
    if norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            momentum = norm.momentum if norm.momentum is not None else 0.1
            unbiased = variance * (count / (count - 1).clamp(min=1))
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return ((x - mean) * scale + norm.bias) * weight


def as_affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift that a batch norm applies in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics has no evaluation mode")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


class EdgeConv(nn.Module):
    """One block: mean over neighbours of a small network on (x_i, x_j - x_i), plus a shortcut."""

    def __init__(self, width_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        sizes = [2 * width_in, *widths]
        self.convs = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        if width_in != widths[-1]:
            self.shortcut: nn.Module = nn.Linear(width_in, widths[-1], bias=False)
            self.shortcut_norm: nn.Module = nn.BatchNorm1d(widths[-1])
        else:
            self.shortcut, self.shortcut_norm = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor, neighbours: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, width_in], neighbours [B, N, k], mask [B, N] -> [B, N, width_out]."""
        convs, norms = cast(list[nn.Linear], self.convs), cast(list[nn.BatchNorm1d], self.norms)
        graphs, nodes, count = neighbours.shape
        # The first layer of (x_i, x_j - x_i) is one matrix on x_i plus one on x_j: k times less
        # work than on the edges themselves.
        own, relative = convs[0].weight.chunk(2, dim=1)
        first, second = F.linear(x, own - relative), F.linear(x, relative)
        rows = neighbours + nodes * torch.arange(graphs, device=x.device)[:, None, None]
        edges = second.flatten(0, 1)[rows.flatten()].view(graphs, nodes, count, -1)
        real = mask[:, :, None].expand(neighbours.shape)
        edges = F.relu(normalised(norms[0], edges + first[:, :, None], real))
        for conv, norm in zip(convs[1:], norms[1:], strict=True):
            edges = F.relu(normalised(norm, conv(edges), real))
        shortcut = self.shortcut(x)
        if isinstance(self.shortcut_norm, nn.BatchNorm1d):
            shortcut = normalised(self.shortcut_norm, shortcut, mask)
        return F.relu(edges.mean(2) + shortcut)


class ParticleNet(Trunk):
    """Dynamic graph convolution; see the module's docstring."""

    Config = ParticleNetConfig
    layout = "dense"
    config: ParticleNetConfig

    def __init__(self, config: ParticleNetConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        thirds = (max(1, c.dim // 4), max(1, c.dim // 2), c.dim)
        channels = c.channels or tuple((width,) * 3 for width in thirds)
        if not all(channels) or (channels[-1][-1] != c.dim and not c.fusion):
            raise InputError(
                f"the last of `channels` must be `dim` = {c.dim}, got {list(map(list, channels))}"
            )
        if len(c.k_of_blocks) not in (0, len(channels)):
            raise InputError(
                f"`k_of_blocks` must have {len(channels)} numbers, got {list(c.k_of_blocks)}"
            )
        self.k_of_blocks = c.k_of_blocks or (c.k,) * len(channels)
        width = c.in_dim or c.dim
        self.norm: nn.Module = nn.BatchNorm1d(width) if c.input_norm else nn.Identity()
        self.blocks = nn.ModuleList()
        for widths in channels:
            self.blocks.append(EdgeConv(width, widths))
            width = widths[-1]
        if c.fusion:
            self.fusion = nn.Linear(sum(widths[-1] for widths in channels), c.dim, bias=False)
            self.fusion_norm = nn.BatchNorm1d(c.dim)

    def _check_widths(self, batch: Data) -> None:
        width = self.config.in_dim or self.dim
        if batch.x.shape[-1] != width:
            raise InputError(f"`x` must have width {width}, got {batch.x.shape[-1]}")

    def encode(self, batch: Data) -> Encoded:
        """x [B, N, in_dim], mask, coordinates [B, N, D] -> nodes [B, N, dim], graph [B, dim]."""
        points = None
        if self.config.coordinates:
            points = optional(batch, self.config.coordinates)
            if points is None:
                raise InputError(
                    f"the batch has no {self.config.coordinates!r} for ParticleNet to find "
                    "neighbours with",
                    hint='Name another key by `coordinates`, or "" for the features',
                )
        x, mask = batch.x, batch.mask
        tracing = torch.jit.is_tracing()
        # every node needs k others, even if padding; a traced graph must take any length
        missing = max(self.k_of_blocks) + 1 - (0 if tracing else mask.shape[1])
        if missing > 0:
            x, mask = F.pad(x, (0, 0, 0, missing)), F.pad(mask, (0, missing))
            points = None if points is None else F.pad(points, (0, 0, 0, missing))
        nodes, tied = self.convolve(x, points, mask)
        single = x.dtype == torch.float32 and x.device.type != "mps"
        fixed = self.training or tracing or torch.compiler.is_exporting()
        if self.config.settle and single and not fixed and bool(tied.any()):
            nodes = self._settle(tied, nodes, x, points, mask)
        nodes = nodes[:, : batch.mask.shape[1]]
        return Encoded(nodes=nodes, graph=mean_nodes(batch, nodes))

    def convolve(self, x: Tensor, points: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes [B, N, dim] of at least k + 1 columns, and which graphs depend on rounding [B]."""
        padded = ~mask[..., None]
        x = x.masked_fill(padded, 0.0)
        if isinstance(self.norm, nn.BatchNorm1d):
            x = normalised(self.norm, x, mask).masked_fill(padded, 0.0)
        tied = mask.new_zeros(len(mask))
        outputs = []
        for number, block in enumerate(self.blocks):
            where = points if number == 0 and points is not None else x
            distances = squared_distances(where.detach(), mask)
            neighbours, close = nearest(distances, self.k_of_blocks[number], mask)
            tied = tied | close
            x = block(x, neighbours, mask).masked_fill(padded, 0.0)
            outputs.append(x)
        if self.config.fusion:
            x = self.fusion(torch.cat(outputs, -1))
            x = F.relu(normalised(self.fusion_norm, x, mask)).masked_fill(padded, 0.0)
        return x, tied

    def _settle(
        self, tied: Tensor, nodes: Tensor, x: Tensor, points: Tensor | None, mask: Tensor
    ) -> Tensor:
        """`nodes` with the tied graphs encoded again in double precision."""
        rows = tied.nonzero()[:, 0]
        double = {
            name: value.double() if value.is_floating_point() else value
            for name, value in (*self.named_parameters(), *self.named_buffers())
        }
        where = None if points is None else points[rows].double()
        again, _ = torch.func.functional_call(
            _Convolve(self), {f"trunk.{n}": v for n, v in double.items()},
            (x[rows].double(), where, mask[rows]),
        )  # fmt: skip
        return nodes.index_copy(0, rows, again.to(nodes.dtype))


class _Convolve(nn.Module):
    """`ParticleNet.convolve` as a forward, for `functional_call`."""

    def __init__(self, trunk: ParticleNet) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        return self.trunk.convolve(*arguments)
