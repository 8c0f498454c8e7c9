"""Networks from raw jets to logits: on any trunk, or a published network with its own weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sciml.errors import InputError, unknown
from sciml.jets.data.columns import ANGLES, FOUR_MOMENTUM
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, particle_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.networks.embedder import JetEmbedder
    from sciml.trunks.base import Trunk
    from sciml.trunks.pair_transformer import PairTransformerConfig


def default_trunk() -> PairTransformerConfig:
    """The trunk of the recipes for jets: 0.2M parameters."""
    from sciml.trunks.pair_transformer import PairTransformerConfig

    return PairTransformerConfig(
        dim=64, pair_dim=4, depth=3, heads=4, bias_hidden=32, symmetric_pairs=True,
        class_depth=1, dropout=0.1,
    )  # fmt: skip


def described_parts(embedder: JetEmbedder, trunk: Trunk) -> dict[str, Any]:
    """Plain values from which `built_parts` makes an embedder and a trunk of the same sizes."""
    from sciml.config import to_dict
    from sciml.trunks import name_of

    return {
        "features": embedder.features,
        "trunk": {"name": name_of(type(trunk)), **to_dict(trunk.config)},
    }


def built_parts(
    settings: Mapping[str, Any], trunk: str | type[Trunk] | None
) -> tuple[JetEmbedder, Trunk]:
    """A freshly initialised embedder and trunk; arguments as for `TrunkNetwork.build`."""
    from sciml import trunks
    from sciml.config import from_dict
    from sciml.jets.networks.embedder import JetEmbedder

    described = dict(settings["trunk"])
    kind = trunks.named_in_file(str(described.pop("name")), trunk)
    built = kind(from_dict(kind.Config, described))
    return JetEmbedder(built.dim, built.pair_dim, settings.get("features", "full")), built


class TrunkNetwork(nn.Module):
    """Embedder, trunk and a linear head on the graph's vector: raw batch -> logits."""

    kind = "trunk"

    def __init__(self, embedder: JetEmbedder, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.embedder, self.trunk, self.head = embedder, trunk, head

    @property
    def features(self) -> str:
        return self.embedder.features

    def forward(self, batch: Data) -> Tensor:
        """Raw batch (see `sciml.jets.networks.embedder`) -> logits [B, classes]."""
        return self.head(self.trunk(self.embedder(batch)).graph)

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuild the network."""
        return described_parts(self.embedder, self.trunk)

    @classmethod
    def build(
        cls, settings: Mapping[str, Any], classes: int, trunk: str | type[Trunk] | None = None
    ) -> TrunkNetwork:
        """A freshly initialised network.

        Args:
            settings: what `settings()` gave; they come from a file, which brings no code.
            classes: outputs of the head.
            trunk: the class, or its name, of a trunk of the caller's own that they are of.
        """
        embedder, built = built_parts(settings, trunk)
        return cls(embedder, built, nn.Linear(built.dim, classes))


class WeaverNetwork(nn.Module):
    """A published network behind the same raw batch."""

    kind = "weaver"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def features(self) -> str:
        """Name of the feature set that has the network's number of inputs.

        Raises:
            InputError: none has, or the network reads more than particles; then a data config or
                `weaver_logits` must give its inputs.
        """
        config: Any = self.network.config
        network = getattr(config, "network", config)
        hint = "Give a weaver data config (--data-config), or its tensors to weaver_logits"
        if network is not config:
            raise InputError("the network reads particles and secondary vertices", hint=hint)
        if getattr(network, "pair_extra", 0):
            raise InputError("the network reads extra features of pairs (pf_uu)", hint=hint)
        for name, columns in FEATURE_SETS.items():
            if len(columns) == config.features:
                return name
        raise InputError(
            f"the network reads {config.features} features per particle, which is no published set "
            f"({', '.join(f'{k}: {len(v)}' for k, v in FEATURE_SETS.items())})",
            hint=hint,
        )

    @property
    def reads_particles(self) -> bool:
        """Whether files of particles give all its inputs, so that `features` has an answer."""
        try:
            return bool(self.features)
        except InputError:
            return False

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> logits [B, classes]."""
        from sciml.jets.networks.particle_net import ParticleNet
        from sciml.jets.networks.particle_next import ParticleNeXt

        columns = list(FEATURE_SETS[self.features])
        features = particle_features(batch.x, batch.jet, batch.mask)[..., columns]
        features = features.to(next(self.network.parameters()).dtype)  # the network may be in half
        if isinstance(self.network, ParticleNet):
            # data configs pad jets to this length, however long the longest in a batch is
            return self.network(features, batch.x[..., ANGLES], batch.mask, length=MAX_PARTICLES)
        if isinstance(self.network, ParticleNeXt):
            both = torch.cat([batch.x[..., ANGLES], batch.x[..., FOUR_MOMENTUM]], -1)
            return self.network(features, both, batch.mask)
        return self.network(features, batch.x[..., FOUR_MOMENTUM], batch.mask)

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuild the network."""
        config = self.network.config
        return {
            "network": type(self.network).__name__,
            "config": dataclasses.asdict(config),  # type: ignore[call-overload]
        }

    @classmethod
    def build(cls, settings: Mapping[str, Any], classes: int) -> WeaverNetwork:
        """A freshly initialised network."""
        from sciml.config import from_dict
        from sciml.jets.networks import (
            particle_net,
            particle_next,
            particle_transformer,
            two_collections,
        )
        from sciml.jets.networks.particle_transformer_config import ParTConfig

        kinds: dict[str, tuple[Any, Any]] = {
            "ParticleNet": (particle_net.ParticleNet, particle_net.ParticleNetConfig),
            "ParticleTransformer": (particle_transformer.ParticleTransformer, ParTConfig),
            "ParticleNeXt": (particle_next.ParticleNeXt, particle_next.ParticleNeXtConfig),
            "ParticleNeXtTagger": (
                two_collections.ParticleNeXtTagger, two_collections.ParticleNeXtTaggerConfig),
            "ParticleNetTagger": (
                two_collections.ParticleNetTagger, two_collections.ParticleNetTaggerConfig),
            "ParticleTransformerTagger": (
                two_collections.ParticleTransformerTagger,
                two_collections.ParticleTransformerTaggerConfig),
        }  # fmt: skip
        name = str(settings["network"])[:60]
        if name not in kinds:
            raise unknown("network", name, kinds)
        kind, described = kinds[name]
        config = from_dict(described, settings["config"])
        if config.classes != classes:
            raise InputError(f"names {classes} classes for {config.classes} outputs")
        return cls(kind(config))
