"""Is a shipped tagger as sure as it is right when the detector is another one?

    python benchmarks/jets_calibration_drift.py [--model jets-small]

The test sample in the package (other seeds than any shipped tagger has learned from), as it is and
under variations (`sciml.jets.variations`): mean AUC against QCD, accuracy, mean largest
probability, and expected calibration error, whose standard error is that of 40 bootstrap samples.
jets-small learned classes in other shares than the sample has; so its temperature, and the shares,
are fitted on half of the nominal jets, and all is measured on the other half.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor

from sciml.jets import JetTagger, metrics
from sciml.jets.calibration import best_temperature, calibration
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped
from sciml.jets.variations import vary
from sciml.report import markdown

HERE = Path(__file__).parent
VARIATIONS = (
    "nominal", "jes_up=0.05", "jes_down=0.05", "jer_up=0.2", "neutral_up=0.2", "photon_up=0.1",
    "tracking_down=0.1", "tracking_down=0.3", "impact_up=0.5",
)  # fmt: skip


def adjusted(logits: np.ndarray, temperature: float, shares: np.ndarray) -> np.ndarray:
    """Probabilities at a temperature, with the class shares multiplied by `shares`."""
    values = logits / temperature + np.log(shares)
    values = np.exp(values - values.max(1, keepdims=True))
    return values / values.sum(1, keepdims=True)


def fitted_shares(probabilities: np.ndarray, rounds: int = 50) -> np.ndarray:
    """Factors to the class shares that suit unlabelled jets (expectation-maximisation; Saerens,
    Latinne, Decaestecker 2002)."""
    factors = np.ones(probabilities.shape[1])
    first = probabilities.mean(0)
    for _ in range(rounds):
        now = probabilities * factors
        now = (now / now.sum(1, keepdims=True)).mean(0)
        factors = now / first
    return np.maximum(factors, 1e-12)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="jets-small")
    parser.add_argument("--out", type=Path, default=HERE / "results/jets_calibration_drift.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tagger = JetTagger.from_pretrained(options.model, device="cpu")
    events = read_jets(shipped("test"))
    truth = np.stack([np.asarray(events[f"label_{n}"]) for n in tagger.classes], 1).argmax(1)
    half = np.random.default_rng(0).permutation(len(truth))
    fit, rest = half[: len(half) // 2], half[len(half) // 2 :]
    rows: list[dict[str, Any]] = []
    temperature, shares = 1.0, np.ones(len(tagger.classes))
    for name in VARIATIONS:
        varied = events if name == "nominal" else vary(events, name)
        scores = tagger.predict(varied).probabilities.astype(np.float64)
        logits = np.log(np.maximum(scores, 1e-30))
        if name == "nominal":
            shares = fitted_shares(scores[fit])
            temperature = best_temperature(logits[fit] + np.log(shares), truth[fit])
            shares = shares ** (1 / temperature)
        p, labels = adjusted(logits[rest], temperature, shares), truth[rest]
        values: dict[str, Any] = metrics.evaluate(p, labels, tagger.classes, bootstraps=2)
        areas = [
            values[f"auc_{n}"]
            for n in tagger.classes
            if np.isfinite(values.get(f"auc_{n}", np.nan))
        ]
        random = np.random.default_rng(1)
        draws = []
        for _ in range(40):
            drawn = random.integers(len(labels), size=len(labels))
            draws.append(calibration(p[drawn], labels[drawn]).error)
        rows.append({
            "variation": name, "mean_auc": round(float(np.mean(areas)), 4),
            "accuracy": round(float((p.argmax(1) == labels).mean()), 4),
            "mean_largest_probability": round(float(p.max(1).mean()), 4),
            "calibration_error": round(calibration(p, labels).error, 4),
            "calibration_error_spread": round(float(np.std(draws, ddof=1)), 4),
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    content = {
        "command": f"python benchmarks/jets_calibration_drift.py --model {options.model}",
        "model": options.model, "jets": len(rest), "temperature": round(temperature, 3),
        "device": f"{processor()}, one thread", "date": date.today().isoformat(), "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    heads = ["variation", "mean AUC", "accuracy", "mean largest probability", "calibration error"]
    lines = [
        [r["variation"], f"{r['mean_auc']:.4f}", f"{r['accuracy']:.3f}",
         f"{r['mean_largest_probability']:.3f}",
         f"{r['calibration_error']:.3f} ± {r['calibration_error_spread']:.3f}"]
        for r in rows
    ]  # fmt: skip
    text = f"{options.model}, {len(rest)} jets.\n\n" + markdown.table(heads, lines)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
