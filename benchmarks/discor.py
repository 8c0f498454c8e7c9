"""DisCor's weights in Q-learning: errors of Q with and without them, against exact values.

python benchmarks/discor.py [--steps 2000] [--seeds 5]

A chain of six states (`sciml.rl.small_problems.Chain`), whose Q is known exactly. Double DQN with
a network of 16 hidden units, so that states share weights, and with a table; with and without the
weights all settings are the same. The error is the largest |Q - Q*| over states and actions.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor
from stable_baselines3.common.callbacks import BaseCallback

from sciml.paths import atomic_write
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
    """Measure what is not in the file yet, and write after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    runs: list[dict[str, Any]] = earlier["runs"] if earlier.get("steps") == arguments.steps else []
    done = {run["seed"] for run in runs}
    for seed in set(range(arguments.seeds)) - done:
        for label, hidden in (("network", [16]), ("table", [])):
            for kind in (DoubleDQN, DisCorDQN):
                errors, began = Errors(), time.process_time()
                kind(
                    "MlpPolicy", Chain(STATES), seed=seed, learning_rate=5e-3, gamma=GAMMA,
                    learning_starts=100, batch_size=32, buffer_size=10_000, train_freq=2,
                    target_update_interval=100, exploration_fraction=0.5,
                    exploration_final_eps=0.3, policy_kwargs={"net_arch": hidden},
                ).learn(arguments.steps, callback=errors)  # fmt: skip
                runs.append({
                    "form": label, "discor": kind is DisCorDQN, "seed": seed,
                    "errors": errors.curve, "cpu_seconds": time.process_time() - began,
                })  # fmt: skip
        table = []
        for label in ("network", "table"):
            for weighted in (False, True):
                curves = np.array([r["errors"] for r in runs
                                   if r["form"] == label and r["discor"] == weighted])  # fmt: skip
                spread = curves[:, -1].std(ddof=1) if len(curves) > 1 else None
                table.append({
                    "form": label, "discor": weighted, "seeds": len(curves),
                    "last error": curves[:, -1].mean(), "deviation": spread,
                    "mean over the training": curves.mean(),
                })  # fmt: skip
        with atomic_write(RESULTS) as part:
            result = {"steps": arguments.steps, "every": EVERY, "table": table, "runs": runs,
                      "device": f"{processor()}, 1 thread, shared"}  # fmt: skip
            part.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(table[-2:]), flush=True)


if __name__ == "__main__":
    main()
