"""Names and shapes in weaver-core's state dicts of our parameters and buffers."""

from __future__ import annotations

import re

from torch import Tensor, nn

from sciml.jets.networks.particle_net import ParticleNet
from sciml.jets.networks.particle_next import ParticleNeXt
from sciml.jets.networks.two_collections import (
    ParticleNetTagger,
    ParticleNeXtTagger,
    ParticleTransformerTagger,
)

_BLOCK = (
    # (ours, weaver's) within a block
    ("head_gain", "c_attn"),
    ("residual_gain", "w_resid"),
    ("bias_gain", "c_mask"),
    ("attention.qkv", "attn.in_proj"),
    ("attention.out", "attn.out_proj"),
    ("attention.gate", "attn.gate_proj"),
    ("attention.query_norm", "attn.q_norm"),
    ("attention.key_norm", "attn.k_norm"),
    ("norm_1", "pre_attn_norm"),
    ("norm_2", "post_attn_norm"),
    ("norm_3", "pre_fc_norm"),
    ("norm_4", "post_fc_norm"),
    ("scale_1.gain", "ls1.gamma"),
    ("scale_2.gain", "ls2.gamma"),
    ("linear_1", "fc1"),
    ("linear_gate", "fc1_g"),
    ("linear_2", "fc2"),
)
_SWIGLU = (("linear", "0.w12"), ("out", "0.w3"), ("norm", "1"))
_FEATURE_LAYER = {"norm": "0", "linear": "1", "norm_2": "2"}
_ENCODING = {"norm": "0", "linear": "1"}
_UNIT = {"norm": 0, "linear": 2}
_GATE = {"down": 0, "up": 2}
_NEXT_LAYER = {
    "encode": "node_encode", "message": "edge_mlp", "edge_gate": "edge_se", "shift": "coords_mlp",
    "attention": "sa", "momentum_attention": "lv_sa", "momentum_encode": "lv_encode",
    "update": "node_mlp", "node_gate": "node_se",
}  # fmt: skip
"""Parts of a ParticleNeXt's layers and weaver's names of them."""
_PARTICLE_NET = ((".norms.", ".bns."), (".shortcut.", ".sc."), (".shortcut_norm.", ".sc_bn."))


def weaver_name(name: str, model: nn.Module) -> str:
    """The name in weaver's state dict of one of our parameters or buffers."""
    if isinstance(model, ParticleTransformerTagger | ParticleNetTagger | ParticleNeXtTagger):
        transformer = isinstance(model, ParticleTransformerTagger)
        if name.startswith("network."):
            inner = weaver_name(name.removeprefix("network."), model.network)
            return f"{'part' if transformer else 'pn'}.{inner}"
        _, collection, rest = name.split(".", 2)
        if transformer:
            return f"{collection}_{_embedding('embed.' + rest, False)}"
        layer, _, end = rest.partition(".")
        if isinstance(model, ParticleNeXtTagger):
            return f"{collection}_encode.{_ENCODING[layer]}.{end}"
        return f"{collection}_conv.conv.{_FEATURE_LAYER[layer]}.{end}"
    if isinstance(model, ParticleNet):
        return _particle_net(name, model)
    if isinstance(model, ParticleNeXt):
        return _particle_next(name, model)
    return _particle_transformer(name, model)


def _particle_net(name: str, model: ParticleNet) -> str:
    name = re.sub(r"^trunk\.norm\.", "bn_fts.", name)
    name = re.sub(r"^trunk\.fusion\.", "fusion_block.0.", name)
    name = re.sub(r"^trunk\.fusion_norm\.", "fusion_block.1.", name)
    name = re.sub(r"^trunk\.blocks\.(\d+)\.", r"edge_convs.\1.", name)
    for ours, theirs in _PARTICLE_NET:
        name = name.replace(ours, theirs)
    name = re.sub(r"^hidden\.(\d+)\.", r"fc.\1.0.", name)
    return re.sub(r"^head\.", f"fc.{len(model.hidden)}.", name)


def _particle_next(name: str, model: ParticleNeXt) -> str:
    part, _, rest = name.partition(".")
    if part in ("encode", "encode_edges"):
        layer, end = rest.split(".")
        theirs = "node_encode" if part == "encode" else "edge_encode"
        alone = getattr(model, part).linear is None  # no sequence of layers around the norm
        return f"{theirs}.{end}" if alone else f"{theirs}.{_ENCODING[layer]}.{end}"
    if part == "hidden":
        return re.sub(r"^hidden\.(\d+)\.", r"fc.\1.0.", name)
    if part != "layers":
        head = f"fc.{len(model.hidden)}"
        return {"head": head, "norm": "post.0", "attention": "sa"}[part] + f".{rest}"
    number, inner, *more = rest.split(".")
    prefix = f"layers.{number}."
    if inner == "gain":
        return prefix + "gamma"
    if inner == "shortcut":
        return prefix + "shortcut.0." + more[0]
    prefix += _NEXT_LAYER[inner] + "."
    if inner.endswith("gate"):
        return f"{prefix}fc.{_GATE[more[0]]}.{more[1]}"
    *index, layer, end = more
    if inner in ("message", "update"):  # two units in one sequence
        return f"{prefix}{3 * int(index[0]) + _UNIT[layer]}.{end}"
    return prefix + "".join(f"{i}." for i in index) + f"{_UNIT[layer]}.{end}"


def _particle_transformer(name: str, model: nn.Module) -> str:
    if name.startswith("embed."):
        return _embedding(name, bool(getattr(model.embed, "convolution", False)))
    for ours, theirs in (("pairs.", "embed"), ("extra_pairs.", "fts_embed")):
        if name.startswith(ours):
            rest = name.removeprefix(ours)
            if rest.startswith("norm."):
                return f"pair_embed.{theirs}.0.{rest.removeprefix('norm.')}"
            _, number, layer, end = rest.split(".")
            place = 3 * int(number) + 1 + ("linear", "norm").index(layer)
            return f"pair_embed.{theirs}.{place}.{end}"
    if match := re.match(r"(class_)?blocks\.(\d+)\.(.*)", name):
        rest = match[3]
        for ours, theirs in _BLOCK:
            if rest == ours or rest.startswith(f"{ours}."):
                rest = theirs + rest.removeprefix(ours)
                break
        return f"{'cls_' if match[1] else ''}blocks.{match[2]}.{rest}"
    if match := re.match(r"hidden\.(\d+)\.(\w+)\.(\w+)", name):
        swiglu = model.hidden[int(match[1])].activation == "swiglu"  # type: ignore
        layer = dict(_SWIGLU)[match[2]] if swiglu else "0"
        return f"fc.{match[1]}.{layer}.{match[3]}"
    if name.startswith("head."):
        return f"fc.{len(model.hidden)}.{name.removeprefix('head.')}"  # type: ignore[arg-type]
    return "cls_token" if name == "class_token" else name


def _embedding(name: str, convolution: bool) -> str:
    """Of `embed.norm.*` and `embed.layers.N.*`."""
    _, first, rest = name.split(".", 2)
    if first == "norm":
        return f"embed.input_bn.{rest}"
    number, layer, end = rest.split(".")
    order = ("linear", "norm") if convolution else ("norm", "linear")
    inner = "conv_embed" if convolution else "embed"
    return f"embed.{inner}.{3 * int(number) + order.index(layer)}.{end}"


_ONE_MORE = re.compile(
    r"(part\.)?pair_embed\.(fts_)?embed\.\d+\.weight|embed\.conv_embed\.\d+\.weight"
    r"|(pn\.)?edge_convs\.\d+\.sc\.weight|(pn\.)?fusion_block\.0\.weight"
    r"|(pf|sv)_(conv\.conv|encode)\.1\.weight|(pn\.)?sa\.weight"
)
_TWO_MORE = re.compile(
    r"(pn\.)?edge_convs\.\d+\.convs\.\d+\.weight|(pn\.)?(node|edge)_encode\.1\.weight"
    r"|(pn\.)?layers\.\d+\.(node_encode|edge_mlp|node_mlp|lv_encode|shortcut|(coords_mlp|sa|lv_sa)"
    r"\.\d+)\.\d+\.weight"
)
_GAIN = re.compile(r"(pn\.)?layers\.\d+\.gamma")


def weaver_shape(name: str, value: Tensor) -> tuple[int, ...]:
    """The shape weaver stores it in: 1x1 convolutions where we have linear layers."""
    extra = 2 if _GAIN.fullmatch(name) else 0
    if value.ndim == 2:
        extra = 1 if _ONE_MORE.fullmatch(name) else 2 if _TWO_MORE.fullmatch(name) else 0
    return (*value.shape, *(1,) * extra)


PREFIXES = ("_orig_mod.", "module.", "mod.", "model.")
"""What training scripts leave before names: compiled, distributed and wrapped modules."""


def plain_name(name: str) -> str:
    """The name without those prefixes, in the newer layout."""
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    return re.sub(r"attn\.in_proj_(weight|bias)$", r"attn.in_proj.\1", name)
