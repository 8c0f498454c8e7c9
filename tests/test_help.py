"""The help of every recipe and command shows what its code documents, to the last word."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docstring_parser
import pytest

from sciml import recipes
from sciml.cli import DOMAINS, general, main, of_domain, own_commands

COMMANDS = [
    (group, name, function)
    for group in (*general(), *DOMAINS)
    for name, function in (of_domain(group) if group in DOMAINS else own_commands(group)).items()
    if (group, name) != ("data", "make")
]


def shown(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints, boxes and line breaks taken off."""
    monkeypatch.setenv("COLUMNS", "100")  # wider, boxes stand side by side
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(arguments) == 0
    return squeezed(out.getvalue())


def squeezed(text: str) -> str:
    """Letters and signs alone: where lines break is the terminal's business."""
    return re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f\s]", "", text)


def classes_of(config: Any) -> Iterator[type]:
    """The class of a recipe's settings and those of its fields; parts that are None by default
    are subcommands to the parser, which shows them only when they are chosen."""
    yield type(config)
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(value := getattr(config, field.name)):
            yield from classes_of(value)


def documented(cls: type) -> Iterator[tuple[str, str]]:
    """(name, docstring) of every setting that a class itself declares."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:]):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
            yield field.target.id, str(text.value.value)


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipes_help_holds_every_setting_whole(name, monkeypatch):
    text = shown("run", name, "--help", monkeypatch=monkeypatch)
    checked = 0
    for cls in classes_of(recipes.load(name).config()):
        for setting, description in documented(cls):
            assert squeezed(description) in text, (cls.__name__, setting)
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize(
    ("group", "name", "function"), COMMANDS, ids=[f"{group} {name}" for group, name, _ in COMMANDS]
)
def test_a_commands_help_holds_every_option_whole(group, name, function, monkeypatch):
    text = shown(group, name, "--help", monkeypatch=monkeypatch)
    parsed: Any = docstring_parser.parse(function.__doc__)
    assert squeezed(parsed.short_description) in text
    described = {parameter.arg_name: parameter.description for parameter in parsed.params}
    assert set(described) == set(inspect.signature(function).parameters)
    for option, description in described.items():
        assert squeezed(description) in text, option


def test_the_reference_does_not_take_words_before_a_colon_for_a_type():
    """Sphinx's Google style reads the text of an attribute as "TYPE: DESCRIPTION"."""
    napoleon = pytest.importorskip("sphinx.ext.napoleon")
    path = Path(__file__).parents[1] / "docs" / "conf.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (plain,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "plain")
    names: dict[str, Any] = {"re": re}
    exec(compile(ast.Module([plain], []), str(path), "exec"), names)  # the file itself has effects
    lines = ["Optimiser steps; 0 means: as many as `epochs` needs.", "A second line."]
    names["plain"](None, "attribute", "steps", None, None, lines)
    rendered = str(napoleon.GoogleDocstring(lines, napoleon.Config(), what="attribute"))
    assert "0 means: as many as `epochs` needs." in rendered and ":type:" not in rendered
