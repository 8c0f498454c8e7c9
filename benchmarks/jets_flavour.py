"""What auxiliary heads buy in flavour tagging: with 1 %, 10 % and 100 % of the labels, three seeds.

    sciml data make flavour-jets --jets 20000 --seed 901 -o train.parquet
    sciml data make flavour-jets --jets 4000 --seed 902 -o test.parquet
    python benchmarks/jets_flavour.py --data train.parquet --test test.parquet --out-folder RUNS

The same network is trained on class, origins, vertices and pT together; on the class alone; and on
the class with the origins, vertices and pT of other jets (a control: the same losses, no
information). Runs that are finished in the folder are not repeated. A gain is a difference of two
runs with the same seed, so with the same jets, initial trunk and order.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor

HERE = Path(__file__).parent
METHODS = ("all heads", "class alone", "shuffled")
COMPARED = {"cross_entropy": -1, "accuracy": 1, "auc_b_light": 1, "auc_b_c": 1}
"""Numbers whose differences are quoted, and the sign under which more is better."""


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every number, by labels and method."""
    table = []
    for labels, method in dict.fromkeys((row["labels"], row["method"]) for row in rows):
        runs = [r for r in rows if (r["labels"], r["method"]) == (labels, method)]
        line: dict[str, Any] = {"labels": labels, "method": method, "seeds": len(runs)}
        for key in runs[0]:
            if isinstance(runs[0][key], float) and not key.endswith("_error"):
                values = np.array([run[key] for run in runs])
                line[key] = [round(float(values.mean()), 4), round(float(values.std(ddof=1)), 4)]
        table.append(line)
    return table


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All heads against the others, seed by seed; above 0 where all heads are better."""
    out = []
    for labels in sorted({row["labels"] for row in rows}):
        of = {(r["method"], r["seed"]): r for r in rows if r["labels"] == labels}
        for other in METHODS[1:]:
            seeds = [s for (method, s) in of if method == other]
            line: dict[str, Any] = {"labels": labels, "against": other}
            for key, sign in COMPARED.items():
                values = [sign * (of[METHODS[0], s][key] - of[other, s][key]) for s in seeds]
                error = np.std(values, ddof=1) / len(values) ** 0.5
                line[key] = {
                    "each": [round(v, 4) for v in values],
                    "mean": round(float(np.mean(values)), 4),
                    "error": round(float(error), 4),
                }
            out.append(line)
    return out


def main() -> None:
    """Train, measure and write the results."""
    from sciml import recipes
    from sciml.jets.data.flavours import FlavourSample

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--dim", type=int, default=48)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--data-command", default="", help="what made the jets")
    parser.add_argument("--out-folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_flavour.json")
    options = parser.parse_args()
    recipe = recipes.load("flavour_tagging")
    base = recipe.config()
    jets = len(FlavourSample.read(options.data))
    config = dataclasses.replace(
        base, data=tuple(options.data), test=tuple(options.test), seeds=tuple(options.seeds),
        labels=tuple(round(share * jets) for share in options.shares), control=True,
        trunk=dataclasses.replace(
            base.trunk, dim=options.dim, depth=options.depth, bias_hidden=16, dropout=0.0
        ),
        fit=dataclasses.replace(base.fit, steps=options.steps, precision=options.precision),
    )  # fmt: skip
    began, processed = time.monotonic(), time.process_time()
    recipe.module.main(config, options.out_folder)
    lines = (options.out_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("event") == "score"]
    result = {
        "about": "the same network on class, origins, vertices and pT; on the class alone; and "
        "with the other targets of other jets",
        "data": options.data_command, "jets": jets,
        "test_jets": len(FlavourSample.read(options.test)), "steps": options.steps,
        "max_passes": config.max_passes, "trunk": dataclasses.asdict(config.trunk),
        "device": f"{processor()}, {torch.get_num_threads()} threads",
        "precision": options.precision, "torch": torch.__version__,
        "date": date.today().isoformat(),
        "seconds": round(time.monotonic() - began),
        "cpu_seconds": round(time.process_time() - processed),
        "gains": gains(rows), "summary": summary(rows), "rows": rows,
    }  # fmt: skip
    for line in result["gains"]:
        print(line["labels"], line["against"], json.dumps(line["cross_entropy"]))
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
