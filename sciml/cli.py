"""The command line: run, demo, recipes, data, models, doctor, and one word a science.

Faults of the input end in one line on stderr and exit code 2; Ctrl-C in 130.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from sciml import __version__
from sciml.errors import InputError, unknown

DOMAINS = {
    "jets": "tag, export and evaluate jets",
    "protein": "fold, search, contacts and scores of proteins",
    "symbolic": "integrate, solve differential equations, verify",
    "placement": "place, score, check, convert and draw circuits",
}


def _usage() -> str:
    general = {
        "demo": "the main path on embedded data, no network: pretrain, fine-tune, report",
        "run": "run a recipe: sciml run jet_tagging --tiny",
        "recipes": "list the recipes, copy one to change it",
        "data": "list, show, get, make and check data sets",
        "models": "list and show the models that come with the package",
        "doctor": "what is installed, which device, what is missing and how to add it",
    }
    rows = [*general.items(), *DOMAINS.items()]
    lines = "\n".join(f"  {name:<10} {text}" for name, text in rows)
    return (
        f"sciml {__version__}: deep learning for four sciences on shared, pretrainable trunks\n\n"
        f"usage: sciml COMMAND ...\n\n{lines}\n\n`sciml COMMAND --help` says more.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(arguments)
    except InputError as error:
        print(f"sciml: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has left (`sciml data list | head`).
        sys.stderr.close()
        return 0
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted"
        print(f"sciml: {message}", file=sys.stderr)
        return getattr(error, "exit_code", 130)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_usage(), end="")
        return 0
    command, *rest = arguments
    if command in ("--version", "-V"):
        print(f"sciml {__version__}")
        return 0
    if command in DOMAINS:
        commands = importlib.import_module(f"sciml.{command}.commands").COMMANDS
        return run_commands(command, commands, rest)
    if command == "run":
        return _run(rest)
    if command == "demo":
        from sciml.demo import demo

        return run_function(demo, rest, "sciml demo")
    if command == "recipes":
        own: dict[str, Callable[..., Any]] = {"list": recipes_list, "copy": recipes_copy}
        return run_commands("recipes", own, rest)
    if command == "data":
        from sciml.data import commands as data

        if rest[:1] == ["make"]:
            return data.make(rest[1:])
        return run_commands("data", data.COMMANDS, rest)
    if command == "models":
        from sciml.weights import COMMANDS

        return run_commands("models", COMMANDS, rest)
    if command == "doctor":
        from sciml.doctor import doctor

        return run_function(doctor, rest, "sciml doctor")
    known = ["run", "demo", "recipes", "data", "models", "doctor", *DOMAINS]
    raise unknown("command", command, known, hint="`sciml --help` lists them")


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
        tyro.cli(function, args=["--help"], prog=prog)
        return 0
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            bound = tyro.cli(_bind(function), args=arguments, prog=prog)
    except SystemExit as stop:
        if stop.code in (0, None):
            return 0
        raise InputError(_one_line(said.getvalue()), hint=f"`{prog} --help` says more") from None
    result = bound()
    return result if isinstance(result, int) else 0


def _bind(function: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """A function with the same signature that only remembers its arguments.

    Parsing must end before the command begins: what the command prints is its own.
    """
    import functools

    @functools.wraps(function)
    def remember(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(function, *args, **kwargs)

    return remember


def _one_line(text: str) -> str:
    """The words of a boxed parser message."""
    text = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]|-{4,}", " ", text)
    text = re.split(r"For full helptext|Full helptext", text)[0]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    titles = {"Parsing error", "Unrecognized options", "Required options", "Missing options"}
    words = " ".join(line for line in lines if line and line not in titles)
    return words or "these arguments do not fit"


def _run(rest: list[str]) -> int:
    from sciml import recipes

    if not rest or rest[0] in ("--help", "-h"):
        print("usage: sciml run RECIPE [--tiny] [--config FILE] [--out DIR] [any setting]\n")
        _print_recipes()
        print("\n`sciml run RECIPE --help` shows every setting; a path to a script works, too.")
        return 0
    recipes.run(recipes.load(rest[0]), rest[1:])
    return 0


def run_script(path: str) -> None:
    """The main program of a recipe's file: `python my_recipe.py --tiny`."""
    sys.exit(main(["run", path, *sys.argv[1:]]))


def _print_recipes() -> None:
    from sciml import recipes

    for name in recipes.names():
        print(f"  {name:<18} {recipes.load(name).summary}")


def recipes_list() -> None:
    """List the recipes with a line each."""
    _print_recipes()


def recipes_copy(name: tyro.conf.Positional[str], target: tyro.conf.Positional[Path]) -> None:
    """Copy a recipe and its settings, to read and to change.

    Args:
        name: The recipe, as `sciml recipes list` shows it.
        target: The new file, such as my_recipe.py.
    """
    from sciml import recipes

    for path in recipes.copy(name, target):
        print(f"wrote {path}")
    print(f"run it: python {target} --tiny")
