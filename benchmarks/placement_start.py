"""Where the annealing of many macros begins: a random order, or an electrostatic placement.

    python benchmarks/placement_start.py --seeds 5 --cpu-seconds 3

Five synthetic designs of at least 200 macros, the same budget for both starts (that of the
electrostatic start includes its own time). Writes benchmarks/results/placement_start.json after
every seed.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

from machine import processor

from sciml.placement import place
from sciml.placement.generate import NetlistConfig, netlist

RESULTS = Path(__file__).parent / "results/placement_start.json"
SIZES = ((200, 640), (250, 500), (300, 800), (350, 600), (400, 800))
"""Hard macros and clusters of each design."""


def main() -> None:
    """Anneal from both starts, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cpu-seconds", type=float, nargs="+", default=[3.0])
    args = parser.parse_args()
    designs = {f"{m} macros, {c} clusters": netlist(NetlistConfig(macros=m, clusters=c, ports=200),
                                                    seed=m) for m, c in SIZES}  # fmt: skip
    small = netlist(NetlistConfig(macros=20, clusters=200, ports=20), seed=1)
    place(small, cpu_seconds=0.2, start="electrostatic")  # compiled
    rows: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        for seconds in args.cpu_seconds:
            for name, design in designs.items():
                row: dict[str, Any] = {"design": name, "cpu_seconds": seconds, "seed": seed}
                for start in ("zero", "electrostatic"):
                    placed = place(design, cpu_seconds=seconds, start=start, seed=seed)
                    row[start] = placed.scores["proxy"]
                    row[f"{start}, legal"] = placed.scores["legal"]
                row["gain"] = 1 - row["electrostatic"] / row["zero"]
                rows.append(row)
                print(row, flush=True)
        facts = {"date": str(date.today()), "processor": processor(), "seeds": seed + 1}
        RESULTS.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
