"""The commands of `sciml symbolic`: former spellings of their options."""

from __future__ import annotations

import subprocess
import sys
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


def test_a_command_loads_neither_networks_nor_compilers() -> None:
    """The process of the user loads no numbers either: those are the worker's."""
    heavy = "numpy", "flint", "sympy", "numba", "torch", "scipy"
    code = "import sys, {}; print(*[m for m in {!r} if m in sys.modules])"
    for module, allowed in (
        ("sciml.symbolic.integration.api", set()),
        ("sciml.symbolic.worker_process", {"numpy", "flint"}),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(module, heavy)], capture_output=True, text=True
        )
        assert done.returncode == 0 and set(done.stdout.split()) <= allowed, done


def test_a_child_is_launched_once_and_reused() -> None:
    from sciml.symbolic.expr.parser import parse
    from sciml.symbolic.jobs import IntegrateJob
    from sciml.symbolic.worker import Worker

    worker = Worker()
    try:
        worker.launch()
        child = worker._child
        worker.launch()
        message, _ = worker.ask(IntegrateJob(parse("2*x")), 30.0)
        assert message is not None and message["status"] == "verified" and worker._child is child
    finally:
        worker.close()
