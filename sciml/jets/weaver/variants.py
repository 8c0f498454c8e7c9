"""Variants of weaver's networks that are not built here, recognised by keys and shapes of weights.

weaver-core's classes have many options. A state dict of one that this package does not have is
refused by the option's name: keys that match by chance must not become another network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

Has = Callable[[str], bool]
"""Whether a name begins with this pattern."""
_SCALES = (
    ("c_attn", "scale_heads"),
    ("w_resid", "scale_resids"),
    ("post_attn_norm", "scale_attn"),
    ("post_fc_norm", "scale_fc"),
)
"""Parameters of a block, and the option that removes them."""


def variant(state: Mapping[str, Tensor]) -> str | None:
    """The name of the variant that these weights belong to; None if it may be built here.

    Args:
        state: plain names to tensors, see `sciml.jets.weaver.checkpoints.plain_names`.
    """
    names = set(state)

    def has(pattern: str) -> bool:
        return any(re.match(pattern, name) for name in names)

    if has(r"(pf|sv|lt|ho)_(embed|conv|encode)\.|part\.|pn\."):
        return _of_collections(has)
    if has(r"layers\.\d+\.(node_mlp|edge_mlp|gamma)"):
        return "a ParticleNeXt"
    if has(r"edge_convs\."):
        return _particle_net(state, has)
    if has(r"(blocks|cls_blocks)\.\d+\.|pair_embed\.") or "cls_token" in names:
        return _part(state, has)
    return None


def _of_collections(has: Has) -> str:
    if has(r"part\."):
        extra = "WithExtraPairFeatures" if has(r"part\.pair_embed\.fts_embed") else ""
        return f"a ParticleTransformerTagger{extra}: several collections (pf, sv)"
    if has(r"(pn\.)?layers\.") or has(r"(pf|sv)_encode\."):
        return "a ParticleNeXtTagger: several collections (pf, sv)"
    return "a ParticleNetTagger: several collections (pf, sv)"


def _particle_net(state: Mapping[str, Tensor], has: Has) -> str | None:
    options = []
    if has(r"fusion_block\."):
        options.append("fusion (use_fusion=True)")
    if not has(r"bn_fts\."):
        options.append("no batch norm of the inputs (use_fts_bn=False)")
    if not has(r"edge_convs\.0\.bns\."):
        options.append("no batch norms in the convolutions")
    if any(v.ndim == 3 for name, v in state.items() if re.match(r"fc\.\d+(\.0)?\.weight", name)):
        options.append("an answer for every particle (for_segmentation=True)")
    return f"a ParticleNet with {' and '.join(options)}" if options else None


def _part(state: Mapping[str, Tensor], has: Has) -> str | None:
    block = r"(cls_)?blocks\.\d+\."
    if has(block + "fc1_g"):
        return f"a Particle Transformer of {_version(state, has)}"
    options = []
    if has(r"embed\.conv_embed\."):
        options.append("convolutions as the embedding (use_conv_embed=True)")
    elif not has(r"embed\.embed\."):
        options.append("no embedding (embed_dims=[])")
    if has(r"pair_embed\.fts_embed\."):
        options.append("extra pair features (pair_extra_dim)")
    elif has(r"pair_embed\."):
        norm = state.get("pair_embed.embed.0.weight")
        pairs = len(norm) if norm is not None and norm.ndim == 1 else 4
        if pairs != 4:
            kind = {6: " (pair_input_type='ee')", 7: " (pair_input_type='xyzt')"}.get(pairs, "")
            options.append(f"{pairs} pair features{kind}")
    if has(block + r"attn\.[qk]_norm"):
        options.append("norms of queries and keys (use_qk_norm=True)")
    if has(block + r"attn\.gate_proj"):
        options.append("gates of the attention's output")
    if has(block + "ls[12]"):
        options.append("layer scales (layer_scale_init_values)")
    if has(block + "c_mask"):
        options.append("a scaled pair bias (scale_attn_mask=True)")
    numbers = sorted({m[0] for name in state if (m := re.match(block, name))})
    if any(has(n + "pre_fc_norm") and f"{n}pre_fc_norm.bias" not in state for n in numbers):
        options.append("RMSNorm (use_rmsnorm=True)")
    if any(has(n + "fc1") and not has(n + r"(fc1|fc2|attn\.\w+)\.bias") for n in numbers):
        options.append("linear layers without bias (use_bias=False)")
    for key, option in _SCALES:
        if any(has(n + "fc1") and not has(n + key) for n in numbers):
            options.append(f"{option}=False")
    widths = {len(v) for name, v in state.items() if re.fullmatch(block + r"fc1\.weight", name)}
    if len(widths) > 1:
        options.append("feed-forward layers of different width (ffn_ratio)")
    if has(r"fc\.\d+\.\d+\."):
        options.append("hidden layers in the classifier (fc_params)")
    elif not has(r"fc\."):
        options.append("no classifier (fc_params=None)")
    if "cls_token" not in state:
        options.append(
            "no class token: the mean over particles (num_cls_layers=0) or an answer for every "
            "particle (for_segmentation=True)"
        )
    return f"a Particle Transformer with {' and '.join(options)}" if options else None


def _version(state: Mapping[str, Tensor], has: Has) -> str:
    block = r"(cls_)?blocks\.\d+\."
    if has(block + r"pre_attn_norm\.bias"):
        return "activation 'swiglu'" if has(block + "c_attn") else "version 2 (SwiGLU)"
    if not has(block + r"attn\.gate_proj"):
        return "version 3 (SwiGLU, RMSNorm, no biases)"
    number = "3.5" if has(r"cls_blocks\.") else "3.6"
    return f"version {number} (SwiGLU, RMSNorm, gated attention)"
