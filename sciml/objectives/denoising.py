"""Coordinate denoising: positions get Gaussian noise, which the trunk predicts.

Zaidi et al. 2022, arXiv:2206.00133 ("Pre-training via denoising"): for small noise this learns the
gradient of the density that the positions come from, a force field. The prediction is a sum of
difference vectors with invariant weights (as in Satorras et al. 2021, arXiv:2102.09844, eq. 4), so
with an invariant or equivariant trunk the whole objective is equivariant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import layout, mean_nodes, optional
from sciml.objectives.base import Embedder, per_node, real, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class DenoisingConfig:
    """How far nodes are moved, and how the answer is put together."""

    sigma: Annotated[float, Range(min=0, exclusive=True)] = 0.1
    """Deviation of the noise on each coordinate [unit of the positions]."""
    relative: bool = True
    """Whether `sigma` is in units of each graph's own spread (root mean square radius)."""
    radial: Annotated[int, Range(min=2)] = 32
    """Number of radial functions in the vector head."""


class VectorHead(nn.Module):
    """Node embeddings and positions -> one vector per node, equivariant under rotations.

    v_i = 1/n sum_j sum_r a_r(h_i) b_r(h_j) g_r(|x_i - x_j| / s) (x_i - x_j) / (|x_i - x_j| + s)
    with Gaussians g_r and s the graph's spread. Pairs are all pairs (dense layout) or the batch's
    edges (ragged layout).
    """

    centres: Tensor

    def __init__(self, dim: int, radial: int) -> None:
        super().__init__()
        self.receiver = nn.Linear(dim, radial)
        self.sender = nn.Linear(dim, radial)
        self.register_buffer("centres", torch.linspace(0, 3, radial))

    def _basis(self, distance: Tensor) -> Tensor:
        width = 3 / (len(self.centres) - 1)
        return torch.exp(-(((distance.unsqueeze(-1) - self.centres.to(distance)) / width) ** 2) / 2)

    def forward(self, nodes: Tensor, pos: Tensor, spread: Tensor, batch: Data) -> Tensor:
        """[..., dim] nodes, [..., D] positions, [B] spread -> [..., D] vectors, of order 1."""
        a, b = self.receiver(nodes), self.sender(nodes)
        if layout(batch) == "dense":
            scale = spread[:, None, None]
            apart = pos[:, :, None] - pos[:, None, :]
            distance = _norm(apart)
            weight = torch.einsum("bir,bjr,bijr->bij", a, b, self._basis(distance / scale))
            weight = weight / (distance + scale) * batch.mask[:, None, :]
            number = batch.mask.sum(1)[:, None, None].clamp_min(1)
            return torch.einsum("bij,bijd->bid", weight, apart) / number
        edges = optional(batch, "edge_index")
        if edges is None:
            raise InputError(
                "denoising in the ragged layout needs `edge_index` in the batch",
                hint="Connect near nodes, or collate with layout='dense'",
            )
        source, target = edges
        scale = spread[batch.batch[target]]
        apart = pos[target] - pos[source]
        distance = _norm(apart)
        weight = (a[target] * b[source] * self._basis(distance / scale)).sum(-1)
        vectors = (weight / (distance + scale)).unsqueeze(-1) * apart
        number = weight.new_zeros(len(pos)).index_add(0, target, torch.ones_like(weight))
        number = number.clamp_min(1).unsqueeze(-1)
        return torch.zeros_like(pos).index_add(0, target, vectors.to(pos.dtype)) / number


def _norm(vectors: Tensor) -> Tensor:
    """Lengths over the last axis, with a zero gradient at zero length."""
    square = vectors.square().sum(-1)
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


class Denoising(nn.Module):
    """Mean squared error of the predicted noise in units of its deviation (1 = learned nothing).

    The mean over each graph is taken out of the noise: no translation-invariant trunk could see it.
    """

    Config = DenoisingConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: DenoisingConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.head = VectorHead(trunk.dim, self.config.radial)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch with freshly drawn noise.

        Raises:
            InputError: the batch has no positions.
        """
        return self.losses(batch, torch.randn_like(self._positions(batch)))

    def _positions(self, batch: Data) -> Tensor:
        pos = self.embedder.coordinates(batch)
        if pos is None:
            raise InputError(
                "denoising needs positions, and this batch has none",
                hint="Use the objective 'masked'",
            )
        return pos

    def losses(self, batch: Data, noise: Tensor) -> dict[str, Tensor]:
        """The losses with `noise` (unit deviation, the shape of the positions)."""
        pos = self._positions(batch)
        nodes = real(batch)
        noise = noise - per_node(mean_nodes(batch, noise), batch)
        centred = pos - per_node(mean_nodes(batch, pos), batch)
        square = centred.square().sum(-1, keepdim=True)
        spread = mean_nodes(batch, square)[:, 0].sqrt().clamp_min(1e-6).detach()
        sigma = self.config.sigma * (spread if self.config.relative else torch.ones_like(spread))
        moved = pos + per_node(sigma[:, None], batch) * noise
        encoded = self.trunk(self.embedder(self.embedder.displaced(batch, moved))).nodes
        predicted = self.head(encoded, moved, spread, batch)
        error = (wide(predicted) - wide(noise)).square().mean(-1).masked_fill(~nodes, 0.0)
        count = nodes.sum().to(error.dtype)
        loss = error.sum() / count.clamp_min(1)
        return {"loss": loss, "count": count, "noise_rms": loss.detach().sqrt()}
