"""`benchmarks/gpu.py`: every row at toy size, and rows that fail, die or take too long."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"
SPEC = importlib.util.spec_from_file_location("gpu", PATH)
assert SPEC is not None and SPEC.loader is not None
gpu = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gpu)


def test_every_row_runs_at_toy_size_and_none_twice(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, PATH, "--tiny", "--device", "cpu", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(out.read_text())
    assert set(results["rows"]) == set(gpu.BUDGETS)
    assert results["facts"]["torch"] and results["facts"]["device"]
    for name, row in results["rows"].items():
        for contestant, one in row["contestants"].items():
            if contestant.startswith("weaver") and "failed" in one:
                continue  # where weaver-core is not installed
            assert one["median_s"] > 0 and one["rounds"] >= 1, (name, contestant, one)
            assert one["peak_gib"] > 0
    before = out.read_bytes()
    began = time.monotonic()
    gpu.main([str(word) for word in command[2:]])
    assert out.read_bytes() == before and time.monotonic() - began < 1
    with pytest.raises(SystemExit, match="choose another --out"):
        gpu.main(["--out", str(out)])


CHILD = """
import json, os, sys, time
folder, *names = sys.argv[1:]
print(json.dumps({"facts": {"device": "toy"}}), flush=True)
for name in names:
    open(f"{folder}/{name}", "a").write("x")
    print(json.dumps({"begin": name}), flush=True)
    print("chatter that is no result")
    if name == "dies":
        sys.exit("out of luck")
    if name == "hangs":
        time.sleep(60)
    row = {"unit": "jets", "contestants": {"one": {"jets_per_s": 2.0}}}
    row = {"failed": "out of memory"} if name == "fails" else row
    print(json.dumps({"row": name, "result": row}), flush=True)
"""


def test_a_row_that_fails_dies_or_hangs_is_recorded_and_the_next_goes_on(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    budgets = {"good": 30.0, "fails": 30.0, "dies": 30.0, "hangs": 0.5, "last": 30.0}
    results: dict[str, Any] = {"rows": {}}
    gpu.drive(command, budgets, results, out, time.monotonic() + 120)
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == list(budgets) and rows == results["rows"]
    assert rows["fails"]["failed"] == "out of memory"
    assert rows["dies"]["failed"].endswith("exit code 1: out of luck")
    assert rows["hangs"]["failed"] == "took longer than 0.5 s"
    assert rows["good"]["contestants"] == rows["last"]["contestants"]
    assert all((tmp_path / name).read_text() == "x" for name in budgets)  # each once
    assert "good: one 2 jets/s" in capsys.readouterr().out


def test_a_row_that_the_time_cuts_off_is_left_for_the_next_call(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    results: dict[str, Any] = {"rows": {}}
    gpu.drive(command, {"good": 30.0, "hangs": 30.0}, results, out, time.monotonic() + 2)
    assert list(results["rows"]) == ["good"]
