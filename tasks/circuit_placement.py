"""Circuit placement: learn to place macros on synthetic netlists, compared with annealing.

1. Annealing places synthetic training designs: the teacher.
2. A graph trunk is pretrained without labels on their netlists (`--objective`, `--start`).
3. A policy learns to place macros: by imitation of the teacher, then by masked PPO.
4. On held-out designs every method gets the same CPU-seconds: annealing (from an electrostatic
   placement where that pays), the search on the wire mask, and the policy's proposals followed by
   annealing, with its trunk pretrained, from scratch, or random and frozen, and by imitation alone.

With `--trainings 5`, learning itself is repeated: every seed then has policies, training designs
and teachers of its own. The report shows one table per held-out design with its spread, the
differences seed by seed between the pretrained policy and every control, whichever wins, cost
against CPU-seconds, the best placements and the search as an animation. The proxy is not timing.

Training and every measured run are saved when they are done: the same command resumes after an
interruption. Writes report.html, results.json, metrics.jsonl, policy.safetensors, search.gif and
the best placement of each design as DESIGN.pb.txt.gz and DESIGN.plc.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import own
from sciml.config import Range
from sciml.files import kept
from sciml.placement.cost.proxy import proxy_cost
from sciml.placement.design import Design
from sciml.placement.formats.coordinates import read_coordinates, write_coordinates
from sciml.placement.formats.io import read_design, write_design
from sciml.placement.generate import synthetic
from sciml.placement.learning.embedder import NetlistEmbedder
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.imitation import imitate
from sciml.placement.learning.macro_search import search_macros
from sciml.placement.learning.policy import GridPolicy, Player, PolicyConfig, shifted
from sciml.placement.learning.pretraining import corpus
from sciml.placement.legality import check
from sciml.placement.placer import place
from sciml.placement.report import Comparison
from sciml.renamed import Formerly
from sciml.rl.curl import CURL, CURLConfig
from sciml.rl.ppo import PPO, PPOConfig, load_state, read_state, state_dict, write_state
from sciml.rl.rollout import Rollout, as_arrays, as_tensors
from sciml.train import TrainConfig, fit
from sciml.trunks.start import Start


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    design: tuple[str, ...] = ()
    """Held-out designs to compare on (.pb.txt with a .plc beside it, .aux, .def)."""
    held_out: Annotated[int, Range(min=0)] = 2
    """Further, synthetic held-out designs; none has a seed of the training designs."""
    held_out_scale: Annotated[float, Range(min=0.05, max=100)] = 1.0
    """Size of those designs; 1 = 8 to 64 macros and 40 to 240 clusters."""
    train_designs: Annotated[int, Range(min=1, max=1000)] = 24
    """Synthetic designs to train on."""
    scale: Annotated[float, Range(min=0.05, max=100)] = 0.5
    """Size of those designs, in the same unit."""
    trainings: Annotated[int, Range(min=1, max=100)] = 1
    """Independent trainings; the k-th seed uses the policies of training k, in turn."""
    cpu_seconds: Annotated[float, Range(min=0.05), Formerly("budget")] = 20.0
    """CPU-seconds of every method on every held-out design."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the comparison: one run of every method for each."""
    teacher_cpu_seconds: Annotated[float, Range(min=0.01), Formerly("teacher")] = 2.0
    """CPU-seconds of annealing for each placement to imitate."""
    imitation_epochs: Annotated[int, Range(min=0)] = 12
    """Passes over the imitated placements."""
    updates: Annotated[int, Range(min=0)] = 40
    """PPO updates after imitation."""
    rollout: Annotated[int, Range(min=1)] = 32
    """Steps of every environment per update."""
    adapt: Annotated[int, Range(min=0)] = 0
    """PPO updates of a copy of the pretrained policy on the held-out design itself, before its
    search; their CPU-seconds are added, as the table shows; 0 = no such method."""
    environments: Annotated[int, Range(min=1)] = 8
    """Environments that are stepped together."""
    lr: Annotated[float, Range(min=0, exclusive=True)] = 3e-4
    """Learning rate of imitation (three times this) and PPO."""
    env: EnvConfig = EnvConfig(columns=32, rows=32, order="connected", reward="proxy")
    """The environment that the policy learns in."""
    ppo: PPOConfig = PPOConfig()
    """Settings of PPO."""
    curl: CURLConfig = CURLConfig()
    """A contrastive head beside PPO; weight 0 = none."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The network."""
    start: Annotated[str, own.CODE] = ""
    """Instead of `policy.trunk`: another one's name or your own (my_trunk.py:MyTrunk, which runs
    that file); or what `sciml run pretrain --out FOLDER` wrote, in place of pretraining here."""
    own_trunk: Annotated[str, own.CODE] = ""
    """Your own trunk (my_trunk.py:MyTrunk, which runs that file) where folder `start` holds one:
    a folder brings no code."""
    objective: Annotated[str, own.CODE] = "masked"
    """What the trunk is pretrained by: masked, simclr,
    sciml.placement.learning.objectives:MaskedPins or :PlaceDenoising, or any other objective; your
    own by import path or file, which runs it."""
    pretrain: TrainConfig = TrainConfig(steps=300, batch_size=4, lr=1e-3, warmup=0.1)
    """Pretraining of the trunk without labels."""
    seed: Annotated[int, Range(min=0, max=800)] = 0
    """Seed of the training designs and of the first training; later ones count up from it."""


TINY: dict[str, Any] = {
    "held_out": 1,
    "train_designs": 3,
    "scale": 0.2,
    "held_out_scale": 0.2,
    "cpu_seconds": 0.3,
    "seeds": (0, 1),
    "teacher_cpu_seconds": 0.1,
    "imitation_epochs": 2,
    "updates": 1,
    "adapt": 1,
    "rollout": 6,
    "environments": 2,
    "env": {"columns": 12, "rows": 12},
    "ppo": {"epochs": 1},
    "policy": {"trunk": {"dim": 16, "depth": 1, "heads": 2}, "channels": 8},
    "pretrain": {"steps": 4, "batch_size": 2, "log_every": 2},
}


FROZEN = "random frozen trunk"
POLICIES = ("pretrained", "scratch", FROZEN, "imitation only")
UNTRAINED = ("scratch", FROZEN)
"""Policies whose trunk is not pretrained."""


def main(config: Config, out: Path) -> None:
    """Run the recipe."""
    began = time.monotonic()
    torch.manual_seed(config.seed)
    if config.start:
        start_of(config).begin()  # what cannot be used is refused before the work begins
    designs = [read_design(path) for path in config.design]
    designs += [synthetic(900_000 + k, config.held_out_scale) for k in range(config.held_out)]
    log = kept.Rows(out / "metrics.jsonl")
    trained = [train_policies(config, k, out, log) for k in range(config.trainings)]
    trained[0]["pretrained"].save(out / "policy.safetensors")
    runs = compare(config, designs, trained, out, log)
    comparison = Comparison(designs, runs, config.trainings, config.cpu_seconds)
    comparison.write_results(out / "results.json")
    best = {d.name: write_best(d, comparison.best(d.name), out) for d in designs}
    started_from = str(start_of(config)) if config.start else ""
    comparison.write_page(out, best, time.monotonic() - began, started_from)


# -- training ------------------------------------------------------------------------------
def train_policies(config: Config, number: int, out: Path, log: kept.Rows) -> dict[str, GridPolicy]:
    """The policy and its three controls; those that an interrupted run finished are read."""
    config = replace(config, seed=config.seed + number)
    out = out / "policies" / str(number)
    train = [synthetic(1000 * config.seed + k, config.scale) for k in range(config.train_designs)]
    pretrained: dict[str, Any] = {}

    def note(row: dict[str, Any], *names: str) -> None:
        if not log.has({name: row[name] for name in ("network", "training", *names)}):
            log.add(row)

    def make(path: Path) -> None:
        name = path.stem
        if not pretrained:
            pretrained.update(pretrain(config, train, out))
        policy = start_policy(config, None if name in UNTRAINED else pretrained, name == FROZEN)
        state = out / f"{name}.ppo.safetensors"
        if (old := out / f"{name}.ppo.pt").exists():  # of version 0.1
            state = old
        if read_state(state) is None:
            state.unlink(missing_ok=True)
            clock = time.process_time()
            pairs = [(d, teacher_placement(config, d, k, out)) for k, d in enumerate(train)]
            losses = imitate(policy, pairs, config.env, config.imitation_epochs, 3 * config.lr)
            seconds = time.process_time() - clock
            row = {"network": name, "training": number, "imitation": losses}
            note(row | {"cpu_seconds": seconds}, "imitation")
        if name != "imitation only":
            for row in reinforce(config, policy, train, state):
                note({"network": name, "training": number, **row}, "update")
        policy.save(path)

    # On the CPU, where all methods are measured.
    read = partial(GridPolicy.from_pretrained, device="cpu")
    return {name: kept.once(out / f"{name}.safetensors", read, make) for name in POLICIES}


def teacher_placement(config: Config, design: Design, seed: int, out: Path) -> Design:
    """A placement to imitate: annealed from scratch, and saved."""

    def make(path: Path) -> None:
        annealed = place(design, cpu_seconds=config.teacher_cpu_seconds, seed=seed, method="sa")
        write_coordinates(path, annealed.design)

    return kept.once(out / f"teacher_{seed}.npz", partial(read_coordinates, design=design), make)


def pretrain(config: Config, designs: list[Design], out: Path) -> dict[str, Any]:
    """Weights of trunk and embedder after pretraining without labels."""
    from sciml import objectives

    torch.manual_seed(config.seed)
    if start_of(config).folder:
        trunk, embedder = start_of(config).load()
        return {"trunk": trunk.state_dict(), "embedder": embedder.state_dict()}
    policy = GridPolicy(config.policy, *start_of(config).fresh())
    data = corpus(designs)
    build = objectives.build(config.objective)
    objective = build(policy.trunk, policy.embedder, augment=data.augment)
    settings = replace(config.pretrain, seed=config.pretrain.seed + config.seed)
    fit(objective, data.dataset, settings, out=out / "pretrain", collate=data.collate)
    return {"trunk": policy.trunk.state_dict(), "embedder": policy.embedder.state_dict()}


def start_policy(config: Config, weights: dict[str, Any] | None, frozen: bool) -> GridPolicy:
    """A new policy, its trunk pretrained or random."""
    torch.manual_seed(config.seed)
    policy = GridPolicy(replace(config.policy, frozen=frozen), *start_of(config).fresh())
    if weights is not None:
        policy.trunk.load_state_dict(copy.deepcopy(weights["trunk"]))
        policy.embedder.load_state_dict(copy.deepcopy(weights["embedder"]))
    return policy


def start_of(config: Config) -> Start:
    """Where the trunk and its embedder start from."""
    return Start("placement", NetlistEmbedder, config.policy.trunk, config.start, config.own_trunk)


def reinforce(
    config: Config, policy: GridPolicy, designs: list[Design], state: Path | None = None
) -> Iterator[dict[str, Any]]:
    """PPO on designs, one row per update; saved to `state` after each, resumed bitwise."""
    rng = np.random.default_rng(config.seed)
    chosen = [designs[k] for k in rng.choice(len(designs), config.environments)]
    envs = [PlacementEnv(d, config.env) for d in chosen]
    player = Player(policy, envs)
    rollout = Rollout(envs, player, seed=config.seed)
    head: CURL | None = None
    if config.curl.weight > 0:
        views = partial(shifted, max_shift=config.curl.shift)
        head = CURL(policy, player.features, views, policy.config.channels, config.curl)
    parameters = [p for p in (head or policy).parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, config.lr)
    trainer = PPO(policy, player.evaluate, optimizer, config.ppo, head)
    first = 0
    saved = None if state is None else read_state(state)
    if saved is not None:
        load_state(trainer, saved)
        rollout.restore(as_arrays(saved["rollout"]))
        first = saved["updates"]
    for k in range(first, config.updates):
        clock = time.process_time()
        batch = rollout.collect(config.rollout, config.ppo.gamma, config.ppo.lmbda)
        losses = trainer.step(batch.experience)
        player.refresh()
        mean = float(np.mean(batch.returns)) if batch.returns else None
        if state is not None:
            write_state(
                state, state_dict(trainer, rollout=as_tensors(rollout.state()), updates=k + 1)
            )
        seconds = time.process_time() - clock
        yield {"update": k, "return": mean, **losses, "cpu_seconds": seconds}


# -- comparison ----------------------------------------------------------------------------
Method = Callable[[Design, int], tuple[Design, list[dict[str, float]]]]


def methods(config: Config, policies: dict[str, GridPolicy]) -> dict[str, Method]:
    """name -> (design, seed) -> (placement, history), each with the same budget."""

    def anneal(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
        annealed = place(design, cpu_seconds=config.cpu_seconds, seed=seed, method="sa")
        return annealed.design, annealed.history

    def search(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
        result = search_macros(design, config.cpu_seconds, seed, config=config.env)
        return result.design, result.history

    def guided(policy: GridPolicy) -> Method:
        def run(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
            result = search_macros(
                design, config.cpu_seconds, seed, policy=policy, config=config.env
            )
            return result.design, result.history

        return run

    def adapted(design: Design, seed: int) -> tuple[Design, list[dict[str, float]]]:
        policy, clock = copy.deepcopy(policies["pretrained"]), time.process_time()
        settings = replace(config, seed=seed, updates=config.adapt)
        for _ in reinforce(settings, policy, [design]):
            pass
        spent = time.process_time() - clock
        placed, history = guided(policy)(design, seed)
        return placed, [row | {"cpu_seconds": spent + row["cpu_seconds"]} for row in history]

    table: dict[str, Method] = {"annealing": anneal, "wire-mask search": search}
    table |= {f"policy: {name}": guided(policy) for name, policy in policies.items()}
    return table | ({"policy: pretrained, adapted": adapted} if config.adapt else {})


def compare(
    config: Config, designs: list[Design], trained: list[dict[str, GridPolicy]], out: Path,
    log: kept.Rows,
) -> list[dict[str, Any]]:  # fmt: skip
    """One run of every method on every design with every seed, each saved when it is done."""
    for run in methods(replace(config, cpu_seconds=0.05), trained[0]).values():
        run(synthetic(1000 * config.seed, config.scale), 0)  # compiled code is read before timing
    runs = kept.Rows(out / "runs.jsonl")
    runs.rows = [r for r in runs.rows if kept.intact(out, r.get("files", {}))]
    for design in designs:
        for k, seed in enumerate(config.seeds):
            for method, run in methods(config, trained[k % config.trainings]).items():
                key = {"design": design.name, "method": method, "seed": seed}
                if runs.has(key):
                    continue  # measured before an interruption
                clock = time.process_time()
                placed, history = run(design, seed)
                seconds = time.process_time() - clock
                cost = proxy_cost(placed)
                row = key | {
                    "proxy": cost.proxy, "robust_proxy": cost.robust_proxy,
                    "wirelength": cost.wirelength, "density": cost.density,
                    "congestion": cost.congestion, "legal": check(placed, design).legal,
                    "cpu_seconds": seconds, "before_annealing": history[0]["proxy"],
                }  # fmt: skip
                if not log.has(key):
                    log.add(row)
                path = out / "placed" / f"{design.name} {method.replace(':', '')} {seed}.npz"
                write_coordinates(path, placed)
                runs.add(row | {"history": history, "files": kept.digests(out, path)})
    return runs.rows


def write_best(design: Design, run: dict[str, Any], out: Path) -> Design:
    """DESIGN.pb.txt.gz and DESIGN.plc of the run with the least proxy; the design as written."""
    for file in run.get("files", ()):  # version 0.1 kept the best alone
        write_design(read_coordinates(out / file, design), out / f"{design.name}.pb.txt.gz")
    return read_design(out / f"{design.name}.pb.txt.gz", plc=out / f"{design.name}.plc")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
