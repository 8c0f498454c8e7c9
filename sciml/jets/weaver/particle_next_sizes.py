"""Sizes and options of a ParticleNeXt, from the names and shapes of its weights in weaver-core.

What these do not tell comes from `WeaverOptions`; what neither tells is asked for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sciml.errors import InputError
from sciml.jets.networks.particle_next import NextLayerConfig, ParticleNeXtConfig
from sciml.jets.networks.two_collections import COLLECTIONS, ParticleNeXtTaggerConfig
from sciml.jets.weaver.options import WeaverOptions
from sciml.jets.weaver.sizes import State, below
from sciml.weights.loading import layers

NEIGHBOURS = 32
SCALES = ((8, 1), (4, 1), (2, 1), (1, 1))
"""(reduction, dilation); these are weaver's defaults."""


def network_config(state: State, options: WeaverOptions) -> ParticleNeXtConfig:
    """Of a ParticleNeXt.

    Raises:
        InputError: an option that the weights contradict, or one that is needed and not given.
    """
    linear, norm = state.get("node_encode.1.weight"), "node_encode.0.weight"
    norm = norm if linear is not None else "node_encode.weight"
    depth = layers(state, "layers.")
    shortcut = state.get("layers.0.shortcut.0.weight")
    first = shortcut.shape[1] if shortcut is not None else len(state["layers.0.gamma"])
    features = len(state[norm]) if norm in state else first
    update_points = "layers.0.coords_mlp.0.0.weight" in state
    edge_linear = state.get("edge_encode.1.weight")
    edge_norm = next((n for n in ("edge_encode.0.weight", "edge_encode.weight") if n in state), "")
    message = len(state["layers.0.edge_mlp.2.weight"])
    edge_width = len(state["layers.0.edge_mlp.0.weight"]) - message // 2 * 2
    width = len(state[edge_norm]) if edge_norm else edge_width
    attention = state.get("sa.weight")
    hidden = layers(state, "fc.") - 1
    return ParticleNeXtConfig(
        features=features,
        classes=len(state[f"fc.{hidden}.weight"]),
        layers=_layers(state, options, depth),
        node_width=0 if linear is None else len(linear),
        node_norm=norm in state,
        edge_width=0 if edge_linear is None else len(edge_linear),
        edge_norm=bool(edge_norm),
        **_edges(width, update_points, options),
        relative=options.use_rel_fts is True,
        aggregation=_aggregation(
            "edge_aggregation", options.edge_aggregation, "layers.0.sa.0.0.weight" in state
        ),
        update_points=update_points,
        momenta="layers.0.lv_encode.0.weight" in state,
        edge_gate="layers.0.edge_se.fc.0.weight" in state,
        node_gate="layers.0.node_se.fc.0.weight" in state,
        global_aggregation=_aggregation(
            "global_aggregation", options.global_aggregation, attention is not None
        ),
        global_attention=0 if attention is None else len(attention),
        hidden=tuple(len(state[f"fc.{layer}.0.weight"]) for layer in range(hidden)),
    )


def _aggregation(name: str, given: str | None, attention: bool) -> Any:
    """Of edges or particles: attention leaves a trace, others are asked for."""
    if attention and given is not None:
        raise InputError(f"{name} is {given}, the weights have attention")
    if not attention and given is None:
        raise InputError(
            f"the weights do not tell the {name.replace('_', ' ')}",
            hint=f"Give {name}: sum, mean or max",
        )
    return "attention" if attention else given


def _edges(width: int, update_points: bool, options: WeaverOptions) -> dict[str, bool]:
    """What the raw features of an edge are, from their number."""
    found = [
        {"pair_features": pair > 0, "polarisation": pair == 5, "distance": bool(distance)}
        for pair in (0, 4, 5)
        for distance in ((0, 1) if update_points else (0,))
        if pair + distance == width and options.use_rel_dist in (None, bool(distance))
    ]
    if not found:
        raise InputError(
            f"edges with {width} features are of a ParticleNeXt with inputs of edges "
            "(edge_input_dim), which is not built here, or of other options",
            hint="weaver-core itself runs it",
        )
    if len(found) > 1:
        raise InputError(
            "the weights do not tell whether edges have the distance or the polarisation angle",
            hint="Give use_rel_dist: True or False",
        )
    return found[0]


def _layers(state: State, options: WeaverOptions, depth: int) -> tuple[NextLayerConfig, ...]:
    """The convolutions of a ParticleNeXt."""
    sizes, counts = [], []
    for number in range(depth):
        prefix = f"layers.{number}."
        message = len(state[prefix + "edge_mlp.2.weight"])
        attention = layers(state, prefix + "sa.")
        wide = len(state[prefix + "node_mlp.0.weight"])
        if prefix + "lv_encode.2.weight" in state:
            wide -= len(state[prefix + "lv_encode.2.weight"])
        sizes.append({
            "width": len(state[prefix + "gamma"]), "message": message,
            "attention": len(state[prefix + "sa.0.2.weight"]) if attention else 0,
        })  # fmt: skip
        counts.append(attention or wide // message)
    scales = list(options.reduction_dilation)
    if not scales and set(counts) == {len(SCALES)}:
        scales = list(SCALES)
    elif not scales and set(counts) == {1}:
        scales = [(1, 1)]
    elif not scales:
        raise InputError(
            f"the weights do not tell the scales of a ParticleNeXt's layers ({counts[0]} in the "
            "first)",
            hint="Give reduction_dilation, or network: a file with layer_params",
        )
    if len(set(counts)) == 1 and len(scales) == counts[0]:
        scales = scales * depth
    if len(scales) != sum(counts):
        raise InputError(f"reduction_dilation has {len(scales)} scales, the layers have {counts}")
    each = list(options.neighbours) or [NEIGHBOURS]
    each = each * depth if len(each) == 1 else each
    if len(each) != depth:
        raise InputError(f"{depth} layers need as many numbers of neighbours, got {each}")
    result = []
    for size, count, neighbours in zip(sizes, counts, each, strict=True):
        result.append(NextLayerConfig(neighbours=neighbours, scales=tuple(scales[:count]), **size))
        scales = scales[count:]
    return tuple(result)


def tagger_config(state: State, options: WeaverOptions) -> ParticleNeXtTaggerConfig:
    """Of a `ParticleNeXtTagger`, of particles and secondary vertices."""
    pf, sv = (len(state[f"{name}_encode.0.weight"]) for name in COLLECTIONS)
    network = network_config(below(state, "pn."), options)
    width = len(state["pf_encode.1.weight"])
    return ParticleNeXtTaggerConfig((pf, sv), dataclasses.replace(network, features=width))
