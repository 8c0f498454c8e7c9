"""Names of weaver's networks that are not built here, told by the keys and shapes of their weights.

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
"""Parameters of a block, and the option that takes them away."""


def variant(state: Mapping[str, Tensor]) -> str | None:
    """What these weights are of, if it is nothing that is built here; None if it may be.

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
    found = []
    if has(r"fusion_block\."):
        found.append("fusion (use_fusion=True)")
    if not has(r"bn_fts\."):
        found.append("no batch norm of the inputs (use_fts_bn=False)")
    if not has(r"edge_convs\.0\.bns\."):
        found.append("no batch norms in the convolutions")
    if any(v.ndim == 3 for name, v in state.items() if re.match(r"fc\.\d+(\.0)?\.weight", name)):
        found.append("an answer for every particle (for_segmentation=True)")
    return f"a ParticleNet with {' and '.join(found)}" if found else None


def _part(state: Mapping[str, Tensor], has: Has) -> str | None:
    block = r"(cls_)?blocks\.\d+\."
    if has(block + "fc1_g"):
        return f"a Particle Transformer of {_version(state, has)}"
    found = []
    if has(r"embed\.conv_embed\."):
        found.append("convolutions as the embedding (use_conv_embed=True)")
    elif not has(r"embed\.embed\."):
        found.append("no embedding (embed_dims=[])")
    if has(r"pair_embed\.fts_embed\."):
        found.append("extra pair features (pair_extra_dim)")
    elif has(r"pair_embed\."):
        norm = state.get("pair_embed.embed.0.weight")
        pairs = len(norm) if norm is not None and norm.ndim == 1 else 4
        if pairs != 4:
            kind = {6: " (pair_input_type='ee')", 7: " (pair_input_type='xyzt')"}.get(pairs, "")
            found.append(f"{pairs} pair features{kind}")
    if has(block + r"attn\.[qk]_norm"):
        found.append("norms of queries and keys (use_qk_norm=True)")
    if has(block + r"attn\.gate_proj"):
        found.append("gates of the attention's output")
    if has(block + "ls[12]"):
        found.append("layer scales (layer_scale_init_values)")
    if has(block + "c_mask"):
        found.append("a scaled pair bias (scale_attn_mask=True)")
    numbers = sorted({m[0] for name in state if (m := re.match(block, name))})
    if any(has(n + "pre_fc_norm") and f"{n}pre_fc_norm.bias" not in state for n in numbers):
        found.append("RMSNorm (use_rmsnorm=True)")
    if any(has(n + "fc1") and not has(n + r"(fc1|fc2|attn\.\w+)\.bias") for n in numbers):
        found.append("linear layers without bias (use_bias=False)")
    for key, option in _SCALES:
        if any(has(n + "fc1") and not has(n + key) for n in numbers):
            found.append(f"{option}=False")
    widths = {len(v) for name, v in state.items() if re.fullmatch(block + r"fc1\.weight", name)}
    if len(widths) > 1:
        found.append("feed-forward layers of different width (ffn_ratio)")
    if has(r"fc\.\d+\.\d+\."):
        found.append("hidden layers in the classifier (fc_params)")
    elif not has(r"fc\."):
        found.append("no classifier (fc_params=None)")
    if "cls_token" not in state:
        found.append(
            "no class token: the mean over particles (num_cls_layers=0) or an answer for every "
            "particle (for_segmentation=True)"
        )
    return f"a Particle Transformer with {' and '.join(found)}" if found else None


def _version(state: Mapping[str, Tensor], has: Has) -> str:
    block = r"(cls_)?blocks\.\d+\."
    if has(block + r"pre_attn_norm\.bias"):
        return "activation 'swiglu'" if has(block + "c_attn") else "version 2 (SwiGLU)"
    if not has(block + r"attn\.gate_proj"):
        return "version 3 (SwiGLU, RMSNorm, no biases)"
    number = "3.5" if has(r"cls_blocks\.") else "3.6"
    return f"version {number} (SwiGLU, RMSNorm, gated attention)"
