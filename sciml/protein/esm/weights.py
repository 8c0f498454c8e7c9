"""Files of ESM-2 and MSA Transformer: fair-esm's checkpoints, Hugging Face's folders and files.

Layouts differ in names alone. In the checkpoints that fair-esm publishes, the row and column
attention of MSA Transformer have each other's name. The number of heads is no tensor's shape: it
comes from the head of contacts, from the table of rotary frequencies, or from the settings.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciml.config import check
from sciml.errors import InputError
from sciml.paths import existing_file
from sciml.protein.esm.esm2 import Esm2, Esm2Config
from sciml.protein.esm.msa_transformer import MSATransformer, MSATransformerConfig
from sciml.protein.esm.tokens import PAD, VOCABULARY
from sciml.weights import loading, pickles

Names = tuple[tuple[str, str], ...]
_PREFIX = re.compile(r"^(model\.)?encoder\.(sentence_encoder\.)?")
"""Of names in the checkpoints that fair-esm publishes."""
_EXCHANGED = {"row": "column", "column": "row"}
_SHARED: Names = (
    (r"^contact_head\.regression\.", "head_contacts."),
    (r"^lm_head\.dense\.", "head_tokens.linear."),
    (r"^lm_head\.(layer_norm\.|bias$)", r"head_tokens.\1"),
    (r"^(lm_head\.weight|lm_head\.decoder\.weight)$", "tied"),
)
_FAIR: Names = (
    *_SHARED,
    (r"^embed_tokens\.", "embedding."),
    (r"^embed_positions\.", "column_positions."),
    (r"^msa_position_embedding$", "row_positions"),
    (r"^emb_layer_norm_before\.", "layer_norm_before."),
    (r"^emb_layer_norm_after\.", "layer_norm."),
    (r"\.self_attn\.([qkv])_proj\.", r".attention.linear_\1."),
    (r"\.self_attn\.out_proj\.", ".attention.linear_o."),
    (r"\.self_attn_layer_norm\.", ".layer_norm_attention."),
    (r"\.fc([12])\.", r".transition.linear_\1."),
    (r"\.final_layer_norm\.", ".layer_norm_transition."),
    (r"\.(row|column)_self_attention\.layer\.([qkv])_proj\.", r".\1_attention.linear_\2."),
    (r"\.(row|column)_self_attention\.layer\.out_proj\.", r".\1_attention.linear_o."),
    (r"\.(row|column)_self_attention\.layer_norm\.", r".layer_norm_\1s."),
    (r"\.feed_forward_layer\.layer\.transition\.", ".transition."),
    (r"\.feed_forward_layer\.layer_norm\.", ".layer_norm_transition."),
)
_HUGGING_FACE: Names = (
    *_SHARED,
    (r"^embeddings\.word_embeddings\.", "embedding."),
    (r"^encoder\.emb_layer_norm_after\.", "layer_norm."),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.(q|k|v)(?:uery|ey|alue)\.", r".attention.linear_\1."),
    (r"\.attention\.output\.dense\.", ".attention.linear_o."),
    (r"\.attention\.LayerNorm\.", ".layer_norm_attention."),
    (r"\.intermediate\.dense\.", ".transition.linear_1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.transition.linear_2."),
    (r"^(layers\.\d+)\.LayerNorm\.", r"\1.layer_norm_transition."),
)
_TABLES = re.compile(r"(\.position_ids|\.version)$|^pooler\.|^embeddings\.position_embeddings\.")
"""No parameters of the network, or none that its output depends on."""
_FREQUENCIES = re.compile(r"inv_freq$")


def read_esm(path: str | Path) -> Esm2 | MSATransformer:
    """The network of a file or folder; nothing in it is run.

    Args:
        path: fair-esm's .pt, with NAME-contact-regression.pt beside it where contacts are wanted; a
            Hugging Face folder (config.json, weights), or a file of it (.safetensors, .bin).

    Raises:
        InputError: no such file, another network's, or parameters that are missing or left over.
    """
    path = Path(path)
    state, settings, where = _content(path)
    frequencies = {k: v for k, v in state.items() if _FREQUENCIES.search(k)}
    named = _named({k: v for k, v in state.items() if k not in frequencies}, where)
    _check_kind(named, settings, frequencies, where)
    sizes = _shapes(named, where)
    heads = _heads(named, settings, frequencies, sizes, where)
    if "row_positions" in named or "column_positions.weight" in named:
        rows = named.get("row_positions")
        of_msa = check(
            MSATransformerConfig(
                **sizes,
                heads=heads,
                columns=len(named["column_positions.weight"]) - PAD - 1,
                rows=0 if rows is None else rows.shape[1],
                row_channels=1 if rows is None else rows.shape[-1],
                contacts="head_contacts.weight" in named,
            ),
            where=where,
        )
        return loading.restore(lambda: MSATransformer(of_msa), named, where=where)
    config = check(
        Esm2Config(
            **sizes,
            heads=heads,
            scaled=bool(settings.get("token_dropout", True)),
            eps=float(settings.get("layer_norm_eps", 1e-5)),
            tokens="head_tokens.bias" in named,
            contacts="head_contacts.weight" in named,
        ),
        where=where,
    )
    return loading.restore(lambda: Esm2(config), named, where=where)


def is_esm(path: str | Path) -> bool:
    """Whether `read_esm` is what reads a path, by its suffix or the settings in a folder."""
    path = Path(path)
    if path.is_dir():
        return _json_settings(path / "config.json").get("model_type") == "esm"
    return path.suffix in (".pt", ".bin")


def _content(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Path]:
    """Tensors, settings, and the file that errors name."""
    if path.is_dir():
        files = sorted(path.glob("model*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))
        if not files:
            raise InputError("holds neither model.safetensors nor pytorch_model.bin", where=path)
        state: dict[str, Tensor] = {}
        for file in files:
            state |= _tensors(file)
        return state, _json_settings(path / "config.json"), path
    path = existing_file(path, "file of a protein language model")
    if path.suffix == ".pt":
        return _fair_esm(path)
    return _tensors(path), _json_settings(path.parent / "config.json"), path


def _tensors(file: Path) -> dict[str, Tensor]:
    from sciml.files import tensors

    if file.suffix == ".safetensors":
        return tensors.read(file)[0]
    content = pickles.read(file, "file of a protein language model")
    return pickles.state_dict(content, ("model", "state_dict"), file)


def _json_settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        if file.stat().st_size > 1 << 20:
            raise ValueError("longer than any settings")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})"[:300], where=file) from None
    if not isinstance(content, dict):
        raise InputError("is no mapping of settings", where=file)
    return content


def _fair_esm(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Path]:
    content = pickles.read(path, "checkpoint of fair-esm", settings=True)
    state = pickles.state_dict(content, ("model",), path)
    settings: dict[str, Any] = {}
    if isinstance(content, Mapping):
        held = content.get("args")
        configuration = content.get("cfg")
        if held is None and isinstance(configuration, Mapping):
            held = configuration.get("model")
        if isinstance(held, Namespace):
            held = vars(held)
        if isinstance(held, Mapping):
            settings = {re.sub(r"^(en|de)coder_", "", str(k)): v for k, v in held.items()}
    regression = path.with_name(f"{path.stem}-contact-regression.pt")
    if regression.is_file():
        state |= pickles.state_dict(
            pickles.read(regression, "contact regression"), ("model",), regression
        )
    return state, settings, path


def _named(state: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
    """The parameters under this package's names."""
    hugging_face = any(re.match(r"(esm\.)?embeddings\.", name) for name in state)
    published = not hugging_face and any(_PREFIX.match(name) for name in state)
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        if hugging_face:
            short, patterns = re.sub(r"^esm\.", "", name), _HUGGING_FACE
        else:
            short, patterns = _PREFIX.sub("", name), _FAIR
            if published:  # its names of the two attentions are exchanged
                short = re.sub(r"(row|column)(?=_self)", lambda m: _EXCHANGED[m[1]], short)
        if _TABLES.search(short):
            continue
        for pattern, ours in patterns:
            short = re.sub(pattern, ours, short)
        if short in named and not torch.equal(named[short], value):
            raise InputError(f"has two tensors for {short!r}", where=where)
        named[short] = value
    tied = named.pop("tied", None)
    embedding = named.get("embedding.weight")
    if tied is not None and embedding is not None and not torch.equal(tied, embedding):
        raise InputError("its head of tokens has weights of its own; ESM-2 has none", where=where)
    return named


def _check_kind(
    named: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    frequencies: Mapping[str, Tensor],
    where: Path,
) -> None:
    """Refuse what is another network, by name where it is known."""
    embedding = named.get("embedding.weight")
    if embedding is None or embedding.ndim != 2 or len(embedding) != len(VOCABULARY):
        raise InputError(
            "holds no ESM-2 and no MSA Transformer: it lacks the embedding of 33 tokens",
            where=where,
        )
    positions = settings.get("position_embedding_type", "rotary")
    msa = "column_positions.weight" in named and "layer_norm_before.weight" in named
    if any(name.startswith("layers.0.attention.") for name in named):
        if "column_positions.weight" in named or positions != "rotary":
            raise InputError(
                "is an ESM with learned positions (ESM-1, ESM-1b, ESM-1v); ESM-2 and MSA "
                "Transformer are read", where=where,
            )  # fmt: skip
    elif not msa or frequencies:
        raise InputError("holds no ESM-2 and no MSA Transformer", where=where)


def _shapes(named: Mapping[str, Tensor], where: Path) -> dict[str, int]:
    """Sizes that are shapes of tensors."""
    hidden = named.get("layers.0.transition.linear_1.weight")
    if hidden is None or hidden.ndim != 2:
        raise InputError("lacks the first layer's transition", where=where)
    return {
        "dim": named["embedding.weight"].shape[1],
        "layers": loading.layers(named, "layers."),
        "hidden": hidden.shape[0],
    }


def _heads(
    named: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    frequencies: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    where: Path,
) -> int:
    """Heads of a layer, from whatever tells them."""
    told: dict[str, int] = {}
    regression = named.get("head_contacts.weight")
    if regression is not None and regression.numel() % sizes["layers"] == 0:
        told["the contact regression"] = regression.numel() // sizes["layers"]
    for table in list(frequencies.values())[:1]:
        if table.numel():
            told["the rotary frequencies"] = sizes["dim"] // (2 * table.numel())
    for key in ("num_attention_heads", "attention_heads"):
        if isinstance(settings.get(key), int):
            told["the settings"] = settings[key]
    if not told:
        raise InputError(
            "does not tell its number of attention heads",
            where=where,
            hint="Keep config.json (Hugging Face) or NAME-contact-regression.pt (fair-esm) beside",
        )
    if len(set(told.values())) > 1:
        counts = ", ".join(f"{count} by {source}" for source, count in told.items())
        raise InputError(f"has contradictory numbers of heads: {counts}", where=where)
    return next(iter(told.values()))
