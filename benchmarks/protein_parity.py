"""The AlphaFold 2 network beside the public JAX one at full size, with every parameter random.

    python benchmarks/protein_parity.py --reference-python VENV/bin/python

VENV is the environment that tests/fixtures/make/alphafold_network.py names. 48 Evoformer and 4
extra blocks, published channels, odd sizes, padded residues, rows and templates. For every result
of every pass: the largest difference over the largest value, where residues are real and in the
padding apart.
With `--only` the other cases of the results file stay.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
MAKER = HERE.parents[1] / "tests" / "fixtures" / "make" / "alphafold_network.py"
CASES = {
    "plain": {"n": 37, "s": 15, "e": 21, "t": 0, "padded": 3, "recycles": 3, "seed": 5},
    "templates": {"n": 29, "s": 11, "e": 17, "t": 4, "padded": 2, "recycles": 2, "seed": 6},
    "not_padded": {"n": 41, "s": 9, "e": 13, "t": 2, "padded": 0, "recycles": 1, "seed": 7},
}
BOUND = 1e-4


def scaled_parameters(make):
    """Random parameters whose residual stream stays of order 1 through 48 blocks."""

    def draw(shapes, seed):
        arrays = make.random_parameters(shapes, seed)
        for name, value in arrays.items():
            stacked = "evoformer_iteration" in name.split("evoformer/")[-1] or "stack" in name
            last = ("output_w", "transition2//weights", "output_projection//weights")
            if stacked and name.endswith(last):
                value /= np.float32(np.sqrt(value.shape[0]))
        return arrays

    return draw


def reference(folder: Path, case: str, blocks: int) -> None:
    """Run the JAX network; called in its own environment."""
    specification = importlib.util.spec_from_file_location("make", MAKER)
    assert specification is not None and specification.loader is not None
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    make.SIZES.clear()
    make.HEADS.clear()
    settings = CASES[case] | {"blocks": blocks, "extra": 4}
    flat, features, expected = make.run(**settings, parameters_of=scaled_parameters(make))
    for file, arrays in (("params", flat), ("batch", features), ("expected", expected)):
        np.savez(folder / f"{file}.npz", **arrays)


def real_part(value: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which entries belong to real residues only: every axis as long as the chain counts."""
    keep = np.ones(value.shape, bool)
    for axis, size in enumerate(value.shape):
        if size == len(real):
            keep &= real.reshape([-1 if k == axis else 1 for k in range(value.ndim)])
    return keep


def compare(folder: Path) -> dict[str, dict[str, float]]:
    """Largest relative differences of every result of all passes."""
    import torch

    from sciml.protein import StructurePredictor

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    predictor = StructurePredictor.from_alphafold(folder / "params.npz", "cpu")
    batch, expected = (dict(np.load(folder / f"{k}.npz")) for k in ("batch", "expected"))
    passes = 1 + max(int(key.split("/")[0][4:]) for key in expected)
    results = predictor.predict_features(batch, passes - 1)
    real = batch["seq_mask"] > 0
    rows: dict[str, dict[str, float]] = {}
    for key, want in expected.items():
        name = key.split("/", 1)[1]
        keep = real_part(want, real)
        row = rows.setdefault(name, {"real": 0.0, "padding": 0.0})
        for part, where in (("real", keep), ("padding", ~keep)):
            if where.any():
                scale = max(float(np.abs(want[where]).max()), 1e-6)
                worst = float(np.abs(results[key] - want)[where].max()) / scale
                row[part] = max(row[part], worst)
    return rows


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", default="")
    parser.add_argument("--blocks", type=int, default=48)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "protein_parity.json")
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="some of the cases")
    parser.add_argument("--case", default="")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.case:
        reference(arguments.folder, arguments.case, arguments.blocks)
        return
    cases: dict[str, dict] = {}
    if arguments.out.exists():  # cases of an earlier run stay, if they were as deep
        old = json.loads(arguments.out.read_text(encoding="utf-8"))
        if old["blocks"] == arguments.blocks:
            cases = {name: entry for name, entry in old["cases"].items() if "results" in entry}
    for case, settings in CASES.items():
        if arguments.only and case not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            command = [arguments.reference_python, str(HERE), "--case", case]
            command += ["--folder", temporary, "--blocks", str(arguments.blocks)]
            subprocess.run(command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=True)
            rows = compare(Path(temporary))
        worst = max(max(row.values()) for row in rows.values())
        date = time.strftime("%Y-%m-%d")
        cases[case] = {"sizes": settings, "date": date, "worst": worst, "results": rows}
        print(case, f"worst relative difference {worst:.2e}", flush=True)
        result = {
            "benchmark": "protein_parity",
            "command": "python benchmarks/protein_parity.py --reference-python VENV/bin/python",
            "device": "CPU",
            "blocks": arguments.blocks,
            "bound": BOUND,
            "reference": "alphafold-colabfold 2.3.6, jax 0.4.35, float32",
            "cases": cases,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if max(case["worst"] for case in cases.values()) > BOUND:
        sys.exit("a difference is above the bound")


if __name__ == "__main__":
    main()
