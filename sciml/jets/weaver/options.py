"""What a weaver state dict cannot tell: options of a network that leave no trace in its weights.

They are arguments of `JetTagger.from_weaver`, flags of the command line (`--weaver.activation
relu`), and are read from the settings of weaver's network script, written as YAML or JSON: the
keyword arguments of its `ParticleTransformer(...)`, `ParticleNet(...)`, `ParticleNeXt(...)` or
tagger.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from sciml.config import from_dict
from sciml.errors import InputError, nearest

Activation = Literal["gelu", "relu", "swiglu"]
PAIR_TYPES = {
    "pp": "pp", "ee": "ee", "rect": "xyzt:rectangular", "cart": "xyzt:rectangular",
    "sph": "xyzt:spherical", "cyl": "xyzt:cylindrical",
}  # fmt: skip
"""How weaver's names of pair inputs, or of their coordinates, begin, and our names."""


@dataclasses.dataclass(frozen=True)
class WeaverOptions:
    """Options of weaver's networks that weights do not tell, by weaver's names where it has them.

    Those without a default are needed only where a network could be either, and then asked for.
    """

    network: Path | None = None
    """Settings of weaver's network script as YAML or JSON (keyword arguments of its class); they
    give all options that are left out here, and the rest is compared with the weights."""
    neighbours: tuple[int, ...] = ()
    """Of the edge convolutions of ParticleNet (`conv_params`) or ParticleNeXt (`layer_params`): one
    number, or one per block; by default 16, as in ParticleNet's published weights, and 32."""
    use_counts: bool | None = None
    """False if a ParticleNet divides sums by the padded length (weaver's default: True)."""
    use_pre_activation_pair: bool | None = None
    """False if the pair embedding of a Particle Transformer ends with an activation, as in the
    published JetClass weights (weaver's default: True)."""
    remove_self_pair: bool | None = None
    """True if a Particle Transformer was trained with that option (weaver's default: False)."""
    activation: Activation | None = None
    """Of a Particle Transformer's embedding and blocks (weaver's default: gelu)."""
    block_activation: Activation | None = None
    """Of its particle blocks, where `block_params` gives another."""
    cls_block_activation: Activation | None = None
    """Of its class blocks, where `cls_block_params` gives another."""
    fc_activations: tuple[Activation, ...] = ()
    """Of the hidden layers of its classifier, the third entries of `fc_params`; relu if left out
    there."""
    block_ids_with_attn_mask: tuple[int, ...] | None = None
    """The particle blocks with the pair bias; all if left out."""
    pair_input_type: str | None = None
    """Kind of its pair features: pp, ee, xyzt:rectangular, xyzt:spherical or xyzt:cylindrical; pp
    if there are four."""
    num_heads: int | None = None
    """Attention heads, which versions 2 and 3 without a pair embedding do not tell."""
    cls_num_heads: int | None = None
    """Of class blocks, where `cls_block_params` gives another number."""
    reduction_dilation: tuple[tuple[int, int], ...] = ()
    """Scales of a ParticleNeXt's convolutions (third entries of `layer_params`): of all layers, or
    of each, one after the other; (8, 1) (4, 1) (2, 1) (1, 1) of 32 neighbours if there are four."""
    edge_aggregation: Literal["sum", "mean", "max"] | None = None
    """Of a ParticleNeXt without attention over edges."""
    global_aggregation: Literal["sum", "mean", "max"] | None = None
    """Of a ParticleNeXt without attention over particles."""
    use_rel_fts: bool | None = None
    """True if a ParticleNeXt was trained with that option (weaver's default: False)."""
    use_rel_dist: bool | None = None
    """The same; needed only where `update_coords` leaves open what five features of an edge are."""

    def resolved(self) -> tuple[WeaverOptions, dict[str, Any]]:
        """The options with those of `network` filled in, and the file's other settings.

        Raises:
            InputError: an unreadable file, or settings that no network of weaver's has.
        """
        if self.network is None:
            return self, {}
        options, rest = from_settings(read_settings(self.network), self.network)
        own = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) not in (None, ())
        }
        return dataclasses.replace(options, **own), rest


DEFAULTS = WeaverOptions()
IGNORED = {
    "trim", "for_inference", "use_amp", "compile_model", "weight_init", "fix_init", "version",
    "pair_embed_sparse_eval", "pf_input_dropout", "sv_input_dropout", "loss_fn", "lr",
    "input_dropout", "pt_dropout", "lorentz_vector_scale", "lorentz_vector_smear",
    "lorentz_vector_shift", "init_scale",
}  # fmt: skip
"""Settings that leave a network's answer as it is, or that its weights tell."""
COMPARED = {
    "input_dim", "input_dims", "num_classes", "num_layers", "num_cls_layers", "embed_dims",
    "pair_embed_dims", "pair_input_dim", "pair_extra_dim", "include_global_token", "use_fusion",
    "use_fts_bn", "pf_input_dim", "sv_input_dim", "pf_features_dims", "sv_features_dims",
    "use_conv_embed", "feature_input_dim", "node_dim", "use_polarization_angle",
    "use_rel_lv_fts", "update_coords", "lv_aggregation", "use_node_se", "use_edge_se",
}  # fmt: skip
"""Settings that the weights tell, too."""
FROM_WEIGHTS = {
    "conv_params", "fc_params", "block_params", "cls_block_params", "for_segmentation",
    "layer_params", "edge_input_dim", "edge_dim", "use_node_bn", "use_edge_bn",
}  # fmt: skip
BLOCK = {"activation", "num_heads"}


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A mapping from a YAML or JSON file.

    Raises:
        InputError: it is none.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"cannot be read ({reason})", where=path) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError("must be a mapping of a network's settings", where=path)
    return content


def from_settings(
    settings: Mapping[str, Any], where: object = None
) -> tuple[WeaverOptions, dict[str, Any]]:
    """Options from keyword arguments of a network of weaver's, and those the weights must agree to.

    Raises:
        InputError: a name that no network has (with the nearest), or an answer for every particle.
    """
    own = {field.name for field in dataclasses.fields(WeaverOptions)} - {"network"}
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name.endswith("_aggregation") and str(value).lower().startswith("attn"):
            continue  # its width is that of the weights
        if name in own:
            if value is not None:
                values[name] = value
        elif name not in IGNORED | COMPARED | FROM_WEIGHTS:
            close = nearest(name[:60], own | IGNORED | COMPARED | FROM_WEIGHTS)
            hint = f"Did you mean {close[0]}?" if close else None
            raise InputError(
                f"{name[:60]!r} is no setting of a weaver network", where=where, hint=hint
            )
    if settings.get("for_segmentation"):
        raise InputError(
            "for_segmentation: the network answers for every particle, not for jets", where=where
        )
    if settings.get("edge_input_dim"):
        raise InputError(
            "edge_input_dim: a ParticleNeXt with inputs of edges is not built here",
            where=where,
            hint="weaver-core itself runs it",
        )
    try:
        if convolutions := settings.get("conv_params"):
            values["neighbours"] = [row[0] for row in convolutions]
        if convolutions := settings.get("layer_params"):
            read = [_layer(row) for row in convolutions]
            values["neighbours"] = [neighbours for neighbours, _ in read]
            values["reduction_dilation"] = [list(scale) for _, scales in read for scale in scales]
        if layers := settings.get("fc_params"):
            # a ParticleNet's have no third entry, and always ReLU
            values["fc_activations"] = [row[2] if len(row) > 2 else "relu" for row in layers]
        for part, prefix in (("block_params", "block"), ("cls_block_params", "cls_block")):
            block = settings.get(part) or {}
            if "activation" in block:
                values[f"{prefix}_activation"] = block["activation"]
            if part == "cls_block_params" and "num_heads" in block:
                values["cls_num_heads"] = block["num_heads"]
            elif "num_heads" in block:
                values.setdefault("cls_num_heads", values.get("num_heads"))
                values["num_heads"] = block["num_heads"]
    except (TypeError, KeyError, IndexError) as error:
        raise InputError(
            f"conv_params, layer_params, fc_params or block_params are not as weaver's ({error})",
            where=where,
        ) from error
    values = {name: value for name, value in values.items() if value is not None}
    return from_dict(WeaverOptions, values, where=where), {
        name: settings[name] for name in COMPARED if settings.get(name) is not None
    }


def _layer(row: Any) -> tuple[int, list[Any]]:
    """Neighbours and scales of an entry of `layer_params`."""
    if isinstance(row, dict):
        return row["k"], row["rd"] or [(1, 1)]
    return row[0], (row[2] if len(row) > 2 else None) or [(1, 1)]


def pair_kind(pair_input_type: str) -> str:
    """Our name of weaver's `pair_input_type`.

    Raises:
        InputError: it has none such.
    """
    name = pair_input_type.lower()
    name = name.removeprefix("xyzt:") if name.startswith("xyzt:") else name
    for begin, ours in PAIR_TYPES.items():
        if name == begin or (len(begin) > 2 and name.startswith(begin)):
            return ours
    raise InputError(
        f"pair_input_type must be pp, ee, xyzt:rectangular, xyzt:spherical or xyzt:cylindrical, "
        f"got {pair_input_type[:60]!r}"
    )
