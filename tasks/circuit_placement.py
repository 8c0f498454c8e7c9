"""Circuit placement: learn to place macros on synthetic netlists, and be honest beside annealing.

1. A graph trunk is pretrained without labels on synthetic netlists (masked sizes and pins).
2. A policy learns to place macros: by imitation of annealed placements, then by masked PPO.
3. On designs that no step has seen, every method gets the same CPU-seconds: annealing from scratch,
   the search on the wire mask, and the policy's proposals followed by annealing, with its trunk
   pretrained, from scratch, or random and frozen, and by imitation alone.

The report shows the table with its spread, whichever wins, cost against CPU-seconds, the best
placements and the search as an animation. The proxy is a proxy: it is not timing.

Writes report.html, results.json, metrics.jsonl, policy.safetensors and placed.plc / netlist.pb.txt.
"""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml.config import Range
from sciml.paths import atomic_write
from sciml.placement.annealing import Annealer, AnnealingConfig, zero_start
from sciml.placement.cost import proxy_cost
from sciml.placement.design import Design
from sciml.placement.draw import animation, figure
from sciml.placement.env import EnvConfig, PlacementEnv
from sciml.placement.generate import netlist, randomised
from sciml.placement.imitation import imitate
from sciml.placement.io import read_design, write_design
from sciml.placement.legality import check
from sciml.placement.policy import GridPolicy, Player, PolicyConfig, save_policy
from sciml.placement.pretraining import corpus
from sciml.placement.search import search_macros
from sciml.report import Page
from sciml.rl.ppo import PPO, PPOConfig
from sciml.rl.rollout import Rollout
from sciml.train import TrainConfig, fit


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    design: tuple[str, ...] = ()
    """Designs to be measured on (.pb.txt with a .plc beside it, .aux, .def), never trained on."""
    held_out: Annotated[int, Range(min=0)] = 2
    """Synthetic designs to be measured on, besides; none has a seed of the training ones."""
    train_designs: Annotated[int, Range(min=1)] = 24
    """Synthetic designs to train on."""
    scale: Annotated[float, Range(min=0.05, max=100)] = 0.5
    """Size of synthetic designs; 1 = 8 to 64 macros and 40 to 240 clusters."""
    budget: Annotated[float, Range(min=0.05)] = 20.0
    """CPU-seconds of every method on every held-out design."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run of every method a seed."""
    teacher: Annotated[float, Range(min=0.01)] = 2.0
    """CPU-seconds of annealing for each placement to imitate."""
    imitation_epochs: Annotated[int, Range(min=0)] = 12
    """Passes over the imitated placements."""
    updates: Annotated[int, Range(min=0)] = 40
    """PPO updates after imitation."""
    rollout: Annotated[int, Range(min=1)] = 32
    """Steps of every environment in an update."""
    environments: Annotated[int, Range(min=1)] = 8
    """Environments side by side."""
    lr: Annotated[float, Range(min=0, exclusive=True)] = 3e-4
    """Learning rate of imitation (three times this) and PPO."""
    env: EnvConfig = EnvConfig(columns=32, rows=32, order="connected", reward="proxy")
    """The environment that the policy learns in."""
    ppo: PPOConfig = PPOConfig()
    """Settings of PPO."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The network."""
    pretrain: TrainConfig = TrainConfig(steps=300, batch_size=4, lr=1e-3, warmup=0.1)
    """Pretraining of the trunk without labels."""
    seed: int = 0
    """Seed of the training designs and of training."""


TINY: dict[str, Any] = {
    "held_out": 1,
    "train_designs": 3,
    "scale": 0.2,
    "budget": 0.3,
    "seeds": (0, 1),
    "teacher": 0.1,
    "imitation_epochs": 2,
    "updates": 1,
    "rollout": 6,
    "environments": 2,
    "env": {"columns": 12, "rows": 12},
    "ppo": {"epochs": 1},
    "policy": {"trunk": {"dim": 16, "depth": 1, "heads": 2}, "channels": 8},
    "pretrain": {"steps": 4, "batch_size": 2, "log_every": 2},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe."""
    began = time.monotonic()
    torch.manual_seed(config.seed)
    train = [synthetic(config, 1000 * config.seed + k) for k in range(config.train_designs)]
    tests = [read_design(path) for path in config.design]
    tests += [synthetic(config, 900_000 + k) for k in range(config.held_out)]

    log = open(out / "metrics.jsonl", "a", encoding="utf-8")
    note: Callable[[dict[str, Any]], None] = lambda row: print(  # noqa: E731
        json.dumps(row), file=log, flush=True
    )
    pretrained = pretrain(config, train, out)
    taught = [(d, teacher(config, d, k)) for k, d in enumerate(train)]
    policies: dict[str, GridPolicy] = {}
    for name in ("pretrained", "scratch", "random frozen trunk", "imitation only"):
        policy = start_policy(config, None if name in ("scratch", "random frozen trunk")
                              else pretrained, frozen=name == "random frozen trunk")  # fmt: skip
        losses = imitate(policy, taught, config.env, config.imitation_epochs, 3 * config.lr)
        note({"policy": name, "imitation": losses})
        if name != "imitation only":
            for row in reinforce(config, policy, train):
                note({"policy": name, **row})
        policies[name] = policy
    save_policy(policies["pretrained"], out / "policy.safetensors")

    rows: list[dict[str, Any]] = []
    curves: dict[Any, Any] = {}
    best: dict[Any, Any] = {}
    for design in tests:
        for seed in config.seeds:
            for method, run in methods(config, policies).items():
                clock = time.process_time()
                placed, history = run(design, seed)
                cost = proxy_cost(placed)
                row = {
                    "design": design.name, "method": method, "seed": seed,
                    "proxy": cost.proxy, "robust_proxy": cost.robust_proxy,
                    "wirelength": cost.wirelength, "density": cost.density,
                    "congestion": cost.congestion, "legal": check(placed, design).legal,
                    "cpu_seconds": time.process_time() - clock,
                }  # fmt: skip
                note(row)
                rows.append(row)
                curves.setdefault((design.name, method), []).append(history)
                if design.name not in best or cost.proxy < best[design.name][1]:
                    best[design.name] = (placed, cost.proxy, method)
    log.close()
    with atomic_write(out / "results.json") as part:
        part.write_text(json.dumps(rows, indent=1))
    report(config, tests, rows, curves, best, out, time.monotonic() - began)


def synthetic(config: Config, seed: int) -> Design:
    """A synthetic design with every property drawn anew."""
    return netlist(randomised(np.random.default_rng([seed, 5]), config.scale), seed)


def pretrain(config: Config, designs: list[Design], out: Path) -> dict[str, Any]:
    """Weights of trunk and embedder after masked modelling."""
    from sciml import objectives

    policy = GridPolicy(config.policy)
    data = corpus(designs)
    objective = objectives.build({"name": "masked", "fraction": 0.3})(policy.trunk, policy.embedder)
    result = fit(
        objective, data.dataset, config.pretrain, out=out / "pretrain", collate=data.collate
    )
    del result
    return {"trunk": policy.trunk.state_dict(), "embedder": policy.embedder.state_dict()}


def start_policy(config: Config, weights: dict[str, Any] | None, frozen: bool) -> GridPolicy:
    """A new policy, its trunk from pretraining or at random."""
    torch.manual_seed(config.seed)
    policy = GridPolicy(replace(config.policy, frozen=frozen))
    if weights is not None:
        policy.trunk.load_state_dict(copy.deepcopy(weights["trunk"]))
        policy.embedder.load_state_dict(copy.deepcopy(weights["embedder"]))
    return policy


def teacher(config: Config, design: Design, seed: int) -> Design:
    """A placement to imitate: annealed from scratch."""
    return Annealer(zero_start(design, seed), seed=seed, total=config.teacher).run().result()


def reinforce(config: Config, policy: GridPolicy, designs: list[Design]) -> list[dict[str, Any]]:
    """PPO on the training designs; one row an update."""
    rng = np.random.default_rng(config.seed)
    chosen = [designs[k] for k in rng.choice(len(designs), config.environments)]
    envs = [PlacementEnv(d, config.env) for d in chosen]
    player = Player(policy, envs)
    rollout = Rollout(envs, player, seed=config.seed)
    parameters = [p for p in policy.parameters() if p.requires_grad]
    trainer = PPO(policy, player.evaluate, torch.optim.Adam(parameters, config.lr), config.ppo)
    rows = []
    for k in range(config.updates):
        batch = rollout.collect(config.rollout, config.ppo.gamma, config.ppo.lmbda)
        losses = trainer.step(batch.experience)
        player.refresh()
        mean = float(np.mean(batch.returns)) if batch.returns else None
        rows.append({"update": k, "return": mean, **losses})
    return rows


Method = Callable[[Design, int], tuple[Design, list[dict[str, float]]]]


def methods(config: Config, policies: dict[str, GridPolicy]) -> dict[str, Method]:
    """name -> (design, seed) -> (placement, history), each with the same budget."""

    def anneal(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
        clock = time.process_time()
        start = zero_start(design, seed)
        left = max(config.budget - (time.process_time() - clock), 0.05)
        annealer = Annealer(start, AnnealingConfig(), seed, left)
        return annealer.run().result(), annealer.history

    def search(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
        found = search_macros(design, config.budget, seed, config=config.env)
        return found.design, found.history

    def guided(policy: GridPolicy) -> Method:
        def run(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
            found = search_macros(design, config.budget, seed, policy=policy, config=config.env)
            return found.design, found.history

        return run

    table: dict[str, Method] = {"annealing": anneal, "wire-mask search": search}
    return table | {f"policy: {name}": guided(policy) for name, policy in policies.items()}


def summary(rows: list[dict[str, Any]], design: str) -> list[dict[str, Any]]:
    """Mean and spread over seeds of every method on one design, best first."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [r for r in rows if r["method"] == method and r["design"] == design]
        values = np.array([r["proxy"] for r in mine], float)
        spread = values.std(ddof=1) if len(values) > 1 else float("nan")
        found.append(
            {
                "method": method,
                "proxy": f"{values.mean():.4f} +- {spread:.4f}",
                "robust proxy": f"{np.mean([r['robust_proxy'] for r in mine]):.4f}",
                "CPU-seconds": f"{np.mean([r['cpu_seconds'] for r in mine]):.1f}",
                "legal": f"{sum(r['legal'] for r in mine)}/{len(mine)}",
                "_": values.mean(),
            }
        )
    found.sort(key=lambda row: row["_"])
    return [{k: v for k, v in row.items() if k != "_"} for row in found]


def verdict(rows: list[dict[str, Any]], design: str) -> str:
    """What the numbers say about learning on one design, in a sentence."""
    by = {
        m: np.array([r["proxy"] for r in rows if r["method"] == m and r["design"] == design])
        for m in dict.fromkeys(r["method"] for r in rows)
    }
    base, learned = by["annealing"], by["policy: pretrained"]
    gain = base.mean() - learned.mean()
    error = np.sqrt(base.var() / max(len(base) - 1, 1) + learned.var() / max(len(learned) - 1, 1))
    if gain > 2 * error:
        return f"The pretrained policy gains {gain:.4f} over annealing at equal CPU-seconds."
    if gain < -2 * error:
        return f"Annealing alone is better by {-gain:.4f} at equal CPU-seconds: no learning gain."
    return (
        f"No learning gain: the difference to annealing ({gain:+.4f}) is within twice its error "
        f"({error:.4f})."
    )


def report(
    config: Config, tests: list[Design], rows: list[dict[str, Any]], curves: dict[Any, Any],
    best: dict[str, Any], out: Path, seconds: float,
) -> None:  # fmt: skip
    """report.html, the best placements and the animation."""
    from matplotlib.figure import Figure

    page = Page(
        "Circuit placement",
        lead="Every method places designs that none was trained on, within the same CPU-seconds. "
        "Lower proxy is better. The proxy is not timing, and says nothing of routability by "
        "itself; the robust proxy counts blockage by area, so that a gain can be told from an "
        "exploit of the metric.",
    )
    for design in tests:
        page.heading(design.name)
        page.text(design.summary())
        page.text(f"**{verdict(rows, design.name)}**")
        page.table(
            summary(rows, design.name),
            caption=f"{config.budget:g} CPU-seconds a run, {len(config.seeds)} seeds; "
            "mean +- standard deviation. Training time is not in it.",
        )
        chart = Figure(figsize=(7, 4), layout="constrained")
        axes = chart.subplots()
        for (name, method), histories in curves.items():
            if name != design.name:
                continue
            history = [h for h in histories[0] if "best" in h]
            seconds_at = np.maximum([h["cpu_seconds"] for h in history], 1e-3)
            axes.plot(seconds_at, [h["best"] for h in history], label=method)
        axes.set_xlabel("CPU-seconds of annealing (seed 0)")
        axes.set_ylabel("best proxy so far")
        axes.legend(fontsize=7)
        page.figure(chart, "Cost against CPU-seconds, first seed.")
        placed, cost, method = best[design.name]
        page.figure(figure(placed), f"Best placement: {method}, proxy {cost:.4f}.")
        write_design(placed, out / f"{design.name}.pb.txt.gz")
    film(config, tests[0], out)
    gif = base64.b64encode((out / "search.gif").read_bytes()).decode()
    page.heading("The search")
    page.html(f'<img alt="annealing" src="data:image/gif;base64,{gif}">')
    page.text(f"The whole recipe took {seconds:.0f} s.")
    page.heading("Again")
    page.command(f"sciml run circuit_placement --config {out / 'config.yaml'} --out {out}-again")
    page.write(out / "report.html")


def film(config: Config, design: Design, out: Path) -> None:
    """An animation of one annealing run."""
    annealer = Annealer(zero_start(design, 0), seed=0, total=min(config.budget, 5.0))
    frames: list[Design] = []
    chain = annealer.chains[0]
    annealer.run(lambda _: frames.append(chain.evaluator.store(chain.state)))
    animation(frames or [design], out / "search.gif")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
