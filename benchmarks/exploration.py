"""Rewards for exploring: counts, random network distillation and SMiRL beside none.

    python benchmarks/exploration.py [--seeds 5] [--steps 3000]

PPO on a chain of twelve states whose first step back pays a little and whose end pays 1 (how many
states are ever seen, how often the end is reached), and MaskablePPO on synthetic netlists (how many
pairs of macro and cell are ever tried, the best and the last proxies over that of the guide). The
bonus is never counted in what is reported.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from machine import processor
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

from sciml.files.jsons import dumps
from sciml.files.kept import Rows
from sciml.paths import atomic_write
from sciml.placement.generate import synthetic
from sciml.placement.learning.agents import AgentView
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.report.statistics import paired
from sciml.rl.exploration import Bonus, CountBonus, RNDBonus, SMiRL
from sciml.rl.small_problems import Chain

RESULTS = Path(__file__).parent / "results" / "exploration.json"
KINDS: dict[str, type[Bonus] | None] = {
    "none": None, "counts": CountBonus, "rnd": RNDBonus, "smirl": SMiRL,
}  # fmt: skip
MEASURES = {
    "chain": {"states seen": 1, "end reached": 1},
    "placement": {"pairs tried": 1, "best": -1, "last quarter": -1},
}
"""What is measured of each problem, and whether more (1) or less (-1) is better."""
GRID = EnvConfig(columns=12, rows=12, settle=20)


class Seen(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers what was visited and what each episode told at its end."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.visited: set[Any] = set()
        self.ends: list[dict[str, Any]] = []

    def step(self, action: Any) -> Any:
        """See the environment."""
        inner: Any = self.env.unwrapped
        key = inner.current if isinstance(inner, PlacementEnv) else inner.state
        self.visited.add((key, int(action)))
        observation, reward, ended, cut, info = self.env.step(action)
        if ended or cut:
            self.ends.append({**info, "ended": ended})
        return observation, reward, ended, cut, info

    def action_masks(self) -> np.ndarray:
        """Of the environment."""
        inner: Any = self.env
        return np.asarray(inner.action_masks())


def covered(observation: np.ndarray) -> np.ndarray:
    """What is covered, on 4 x 4 cells: the state of a partial placement for the bonuses."""
    filled = observation[2]
    return filled.reshape(4, 3, 4, 3).mean((1, 3)).ravel().astype(np.float64)


def explore(problem: str, kind: str, seed: int, steps: int) -> dict[str, Any]:
    """One training."""
    bonus, began = KINDS[kind], time.process_time()
    if problem == "chain":
        seen = Seen(Chain(12))
        env: Any = seen if bonus is None else bonus(seen, weight=0.05)
        PPO("MlpPolicy", env, n_steps=200, batch_size=100, n_epochs=4, seed=seed, gamma=0.98,
            learning_rate=1e-3, device="cpu", policy_kwargs={"net_arch": [32]},
            ).learn(steps)  # fmt: skip
        told = {"states seen": len({state for state, _ in seen.visited}),
                "end reached": float(np.mean([end["ended"] for end in seen.ends]))}  # fmt: skip
    else:
        seen = Seen(AgentView(PlacementEnv(synthetic(1000 * seed, 0.25), GRID)))
        # The observation of the bonus' own, flat, so that all four see as much.
        env = (
            SMiRL(seen, 0.0, features=covered)
            if bonus is None
            else bonus(seen, 0.3, features=covered)
        )
        if not isinstance(env, SMiRL):
            env = SMiRL(env, 0.0, features=covered)
        MaskablePPO("MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=4, seed=seed,
                    learning_rate=1e-3, device="cpu", policy_kwargs={"net_arch": [64]},
                    ).learn(steps // 2)  # fmt: skip
        costs = [e["proxy"] / e["start_proxy"] for e in seen.ends if not e["dead_end"]]
        told = {"pairs tried": len(seen.visited), "best": min(costs, default=np.nan),
                "last quarter": float(np.mean(costs[-len(costs) // 4 :]))}  # fmt: skip
    return {**told, "cpu_seconds": time.process_time() - began}


def main() -> None:
    """Measure what the work file does not hold yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/exploration.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = Rows(arguments.work)
    for seed in range(arguments.seeds):
        for problem in ("chain", "placement"):
            for kind in KINDS:
                key = {"steps": arguments.steps, "problem": problem, "bonus": kind, "seed": seed}
                if not runs.has(key):
                    runs.add(key | explore(problem, kind, seed, arguments.steps))
    table = []
    mine = sorted((r for r in runs.rows if r["steps"] == arguments.steps), key=lambda r: r["seed"])
    for problem in ("chain", "placement"):
        by_kind = {kind: [r for r in mine if (r["problem"], r["bonus"]) == (problem, kind)]
                   for kind in KINDS}  # fmt: skip
        for measure, better in MEASURES[problem].items():
            values = {kind: [row[measure] for row in by_kind[kind]] for kind in KINDS}
            for kind in KINDS:
                against = {} if kind == "none" else paired(values[kind], values["none"], better)
                spread = float(np.std(values[kind], ddof=1)) if len(mine) > 8 else None
                table.append({"problem": problem, "measure": measure, "bonus": kind,
                              "mean": float(np.mean(values[kind])), "deviation": spread,
                              "seeds": len(values[kind])} | against)  # fmt: skip
    machine = f"{processor()}, 1 thread, shared"
    with atomic_write(RESULTS) as part:
        result = {
            "steps": arguments.steps,
            "table": table,
            "runs": mine,
            "date": str(date.today()),
            "device": machine,
        }
        part.write_text(dumps(result, indent=1) + "\n")
    print(dumps(table, indent=1))


if __name__ == "__main__":
    main()
