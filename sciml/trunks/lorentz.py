"""Lorentz: message passing on four-vectors, equivariant under rotations and boosts.

LorentzNet (Gong et al. 2022, arXiv:2201.08187), with <a, b> = E E' - p . p',
psi(z) = sign(z) log(|z| + 1), and invariants s_ij = (psi(|x_i - x_j|^2), psi(<x_i, x_j>)):

    m_ij = phi_e(h_i, h_j, s_ij)                              messages
    x_i <- x_i + step * mean_j phi_x(m_ij) x_j                four-vectors
    h_i <- h_i + phi_h(h_i, mean_j phi_m(m_ij) m_ij)          scalars; phi_m in 0..1

(means where the paper has sums, so that a jet's size does not set the scale, and layer norm for
batch norm). Four-vectors are `pos` = (E, px, py, pz), in GeV, which suits the scale of psi.

A collider has a beam, and its laboratory a time: spurions. `beam` gives nodes the plane of time
and beam by its metric, E E' - pz pz', which leaves rotations about the beam, boosts along it
and its reflection; `time` gives them energies, which leaves rotations.

In float32 a mass below a thousandth of the energy is round-off: E^2 - p^2 has lost it. So
four-vectors and their products stay in float32 where the network runs in half precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import mean_nodes, optional
from sciml.nn.constants import constant
from sciml.trunks.base import Encoded, Trunk, TrunkConfig

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


@dataclass(frozen=True)
class LorentzConfig(TrunkConfig):
    """Settings of `Lorentz`."""

    dim: Annotated[int, Range(min=1)] = 72
    """Width of node features, in and out."""
    depth: Annotated[int, Range(min=1)] = 6
    """Number of blocks."""
    hidden: Annotated[int, Range(min=0)] = 0
    """Width of messages; 0 = `dim`."""
    step: float = 1e-3
    """Size of an update of the four-vectors (c in the paper)."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.0
    """Probability of dropping a hidden unit of the node network in training."""
    beam: bool = False
    """Single out the beam, the z axis: rotations about it and boosts along it stay symmetries."""
    time: bool = False
    """Single out the laboratory's time: rotations stay symmetries (with `beam`, those about it)."""


METRIC = torch.tensor([1.0, -1.0, -1.0, -1.0])
LONGITUDINAL = torch.tensor([1.0, 0.0, 0.0, -1.0])


def psi(z: Tensor) -> Tensor:
    """sign(z) log(|z| + 1): linear near zero, logarithmic far out."""
    return z.sign() * torch.log1p(z.abs())


def products(x: Tensor, longitudinal: bool = False) -> Tensor:
    """All products <x_i, x_j> of four-vectors, [B, N, 4] -> [B, N, N]; only over (E, pz) if
    `longitudinal`."""
    metric = constant(LONGITUDINAL if longitudinal else METRIC, x.device, x.dtype)
    return (x * metric) @ x.mT


class LorentzBlock(nn.Module):
    """One round: scalars [B, N, dim] and four-vectors [B, N, 4] to new ones."""

    FORMER_NAMES: ClassVar = {
        "edge_i": "phi_e_i",
        "edge_j": "phi_e_j",
        "edge_s": "phi_e_s",
        "edge": "phi_e",
        "weigh_x": "phi_x",
        "weigh_m": "phi_m",
        "node": "phi_h",
    }

    def __init__(self, config: LorentzConfig) -> None:
        super().__init__()
        c, hidden = config, config.hidden or config.dim
        self.step = c.step
        self.longitudinal = c.beam
        invariants = 3 if self.longitudinal else 2
        self.norm = nn.LayerNorm(c.dim)
        # phi_e's first layer on (h_i, h_j, s_ij) is a sum of three: only s_ij is work per pair.
        self.phi_e_i = nn.Linear(c.dim, hidden)
        self.phi_e_j = nn.Linear(c.dim, hidden, bias=False)
        self.phi_e_s = nn.Linear(invariants + c.pair_dim, hidden, bias=False)
        self.phi_e = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.phi_x = nn.Sequential(
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1, bias=False)
        )
        self.phi_m = nn.Linear(hidden, 1)
        self.phi_h = nn.Sequential(
            nn.Linear(c.dim + hidden, 2 * hidden),
            nn.SiLU(),
            nn.Dropout(c.dropout),
            nn.Linear(2 * hidden, c.dim),
        )

    def invariants(self, x: Tensor) -> Tensor:
        """psi of |x_i - x_j|^2, <x_i, x_j> and, with a beam, its part in that plane."""
        with torch.autocast(x.device.type, enabled=False):
            product = products(x)
            plane = products(x, longitudinal=True) if self.longitudinal else None
        mass = product.diagonal(dim1=1, dim2=2)
        distance = mass.unsqueeze(1) + mass.unsqueeze(2) - 2 * product
        invariants = [distance, product] + ([] if plane is None else [plane])
        return psi(torch.stack(invariants, -1))

    def forward(
        self, h: Tensor, x: Tensor, others: Tensor, share: Tensor, pair: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One round.

        Args:
            h: scalars [B, N, dim].
            x: four-vectors [B, N, 4].
            others: [B, N, N], 1 where i and j are two real nodes, else 0.
            share: [B, N, 1], one over the number of others.
            pair: [B, N, N, pair_dim] or None.
        """
        normed = self.norm(h)
        s = self.invariants(x).to(h.dtype)
        if pair is not None:
            s = torch.cat([s, pair], -1)
        m = self.phi_e_i(normed).unsqueeze(2) + self.phi_e_j(normed).unsqueeze(1) + self.phi_e_s(s)
        m = self.phi_e(m)
        weight_x = self.phi_x(m).squeeze(-1) * others
        weight_m = torch.sigmoid(self.phi_m(m).squeeze(-1)) * others
        with torch.autocast(x.device.type, enabled=False):
            x = x + self.step * share.to(x.dtype) * (weight_x.to(x.dtype) @ x)
        message = share * torch.einsum("bij,bijc->bic", weight_m, m)
        return h + self.phi_h(torch.cat([normed, message], -1)), x


class Lorentz(Trunk):
    """Lorentz-equivariant message passing between all pairs; see the module's docstring."""

    Config = LorentzConfig
    FORMER_NAMES: ClassVar = {"of_node": "embedding"}
    layout = "dense"
    config: LorentzConfig

    def __init__(self, config: LorentzConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        self.embedding = nn.Linear(1 + c.beam + c.time, c.dim)
        self.blocks = nn.ModuleList(LorentzBlock(c) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.dim)

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Lorentz, or the collider's part of it; what `time` leaves has no name here."""
        if self.config.time:
            return ("permutation",)
        return ("permutation", "collider" if self.config.beam else "Lorentz")

    def node_invariants(self, x: Tensor) -> Tensor:
        """psi of mass^2, with `beam` of transverse mass^2, with `time` of energy: [B, N, 1..3]."""
        square = x.square()
        invariants = [square[..., 0] - square[..., 1:].sum(-1)]
        if self.config.beam:
            invariants.append(square[..., 0] - square[..., 3])
        if self.config.time:
            invariants.append(x[..., 0])
        return psi(torch.stack(invariants, -1))

    def encode(self, batch: Data) -> Encoded:
        """x [B, N, dim], pos [B, N, 4] -> nodes [B, N, dim], graph [B, dim], vectors [B, N, 1, 4].

        Raises:
            InputError: the batch has no `pos` of width 4.
        """
        four = optional(batch, "pos")
        if four is None or four.shape[-1] != 4:
            got = "none" if four is None else f"width {four.shape[-1]}"
            raise InputError(
                f"Lorentz needs four-vectors (E, px, py, pz) as `pos` of width 4, got {got}"
            )
        mask = batch.mask
        real = mask.unsqueeze(-1)
        four = torch.where(real, four, 0.0).to(torch.promote_types(four.dtype, torch.float32))
        h = torch.where(real, batch.x, 0.0)
        h = h + self.embedding(self.node_invariants(four).to(h.dtype))
        pair = optional(batch, "pair") if self.config.pair_dim else None
        if pair is None and self.config.pair_dim:
            pair = h.new_zeros(*mask.shape, mask.shape[1], self.config.pair_dim)
        if pair is not None:
            pair = torch.where((mask.unsqueeze(1) & mask.unsqueeze(2)).unsqueeze(-1), pair, 0.0)
        itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        others = (mask.unsqueeze(1) & mask.unsqueeze(2) & ~itself).to(h.dtype)
        share = 1 / others.sum(-1, keepdim=True).clamp(min=1)
        for block in self.blocks:
            h, four = block(h, four, others, share, pair)
        nodes = torch.where(real, self.norm(h), 0.0)
        four = torch.where(real, four, 0.0)
        return Encoded(nodes=nodes, graph=mean_nodes(batch, nodes), vectors=four.unsqueeze(-2))
