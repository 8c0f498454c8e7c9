"""Embeddings of residues by a protein language model, as other programs wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.errors import InputError
from sciml.paths import existing_file

ENDS = (".pt", ".npy")


def read_embedding(path: str | Path, residues: int | None = None) -> np.ndarray:
    """[N, channels] float32 from a .npy array or a .pt file of fair-esm's `extract.py`.

    The latter holds `representations`: layer -> [N, channels], of which the last layer is taken.

    Raises:
        InputError: no such file, nothing of these kinds, values that are not finite, or another
            number of residues than the chain's `residues`.
    """
    path = existing_file(path, "embedding")
    values = np.asarray(_array(path) if path.suffix == ".npy" else _last_layer(path))
    if values.ndim != 2 or values.dtype.kind != "f":
        raise InputError(
            f"must hold numbers of the shape [residues, channels], holds {values.dtype} "
            f"{list(values.shape)}",
            where=path,
        )
    if residues is not None and len(values) != residues:
        raise InputError(
            f"embeds {len(values)} residues, the chain has {residues}", where=path,
            hint="Leave out the tokens for begin and end of the sequence",
        )  # fmt: skip
    if not np.isfinite(values).all():
        raise InputError("holds values that are not finite", where=path)
    return values.astype(np.float32)


def find_embedding(where: Path, name: str) -> Path:
    """The file of a chain: `where` itself, or NAME.pt or NAME.npy in that folder."""
    if not where.is_dir():
        return where
    for end in ENDS:
        if (where / f"{name}{end}").is_file():
            return where / f"{name}{end}"
    raise InputError(f"has no {name}.pt or {name}.npy", where=where)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"is no array that can be read ({error})", where=path) from None


def _last_layer(path: Path) -> np.ndarray:
    from sciml.weights import pickles

    content: Any = pickles.read(path, "embedding")
    layers = content.get("representations") if isinstance(content, Mapping) else None
    if not isinstance(layers, Mapping) or not layers:
        raise InputError("holds no `representations` of layers, as fair-esm writes", where=path)
    last = max(layers, key=lambda layer: layer if isinstance(layer, int) else -1)
    if not isinstance(layers[last], torch.Tensor):
        raise InputError(f"holds no tensor for layer {last}", where=path)
    return layers[last].float().numpy()
