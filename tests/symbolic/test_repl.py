"""The interactive session: what a line means, and that a mistake does not end it."""

from __future__ import annotations

import pytest

from sciml.errors import InputError
from sciml.symbolic.commands import COMMANDS
from sciml.symbolic.repl import interpreted, repl


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("x*exp(x)", "integrate", ["x*exp(x)"]),
        (r"\int x\,dx = ?", "integrate", [r"\int x\,dx = ?"]),
        ("x^2 = 2", "solve", ["x^2 = 2"]),
        ("y'' + y = 0", "dsolve", ["y'' + y = 0"]),
        ("dy/dx = y", "dsolve", ["dy/dx = y"]),
        ("integrate x * 2 - x --limits 0 1", "integrate", ["x * 2 - x", "--limits", "0", "1"]),
        ('dsolve y\' = y --ics "y(0) = 3"', "dsolve", ["y' = y", "--ics", "y(0) = 3"]),
        ('limit "sin(x)/x" --at 0', "limit", ["sin(x)/x", "--at", "0"]),
        ("integrate x*t -x t", "integrate", ["x*t", "-x", "t"]),
    ],
)
def test_what_a_line_means(line: str, name: str, arguments: list[str]) -> None:
    assert interpreted(line, COMMANDS) == (name, arguments)


def test_a_session(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["# a comment", "", "%", "2*x", "%/x", "foo(x)",
             "x^2 = 4", "help", 'limit x --at "0', "quit", "x"]  # fmt: skip
    assert repl(COMMANDS, lines) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:1] == ["x**2"] and "-2; 2" in out and "quit" in out
    assert "no last answer" in err and "unknown function 'foo'" in err
    assert "quotation mark" in err and out.rstrip().endswith("Ctrl-D as well)")


def test_an_unclosed_quotation_mark_is_refused() -> None:
    with pytest.raises(InputError):
        interpreted('limit x --at "0', COMMANDS)
