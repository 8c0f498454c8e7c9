"""A tagger from weaver-core's weights and back, as methods of `JetTagger`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.weaver import checkpoints

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeaverBridge:
    """Mixin of a tagger whose `network` may be one of weaver-core's."""

    network: nn.Module

    @classmethod
    def from_weaver(
        cls,
        path: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        neighbours: int | Sequence[int] = 16,
        use_counts: bool = True,
        use_pre_activation_pair: bool = True,
        remove_self_pair: bool = False,
        activation: Literal["gelu", "relu"] = "gelu",
        block_ids_with_attn_mask: Sequence[int] | None = None,
    ) -> Self:
        """A ParticleNet or Particle Transformer from a weaver-core state dict.

        Args:
            path: .pt, .pth (read without running code) or .safetensors.
            classes: names of the outputs; JetClass's ten if there are ten.
            neighbours, use_counts: of ParticleNet, and with the rest what shapes cannot tell; see
                `weaver.checkpoints.build`.
            remove_self_pair, activation, block_ids_with_attn_mask: of the Particle Transformer.
            use_pre_activation_pair: the published JetClass checkpoints of the Particle Transformer
                need False: with weaver's own default (True) they load without complaint and give
                other logits.

        Raises:
            InputError: an unreadable file; unknown, missing or misshapen keys, by name.
        """
        network = checkpoints.build(
            checkpoints.read_state(path),
            where=path,
            neighbours=neighbours,
            use_counts=use_counts,
            use_pre_activation_pair=use_pre_activation_pair,
            remove_self_pair=remove_self_pair,
            activation=activation,
            block_ids_with_attn_mask=block_ids_with_attn_mask,
        )
        outputs = network.config.classes
        if classes is None:
            classes = CLASSES if outputs == len(CLASSES) else [f"class_{i}" for i in range(outputs)]
        if len(classes) != outputs:
            raise InputError(f"the network has {outputs} outputs, {len(classes)} classes are named")
        make: Any = cls
        return make(WeaverNetwork(network), classes).eval()

    def to_weaver(self, path: str | os.PathLike[str]) -> None:
        """Write the weights so that weaver-core loads them; see `weaver.checkpoints.write`.

        Raises:
            InputError: the network is none of weaver's.
        """
        checkpoints.write(getattr(self.network, "network", self.network), path)

    def weaver_logits(
        self, points: Tensor | None, features: Tensor, vectors: Tensor | None, mask: Tensor
    ) -> Tensor:
        """Logits [B, C] from tensors laid out as weaver's: [B, c, N], mask [B, 1, N].

        Raises:
            InputError: the network is none of weaver's.
        """
        if not isinstance(self.network, WeaverNetwork):
            raise InputError("only a tagger made by from_weaver takes weaver's tensors")
        network: Any = self.network.network
        return checkpoints.logits(network, points, features, vectors, mask)
