"""Standard cells: half-perimeter over CPU time, beside Coloquinte's default and full flow.

    python benchmarks/placement_cells.py --shared ../shared --coloquinte VENV/bin/python
    python benchmarks/placement_cells.py --synthetic 2000 --out /tmp/cells.json

Places the flat Ariane133 around its fixed macros once, and keeps the half-perimeter of every legal
placement on the way: after legalisation, and after each part of detailed placement. Coloquinte runs
in the same call at the efforts that are named, before and after its detailed placement. Times are
CPU-seconds of placing, one thread, without reading files; compiled code is read before. Both
placements are judged by the same checker. Writes benchmarks/results/placement_cells.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from machine import processor

from sciml.placement import check, hpwl, place, read_design, write_design
from sciml.placement.generate import standard_cells

RESULTS = Path(__file__).parent / "results/placement_cells.json"
COLOQUINTE = """
import importlib.metadata, json, sys, time
import coloquinte
circuit = coloquinte.Circuit.read_ispd(sys.argv[1])
clock = time.process_time()
parameters = coloquinte.ColoquinteParameters(3)


def tell(stage):
    seconds, file = time.process_time() - clock, sys.argv[2] + stage.replace(" ", "-") + ".pl"
    circuit.write_placement(file)
    print(json.dumps({"stage": stage, "file": file, "cpu_seconds_of_placing": seconds, "effort": 3,
        "own_hpwl": circuit.hpwl(), "version": importlib.metadata.version("coloquinte")}))


circuit.place_global(parameters)
circuit.legalize(parameters)
tell("without detailed placement")
circuit.place_detailed(parameters)
tell("with detailed placement")
"""


def ours(aux: Path, cpu_seconds: float, seed: int) -> dict[str, Any]:
    """One run, and the curve of its legal placements."""
    design = read_design(aux)
    place(standard_cells(300, seed=1), cpu_seconds=5, movable="cells")  # compiled code is read
    placed = place(design, cpu_seconds=cpu_seconds, movable="cells", seed=seed)
    first = next(k for k, row in enumerate(placed.history) if "overflow" not in row)
    verdict = check(placed.design, design)
    return {
        "seed": seed, "budget": cpu_seconds, "hpwl": hpwl(placed.design), "legal": verdict.legal,
        "problems": verdict.problems[:3], "cpu_seconds": placed.scores["cpu_seconds"],
        "global": placed.history[:first],
        "curve": [[row["cpu_seconds"], row["hpwl"]] for row in placed.history[first:]],
    }  # fmt: skip


def coloquinte(python: str, aux: Path, effort: int, scratch: Path) -> list[dict[str, Any]]:
    """Its placements without and with its detailed placement."""
    script = COLOQUINTE.replace("ColoquinteParameters(3)", f"ColoquinteParameters({effort})")
    script = script.replace('"effort": 3', f'"effort": {effort}')
    output = subprocess.run(
        [python, "-c", script, str(aux), str(scratch / f"coloquinte{effort}")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    design, rows = read_design(aux), []
    for line in output.splitlines():
        if line.startswith('{"stage"'):
            row = json.loads(line)
            placed = read_design(aux, pl=Path(row.pop("file")))
            verdict = check(placed, design)
            rows.append(row | {"hpwl": hpwl(placed), "legal": verdict.legal,
                               "problems": verdict.problems[:3]})  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--synthetic", type=int, help="so many generated cells instead")
    parser.add_argument("--cpu-seconds", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--coloquinte", help="a Python that has it")
    parser.add_argument("--efforts", type=int, nargs="*", default=[3])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.synthetic:
            aux, name = scratch / "cells.aux", f"{arguments.synthetic} synthetic cells"
            write_design(standard_cells(arguments.synthetic, seed=1), aux)
        else:
            name = "flat Ariane133, macros fixed"
            packed = arguments.shared / "data/placement/ariane133-ng45/bookshelf_fixed.tar.xz"
            with tarfile.open(packed) as tar:
                tar.extractall(scratch, filter="data")
            aux = next(scratch.rglob("*.aux"))
        runs = [ours(aux, arguments.cpu_seconds, seed) for seed in range(arguments.seeds)]
        peers: list[dict[str, Any]] = []
        for effort in arguments.efforts if arguments.coloquinte else []:
            peers += coloquinte(arguments.coloquinte, aux, effort, scratch)
    result = {
        "design": name, "ours": runs, "coloquinte": peers, "device": processor(), "threads": 1,
        "date": str(date.today()), "python": sys.version.split()[0],
    }  # fmt: skip
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, default=float) + "\n")
    for run in runs:
        print(f"{run['hpwl']:.6g} in {run['cpu_seconds']:.1f} CPU-s, legal: {run['legal']}")


if __name__ == "__main__":
    main()
