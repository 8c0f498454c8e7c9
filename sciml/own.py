"""The user's own code, named by import path `package.module:Name` or by file `path.py:Name`.

To name code is to run it. So it is named in a call or on a command line only: a file (weights,
settings) may have come from anywhere, and names the package's own parts alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from sciml.config import field_types
from sciml.errors import InputError, unknown

CODE = "may name code of a user's own"
"""Marks a setting of a recipe, `Annotated[str, CODE]`."""


def is_own(name: str) -> bool:
    """Whether a name refers to code outside the package."""
    module, colon, attribute = name.rpartition(":")
    shipped = module.split(".")[0] == "sciml" and all(p.isidentifier() for p in module.split("."))
    return bool(colon) and not shipped


def refuse_from_file(config: Any, named: Collection[str], where: object) -> None:
    """Check that the settings of a file name no code but the package's.

    Args:
        config: all settings.
        named: dotted names of those that the command line gave.
        where: the file.

    Raises:
        InputError: a setting marked `CODE` that the command line did not give names other code.
    """
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        if CODE in getattr(hint, "__metadata__", ()) and name not in named and is_own(value):
            flag = name.replace("_", "-")
            raise InputError(
                f"`{name}` names the code {value!r}, which is not run from a settings file",
                where=where,
                hint=f"To run it, name it in the command: --{flag} {value}",
            )


def find(kind: str, name: str, shipped: Mapping[str, str] | None = None) -> Any:
    """The object that `name` refers to; its module is imported, which runs it.

    Args:
        kind: what it should be, for the message: "trunk", "objective", "reader".
        name: `package.module:Name` or `path.py:Name`, or one of `shipped`.
        shipped: names of the package's own, each with its import path.

    Raises:
        InputError: no such name, module, file or name in it.
    """
    if shipped is not None and ":" not in name:
        if name not in shipped:
            hint = "Your own is named by import path, module:Class, or file, path.py:Class"
            raise unknown(kind, name, sorted(shipped), hint=hint)
        name = shipped[name]
    module, _, attribute = name.rpartition(":")
    try:
        return getattr(_module(module), attribute)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise InputError(
            f"cannot import the {kind} {name!r}: {error}",
            hint="Name it by import path, module:Name, or by file, path.py:Name",
        ) from error


def _module(path_or_name: str) -> ModuleType:
    """The module of an import path or of a file."""
    if not path_or_name.endswith(".py"):
        return importlib.import_module(path_or_name)
    path = Path(path_or_name).resolve()
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None:  # another module has this name: keep both
        name = f"{name}_{abs(hash(str(path))):x}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {path_or_name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
