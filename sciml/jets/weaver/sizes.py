"""Sizes and options of weaver's networks, from the names and shapes of their weights.

What these do not tell comes from `WeaverOptions`; what neither tells is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from sciml.errors import InputError
from sciml.jets.networks.particle_net import ParticleNetConfig
from sciml.jets.networks.particle_transformer_config import Activation, BlockConfig, ParTConfig
from sciml.jets.networks.two_collections import (
    COLLECTIONS,
    ParticleNetTaggerConfig,
    ParticleTransformerTaggerConfig,
)
from sciml.jets.weaver.options import WeaverOptions, pair_kind
from sciml.weights.loading import layers

State = Mapping[str, Tensor]
NEIGHBOURS = 16
"""Of ParticleNet in the published weights."""
KINDS = "xyzt:rectangular, xyzt:spherical or xyzt:cylindrical"


def below(state: State, prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def _numbered(state: State, prefix: str, ndim: int) -> list[tuple[int, Tensor]]:
    """(number, weight) of `prefixN.weight` of this many axes, in order."""
    return sorted(
        (int(match[1]), value)
        for name, value in state.items()
        if (match := re.fullmatch(re.escape(prefix) + r"(\d{1,9})\.weight", name))
        and value.ndim == ndim
    )


def embedding(state: State, prefix: str = "embed.") -> tuple[tuple[int, ...], bool]:
    """Widths of a particle embedding, and whether it is made of convolutions."""
    convolutions = _numbered(state, f"{prefix}conv_embed.", 3)
    found = convolutions or _numbered(state, f"{prefix}embed.", 2)
    return tuple(len(weight) for _, weight in found), bool(convolutions)


def part_config(state: State, options: WeaverOptions) -> ParTConfig:
    """Of a Particle Transformer.

    Raises:
        InputError: an option that the weights contradict, or one that is needed and not given.
    """
    dim = len(state["norm.weight"])
    widths, convolution = embedding(state)
    depth, class_depth = layers(state, "blocks."), layers(state, "cls_blocks.")
    pair = _pair(state, options)
    heads = pair.pop("heads", None) or _heads(state, "blocks.0.", dim) or options.num_heads
    heads = heads or _heads(state, "cls_blocks.0.", dim)
    if heads is None:
        raise InputError(
            "the weights do not tell the number of attention heads", hint="Give num_heads"
        )
    if options.num_heads not in (None, heads):
        raise InputError(f"num_heads is {options.num_heads}, the weights have {heads} heads")
    first = "blocks.0." if depth else "cls_blocks.0."
    gated = first + "fc1_g.weight" in state
    if options.activation is None and gated and first + "c_attn" in state and widths:
        raise InputError(
            "the blocks have SwiGLU, and the activation of the embedding leaves no trace",
            hint="Give activation: swiglu (the embedding has ReLU then), or gelu where only "
            "block_params name swiglu",
        )
    activation: Activation = options.activation or "gelu"
    expansion = len(state[first + "fc1.weight"]) // dim if depth or class_depth else 4
    common: dict[str, Any] = {"heads": heads, "expansion": expansion, "activation": activation}
    class_heads = _heads(state, "cls_blocks.0.", dim) or options.cls_num_heads
    fc = _classifier(state, options)
    return ParTConfig(
        features=len(state["embed.input_bn.weight"]) if widths else dim,
        embed=widths,
        convolution=convolution,
        layers=depth,
        class_layers=class_depth,
        global_token="cls_token" in state and not class_depth,
        use_pre_activation_pair=options.use_pre_activation_pair is not False,
        remove_self_pair=options.remove_self_pair is True,
        bias_blocks=options.block_ids_with_attn_mask,
        rms_norm="norm.bias" not in state,
        block=_block(state, "blocks.0.", dim, None, options.block_activation, common),
        class_block=_block(
            state, "cls_blocks.0.", dim, class_heads, options.cls_block_activation, common
        ),
        **common,
        **pair,
        **fc,
    )


def _heads(state: State, prefix: str, dim: int) -> int | None:
    """Attention heads of a block, where its weights tell."""
    if (gain := state.get(prefix + "c_attn")) is not None:
        return len(gain)
    if (norm := state.get(prefix + "attn.q_norm.weight")) is not None:
        return dim // len(norm)
    gate = state.get(prefix + "attn.gate_proj.weight")
    return len(gate) if gate is not None and len(gate) != dim else None


def _block(
    state: State, prefix: str, dim: int, heads: int | None, activation: Activation | None,
    common: Mapping[str, Any],
) -> BlockConfig:  # fmt: skip
    """Options of a block; those that it shares with the network are left open."""
    if prefix + "fc1.weight" not in state:
        return BlockConfig()

    def has(name: str) -> bool:
        return prefix + name in state

    gated = has("fc1_g.weight")
    own: Activation = "swiglu" if gated else activation or common["activation"]
    if own == "swiglu" and not gated:
        raise InputError(f"the activation is swiglu, but {prefix}* has no fc1_g")
    if gated and activation not in (None, "swiglu"):
        raise InputError(f"the activation is {activation}, but {prefix}* has fc1_g (swiglu)")
    gate: Literal["none", "head", "element"] = "none"
    if has("attn.gate_proj.weight"):
        gate = "element" if len(state[prefix + "attn.gate_proj.weight"]) == dim else "head"
    expansion = len(state[prefix + "fc1.weight"]) // dim
    return BlockConfig(
        heads=0 if heads in (None, common["heads"]) else heads,
        expansion=0 if expansion == common["expansion"] else expansion,
        activation="" if own == common["activation"] else own,
        rms_norm=not has("pre_fc_norm.bias"),
        linear_bias=has("fc1.bias"),
        query_key_norm=has("attn.q_norm.weight"),
        gate=gate,
        attention_norm=has("post_attn_norm.weight"),
        hidden_norm=has("post_fc_norm.weight"),
        head_gain=has("c_attn"),
        residual_gain=has("w_resid"),
        layer_scale=has("ls1.gamma"),
        bias_gain=has("c_mask"),
    )


def _pair(state: State, options: WeaverOptions) -> dict[str, Any]:
    """Settings of the pair embedding, and `heads`."""
    weights = _numbered(state, "pair_embed.embed.", 3)
    extra = _numbered(state, "pair_embed.fts_embed.", 3)
    if not weights and not extra:
        return {"pair": ()}
    *hidden, last = [len(weight) for _, weight in weights or extra]
    count = len(state["pair_embed.embed.0.weight"]) if weights else 0
    if options.pair_input_type is not None:
        kind = pair_kind(options.pair_input_type)
    elif count in (0, 4):
        kind = "pp"
    else:
        likely = {6: "ee (or pp)", 7: KINDS}.get(count, f"pp, ee, {KINDS}")
        raise InputError(
            f"the weights do not tell which {count} pair features they are",
            hint=f"Give pair_input_type: {likely}",
        )
    return {
        "pair": tuple(hidden),
        "single_pair_layer": not hidden,
        "pair_kind": kind,
        "pair_features": count,
        "pair_extra": len(state["pair_embed.fts_embed.0.weight"]) if extra else 0,
        "pair_linear_bias": f"pair_embed.{'embed' if weights else 'fts_embed'}.1.bias" in state,
        "heads": last,
    }


def _classifier(state: State, options: WeaverOptions) -> dict[str, Any]:
    """Settings of the classifier."""
    depth = layers(state, "fc.") - 1
    widths, activations = [], []
    for number in range(depth):
        swiglu = f"fc.{number}.0.w12.weight" in state
        widths.append(len(state[f"fc.{number}.0.{'w3.' if swiglu else ''}weight"]))
        activations.append("swiglu" if swiglu else "relu")
    if options.fc_activations:
        if len(options.fc_activations) != depth:
            raise InputError(
                f"fc_activations names {len(options.fc_activations)} hidden layers, "
                f"the classifier has {depth}"
            )
        for number, name in enumerate(options.fc_activations):
            if (name == "swiglu") != (activations[number] == "swiglu"):
                raise InputError(f"hidden layer {number} of the classifier is not {name}")
        activations = list(options.fc_activations)
    return {
        "classes": len(state[f"fc.{depth}.weight"]),
        "hidden": tuple(widths),
        "hidden_activations": () if set(activations) <= {"relu"} else tuple(activations),
        "hidden_linear_bias": not depth or "fc.0.0.bias" in state or "fc.0.0.w12.bias" in state,
    }


def particle_net_config(state: State, options: WeaverOptions) -> ParticleNetConfig:
    """Of a ParticleNet."""
    each = options.neighbours if len(options.neighbours) > 1 else ()
    single = options.neighbours[0] if len(options.neighbours) == 1 else NEIGHBOURS
    channels = []
    for block in range(layers(state, "edge_convs.")):
        prefix = f"edge_convs.{block}.convs."
        names = [f"{prefix}{layer}.weight" for layer in range(layers(state, prefix))]
        channels.append(tuple(len(state[name]) for name in names))
    hidden = layers(state, "fc.") - 1
    fusion = state.get("fusion_block.0.weight")
    return ParticleNetConfig(
        features=state["edge_convs.0.convs.0.weight"].shape[1] // 2,
        classes=len(state[f"fc.{hidden}.weight"]),
        neighbours=max(each, default=single),
        neighbours_of_blocks=each,
        use_counts=options.use_counts is not False,
        channels=tuple(channels),
        input_norm="bn_fts.weight" in state,
        fusion=0 if fusion is None else len(fusion),
        hidden=tuple(len(state[f"fc.{layer}.0.weight"]) for layer in range(hidden)),
    )


def part_tagger_config(state: State, options: WeaverOptions) -> ParticleTransformerTaggerConfig:
    """Of a `ParticleTransformerTagger`, of particles and secondary vertices."""
    network = part_config(below(state, "part."), options)
    pf, sv = (len(state[f"{name}_embed.input_bn.weight"]) for name in COLLECTIONS)
    widths, _ = embedding(state, "pf_embed.")
    return ParticleTransformerTaggerConfig(features=(pf, sv), embed=widths, network=network)


def particle_net_tagger_config(state: State, options: WeaverOptions) -> ParticleNetTaggerConfig:
    """Of a `ParticleNetTagger`, of particles and secondary vertices."""
    network = particle_net_config(below(state, "pn."), options)
    pf, sv = (len(state[f"{name}_conv.conv.0.weight"]) for name in COLLECTIONS)
    return ParticleNetTaggerConfig(features=(pf, sv), network=network)


def compare(config: Any, settings: Mapping[str, Any], where: object = None) -> None:
    """Check that a network script's settings are those of the weights.

    Raises:
        InputError: names the first that is not.
    """
    network = getattr(config, "network", config)
    features = config.features if config is not network else (config.features, None)
    pair = getattr(network, "pair", ())
    told = {
        "input_dim": features[0], "input_dims": features[0], "num_classes": network.classes,
        "pf_input_dim": features[0], "sv_input_dim": features[1],
        "pf_features_dims": features[0], "sv_features_dims": features[1],
        "num_layers": getattr(network, "layers", None),
        "num_cls_layers": getattr(network, "class_layers", None),
        "embed_dims": getattr(config, "embed", None),
        "pair_embed_dims": pair if getattr(network, "biased", False) else None,
        "pair_input_dim": getattr(network, "pair_features", None),
        "pair_extra_dim": getattr(network, "pair_extra", None),
        "include_global_token": getattr(network, "global_token", None),
        "use_conv_embed": getattr(network, "convolution", None),
        "use_fusion": getattr(network, "fusion", 0) > 0,
        "use_fts_bn": getattr(network, "input_norm", None),
        "feature_input_dim": features[0],
        "node_dim": getattr(network, "node_width", None) if config is network else network.features,
        "use_polarization_angle": getattr(network, "polarisation", None),
        "use_rel_lv_fts": getattr(network, "pair_features", None),
        "update_coords": getattr(network, "update_points", None),
        "lv_aggregation": getattr(network, "momenta", None),
        "use_node_se": getattr(network, "node_gate", None),
        "use_edge_se": getattr(network, "edge_gate", None),
    }  # fmt: skip
    for name, value in settings.items():
        expected = told.get(name)
        if expected is None:
            continue
        value = tuple(value) if isinstance(value, list) else value
        if value != expected:
            raise InputError(f"says {name} = {value}, the weights have {expected}", where=where)
