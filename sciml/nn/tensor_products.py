"""Tensor products of irreps, channel-last: convolution on edges, an SO(2) short cut, e3nn's layer.

A feature is a list with one [..., 2 l + 1, channels] per irrep (`sciml.nn.irreps`). Each path
(l1, l2 -> l3) of a product is a small Clebsch-Gordan matrix that acts on the 2 l1 + 1 components
and leaves channels alone, so the work is dense and contiguous over channels.

- `Convolution`: x_j (x) Y(r_ij) with radial weights per path and channel, summed over the edges
  of a node (NequIP, Batzner et al. 2022, arXiv:2101.03164, eq. 8; MACE, arXiv:2206.07697, eq. 8).
- `SO2Convolution`: the same sum with paths into one l3 added up, in the frame of the edge, where
  Y has only its m = 0 component and the product keeps |m|: cost O(l^3) instead of O(l^6)
  (eSCN, Passaro and Zitnick 2023, arXiv:2302.03655).
- `FullyConnectedTensorProduct`: e3nn's, with e3nn's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.nn.edge_convolution import edge_convolution
from sciml.nn.irreps import Irrep, coupling, dim, join, merged, parse, split
from sciml.nn.scatter import Adjacency
from sciml.nn.so2_convolution import Plan, so2_convolution


class ExactTables(nn.Module):
    """A module whose constant tables are as exact as its precision, whichever it was built in.

    A table rounded to float32 and then cast to float64 would cap equivariance at 1e-8: on every
    move or cast the buffers are computed again from float64.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def register_exact(self, name: str, table: Tensor) -> None:
        """A buffer (not saved) in the default dtype, from a float64 table."""
        self._exact[name] = table
        self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        for name, table in self._exact.items():
            buffer = self.get_buffer(name)
            if buffer.is_floating_point() and not buffer.is_meta:
                setattr(self, name, table.to(buffer.device, buffer.dtype))
        return self


class Linear(nn.Module):
    """Mixes the channels of every kind (l, p) on its own; kinds without input give zeros.

    Args:
        irreps_in, irreps_out: each (l, p) at most once.
        bias: add one to even scalars, the only kind that a constant does not break.
    """

    def __init__(
        self, irreps_in: Sequence[Irrep], irreps_out: Sequence[Irrep], *, bias: bool = False
    ) -> None:
        super().__init__()
        position = {ir.kind: index for index, ir in enumerate(irreps_in)}
        self.source = [position.get(ir.kind) for ir in irreps_out]
        self.irreps_out = tuple(irreps_out)
        self.maps = nn.ModuleList()
        for ir, source in zip(irreps_out, self.source):
            channels = 0 if source is None else irreps_in[source].mul
            layer = nn.Linear(channels or 1, ir.mul, bias=bias and ir.kind == (0, 1))
            # Unit variance in, unit variance out, as in e3nn.
            nn.init.normal_(layer.weight, std=(channels or 1) ** -0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            self.maps.append(layer if source is not None else nn.Identity())

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One [..., 2 l + 1, channels] per irrep in -> one per irrep out."""
        return [
            features[0].new_zeros(*features[0].shape[:-2], ir.width, ir.mul)
            if source is None
            else layer(features[source])
            for layer, source, ir in zip(self.maps, self.source, self.irreps_out)
        ]


class Path(NamedTuple):
    """One product (l1, p1) x (l2, (-1)^l2) -> (l3, p3); `source`, `target` index the irreps."""

    source: int
    l2: int
    target: int


def paths(irreps_in: Sequence[Irrep], lmax: int, irreps_out: Sequence[Irrep]) -> list[Path]:
    """All products of the input with harmonics up to `lmax` that reach an output irrep."""
    return [
        Path(i, l2, o)
        for i, first in enumerate(irreps_in)
        for l2 in range(lmax + 1)
        for o, third in enumerate(irreps_out)
        if abs(first.l - l2) <= third.l <= first.l + l2 and third.p == first.p * (-1) ** l2
    ]


class Convolution(ExactTables):
    """Sum over a node's edges of weight * (neighbour (x) harmonics), path by path.

    Args:
        irreps_in: features of the neighbours.
        lmax: highest degree of the edges' harmonics.
        irreps_out: kinds to keep; their `mul` is ignored, since every path keeps its channels.

    Attributes:
        irreps_out: each kind with the channels of all paths that reach it, side by side.
        weight_shapes: (paths, channels) of the weights of each input irrep.
    """

    def __init__(self, irreps_in: Sequence[Irrep], lmax: int, irreps_out: Sequence[Irrep]) -> None:
        super().__init__()
        self.lmax = lmax
        path_list = paths(irreps_in, lmax, irreps_out)
        self.sources = sorted({path.source for path in path_list})
        self.weight_shapes: list[tuple[int, int]] = []
        self.slices: list[list[tuple[int, int, int]]] = []  # (target, first row, rows) per path
        for source in self.sources:
            first = irreps_in[source]
            table: list[Tensor] = []
            row_path: list[int] = []
            slices: list[tuple[int, int, int]] = []
            for number, path in enumerate(p for p in path_list if p.source == source):
                l3 = irreps_out[path.target].l
                # [harmonics of all degrees, 2 l3 + 1, 2 l1 + 1], zero but for degree l2
                block = torch.zeros((lmax + 1) ** 2, 2 * l3 + 1, first.width, dtype=torch.float64)
                rows = slice(path.l2**2, (path.l2 + 1) ** 2)
                block[rows] = coupling(first.l, path.l2, l3).permute(1, 2, 0)
                slices.append((path.target, len(row_path), 2 * l3 + 1))
                row_path += [number] * (2 * l3 + 1)
                table.append(block)
            self.register_exact(f"table_{source}", torch.cat(table, 1))
            self.register_buffer(f"row_path_{source}", torch.tensor(row_path), persistent=False)
            self.slices.append(slices)
            self.weight_shapes.append((len(slices), first.mul))
        reached = [target for slices in self.slices for target, _, _ in slices]
        self.targets = sorted(set(reached))
        self.irreps_out = tuple(
            Irrep(
                sum(irreps_in[path.source].mul for path in path_list if path.target == target),
                *irreps_out[target].kind,
            )
            for target in self.targets
        )

    def forward(
        self,
        features: list[Tensor],
        harmonics: Tensor,
        weights: list[Tensor],
        edges: Adjacency,
        *,
        reference: bool = False,
    ) -> list[Tensor]:
        """Convolve.

        Args:
            features: one [M, 2 l + 1, channels] per input irrep.
            harmonics: [E, (lmax + 1)^2] of the edges' directions, from j to i or i to j.
            weights: one [E, paths, channels] per input irrep that has paths.
            edges: which nodes the edges join.
            reference: form the messages instead of the fused kernel.

        Returns:
            one [edges.targets, 2 l + 1, channels] per irrep of `self.irreps_out`.
        """
        parts: dict[int, list[Tensor]] = {target: [] for target in self.targets}
        for source, slices, weight in zip(self.sources, self.slices, weights):
            table = self.get_buffer(f"table_{source}")
            operator = (harmonics @ table.flatten(1)).unflatten(-1, table.shape[1:])
            row_path = self.get_buffer(f"row_path_{source}")
            summed = edge_convolution(
                features[source], operator, weight, row_path, edges, reference=reference
            )
            for target, first, rows in slices:
                parts[target].append(summed[:, first : first + rows])
        return [torch.cat(parts[target], -1) for target in self.targets]


class SO2Convolution(nn.Module):
    """`Convolution` with all paths into one irrep added up, computed in the edges' own frames.

    In the frame where the edge is the pole, component m of the output receives component m of the
    input (or -m, where the product of parities is unnatural), with one weight for every
    (input irrep, output irrep, |m|) and channel. All irreps have `channels` channels.

    Attributes:
        weight_shape: (weights, channels).
        terms: (input, output, m, crossed) of every weight.
    """

    def __init__(
        self, irreps_in: Sequence[Irrep], irreps_out: Sequence[Irrep], channels: int
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = tuple(irreps_in), tuple(irreps_out)
        self.terms = [
            (i, o, m, crossed)
            for i, first in enumerate(irreps_in)
            for o, third in enumerate(irreps_out)
            for crossed in [first.p * third.p != (-1) ** (first.l + third.l)]
            for m in range(int(crossed), min(first.l, third.l) + 1)
        ]
        self.weight_shape = (len(self.terms), channels)
        # Where m = 0 of each irrep lies along the component axis.
        middle_in, middle_out = _middles(irreps_in), _middles(irreps_out)
        couplings = []
        for number, (i, o, m, crossed) in enumerate(self.terms):
            a, b = middle_in[i], middle_out[o]
            if m == 0:
                couplings.append((a, b, number, 1))
            elif crossed:
                couplings += [(a - m, b + m, number, 1), (a + m, b - m, number, -1)]
            else:
                couplings += [(a + m, b + m, number, 1), (a - m, b - m, number, 1)]
        terms = torch.tensor(couplings, dtype=torch.int64).view(-1, 4).T.contiguous()
        self.register_buffer("couplings", terms, persistent=False)

    def forward(
        self,
        features: list[Tensor],
        frames: list[Tensor],
        weight: Tensor,
        edges: Adjacency,
        *,
        reference: bool = False,
    ) -> list[Tensor]:
        """Convolve.

        Args:
            features: one [M, 2 l + 1, channels] per input irrep.
            frames: Wigner matrices [E, 2 l + 1, 2 l + 1] of the rotations that take each edge to
                the pole, one per degree.
            weight: [E, weights, channels].
            edges: which nodes the edges join.
            reference: form the messages instead of the fused kernel.

        Returns:
            one [edges.targets, 2 l + 1, channels] per output irrep.
        """
        plan = Plan(
            [ir.l for ir in self.irreps_in],
            [ir.l for ir in self.irreps_out],
            self.get_buffer("couplings"),
        )
        summed = so2_convolution(
            torch.cat(features, 1), frames, weight, plan, edges, reference=reference
        )
        return list(summed.split([ir.width for ir in self.irreps_out], dim=1))

    def from_paths(self, lmax: int) -> Tensor:
        """The change of weights under which this layer equals the sum over `Convolution`'s paths.

        Returns:
            [weights, paths] for `paths(irreps_in, lmax, irreps_out)`: multiply path weights
            [E, paths, channels] by it to get those of this layer.
        """
        path_list = paths(self.irreps_in, lmax, self.irreps_out)
        change = torch.zeros(len(self.terms), len(path_list), dtype=torch.float64)
        for row, (i, o, m, crossed) in enumerate(self.terms):
            l1, l3 = self.irreps_in[i].l, self.irreps_out[o].l
            for column, path in enumerate(path_list):
                if (path.source, path.target) == (i, o):
                    # At the pole harmonics are sqrt(2 l2 + 1) in m = 0 and nothing else.
                    matrix = coupling(l1, path.l2, l3)[:, path.l2] * (2 * path.l2 + 1) ** 0.5
                    change[row, column] = matrix[l1 - m if crossed else l1 + m, l3 + m]
        return change


def _middles(irreps: Sequence[Irrep]) -> list[int]:
    """The component m = 0 of every irrep when they lie one after the other."""
    middles, start = [], 0
    for ir in irreps:
        middles.append(start + ir.l)
        start += ir.width
    return middles


class FullyConnectedTensorProduct(ExactTables):
    """All products of two features into all outputs, every triple of channels with its weight.

    Equal to `e3nn.o3.FullyConnectedTensorProduct` (component normalisation, element path
    normalisation) with the same flat `weight`, in value and gradient.

    Args:
        irreps_in1, irreps_in2, irreps_out: text, e3nn `Irreps` or tuples.

    Raises:
        InputError: no path leads to the output.
    """

    def __init__(self, irreps_in1: Any, irreps_in2: Any, irreps_out: Any) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2 = parse(irreps_in1), parse(irreps_in2)
        self.irreps_out = parse(irreps_out)
        self.paths = [
            (i, j, o)
            for i, first in enumerate(self.irreps_in1)
            for j, second in enumerate(self.irreps_in2)
            for o, third in enumerate(self.irreps_out)
            if abs(first.l - second.l) <= third.l <= first.l + second.l
            and third.p == first.p * second.p
        ]
        if not self.paths:
            raise InputError(
                f"no product of {irreps_in1} and {irreps_in2} gives any of {irreps_out}"
            )
        self.shapes = [
            (self.irreps_in1[i].mul, self.irreps_in2[j].mul, self.irreps_out[o].mul)
            for i, j, o in self.paths
        ]
        fan_in = [0] * len(self.irreps_out)
        for (_, _, o), (u, v, _) in zip(self.paths, self.shapes):
            fan_in[o] += u * v
        self.weight = nn.Parameter(torch.randn(sum(u * v * w for u, v, w in self.shapes)))
        for number, (i, j, o) in enumerate(self.paths):
            table = coupling(self.irreps_in1[i].l, self.irreps_in2[j].l, self.irreps_out[o].l)
            self.register_exact(f"table_{number}", table / fan_in[o] ** 0.5)

    @classmethod
    def from_e3nn(cls, layer: Any) -> FullyConnectedTensorProduct:
        """A copy of an e3nn layer, weights included."""
        copy = cls(layer.irreps_in1, layer.irreps_in2, layer.irreps_out)
        copy = copy.to(layer.weight)
        with torch.no_grad():
            copy.weight.copy_(layer.weight)
        return copy

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """e3nn's vectors [..., dim1] and [..., dim2] -> [..., dim_out]."""
        edge = x.shape[:-1]
        first = split(x.reshape(-1, x.shape[-1]), self.irreps_in1)
        second = split(y.reshape(-1, y.shape[-1]), self.irreps_in2)
        out = [x.new_zeros(len(first[0]), ir.width, ir.mul) for ir in self.irreps_out]
        weights = self.weight.split([u * v * w for u, v, w in self.shapes])
        for number, ((i, j, o), (u, v, w)) in enumerate(zip(self.paths, self.shapes)):
            table = self.get_buffer(f"table_{number}")
            # operator[n, v, k, i]: the second factor as matrices that act on the first
            operator = torch.einsum("njv,ijk->nvki", second[j], table)
            product = torch.bmm(operator.flatten(1, 2), first[i])
            product = product.unflatten(1, (v, -1)).transpose(1, 2).flatten(2)  # [n, k, (v u)]
            weight = weights[number].view(u, v, w).transpose(0, 1).reshape(v * u, w)
            out[o] = out[o] + product @ weight
        return join(out).view(*edge, dim(self.irreps_out))


__all__ = [
    "Convolution",
    "FullyConnectedTensorProduct",
    "Linear",
    "SO2Convolution",
    "merged",
    "paths",
]
