"""A finished recipe with one damaged file: run again, it ends equal, warns, or refuses."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from sciml.cli import main

PLACES = 200
TIMES = {"rate", "cpu_seconds", "seconds", "check"}


def results(out: Path) -> dict[str, object]:
    """What a run found: weights and tables by their bytes, records without the times they took."""
    contents: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if "checkpoints" in name or name.startswith("pretrained/"):
            continue  # a training in between, which a finished run does not open again
        if path.suffix in (".safetensors", ".parquet") or name == "table.md":
            contents[name] = path.read_bytes()
        if name == "results.json":
            contents[name] = timeless(json.loads(path.read_text()))
        if path.name == "metrics.jsonl":
            contents[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
    return contents


def timeless(values: Any) -> Any:
    """Nested values without the times that they took, and the digests of these."""
    if isinstance(values, list):
        return [timeless(value) for value in values]
    if isinstance(values, dict):
        return {key: timeless(value) for key, value in values.items() if key not in TIMES}
    return values


def damage(path: Path, choose: random.Random) -> str:
    raw = bytearray(path.read_bytes())
    at = choose.randrange(len(raw)) if raw else 0
    if choose.random() < 0.5 and raw:
        raw[at] ^= 1 << choose.randrange(8)
        what = "bit"
    else:
        del raw[at:]
        what = "cut"
    path.write_bytes(raw)
    return f"{what} at {at} of {path}"


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("recipe", ["jet_mass", "transfer"])
def test_damage_at_two_hundred_places(recipe, tmp_path, capsys):
    intact = tmp_path / "whole"
    assert main(["run", recipe, "--tiny", "--out", str(intact)]) == 0
    shutil.copytree(intact, tmp_path / "again")
    assert main(["run", recipe, "--tiny", "--out", str(tmp_path / "again")]) == 0
    expected = results(intact)
    assert results(tmp_path / "again") == expected and len(expected) > 2
    choose, outcomes = random.Random(1), {"equal": 0, "warned": 0, "refused": 0}
    files = sorted(p.relative_to(intact) for p in intact.rglob("*") if p.is_file())
    files = [path for path in files if path.parts[0] != "pretrained"]
    out = tmp_path / "damaged"
    for k in range(PLACES if recipe == "jet_mass" else PLACES // 10):
        shutil.copytree(intact, out)
        what = damage(out / files[k % len(files)], choose)
        capsys.readouterr()
        code = main(["run", recipe, "--tiny", "--out", str(out)])
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        if code == 2:
            assert errors.strip().splitlines()[-1].startswith("sciml: error: "), what
            outcomes["refused"] += 1
        else:
            assert code == 0, what
            warned = "warning: " in errors
            assert warned or results(out) == expected, what
            outcomes["warned" if warned else "equal"] += 1
        shutil.rmtree(out)
    print(recipe, outcomes)
    assert sum(outcomes.values()) >= PLACES // 10
