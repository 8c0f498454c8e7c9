"""OpenFold's checkpoints: the same network under other names.

OpenFold (Ahdritz et al., Nature Methods 21, 1514, 2024) keeps the tensors in torch's layout, so
that a rename is all; the two spellings of its releases (with and without `.core.`, template
modules inside `template_embedder` or beside it) are both read, those of its multimer, whose point
projections have the heads in front, and SoloSeq's, which reads embeddings of a language model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sciml.config import check
from sciml.errors import InputError
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.sizes import unfit
from sciml.weights import loading, pickles

# OpenFold's names, in the order they are tried on each key -> ours.
_OPENFOLD: list[tuple[str, str]] = [
    (r"^(model|module)\.", ""),
    (r"\.core\.", "."),
    (r"^input_embedder\.linear_tf_z_i\.", "input_embedder.linear_left."),
    (r"^input_embedder\.linear_tf_z_j\.", "input_embedder.linear_right."),
    (r"^input_embedder\.linear_tf_m\.", "input_embedder.linear_target_m."),
    (r"^input_embedder\.linear_msa_m\.", "input_embedder.linear_msa."),
    (r"^input_embedder\.linear_preemb_m\.", "input_embedder.linear_embedding_m."),
    (r"^input_embedder\.linear_preemb_z_i\.", "input_embedder.linear_left."),
    (r"^input_embedder\.linear_preemb_z_j\.", "input_embedder.linear_right."),
    (r"^input_embedder\.linear_relpos\.", "input_embedder.linear_relative."),
    (r"^extra_msa_embedder\.linear\.", "linear_extra."),
    (r"^extra_msa_stack\.blocks\.", "extra_stack."),
    (r"^evoformer\.linear\.", "linear_single."),
    (r"^evoformer\.blocks\.", "evoformer."),
    (r"^template_embedder\.template_", "template_"),
    (r"^template_embedder\.linear_t\.", "template_embedder.linear_out."),
    (r"^template_single_embedder\.template_single_embedder\.", "template_embedder.linear_angle_1."),
    (r"^template_single_embedder\.template_projector\.", "template_embedder.linear_angle_2."),
    (
        r"^template_pair_embedder\.query_embedding_layer_norm\.",
        "template_embedder.layer_norm_query.",
    ),
    (r"^template_pair_embedder\.query_embedding_linear\.", "template_embedder.linear_query."),
    *[
        (rf"^template_pair_embedder\.{name}\.", f"template_embedder.inputs.{number}.")
        for number, name in enumerate(
            (
                "dgram_linear",
                "pseudo_beta_mask_linear",
                "aatype_linear_1",
                "aatype_linear_2",
                "x_linear",
                "y_linear",
                "z_linear",
                "backbone_mask_linear",
            )
        )
    ],
    (r"^template_(angle|single)_embedder\.linear_", "template_embedder.linear_angle_"),
    (r"^template_pair_embedder\.linear\.", "template_embedder.linear_pair."),
    (r"^template_pair_stack\.blocks\.", "template_embedder.blocks."),
    (r"^template_pair_stack\.layer_norm\.", "template_embedder.layer_norm."),
    (r"^template_pointwise_att\.mha\.", "template_embedder.attention."),
    (r"\.msa_att_row\.", ".row_attention."),
    (r"\.msa_att_col\._msa_att\.", ".column_attention."),
    (r"\.msa_att_col\.global_attention\.", ".column_attention."),
    (r"\.msa_att_col\.", ".column_attention."),
    (r"\.pair_stack\.", "."),
    (
        r"^((?:evoformer|extra_stack|template_embedder\.blocks)\.\d+)\.(tri_|pair_transition)",
        r"\1.pair_update.\2",
    ),
    (r"^(template_embedder\.blocks\.\d+)\.pair_update\.", r"\1."),
    (r"^structure_module\.ipa\.(linear_\w+_points)\.linear\.", r"structure_module.ipa.\1."),
    (r"^structure_module\.transition\.layer_norm\.", "structure_module.layer_norm_transition."),
    (r"^structure_module\.bb_update\.linear\.", "structure_module.linear_update."),
    (r"^structure_module\.angle_resnet\.", "structure_module.angles."),
    (r"^aux_heads\.masked_msa\.linear\.", "head_masked_msa."),
    (r"^aux_heads\.distogram\.linear\.", "head_distogram."),
    (r"^aux_heads\.experimentally_resolved\.linear\.", "head_resolved."),
    (r"^aux_heads\.tm\.linear\.", "head_pae."),
    (r"^aux_heads\.plddt\.", "head_plddt."),
]
_WITHIN = ("ema", "params", "state_dict", "module")
"""Where the parameters may lie in a checkpoint."""
_MULTIMER = ("structure_module.ipa.linear_k.", "structure_module.ipa.linear_v.")
"""The multimer's keys and values of point attention; a monomer has `linear_kv`."""
_BUFFERS = re.compile(r"^structure_module\.(default_frames|group_idx|atom_mask|lit_positions)$")


def openfold_name(key: str) -> str | None:
    """This package's name of an OpenFold parameter; None for tables that are no parameters."""
    if _BUFFERS.search(key):
        return None
    for pattern, ours in _OPENFOLD:
        key = re.sub(pattern, ours, key)
    for number, layer in ((0, 1), (1, 2), (2, 3)):
        key = key.replace(
            f"structure_module.transition.layers.0.linear_{layer}.",
            f"structure_module.transition.{number}.",
        )
    return re.sub(
        r"^(structure_module\.angles\.layers\.\d+)\.linear_([12])\.",
        lambda match: f"{match[1]}.{int(match[2]) - 1}.",
        key,
    )


def read_openfold(path: str | Path) -> AlphaFold:
    """The network of an OpenFold checkpoint (`finetuning_ptm_2.pt`), loaded without pickled code.

    Raises:
        InputError: the file is none, or its parameters do not fit.
    """
    return from_state(read_state(path), path)


def read_config(path: str | Path) -> AlphaFoldConfig:
    """The sizes of a checkpoint's network."""
    return _config_of_state(read_state(path, verify=False), path)


def read_state(path: str | Path, *, verify: bool = True) -> dict[str, Tensor]:
    """A checkpoint's tensors under this package's names; they stay in the file until used.

    `verify`: compare its checksums."""
    content = pickles.read(path, "checkpoint", verify=verify)
    named: dict[str, Tensor] = {}
    for key, value in pickles.state_dict(content, _WITHIN, path).items():
        name = openfold_name(key)
        if name is not None:
            named.update(unfused(name, value))
    return _axes_in_front(named, path) if _is_multimer(named) else named


def _is_multimer(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(_MULTIMER) for name in state)


def _axes_in_front(state: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """Rows of the multimer's point projections: those of x of all heads, of y, of z.

    The multimer has x, y and z of one head after another, as AlphaFold-Multimer's arrays.
    """
    weights = state.get("structure_module.ipa.head_weights")
    ordered = dict(state)
    for name, value in state.items():
        if re.fullmatch(r"structure_module\.ipa\.linear_[qkv]_points\.(weight|bias)", name):
            if weights is None or value.ndim == 0 or len(value) % (3 * max(len(weights), 1)):
                raise InputError(f"has points {name!r} that are of no number of heads", where=where)
            parts = value.unflatten(0, (len(weights), 3, -1))
            ordered[name] = parts.transpose(0, 1).flatten(0, 2)
    return ordered


def unfused(name: str, value: Tensor) -> dict[str, Tensor]:
    """A triangle multiplication whose two projections are one layer (`linear_ab_p`), as two."""
    match = re.fullmatch(r"(.*\.)linear_ab_([pg]\.(?:weight|bias))", name)
    if match is None or value.ndim == 0:
        return {name: value}
    a, b = value.chunk(2)
    return {f"{match[1]}linear_a_{match[2]}": a, f"{match[1]}linear_b_{match[2]}": b}


def from_state(state: Mapping[str, Tensor], where: object = "parameters") -> AlphaFold:
    """The network of a state dictionary under this package's names."""
    config = _config_of_state(state, where)
    return loading.restore(lambda: AlphaFold(config), state, where=where)


def _config_of_state(state: Mapping[str, Tensor], where: object) -> AlphaFoldConfig:
    """Sizes by way of the official arrays; head counts from the pair bias layers."""
    try:
        return check(_sizes(state, where), where=where)
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise unfit(error, where) from None


def _sizes(state: Mapping[str, Tensor], where: object) -> AlphaFoldConfig:
    def shape(name: str) -> tuple[int, ...]:
        if name not in state:
            raise InputError(f"lacks the parameter {name!r}", where=where)
        return tuple(state[name].shape)

    def count(prefix: str) -> int:
        return loading.layers(state, prefix + ".")

    block = "evoformer.0."
    msa_dim = shape(block + "row_attention.layer_norm_m.weight")[0]
    msa_heads = shape(block + "row_attention.linear_z.weight")[0]
    heads = shape("structure_module.ipa.head_weights")[0]
    scalar_qk = shape("structure_module.ipa.linear_q.weight")[0] // heads
    point_qk = shape("structure_module.ipa.linear_q_points.weight")[0] // (3 * heads)
    multimer = _is_multimer(state)
    embedding = "input_embedder.linear_embedding_m.weight"
    alone = embedding in state
    of_alignment: dict[str, Any] = {} if alone else {
        "extra_dim": shape("linear_extra.weight")[0],
        "column_heads": shape("extra_stack.0.column_attention.linear_q.weight")[0]
        // shape("extra_stack.0.column_attention.linear_k.weight")[0],
    }  # fmt: skip
    kind_v, kind_points = ("linear_v", "linear_v_points") if multimer else (
        "linear_kv", "linear_kv_points")  # fmt: skip
    shared_qk, shared_points = (0, 0) if multimer else (scalar_qk, point_qk)
    templates = None
    if count("template_embedder.blocks"):
        first = "template_embedder.blocks.0."
        t_heads, dim = shape(first + "tri_att_start.linear.weight")
        over = (4,) if multimer else shape("template_embedder.attention.linear_q.weight")
        # The attention over templates has four heads in every published network.
        templates = TemplateConfig(
            dim=dim,
            blocks=count("template_embedder.blocks"),
            heads=t_heads,
            head_dim=shape(first + "tri_att_start.mha.linear_q.weight")[0] // t_heads,
            hidden=shape(first + "tri_mul_out.linear_a_p.weight")[0],
            factor=shape(first + "pair_transition.linear_1.weight")[0] // dim,
            attention_heads=1 if multimer else 4,
            attention_head_dim=over[0] // 4,
            torsions="template_embedder.linear_angle_1.weight" in state,
        )
    pae = "head_pae.bias"
    config = AlphaFoldConfig(
        msa_dim=msa_dim,
        pair_dim=shape("input_embedder.linear_left.weight")[0],
        single_dim=shape("linear_single.weight")[0],
        blocks=count("evoformer"),
        extra_blocks=count("extra_stack"),
        msa_heads=msa_heads,
        embedding_dim=shape(embedding)[1] if alone else 0,
        pair_heads=shape(block + "pair_update.tri_att_start.linear.weight")[0],
        outer_dim=shape(block + "outer_product_mean.linear_1.weight")[0],
        triangle_dim=shape(block + "pair_update.tri_mul_out.linear_a_p.weight")[0],
        structure_dim=shape("structure_module.linear_in.weight")[0],
        ipa_heads=heads,
        scalar_qk=scalar_qk,
        scalar_v=shape(f"structure_module.ipa.{kind_v}.weight")[0] // heads - shared_qk,
        point_qk=point_qk,
        point_v=shape(f"structure_module.ipa.{kind_points}.weight")[0] // (3 * heads)
        - shared_points,
        angle_dim=shape("structure_module.angles.linear_in.weight")[0],
        plddt_dim=shape("head_plddt.linear_1.weight")[0],
        plddt_bins=shape("head_plddt.linear_3.weight")[0],
        distogram_bins=shape("head_distogram.bias")[0],
        pae_bins=shape(pae)[0] if pae in state else 0,
        templates=templates,
        **of_alignment,
    )
    return config.as_multimer() if multimer else config
