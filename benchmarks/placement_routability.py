"""Routability: overflow of global routing with and without inflation of cells in crowded places.

    python benchmarks/placement_routability.py --cells 20000 --seeds 3
    python benchmarks/placement_routability.py --shared ../shared --seeds 3

Places synthetic standard cells, or the flat Ariane133 around its fixed macros (at `--shared`), with
the same budget and seed either way, and routes both placements with our own global router. The
supply of tracks is `--supply` times what the Steiner trees of the first plain placement need on
average, in each direction: a design that is not short of tracks has nothing to show. Adds to
benchmarks/results/placement_routability.json, a design and supply at a time.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor

from sciml.placement import Design, check, hpwl, place, read_design
from sciml.placement.cost.wirelength import net_steiner
from sciml.placement.generate import standard_cells
from sciml.placement.placer import Placed
from sciml.placement.routing.router import route

RESULTS = Path(__file__).parent / "results/placement_routability.json"


def ariane(shared: Path) -> Design:
    packed = shared / "data/placement/ariane133-ng45/bookshelf_fixed.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
        # One unit is a hundredth of a micrometre, which Bookshelf does not state.
        return replace(read_design(next(Path(folder).rglob("*.aux"))), unit_um=0.01)


def needed(design: Design) -> float:
    """Tracks per um of a direction that the Steiner trees use on average over the canvas."""
    small = np.diff(design.net_start) <= 400
    length = float(net_steiner(design)[small].sum()) * design.unit_um
    return length / 2 / (design.canvas.width * design.canvas.height * design.unit_um**2)


def row(design: Design, placed: Placed, seed: int, routability: bool) -> dict[str, Any]:
    routed = route(replace(placed.design, tracks=design.tracks)).as_dict()
    return {
        "routability": routability, "seed": seed, "hpwl": hpwl(placed.design),
        "legal": check(placed.design, design).legal,
        "cpu_seconds_of_placing": placed.scores["cpu_seconds"],
        **{f"routed {key}" if key in ("length", "cpu_seconds") else key: routed[key]
           for key in ("overflow", "overfull_edges", "worst", "utilisation", "length", "bends",
                       "rounds", "left_out", "rows", "columns", "cpu_seconds")},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="the flat Ariane133 in it")
    parser.add_argument("--cells", type=int, default=20_000, help="of a synthetic design")
    parser.add_argument("--supply", type=float, default=2.0)
    parser.add_argument("--cpu-seconds", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if args.shared is not None:
        design, name = ariane(args.shared), "flat Ariane133, macros fixed"
    else:
        design, name = standard_cells(args.cells, seed=1), f"{args.cells} synthetic cells"
    rows: list[dict[str, Any]] = []
    tracks = 0.0
    for seed in range(args.seeds):
        for routability in (False, True):
            placed = place(design, cpu_seconds=args.cpu_seconds, movable="cells", seed=seed,
                           routability=routability)  # fmt: skip
            if not tracks:
                tracks = args.supply * needed(placed.design)
                design = replace(design, tracks=(tracks, tracks))
            rows.append(row(design, placed, seed, routability))
            print(rows[-1], flush=True)
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept[f"{name}, supply {args.supply:g}"] = {
            "rows": rows, "tracks_per_um": tracks, "supply": args.supply,
            "budget": args.cpu_seconds, "date": str(date.today()), "device": processor(),
        }  # fmt: skip
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
