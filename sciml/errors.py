"""Errors that the user can act on: what is wrong, where, the nearest valid choice, the next step.

Everything that the command line turns into one line on stderr and exit code 2 is an
`InputError`. A programming error keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
import importlib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """The file, the setting or the call is at fault, not the program.

    Args:
        what: what is wrong, in the user's terms ("`lr` must be > 0, got -1").
        where: the file, setting or row at fault.
        hint: the next step ("`sciml models list` shows them all").
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        line = f"{where}: {what}" if where is not None else what
        super().__init__(" ".join(f"{line}. {hint}".split()) if hint else " ".join(line.split()))


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a full disk, a full quota and a file at its size limit."""


def unwritable(path: object, error: OSError) -> InputError:
    """An `InputError` for a failed write: the reason and the remedy."""
    full = error.errno in FULL
    return InputError(
        f"cannot be written ({error.strerror or error})",
        where=path,
        hint="Free disk space, then run the same command again" if full else None,
    )


class MissingExtra(InputError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            hint=f"Install it with: pip install 'sciml[{extra}]'",
        )


def load_extra(package: str, extra: str, purpose: str) -> Any:
    """The module of an optional package, imported where it is needed.

    Args:
        package: name to import.
        extra: of sciml that brings it.
        purpose: what needs it, as the subject of a sentence.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(error.name or package, extra, purpose) from error


def nearest(name: str, choices: Iterable[str], most: int = 3) -> list[str]:
    """The choices closest to `name`, best first; empty if nothing is similar."""
    by_folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=0.5)
    return [by_folded[folded] for folded in close]


def unknown(
    kind: str, name: str, choices: Iterable[str], *, where: object = None, hint: str | None = None
) -> InputError:
    """An `InputError` for a name that is not among `choices`, naming the nearest ones.

    >>> str(unknown("trunk", "lorenz", ["lorentz", "sequence"]))
    "unknown trunk 'lorenz'. Did you mean 'lorentz'?"
    """
    choices = list(choices)
    close = nearest(name, choices)
    if close:
        proposal = "Did you mean " + " or ".join(repr(choice) for choice in close) + "?"
    else:
        shown = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
        proposal = f"Choose from: {shown}" if choices else ""
    return InputError(
        f"unknown {kind} {name!r}", where=where, hint=" ".join(filter(None, [proposal, hint]))
    )
