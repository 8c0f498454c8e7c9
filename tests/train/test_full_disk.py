"""A full disk at any place of a training: one line, and the same call goes on bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")
PROGRAM = Path(__file__).with_name("full_disk.py")


def test_every_file_of_a_training_may_meet_a_full_disk(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["refused"] >= 20 and outcome["refused"] < outcome["limits"]
    assert all("could not be written" in s or "cannot be written" in s for s in outcome["lines"])
    assert all("ree disk space" in line for line in outcome["lines"])
    hit = "".join(outcome["lines"])
    for what in ("checkpoint of step", "metrics.jsonl", "best.safetensors"):
        assert what in hit, what
