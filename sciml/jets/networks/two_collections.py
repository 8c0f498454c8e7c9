"""Taggers of two collections of a jet: particles (pf) and secondary vertices (sv).

weaver-core's `ParticleTransformerTagger` (also with extra pair features), `ParticleNetTagger` and
`ParticleNeXtTagger`: each collection has an embedding of its own; what comes out are the
constituents of one network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_next import Encoding, ParticleNeXt, ParticleNeXtConfig
from sciml.jets.networks.particle_transformer import Embedding, ParticleTransformer
from sciml.jets.networks.particle_transformer_config import ParTConfig

Positive = Annotated[int, Range(min=1)]

COLLECTIONS = ("pf", "sv")
"""Names of the collections, as in the inputs of weaver's data configs."""


@dataclasses.dataclass(frozen=True)
class Collection:
    """Constituents of one kind in each of B jets, padded.

    Attributes:
        features: [B, N, features].
        positions: [B, N, 4] four-momenta in GeV, [B, N, 2] points (deta, dphi), or [B, N, 6] both,
            points first.
        mask: [B, N] bool, True for a constituent.
    """

    features: Tensor
    positions: Tensor
    mask: Tensor


def joined(
    parts: Sequence[Collection], pairs: Tensor | None = None
) -> tuple[Collection, Tensor | None]:
    """Constituents of all collections, the real ones of each jet first.

    Args:
        parts: collections with features of the same width.
        pairs: [B, N, N, c] features of pairs of the first collection; others have zeros.
    """
    real = torch.cat([part.mask for part in parts], 1)
    rows = [torch.cat(x, 1) for x in zip(*((p.features, p.positions) for p in parts), strict=True)]
    if pairs is not None:
        more = real.shape[1] - pairs.shape[1]
        pairs = F.pad(pairs, (0, 0, 0, more, 0, more))
    if not torch.jit.is_tracing():
        order = torch.argsort((~real).to(torch.int8), dim=1, stable=True)
        real = real.gather(1, order)
        rows = [x.gather(1, order[..., None].expand_as(x)) for x in rows]
        if pairs is not None:
            pairs = pairs.gather(1, order[:, :, None, None].expand_as(pairs))
            pairs = pairs.gather(2, order[:, None, :, None].expand_as(pairs))
    return Collection(rows[0], rows[1], real), pairs


class Tagger(nn.Module):
    """What these taggers have in common: an embedding per collection, and a network of all."""

    network: ParticleTransformer | ParticleNet | ParticleNeXt

    def __init__(self, embeddings: Sequence[nn.Module]) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(dict(zip(COLLECTIONS, embeddings, strict=True)))

    def embedded(self, parts: Sequence[Collection]) -> list[Collection]:
        """The collections with features as wide as the network; those of padding are zero."""
        result = []
        for part, embedding in zip(parts, self.embeddings.values(), strict=True):
            real, width = part.mask[..., None], self.network.config.features
            if torch.jit.is_tracing():
                x = part.features.masked_fill(~real, 0.0)
                x = embedding(x.flatten(0, 1)).unflatten(0, part.mask.shape).masked_fill(~real, 0.0)
            else:  # padding takes no part in batch norms
                rows = part.features[part.mask]
                x = part.features.new_zeros(*part.mask.shape, width)
                x = x.masked_scatter(real, embedding(rows).to(x.dtype)) if len(rows) else x
            result.append(dataclasses.replace(part, features=x))
        return result


@dataclasses.dataclass(frozen=True)
class ParticleTransformerTaggerConfig:
    """Sizes of a `ParticleTransformerTagger`."""

    features: tuple[Positive, Positive]
    """Features per particle and per secondary vertex."""
    embed: tuple[Positive, ...]
    """Widths of both embeddings."""
    network: ParTConfig
    """The network, without an embedding, as wide as the last of `embed`."""

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.network.classes


class ParticleTransformerTagger(Tagger):
    """Particles and secondary vertices -> logits, by a Particle Transformer.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleTransformerTaggerConfig) -> None:
        relu = config.network.activation != "gelu"
        super().__init__([Embedding(n, config.embed, relu) for n in config.features])
        self.config = config
        self.network = ParticleTransformer(config.network)

    def forward(self, parts: Sequence[Collection], pairs: Tensor | None = None) -> Tensor:
        """Logits [B, classes] of particles and vertices with four-momenta; NaN for an empty jet.

        Args:
            parts: particles, vertices.
            pairs: [B, N, N, extra] further features of pairs of particles, if the network has them.
        """
        all_, pairs = joined(self.embedded(parts), pairs)
        return cast(Tensor, self.network(all_.features, all_.positions, all_.mask, pairs))


@dataclasses.dataclass(frozen=True)
class ParticleNetTaggerConfig:
    """Sizes of a `ParticleNetTagger`."""

    features: tuple[Positive, Positive]
    """Features per particle and per secondary vertex."""
    network: ParticleNetConfig
    """The network; its `features` are those that both embeddings give (32 in weaver-core)."""

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.network.classes


class FeatureLayer(nn.Module):
    """Batch norm, linear, batch norm, ReLU."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.linear = nn.Linear(features, width, bias=False)
        self.norm_2 = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[S, features] -> [S, width]."""
        return F.relu(self.norm_2(self.linear(self.norm(x))))


class ParticleNetTagger(Tagger):
    """Particles and secondary vertices -> logits, by a ParticleNet.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleNetTaggerConfig) -> None:
        super().__init__([FeatureLayer(n, config.network.features) for n in config.features])
        self.config = config
        self.network = ParticleNet(config.network)

    def forward(self, parts: Sequence[Collection], length: int | None = None) -> Tensor:
        """Logits [B, classes] of particles and vertices with points; NaN for an empty jet.

        Args:
            parts: particles, vertices.
            length: padded length of both together, see `ParticleNet`.
        """
        length = length or sum(part.mask.shape[1] for part in parts)
        all_, _ = joined(self.embedded(parts))
        inputs: Any = (all_.features, all_.positions, all_.mask, length)
        return cast(Tensor, self.network(*inputs))


@dataclasses.dataclass(frozen=True)
class ParticleNeXtTaggerConfig:
    """Sizes of a `ParticleNeXtTagger`."""

    features: tuple[Positive, Positive]
    """Features per particle and per secondary vertex."""
    network: ParticleNeXtConfig
    """The network, without an encoding of its own; its `features` are those that both embeddings
    give."""

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.network.classes


class ParticleNeXtTagger(Tagger):
    """Particles and secondary vertices -> logits, by a ParticleNeXt.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParticleNeXtTaggerConfig) -> None:
        width = config.network.features
        super().__init__([Encoding(n, width) for n in config.features])
        self.config = config
        self.network = ParticleNeXt(config.network)

    def forward(self, parts: Sequence[Collection]) -> Tensor:
        """Logits [B, classes] of particles and vertices with points and four-momenta; NaN for an
        empty jet.

        Args:
            parts: particles, vertices.
        """
        all_, _ = joined(self.embedded(parts))
        return cast(Tensor, self.network(all_.features, all_.positions, all_.mask))
