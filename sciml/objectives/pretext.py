"""Pretext tasks with free labels: how a graph was rotated, how its tiles were shuffled.

Rotation (Gidaris et al. 2018, arXiv:1803.07728) and jigsaw order (Noroozi & Favaro 2016,
arXiv:1603.09246). The third of the family, the missing patch, is `objectives.masked.MissingPatch`.
A task whose answer the trunk cannot see in principle is refused on the first batch.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import is_node_key, is_pair_key, layout, number_of_graphs
from sciml.nn.constants import constant
from sciml.objectives.base import Embedder, changed, mlp, per_node, position, real, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


class _Pretext(nn.Module):
    """Change each graph in one of K ways, classify the way from the graph embedding."""

    blind = ""  # the message for a trunk that cannot see the change

    def __init__(self, trunk: Trunk, embedder: Embedder, classes: int) -> None:
        super().__init__()
        self.trunk, self.embedder = trunk, embedder
        self.head = mlp(trunk.dim, trunk.dim, classes)
        self.classes = classes
        self.checked = False

    def ways(self, batch: Data) -> int:
        """Number of ways in which the graphs of this batch can be changed, at most `classes`."""
        return self.classes

    def altered(self, batch: Data, which: Tensor) -> Data:
        """The raw batch with graph b changed in way `which[b]`; way 0 changes nothing."""
        raise TypeError(f"{type(self).__name__} must define altered(batch, which)")

    def losses(self, batch: Data, which: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the way in which each graph was changed."""
        if not self.checked:
            self._check_seen(batch)
            self.checked = True
        logits = wide(self.head(self.trunk(self.embedder(self.altered(batch, which))).graph))
        logits = logits[:, : self.ways(batch)]
        return {
            "loss": F.cross_entropy(logits, which),
            "count": torch.full((), float(len(which)), device=logits.device),
            "accuracy": (logits.argmax(1) == which).float().mean().detach(),
        }

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch, each graph changed in a random way."""
        ways, graphs = self.ways(batch), number_of_graphs(batch)
        return self.losses(batch, torch.randint(ways, (graphs,), device=batch.x.device))

    @torch.no_grad()
    def _check_seen(self, batch: Data) -> None:
        training = self.training
        self.eval()
        graphs, ways = number_of_graphs(batch), self.ways(batch)
        plain = self.trunk(self.embedder(batch)).graph.float()
        scale = plain.abs().max().clamp_min(1e-6)
        change = 0.0
        for way in {1, ways // 2, ways - 1}:
            which = torch.full((graphs,), way, device=batch.x.device)
            other = self.trunk(self.embedder(self.altered(batch, which))).graph.float()
            change = max(change, float((other - plain).abs().max() / scale))
        self.train(training)
        if change < 1e-4:
            raise self.refusal(self.trunk, f"its output changes by a relative {change:.0e}")

    def refusal(self, trunk: Trunk, evidence: str) -> InputError:
        """Why this task cannot train `trunk`."""
        return InputError(
            f"the trunk {type(trunk).__name__} {self.blind} ({evidence}), so this task has no "
            "answer that it could learn",
            hint="Use 'denoising' or 'masked', or a trunk and an embedder that see it",
        )


def rotations(dimensions: int) -> Tensor:
    """[K, D, D], the identity first: 4 quarter turns of the plane, 24 rotations of the cube.

    In four dimensions (E, px, py, pz) the last three are rotated.

    Raises:
        InputError: not 2, 3 or 4 dimensions.
    """
    if dimensions == 4:
        cube = rotations(3)
        four = torch.zeros(len(cube), 4, 4)
        four[:, 0, 0] = 1
        four[:, 1:, 1:] = cube
        return four
    if dimensions not in (2, 3):
        raise InputError(f"rotations exist here in 2, 3 or 4 dimensions, got {dimensions}")
    matrices = []
    for axes in itertools.permutations(range(dimensions)):
        for signs in itertools.product((1.0, -1.0), repeat=dimensions):
            matrix = torch.zeros(dimensions, dimensions)
            matrix[range(dimensions), axes] = torch.tensor(signs)
            if torch.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return torch.stack(sorted(matrices, key=lambda m: -float(m.trace())))


_rotations = functools.cache(rotations)


@dataclass(frozen=True)
class RotationConfig:
    """The space in which graphs are rotated."""

    dimensions: Annotated[int, Range(min=0, max=4)] = 0
    """Dimensions of the positions: 2 (a jet's eta-phi plane), 3, or 4 for four-momenta (E, px, py,
    pz); 0 = as many as the batch's positions have."""

    def __post_init__(self) -> None:
        if self.dimensions == 1:
            raise InputError("rotations need at least 2 `dimensions`, got 1")


class Rotation(_Pretext):
    """Which rotation of the cube (in two dimensions, of the square) the graph underwent."""

    Config = RotationConfig
    blind = "is rotation-invariant: it gives the same output for every orientation of its input"
    matrices: Tensor

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: RotationConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        config = config or self.Config()
        matrices = rotations(config.dimensions or 3)
        super().__init__(trunk, embedder, len(matrices))
        promised = [g for g in getattr(trunk, "symmetries", ()) if g != "permutation"]
        if promised:
            raise self.refusal(trunk, f"it promises the symmetry {', '.join(promised)}")
        self.config = config
        self.register_buffer("matrices", matrices)

    def positions(self, batch: Data) -> Tensor:
        """[..., D] what is rotated.

        Raises:
            InputError: the batch has no positions, or not in as many dimensions as set.
        """
        pos = self.embedder.coordinates(batch)
        allowed = (self.config.dimensions,) if self.config.dimensions else (2, 3, 4)
        if pos is None or pos.shape[-1] not in allowed:
            got = "none" if pos is None else f"{pos.shape[-1]} dimensions"
            listed = " or ".join(map(str, allowed))
            raise InputError(
                f"rotations need positions in {listed} dimensions, got {got}",
                hint="Set objective.dimensions, or choose another objective",
            )
        return pos

    def ways(self, batch: Data) -> int:
        """4 quarter turns of a plane, else 24."""
        return 4 if self.positions(batch).shape[-1] == 2 else self.classes

    def altered(self, batch: Data, which: Tensor) -> Data:
        """Each graph rotated about the origin."""
        pos = self.positions(batch)
        fits = self.matrices.shape[-1] == pos.shape[-1]
        if fits:
            matrix = self.matrices.to(pos)[which]
        else:
            matrix = constant(_rotations(pos.shape[-1]), pos.device, pos.dtype)[which]
        if layout(batch) == "dense":
            rotated = torch.einsum("bij,bnj->bni", matrix, pos)
        else:
            rotated = torch.einsum("nij,nj->ni", matrix[batch.batch], pos)
        return self.embedder.displaced(batch, rotated)


def permutations(tiles: int, number: int) -> Tensor:
    """[K, tiles] int64: the identity, then greedily those of the largest Hamming distance."""
    if tiles <= 6:
        every = torch.tensor(list(itertools.permutations(range(tiles))))
    else:
        random = torch.Generator().manual_seed(0)
        every = torch.stack(
            [torch.arange(tiles)] + [torch.randperm(tiles, generator=random) for _ in range(2000)]
        )
        every = torch.unique(every, dim=0)  # sorted, so the identity stays first
    chosen = [0]
    distance = (every != every[0]).sum(1)
    while len(chosen) < min(number, len(every)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (every != every[chosen[-1]]).sum(1))
    return every[chosen]


@dataclass(frozen=True)
class JigsawConfig:
    """Tiles and orders."""

    grid: Annotated[int, Range(min=2, max=8)] = 2
    """Tiles along each axis of the positions."""
    dimensions: Annotated[int, Range(min=0, max=3)] = 2
    """Dimensions of the positions that are tiled (the first ones); 0 tiles a sequence into runs."""
    orders: Annotated[int, Range(min=2, max=1000)] = 24
    """Number of orders to tell apart, far from each other in Hamming distance."""


class Jigsaw(_Pretext):
    """In which order the tiles of a graph (or the runs of a sequence) were put back."""

    Config = JigsawConfig
    blind = "does not see the order of tiles"
    orders: Tensor

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: JigsawConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        config = config or self.Config()
        orders = permutations(config.grid ** max(1, config.dimensions), config.orders)
        super().__init__(trunk, embedder, len(orders))
        self.config = config
        self.register_buffer("orders", orders)

    def altered(self, batch: Data, which: Tensor) -> Data:
        """Each graph with its tiles in order `which[b]`."""
        order = self.orders[which]
        if self.config.dimensions == 0:
            return _reordered(batch, order)
        pos = self.embedder.coordinates(batch)
        if pos is None or pos.shape[-1] < self.config.dimensions:
            raise InputError(
                f"tiles in {self.config.dimensions} dimensions need positions with as many",
                hint="Set objective.dimensions (0 tiles a sequence)",
            )
        used = pos[..., : self.config.dimensions]
        low, high = _extent(used, batch)
        side = ((high - low) / self.config.grid).clamp_min(1e-12)
        low, side = per_node(low, batch), per_node(side, batch)
        cell = ((used - low) / side).floor().clamp(0, self.config.grid - 1)
        powers = self.config.grid ** torch.arange(self.config.dimensions, device=pos.device)
        tile = (cell.long() * powers).sum(-1)
        if layout(batch) == "dense":
            new = order.gather(1, tile)
        else:
            new = order[batch.batch, tile]
        new_cell = new.unsqueeze(-1) // powers % self.config.grid
        moved = pos.clone()
        moved[..., : self.config.dimensions] = used + (new_cell - cell) * side
        return self.embedder.displaced(batch, moved)


def _extent(pos: Tensor, batch: Data) -> tuple[Tensor, Tensor]:
    """([B, D] smallest, [B, D] largest) coordinates of each graph's real nodes."""
    if layout(batch) == "dense":
        padding = ~batch.mask.unsqueeze(-1)
        return (
            pos.masked_fill(padding, torch.inf).amin(1),
            pos.masked_fill(padding, -torch.inf).amax(1),
        )
    index = batch.batch[:, None].expand_as(pos)
    empty = pos.new_empty(number_of_graphs(batch), pos.shape[1])
    return (
        empty.scatter_reduce(0, index, pos, "amin", include_self=False),
        empty.scatter_reduce(0, index, pos, "amax", include_self=False),
    )


def _reordered(batch: Data, order: Tensor) -> Data:
    """A dense batch whose sequences are cut into equal runs, run t moved to `order[b, t]`."""
    if layout(batch) != "dense":
        raise InputError(
            "the order of a sequence needs the dense layout",
            hint="In the ragged layout set objective.dimensions to 1, 2 or 3",
        )
    nodes, tiles = real(batch), order.shape[1]
    at = position(batch)
    length = nodes.sum(1, keepdim=True).clamp_min(1)
    run = (at * tiles // length).clamp_max(tiles - 1)
    key = order.gather(1, run) * nodes.shape[1] + at
    key = key.masked_fill(~nodes, torch.iinfo(torch.int64).max)
    source = key.argsort(dim=1, stable=True)
    rows = torch.arange(len(source), device=source.device)[:, None]
    values = {}
    for name in batch.keys():
        if is_node_key(name) and name != "pos":
            values[name] = batch[name][rows, source]
        elif is_pair_key(name):
            values[name] = batch[name][rows[..., None], source[:, :, None], source[:, None, :]]
    return changed(batch, **values)
