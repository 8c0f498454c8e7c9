"""Jets that the shipped taggers score a second.

    python benchmarks/jets_tag.py

`JetTagger.predict` on the test sample that comes with the package, reading included: jets per CPU
second of one thread, the slowest and the fastest of the rounds and their median, after one round
that is not counted. Writes benchmarks/results/jets_tag.json.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from statistics import median

import torch
from machine import processor

from sciml.jets import JetTagger
from sciml.jets.data.sample import shipped

RESULTS = Path(__file__).parent / "results/jets_tag.json"


def rates(model: str, rounds: int) -> list[float]:
    """Jets per CPU second, one number per round."""
    tagger = JetTagger.from_pretrained(model)
    jets = len(tagger.predict(shipped("test")))
    per_round = []
    for _ in range(rounds):
        clock = time.process_time()
        tagger.predict(shipped("test"))
        per_round.append(jets / (time.process_time() - clock))
    return per_round


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for model in ("jets-tiny", "jets-small"):
        per_round = rates(model, options.rounds)
        rows[model] = {
            "jets_per_cpu_second": round(median(per_round)),
            "slowest_and_fastest_round": [round(min(per_round)), round(max(per_round))],
        }
    result = {
        "what": "JetTagger.predict on the 2,500 jets of the shipped test sample, one thread",
        "models": rows, "torch": torch.__version__, "device": processor(),
        "date": date.today().isoformat(),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
