"""Where the annealing of many macros begins: a random order, or an electrostatic placement.

    python benchmarks/placement_start.py --seeds 5 --cpu-seconds 3
    python benchmarks/placement_start.py --seeds 3 --cpu-seconds 0.3 1 10
    python benchmarks/placement_start.py --seeds 2 --cpu-seconds 60 --designs "200 " "400 "
    python benchmarks/placement_start.py --shared ../shared --cpu-seconds 0.3 1 3 10 60

Five synthetic designs of at least 200 macros, or the clustered Ariane133 (in `--shared`), the same
budget for both starts (that of the electrostatic start includes its own time). After every seed,
what is new is added to benchmarks/results/placement_start.json, and the curve over the budgets is
made anew.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor

from sciml.placement import place, read_design
from sciml.placement.generate import NetlistConfig, netlist

RESULTS = Path(__file__).parent / "results/placement_start.json"
SIZES = ((200, 640), (250, 500), (300, 800), (350, 600), (400, 800))
"""Hard macros and clusters of each design."""


def curve(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For every design and budget: median and spread of both starts over the seeds."""
    out: dict[str, Any] = {}
    for name in dict.fromkeys(row["design"] for row in rows):
        for seconds in sorted({row["cpu_seconds"] for row in rows if row["design"] == name}):
            here = [r for r in rows if (r["design"], r["cpu_seconds"]) == (name, seconds)]
            gains = [row["gain"] for row in here]
            out.setdefault(name, {})[f"{seconds:g} CPU-s"] = {
                **{f"{start}, median": float(np.median([row[start] for row in here]))
                   for start in ("zero", "electrostatic")},
                "gain, median": float(np.median(gains)), "gain, least": min(gains),
                "gain, most": max(gains), "seeds": len(here),
            }  # fmt: skip
    return out


def main() -> None:
    """Anneal from both starts, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cpu-seconds", type=float, nargs="+", default=[3.0])
    parser.add_argument("--designs", nargs="*", help="those whose names begin so")
    parser.add_argument("--shared", type=Path, help="the clustered Ariane133 in it, instead")
    args = parser.parse_args()
    if args.shared is not None:
        folder = args.shared / "data/placement/ariane133-ng45"
        designs = {"clustered Ariane133": read_design(
            folder / "netlist.pb.txt.gz", plc=folder / "legalized.plc")}  # fmt: skip
    else:
        designs = {f"{m} macros, {c} clusters": netlist(
            NetlistConfig(macros=m, clusters=c, ports=200), seed=m) for m, c in SIZES}  # fmt: skip
    small = netlist(NetlistConfig(macros=20, clusters=200, ports=20), seed=1)
    place(small, cpu_seconds=0.2, start="electrostatic")  # compiled
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows: list[dict[str, Any]] = kept.get("rows", [])
    for seed in range(args.seeds):
        for seconds in args.cpu_seconds:
            for name, design in designs.items():
                if args.designs and not name.startswith(tuple(args.designs)):
                    continue
                key = {"design": name, "cpu_seconds": seconds, "seed": seed}
                row: dict[str, Any] = dict(key)
                for start in ("zero", "electrostatic"):
                    placed = place(design, cpu_seconds=seconds, start=start, seed=seed)
                    row[start] = placed.scores["proxy"]
                    row[f"{start}, legal"] = placed.scores["legal"]
                row["gain"] = 1 - row["electrostatic"] / row["zero"]
                row["date"] = str(date.today())
                rows = [r for r in rows if {k: r[k] for k in key} != key] + [row]
                print(row, flush=True)
                facts = {"date": str(date.today()), "processor": processor()}
                result = {**facts, "curve": curve(rows), "rows": rows}
                RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
