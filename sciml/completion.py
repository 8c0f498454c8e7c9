"""`sciml completion bash`: words for the shell's Tab key, taken from the commands as they are."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Literal

BASH = """\
_sciml() {{
  local words current=${{COMP_WORDS[COMP_CWORD]}} place="${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}"
  if [ "$COMP_CWORD" = 1 ]; then words="{first}"
  elif [ "$COMP_CWORD" = 2 ]; then
    case "${{COMP_WORDS[1]}}" in
{second}
    esac
  else
    case "$place" in
{third}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _sciml sciml
"""


def completion(shell: Literal["bash", "zsh"] = "bash") -> None:
    """Print a completion script: eval "$(sciml completion bash)" in ~/.bashrc.

    Args:
        shell: The shell it is for; zsh reads the script of bash.
    """
    if shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(script(), end="")


def script() -> str:
    """The script for bash."""
    from sciml import recipes
    from sciml.cli import DOMAINS, general, own_commands

    second: dict[str, list[str]] = {"run": recipes.names()}
    third: dict[str, list[str]] = {}
    for name in recipes.names():
        fields = recipes._dotted(type(recipes.load(name).config()))
        flags = [f"--{field.replace('_', '-')}" for field in fields]
        third[f"run {name}"] = [*flags, "--out", "--config", "--tiny"]
    commands = {name: own_commands(name) for name in general() if own_commands(name)}
    for name in DOMAINS:
        commands[name] = importlib.import_module(f"sciml.{name}.commands").COMMANDS
    for name, functions in commands.items():
        second[name] = list(functions)
        for word, function in functions.items():
            third[f"{name} {word}"] = flags_of(function)
    return BASH.format(
        first=" ".join([*general(), *DOMAINS]),
        second=_cases(second), third=_cases(third),
    )  # fmt: skip


def flags_of(function: Callable[..., object]) -> list[str]:
    """The long options of a command."""
    return [f"--{name.replace('_', '-')}" for name in inspect.signature(function).parameters]


def _cases(words: dict[str, list[str]]) -> str:
    return "\n".join(f'      "{key}") words="{" ".join(value)}" ;;' for key, value in words.items())
