"""Packages whose names load when they are first used, so that importing them costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sciml.errors import nearest


def lazy(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that exports names of its modules.

        _EXPORTS = {"JetTagger": "tagger", "read_jets": "data.io"}
        __all__ = sorted(_EXPORTS)
        __getattr__, __dir__ = lazy(__name__, _EXPORTS)

    Args:
        package: the package's `__name__`.
        modules: of each exported name, the module that defines it, relative to the package.
    """

    def __getattr__(name: str) -> Any:
        if name not in modules:
            close = nearest(name, modules)
            proposal = f"; did you mean {close[0]!r}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{proposal}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return __getattr__, __dir__
