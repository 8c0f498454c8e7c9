"""Mass sculpting: does planing keep a cut on the score from carving a peak into the background?

    python benchmarks/jets_planing.py

The samples in the package train a small network in four ways: plain; `--plane mass`; `--plane mass
pt`; `--decorrelate 5` (DisCo). Measured on the held-out jets, for each signal: AUC against QCD, and
how far the invariant mass of the QCD jets that pass at 50 % signal efficiency is from that of all
QCD jets: Jensen-Shannon divergence in nats over 20 bins of equal content (0: the same, ln 2: apart;
Kitouni et al. 2021, arXiv:2010.09745), and the distance correlation of score and mass. `expected`
is the divergence of as many QCD jets chosen at random. A row is written at once, and not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jets_few_labels import TRUNK, answers, new_parts, supervised, train
from machine import processor
from scipy.stats import ttest_ind

from sciml.jets import metrics
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.decorrelation import Decorrelated, distance_correlation, invariant_mass
from sciml.jets.learning.planing import planed
from sciml.jets.networks.embedder import collate
from sciml.objectives.supervised import SupervisedConfig
from sciml.report import markdown

HERE = Path(__file__).parent
WAYS = ("plain", "plane mass", "plane mass pt", "decorrelate 5")
SEEDS = (0, 1, 2)
EFFICIENCY = 0.5
BINS = 20


def divergence(passing: np.ndarray, everything: np.ndarray) -> float:
    """Jensen-Shannon divergence [nats] of two samples of masses."""
    edges = np.quantile(everything, np.linspace(0, 1, BINS + 1)[1:-1])
    p, q = (
        np.bincount(np.searchsorted(edges, values), minlength=BINS) / len(values)
        for values in (passing, everything)
    )
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.nansum(x * np.log(x / middle)) for x in (p, q)]
    return float(sum(parts) / 2)


def trained(way: str, jets: JetSample, steps: int, seed: int) -> Any:
    """A classifier."""
    if way.startswith("plane"):
        return supervised(planed(jets, tuple(way.split()[1:])), steps, seed)
    if way.startswith("decorrelate"):
        trunk, embedder = new_parts(seed)
        model = Decorrelated(
            trunk, embedder, SupervisedConfig(outputs=len(jets.classes)),
            background=jets.classes.index("QCD"), strength=float(way.split()[1]),
        )  # fmt: skip
        train(model, jets, jets.lengths, steps, seed)
        return model
    return supervised(jets, steps, seed)


def measured(scores: np.ndarray, test: JetSample, mass: np.ndarray) -> dict[str, Any]:
    """AUC and sculpting by signal."""
    background = test.classes.index("QCD")
    qcd, out = test.y == background, {}
    random = np.random.default_rng(0)
    for signal, name in enumerate(test.classes):
        if signal == background:
            continue
        both = qcd | (test.y == signal)
        score = metrics.discriminant(scores, signal, background)
        cut = np.quantile(score[test.y == signal], 1 - EFFICIENCY)
        passing = mass[qcd & (score > cut)]
        chance = [
            divergence(random.choice(mass[qcd], len(passing)), mass[qcd]) if len(passing) else 0.0
            for _ in range(50)
        ]
        correlation = distance_correlation(
            torch.from_numpy(score[qcd].astype(np.float64)), torch.from_numpy(mass[qcd])
        )
        out[name] = {
            "auc": round(float(metrics.auc(score[both], test.y[both] == signal)), 4),
            "passing": len(passing),
            "divergence": round(divergence(passing, mass[qcd]), 4) if len(passing) else None,
            "expected": round(float(np.mean(chance)), 4),
            "distance_correlation": round(float(correlation), 4),
        }
    return out


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: means over signals, mean ± standard deviation over seeds."""
    fields = ("auc", "divergence", "expected", "distance_correlation")
    lines: list[list[str]] = []
    first: dict[str, list[float]] = {}
    for way in WAYS:
        cells = [way]
        for field in fields:
            values = [
                float(np.mean([s[field] for s in row["signals"].values() if s[field] is not None]))
                for row in rows if row["way"] == way
            ]  # fmt: skip
            first.setdefault(field, values)
            text = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
            if values is not first[field] and field != "expected":
                if ttest_ind(values, first[field], equal_var=False).pvalue < 0.05:
                    text += " (higher)" if np.mean(values) > np.mean(first[field]) else " (lower)"
                else:
                    text += " (no difference)"
            cells.append(text)
        lines.append(cells)
    return markdown.table(
        ["training", "AUC", "divergence of mass", "by chance", "distance correlation"], lines
    )


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--jets", type=int, default=0, help="jets to learn from; 0: all")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_planing.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    jets = JetSample.read(shipped("train"), max_jets=options.jets or None)
    test = JetSample.read(shipped("test"), classes=jets.classes)
    mass = invariant_mass(collate([test[i] for i in range(len(test))])).double().numpy()
    old = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    rows = old.get("rows", [])
    for way in WAYS:
        for seed in options.seeds:
            if any(row["way"] == way and row["seed"] == seed for row in rows):
                continue
            began = time.process_time()
            scores = answers(trained(way, jets, options.steps, seed), test)
            row = {"way": way, "seed": seed, "signals": measured(scores, test, mass)}
            rows.append(row | {"cpu_seconds": round(time.process_time() - began, 1)})
            print(json.dumps(rows[-1]), flush=True)
            content = {
                "command": "python benchmarks/jets_planing.py", "jets": len(jets),
                "test_jets": len(test), "steps": options.steps, "trunk": TRUNK,
                "device": f"{processor()}, one thread", "date": date.today().isoformat(),
                "rows": rows,
            }  # fmt: skip
            options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = (
        f"Means over the signals, mean ± standard deviation over {len(options.seeds)} seeds; in "
        "brackets: from the first row by Welch's t-test at 5 %.\n\n" + table(rows)
    )
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
