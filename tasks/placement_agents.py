"""Agents of other libraries place macros: equal environment steps, equal CPU time, several seeds.

Stable-Baselines3, sb3-contrib and torchrl learn on the same environments as this package's own PPO,
beside random places, the cheapest wire, and the electrostatic placement that every episode starts
from (the guide), put on the grid macro by macro. One seed is one set of training designs and one
training of every agent. A placement is judged by its proxy over that of the guide: below 1 is
better. All run on the processor, also where there is a GPU: their networks are small, and their
times are compared.

Writes report.html, results.json, metrics.jsonl, and the policy of each training as
agents/AGENT_SEED.safetensors, which `sciml placement place --method policy --policy FILE` takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.files import kept
from sciml.paths import atomic_write
from sciml.placement.design import Design
from sciml.placement.generate import synthetic
from sciml.placement.learning import agents as views
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.policy import GridPolicy, PlacementPolicy, Player, PolicyConfig
from sciml.report import Page, plots
from sciml.rl import agents
from sciml.rl.ppo import PPO, MaskedCategorical, PPOConfig
from sciml.rl.rollout import Rollout
from sciml.trunks.message_passing import MessagePassingConfig

OWN = "own_ppo"
RULES = ("random", "cheapest wire", "guide")
After = Callable[[int, float, dict[str, Any]], None]


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    agents: str = "dqn,trpo,ppo,maskable_ppo,sac"
    """Agents, with commas: dqn, double_dqn, discor, qr_dqn, a2c, ppo, maskable_ppo, trpo, ddpg,
    td3, sac, torchrl_ppo. This package's own PPO and the rules are always beside them."""
    seeds: Annotated[int, Range(min=1, max=100)] = 5
    """Trainings of every agent, each on designs of its own."""
    steps: Annotated[int, Range(min=64)] = 4000
    """Environment steps of a training, over all designs."""
    designs: Annotated[int, Range(min=1, max=64)] = 4
    """Training designs of a seed; all are played side by side."""
    held_out: Annotated[int, Range(min=1, max=64)] = 4
    """Designs that no agent learns on, the same for all."""
    scale: Annotated[float, Range(min=0.05, max=10)] = 0.25
    """Size of the designs; 1 = 8 to 64 macros and 40 to 240 clusters."""
    env: EnvConfig = EnvConfig(columns=12, rows=12, settle=20)
    """The environment of all."""
    processes: Annotated[int, Range(min=1, max=256)] = 1
    """Above 1: environments of Stable-Baselines3 run in processes of their own, one each."""
    ppo: PPOConfig = PPOConfig(gamma=0.99, minibatch=64)
    """Settings of our own PPO."""
    policy: PolicyConfig = PolicyConfig(
        trunk=MessagePassingConfig(dim=32, pair_dim=8, depth=1, heads=4, hypergraph=True, kinds=2),
        channels=16,
    )
    """The network of our own PPO."""


TINY: dict[str, Any] = {
    "agents": "dqn,maskable_ppo,sac",
    "seeds": 1,
    "steps": 128,
    "designs": 2,
    "held_out": 1,
    "scale": 0.12,
    "env": {"columns": 8, "rows": 8},
    "policy": {"trunk": {"dim": 16, "depth": 1, "heads": 2}, "channels": 8},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes after the last training that ended."""
    chosen = [name.strip() for name in config.agents.split(",") if name.strip()]
    for name in chosen:
        if name not in agents.NAMES:
            raise unknown("agent", name, agents.NAMES)
    if not chosen:
        raise InputError("`agents` names no agent", hint=f"Choose from {', '.join(agents.NAMES)}")
    GridPolicy(config.policy)  # what cannot be built is refused before the work begins
    log = kept.Rows(out / "metrics.jsonl")
    test = [synthetic(900_000 + k, config.scale) for k in range(config.held_out)]
    warm: set[str] = set()
    for seed in range(config.seeds):
        train = [synthetic(1000 * seed + k, config.scale) for k in range(config.designs)]
        for name in (*RULES, OWN, *chosen):
            key = {"agent": name, "seed": seed}
            if log.has(key):
                continue
            if config.seeds > 1 and name not in warm | set(RULES):
                # Imports and compiled code are read before time counts.
                learn(replace(config, steps=64), name, seed, train[:1], lambda *told: None)
                warm.add(name)
            log.add(key | measure(config, name, seed, train, test, out))
    rows = [row for row in log.rows if row["agent"] in (*RULES, OWN, *chosen)]
    table = summary(rows)
    with atomic_write(out / "results.json") as part:
        part.write_text(json.dumps({"table": table, "runs": rows}, indent=1), encoding="utf-8")
    report(config, rows, table, out)


def measure(
    config: Config, name: str, seed: int, train: list[Design], test: list[Design], out: Path
) -> dict[str, Any]:
    """One training: its curve, and the placements of designs that it did not learn on."""
    curve: list[list[float | None]] = []
    began = time.process_time()

    def after(steps: int, seconds: float, info: dict[str, Any]) -> None:
        cost = None if info["dead_end"] else info["proxy"] / info["start_proxy"]
        curve.append([steps, seconds, cost])

    torch.manual_seed(seed)
    if name in RULES:
        costs = [by_rule(name, PlacementEnv(d, config.env), seed) for d in train]
        curve = [[0, 0.0, cost] for cost in costs]
        seconds = time.process_time() - began
        held_out = [by_rule(name, PlacementEnv(d, config.env), seed) for d in test]
    else:
        policy = learn(config, name, seed, train, after)
        seconds = time.process_time() - began
        policy.save(out / "agents" / f"{name}_{seed}.safetensors")
        held_out = [by_policy(policy, PlacementEnv(d, config.env)) for d in test]
    return {"curve": curve, "held_out": held_out, "cpu_seconds": seconds}


def learn(config: Config, name: str, seed: int, train: list[Design], after: After) -> Any:
    """The policy that an agent learns."""
    if name == OWN:
        return learn_own(config, seed, train, after)
    kind: Any = views.ContinuousView if name in agents.CONTINUOUS else views.AgentView
    kind = views.MaskedView if name == "torchrl_ppo" else kind
    makers = [partial(make_view, kind, design, config.env) for design in train]
    rows, columns = config.env.rows, config.env.columns
    if name == "torchrl_ppo":
        from sciml.rl.torchrl_ppo import train as train_torchrl

        network = views.MapActorCritic(rows, columns)
        train_torchrl(network.actor, network.critic, makers, config.steps, seed, after)
        return views.AgentPolicy(name, rows, columns, network)
    agent = agents.build(name, makers, seed, views.POLICY, config.processes)
    agents.train(agent, config.steps, after)
    return views.AgentPolicy(name, rows, columns, agent.policy).eval()


def make_view(kind: Callable[[PlacementEnv], Any], design: Design, config: EnvConfig) -> Any:
    """An environment as an agent sees it."""
    return kind(PlacementEnv(design, config))


def learn_own(config: Config, seed: int, train: list[Design], after: After) -> GridPolicy:
    """This package's PPO on its own network, with as many steps."""
    policy = GridPolicy(config.policy)
    envs = [PlacementEnv(design, config.env) for design in train]
    player, length = Player(policy, envs), 64
    rollout = Rollout(envs, player, seed=seed)
    trainer = PPO(policy, player.evaluate, torch.optim.Adam(policy.parameters(), 5e-4), config.ppo)
    began = time.process_time()
    for k in range(max(config.steps // (length * len(envs)), 1)):
        batch = rollout.collect(length, config.ppo.gamma, config.ppo.lmbda)
        trainer.step(batch.experience)
        player.refresh()
        for info in batch.infos:
            after((k + 1) * length * len(envs), time.process_time() - began, info)
    return policy.eval()


def by_rule(name: str, env: PlacementEnv, seed: int) -> float | None:
    """Proxy over the guide's of a rule's placement; None: a dead end."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    ended = False
    info: dict[str, Any] = {}
    while not ended:
        if name == "random":
            action = int(rng.choice(np.flatnonzero(env.action_mask())))
        else:
            action = env.guided_action() if name == "guide" else env.greedy_action()
        *_, ended, _, info = env.step(action)
    return None if info["dead_end"] else info["proxy"] / env.start_proxy


def by_policy(policy: PlacementPolicy, env: PlacementEnv) -> float | None:
    """The same of a policy's likeliest allowed cells."""
    player = policy.player([env])
    observation, info = env.reset()
    ended = False
    while not ended:
        with torch.no_grad():
            logits, _, _ = player([0], [observation])
        cells = MaskedCategorical(logits, torch.from_numpy(info["action_mask"])[None])
        observation, _, ended, _, info = env.step(int(cells.mode()[0]))
    return None if info["dead_end"] else info["proxy"] / env.start_proxy


def last_costs(row: dict[str, Any], seconds: float = np.inf, share: float = 0.25) -> float:
    """Mean over the last episodes of a curve, or the last before so many CPU-seconds."""
    within = [cost for _, spent, cost in row["curve"] if spent <= seconds]
    last = within[-max(int(share * len(within)), 1) :] if row["agent"] not in RULES else within
    costs = [cost for cost in last if cost is not None]
    return float(np.mean(costs)) if costs else np.nan


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per agent: means and deviations over the seeds."""
    learned = [row["cpu_seconds"] for row in rows if row["agent"] not in RULES]
    equal = float(min(learned)) if learned else np.inf
    table = []
    for name in dict.fromkeys(row["agent"] for row in rows):
        mine = [row for row in rows if row["agent"] == name]
        ends = [cost for row in mine for *_, cost in row["curve"]]
        columns = {
            "equal steps": [last_costs(row) for row in mine],
            "equal CPU": [last_costs(row, equal) for row in mine],
            "held out": [
                float(np.mean(costs)) if (costs := [c for c in row["held_out"] if c]) else np.nan
                for row in mine
            ],
        }
        table.append({
            "agent": name, "seeds": len(mine),
            **{key: float(np.nanmean(v)) if np.isfinite(v).any() else None
               for key, v in columns.items()},
            **{f"{key}, deviation": float(np.nanstd(v, ddof=1)) if np.isfinite(v).sum() > 1
               else None for key, v in columns.items()},
            "dead ends": float(np.mean([cost is None for cost in ends])) if ends else None,
            "CPU-seconds": float(np.mean([row["cpu_seconds"] for row in mine])),
            "equal CPU-seconds": equal,
        })  # fmt: skip
    return table


def report(
    config: Config, rows: list[dict[str, Any]], table: list[dict[str, Any]], out: Path
) -> None:
    """report.html."""
    page = Page("Agents place macros", lead=f"{config.seeds} seeds of {config.steps:,} steps.")
    page.table(
        table, "Proxy over that of the electrostatic guide, lower is better: mean of the last "
        "quarter of the episodes of training at equal environment steps; the same at equal CPU "
        "time (that of the quickest training); the likeliest cells on designs that were not "
        "learned on.",
    )  # fmt: skip
    figure, panels = plots.axes(columns=2)
    for k, name in enumerate(dict.fromkeys(row["agent"] for row in rows)):
        if name in RULES:
            continue
        for seed, row in enumerate(r for r in rows if r["agent"] == name):
            points = np.array([p for p in row["curve"] if p[2] is not None], float).reshape(-1, 3)
            width = max(len(points) // 10, 1)
            smooth = np.convolve(points[:, 2], np.ones(width) / width, "valid")
            for panel, column in enumerate((0, 1)):
                panels[panel].plot(points[width - 1 :, column], smooth, lw=0.9,
                                   color=plots.COLOURS[k % len(plots.COLOURS)],
                                   label=name if seed == 0 else None)  # fmt: skip
    for panel, label in zip(panels, ("environment steps", "CPU-seconds"), strict=True):
        panel.set_xlabel(label)
        panel.set_ylabel("proxy over the guide's")
        panel.legend(fontsize=7)
    page.figure(figure, "Running means of the episodes of training; one line a seed.")
    page.heading("Again")
    page.command(f"sciml run placement_agents --agents {config.agents} --seeds {config.seeds}")
    page.write(out / "report.html")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
