"""Equivariant: E(3)-equivariant message passing with features of every degree.

NequIP's layer (Batzner et al. 2022, arXiv:2101.03164) with pre-normalisation and a residual, as in
EquiformerV2 (arXiv:2306.12059):

    edge   r_ij = x_j - x_i -> length -> radial weights; direction -> spherical harmonics Y
    message   sum_j  w(|r_ij|) * (linear(f_j) (x) Y(r_ij)),  path by path
    node   f_i + gate(linear(message_i / sqrt(degree)) + linear(f_i))

Features are irreps: "64x0e+32x1o+16x2e" is 64 scalars, 32 vectors, 16 symmetric traceless
matrices. From degree 3 on the product runs in the frame of each edge (eSCN, arXiv:2302.03655).
`nodes` and `graph` of the result are scalars, `vectors` rotate with the positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import mean_nodes, optional
from sciml.nn.irreps import (
    Irrep,
    aligning_rotation,
    merged,
    parse,
    spherical_harmonics,
    wigner_matrices,
)
from sciml.nn.scatter import Adjacency
from sciml.nn.tensor_products import Convolution, Linear, SO2Convolution
from sciml.trunks.base import Encoded, Trunk, TrunkConfig
from sciml.trunks.edges import EdgeRule, edges_of

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


MAX_DEGREE = 11
"""Highest degree of features, as in e3nn: tables of higher ones take minutes."""


@dataclass(frozen=True)
class EquivariantConfig(TrunkConfig):
    """Settings of `Equivariant`."""

    irreps: str = ""
    """Hidden features, as e3nn writes them ("64x0e+32x1o+16x2e"); empty = `dim` scalars, half as
    many vectors and a quarter as many of degree 2, and with `chiral` their mirror kinds."""
    depth: Annotated[int, Range(min=1)] = 3
    """Number of layers; at least three to distinguish mirror images."""
    edges: EdgeRule = "auto"
    """Edges: "given", "knn", "radius", "all"; "auto" = the first of given, knn."""
    k: Annotated[int, Range(min=1, max=4096)] = 16
    """Neighbours of a node, for "knn"."""
    cutoff: Annotated[float, Range(min=0, exclusive=True)] = 5.0
    """Length in the unit of `pos`: the radius of "radius", and the scale of the radial basis."""
    degree: Annotated[float, Range(min=0, exclusive=True)] = 16.0
    """Typical number of neighbours: sums over them are divided by its square root."""
    basis: Annotated[int, Range(min=1)] = 16
    """Radial basis functions."""
    radial_hidden: Annotated[int, Range(min=1)] = 64
    """Hidden width of the network from length to weights."""
    product: Literal["auto", "paths", "so2"] = "auto"
    """Tensor product: path by path, or in the edges' frames; "auto" = "so2" from degree 3 on."""
    chiral: bool = False
    """Let `nodes` receive pseudoscalars: mirror images differ, the symmetry is SE(3), not E(3)."""
    vectors: Annotated[int, Range(min=0)] = 1
    """Output vectors per node."""

    def __post_init__(self) -> None:
        highest = max((ir.l for ir in self.hidden()), default=0)
        if highest > MAX_DEGREE:
            raise InputError(f"`irreps` must have degrees up to {MAX_DEGREE}, got {highest}")

    def hidden(self) -> tuple[Irrep, ...]:
        """The irreps of the hidden layers, each (l, p) once."""
        if self.irreps:
            return merged(parse(self.irreps))
        half, quarter = max(1, self.dim // 2), max(1, self.dim // 4)
        text = f"{self.dim}x0e+{half}x1o+{quarter}x2e"
        if self.chiral:
            text += f"+{quarter}x0o+{quarter}x1e+{quarter}x2o"
        return merged(parse(text))


class RadialBasis(nn.Module):
    """Gaussians in exp(-r / cutoff): fine near zero, and of use at any distance (PhysNet, Unke
    and Meuwly 2019, arXiv:1902.08408, eq. 7). [E] -> [E, number]."""

    def __init__(self, number: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.centre: Tensor
        self.register_buffer("centre", torch.linspace(1.0, 0.0, number), persistent=False)
        self.width = (number / 2) ** 2

    def forward(self, length: Tensor) -> Tensor:
        near = torch.exp(-length / self.cutoff)
        return torch.exp(-self.width * (near.unsqueeze(-1) - self.centre) ** 2)


def envelope(ratio: Tensor) -> Tensor:
    """1 at 0, 0 from 1 on, with two continuous derivatives (DimeNet, arXiv:2003.03123, p = 5;
    factored, so that nothing cancels near the cut-off)."""
    polynomial = 1 + ratio * (3 + ratio * (6 + ratio * (10 + ratio * 15)))
    return (1 - ratio).clamp(min=0) ** 3 * polynomial


class EquivariantNorm(nn.Module):
    """Every kind divided by its root mean square over components and channels, times a weight.

    `eps` is large enough that a sum of directions that nearly cancel is not amplified.
    """

    def __init__(self, irreps: tuple[Irrep, ...], eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weights = nn.ParameterList(torch.ones(ir.mul) for ir in irreps)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [
            x * (x.square().mean((-1, -2), keepdim=True) + self.eps).rsqrt() * weight
            for x, weight in zip(features, self.weights)
        ]


class Gate(nn.Module):
    """SiLU on even scalars; every other channel is multiplied by the sigmoid of a scalar of its
    own (Weiler et al. 2018, arXiv:1807.02547). `irreps_in` = the output's with those scalars."""

    def __init__(self, irreps: tuple[Irrep, ...]) -> None:
        super().__init__()
        self.irreps = irreps
        self.scalars = sum(ir.mul for ir in irreps if ir.kind == (0, 1))
        self.gates = [ir.mul for ir in irreps if ir.kind != (0, 1)]
        self.irreps_in = merged((*irreps, Irrep(sum(self.gates), 0, 1)))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        # Even scalars come first among `merged` irreps.
        scalars, *gates = features[0].split([self.scalars, *self.gates], dim=-1)
        gated = [x * torch.sigmoid(gate) for x, gate in zip(features[1:], gates)]
        return [F.silu(scalars), *gated] if self.scalars else gated


class Radial(nn.Module):
    """Radial basis [E, inputs] -> weights, one [E, paths, channels] per shape."""

    def __init__(self, inputs: int, hidden: int, shapes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        # One linear layer per product, so that each gets its weights as one contiguous tensor.
        self.out = nn.ModuleList(nn.Linear(hidden, a * b, bias=False) for a, b in shapes)
        self.shapes = shapes

    def forward(self, basis: Tensor, scale: Tensor) -> list[Tensor]:
        hidden = self.hidden(basis) * scale.unsqueeze(-1)
        return [layer(hidden).unflatten(-1, shape) for layer, shape in zip(self.out, self.shapes)]


@dataclass
class Geometry:
    """What the layers need of the edges, computed once.

    adjacency; radial basis [E, basis + pair_dim]; weight [E] of each edge, the envelope, and zero
    for an edge without length; and harmonics [E, (lmax + 1)^2] or frames, one
    [E, 2 l + 1, 2 l + 1] per degree.
    """

    adjacency: Adjacency
    basis: Tensor
    weight: Tensor
    harmonics: Tensor | None
    frames: list[Tensor] | None


class Layer(nn.Module):
    """One round of messages; irreps in -> irreps out."""

    FORMER_NAMES: ClassVar = {
        "send": "linear_sender",
        "hear": "linear_message",
        "keep": "self_connection",
    }

    def __init__(
        self,
        irreps_in: tuple[Irrep, ...],
        irreps_out: tuple[Irrep, ...],
        *,
        lmax: int,
        so2: bool,
        inputs: int,
        radial_hidden: int,
        degree: float,
    ) -> None:
        super().__init__()
        self.scale = degree**-0.5
        self.norm = EquivariantNorm(irreps_in)
        self.gate = Gate(irreps_out)
        sender = irreps_in
        if so2:  # all kinds have the same width, since products act channel by channel
            channels = max(ir.mul for ir in irreps_in)
            sender = tuple(Irrep(channels, *ir.kind) for ir in irreps_in)
            self.product: SO2Convolution | Convolution = SO2Convolution(
                sender, irreps_out, channels
            )
            shapes = [self.product.weight_shape]
            receiver = tuple(Irrep(channels, *ir.kind) for ir in irreps_out)
        else:
            self.product = Convolution(sender, lmax, irreps_out)
            shapes = self.product.weight_shapes
            receiver = self.product.irreps_out
        self.radial = Radial(inputs, radial_hidden, shapes)
        self.linear_sender = Linear(irreps_in, sender)
        self.linear_message = Linear(receiver, self.gate.irreps_in)
        self.self_connection = Linear(irreps_in, self.gate.irreps_in, bias=True)
        self.residual = [
            next((n for n, old in enumerate(irreps_in) if old == ir), None) for ir in irreps_out
        ]

    def forward(self, features: list[Tensor], geometry: Geometry) -> list[Tensor]:
        normed = self.norm(features)
        weights = self.radial(geometry.basis, geometry.weight)
        sender = self.linear_sender(normed)
        if isinstance(self.product, SO2Convolution):
            assert geometry.frames is not None
            summed = self.product(sender, geometry.frames, weights[0], geometry.adjacency)
        else:
            assert geometry.harmonics is not None
            summed = self.product(sender, geometry.harmonics, weights, geometry.adjacency)
        message = self.linear_message([part * self.scale for part in summed])
        update = self.gate([a + b for a, b in zip(message, self.self_connection(normed))])
        return [
            new if old is None else new + features[old] for new, old in zip(update, self.residual)
        ]


class Equivariant(Trunk):
    """Steerable message passing; see the module's docstring."""

    Config = EquivariantConfig
    layout = "ragged"
    config: EquivariantConfig

    def __init__(self, config: EquivariantConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        hidden = c.hidden()
        if not hidden or hidden[0].kind != (0, 1):
            raise InputError(f"`irreps` must have even scalars (0e), got {c.irreps!r}")
        self.lmax = max(ir.l for ir in hidden)
        self.so2 = c.product == "so2" or (c.product == "auto" and self.lmax >= 3)
        self.basis = RadialBasis(c.basis, c.cutoff)
        scalars = (Irrep(c.dim, 0, 1),)
        self.layers = nn.ModuleList(
            Layer(
                scalars if number == 0 else hidden,
                hidden,
                lmax=self.lmax,
                so2=self.so2,
                inputs=c.basis + c.pair_dim,
                radial_hidden=c.radial_hidden,
                degree=c.degree,
            )
            for number in range(c.depth)
        )
        self.norm = EquivariantNorm(hidden)
        # Invariant under rotations; odd ones only where mirror images may differ.
        self.scalars = [n for n, ir in enumerate(hidden) if ir.l == 0 and (ir.p == 1 or c.chiral)]
        self.vectors = [n for n, ir in enumerate(hidden) if ir.l == 1 and (ir.p == -1 or c.chiral)]
        self.to_nodes = nn.Linear(sum(hidden[n].mul for n in self.scalars), c.dim)
        width = sum(hidden[n].mul for n in self.vectors)
        self.to_vectors = nn.Linear(width, c.vectors, bias=False) if width and c.vectors else None
        # Their tables come from e3nn, which cannot be traced: computed before any compilation.
        wigner_matrices(torch.eye(3), self.lmax)
        spherical_harmonics(torch.zeros(3), self.lmax)

    @property
    def symmetries(self) -> tuple[str, ...]:
        """E(3), or SE(3) where mirror images may differ."""
        return ("permutation", "SE(3)" if self.config.chiral else "E(3)")

    def geometry(self, batch: Data) -> Geometry:
        """Edges of a ragged batch and all that depends on positions alone, computed in single
        precision at least, returned in that of the features.

        Raises:
            InputError: the batch has no `pos` [S, 3].
        """
        c = self.config
        pos = optional(batch, "pos")
        if pos is None or pos.shape[-1] != 3:
            got = "none" if pos is None else f"width {pos.shape[-1]}"
            raise InputError(f"Equivariant needs positions `pos` of width 3, got {got}")
        edge_index, attr = edges_of(batch, c.edges, k=c.k, radius=c.cutoff)
        pos, dtype = pos.to(torch.promote_types(pos.dtype, torch.float32)), batch.x.dtype
        source, target = edge_index
        vector = pos.index_select(0, source) - pos.index_select(0, target)
        square = vector.square().sum(-1)
        # An edge of no length has no direction: it carries no message (`keep` is a node's own).
        # Its weight is zero instead of dropping it, so that shapes do not depend on data.
        apart = square > 0
        length = torch.where(apart, square, 1.0).sqrt()
        direction = vector / length.unsqueeze(-1)
        basis = self.basis(length).to(dtype)
        if c.pair_dim:
            if attr is None:
                attr = basis.new_zeros(len(basis), c.pair_dim)
            basis = torch.cat([basis, attr], -1)
        frames = harmonics = None
        if self.so2:
            frames = [m.to(dtype) for m in wigner_matrices(aligning_rotation(direction), self.lmax)]
        else:
            harmonics = torch.cat(spherical_harmonics(direction, self.lmax), -1).to(dtype)
        smooth = envelope(length / c.cutoff) * apart if c.edges == "radius" else apart
        edges = Adjacency.of(edge_index, len(pos))
        return Geometry(edges, basis, smooth.to(dtype), harmonics, frames)

    def encode(self, batch: Data) -> Encoded:
        """x [S, dim], pos [S, 3] -> nodes [S, dim], graph [B, dim], vectors [S, V, 3]."""
        geometry = self.geometry(batch)
        features = [batch.x.unsqueeze(1)]
        for layer in self.layers:
            features = layer(features, geometry)
        features = self.norm(features)
        nodes = self.to_nodes(torch.cat([features[n].squeeze(1) for n in self.scalars], -1))
        vectors = None
        if self.to_vectors is not None:
            turning = torch.cat([features[n] for n in self.vectors], -1)
            vectors = self.to_vectors(turning).mT
        return Encoded(nodes=nodes, graph=mean_nodes(batch, nodes), vectors=vectors)
