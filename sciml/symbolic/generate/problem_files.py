"""Files of problems, and the keys by which generators leave their problems out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.files import unpack
from sciml.paths import existing_file
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.expr.tokens import parse_prefix, to_prefix

UNKNOWN = Unknown("y", "x")
"""The unknown function of generated differential equations."""
_UNREADABLE = (ValueError, TooLarge, Undefined)


def read_problems(path: Path) -> list[Expr]:
    """The problems of a file: JSON lines with "integrand", "ode" or "problem", or the published
    prefix format (see `expr.tokens`); plain or gzip. Lines that cannot be read are left out.

    Raises:
        InputError: not one line could be read.
    """
    problems: list[Expr] = []
    first_error: Exception | None = None
    for line in _lines(path):
        if line.strip():
            try:
                problems.append(_parse_line(line))
            except _UNREADABLE as error:
                first_error = first_error or error
    if not problems:
        raise InputError(f"holds no problem that can be read ({first_error})", where=path)
    return problems


def excluded_keys(files: Iterable[Path]) -> set[int]:
    """Structural keys of the problems in files of the formats of `read_problems`.

    Raises:
        InputError: names the line that cannot be read: a problem left out would not be excluded.
    """
    keys: set[int] = set()
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            if line.strip():
                try:
                    keys |= structural_keys([_parse_line(line)])
                except _UNREADABLE as error:
                    raise InputError(str(error), where=f"{path}, line {number}") from None
    return keys


def structural_keys(problems: Iterable[Expr], compiled: bool = True) -> set[int]:
    """Keys of problems as the generators know them; `compiled`: also those of the compiled ones."""
    keys = set()
    for e in problems:
        keys.add(e.key)
        if compiled:
            keys.add(_compiled_key(e))
    return keys


def _compiled_key(e: Expr) -> int:
    from sciml.symbolic.generate import arena, arena_text

    tokens = [arena_text.INDEX.get(t, -1) for t in to_prefix(e)]
    if -1 in tokens:  # nothing that the compiled generators could make
        return e.key
    a = arena.shared()
    arena.begin(a)
    node = arena_text.read(a, np.array(tokens, np.int64), len(tokens))
    return int(a[arena.A_KEY + node])


def _lines(path: Path) -> list[str]:
    raw = unpack.read_bytes(existing_file(path, "file of problems"))
    return raw.decode("utf-8", "replace").splitlines()


def _parse_line(line: str) -> Expr:
    if line.lstrip().startswith("{"):
        row = json.loads(line)
        text = str(row.get("integrand") or row.get("ode") or row.get("problem"))
        return parse(text, unknown=UNKNOWN if "y" in text else None)
    tokens = line.split("|", 1)[-1].split("\t")[0].split()
    return parse_prefix(tokens[2:] if tokens[:2] == ["sub", "Y'"] else tokens)
