"""Sizes of an AlphaFold network, from the names and shapes of its official arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sciml.config import check
from sciml.errors import InputError
from sciml.protein.alphafold.model import AlphaFoldConfig, TemplateConfig

ROOT = "alphafold/alphafold_iteration/"
EVOFORMER = ROOT + "evoformer/"
TEMPLATE = EVOFORMER + "template_embedding/"
STACK = TEMPLATE + "single_template_embedding/template_pair_stack/__layer_stack_no_state/"
STRUCTURE = ROOT + "structure_module/"
FOLD = STRUCTURE + "fold_iteration/"
MULTIMER_STACK = TEMPLATE + "single_template_embedding/template_embedding_iteration/"
"""The template stack of AlphaFold-Multimer."""
RELATIVE_CHAINS = EVOFORMER + "~_relative_encoding/position_activations"
"""The relative encoding that tells chains apart, which AlphaFold-Multimer alone has."""

Shape = Callable[[str], tuple[int, ...]]


def is_multimer(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether they are AlphaFold-Multimer's."""
    return RELATIVE_CHAINS + "//weights" in shapes


def is_fused(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the triangle multiplications' two projections are one array."""
    return any(
        name.endswith("triangle_multiplication_outgoing/projection//weights") for name in shapes
    )


class MultimerError(InputError):
    """Parameters of AlphaFold-Multimer in a layout that is not read; both are, since 0.2."""

    def __init__(self, where: object) -> None:
        super().__init__(
            "holds OpenFold's parameters of AlphaFold-Multimer, which are not read yet",
            where=where,
            hint="AlphaFold's own are, such as params_model_1_multimer_v3.npz",
        )


def infer_config(
    shapes: Mapping[str, tuple[int, ...]], where: object = "parameters"
) -> AlphaFoldConfig:
    """The sizes and options of the network that arrays of these shapes belong to.

    Raises:
        InputError: an array that every such network has is missing, or its shape has too few axes.
    """
    try:
        return check(_sizes(shapes, where), where=where)
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise unfit(error, where) from None


def unfit(error: Exception, where: object) -> InputError:
    """The error of shapes that no network has."""
    if isinstance(error, InputError):
        return InputError(error.what, where=error.where or where, hint=error.hint)
    return InputError(f"holds parameters of shapes that fit no network ({error})", where=where)


def _sizes(shapes: Mapping[str, tuple[int, ...]], where: object) -> AlphaFoldConfig:
    def shape(name: str) -> tuple[int, ...]:
        if name not in shapes:
            raise InputError(
                f"lacks the array {name!r}",
                where=where,
                hint="Is this an AlphaFold 2 parameter file (params_model_*.npz)?",
            )
        return shapes[name]

    block, extra = EVOFORMER + "evoformer_iteration/", EVOFORMER + "extra_msa_stack/"
    row = shape(block + "msa_row_attention_with_pair_bias/attention//query_w")
    fused = is_fused(shapes)
    triangle = "triangle_multiplication_outgoing/center_norm//scale"
    if not fused:
        triangle = triangle.replace("center_norm", "center_layer_norm")
    templates = None
    multimer = is_multimer(shapes)
    stack = MULTIMER_STACK if multimer else STACK
    query = stack + "triangle_attention_starting_node/attention//query_w"
    if query in shapes:
        blocks, dim, heads, head_dim = shape(query)
        over = (0, 1, 1) if multimer else shape(TEMPLATE + "attention//query_w")
        templates = TemplateConfig(
            dim=dim,
            blocks=blocks,
            heads=heads,
            head_dim=head_dim,
            hidden=shape(stack + triangle)[-1],
            factor=shape(stack + "pair_transition/transition1//weights")[-1] // dim,
            attention_heads=max(over[1], 1),
            attention_head_dim=over[2],
            torsions=EVOFORMER + "template_single_embedding//weights" in shapes,
        )
    attention = FOLD + "invariant_point_attention"
    heads = shape(f"{attention}//trainable_point_weights")[0]
    scalar_qk, scalar_v, point_qk, point_v = (
        _separate_points(shape, attention) if multimer else _shared_points(shape, attention, heads)
    )
    pae = ROOT + "predicted_aligned_error_head/logits//bias"
    config = AlphaFoldConfig(
        msa_dim=row[1],
        pair_dim=shape(EVOFORMER + "left_single//weights")[1],
        extra_dim=shape(EVOFORMER + "extra_msa_activations//weights")[1],
        single_dim=shape(EVOFORMER + "single_activations//weights")[1],
        blocks=row[0],
        extra_blocks=shape(extra + "msa_row_attention_with_pair_bias/attention//query_w")[0],
        msa_heads=row[2],
        column_heads=shape(block + "msa_column_attention/attention//query_w")[2],
        pair_heads=shape(block + "triangle_attention_starting_node/attention//query_w")[2],
        outer_dim=shape(block + "outer_product_mean//output_w")[1],
        triangle_dim=shape(block + triangle)[-1],
        structure_dim=shape(STRUCTURE + "initial_projection//weights")[1],
        ipa_heads=heads,
        scalar_qk=scalar_qk,
        scalar_v=scalar_v,
        point_qk=point_qk,
        point_v=point_v,
        angle_dim=shape(FOLD + "rigid_sidechain/input_projection//weights")[1],
        plddt_dim=shape(ROOT + "predicted_lddt_head/act_0//weights")[1],
        plddt_bins=shape(ROOT + "predicted_lddt_head/logits//bias")[0],
        distogram_bins=shape(ROOT + "distogram_head/half_logits//bias")[0],
        pae_bins=shapes[pae][0] if pae in shapes else 0,
        templates=templates,
    )
    return config.as_multimer() if multimer else config


def _shared_points(shape: Shape, attention: str, heads: int) -> tuple[int, int, int, int]:
    """Channels and points of queries or keys and of values, where keys and values share layers."""
    scalar_qk = shape(f"{attention}/q_scalar//weights")[1] // heads
    point_qk = shape(f"{attention}/q_point_local//weights")[1] // (3 * heads)
    scalar_v = shape(f"{attention}/kv_scalar//weights")[1] // heads - scalar_qk
    point_v = shape(f"{attention}/kv_point_local//weights")[1] // (3 * heads) - point_qk
    return scalar_qk, scalar_v, point_qk, point_v


def _separate_points(shape: Shape, attention: str) -> tuple[int, int, int, int]:
    """The same where queries, keys and values have layers of their own."""
    scalar_qk, scalar_v = (shape(f"{attention}/{x}_scalar_projection//weights")[2] for x in "qv")
    point_qk, point_v = (
        shape(f"{attention}/{x}_point_projection/point_projection//weights")[2] // 3 for x in "qv"
    )
    return scalar_qk, scalar_v, point_qk, point_v
