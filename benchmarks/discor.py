"""DisCor's weights in Q-learning: errors of Q with and without them, against exact values.

    python benchmarks/discor.py [--steps 2000] [--seeds 5]

A chain of six states (`sciml.rl.small_problems.Chain`), whose Q is known exactly. Double DQN with
a network of 16 hidden units, so that states share weights, and with a table; with and without the
weights all settings are the same. The error is the largest |Q - Q*| over states and actions.
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
from stable_baselines3.common.callbacks import BaseCallback

from sciml.files.jsons import dumps
from sciml.files.kept import Rows
from sciml.paths import atomic_write
from sciml.report.statistics import paired
from sciml.rl.dqn import DisCorDQN, DoubleDQN
from sciml.rl.small_problems import Chain

RESULTS = Path(__file__).parent / "results" / "discor.json"
STATES, GAMMA, EVERY = 6, 0.95, 200


class Errors(BaseCallback):
    """Largest error of Q every so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.curve: list[float] = []
        self.exact = Chain(STATES).values(GAMMA)

    def _on_step(self) -> bool:
        if self.num_timesteps % EVERY == 0:
            model: Any = self.model
            with torch.no_grad():
                q = model.q_net(torch.eye(STATES)).numpy()
            self.curve.append(float(np.abs(q - self.exact).max()))
        return True


def main() -> None:
    """Measure what the work file does not hold yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/discor.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = Rows(arguments.work)
    for seed in range(arguments.seeds):
        for form, hidden in (("network", [16]), ("table", [])):
            for kind in (DoubleDQN, DisCorDQN):
                key = {"steps": arguments.steps, "form": form, "discor": kind is DisCorDQN,
                       "seed": seed}  # fmt: skip
                if runs.has(key):
                    continue
                errors, began = Errors(), time.process_time()
                kind(
                    "MlpPolicy", Chain(STATES), seed=seed, learning_rate=5e-3, gamma=GAMMA,
                    learning_starts=100, batch_size=32, buffer_size=10_000, train_freq=2,
                    target_update_interval=100, exploration_fraction=0.5,
                    exploration_final_eps=0.3, policy_kwargs={"net_arch": hidden},
                ).learn(arguments.steps, callback=errors)  # fmt: skip
                seconds = time.process_time() - began
                runs.add(key | {"errors": errors.curve, "cpu_seconds": seconds})
    mine = [run for run in runs.rows if run["steps"] == arguments.steps]
    table = []
    for form in ("network", "table"):
        errors_of = {
            weighted: np.array([r["errors"] for r in sorted(mine, key=lambda r: r["seed"])
                                if (r["form"], r["discor"]) == (form, weighted)])
            for weighted in (False, True)
        }  # fmt: skip
        for measure in ("last error", "mean over the training"):
            plain, weighted = (
                e[:, -1] if measure == "last error" else e.mean(1) for e in errors_of.values()
            )
            table.append({
                "form": form, "measure": measure, "seeds": len(plain),
                "double DQN": float(np.median(plain)), "with DisCor": float(np.median(weighted)),
                **paired(weighted.tolist(), plain.tolist(), better=-1),
            })  # fmt: skip
    machine = f"{processor()}, 1 thread, shared"
    with atomic_write(RESULTS) as part:
        result = {
            "steps": arguments.steps,
            "every": EVERY,
            "table": table,
            "runs": mine,
            "date": str(date.today()),
            "device": machine,
        }
        part.write_text(dumps(result, indent=1) + "\n")
    print(dumps(table, indent=1))


if __name__ == "__main__":
    main()
