"""A working day: tasks of textbooks, of which no answer may be wrong and most must be there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "symbolic_everyday.py"


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("symbolic_everyday", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


everyday = _benchmark()
QUICK = [task for task in everyday.TASKS if task[0] != "definite"][::9]


def _outcomes(tasks: list, timeout: float) -> list[bool | None]:
    """True for a right answer, False for a wrong one, None for none."""
    out = []
    for task in tasks:
        answer = everyday.ours(task, timeout)
        known = answer[0] in ("answered", "diverges")
        out.append(everyday.right(task, answer) if known else None)
    return out


def test_some_tasks() -> None:
    outcomes = _outcomes(QUICK, 60.0)
    assert False not in outcomes and outcomes.count(True) >= 0.8 * len(QUICK)


def test_the_judge_refutes() -> None:
    import sympy as sp

    by_kind = {task[0]: task for task in everyday.TASKS}
    for kind in ("definite", "limit", "series", "summation", "laplace", "indefinite"):
        task = by_kind[kind]
        if task[2] == "diverges":
            continue
        exact = everyday.read(task[2])
        assert everyday.right(task, ("answered", exact)), task
        wrong = exact * (1 + sp.Rational(1, 10**6)) + sp.Symbol("x") / 10**6
        assert not everyday.right(task, ("answered", wrong)), task
        assert not everyday.right(task, ("diverges", None))


@pytest.mark.slow
def test_every_task() -> None:
    outcomes = _outcomes(everyday.TASKS, 60.0)
    wrong = [t for t, o in zip(everyday.TASKS, outcomes, strict=True) if o is False]
    assert not wrong
    assert outcomes.count(True) >= 0.9 * len(everyday.TASKS)
