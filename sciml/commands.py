"""Typed functions as commands: their signatures are the flags, their docstrings the help."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import tyro

from sciml.errors import InputError, unknown
from sciml.renamed import present_flags

_EXPRESSIONS: set[Callable[..., Any]] = set()


def takes_expressions(function: Callable[..., int]) -> Callable[..., int]:
    """Mark a command whose values may begin with a minus, such as -oo or -x**2: a dash and
    more than one letter are then a value, not an option."""
    _EXPRESSIONS.add(function)
    return function


def run_commands(group: str, commands: Mapping[str, Callable[..., Any]], rest: list[str]) -> int:
    """`sciml GROUP NAME ...`: run one of `commands`, each a typed function with a docstring."""
    if not rest or rest[0] in ("--help", "-h"):
        width = max(map(len, commands))
        print(f"usage: sciml {group} COMMAND ...\n")
        for name, function in commands.items():
            print(f"  {name:<{width}}  {(function.__doc__ or '').strip().splitlines()[0]}")
        print(f"\n`sciml {group} COMMAND --help` says more.")
        return 0
    name, *arguments = rest
    if name not in commands:
        raise unknown(f"command of `sciml {group}`", name, commands)
    return run_function(commands[name], arguments, f"sciml {group} {name}")


def run_function(function: Callable[..., Any], arguments: list[str], prog: str) -> int:
    """Call a typed function with command line arguments; its int result is the exit code."""
    if {"--help", "-h"} & set(arguments):
        with contextlib.suppress(SystemExit):  # how a parser ends its help
            tyro.cli(function, args=["--help"], prog=prog)
        return 0
    if function in _EXPRESSIONS:  # a leading space makes it a value to the parser
        arguments = [f" {a}" if re.match(r"-[^-\s]\S", a) else a for a in arguments]
    arguments = present_flags(arguments, getattr(function, "__renamed__", {}))
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            bound = tyro.cli(_bind(function), args=arguments, prog=prog)
    except SystemExit as stop:
        if stop.code in (0, None):
            return 0
        raise InputError(_one_line(printed.getvalue()), hint=f"`{prog} --help` says more") from None
    result = bound()
    return result if isinstance(result, int) else 0


def _bind(function: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """A function with the same signature that only binds its arguments.

    Parsing must end before the command starts, so that only the parser's output is caught.
    """

    @functools.wraps(function)
    def remember(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(function, *args, **kwargs)

    return remember


def _one_line(text: str) -> str:
    """The text of a boxed parser message, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]|-{4,}", " ", text)
    text = re.split(r"For full helptext|Full helptext", text)[0]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    titles = {"Parsing error", "Unrecognized options", "Required options", "Missing options"}
    words = " ".join(line for line in lines if line and line not in titles)
    return words or "these arguments do not fit"
