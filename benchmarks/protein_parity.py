"""AlphaFold 2 and AlphaFold-Multimer beside the public JAX networks, all parameters random.

    python benchmarks/protein_parity.py --reference-python VENV/bin/python

VENV is the environment that tests/fixtures/make/alphafold_network.py names. 48 Evoformer and 4
extra blocks, published channels, odd sizes, padded residues, rows and templates. For every result
of every pass: the largest difference over the largest value, where residues are real and in the
padding apart. In a complex's padding the published network's numbers depend on its order of
operations and are left out.
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
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
MAKER = HERE.parents[1] / "tests" / "fixtures" / "make" / "alphafold_network.py"
MULTIMER_MAKER = MAKER.with_name("alphafold_multimer.py")
CASES = {
    "plain": {"n": 37, "s": 15, "e": 21, "t": 0, "padded": 3, "recycles": 3, "seed": 5},
    "templates": {"n": 29, "s": 11, "e": 17, "t": 4, "padded": 2, "recycles": 2, "seed": 6},
    "not_padded": {"n": 41, "s": 9, "e": 13, "t": 2, "padded": 0, "recycles": 1, "seed": 7},
}
COMPLEXES: dict[str, dict[str, Any]] = {
    "two_chains": {
        "chains": [(21, 1), (14, 2)], "s": 9, "e": 13, "surplus": 0, "t": 2, "padded": 0,
        "recycles": 1, "seed": 11, "version": 3,
    },
    "equal_chains": {
        "chains": [(13, 1), (11, 2), (11, 2)], "s": 9, "e": 13, "surplus": 3, "t": 4, "padded": 3,
        "recycles": 3, "seed": 9, "version": 3,
    },
    "version_2": {
        "chains": [(12, 1), (12, 1), (12, 1)], "s": 8, "e": 9, "surplus": 2, "t": 2, "padded": 2,
        "recycles": 0, "seed": 10, "version": 2,
    },
}  # fmt: skip
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
    maker = MULTIMER_MAKER if case in COMPLEXES else MAKER
    specification = importlib.util.spec_from_file_location("make", maker)
    assert specification is not None and specification.loader is not None
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    if case in COMPLEXES:
        c = dict(COMPLEXES[case])
        recycles, version, seed = c.pop("recycles"), c.pop("version"), c["seed"]
        network = make.configuration(blocks, 4, c["s"], c["e"], True, version, small=False)
        features = make.random_features(**c)
        flat, expected = make.run(network, features, recycles, seed + 1)
    else:
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


def real_cells(key: str, value: np.ndarray, batch: dict, rows: int, types: np.ndarray):
    """The entries of a complex's result that belong to real residues, rows and atoms."""
    keep = real_part(value, batch["seq_mask"] > 0)
    if key.endswith(("representations/msa", "masked_msa/logits")):
        keep &= batch["msa_mask"][:rows].any(1)[:, None, None]
    if key.endswith("final_atom14_positions"):
        keep &= (types > 0)[..., None]
    return keep


def edge_margin(expected: dict, types: np.ndarray, real: np.ndarray, passes: int) -> float:
    """How close [A] a recycled CB distance is to an edge of its classes: where it is closer than
    the rounding of the coordinates, the next pass differs by a whole class."""
    edges, nearest = np.linspace(3.25, 20.75, 15), np.inf
    for number in range(passes - 1):
        atoms = expected[f"pass{number}/structure_module/final_atom_positions"].astype("f8")
        beta = atoms[np.arange(len(types)), np.where(types == 7, 1, 3)][real]
        distance = np.sqrt(((beta[:, None] - beta[None]) ** 2).sum(-1))
        nearest = min(nearest, np.abs(distance[distance > 0][:, None] - edges).min(initial=np.inf))
    return float(nearest)


def compare(folder: Path, case: str) -> dict[str, Any]:
    """Largest relative differences of every result of all passes, and `edge_margin`."""
    import torch

    from sciml.protein import StructurePredictor

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    predictor = StructurePredictor.from_alphafold(folder / "params.npz", "cpu")
    batch, expected = (dict(np.load(folder / f"{k}.npz")) for k in ("batch", "expected"))
    passes = 1 + max(int(key.split("/")[0][4:]) for key in expected)
    complex_ = COMPLEXES.get(case)
    counts = {"num_msa": complex_["s"], "num_extra_msa": complex_["e"]} if complex_ else {}
    results = predictor.predict_features(batch, passes - 1, **counts)
    real = batch["seq_mask"] > 0
    rows: dict[str, Any] = {}
    for key, want in expected.items():
        name = key.split("/", 1)[1]
        row = rows.setdefault(name, {"real": 0.0, "padding": 0.0})
        if complex_:
            exists = results[f"{key.split('/')[0]}/structure_module/final_atom14_mask"]
            keep = real_cells(key, want, batch, complex_["s"], exists)
            parts = {"real": keep}
        else:
            keep = real_part(want, real)
            parts = {"real": keep, "padding": ~keep}
        for part, where in parts.items():
            if where.any():
                scale = max(float(np.abs(want[where]).max()), 1e-6)
                worst = float(np.abs(results[key] - want)[where].max()) / scale
                row[part] = max(row[part], worst)
    rows["distance_to_bin_edge"] = edge_margin(expected, batch["aatype"], real, passes)
    return rows


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", default="")
    parser.add_argument("--blocks", type=int, default=48)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "protein_parity.json")
    parser.add_argument("--only", nargs="+", choices=[*CASES, *COMPLEXES], help="some of the cases")
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
    for case, settings in (CASES | COMPLEXES).items():
        if arguments.only and case not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            command = [arguments.reference_python, str(HERE), "--case", case]
            command += ["--folder", temporary, "--blocks", str(arguments.blocks)]
            subprocess.run(command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=True)
            rows: dict[str, Any] = compare(Path(temporary), case)
            margin = rows.pop("distance_to_bin_edge")
        worst = max(max(row.values()) for row in rows.values())
        date = time.strftime("%Y-%m-%d")
        cases[case] = {"sizes": settings, "date": date, "worst": worst}
        cases[case] |= {"distance_to_bin_edge": margin if np.isfinite(margin) else None}
        cases[case]["results"] = rows
        print(case, f"worst relative difference {worst:.2e}, edge {margin:.1e} A", flush=True)
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
