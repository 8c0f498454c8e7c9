"""Tensors of files under the names that parameters have today.

A module whose parts were renamed says so in `FORMER_NAMES`, {name then: name now}, and every reader
of weights and checkpoints asks here: no part is renamed that its own module does not list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import nn

T = TypeVar("T")


def present_names(
    module: nn.Module, saved: Mapping[str, T], prefixes: Sequence[str] = ("",)
) -> dict[str, T]:
    """The same values by today's names; all others stay.

    Args:
        module: that the values belong to.
        saved: by names that may be former ones, such as `layers.0.hear.weights.0`, and what follows
            after them, such as an optimiser's keys.
        prefixes: what precedes the names, such as "model." and "optimizer.".
    """
    renamed = {
        f"{prefix}{path}{old}": f"{prefix}{path}{new}"
        for prefix in prefixes
        for path, old, new in _renamings(module)
    }
    names = {name: _present(name, renamed) for name in saved}
    # A file that holds both names keeps the former one, which its reader then refuses as surplus.
    return {name if names[name] in saved else names[name]: value for name, value in saved.items()}


def _renamings(module: nn.Module) -> list[tuple[str, str, str]]:
    """(path of a module, former name of a part of it, its name today)."""
    return [
        (f"{path}." if path else "", old, new)
        for path, part in module.named_modules()
        for old, new in getattr(part, "FORMER_NAMES", {}).items()
    ]


def _present(name: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        if name == old or name.startswith(old + "."):
            return new + name[len(old) :]
    return name
