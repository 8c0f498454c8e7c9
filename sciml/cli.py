"""The command line: general commands such as run and demo, and one group per science.

Wrong input ends in one line on stderr and exit code 2; Ctrl-C in 130.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

from sciml import __version__
from sciml.commands import run_commands, run_function
from sciml.errors import FULL, InputError, unknown, unwritable

DOMAINS = {
    "jets": "tag, export and evaluate jets",
    "protein": "fold, search, contacts and scores of proteins",
    "symbolic": "integrate, solve differential equations, verify",
    "placement": "place, score, check, convert and draw circuits",
}


def general() -> dict[str, str]:
    """The general commands, each with a line of help."""
    return {
        "demo": "four sciences on one page in some minutes, without network",
        "run": "run a recipe: sciml run jet_tagging --tiny",
        "sweep": "run a recipe with many settings and compare the runs",
        "recipes": "list the recipes, copy one to change it",
        "data": "list, show, get, make and check data sets",
        "models": "list and show the models that come with the package",
        "doctor": "what is installed, which device, what is missing and how to add it",
        "completion": 'completion of the Tab key: eval "$(sciml completion bash)"',
    }


def own_commands(name: str) -> dict[str, Callable[..., Any]]:
    """The subcommands of a general command; empty for one without."""
    if name == "recipes":
        return {"list": recipes_list, "copy": recipes_copy}
    if name == "data":
        from sciml.data.commands import COMMANDS

        return COMMANDS
    if name == "models":
        from sciml.weights import COMMANDS

        return COMMANDS
    return {}


def of_domain(name: str) -> dict[str, Callable[..., Any]]:
    """The commands of a science."""
    return importlib.import_module(f"sciml.{name}.commands").COMMANDS


EXAMPLES = (
    ("sciml demo", "four sciences on one page"),
    ('sciml symbolic integrate "x*exp(x)*sin(x)"', "a proved antiderivative"),
    ("sciml jets tag jets.root -o scores.root", "what made each jet"),
    ("sciml placement place DESIGN -o placed.plc", "a legal placement of macros"),
)
"""What a newcomer may type first."""


def _usage() -> str:
    """All commands, and how they are called."""
    rows = [*general().items(), *DOMAINS.items()]
    lines = "\n".join(f"  {name:<10} {text}" for name, text in rows)
    return (
        f"{_title()}\n\nusage: sciml [--quiet] COMMAND ...\n\n{lines}\n\n"
        "  --quiet    no progress on stderr, only warnings and errors\n\n"
        "`sciml COMMAND --help` says more.\n"
    )


def _title() -> str:
    return f"sciml {__version__}: deep learning for four sciences on shared, pretrainable trunks"


def _welcome() -> str:
    """Four examples, for `sciml` alone."""
    width = max(len(command) for command, _ in EXAMPLES)
    lines = "\n".join(f"  {command:<{width}}  {text}" for command, text in EXAMPLES)
    return (
        f"{_title()}\n\n{lines}\n\n"
        "`sciml --help` lists all commands, `sciml doctor` says what is installed.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with _quiet(arguments):
        return _guarded(arguments)


@contextlib.contextmanager
def _quiet(arguments: list[str]) -> Iterator[None]:
    """Take `--quiet` off the arguments; with it, nothing is said of progress."""
    if "--quiet" not in arguments:
        yield
        return
    arguments.remove("--quiet")
    from sciml.train.log import console

    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _guarded(arguments: list[str]) -> int:
    """Run a command; what the user can act on is one line."""
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        _report(error, f"sciml: error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has closed it (`sciml data list | head`).
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in FULL:
            return _explained(error)
        # The disk is full: nothing more is printed, or the interpreter's exit would fail, too.
        sys.stdout = open(os.devnull, "w")
        print(f"sciml: error: {unwritable(error.filename or 'the output', error)}", file=sys.stderr)
        return InputError.exit_code
    except KeyboardInterrupt as error:
        _report(error, f"sciml: {str(error) or 'interrupted'}")
        return getattr(error, "exit_code", 130)
    except (ImportError, RuntimeError, MemoryError) as error:
        return _explained(error)


def _explained(error: Exception) -> int:
    """The exit code of a fault of the installation, which is said in one line.

    Raises:
        Exception: the error itself, if it is another one.
    """
    from sciml.installation import explained

    line = explained(error)
    if line is None:
        raise error
    _report(line, f"sciml: error: {line}")
    return line.exit_code


RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Variables with the number of a process: of torchrun, of two kinds of MPI, of SLURM."""


def _report(error: BaseException, line: str) -> None:
    """Print an error; of one that all processes have, only the first one does."""
    if not getattr(error, "of_all_processes", False):
        print(line, file=sys.stderr)
        return
    numbers = (os.environ.get(name) for name in RANKS)
    if next((number for number in numbers if number is not None), "0") == "0":
        print(line, file=sys.stderr, flush=True)
    if parallel := sys.modules.get("sciml.train.parallel"):
        parallel.barrier()  # torchrun stops the others as soon as one has ended


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(_welcome(), end="")
        return 0
    if arguments[0] in ("--help", "-h", "help"):
        print(_usage(), end="")
        return 0
    command, *rest = arguments
    if command in ("--version", "-V"):
        print(f"sciml {__version__}")
        return 0
    if command in DOMAINS:
        return run_commands(command, of_domain(command), rest)
    if command == "run":
        return _run(rest)
    if command == "sweep":
        from sciml.launch import ray_sweep

        return ray_sweep.main(rest)
    if command == "demo":
        from sciml.demo import demo

        return run_function(demo, rest, "sciml demo")
    if command == "data" and rest[:1] == ["make"]:
        from sciml.data import commands as data

        return data.make(rest[1:])
    if own := own_commands(command):
        return run_commands(command, own, rest)
    if command == "doctor":
        from sciml.doctor import doctor

        return run_function(doctor, rest, "sciml doctor")
    if command == "completion":
        return run_function(completion, rest, "sciml completion")
    raise unknown("command", command, [*general(), *DOMAINS], hint="`sciml --help` lists them")


def completion(shell: tyro.conf.Positional[Literal["bash", "zsh"]] = "bash") -> None:
    """Print a completion script: eval "$(sciml completion bash)" in ~/.bashrc.

    Args:
        shell: The shell it is for; zsh reads the script of bash.
    """
    from sciml.completion import ZSH, script

    commands = {name: own for name in general() if (own := own_commands(name))}
    commands |= {name: of_domain(name) for name in DOMAINS}
    print((ZSH if shell == "zsh" else "") + script([*general(), *DOMAINS], commands), end="")


def _run(rest: list[str]) -> int:
    from sciml import recipes
    from sciml.launch import slurm

    if not rest or rest[0] in ("--help", "-h"):
        print("usage: sciml run RECIPE [--tiny] [--config FILE] [--out DIR] [any setting]\n")
        _print_recipes()
        print("\n`sciml run RECIPE --help` shows every setting; a path to a script works, too.")
        return 0
    recipe = recipes.load(rest[0])
    if any(word.partition("=")[0] == "--submit" for word in rest):
        slurm.submit(recipe, rest[0], rest[1:])
    else:
        slurm.refuse_lone_processes(rest)
        recipes.run(recipe, rest[1:])
    return 0


def run_script(path: str) -> None:
    """The main program of a recipe's file: `python my_recipe.py --tiny`."""
    sys.exit(main(["run", path, *sys.argv[1:]]))


def _print_recipes() -> None:
    from sciml import recipes

    for name in recipes.names():
        print(f"  {name:<18} {recipes.load(name).summary}")


def recipes_list() -> None:
    """List the recipes, one line each."""
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
