"""AlphaFold's official parameter files, to and from this package's names.

The official `params_model_*.npz` hold one array per parameter, named by its place in the published
network, equal blocks stacked along the first axis. Every array has exactly one place here; what is
left over or missing is an error, and writing back gives the same bits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.errors import InputError
from sciml.paths import atomic_write, existing_file
from sciml.protein.alphafold.embedders import TEMPLATE_INPUTS
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.sizes import (
    EVOFORMER,
    FOLD,
    MULTIMER_STACK,
    RELATIVE_CHAINS,
    ROOT,
    STACK,
    STRUCTURE,
    TEMPLATE,
    MultimerError,
    infer_config,
    is_fused,
)
from sciml.weights import loading
from sciml.weights.arrays import numbers, read_shapes, readable

Array = np.ndarray


@dataclass(frozen=True)
class ArrayMapping:
    """One official array (or one block's slice, or one half, of it) and its parameter here."""

    array: str
    parameter: str
    layout: str
    block: int | None = None
    half: int | None = None


# Official array -> torch parameter; and back, given the official shape.
_TO: dict[str, Callable[[Array], Array]] = {
    "same": lambda x: x,
    "linear": lambda x: x.T,
    "heads_in": lambda x: x.reshape(x.shape[0], -1).T,  # [c, H, d] -> [H d, c]
    "heads_bias": lambda x: x.reshape(-1),  # [H, d] -> [H d]
    "heads_out": lambda x: x.reshape(-1, x.shape[-1]).T,  # [H, d, c] -> [c, H d]
    "column": lambda x: x[:, None],  # of a single input, [c] -> [c, 1]
    # Points x, y, z of each head: [c, H, 3 p] -> [3 H p, c] and [H, 3 p] -> [3 H p].
    "points": lambda x: _points(x).transpose(2, 1, 3, 0).reshape(-1, x.shape[0]),
    "points_bias": lambda x: _points(x).swapaxes(0, 1).reshape(-1),
}
_FROM: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "same": lambda x, shape: x.reshape(shape),
    "linear": lambda x, shape: x.T,
    "heads_in": lambda x, shape: x.T.reshape(shape),
    "heads_bias": lambda x, shape: x.reshape(shape),
    "heads_out": lambda x, shape: x.T.reshape(shape),
    "column": lambda x, shape: x.reshape(shape),
    "points": lambda x, shape: (
        x.reshape(3, shape[1], -1, shape[0]).transpose(3, 1, 0, 2).reshape(shape)
    ),
    "points_bias": lambda x, shape: x.reshape(3, shape[0], -1).swapaxes(0, 1).reshape(shape),
}


def _points(x: Array) -> Array:
    """The last axis split into x, y, z and points."""
    return x.reshape(*x.shape[:-1], 3, -1)


class _Mappings:
    """Collects mappings; `block` is the index within a stack, where there is one."""

    def __init__(self) -> None:
        self.mappings: list[ArrayMapping] = []
        self.block: int | None = None

    def add(
        self, array: str, parameter: str, layout: str = "same", half: int | None = None
    ) -> None:
        self.mappings.append(ArrayMapping(array, parameter, layout, self.block, half))

    def linear(self, array: str, parameter: str, half: int | None = None) -> None:
        self.add(f"{array}//weights", f"{parameter}.weight", "linear", half)
        self.add(f"{array}//bias", f"{parameter}.bias", "same", half)

    def norm(self, array: str, parameter: str) -> None:
        self.add(f"{array}//scale", f"{parameter}.weight")
        self.add(f"{array}//offset", f"{parameter}.bias")

    def attention(
        self, array: str, parameter: str, *, gated: bool = True, one_key: bool = False
    ) -> None:
        self.add(f"{array}//query_w", f"{parameter}.linear_q.weight", "heads_in")
        for key in ("key", "value"):
            layout = "linear" if one_key else "heads_in"
            self.add(f"{array}//{key}_w", f"{parameter}.linear_{key[0]}.weight", layout)
        if gated:
            self.add(f"{array}//gating_w", f"{parameter}.linear_g.weight", "heads_in")
            self.add(f"{array}//gating_b", f"{parameter}.linear_g.bias", "heads_bias")
        self.add(f"{array}//output_w", f"{parameter}.linear_o.weight", "heads_out")
        self.add(f"{array}//output_b", f"{parameter}.linear_o.bias")

    def transition(self, array: str, parameter: str) -> None:
        self.norm(f"{array}/input_layer_norm", f"{parameter}.layer_norm")
        self.linear(f"{array}/transition1", f"{parameter}.linear_1")
        self.linear(f"{array}/transition2", f"{parameter}.linear_2")

    def triangle_multiplication(
        self, array: str, parameter: str, *, incoming: bool, fused: bool
    ) -> None:
        # AlphaFold's left factor is algorithm 12's b and algorithm 11's a.
        left, right = ("b", "a") if incoming else ("a", "b")
        norms = ("left_norm_input", "center_norm") if fused else ("layer_norm_input",) * 2
        self.norm(f"{array}/{norms[0]}", f"{parameter}.layer_norm_in")
        center = "center_norm" if fused else "center_layer_norm"
        self.norm(f"{array}/{center}", f"{parameter}.layer_norm_out")
        for half, (side, name) in enumerate(((left, "left"), (right, "right"))):
            for end, official in (("p", "projection"), ("g", "gate")):
                ours = f"{parameter}.linear_{side}_{end}"
                if fused:
                    self.linear(f"{array}/{official}", ours, half)
                else:
                    self.linear(f"{array}/{name}_{official}", ours)
        self.linear(f"{array}/output_projection", f"{parameter}.linear_z")
        self.linear(f"{array}/gating_linear", f"{parameter}.linear_g")

    def pairs(self, array: str, parameter: str, fused: bool) -> None:
        for name, ours in (("outgoing", "tri_mul_out"), ("incoming", "tri_mul_in")):
            self.triangle_multiplication(
                f"{array}triangle_multiplication_{name}",
                f"{parameter}.{ours}",
                incoming=name == "incoming",
                fused=fused,
            )
        for name, ours in (("starting", "tri_att_start"), ("ending", "tri_att_end")):
            official = f"{array}triangle_attention_{name}_node"
            self.norm(f"{official}/query_norm", f"{parameter}.{ours}.layer_norm")
            self.add(f"{official}//feat_2d_weights", f"{parameter}.{ours}.linear.weight", "linear")
            self.attention(f"{official}/attention", f"{parameter}.{ours}.mha")
        self.transition(f"{array}pair_transition", f"{parameter}.pair_transition")

    def evoformer_block(self, array: str, parameter: str, extra: bool, fused: bool) -> None:
        row = f"{array}msa_row_attention_with_pair_bias"
        ours = f"{parameter}.row_attention"
        self.norm(f"{row}/query_norm", f"{ours}.layer_norm_m")
        self.norm(f"{row}/feat_2d_norm", f"{ours}.layer_norm_z")
        self.add(f"{row}//feat_2d_weights", f"{ours}.linear_z.weight", "linear")
        self.attention(f"{row}/attention", f"{ours}.mha")
        column = f"{array}msa_column_{'global_' if extra else ''}attention"
        ours = f"{parameter}.column_attention"
        self.norm(f"{column}/query_norm", f"{ours}.layer_norm_m")
        self.attention(f"{column}/attention", ours if extra else f"{ours}.mha", one_key=extra)
        self.transition(f"{array}msa_transition", f"{parameter}.msa_transition")
        outer, ours = f"{array}outer_product_mean", f"{parameter}.outer_product_mean"
        self.norm(f"{outer}/layer_norm_input", f"{ours}.layer_norm")
        self.linear(f"{outer}/left_projection", f"{ours}.linear_1")
        self.linear(f"{outer}/right_projection", f"{ours}.linear_2")
        self.add(f"{outer}//output_w", f"{ours}.linear_out.weight", "heads_out")
        self.add(f"{outer}//output_b", f"{ours}.linear_out.bias")
        self.pairs(array, f"{parameter}.pair_update", fused)


def array_mappings(config: AlphaFoldConfig, fused: bool = False) -> list[ArrayMapping]:
    """Every official array of a network of this configuration, and its parameter here."""
    p = _Mappings()
    for official, ours in (
        ("preprocess_1d", "input_embedder.linear_target_m"),
        ("preprocess_msa", "input_embedder.linear_msa"),
        ("left_single", "input_embedder.linear_left"),
        ("right_single", "input_embedder.linear_right"),
        ("prev_pos_linear", "recycling_embedder.linear"),
        ("extra_msa_activations", "linear_extra"),
        ("single_activations", "linear_single"),
    ):
        p.linear(EVOFORMER + official, ours)
    relative = RELATIVE_CHAINS if config.chain_positions else EVOFORMER + "pair_activiations"
    p.linear(relative, "input_embedder.linear_relative")
    p.norm(EVOFORMER + "prev_msa_first_row_norm", "recycling_embedder.layer_norm_m")
    p.norm(EVOFORMER + "prev_pair_norm", "recycling_embedder.layer_norm_z")
    if config.templates is not None:
        _templates(p, config.templates, fused)
    for p.block in range(config.extra_blocks):
        p.evoformer_block(EVOFORMER + "extra_msa_stack/", f"extra_stack.{p.block}", True, fused)
    for p.block in range(config.blocks):
        p.evoformer_block(EVOFORMER + "evoformer_iteration/", f"evoformer.{p.block}", False, fused)
    p.block = None
    _structure(p, config.separate_projections)
    p.linear(ROOT + "masked_msa_head/logits", "head_masked_msa")
    p.linear(ROOT + "distogram_head/half_logits", "head_distogram")
    p.linear(ROOT + "experimentally_resolved_head/logits", "head_resolved")
    p.norm(ROOT + "predicted_lddt_head/input_layer_norm", "head_plddt.layer_norm")
    for official, ours in (("act_0", "linear_1"), ("act_1", "linear_2"), ("logits", "linear_3")):
        p.linear(ROOT + f"predicted_lddt_head/{official}", f"head_plddt.{ours}")
    if config.pae_bins:
        p.linear(ROOT + "predicted_aligned_error_head/logits", "head_pae")
    return p.mappings


def _templates(p: _Mappings, config: TemplateConfig, fused: bool) -> None:
    ours, single = "template_embedder", TEMPLATE + "single_template_embedding/"
    if config.average:
        for number, size in enumerate(TEMPLATE_INPUTS):
            official = f"{single}template_pair_embedding_{number}"
            layout = "column" if size == 1 else "linear"
            p.add(f"{official}//weights", f"{ours}.inputs.{number}.weight", layout)
            p.add(f"{official}//bias", f"{ours}.inputs.{number}.bias")
        p.linear(f"{single}template_pair_embedding_{number + 1}", f"{ours}.linear_query")
        p.norm(single + "query_embedding_norm", f"{ours}.layer_norm_query")
        p.linear(TEMPLATE + "output_linear", f"{ours}.linear_out")
    else:
        p.linear(single + "embedding2d", f"{ours}.linear_pair")
        p.attention(TEMPLATE + "attention", f"{ours}.attention", gated=False)
    p.norm(single + "output_layer_norm", f"{ours}.layer_norm")
    for p.block in range(config.blocks):
        stack = MULTIMER_STACK if config.average else STACK
        p.pairs(stack, f"{ours}.blocks.{p.block}", fused)
    p.block = None
    if config.torsions:
        p.linear(EVOFORMER + "template_single_embedding", f"{ours}.linear_angle_1")
        p.linear(EVOFORMER + "template_projection", f"{ours}.linear_angle_2")


def _structure(p: _Mappings, separate: bool) -> None:
    ours = "structure_module"
    p.norm(STRUCTURE + "single_layer_norm", f"{ours}.layer_norm_s")
    p.norm(STRUCTURE + "pair_layer_norm", f"{ours}.layer_norm_z")
    p.linear(STRUCTURE + "initial_projection", f"{ours}.linear_in")
    attention = FOLD + "invariant_point_attention"
    p.add(f"{attention}//trainable_point_weights", f"{ours}.ipa.head_weights")
    if separate:
        for kind in "qkv":
            scalar = f"{attention}/{kind}_scalar_projection"
            p.add(f"{scalar}//weights", f"{ours}.ipa.linear_{kind}.weight", "heads_in")
            points = f"{attention}/{kind}_point_projection/point_projection"
            p.add(f"{points}//weights", f"{ours}.ipa.linear_{kind}_points.weight", "points")
            p.add(f"{points}//bias", f"{ours}.ipa.linear_{kind}_points.bias", "points_bias")
    else:
        p.linear(f"{attention}/q_scalar", f"{ours}.ipa.linear_q")
        p.linear(f"{attention}/kv_scalar", f"{ours}.ipa.linear_kv")
        p.linear(f"{attention}/q_point_local", f"{ours}.ipa.linear_q_points")
        p.linear(f"{attention}/kv_point_local", f"{ours}.ipa.linear_kv_points")
    p.linear(f"{attention}/attention_2d", f"{ours}.ipa.linear_b")
    p.linear(f"{attention}/output_projection", f"{ours}.ipa.linear_out")
    p.norm(FOLD + "attention_layer_norm", f"{ours}.layer_norm_ipa")
    for number, official in enumerate(("transition", "transition_1", "transition_2")):
        p.linear(FOLD + official, f"{ours}.transition.{number}")
    p.norm(FOLD + "transition_layer_norm", f"{ours}.layer_norm_transition")
    update = "quat_rigid/rigid" if separate else "affine_update"
    p.linear(FOLD + update, f"{ours}.linear_update")
    side = FOLD + "rigid_sidechain/"
    p.linear(side + "input_projection", f"{ours}.angles.linear_in")
    p.linear(side + "input_projection_1", f"{ours}.angles.linear_initial")
    for number, end in enumerate(("", "_1")):
        p.linear(f"{side}resblock1{end}", f"{ours}.angles.layers.{number}.0")
        p.linear(f"{side}resblock2{end}", f"{ours}.angles.layers.{number}.1")
    p.linear(side + "unnormalized_angles", f"{ours}.angles.linear_out")


def _slice(array: Array, mapping: ArrayMapping) -> Array:
    """The block and the half (of the last axis) that a mapping takes."""
    part = array if mapping.block is None else array[mapping.block]
    if mapping.half is not None:
        size = part.shape[-1] // 2
        part = part[..., mapping.half * size : (mapping.half + 1) * size]
    return part


def from_arrays(
    arrays: Mapping[str, Array],
    where: object = "parameters",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> AlphaFold:
    """The network that the official arrays make.

    Args:
        arrays: the arrays, read once each, one after another: they may come from a file.
        where: they are from, for messages.
        shapes: theirs; looked up if None.

    Raises:
        InputError: names what is missing, left over or of the wrong shape.
    """
    if shapes is None:
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    config, fused = infer_config(shapes, where), is_fused(shapes)
    held = sum(math.prod(shape) for shape in shapes.values())
    model = loading.build_within(lambda: AlphaFold(config), held, where=where)
    model.fused_layout = fused
    mappings = array_mappings(config, fused)
    names = {mapping.array for mapping in mappings}
    missing, unused = sorted(names - set(shapes)), sorted(set(shapes) - names)
    if missing or unused:
        parts = [
            f"{len(group)} arrays are {what}, such as {group[0]!r}"
            for group, what in ((missing, "missing"), (unused, "not known"))
            if group
        ]
        raise InputError("; ".join(parts), where=where)
    parameters = dict(model.named_parameters())
    filled = set()
    name = ""
    array: Array = np.empty(0, np.float32)
    left_over = dict.fromkeys(names, 0)
    with torch.no_grad():
        for mapping in sorted(mappings, key=lambda mapping: mapping.array):
            if mapping.array != name:
                name, array = mapping.array, numbers(where, mapping.array, arrays[mapping.array])
                left_over[name] = array.size
            target = parameters[mapping.parameter]
            try:
                value = _TO[mapping.layout](_slice(array, mapping))
            except (IndexError, ValueError):  # too few axes
                value = array
            if value.shape != tuple(target.shape):
                raise InputError(
                    f"{mapping.array!r} gives {value.shape}, {tuple(target.shape)} is needed",
                    where=where,
                )
            target.copy_(torch.from_numpy(np.ascontiguousarray(value)))
            filled.add(mapping.parameter)
            left_over[name] -= value.size
    if surplus := [name for name, count in left_over.items() if count]:
        raise InputError(f"{surplus[0]!r} has more blocks than the other arrays", where=where)
    left = sorted(set(parameters) - filled)
    if left:  # a parameter without a mapping would keep random numbers
        raise InputError(f"nothing fills the parameter {left[0]!r}", where=where)
    return model.eval()


def read_alphafold(path: str | Path) -> AlphaFold:
    """The network of an official `params_model_*.npz`, read an array at a time."""
    path = existing_file(path, "parameter file")
    shapes = read_shapes(path)
    with readable(path), np.load(path, allow_pickle=False) as file:
        return from_arrays(file, path, shapes)


def read_config(path: str | Path) -> AlphaFoldConfig:
    """The sizes of a network by its file's headers alone, which takes no time."""
    path = existing_file(path, "parameter file")
    return infer_config(read_shapes(path), path)


def to_arrays(model: AlphaFold, fused: bool | None = None) -> dict[str, Array]:
    """The official arrays of a network, in the layout that it was read in, or in the given one."""
    fused = model.fused_layout if fused is None else fused
    parameters = {name: p.detach().cpu().numpy() for name, p in model.named_parameters()}
    pieces: dict[str, dict[tuple[int, int], Array]] = {}
    for mapping in array_mappings(model.config, fused):
        shape = _official_shape(mapping, parameters[mapping.parameter], model.config)
        value = _FROM[mapping.layout](parameters[mapping.parameter], shape)
        pieces.setdefault(mapping.array, {})[(mapping.block or 0, mapping.half or 0)] = value
    stacked = {
        mapping.array
        for mapping in array_mappings(model.config, fused)
        if mapping.block is not None
    }
    arrays = {}
    for name, parts in pieces.items():
        blocks = sorted({block for block, _ in parts})
        rows = [
            np.concatenate([parts[key] for key in sorted(parts) if key[0] == block], -1)
            for block in blocks
        ]
        arrays[name] = np.ascontiguousarray(np.stack(rows) if name in stacked else rows[0])
    return arrays


def _official_shape(
    mapping: ArrayMapping, value: Array, config: AlphaFoldConfig
) -> tuple[int, ...]:
    """Shape of one block of the official array."""
    if mapping.layout in ("same", "linear"):
        return tuple(reversed(value.shape)) if mapping.layout == "linear" else tuple(value.shape)
    name = mapping.array
    if mapping.layout == "column":
        return (value.shape[0],)
    if mapping.layout in ("points", "points_bias"):
        each = (config.ipa_heads, value.shape[0] // config.ipa_heads)
        return (value.shape[1], *each) if mapping.layout == "points" else each
    if "outer_product_mean" in name:
        return (config.outer_dim, config.outer_dim, value.shape[0])
    t = config.templates
    if "template_embedding/attention" in name:
        heads = t.attention_heads if t else 1
    elif name.startswith((STACK, MULTIMER_STACK)):
        heads = t.heads if t else 1
    elif name.startswith(FOLD):
        heads = config.ipa_heads
    elif "msa_row_attention" in name:
        heads = config.msa_heads
    elif "msa_column" in name:
        heads = config.column_heads
    else:
        heads = config.pair_heads
    inner = value.shape[-1] if mapping.layout == "heads_out" else value.shape[0]
    head = (heads, inner // heads)
    if mapping.layout == "heads_bias":
        return head
    return (*head, value.shape[0]) if mapping.layout == "heads_out" else (value.shape[1], *head)


def write_alphafold(model: AlphaFold, path: str | Path, fused: bool | None = None) -> None:
    """Write the official npz form of a network; reading it back gives the same bits."""
    arrays = to_arrays(model, fused)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    if name == "MultimerGiven":
        warnings.warn("`MultimerGiven` is now `MultimerError`", DeprecationWarning, stacklevel=2)
        return MultimerError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
