"""Rewards for exploring: counts, random network distillation and SMiRL beside none.

python benchmarks/exploration.py [--seeds 5] [--steps 3000]

PPO on a chain of twelve states whose first step back pays a little and whose end pays 1 (how many
states are ever seen, how often the end is reached), and MaskablePPO on synthetic netlists (how many
pairs of macro and cell are ever tried, the best and the last proxies over that of the guide). The
bonus is never counted in what is reported.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from machine import processor
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

from sciml.paths import atomic_write
from sciml.placement.generate import synthetic
from sciml.placement.learning.agents import AgentView
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.rl.exploration import Bonus, CountBonus, RNDBonus, SMiRL
from sciml.rl.small_problems import Chain

RESULTS = Path(__file__).parent / "results" / "exploration.json"
KINDS: dict[str, type[Bonus] | None] = {
    "none": None, "counts": CountBonus, "rnd": RNDBonus, "smirl": SMiRL,
}  # fmt: skip
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
    return {"problem": problem, "bonus": kind, "seed": seed, **told,
            "cpu_seconds": time.process_time() - began}  # fmt: skip


def main() -> None:
    """Measure what is not in the file yet, and write after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    runs: list[dict[str, Any]] = earlier["runs"] if earlier.get("steps") == arguments.steps else []
    done = {run["seed"] for run in runs}
    for seed in set(range(arguments.seeds)) - done:
        for problem in ("chain", "placement"):
            runs += [explore(problem, kind, seed, arguments.steps) for kind in KINDS]
        table = []
        for problem in ("chain", "placement"):
            for kind in KINDS:
                mine = [r for r in runs if (r["problem"], r["bonus"]) == (problem, kind)]
                keys = [key for key in mine[0] if key not in ("problem", "bonus", "seed")]
                means = {k: float(np.mean([r[k] for r in mine])) for k in keys}
                spread = {f"{k}, deviation": float(np.std([r[k] for r in mine], ddof=1))
                          for k in keys if len(mine) > 1}  # fmt: skip
                table.append({"problem": problem, "bonus": kind, "seeds": len(mine)}
                             | means | spread)  # fmt: skip
        with atomic_write(RESULTS) as part:
            result = {"steps": arguments.steps, "table": table, "runs": runs,
                      "device": f"{processor()}, 1 thread, shared"}  # fmt: skip
            part.write_text(json.dumps(result, indent=1) + "\n")
        print(seed, flush=True)


if __name__ == "__main__":
    main()
