"""The shipped taggers explained and attacked, on the shipped test jets.

    python benchmarks/jets_explained.py [--models jets-tiny jets-small] [--attacked 100]

How alike attributions are to those of the same network with shuffled weights (three of them, ten
jets); the accuracy of decision trees on the classes (2,500 jets); accuracy under changes within
what detector and theory allow. Writes benchmarks/results/jets_explained.json.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor

from sciml.files.jsons import dumps
from sciml.jets import JetTagger
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning import decision_tree
from sciml.jets.learning.attack_page import attack_page
from sciml.jets.learning.explanation import sanity
from sciml.paths import atomic_write

RESULTS = Path(__file__).parent / "results" / "jets_explained.json"
KINDS, STRENGTHS, STEPS = ("resolution", "soft", "collinear"), (0.5, 1.0, 2.0), 8


def main() -> None:
    """Measure every model, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["jets-tiny", "jets-small"])
    parser.add_argument("--attacked", type=int, default=100, help="jets that are attacked")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sample = JetSample.read(shipped("test"))
    models: dict[str, Any] = {}
    for name in arguments.models:
        tagger = JetTagger.from_pretrained(name, device="cpu")
        truth = np.array([tagger.classes.index(c) for c in sample.classes])[sample.y]
        probabilities = tagger.predict(sample).probabilities
        weights = decision_tree.last_layer(tagger)
        trees = {"physicist's": decision_tree.physics(tagger.classes),
                 "induced": decision_tree.induced(weights, tagger.classes)}  # fmt: skip
        models[name] = {
            "likeness to shuffled weights": sanity(tagger, sample, "Tbqq", "QCD"),
            "trees": {
                kind: {**decision_tree.accuracies(tree, probabilities, truth),
                       "hierarchy": decision_tree.lines(tree)}
                for kind, tree in trees.items()
            },
            "attacks": attack_page(
                tagger, sample, model=name, kinds=KINDS, strengths=STRENGTHS,
                jets=arguments.attacked, steps=STEPS, seed=0,
            )[1],
        }  # fmt: skip
        result = {
            "what": "attributions beside shuffled weights, decision trees, attacks",
            "command": "python benchmarks/jets_explained.py",
            "jets": len(sample), "attacked": arguments.attacked, "passes": STEPS,
            "date": str(date.today()), "device": f"{processor()}, 1 thread, shared",
            "models": models,
        }  # fmt: skip
        with atomic_write(RESULTS) as part:
            part.write_text(dumps(result, indent=1) + "\n")
        print(dumps(models[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
