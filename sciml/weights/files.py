"""Models on disk: a safetensors file with the tensors and, in its header, a description.

Every domain's models are written and read here; the name of the header entry that describes a
model is that of its kind. As a folder it has the form of model hubs: `model.safetensors`, the
description once more as `config.json`, and a model card, `README.md`.
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

CONFIG = "config.json"
"""Name of the description in a model's folder."""
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
    """Write tensors and the description of their model atomically.

    Args:
        path: gets the ending .safetensors.
        state: tensors by name; they are copied to the CPU.
        entry: of the header; one per kind of model.
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


def save(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    entry: str,
    description: Mapping[str, Any],
    *,
    kind: str,
    model: str,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write a model as one file or, where `path` does not end in .safetensors, as a folder.

    Args:
        path: FILE.safetensors, or a folder: new, empty, or one that held a model.
        kind: of model, in words, for the card.
        model: the class that reads it, for the card.
        state, entry, description, half, notes: see `write`.

    Returns:
        the file of the weights.

    Raises:
        InputError: a file name with another suffix, or `path` cannot be written.
    """
    from sciml.files.jsons import dumps
    from sciml.paths import atomic_write

    target = Path(path)
    if target.suffix == ".safetensors":
        return write(target, state, entry, description, half=half, notes=notes)
    if target.suffix and not target.is_dir():
        raise InputError("must end in .safetensors, or be a folder without a suffix", where=target)
    weights = write(target / "model.safetensors", state, entry, description, half=half, notes=notes)
    with atomic_write(target / CONFIG) as temporary:
        content = {"library_name": "sciml", "model": model, "entry": entry, "config": description}
        temporary.write_text(dumps(content, indent=1) + "\n", encoding="utf-8")
    if not (target / "README.md").exists():
        with atomic_write(target / "README.md") as temporary:
            temporary.write_text(_card(target.name, kind, model, state, notes), encoding="utf-8")
    return weights


def _card(
    name: str, kind: str, model: str, state: Mapping[str, Tensor], notes: Mapping[str, str] | None
) -> str:
    """A model card with the known facts; the rest is for its author to fill in."""
    import yaml

    from sciml import __version__

    numbers = sum(value.numel() for value in state.values())
    facts = {
        "library_name": "sciml", "name": name, "task": kind, "parameters": numbers,
        "sciml_version": __version__, **(notes or {}),
    }  # fmt: skip
    front = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return (
        f"---\n{front}---\n\n# {name}\n\nA {kind} with {numbers:,} numbers.\n\n"
        f"    model = {model}.from_pretrained({name!r})\n\n"
        "## Data\n\n## Measured\n\n## Limits\n"
    )


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
    text = metadata.get(entry) or _config_text(path, entry)
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


def _config_text(weights: Path, entry: str) -> str | None:
    """The description in `config.json` beside weights whose header has none (rewritten by another
    program), if it is of this kind of model.

    Raises:
        InputError: it is no JSON, or longer than any description.
    """
    path = weights.parent / CONFIG
    if weights.name != "model.safetensors" or not path.is_file():
        return None
    try:
        if path.stat().st_size > 2 * MAX_DESCRIPTION:
            raise ValueError("longer than any description")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})"[:300], where=path) from None
    if not isinstance(content, dict) or content.get("entry") != entry:
        return None
    return json.dumps(content.get("config"))
