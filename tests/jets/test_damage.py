"""Thousands of damaged ROOT and Parquet files: each ends in jets in order or in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("damage.py")


def run(first: int, last: int, folder: Path) -> list[dict]:
    """The results of the worker; a crash of the process counts against the file it was reading."""
    results: list[dict] = []
    while first < last:
        process = subprocess.run(
            [sys.executable, str(WORKER), str(first), str(last), str(folder)],
            capture_output=True,
            text=True,
            timeout=3000,
        )
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        results += [line for line in lines if "outcome" in line or "peak_mb" in line]
        if process.returncode == 0:
            return results
        started = [line["number"] for line in lines if "start" in line]
        assert started, process.stderr[-2000:]
        results.append({"number": started[-1], "outcome": "crash", "seconds": 0.0})
        first = started[-1] + 1
    return results


def judge(results: list[dict], count: int) -> None:
    files = [result for result in results if "outcome" in result]
    assert len(files) == count
    wrong = [result for result in files if result["outcome"] not in ("read", "refused")]
    assert not wrong, wrong[:5]
    slow = [result for result in files if result["seconds"] > 20]
    assert not slow, slow[:5]
    peak = max(result["peak_mb"] for result in results if "peak_mb" in result)
    assert peak < 2048
    kinds = {result["outcome"] for result in files}
    assert kinds == {"read", "refused"}  # the damage is neither harmless nor total
    for result in files:
        if result["outcome"] == "read":
            assert result["rows"] == result["expected"], result


def test_forty_damaged_files(tmp_path):
    judge(run(0, 40, tmp_path), 40)


def test_a_tree_that_promises_more_than_it_holds(tmp_path):
    """One flipped bit in the number of entries once made the reader look for 48,046 jets."""
    (result,) = [r for r in run(1003, 1004, tmp_path) if "outcome" in r]
    assert result["outcome"] == "refused" and result["seconds"] < 5


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_thousand_damaged_files(tmp_path):
    judge(run(0, 2400, tmp_path), 2400)
