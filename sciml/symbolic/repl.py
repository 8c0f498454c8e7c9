"""`sciml symbolic repl`: one line, one answer, with a history.

A line is a command of `sciml symbolic` with its options, an equation, or an integrand: x*exp(x) is
integrated, x^2 = 2 is solved, y' = y is a differential equation. `%` stands for the last answer.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sciml.commands import run_function
from sciml.errors import InputError

PROMPT = "sciml> "
HISTORY_LENGTH = 2000
_OPTIONS = re.compile(r"\s(?=--[a-z]|-[xyo]\s)")
_HELP = """\
x*exp(x)                      integrate; LaTeX such as \\int x e^x dx, too
integrate 1/x --limits 1 2    a command with its options: {commands}
x^2 = 2                       solve an equation
y'' + y = 0                   solve a differential equation
%                             the last answer, within a line
help, quit                    this help; the end (Ctrl-D as well)"""


def repl(commands: Mapping[str, Callable[..., Any]], lines: Iterable[str] | None = None) -> int:
    """Read lines and answer them until they end.

    Args:
        commands: the commands of `sciml symbolic` by name.
        lines: the lines; by default those typed, or those on standard input.
    """
    if lines is None:
        lines = _typed() if sys.stdin.isatty() else sys.stdin
    last = ""
    for line in lines:
        line = line.strip()
        if line in ("quit", "exit"):
            break
        if not line or line.startswith("#"):
            continue
        if line in ("help", "?"):
            print(_HELP.format(commands=", ".join(commands)))
            continue
        if "%" in line and not last:
            print("there is no last answer yet", file=sys.stderr)
            continue
        try:
            name, arguments = interpreted(line.replace("%", f"({last})"), commands)
            with _kept_output() as kept:
                run_function(commands[name], arguments, f"sciml symbolic {name}")
            if kept.first and not kept.first.startswith("no answer"):
                last = kept.first
        except InputError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    return 0


def interpreted(line: str, commands: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The command that a line means, and its arguments."""
    word, _, rest = line.partition(" ")
    if word in commands:
        expression = _OPTIONS.split(rest, maxsplit=1)[0]
        options = rest[len(expression) :]
        return word, [w for w in (expression.strip().strip('"'), *_words(options)) if w]
    if re.search(r"[A-Za-z]'|d\w/d\w|Derivative\(", line):
        return "dsolve", [line]
    if line.count("=") == 1 and not line.rstrip(" ?").endswith("="):
        return "solve", [line]
    return "integrate", [line]


def _words(text: str) -> list[str]:
    """The words of the options; only double quotation marks quote, for an apostrophe is a
    derivative."""
    words = shlex.shlex(text, posix=True)
    words.quotes, words.whitespace_split, words.commenters = '"', True, ""
    try:
        return list(words)
    except ValueError:
        raise InputError("a quotation mark is not closed", where=text) from None


class _Kept:
    """Passes text on to standard output, and keeps its first line."""

    def __init__(self) -> None:
        self.first, self.out = "", sys.stdout

    def write(self, text: str) -> int:
        self.first = self.first or text.strip().split("\n")[0]
        return self.out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


@contextlib.contextmanager
def _kept_output() -> Iterator[_Kept]:
    kept = _Kept()
    with contextlib.redirect_stdout(kept):
        yield kept


def _typed() -> Iterator[str]:
    """The lines typed at the prompt; their history is kept between sessions."""
    from sciml.paths import cache_dir

    history = cache_dir() / "symbolic_history"
    with contextlib.suppress(ImportError):
        import readline

        with contextlib.suppress(OSError):
            readline.read_history_file(history)
        readline.set_history_length(HISTORY_LENGTH)
    print("Type help for help; what you type is integrated or solved.")
    try:
        while True:
            try:
                yield input(PROMPT)
            except KeyboardInterrupt:
                print()
            except EOFError:
                print()
                return
    finally:
        _write_history(history)


def _write_history(path: Path) -> None:
    with contextlib.suppress(ImportError, OSError):
        import readline

        path.parent.mkdir(parents=True, exist_ok=True)
        readline.write_history_file(path)
