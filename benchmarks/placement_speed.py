"""Speed of annealing with and without rules, and how long `sciml placement place` takes to start.

    python benchmarks/placement_speed.py --shared ../shared

Moves per CPU-second of the annealing of the clustered Ariane133 (synthetic without --shared), the
same seeds with no rule, with halos and channels, and with a region and aligned macros, in turn.
Then whole processes of `sciml placement place` with one short search: once with an empty cache of
compiled code, and then three times with the cache that it left. Writes
benchmarks/results/placement_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor

from sciml.placement import Design, place, read_design, write_design
from sciml.placement.design import MACRO
from sciml.placement.generate import NetlistConfig, netlist, standard_cells
from sciml.placement.rules import apply, read_rules

RESULTS = Path(__file__).parent / "results/placement_speed.json"
HALOS = """
channel = 2.0
orientations = ["N", "FN", "S", "FS"]
[[halo]]
nodes = ["{macros}"]
size = [1, 1, 1, 1]
"""
REGION = """
[[region]]
name = "part"
boxes = [[0, 0, {x}, {y}]]
kind = "inside"
nodes = ["{first}", "{second}"]
[[align]]
nodes = ["{third}", "{fourth}"]
edge = "left"
"""


def with_rules(design: Design, text: str, folder: Path) -> Design:
    macros = [design.names[int(i)] for i in design.where(MACRO)]
    path = folder / "rules.toml"
    path.write_text(text.format(
        macros=os.path.commonprefix(macros) + "*", x=design.canvas.width / 2,
        y=design.canvas.height, first=macros[0], second=macros[1], third=macros[2],
        fourth=macros[3],
    ))  # fmt: skip
    return apply(design, read_rules(str(path)), str(path))


def moves(design: Design, count: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Moves per CPU-second, and the least, of every set of rules."""
    cases = {
        "no rules": design,
        "halos, channel": with_rules(design, HALOS, folder),
        "halos, channel, region, aligned": with_rules(design, HALOS + REGION, folder),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        place(case, max_moves=2000)  # compiled code is read
    for seed in range(seeds):
        for name, case in cases.items():
            clock = time.process_time()
            placed = place(case, max_moves=count, seed=seed, start="zero")
            rates[name].append(placed.scores["evaluations"] / (time.process_time() - clock))
            print(seed, name, f"{rates[name][-1]:,.0f} moves/s, legal: {placed.scores['legal']}",
                  flush=True)  # fmt: skip
    return {
        name: {"median": float(np.median(r)), "least": min(r), "most": max(r)}
        for name, r in rates.items()
    }


def start(folder: Path) -> dict[str, Any]:
    """CPU- and wall seconds of processes that place a small design for a moment."""
    write_design(netlist(NetlistConfig(macros=20, clusters=60, ports=20), 1), folder / "m.pb.txt")
    write_design(standard_cells(500, seed=1), folder / "cells.aux")
    out: dict[str, Any] = {}
    for name, options in (
        ("macros", ["m.pb.txt", "-o", "m.plc", "--max-moves", "1000"]),
        ("cells", ["cells.aux", "-o", "c.pl", "--movable", "cells", "--cpu-seconds", "0.5"]),
    ):
        with tempfile.TemporaryDirectory() as cache:
            for k in range(4):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                clock = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "sciml", "placement", "place", *options, "--json"],
                    check=True, capture_output=True, cwd=folder,
                    env={**os.environ, "NUMBA_CACHE_DIR": cache},
                )  # fmt: skip
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                label = f"{name}, {'with' if k else 'without'} compiled code"
                out.setdefault(label, []).append(
                    {"cpu_seconds": cpu, "wall_seconds": time.perf_counter() - clock}
                )
                print(label, out[label][-1], flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--moves", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=["moves", "start", "all"], default="all")
    args = parser.parse_args()
    name = "synthetic, 133 macros, 782 clusters"
    design = netlist(NetlistConfig(macros=133, clusters=782, ports=200), 1)
    if args.shared is not None:
        name, place_of = "clustered Ariane133", args.shared / "data/placement/ariane133-ng45"
        design = read_design(place_of / "netlist.pb.txt.gz", plc=place_of / "legalized.plc")
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    facts = {"date": str(date.today()), "device": processor(), "threads": 1}
    with tempfile.TemporaryDirectory() as scratch:
        if args.part != "start":
            rates = moves(design, args.moves, args.seeds, Path(scratch))
            result["moves_per_second"] = {**rates, "design": name, "seeds": args.seeds, **facts}
        if args.part != "moves":
            result["start"] = {**start(Path(scratch)), **facts}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
