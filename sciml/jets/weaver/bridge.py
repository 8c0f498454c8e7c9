"""A tagger from weaver-core's weights and back, as methods of `JetTagger`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.weaver import checkpoints
from sciml.jets.weaver.options import Activation

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
        network: str | os.PathLike[str] | None = None,
        neighbours: int | Sequence[int] | None = None,
        use_counts: bool | None = None,
        use_pre_activation_pair: bool | None = None,
        remove_self_pair: bool | None = None,
        activation: Activation | None = None,
        block_activation: Activation | None = None,
        cls_block_activation: Activation | None = None,
        fc_activations: Sequence[Activation] = (),
        block_ids_with_attn_mask: Sequence[int] | None = None,
        pair_input_type: str | None = None,
        num_heads: int | None = None,
        cls_num_heads: int | None = None,
        reduction_dilation: Sequence[tuple[int, int]] = (),
        edge_aggregation: Literal["sum", "mean", "max"] | None = None,
        global_aggregation: Literal["sum", "mean", "max"] | None = None,
        use_rel_fts: bool | None = None,
        use_rel_dist: bool | None = None,
    ) -> Self:
        """A tagger from a state dict of weaver-core: a ParticleNet, a ParticleNeXt, a Particle
        Transformer of any version, or a tagger of particles and secondary vertices.

        Args:
            path: .pt, .pth (read without running code) or .safetensors.
            classes: names of the outputs; JetClass's ten if there are ten.
            network: settings of weaver's network script (YAML or JSON), which tell the rest.
            neighbours: of ParticleNet, 16 by default, or ParticleNeXt, 32.
            use_counts: of ParticleNet, True by default.
            use_pre_activation_pair: the published JetClass checkpoints of the Particle Transformer
                need False: with weaver's own default (True) they load without complaint and give
                other logits.
            remove_self_pair: like those that follow, of the Particle Transformer and explained at
                `sciml.jets.weaver.options.WeaverOptions`.
            activation: see there.
            block_activation: see there.
            cls_block_activation: see there.
            fc_activations: see there.
            block_ids_with_attn_mask: see there.
            pair_input_type: see there.
            num_heads: see there.
            cls_num_heads: see there.
            reduction_dilation: of a ParticleNeXt's scales, like those that follow; see there.
            edge_aggregation: see there.
            global_aggregation: see there.
            use_rel_fts: see there.
            use_rel_dist: see there.

        Raises:
            InputError: an unreadable file; unknown, missing or misshapen keys, by name; an option
                that is needed and not given, or that the weights contradict.
        """
        named: dict[str, Any] = {
            "network": None if network is None else Path(network),
            "neighbours": neighbours, "use_counts": use_counts,
            "use_pre_activation_pair": use_pre_activation_pair,
            "remove_self_pair": remove_self_pair, "activation": activation,
            "block_activation": block_activation, "cls_block_activation": cls_block_activation,
            "fc_activations": tuple(fc_activations) or None,
            "block_ids_with_attn_mask": block_ids_with_attn_mask,
            "pair_input_type": pair_input_type, "num_heads": num_heads,
            "cls_num_heads": cls_num_heads,
            "reduction_dilation": tuple(reduction_dilation) or None,
            "edge_aggregation": edge_aggregation, "global_aggregation": global_aggregation,
            "use_rel_fts": use_rel_fts, "use_rel_dist": use_rel_dist,
        }  # fmt: skip
        named = {name: value for name, value in named.items() if value is not None}
        built = checkpoints.build(checkpoints.read_state(path), where=path, **named)
        outputs = built.config.classes
        if classes is None:
            classes = CLASSES if outputs == len(CLASSES) else [f"class_{i}" for i in range(outputs)]
        if len(classes) != outputs:
            raise InputError(f"the network has {outputs} outputs, {len(classes)} classes are named")
        make: Any = cls
        return make(WeaverNetwork(built), classes).eval()

    def to_weaver(self, path: str | os.PathLike[str]) -> None:
        """Write the weights so that weaver-core loads them; see `weaver.checkpoints.write`.

        Raises:
            InputError: the network is none of weaver's.
        """
        checkpoints.write(getattr(self.network, "network", self.network), path)

    def weaver_logits(
        self,
        points: Tensor | None,
        features: Tensor,
        vectors: Tensor | None,
        mask: Tensor,
        **more: Tensor,
    ) -> Tensor:
        """Logits [B, C] from tensors laid out as weaver's: [B, c, N], mask [B, 1, N].

        Args:
            points, features, vectors, mask: of particles.
            more: `sv_features`, `sv_mask` and so on for a network that reads them; see
                `weaver.checkpoints.logits`.

        Raises:
            InputError: the network is none of weaver's, or a tensor is missing.
        """
        return checkpoints.logits(self._weaver(), points, features, vectors, mask, **more)

    def weaver_inputs(self) -> tuple[str, ...]:
        """Names of the tensors that the network reads, as weaver's data configs name them.

        Raises:
            InputError: the network is none of weaver's.
        """
        return checkpoints.needed_inputs(self._weaver())

    def _weaver(self) -> Any:
        if not isinstance(self.network, WeaverNetwork):
            raise InputError("only a tagger made by from_weaver takes weaver's tensors")
        return self.network.network
