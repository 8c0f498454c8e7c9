"""The commands of `sciml symbolic`: former spellings of their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciml.cli import main


def test_former_spellings_of_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"integrand": "2*x"}\n')
    assert main(["symbolic", "solve-file", str(source), "--output", str(target)]) == 0
    assert "--output is now --out" in capsys.readouterr().err and target.exists()
    command = ["data", "make", "expressions", "--kind", "bwd", "--count", "2", "--vary", "scale"]
    assert main([*command, "--output", str(target), "--largest", "9"]) == 0
    note = capsys.readouterr().err
    assert "--output is now --out" in note and "--largest is now --max-k" in note
    assert main(["symbolic", "dsolve", "y' = y", "--model", "none", "--timeout", "30"]) == 0


def test_the_former_name_of_a_setting() -> None:
    from sciml import recipes
    from sciml.config import from_dict

    config = recipes.load("symbolic_math").module.Config
    assert from_dict(config, {"longest": [40, 16]}, where="old.yaml").max_tokens == (40, 16)
