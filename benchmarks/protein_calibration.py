"""Do probabilities of contacts mean what they say, with few sequences as with many?

    python benchmarks/protein_calibration.py --data FAMILIES [--model contacts-small]

FAMILIES: one folder a family with an alignment and a structure, none of which was used in training
or calibration. Each alignment is thinned to its first row and random others, 1, 4, 16, 64 and 256
in all; beside the mean probability of the L best pairs stands their precision, as calibrated and as
the network gives it, and the precision of mean-field couplings. The Brier score (Brier 1950) is
over all pairs, beside that of a forecast of the family's own share of contacts. Writes
benchmarks/results/protein_calibration.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from sciml.protein.contacts.calibration import thinned
from sciml.protein.contacts.families import read_families
from sciml.protein.contacts.predictor import ContactPredictor

MAX_ROWS = 2000
"""Rows of an alignment, evenly chosen, that are looked at."""


def measured(scores: np.ndarray, distances: np.ndarray, apart: int) -> dict[str, float]:
    """Of pairs that far apart, of known distance: mean score and precision of the L best, Brier
    score of all, and that of their share of contacts."""
    i, j = np.triu_indices(len(distances), apart)
    known = np.isfinite(distances[i, j])
    i, j = i[known], j[known]
    score, contact = scores[i, j], distances[i, j] < 8
    best = np.argsort(-score, kind="stable")[: len(distances)]
    return {
        "probability": float(score[best].mean()),
        "precision": float(contact[best].mean()),
        "Brier score": float(((score - contact) ** 2).mean()),
        "Brier score of the share": float(contact.mean() * (1 - contact.mean())),
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="contacts-small")
    parser.add_argument("--seed", type=int, default=0)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "protein_calibration.json")
    arguments = parser.parse_args()
    predictor = ContactPredictor.from_pretrained(arguments.model, device="cpu")
    plain = ContactPredictor(predictor.nets, "cpu")
    rows: list[dict[str, Any]] = []
    all_families = read_families(arguments.data)
    for family in all_families:
        alignment = family.alignment
        if alignment.depth > MAX_ROWS:
            chosen = np.linspace(0, alignment.depth - 1, MAX_ROWS).astype(int)
            alignment = alignment.select(chosen)
        distances = family.distances()
        for part in thinned(alignment, arguments.seed):
            features = predictor.features(part.deduplicate())
            calibrated = predictor.from_features(features).probability
            raw = plain.from_features(features).probability
            row: dict[str, Any] = {"family": family.name, "neff": round(features.neff, 1)}
            row["rows"] = part.depth if part.depth < alignment.depth else "all"
            for apart in (6, 24):
                plainly = measured(raw, distances, apart)
                row[f"{apart} apart"] = measured(calibrated, distances, apart) | {
                    "not calibrated": plainly["probability"],
                    "Brier score, not calibrated": plainly["Brier score"],
                    "precision of mean-field couplings": measured(features.dca, distances, apart)[
                        "precision"
                    ],
                }
            rows.append(row)
        print(family.name, flush=True)
    table = []
    for depth in dict.fromkeys(row["rows"] for row in rows):
        chosen_rows = [row for row in rows if row["rows"] == depth]
        line: dict[str, Any] = {"rows": depth, "families": len(chosen_rows)}
        for apart in (6, 24):
            values = [row[f"{apart} apart"] for row in chosen_rows]
            gaps = [abs(v["probability"] - v["precision"]) for v in values]
            line[f"{apart} apart"] = {
                **{key: round(float(np.mean([v[key] for v in values])), 4) for key in values[0]},
                "mean gap of a family": round(float(np.mean(gaps)), 4),
                "largest gap of a family": round(max(gaps), 4),
            }
        table.append(line)
        print(line)
    result = {
        "benchmark": "protein_calibration",
        "command": "python benchmarks/protein_calibration.py --data FAMILIES",
        "device": f"CPU, one thread, {platform.machine()}",
        "date": time.strftime("%Y-%m-%d"),
        "model": arguments.model,
        "table": table,
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
