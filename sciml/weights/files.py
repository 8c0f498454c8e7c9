"""A model in one file: tensors as safetensors, and what rebuilds the model in its header.

Every domain's models are written and read here; which entry of the header describes a model says
what kind it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import InputError
from sciml.weights import find

if TYPE_CHECKING:
    from torch import Tensor

MAX_DESCRIPTION = 1 << 20
"""Longest description of a model [characters]."""


def write(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    entry: str,
    description: Mapping[str, Any],
    *,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write tensors and the description of their model, whole or not at all.

    Args:
        path: gets the ending .safetensors.
        state: tensors by name; they are copied to the CPU.
        entry: of the header, which tells the kind of model.
        description: plain values, as JSON.
        half: store floats as bfloat16, half the size.
        notes: further entries of the header.
    """
    import torch

    from sciml.files import tensors

    def stored(value: Tensor) -> Tensor:
        value = value.detach().cpu()
        if half and value.is_floating_point():
            value = value.to(torch.bfloat16)
        return value

    target = Path(path).with_suffix(".safetensors")
    metadata = {entry: json.dumps(description), **(notes or {})}
    tensors.write(target, {name: stored(value) for name, value in state.items()}, metadata)
    return target


def read(
    name_or_path: str | os.PathLike[str], entry: str, what: str, hint: str = ""
) -> tuple[dict[str, Any], dict[str, Tensor], Path]:
    """(description, tensors with floats in single precision, the file).

    Args:
        name_or_path: a shipped model, a file, or a run's folder.
        entry: of the header, see `write`.
        what: the kind of model in words, for errors: "jet tagger".
        hint: what to do with a file of another kind.

    Raises:
        InputError: no such file, an unreadable one, or one that holds another kind of model.
    """
    import torch

    from sciml.files import tensors

    path = find(name_or_path)
    state, metadata = tensors.read(path)
    text = metadata.get(entry)
    if text is None:
        held = f"; its header has {sorted(metadata)}"[:200] if metadata else ""
        raise InputError(f"holds no {what}{held}", where=path, hint=hint)
    try:
        if len(text) > MAX_DESCRIPTION:
            raise ValueError(f"{len(text)} characters")
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"does not describe its {what}: its header is not a readable text ({error})"[:300],
            where=path,
        ) from None
    if not isinstance(description, dict):
        raise InputError(f"does not describe its {what}", where=path)
    half = (torch.bfloat16, torch.float16)
    return description, {k: v.float() if v.dtype in half else v for k, v in state.items()}, path
