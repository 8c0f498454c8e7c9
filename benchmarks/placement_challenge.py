"""The proxy contest of 2026 (partcleda/macro-place-challenge-2026) on a folder of designs.

    python benchmarks/placement_challenge.py FOLDER --cpu-seconds 600 [--seeds 1] [--out FILE.json]

FOLDER holds a folder per design with a netlist.pb.txt and a .plc (initial.plc, if there are more),
as TILOS MacroPlacement has them in `Testcases/ICCAD04/ibm*`; --flat adds flat netlists, which are
clustered first. Rules (`--rules challenge`): hard macros keep a gap of a nanometre, soft macros
their sizes, orientations are N FN S FS, an hour for each design. Prints a line for each and the
average beside those published for SA, RePlAce and the best verified submission on 17 IBM designs;
only on these designs they are comparable. Writes JSON after every design.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor

from sciml.errors import InputError
from sciml.placement import Design, check, cluster, place, read_design
from sciml.placement.rules import CHALLENGE_GAP, CHALLENGE_SECONDS, apply, challenge

PUBLISHED = {  # SA and RePlAce, from the contest's README
    "ibm01": (1.3166, 0.9976), "ibm02": (1.9072, 1.8370), "ibm03": (1.7401, 1.3222),
    "ibm04": (1.5037, 1.3024), "ibm06": (2.5057, 1.6187), "ibm07": (2.0229, 1.4633),
    "ibm08": (1.9239, 1.4285), "ibm09": (1.3875, 1.1194), "ibm10": (2.1108, 1.5009),
    "ibm11": (1.7111, 1.1774), "ibm12": (2.8261, 1.7261), "ibm13": (1.9141, 1.3355),
    "ibm14": (2.2750, 1.5436), "ibm15": (2.3000, 1.5159), "ibm16": (2.2337, 1.4780),
    "ibm17": (3.6726, 1.6446), "ibm18": (2.7755, 1.7722),
}  # fmt: skip
AVERAGES = {"SA": 2.125, "RePlAce": 1.458, "best verified": 0.951}
NAMES = ("netlist.pb.txt", "netlist.pb.txt.gz")


def designs_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    """name -> (netlist, placement) of every folder in it that holds both."""
    out = {}
    for path in sorted(p for name in NAMES for p in folder.rglob(name)):
        placements = sorted(path.parent.glob("*.plc"))
        chosen = [p for p in placements if p.name == "initial.plc"] or placements
        if chosen:
            out[path.parent.name] = (path, chosen[0])
    return out


def run(name: str, design: Design, seconds: float, seed: int) -> dict[str, Any]:
    """One placement under the rules, as a row of the table."""
    ruled = apply(design, challenge())
    placed = place(ruled, cpu_seconds=seconds, seed=seed)
    verdict = check(placed.design, ruled)
    soft = design.kind == 1
    return {
        "design": name, "seed": seed, "macros": int((design.kind == 0).sum()),
        "soft_macros": int(soft.sum()), "nets": design.nets,
        "proxy": placed.scores["proxy"], "wirelength": placed.scores["wirelength"],
        "density": placed.scores["density"], "congestion": placed.scores["congestion"],
        "robust_proxy": placed.scores["robust_proxy"], "overlaps": verdict.overlaps,
        "nearer_than_the_gap": verdict.channels, "legal": verdict.legal,
        "cpu_seconds": placed.scores["cpu_seconds"],
        "published": dict(zip(("SA", "RePlAce"), PUBLISHED.get(name, ()), strict=False)),
    }  # fmt: skip


def main() -> None:
    """Place every design; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu-seconds", type=float, default=600.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--flat", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not 0 < args.cpu_seconds <= CHALLENGE_SECONDS:
        raise SystemExit(f"the rules allow {CHALLENGE_SECONDS:g} s for each design")
    todo = {name: (lambda files=files: read_design(files[0], plc=files[1]))
            for name, files in designs_in(args.folder).items()}  # fmt: skip
    todo |= {f"{p.name.split('.')[0]} ({p.parent.name}), clustered here":
             (lambda p=p: cluster(read_design(p)).design) for p in args.flat}  # fmt: skip
    if not todo:
        raise SystemExit(f"{args.folder}: no folder with a netlist.pb.txt and a .plc")
    rows: list[dict[str, Any]] = []
    print(f"{'design':40} {'proxy':>8} {'SA':>8} {'RePlAce':>8} {'legal':>6} {'CPU-s':>7}")
    for name, read in todo.items():
        try:
            design = read()
            found = [run(name, design, args.cpu_seconds, seed) for seed in range(args.seeds)]
        except InputError as error:  # the others are run all the same
            print(f"{name:40} {error}")
            continue
        for row in found:
            rows.append(row)
            base = [f"{v:8.4f}" for v in row["published"].values()] or ["       -"] * 2
            print(f"{name:40} {row['proxy']:8.4f} {' '.join(base)} {row['legal']!s:>6} "
                  f"{row['cpu_seconds']:7.1f}", flush=True)  # fmt: skip
        if args.out:
            write(args.out, rows, args.cpu_seconds)
    average = float(np.mean([row["proxy"] for row in rows])) if rows else float("nan")
    ibm = {row["design"] for row in rows} & set(PUBLISHED)
    print(f"average {average:.4f} over {len(rows)} runs, {len(ibm)} of the 17 IBM designs")
    print("published averages on all 17: " + ", ".join(f"{k} {v}" for k, v in AVERAGES.items()))


def write(path: Path, rows: list[dict[str, Any]], seconds: float) -> None:
    """The rows with the settings, machine and date."""
    facts = {
        "date": str(date.today()), "processor": processor(), "cpu_seconds": seconds,
        "gap_um": CHALLENGE_GAP, "published_averages": AVERAGES,
    }  # fmt: skip
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
