"""A finished recipe with one damaged file: run again, it ends equal, warns, or refuses."""

import json
import random
import shutil
from pathlib import Path

import pytest

from sciml.cli import main

PLACES = 200
TIMES = {"rate", "cpu_seconds", "seconds"}


def results(out: Path) -> dict[str, object]:
    """What a run found: weights and tables by their bytes, records without the times they took."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix in (".safetensors", ".parquet") and "checkpoints" not in name:
            found[name] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{k: v for k, v in row.items() if k not in TIMES | {"check"}}
                           for row in rows]  # fmt: skip
    return found


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
    whole = tmp_path / "whole"
    assert main(["run", recipe, "--tiny", "--out", str(whole)]) == 0
    shutil.copytree(whole, tmp_path / "again")
    assert main(["run", recipe, "--tiny", "--out", str(tmp_path / "again")]) == 0
    expected = results(whole)
    assert results(tmp_path / "again") == expected and len(expected) > 2
    choose, outcomes = random.Random(1), {"equal": 0, "warned": 0, "refused": 0}
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    out = tmp_path / "damaged"
    for k in range(PLACES if recipe == "jet_mass" else PLACES // 4):
        shutil.copytree(whole, out)
        what = damage(out / files[k % len(files)], choose)
        capsys.readouterr()
        code = main(["run", recipe, "--tiny", "--out", str(out)])
        said = capsys.readouterr().err
        assert "Traceback" not in said
        if code == 2:
            assert said.strip().splitlines()[-1].startswith("sciml: error: "), what
            outcomes["refused"] += 1
        else:
            assert code == 0, what
            warned = "warning: " in said
            assert warned or results(out) == expected, what
            outcomes["warned" if warned else "equal"] += 1
        shutil.rmtree(out)
    print(recipe, outcomes)
    assert sum(outcomes.values()) >= PLACES // 4
