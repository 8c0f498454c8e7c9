"""Names of settings and arguments that have changed: the old spelling works, with a note.

Old spellings of one minor version are understood by the next one (see CONTRIBUTING, deprecation).
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sciml.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Formerly:
    """Annotation of a setting that had another name: `Annotated[int, Formerly("most")] = 0`."""

    name: str


def former_names(hints: Mapping[str, Any]) -> dict[str, str]:
    """Old name -> present name of settings, from their annotations (`config.field_types`)."""
    return {
        mark.name: name
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
        for mark in hint.__metadata__
        if isinstance(mark, Formerly)
    }


def renamed(**names: str) -> Callable[[F], F]:
    """Decorator of a function with keyword arguments that had other names.

        @renamed(budget="cpu_seconds")
        def place(design, *, cpu_seconds=60.0): ...

    Python callers get a DeprecationWarning; `sciml.commands` reads the table from the function and
    takes the old option with a note.

    Args:
        names: old name = present name.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise InputError(f"`{old}` and `{new}` are the same: give `{new}` alone")
                warnings.warn(
                    f"`{old}` of {function.__name__} is now `{new}`",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        call.__renamed__ = dict(names)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def present_flags(arguments: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Command-line arguments with old options replaced by present ones, each noted on stderr."""
    flags = {_flag(old): _flag(new) for old, new in names.items()}
    replaced = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        new = flags.get(flag.replace("_", "-")) if flag.startswith("--") else None
        if new is not None:
            print(f"sciml: note: {flag} is now {new}", file=sys.stderr)
            argument = f"{new}{equals}{value}"
        replaced.append(argument)
    return replaced


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
