"""`sciml completion bash`: words for the shell's Tab key, taken from the commands as they are.

tyro can write such a script, too, but takes `jets tag` for one word, offers nothing behind it, and
its 170 kB start Python at each Tab. shtab needs an argparse tree of all commands, which would have
to be built here for that purpose alone, and is a further dependency (tyro does without it now).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping

from sciml import recipes

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


ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
"""What lets zsh read the script of bash."""


def script(
    first: Iterable[str], commands: Mapping[str, Mapping[str, Callable[..., object]]]
) -> str:
    """The script for bash.

    Args:
        first: the first words.
        commands: of some of them, the second words and their functions.
    """
    second: dict[str, list[str]] = {"run": recipes.names()}
    third: dict[str, list[str]] = {}
    common = re.findall(r"--[a-z]+", recipes.COMMON)
    for name in recipes.names():
        fields = recipes._dotted(type(recipes.load(name).config()))
        flags = [f"--{field.replace('_', '-')}" for field in fields]
        third[f"run {name}"] = [*flags, *common]
    for name, functions in commands.items():
        second[name] = list(functions)
        for word, function in functions.items():
            third[f"{name} {word}"] = flags_of(function)
    return BASH.format(first=" ".join(first), second=_cases(second), third=_cases(third))


def flags_of(function: Callable[..., object]) -> list[str]:
    """The long options of a command."""
    return [f"--{name.replace('_', '-')}" for name in inspect.signature(function).parameters]


def _cases(words: dict[str, list[str]]) -> str:
    return "\n".join(f'      "{key}") words="{" ".join(value)}" ;;' for key, value in words.items())
