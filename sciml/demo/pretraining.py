"""What pretraining buys: one science's downstream task, from scratch and from its own pretraining.

It is the comparison of `sciml run transfer` (its code, its tasks) at one label budget: a trunk is
pretrained by masked modelling on the science's unlabelled examples, then fine-tuned with few
labels, beside the same trunk from scratch, seed by seed.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml import recipes
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.report import Card, Estimate, Page
from sciml.report.plots import COLOURS, axes
from sciml.report.statistics import mean_and_spread, paired

STARTS = {"own": "pretrained", "scratch": "from scratch"}
"""Starts of the recipe, and what they are called here."""
OBJECTIVE, SEEDS = "masked", (0, 1, 2)


@dataclass(frozen=True)
class Budget:
    """How much of a science's task is done.

    Attributes:
        size: share of its examples that are made.
        labels: place of the label budget in the task's `budgets`.
        pretrain, finetune: steps.
    """

    size: float
    labels: int
    pretrain: int
    finetune: int


BUDGETS = {
    "jets": Budget(1.0, 1, 200, 100),
    "protein": Budget(0.3, 2, 100, 60),
    "symbolic": Budget(0.1, 2, 200, 100),
    "placement": Budget(0.3, 2, 60, 0),
}
TITLES = {
    "jets": "Pretraining and jets",
    "protein": "Pretraining and proteins",
    "symbolic": "Pretraining and formulas",
    "placement": "Pretraining and circuits",
}


def jets(folder: Path, tiny: bool) -> None:
    """Jet tagging with few labels."""
    _make("jets", folder, tiny)


def protein(folder: Path, tiny: bool) -> None:
    """Contacts with few labelled families."""
    _make("protein", folder, tiny)


def symbolic(folder: Path, tiny: bool) -> None:
    """Functions in an antiderivative, from few solved integrals."""
    _make("symbolic", folder, tiny)


def placement(folder: Path, tiny: bool) -> None:
    """A policy that places macros, after few steps in its environment."""
    _make("placement", folder, tiny)


def _make(science: str, folder: Path, tiny: bool) -> None:
    """Write report.html and scores.json."""
    budget = BUDGETS[science]
    if tiny:
        budget = replace(budget, size=0.05, pretrain=3, finetune=3)
    task = importlib.import_module(f"sciml.{science}.downstream").downstream_task(budget.size)
    rows = compare(science, task, budget, folder, SEEDS[:2] if tiny else SEEDS)
    with atomic_write(folder / "scores.json") as part:
        part.write_text(dumps({"task": task.question, "measure": task.metric, "rows": rows}))
    write_page(science, task, budget, rows, folder)


def compare(
    science: str, task: Any, budget: Budget, out: Path, seeds: tuple[int, ...]
) -> list[dict[str, Any]]:
    """A row per start and seed: its score and CPU seconds."""
    recipe: Any = recipes.load("transfer").module
    config = recipe.Config()
    config = replace(
        config, sciences=(science,), seeds=seeds,
        pretrain=replace(config.pretrain, steps=budget.pretrain, device="cpu"),
        finetune=replace(config.finetune, steps=max(budget.finetune, 1), device="cpu"),
    )  # fmt: skip
    tasks, labels = {science: task}, task.budgets[budget.labels]
    rows = []
    for seed in seeds:
        for start in STARTS:
            clock = time.process_time()
            trunk, embedder = recipe.begin(
                config, tasks, science, start, OBJECTIVE, config.dims[0], seed, out
            )
            torch.manual_seed(1000 + seed)  # heads alike for both
            score = task.finetune(trunk, embedder, labels, replace(config.finetune, seed=seed))
            rows.append({"start": STARTS[start], "seed": seed, "score": score,
                         "cpu_seconds": round(time.process_time() - clock, 1)})  # fmt: skip
    return rows


def write_page(
    science: str, task: Any, budget: Budget, rows: list[dict[str, Any]], folder: Path
) -> None:
    """The page: the difference seed by seed, gain, loss or neither."""
    ours, scratch = ([r["score"] for r in rows if r["start"] == name] for name in STARTS.values())
    seeds = sorted({r["seed"] for r in rows})
    difference = paired(ours, scratch, task.sign)
    labels = f"{task.budgets[budget.labels]:,} {task.unit}"
    verdict = {
        "gain": f"With {labels} it gains {difference['gain']:.3f}",
        "loss": f"With {labels} it loses {-difference['gain']:.3f}",
    }.get(difference["found"], f"With {labels} this short training shows no difference")
    better = "higher" if task.sign > 0 else "lower"
    page = Page(TITLES[science], run=folder, seeds=seeds)
    page.card(Card(
        f"Does pretraining help? {task.question}",
        f"{verdict} (better in {difference['wins']} of {len(seeds)} seeds; "
        f"{task.baseline[0]}: {task.baseline[1]:.3f}).",
        f"{task.metric}, {better} is better; 95 % interval over {len(seeds)} seeds",
        tuple(zip(STARTS.values(), map(Estimate.of_runs, (ours, scratch)), strict=True)),
        page.source("scores.json"), TITLES[science],
    ))  # fmt: skip
    page.text(
        f"A pair transformer of width 32 is pretrained for {budget.pretrain} steps by masked "
        f"modelling on {len(task.corpus.dataset):,} unlabelled examples, then fine-tuned with "
        f"{labels}; from scratch it is fine-tuned in the same way. Difference, seed by seed: "
        f"{difference['gain']:+.3f} ± {difference['half_interval']:.3f} (95 %, Student's, positive "
        "is better). What longer trainings show: `sciml run transfer`.", file="scores.json",
    )  # fmt: skip
    page.figure(_figure(task, ours, scratch), "Each line is a seed: the same first weights, labels "
                "and order, without and with pretraining.", file="scores.json")  # fmt: skip
    page.table(
        [{"start": name, task.metric: mean_and_spread(scores)}
         for name, scores in zip(STARTS.values(), (ours, scratch), strict=True)]
        + [{"start": task.baseline[0], task.metric: f"{task.baseline[1]:.3f}"}],
        "Mean ± standard deviation over seeds.", file="scores.json",
    )  # fmt: skip
    page.write(folder / "report.html")


def _figure(task: Any, ours: list[float], scratch: list[float]) -> Any:
    """Scores without and with pretraining, a line for each seed."""
    figure, axis = axes(4.2, 3.2)
    for number, pair in enumerate(zip(scratch, ours, strict=True)):
        axis.plot([0, 1], pair, marker="o", color=COLOURS[number % len(COLOURS)],
                  label=f"seed {number}")  # fmt: skip
    axis.axhline(task.baseline[1], color="0.5", linestyle=":", label=task.baseline[0])
    axis.set_xticks([0, 1], ["from scratch", "pretrained"])
    axis.set_xlim(-0.3, 1.3)
    axis.set_ylim(*_limits([*ours, *scratch, task.baseline[1]]))
    axis.set_ylabel(task.metric)
    axis.legend(fontsize=7)
    return figure


def _limits(values: list[float]) -> tuple[float, float]:
    """A range around values, with a margin."""
    margin = 0.1 * max(float(np.ptp(values)), 0.01)
    return min(values) - margin, max(values) + margin
