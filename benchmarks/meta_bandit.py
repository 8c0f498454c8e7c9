"""RL^2 on a two-armed bandit: a recurrent policy beside the best possible, and simple rules.

    python benchmarks/meta_bandit.py [--steps 60000] [--seeds 5]

Ten pulls of two Bernoulli arms with uniform probabilities. The best expected number of wins is
known exactly (dynamic programming); beside it stand the index policy of Gittins, Thompson sampling,
UCB1, chance, and a policy of equal size without memory, which sees the last pull alone. Seeds that
are in the result file already are not trained again.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor

from sciml.files.jsons import dumps
from sciml.files.kept import Rows
from sciml.paths import atomic_write
from sciml.rl.small_problems import Bandit, best_bandit_value, play_bandit
from sciml.rl.trials import learn, play

RESULTS = Path(__file__).parent / "results" / "meta_bandit.json"
PULLS, PLAYED = 10, 1000


def main() -> None:
    """Measure what the work file does not hold yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60_000, help="pulls of each training")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/meta_bandit.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = Rows(arguments.work)
    for seed in range(arguments.seeds):
        for recurrent in (True, False):
            key = {"recurrent": recurrent, "seed": seed, "steps": arguments.steps}
            if runs.has(key):
                continue
            began = time.process_time()
            model = learn(lambda: Bandit(PULLS), arguments.steps, seed, recurrent=recurrent)
            seconds = time.process_time() - began
            wins = [game["return"] for game in play(model, Bandit(PULLS), PLAYED, 10**6)]
            runs.add(key | {"wins": float(np.mean(wins)), "cpu_seconds": seconds})
            print(runs.rows[-1], flush=True)
    mine = [row for row in runs.rows if row["steps"] == arguments.steps]
    rules = ("gittins", "thompson", "ucb", "random")
    table: dict[str, Any] = {"best possible": best_bandit_value(PULLS)}
    table |= {rule: play_bandit(rule, PULLS, 20_000) for rule in rules}
    for label, kind in (("recurrent", True), ("memory-less", False)):
        values = [row["wins"] for row in mine if row["recurrent"] == kind]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        table[label] = {"mean": float(np.mean(values)), "deviation": spread, "seeds": len(values)}
    machine = f"{processor()}, 1 thread, shared"
    with atomic_write(RESULTS) as part:
        result = {
            "pulls": PULLS,
            "wins": table,
            "runs": mine,
            "date": str(date.today()),
            "device": machine,
            "torch": torch.__version__,
        }
        part.write_text(dumps(result, indent=1) + "\n")
    print(dumps(table, indent=1))


if __name__ == "__main__":
    main()
