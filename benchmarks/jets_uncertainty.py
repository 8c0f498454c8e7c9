"""What a tagger knows of its ignorance: three shifts, four ways to train, classes left out.

    C="--classes QCD:2 Tbqq:2 Hbb Wqq Hgg Zqq --compact"
    sciml data make jets $C --jets 2000 --seed 921 --pileup 40 -o pileup_train.parquet
    sciml data make jets $C --jets 1000 --seed 922 --pileup 40 -o pileup.parquet
    sciml data make jets $C --jets 1000 --seed 923 --detector shifted -o detector.parquet
    sciml data make jets $C --jets 1000 --seed 924 --shower vincia -o vincia.parquet
    python benchmarks/jets_uncertainty.py --target pileup_train.parquet --pile-up pileup.parquet \
        --detector detector.parquet --vincia vincia.parquet

Labelled jets of the source (the samples in the package) train a small network in each of these
ways, with the same number of steps: `source only`; `piled up`, with soft neutral particles added
to jets at random; `other detectors`, measured by random ones; `adversarial`, whose features must
not tell the source from unlabelled jets of the target (pile-up of 40); and the ceiling, `oracle`,
with the target's labels. Measured on the nominal jets and on each shift:

- mean AUC against QCD, and accuracy;
- expected calibration error after a temperature was fitted on 500 nominal jets;
- how well a number tells wrong answers from right ones (AUC): one minus the largest probability,
  the disagreement of the three seeds' ensemble, and that of draws of the last layer (Laplace).

Anomaly scores: trunks that learn without labels (`JetObservables`) or as classifiers from QCD, W
and Z jets alone; AUC of the Mahalanobis distance for the classes left out against these, and of one
minus the largest probability. A row is written at once, and not repeated.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jets_few_labels import (
    CANDIDATES,
    TRUNK,
    adversarial,
    new_parts,
    shuffled,
    supervised,
    train,
)
from machine import processor
from scipy.stats import ttest_ind

from sciml import objectives
from sciml.jets import metrics
from sciml.jets.calibration import best_temperature, calibration
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.anomaly import Mahalanobis
from sciml.jets.learning.uncertainty import LastLayerLaplace, ensemble
from sciml.jets.learning.views import other_detector, piled_up
from sciml.jets.networks.embedder import collate
from sciml.objectives.probe import embed
from sciml.report import markdown

HERE = Path(__file__).parent
KNOWN = ("QCD", "Wqq", "Zqq")
"""Classes that the trunks of the anomaly scores learn from."""
CALIBRATION = 500
"""Nominal jets that fit the temperature; others measure."""
SEEDS = (0, 1, 2)


class Rows:
    """Rows of a file; one that is there is not made again."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        self.content = {**facts, "rows": old}

    def __getitem__(self, key: dict[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self.content["rows"] if key.items() <= row.items()]

    def add(self, row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        self.content["rows"].append(row)
        self.content["date"] = date.today().isoformat()
        self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")


def features(model: Any, jets: JetSample) -> torch.Tensor:
    """What the last layer reads: [n, dim]."""
    return embed(model.trunk, model.embedder, jets, collate)


def error_auc(doubt: np.ndarray, wrong: np.ndarray) -> float:
    """AUC of a number that is to be larger for wrong answers."""
    return round(float(metrics.auc(doubt, wrong)), 4)


def judged(logits: np.ndarray, temperature: float, jets: JetSample) -> dict[str, float]:
    """Mean AUC, accuracy and calibration of logits."""
    probabilities = torch.from_numpy(logits / temperature).softmax(-1).numpy()
    values: dict[str, Any] = metrics.evaluate(probabilities, jets.y, jets.classes, bootstraps=2)
    areas = [values[f"auc_{n}"] for n in jets.classes if f"auc_{n}" in values]
    return {
        "mean_auc": round(float(np.mean(areas)), 5),
        "accuracy": round(float(values["accuracy"]), 4),
        "calibration_error": round(calibration(probabilities, jets.y).error, 4),
    }


def shifts(options: argparse.Namespace, rows: Rows, source: JetSample, nominal: JetSample) -> None:
    """Ways of training on each domain, and the ensemble of the seeds."""
    classes = source.classes
    target = shuffled(JetSample.read(options.target, classes=classes), len(source), 0)
    fit_on = nominal.subset(range(CALIBRATION))
    domains = {"nominal": nominal.subset(range(CALIBRATION, len(nominal)))}
    for name in ("pile-up", "detector", "vincia"):
        path = getattr(options, name.replace("-", "_"))
        domains[name] = shuffled(JetSample.read(path, classes=classes), options.test_jets, 0)
    ways: dict[str, Callable[[int], Any]] = {
        "source only": lambda seed: supervised(source, options.steps, seed),
        "piled up": lambda seed: supervised(source, options.steps, seed, noise=piled_up),
        "other detectors": lambda seed: supervised(
            source, options.steps, seed, noise=other_detector
        ),
        "adversarial": lambda seed: adversarial(source, target, options.steps, seed),
        "oracle": lambda seed: supervised(target, options.steps, seed),
    }
    for way, make in ways.items():
        probabilities: dict[str, list[np.ndarray]] = {name: [] for name in domains}
        for seed in SEEDS:
            key = {"part": "shift", "way": way, "seed": seed}
            if rows[key] and (way != "source only" or rows[{"part": "ensemble"}]):
                continue
            began = time.process_time()
            model = make(seed)
            seconds = round(time.process_time() - began, 1)

            @functools.cache
            def said(name: str, model: Any = model) -> tuple[torch.Tensor, np.ndarray]:
                jets = fit_on if name == "fit" else source if name == "source" else domains[name]
                phi = features(model, jets)
                with torch.no_grad():
                    return phi, model.head(phi).double().numpy()

            temperature = best_temperature(said("fit")[1], fit_on.y)
            laplace = None
            if way == "source only":
                head = model.head
                known, _ = said("source")
                laplace = LastLayerLaplace.fit(
                    known, torch.from_numpy(source.y), head.weight, head.bias
                )
            for name, jets in domains.items():
                phi, logits = said(name)
                row = key | {"domain": name} | judged(logits, temperature, jets)
                p = torch.from_numpy(logits / temperature).softmax(-1).numpy()
                probabilities[name].append(p)
                wrong = p.argmax(1) != jets.y
                row["doubt_auc"] = error_auc(1 - p.max(1), wrong)
                if laplace is not None:
                    mean, spread = ensemble(laplace.members(phi))
                    row |= {
                        "laplace_precision": laplace.precision,
                        "laplace_spread": float(f"{spread.mean():.3g}"),
                        "laplace_spread_auc": error_auc(spread, wrong),
                        "laplace_calibration_error": round(calibration(mean, jets.y).error, 4),
                        "raw_calibration_error": judged(logits, 1.0, jets)["calibration_error"],
                    }
                if not rows[key | {"domain": name}]:
                    rows.add(row | {"cpu_seconds": seconds})
        if way == "source only" and not rows[{"part": "ensemble"}]:
            for name, jets in domains.items():
                mean, spread = ensemble(np.stack(probabilities[name]))
                wrong = mean.argmax(1) != jets.y
                rows.add({
                    "part": "ensemble", "domain": name, "members": len(SEEDS),
                    **judged(np.log(np.maximum(mean, 1e-30)), 1.0, jets),
                    "doubt_auc": error_auc(1 - mean.max(1), wrong),
                    "spread": float(f"{spread.mean():.3g}"),
                    "spread_auc": error_auc(spread, wrong),
                })  # fmt: skip


def anomalies(options: argparse.Namespace, rows: Rows, source: JetSample, test: JetSample) -> None:
    """Distances of the classes left out, in features of trunks that never saw them."""
    index = {name: source.classes.index(name) for name in source.classes}
    inside = np.flatnonzero(np.isin(source.y, [index[n] for n in KNOWN]))
    known = source.subset(inside)
    for seed in SEEDS:
        for way in ("untrained", "without labels", "classifier"):
            key = {"part": "anomaly", "way": way, "seed": seed}
            if rows[key]:
                continue
            if way == "classifier":
                model = supervised(known, options.steps, seed)
            else:
                model = objectives.build(CANDIDATES["observables"])(*new_parts(seed))
                if way != "untrained":
                    train(model, known, known.lengths, options.steps, seed)
            phi, labels = features(model, known).numpy(), known.y
            seen = features(model, test)
            scores = {
                "distance": Mahalanobis.fit(phi, labels).score(seen.numpy()),
                "relative distance": Mahalanobis.fit(phi, labels).score(
                    seen.numpy(), relative=True
                ),
                "density": Mahalanobis.fit(phi).score(seen.numpy()),
            }
            if way == "classifier":
                with torch.no_grad():
                    scores["doubt"] = 1 - model.head(seen).softmax(-1).numpy().max(1)
            old = np.isin(test.y, [index[n] for n in KNOWN])
            for score, values in scores.items():
                areas = {}
                for name in source.classes:
                    if name not in KNOWN:
                        new = test.y == index[name]
                        areas[name] = error_auc(values[old | new], new[old | new])
                rows.add(key | {"score": score, "auc": areas})


def table(rows: Rows) -> str:
    """Markdown: mean ± standard deviation over seeds."""
    domains = ("nominal", "pile-up", "detector", "vincia")

    def cell(key: dict[str, Any], field: str, first: dict[str, Any] | None = None) -> str:
        values = [row[field] for row in rows[key] if field in row]
        if not values:
            return ""
        spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        text = f"{np.mean(values):.4f}{spread}"
        if first is not None and len(values) > 1:
            others = [row[field] for row in rows[first]]
            if ttest_ind(values, others, equal_var=False).pvalue < 0.05:
                text += " (better)" if np.mean(values) > np.mean(others) else " (worse)"
        return text

    parts = []
    for field, title in (("mean_auc", "Mean AUC against QCD"),
                         ("calibration_error", "Calibration error after temperature")):  # fmt: skip
        ways = list(dict.fromkeys(row["way"] for row in rows[{"part": "shift"}]))
        lines = []
        for way in ways:
            key = {"part": "shift", "way": way}
            base = {"part": "shift", "way": "source only"}
            compare = field == "mean_auc" and way != "source only"
            lines.append([way] + [
                cell(key | {"domain": d}, field, base | {"domain": d} if compare else None)
                for d in domains
            ])  # fmt: skip
        lines.append(["ensemble of the source only"] + [
            cell({"part": "ensemble", "domain": d}, field) for d in domains])  # fmt: skip
        parts.append(f"{title}:\n\n" + markdown.table([title, *domains], lines))
    single = {"part": "shift", "way": "source only"}
    lines = [
        [title] + [cell(key | {"domain": d}, field) for d in domains]
        for title, key, field in (
            ("1 - largest probability", single, "doubt_auc"),
            ("the same, of the ensemble", {"part": "ensemble"}, "doubt_auc"),
            ("disagreement of the ensemble", {"part": "ensemble"}, "spread_auc"),
            ("disagreement of Laplace's draws", single, "laplace_spread_auc"),
            ("mean disagreement of the ensemble, nats", {"part": "ensemble"}, "spread"),
            ("mean disagreement of Laplace's draws, nats", single, "laplace_spread"),
            ("calibration error, trained network", single, "raw_calibration_error"),
            ("calibration error, Laplace", single, "laplace_calibration_error"),
        )
    ]
    title = "Wrong from right answers, AUC"
    parts.append(f"{title}:\n\n" + markdown.table([title, *domains], lines))
    lines = []
    for way in ("untrained", "without labels", "classifier"):
        for score in ("distance", "relative distance", "density", "doubt"):
            found = rows[{"part": "anomaly", "way": way, "score": score}]
            if found:
                cells = []
                for name in found[0]["auc"]:
                    values = [row["auc"][name] for row in found]
                    cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
                lines.append([f"{way}, {score}", *cells])
    if lines:
        heads = list(rows[{"part": "anomaly"}][0]["auc"])
        title = f"Anomaly against {', '.join(KNOWN)}, AUC"
        parts.append(f"{title}:\n\n" + markdown.table(["trunk, score", *heads], lines))
    return "\n".join(parts)


def main() -> None:
    """Fill the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--target", "--pile-up", "--detector", "--vincia"):
        parser.add_argument(name, required=True)
    parser.add_argument("--jets", type=int, default=2000)
    parser.add_argument("--test-jets", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_uncertainty.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = shuffled(JetSample.read(shipped("train")), options.jets, 0)
    nominal = JetSample.read(shipped("test"), classes=source.classes)
    nominal = shuffled(nominal, options.test_jets + CALIBRATION, 0)
    rows = Rows(options.out, {
        "about": "see benchmarks/jets_uncertainty.py", "jets": options.jets,
        "test_jets": options.test_jets, "steps": options.steps, "seeds": list(SEEDS),
        "trunk": TRUNK, "device": f"{processor()}, one thread", "torch": torch.__version__,
    })  # fmt: skip
    anomalies(options, rows, source, nominal)
    shifts(options, rows, source, nominal)
    text = table(rows)
    text = (
        f"Mean ± standard deviation over {len(SEEDS)} seeds; (better), (worse): by Welch's t-test "
        f"at 5 % from the first row. {options.jets} jets to learn from, {options.test_jets} to "
        "measure on; `benchmarks/jets_uncertainty.py` says how.\n\n" + text
    )
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
