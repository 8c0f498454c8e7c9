"""Ceilings before training: what a perfect learned part would gain, at each budget.

    python benchmarks/ceilings.py placement regression integration folding
        [--seeds 3] [--families FAMILIES] [--integrals PROBLEMS.jsonl] [--rows 4]

placement: a perfect start of the annealing; regression: the true skeleton; integration: the rules
in the perfect order; folding: true distances for the coarse model. FAMILIES: folders with an
alignment and a structure each, without which folding is left out; PROBLEMS: further integrals, JSON
lines with `integrand`. A perfect guess costs no time here, so a real one gains less. A line of
training is worth it where the gain is above two spreads (deviations of the paired gains over
seeds; of folding over families); training for the others ends here. What is in the work folder is
not measured again. Writes benchmarks/results/ceilings.json and .md.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import ceiling_parts
import numpy as np
from machine import processor

from sciml.files.kept import Rows
from sciml.paths import atomic_write
from sciml.report.markdown import table

RESULTS = Path(__file__).parent / "results"
BUDGETS = {
    "placement": (0.3, 1.0, 3.0, 10.0),
    "regression": (0.3, 3.0),
    "integration": (0.1, 0.3, 1.0, 10.0),
}
COMPARED = {
    "placement": (("zero", "electrostatic"), ("perfect", *ceiling_parts.NOISE), -1),
    "regression": (("search",), ("true skeleton",), 1),
    "integration": (("rules in order",), ("perfect order",), 1),
    "folding": (("contacts-small", "contacts-base"), ("true distances",), 1),
}
"""The present ways, of which the better on the mean counts, the perfect ones, the better sign."""


def measure(part: str, arguments: argparse.Namespace, kept: Rows) -> Iterator[dict[str, Any]]:
    """Rows of one part that are not kept yet."""
    if part == "folding":
        return ceiling_parts.folding(arguments.seeds, kept.has, arguments.families)
    further = (arguments.integrals,) if part == "integration" else ()
    measured: Any = getattr(ceiling_parts, part)
    rows: Iterator[dict[str, Any]] = measured(arguments.seeds, kept.has, BUDGETS[part], *further)
    return rows


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a perfect part gains over the best present way, by part, case and budget."""
    out = []
    groups = dict.fromkeys(
        (r["part"], "families" if r["part"] == "folding" else r["case"], r["budget"]) for r in rows
    )
    for part, case, budget in groups:
        present, perfect, better = COMPARED[part]
        mine = [r for r in rows if (r["part"], r["budget"]) == (part, budget)
                and case in (r["case"], "families")]  # fmt: skip
        values = {way: of_seeds(mine, way) for way in (*present, *perfect)}
        best = max(present, key=lambda way: better * values[way].mean())
        for way in perfect:
            gain = better * (values[way] - values[best])
            spread = float(gain.std(ddof=1)) if len(gain) > 1 else None
            out.append({
                "part": part, "case": case, "budget": budget, "present": best,
                "score": float(np.median(values[best])), "perfect": way,
                "perfect score": float(np.median(values[way])), "gain": float(np.median(gain)),
                "spread": spread, "seeds": len(gain),
                "worth": None if spread is None else bool(np.median(gain) > 2 * spread),
            })  # fmt: skip
    return out


def of_seeds(rows: list[dict[str, Any]], way: str) -> np.ndarray:
    """Scores by seed; of several rows of a seed (families) their mean."""
    seeds = sorted({row["seed"] for row in rows})
    return np.array([np.mean([r[way] for r in rows if r["seed"] == seed]) for seed in seeds])


def markdown(result: dict[str, Any]) -> str:
    """The table of `compared`."""
    heads = ["part", "case", "CPU-s", "present", "score", "perfect", "score", "gain ± spread",
             "above two spreads"]  # fmt: skip
    rows = []
    for row in result["table"]:
        spread = "" if row["spread"] is None else f" ± {row['spread']:.3f}"
        budget = "" if row["budget"] is None else f"{row['budget']:g}"
        rows.append([
            row["part"], row["case"], budget, row["present"], f"{row['score']:.3f}",
            row["perfect"], f"{row['perfect score']:.3f}", f"{row['gain']:+.3f}{spread}",
            {True: "yes", False: "no", None: "?"}[row["worth"]],
        ])  # fmt: skip
    seeds = max((row["seeds"] for row in result["table"] if row["part"] != "folding"), default=0)
    return (
        f"Median over {seeds} seeds (of folding: families), spread: deviation of the paired gains "
        "over them. Placement: "
        "proxy, lower is better; regression: share of laws recovered; integration: share of "
        "problems answered; folding: TM-score, higher is better.\n\n"
        f"{table(heads, rows)}\n{result['date']}, {result['device']}.\n"
    )


def main() -> None:
    """Measure what is missing of some parts, and write after every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=tuple(COMPARED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", type=Path)
    parser.add_argument("--integrals", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/ceilings"))
    parser.add_argument("--rows", type=int, help="measure at most so many of each part this time")
    arguments = parser.parse_args()
    if "folding" in arguments.parts and arguments.families is None:
        parser.error("folding needs --families FOLDER, with an alignment and a structure each")
    for part in arguments.parts:
        kept = Rows(arguments.work / f"{part}.jsonl")
        for row in itertools.islice(measure(part, arguments, kept), arguments.rows):
            kept.add(row)
            print(json.dumps(row), flush=True)
    rows = [
        row for part in COMPARED for row in Rows(arguments.work / f"{part}.jsonl").rows
        if row["budget"] in BUDGETS.get(part, (None,))
    ]  # fmt: skip
    result = {
        "what": "gain of a perfect learned part, which costs nothing, over the best present way",
        "command": "python benchmarks/ceilings.py placement regression integration folding "
        "--families FAMILIES --integrals PROBLEMS",
        "date": date.today().isoformat(),
        "device": f"{processor()}, 1 thread, shared; CPU-seconds",
        "table": compared(rows),
        "rows": rows,
    }
    with atomic_write(RESULTS / "ceilings.json") as part_file:
        part_file.write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "ceilings.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
