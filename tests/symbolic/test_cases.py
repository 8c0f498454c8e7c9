"""The cases of ../shared/cases/symbolic, where that folder is there: false antiderivatives."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.symbolic.checking import check
from sciml.symbolic.parser import check_symbols, parse


def _cases(shared: Path, first: str) -> dict[str, str]:
    file = shared / "cases" / "symbolic" / "cases.md"
    if not file.is_file():
        pytest.skip("the cases of symbolic mathematics are not beside this checkout")
    lines = [line.split(" ", 1) for line in file.read_text("utf-8").splitlines()]
    return {line[0]: line[1] for line in lines if re.fullmatch(first + r"\d\w?", line[0])}


def _pairs(text: str) -> list[tuple[str, str, list[str]]]:
    """(integrand, false antiderivative, constants) of one case."""
    out = []
    for call in re.findall(r"verify(\(.*?\))(?= verified)", text):
        tree = ast.parse("f" + call, mode="eval").body
        assert isinstance(tree, ast.Call)
        f, big = (ast.literal_eval(a) for a in tree.args[:2])
        out.append((f, big, ast.literal_eval(tree.keywords[0].value) if tree.keywords else []))
    out += [(f, big, []) for big, f in re.findall(r"([^\s;]+) for ([^\s;.]+)", text)]
    out += [(f, big, []) for f, big in re.findall(r"([^\s;]+) -> ([^\s;]+)", text)]
    return out


def test_false_antiderivatives_are_refuted(shared: Path) -> None:
    tried = 0
    for name, text in _cases(shared, "V").items():
        for f, big, constants in _pairs(text):
            try:
                e, answer = parse(f), parse(big)
                check_symbols(e + answer, "x", constants)
            except InputError:
                continue  # a piece of prose, or F for "the right one"
            found = check(e, answer, "x", symbolic=True)
            assert not found.verified and found.refuted, (name, f, big, found)
            tried += 1
    assert tried >= 5


def test_no_refuted_guess_is_printed(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in _cases(shared, "N").values():
        for problem in re.findall(r'integrate "([^"]+)"', text):
            code = main(["symbolic", "integrate", problem, "--json"])
            found = json.loads(capsys.readouterr().out)
            assert (code == 0) == (found["status"] in ("verified", "sampled"))
            assert (found["answer"] is None) == (code == 1)
