"""The models that come with the package: `NAME.safetensors` and its model card `NAME.md`.

A card is YAML front matter that code reads (configuration, data, command, measured metrics) and
prose that people read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from sciml.errors import InputError, unknown
from sciml.paths import existing_file, weights_dir

SHOWN = 3
"""Scores of a model that the list shows; the card has them all."""


FORMER_NAMES = {"jets-kin": "jets-kin-small"}
"""Old name -> present name of shipped models; version 0.3 no longer knows the old ones."""


def names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.stem for path in weights_dir().glob("*.safetensors"))


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """The weights file of a shipped model, or of a path to a file or to a run's folder.

    Raises:
        InputError: neither a shipped name nor an existing path; the nearest name is proposed.
    """
    text = os.fspath(name_or_path)
    if text in FORMER_NAMES and not Path(text).exists():
        print(f"sciml: note: the model {text} is now {FORMER_NAMES[text]}", file=sys.stderr)
        text = FORMER_NAMES[text]
    if text in names():
        return weights_dir() / f"{text}.safetensors"
    path = Path(text)
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) == 1:
            return files[0]
        named = path / "model.safetensors"
        if named.exists():
            return named
        raise InputError(
            f"holds {len(files)} .safetensors files, exactly one is needed", where=path
        )
    if path.exists() or path.suffix or os.sep in text:
        return existing_file(path, "weights file")
    raise unknown("model", text, names(), hint="`sciml models list` shows what there is")


def card(name: str) -> dict[str, Any]:
    """The front matter of a shipped model's card."""
    from sciml.data.card import front_matter

    return front_matter(weights_dir() / f"{find(name).stem}.md")[0]


def models_list() -> None:
    """List the shipped models with task, size and main scores; `sciml models show NAME` has all."""
    from rich.table import Table

    from sciml.train.log import console

    table = Table("model", "task", "size", "measured")
    for name in names():
        facts = card(name)
        size = (weights_dir() / f"{name}.safetensors").stat().st_size / 1e6
        measured = list(facts.get("metrics", {}).items())
        scores = ", ".join(f"{key} {value}" for key, value in measured[:SHOWN])
        scores += f", {len(measured) - SHOWN} more" if len(measured) > SHOWN else ""
        table.add_row(name, str(facts.get("task", "")), f"{size:.1f} MB", scores)
    console.__class__(highlight=False).print(table)


def models_show(name: tyro.conf.Positional[str]) -> None:
    """Print a model card: data, command, seed, device, measured scores, limits.

    Args:
        name: The model, as `sciml models list` shows it.
    """
    name = FORMER_NAMES.get(name, name)
    if name not in names():
        raise unknown("model", name, names())
    print((weights_dir() / f"{name}.md").read_text(encoding="utf-8"))


COMMANDS: dict[str, Callable[..., Any]] = {"list": models_list, "show": models_show}
