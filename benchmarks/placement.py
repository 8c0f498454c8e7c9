"""Placement benchmarks: cost, moves, masks, readers, annealing and standard cells.

    python benchmarks/placement.py --shared ../shared --part all
    python benchmarks/placement.py --part cells --case "macros fixed"

Writes benchmarks/results/placement.json, part by part: a new measurement of a part replaces the old
one. Times are CPU-seconds of one thread, so that a busy machine changes them little. Published
numbers beside ours: TILOS MacroPlacement's annealer and the commercial placement on the clustered
Ariane133, both rescored with the exact proxy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor
from numba import njit

from sciml.placement import check, hpwl, proxy_cost, read_design, write_design
from sciml.placement import place as place_design
from sciml.placement.classical.annealing import AnnealingConfig
from sciml.placement.cost.incremental import Incremental, attempt, refresh
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.proxy_kernels import evaluate
from sciml.placement.design import MACRO, Design
from sciml.placement.generate import NetlistConfig, netlist, standard_cells
from sciml.placement.learning.env import EnvConfig, PlacementEnv

RESULTS = Path(__file__).parent / "results/placement.json"
CHOSEN: dict[str, Any] = {}
"""From the command line: a case, a seed of the annealing, a number of cells."""


def ariane(shared: Path) -> Design:
    folder = shared / "data/placement/ariane133-ng45"
    return read_design(folder / "netlist.pb.txt.gz", plc=folder / "legalized.plc")


def cost(shared: Path, seeds: int) -> dict[str, Any]:
    """One full evaluation, and moves of one macro with all three terms always computed."""
    design = ariane(shared)
    evaluator = Evaluator(design)
    evaluator.terms()
    clock = time.process_time()
    for _ in range(200):
        evaluate(evaluator.problem, evaluator.state)
    full = (time.process_time() - clock) / 200
    moves = Incremental(design)
    p, s, m = moves.problem, moves.state, moves.scratch
    first = s.x.copy(), s.y.copy()
    rng = np.random.default_rng(0)
    n = 200_000
    node = rng.integers(0, p.macros, n)
    step = rng.normal(0, 30, (n, 2))
    at_random = np.stack([rng.uniform(100, 1333, n), rng.uniform(100, 1333, n)], 1)
    rates: dict[str, float] = {}
    exact, early = (np.inf, np.inf), (0.0006, 0.004)  # the latter as in the annealing
    for label, positions, worse, slack in (
        ("30 um, always done, all three terms", None, np.inf, exact),
        ("30 um, done if no worse, all three terms", None, 0.0, exact),
        ("30 um, done if no worse, refused early", None, 0.0, early),
        ("anywhere, always done, all three terms", at_random, np.inf, exact),
        ("anywhere, done if no worse, refused early", at_random, 0.0, early),
    ):
        seconds = []
        for count in (10, n, n, n, n):  # compiled first, then the best of four
            s.x[:], s.y[:] = first
            refresh(p, s, m)
            m.slack[:] = slack
            clock = time.process_time()
            many(
                p,
                s,
                m,
                node[:count],
                step if positions is None else positions,
                positions is None,
                worse,
            )
            seconds.append((time.process_time() - clock) / count)
        rates[label] = 1 / min(seconds[1:])
    return {"milliseconds_per_evaluation": 1e3 * full, "moves_per_second": rates,
            "note": "one macro per move, hard or soft; positions may be illegal"}  # fmt: skip


@njit
def many(p: Any, s: Any, m: Any, node: Any, place: Any, relative: bool, worse: float) -> None:
    """Move one macro after the other, by a step or to a place."""
    for k in range(len(node)):
        i = node[k]
        m.node[0], m.orientation[0] = i, s.orientation[i]
        x = place[k, 0] + (s.x[i] if relative else 0.0)
        y = place[k, 1] + (s.y[i] if relative else 0.0)
        m.x[0] = min(max(x, p.width[i] / 2), 1433 - p.width[i] / 2)
        m.y[0] = min(max(y, p.height[i] / 2), 1433 - p.height[i] / 2)
        attempt(p, s, m, 1, s.cost[3] + worse)


def annealing(shared: Path, seeds: int) -> dict[str, Any]:
    """The proxy of the clustered Ariane133 from zeroed positions, with spread over seeds.

    Every run is saved when it is done and not repeated, so that a call may be interrupted. `--case`
    and `--only-seed` choose one of them.
    """
    design = ariane(shared)
    before = json.loads(RESULTS.read_text()).get("annealing", {}) if RESULTS.exists() else {}
    out: dict[str, Any] = {"reference": {
        "commercial": proxy_cost(design).as_dict(), "TILOS annealer, 148 CPU-s": 0.6822,
        "start": "all positions zeroed, hard macros legal throughout, one thread",
        "density with macros at cell centres, at least": centred_density(design),
    }}  # fmt: skip
    cases = {
        "150 CPU-s": (150.0, AnnealingConfig()),
        "60 CPU-s": (60.0, AnnealingConfig()),
        "60 CPU-s, macros at cell centres": (60.0, AnnealingConfig(centred=True)),
        "60 CPU-s, robust proxy": (60.0, AnnealingConfig(robust=True)),
    }
    for label, (budget, config) in cases.items():
        runs = {r["seed"]: r for r in before.get(label, {}).get("runs", [])}
        for seed in range(seeds):
            if seed in runs or CHOSEN.get("case", label) != label:
                continue
            if CHOSEN.get("seed", seed) != seed:
                continue
            place_design(design, max_moves=4000, config=config)  # compiled code is read
            placed = place_design(design, cpu_seconds=budget, seed=seed, config=config)
            s = placed.scores
            keys = ("wirelength", "density", "congestion", "proxy", "robust_proxy", "legal")
            runs[seed] = {"seed": seed} | {k: s[k] for k in keys} | {
                "moves_per_second": s["evaluations"] / budget, "cpu_seconds": s["cpu_seconds"],
            }  # fmt: skip
            print(label, runs[seed], flush=True)
        if runs:
            out[label] = {"runs": [runs[k] for k in sorted(runs)]}
            for key in ("proxy", "robust_proxy"):
                values = np.array([r[key] for r in runs.values()])
                out[label][f"{key}_mean"] = values.mean()
                out[label][f"{key}_deviation"] = values.std(ddof=1) if len(values) > 1 else None
            out[label]["all_legal"] = all(r["legal"] for r in runs.values())
    return out


def centred_density(design: Design) -> float:
    """The least density cost of hard macros at cell centres: what they fill of their own cells."""
    grid, hard = design.grid, design.kind == MACRO
    cell_width, cell_height = design.canvas.width / grid.columns, design.canvas.height / grid.rows
    filled = (
        np.minimum(design.width[hard], cell_width)
        * np.minimum(design.height[hard], cell_height)
        / (cell_width * cell_height)
    )
    most = int(0.1 * grid.columns * grid.rows)
    return 0.5 * float(np.sort(filled)[::-1][:most].sum()) / most


def masks(shared: Path, seeds: int) -> dict[str, Any]:
    """Greedy placement of 543 macros on 224 x 224 places beside a plain numpy mask."""
    config = NetlistConfig(macros=543, clusters=0, utilisation=0.5, nets_per_node=8)
    env = PlacementEnv(netlist(config, 1), EnvConfig(columns=224, rows=224))

    def ours() -> float:
        clock = time.process_time()
        env.reset()
        for _ in range(len(env.nodes)):
            env.step(env.greedy_action())
        return time.process_time() - clock

    ours()
    fast = min(ours() for _ in range(3))
    env.reset()
    x, y = np.meshgrid(np.arange(224) * env.cell_width, np.arange(224) * env.cell_height)
    plain, taken = 0.0, 0
    for k in range(543):
        if k % 18 == 0:  # a sample over the whole episode: later steps avoid more macros
            clock = time.process_time()
            allowed = (x + env.width[k] <= env.design.canvas.width) & (
                y + env.height[k] <= env.design.canvas.height
            )
            right, top = x + env.width[k], y + env.height[k]
            for j in range(k):
                x0, y0, x1, y1 = env.rectangles[:, j]
                allowed &= ~((x < x1) & (right > x0) & (y < y1) & (top > y0))
            wire = np.zeros_like(x)
            for e in range(env.nets):
                for axis, at in ((0, x), (1, y)):
                    if env.low[axis, e] <= env.high[axis, e]:
                        below = env.low[axis, e] - at - env.pin_low[axis, e]
                        above = at + env.pin_high[axis, e] - env.high[axis, e]
                        grown = np.maximum(below, 0) + np.maximum(above, 0)
                        wire += env.weight[e] * grown
            int(np.where(allowed, wire, np.inf).argmin())
            plain += time.process_time() - clock
            taken += 1
            if not np.array_equal(allowed, env.count == 0):
                raise RuntimeError("the two masks differ")
        env.step(env.greedy_action())
    plain /= taken
    return {"steps_per_second": 543 / fast, "plain_numpy_steps_per_second": 1 / plain,
            "ratio": plain * 543 / fast,
            "note": "ours: whole steps with observation; plain: mask and wire only"}  # fmt: skip


def readers(shared: Path, seeds: int) -> dict[str, Any]:
    """Megabytes of text per second, from compressed files."""
    import gzip

    folder = shared / "data/placement"
    out = {}
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(folder / "ariane133-ng45/bookshelf_fixed.tar.xz") as tar:
            tar.extractall(scratch, filter="data")
        aux = next(Path(scratch).rglob("*.aux"))
        raw = Path(scratch) / "n.pb.txt"
        raw.write_bytes(gzip.open(folder / "ariane133-ng45/netlist.pb.txt.gz").read())
        flat = Path(scratch) / "f.pb.txt"
        flat.write_bytes(gzip.open(folder / "ariane133-ng45/ariane.pb.txt.gz").read())
        definition = Path(scratch) / "a.def"
        definition.write_bytes(gzip.open(folder / "lefdef/ariane.def.gz").read())
        lef = [folder / "lefdef/ariane.lef.gz"]
        for label, path, size in (
            ("bookshelf", aux, sum(p.stat().st_size for p in aux.parent.iterdir())),
            ("netlist.pb.txt, clustered", raw, raw.stat().st_size),
            ("netlist.pb.txt, flat", flat, flat.stat().st_size),
            ("def", definition, definition.stat().st_size),
        ):
            times = []
            for _ in range(3):
                clock = time.process_time()
                read_design(path, lef=lef if label == "def" else ())
                times.append(time.process_time() - clock)
            out[label] = size / 1e6 / min(times)
    return {"megabytes_per_second": out}


def cells(shared: Path, seeds: int) -> dict[str, Any]:
    """Standard cells of the flat Ariane133 around fixed macros, and everything movable.

    Through the command line, as a user would; legality is judged by the independent checker. With
    movable macros: all at once, or in two steps of half the budget, macros where cells are first.
    `placement_cells.py` has the curve over time, and Coloquinte.
    """
    before = json.loads(RESULTS.read_text()).get("cells", {}) if RESULTS.exists() else {}
    out: dict[str, Any] = {"reference": {
        "commercial placement": {"hpwl": 295_603_687, "note": "3,491 overlapping pairs"},
    }}  # fmt: skip
    for label, name, steps in (
        ("macros fixed", "fixed", ["cells"]),
        ("macros movable", "movable", ["all"]),
        ("macros movable, two steps", "movable", ["macros", "cells"]),
    ):
        if CHOSEN.get("case", label) != label:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            path = shared / f"data/placement/ariane133-ng45/bookshelf_{name}.tar.xz"
            with tarfile.open(path) as tar:
                tar.extractall(scratch, filter="data")
            aux = next(Path(scratch).rglob("*.aux"))
            placed: Path | None = None
            seconds = 0.0
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            for movable in steps:
                given = [] if placed is None else ["--pl", str(placed)]
                placed = Path(scratch) / f"{movable}.pl"
                done = subprocess.run(
                    [sys.executable, "-m", "sciml", "placement", "place", str(aux), *given, "-o",
                     str(placed), "--movable", movable, "--cpu-seconds", str(60 // len(steps)),
                     "--json"], capture_output=True, text=True,
                )  # fmt: skip
                if done.returncode not in (0, 1):  # 1: not legal, which is told below
                    raise SystemExit(done.stderr)
                seconds += json.loads(done.stdout)["cpu_seconds"]
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert placed is not None
            result, design = read_design(aux, pl=placed), read_design(aux)
        verdict = check(result, design)
        out[label] = {
            "hpwl": hpwl(result), "legal": verdict.legal, "problems": verdict.problems[:3],
            "cpu_seconds_of_placing": seconds,
            "cpu_seconds_of_the_whole_process":
                after.ru_utime + after.ru_stime - start.ru_utime - start.ru_stime,
        }  # fmt: skip
        print(label, out[label], flush=True)
    return {k: v for k, v in before.items() if not k.startswith("Coloquinte")} | out


def size(shared: Path, seeds: int) -> dict[str, Any]:
    """CPU-seconds and wire of whole legal placements of synthetic cells, from 1,000 to 200,000."""
    rows = []
    for count in (1_000, 5_000, 20_000, 50_000, 100_000, 200_000):
        design = standard_cells(count, seed=1)
        if count == 1_000:
            place_design(design, cpu_seconds=60, movable="cells")  # compiled code is read
        placed = place_design(design, cpu_seconds=600, movable="cells")
        rows.append({
            "cells": count, "pins": design.pins, "hpwl": placed.scores["hpwl"],
            "cpu_seconds": placed.scores["cpu_seconds"], "legal": placed.scores["legal"],
        })  # fmt: skip
        print(rows[-1], flush=True)
    n, t = (np.log([r[k] for r in rows]) for k in ("cells", "cpu_seconds"))
    return {"rows": rows, "exponent": np.polyfit(n, t, 1)[0],
            "exponent_from_20000": np.polyfit(n[2:], t[2:], 1)[0]}  # fmt: skip


MEMORY = """
import json, sys, time
from machine import resident
from sciml.placement import read_design
clock = time.process_time()
design = read_design(sys.argv[1])
print(json.dumps({"cells": int((design.kind == 2).sum()), "pins": design.pins,
    "cpu_seconds": time.process_time() - clock, "peak_megabytes": resident("VmHWM")}))
"""


def memory(shared: Path, seeds: int) -> dict[str, Any]:
    """A million cells in Bookshelf: seconds and peak memory of a process that only reads them."""
    with tempfile.TemporaryDirectory() as scratch:
        aux = Path(scratch) / "million.aux"
        write_design(standard_cells(1_000_000, seed=1), aux)
        text = sum(p.stat().st_size for p in Path(scratch).iterdir()) / 1e6
        output = subprocess.run(
            [sys.executable, "-c", MEMORY, str(aux)],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parent,
        ).stdout  # fmt: skip
    measured = json.loads(output)
    return measured | {"megabytes_of_text": text,
                    "megabytes_per_second": text / measured["cpu_seconds"]}  # fmt: skip


MILLION = """
import json, sys, time
from machine import resident
from sciml.placement import check, place
from sciml.placement.generate import standard_cells
place(standard_cells(300, seed=1), cpu_seconds=5, movable="cells")  # compiled code is read
design = standard_cells(int(sys.argv[1]), seed=1)
before = resident("VmHWM")
placed = place(design, cpu_seconds=float(sys.argv[2]), movable="cells")
whole = time.process_time()
print(json.dumps({"cells": int(sys.argv[1]), "pins": design.pins, "budget": float(sys.argv[2]),
    "hpwl": placed.scores["hpwl"], "legal": placed.scores["legal"],
    "cpu_seconds": placed.scores["cpu_seconds"], "cpu_seconds_of_the_process": whole,
    "peak_megabytes_before_placing": before, "peak_megabytes": resident("VmHWM"),
    "curve": [[row["cpu_seconds"], row["hpwl"]] for row in placed.history]}))
"""


def million(shared: Path, seeds: int) -> dict[str, Any]:
    """A million synthetic cells placed, legal, in a process of their own: seconds and memory."""
    count = CHOSEN.get("cells", 1_000_000)
    output = subprocess.run(
        [sys.executable, "-c", MILLION, str(count), "900"],
        check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    ).stdout  # fmt: skip
    return dict(json.loads(output))


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "cost": cost, "masks": masks, "readers": readers, "cells": cells, "size": size,
    "memory": memory, "million": million,
    "annealing": annealing,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--case", help="of a part: '150 CPU-s', 'macros fixed'")
    parser.add_argument("--cells", type=int, help="of the part million")
    parser.add_argument("--only-seed", type=int, help="of the annealing")
    arguments = parser.parse_args()
    if arguments.case is not None:
        CHOSEN["case"] = arguments.case
    if arguments.cells is not None:
        CHOSEN["cells"] = arguments.cells
    if arguments.only_seed is not None:
        CHOSEN["seed"] = arguments.only_seed
    for name in PARTS if arguments.part == "all" else [arguments.part]:
        measured = PARTS[name](arguments.shared, arguments.seeds)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = measured | {
            "date": str(date.today()),
            "device": processor(),
            "threads": 1,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, default=float) + "\n")
        print(name, json.dumps(measured, default=float)[:600])


if __name__ == "__main__":
    main()
