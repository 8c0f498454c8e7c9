"""Flavour tagging with several heads: class, origin of each track, shared vertices, jet pT.

The tasks of ATLAS's GN1 (ATL-PHYS-PUB-2022-027) and GN2 (arXiv:2505.19689), and of CMS's unified
Particle Transformer (CMS-DP-2025-081), on any trunk. The heads on tracks and pairs of tracks are
auxiliary: the truth of a simulation teaches the trunk what makes a flavour. pT comes as quantiles,
fitted with the pinball loss (Koenker and Bassett 1978, Econometrica 46, 33).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range, from_dict
from sciml.errors import InputError
from sciml.jets.data.columns import CHARGE, ORIGINS
from sciml.jets.networks.classifier import built_parts, described_parts
from sciml.objectives.base import mean_of, mlp, wide

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.networks.embedder import JetEmbedder
    from sciml.trunks.base import Trunk

PRIMARY = ORIGINS.index("primary")
"""Number of the origin at the primary vertex."""


@dataclass(frozen=True)
class HeadsConfig:
    """Settings of the heads."""

    classes: Annotated[int, Range(min=2)] = 5
    """Flavours."""
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    """Probabilities of the quantiles of pT, ascending."""
    hidden: Annotated[int, Range(min=1)] = 32
    """Hidden width of the heads on tracks and pairs."""

    def __post_init__(self) -> None:
        levels = list(self.quantiles)
        if not levels or levels != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise InputError(f"quantiles must ascend within (0, 1), got {levels}")


class TrackPairs(NamedTuple):
    """Pairs i < j of tracks of one jet: indices [P] of the jet and its constituents."""

    jet: Tensor
    first: Tensor
    second: Tensor


def track_pairs(tracks: Tensor) -> TrackPairs:
    """All pairs of the constituents [B, N] bool that are tracks."""
    both = tracks[:, :, None] & tracks[:, None, :]
    return TrackPairs(*both.triu(1).nonzero(as_tuple=True))


class Heads(NamedTuple):
    """Outputs of the heads.

    Attributes:
        classes: [B, classes] logits.
        log_pt: [B, quantiles] ln of pT / GeV.
        origins: [B, N, len(ORIGINS)] logits.
        vertex: [B, N, hidden * 2] what `FlavourNetwork.same_vertex` reads.
    """

    classes: Tensor
    log_pt: Tensor
    origins: Tensor
    vertex: Tensor


class FlavourNetwork(nn.Module):
    """Embedder, trunk and the heads: raw batch -> [B, classes + quantiles]."""

    kind = "flavour"

    def __init__(self, embedder: JetEmbedder, trunk: Trunk, config: HeadsConfig) -> None:
        super().__init__()
        self.embedder, self.trunk, self.config = embedder, trunk, config
        self.classes = nn.Linear(trunk.dim, config.classes)
        self.pt = nn.Linear(trunk.dim, len(config.quantiles))
        self.origins = mlp(2 * trunk.dim, config.hidden, len(ORIGINS))
        self.vertex = nn.Linear(trunk.dim, 2 * config.hidden)
        self.pair = nn.Linear(config.hidden, 1)

    @property
    def features(self) -> str:
        """Name of the feature set."""
        return self.embedder.features

    def heads(self, batch: Data) -> Heads:
        """All outputs of a raw batch (see `sciml.jets.networks.embedder`)."""
        encoded = self.trunk(self.embedder(batch))
        nodes, graph = encoded.nodes, encoded.graph
        # GN1 shows each track the jet's vector, too.
        both = torch.cat([nodes, graph[:, None].expand(nodes.shape)], dim=-1)
        log_pt = wide(self.pt(graph)) + wide(batch.jet[:, :1]).log()
        return Heads(
            wide(self.classes(graph)), log_pt, wide(self.origins(both)), self.vertex(nodes)
        )

    def same_vertex(self, vertex: Tensor, pairs: TrackPairs) -> Tensor:
        """Logits [P] that the tracks of each pair come from one vertex; symmetric."""
        added, multiplied = vertex.chunk(2, dim=-1)
        jet, first, second = pairs
        hidden = added[jet, first] + added[jet, second]
        hidden = hidden + multiplied[jet, first] * multiplied[jet, second]
        return wide(self.pair(F.gelu(hidden)))[:, 0]

    def forward(self, batch: Data) -> Tensor:
        """Logits of the classes and ln pT of the quantiles [B, classes + quantiles]."""
        heads = self.heads(batch)
        return torch.cat([heads.classes, heads.log_pt], dim=1)

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuild the network."""
        from sciml.config import to_dict

        return described_parts(self.embedder, self.trunk) | {"heads": to_dict(self.config)}

    @classmethod
    def build(
        cls, settings: Mapping[str, Any], outputs: int, trunk: str | type[Trunk] | None = None
    ) -> FlavourNetwork:
        """A freshly initialised network.

        Args:
            settings: what `settings()` gave; they come from a file, which brings no code.
            outputs: number of classes and quantiles together.
            trunk: the class, or its name, of a trunk of the caller's own that they are of.
        """
        config = from_dict(HeadsConfig, settings["heads"])
        if config.classes + len(config.quantiles) != outputs:
            raise InputError(f"names {outputs} outputs for other heads")
        return cls(*built_parts(settings, trunk), config)


@dataclass(frozen=True)
class FlavourLoss:
    """Weights of the terms of the loss; the class has weight 1."""

    origin: Annotated[float, Range(min=0)] = 0.5
    """Cross entropy of the origins of tracks (GN1: 0.5)."""
    vertex: Annotated[float, Range(min=0)] = 1.5
    """Binary cross entropy of pairs of tracks that share a vertex (GN1: 1.5)."""
    pt: Annotated[float, Range(min=0)] = 1.0
    """Pinball loss of ln pT."""

    @property
    def auxiliary(self) -> bool:
        """Whether there is any other loss than that of the class."""
        return bool(self.origin or self.vertex or self.pt)


class FlavourTagging(nn.Module):
    """The loss of a `FlavourNetwork` on batches with truth.

    Batch, beside the keys of raw jets: `y` [B] class; `node_origin` [B, N] index into `ORIGINS`,
    -1 = unknown; `node_vertex` [B, N] number of the vertex in the jet, -1 = unknown; `truth_pt` [B]
    GeV, 0 = unknown. Heads of weight 0 are not computed and stay as they are.
    """

    def __init__(self, network: FlavourNetwork, weights: FlavourLoss) -> None:
        super().__init__()
        self.network, self.weights = network, weights
        levels = torch.tensor(network.config.quantiles)
        self.register_buffer("levels", levels, persistent=False)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Losses of a raw batch with truth."""
        heads, weights = self.network.heads(batch), self.weights
        by_class, count = mean_of(F.cross_entropy(heads.classes, batch.y, reduction="none"))
        right = (heads.classes.argmax(1) == batch.y).float().mean()
        out = {"loss": by_class, "count": count, "class": by_class.detach(), "accuracy": right}
        if weights.origin:
            known = batch.node_origin >= 0
            terms = F.cross_entropy(
                heads.origins[known], batch.node_origin[known], reduction="none"
            )
            self._add(out, "origin", terms, weights.origin)
        if weights.vertex:
            pairs = track_pairs(batch.node_vertex >= 0)
            number = batch.node_vertex
            same = number[pairs.jet, pairs.first] == number[pairs.jet, pairs.second]
            logits = self.network.same_vertex(heads.vertex, pairs)
            terms = F.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
            self._add(out, "vertex", terms, weights.vertex)
        if weights.pt:
            known = batch.truth_pt > 0
            levels: Any = self.levels
            miss = batch.truth_pt[known].log()[:, None] - heads.log_pt[known]
            terms = torch.maximum(levels * miss, (levels - 1) * miss).mean(1)
            self._add(out, "pt", terms, weights.pt)
        return out

    @staticmethod
    def _add(out: dict[str, Tensor], name: str, terms: Tensor, weight: float) -> None:
        mean, _ = mean_of(terms)
        out["loss"] = out["loss"] + weight * mean
        out[name] = mean.detach()


def is_track(particles: Tensor, mask: Tensor) -> Tensor:
    """[B, N] bool, which constituents [B, N, 16] are charged and so have a track."""
    return mask & (particles[..., CHARGE] != 0)
