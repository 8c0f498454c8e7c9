"""What does pretraining a shared trunk buy? One trunk, four sciences, every start compared.

1. The trunk starts from scratch, frozen at random, pretrained without labels on the science's own
   examples, on those of the *other* sciences, or jointly on all of them (`MultiHead`'s mixture by
   temperature). Pretraining has the same number of steps and examples for every start.
2. It is fine-tuned for each science's downstream task with 0.1, 1, 10 and 100 % of its labels (for
   circuit placement: of the environment steps of reinforcement learning), with the same settings
   for every row, and measured on examples that neither training nor pretraining has seen.
3. Also: other objectives in pretraining, Noisy Student on top, and three sizes of the trunk with
   a fitted curve.

Where the trunk comes from other sciences, embedder and head are new. Differences from
scratch are paired by seed; a loss is printed as plainly as a gain. Every row is written at once:
the same command resumes after an interruption. Writes results.json, table.md, metrics.jsonl,
report.html, and the jointly pretrained trunks in OUT/joint/OBJECTIVE-WIDTH-SEED, from which
the recipes of every science start (`--start`).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import objectives, own, trunks
from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.files import kept, tensors
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.objectives.downstream import FRACTIONS, DownstreamTask
from sciml.paths import atomic_write
from sciml.report import Page
from sciml.report.markdown import of_records
from sciml.report.plots import COLOURS, axes
from sciml.report.statistics import mean_and_spread, paired
from sciml.train import TrainConfig, fit
from sciml.train.log import console
from sciml.trunks.multihead import MixedCollate, MixedDataset, Mixture
from sciml.trunks.start import save as save_start

SCIENCES = ("jets", "protein", "symbolic", "placement")
STARTS = ("scratch", "random frozen", "own", "others", "joint")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "masked": {"name": "masked", "fraction": 0.3},
    "next_token": {"name": "next_token"},
    "jepa": {"name": "jepa", "momentum": 0.99, "ramp": 1000},
    "simclr": {"name": "simclr"},
    "denoising": {"name": "denoising", "sigma": 0.2},
}
"""`next_token` pretrains a causal trunk, and fine-tunes the same parameters looking both ways."""
MIDDLE = 0.1
"""Share of the labels at which objectives and sizes are compared."""


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    sciences: tuple[str, ...] = SCIENCES
    """Sciences that take part."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, order and environments; one row of everything per seed."""
    size: Annotated[float, Range(min=0, exclusive=True)] = 1.0
    """Share of each science's examples that are made, training and test."""
    trunk: Annotated[str, own.CODE] = "pair_transformer"
    """The shared trunk, or your own by import path or file, which runs it; all have the same."""
    dims: tuple[int, ...] = (32, 16, 64)
    """Widths of the trunk: the first for everything, all for the curve."""
    pair_dim: Annotated[int, Range(min=0)] = 8
    """Width of its pair or edge features."""
    trunk_settings: dict[str, Any] = field(
        default_factory=lambda: {"depth": 2, "heads": 4, "bias_hidden": 16, "class_depth": 0}
    )
    """Its other settings."""
    objective: str = "masked"
    """What all starts are pretrained with."""
    objectives: tuple[str, ...] = ("masked", "next_token", "jepa", "simclr", "denoising")
    """Objectives to compare, where they apply."""
    temperature: Annotated[float, Range(min=0, exclusive=True)] = 4.0
    """Of the mixture of sciences: 1 = by number of examples, large = equally often."""
    pretrain: TrainConfig = TrainConfig(steps=300, batch_size=16, lr=1e-3, warmup=0.1)
    """Pretraining."""
    finetune: TrainConfig = TrainConfig(steps=150, batch_size=16, lr=2e-3, warmup=0.1)
    """Fine-tuning; its seed is each row's own."""


TINY: dict[str, Any] = {
    "sciences": ("symbolic", "placement"),
    "seeds": (0, 1),
    "size": 0.02,
    "dims": (8, 16),
    "objectives": ("masked", "next_token", "jepa"),
    "pretrain": {"steps": 3, "batch_size": 4},
    "finetune": {"steps": 3, "batch_size": 4},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes an interrupted one."""
    for name in config.sciences:
        if name not in SCIENCES:
            raise unknown("science", name, SCIENCES)
    for name in (config.objective, *config.objectives):
        if name not in OBJECTIVES:
            raise unknown("objective to compare", name, OBJECTIVES)
    if len(config.sciences) < 2:
        raise InputError("transfer needs at least two sciences", where="sciences")
    began = time.monotonic()
    tasks = {}
    for name in config.sciences:
        console.print(f"examples of {name}")
        module = importlib.import_module(f"sciml.{name}.downstream")
        tasks[name] = module.downstream_task(config.size)
    rows = Rows(out / "metrics.jsonl")
    compare(config, tasks, rows, out)
    results = summary(config, tasks, rows.rows)
    results["seconds"] = round(sum(row["cpu_seconds"] for row in rows.rows))
    with atomic_write(out / "results.json") as part:
        part.write_text(dumps(results | {"rows": rows.rows}, indent=1), encoding="utf-8")
    with atomic_write(out / "table.md") as part:
        part.write_text(markdown(config, tasks, results), encoding="utf-8")
    report(config, tasks, results, rows.rows, out, time.monotonic() - began)


class Rows(kept.Rows):
    """Measured rows in metrics.jsonl; an existing one is not measured again."""

    def measured(self, key: dict[str, Any], measure: Callable[[], float]) -> None:
        """Measure a row and append it, unless it exists."""
        if self.has(key):
            return
        clock = time.process_time()
        row = key | {"score": measure()}
        row["cpu_seconds"] = round(time.process_time() - clock, 2)
        self.add(row)
        console.print("  ".join(f"{v:.4f}" if k == "score" else str(v) for k, v in row.items()))


# --- starts -------------------------------------------------------------------------------------


def compare(config: Config, tasks: dict[str, DownstreamTask], rows: Rows, out: Path) -> None:
    """All rows: the starts of every seed first, then objectives, students and sizes."""

    def add(part: str, domain: str, start: str, level: int, seed: int, dim: int = config.dims[0],
            objective: str = config.objective) -> None:  # fmt: skip
        task = tasks[domain]
        key = {"part": part, "domain": domain, "start": start, "objective": objective,
               "dim": dim, "amount": task.budgets[level], "seed": seed}  # fmt: skip

        def measure() -> float:
            trunk, embedder = begin(config, tasks, domain, start, objective, dim, seed, out)
            torch.manual_seed(1000 + seed)  # heads alike for all starts
            answer = task.student if part == "student" else task.finetune
            assert answer is not None
            settings = replace(config.finetune, seed=seed)
            trunk.requires_grad_(start != "random frozen")
            return answer(trunk, embedder, task.budgets[level], settings)

        rows.measured(key, measure)

    for seed in config.seeds:
        for domain, task in tasks.items():
            for level in levels(task):
                for start in STARTS:
                    add("starts", domain, start, level, seed)
    for seed in config.seeds:
        for domain, task in tasks.items():
            middle = FRACTIONS.index(MIDDLE)
            for level in levels(task)[:-1]:
                if task.student is not None:
                    add("student", domain, "own", level, seed)
            for name in config.objectives:
                if applies(name, task, config):
                    add("objectives", domain, "own", middle, seed, objective=name)
            for dim in config.dims:
                for start in ("scratch", "own", "joint"):
                    add("sizes", domain, start, middle, seed, dim=dim)


def levels(task: DownstreamTask) -> list[int]:
    """Indices of `FRACTIONS` without those whose budget equals an earlier one."""
    return [n for n, a in enumerate(task.budgets) if a not in task.budgets[:n]]


def make_trunk(config: Config, dim: int, **more: Any) -> Any:
    """A new trunk."""
    settings = {"dim": dim, "pair_dim": config.pair_dim, **config.trunk_settings, **more}
    return trunks.build(config.trunk, **settings)


def begin(
    config: Config, tasks: dict[str, DownstreamTask], domain: str, start: str, objective: str,
    dim: int, seed: int, out: Path,
) -> tuple[Any, Any]:  # fmt: skip
    """The trunk and the science's embedder as a start leaves them."""
    torch.manual_seed(seed)
    trunk = make_trunk(config, dim)
    fresh = {name: q.corpus.embedder(dim, config.pair_dim) for name, q in tasks.items()}
    if start in ("scratch", "random frozen"):
        return trunk, fresh[domain]
    sources = {
        "own": [domain],
        "others": [name for name in tasks if name != domain],
        "joint": list(tasks),
    }[start]
    name = f"{objective}-{'-'.join(sources)}-{dim}-{seed}"

    def make(path: Path) -> None:
        parts = {s: fresh[s] for s in sources}
        learner = trunk
        if objective == "next_token":
            learner = make_trunk(config, dim, causal=True)
            learner.load_state_dict(trunk.state_dict())
        pretrain(config, tasks, learner, parts, objective, seed, out / "pretrained" / name)
        tensors.write(path, torch.nn.ModuleDict({"trunk": learner, **parts}).state_dict())
        if start == "joint":  # other recipes start from this folder
            made_of = {s: {k: v for k, v in tasks[s].corpus.settings.items() if k != "domain"}
                       for s in sources}  # fmt: skip
            joint = {s: (parts[s], made_of[s]) for s in sources}
            save_start(out / "joint" / f"{objective}-{dim}-{seed}", learner, joint)

    weights, _ = kept.once(out / "pretrained" / f"{name}.safetensors", tensors.read, make)
    trunk.load_state_dict(part_of(weights, "trunk"))
    if domain in sources:
        fresh[domain].load_state_dict(part_of(weights, domain))
    return trunk, fresh[domain]


def part_of(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors of one module of several."""
    return {k.partition(".")[2]: v for k, v in state.items() if k.partition(".")[0] == name}


def pretrain(
    config: Config, tasks: dict[str, DownstreamTask], trunk: Any, embedders: dict[str, Any],
    objective: str, seed: int, folder: Path,
) -> None:  # fmt: skip
    """One trunk on the unlabelled examples of one or several sciences, in place."""
    corpora = {name: tasks[name].corpus for name in embedders}
    build = objectives.build(OBJECTIVES[objective])
    mixture = Mixture(
        {name: build(trunk, embedders[name], augment=corpora[name].augment) for name in embedders}
    )
    data = MixedDataset({n: c.dataset for n, c in corpora.items()}, config.temperature)
    settings = replace(config.pretrain, seed=seed, checkpoint_every=config.pretrain.steps,
                       log_every=config.pretrain.steps)  # fmt: skip
    fit(mixture, data, settings, out=folder,
        collate=MixedCollate({n: c.collate for n, c in corpora.items()}),
        title=f"{objective} on {', '.join(embedders)}", quiet=True)  # fmt: skip


def applies(objective: str, task: DownstreamTask, config: Config) -> bool:
    """Whether an objective has what it needs of a science's examples and of the trunk."""
    if objective == "next_token":
        return hasattr(make_trunk(config, config.dims[0]).config, "causal")
    if objective == "simclr":
        return task.corpus.augment is not None
    if objective == "denoising":
        corpus = task.corpus
        batch = corpus.collate([corpus.dataset[0], corpus.dataset[1]])
        return corpus.embedder(8, 4).coordinates(batch) is not None and "pos" in batch
    return True


# --- what comes out -----------------------------------------------------------------------------


def scores(rows: list[dict[str, Any]], **key: Any) -> list[float]:
    """Scores of the rows with this key, by seed."""
    matching = [row for row in rows if key.items() <= row.items()]
    return [row["score"] for row in sorted(matching, key=lambda row: row["seed"])]


def summary(
    config: Config, tasks: dict[str, DownstreamTask], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Means, spreads, differences from scratch and fitted curves, by science."""
    out: dict[str, Any] = {}
    for domain, q in tasks.items():
        table, against = [], []
        for start in STARTS:
            row: dict[str, Any] = {"start": start}
            for n in levels(q):
                key = {"domain": domain, "amount": q.budgets[n]}
                values = scores(rows, part="starts", start=start, **key)
                row[f"{q.budgets[n]:,}"] = mean_and_spread(values)
                if start != "scratch":
                    control = scores(rows, part="starts", start="scratch", **key)
                    against.append({"start": start, q.unit: q.budgets[n]}
                                   | paired(values, control, q.sign))  # fmt: skip
            table.append(row)
        by_name = {name: scores(rows, part="objectives", domain=domain, objective=name)
                   for name in config.objectives}  # fmt: skip
        compared = [{"objective": name, "score": mean_and_spread(by_seed)}
                    for name, by_seed in by_name.items() if by_seed]  # fmt: skip
        students = []
        for n in levels(q):
            values = scores(rows, part="student", domain=domain, amount=q.budgets[n])
            if values:
                plain = scores(rows, part="starts", domain=domain, start="own",
                               amount=q.budgets[n])  # fmt: skip
                students.append({
                    q.unit: q.budgets[n],
                    "own, then fine-tuned": mean_and_spread(plain),
                    "own, then Noisy Student": mean_and_spread(values),
                } | paired(values, plain, q.sign))  # fmt: skip
        out[domain] = {
            "asked": q.question, "measure": q.metric,
            "better": "higher" if q.sign > 0 else "lower",
            "unit": q.unit, "baseline": {"method": q.baseline[0], "score": q.baseline[1]},
            "starts": table, "against_scratch": against, "objectives": compared,
            "student": students, "sizes": sizes(config, q, rows),
        }  # fmt: skip
    return {"settings": {"trunk": config.trunk, "dims": config.dims, **config.trunk_settings,
                         "objective": config.objective, "pretrain_steps": config.pretrain.steps,
                         "finetune_steps": config.finetune.steps,
                         "batch_size": config.finetune.batch_size, "seeds": config.seeds,
                         "size": config.size}, "sciences": out}  # fmt: skip


def sizes(config: Config, q: DownstreamTask, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Score against the trunk's parameters, and the power law error ~ parameters^-b by start.

    The error is what is missing to a perfect score of 1, or the cost itself.
    """
    table = []
    for start in ("scratch", "own", "joint"):
        row: dict[str, Any] = {"start": start}
        x, y = [], []
        for dim in sorted(config.dims):
            values = scores(rows, part="sizes", domain=q.domain, start=start, dim=dim)
            parameters = make_trunk(config, dim).count_parameters()
            row[f"{parameters:,}"] = mean_and_spread(values)
            x += [np.log(parameters)] * len(values)
            y += [np.log(max(1 - s, 1e-6) if q.sign > 0 else s) for s in values]
        if len(config.dims) > 1:
            slope, _, _, _, error = regression(x, y)
            row["exponent of the error"] = f"{slope:.3f} ± {error:.3f}"
        table.append(row)
    return table


def regression(x: list[float], y: list[float]) -> tuple[float, ...]:
    """slope, intercept, r, p and standard error of the slope."""
    from scipy.stats import linregress

    return tuple(float(value) for value in linregress(x, y))


def verdicts(results: dict[str, Any]) -> list[str]:
    """What the differences from scratch say of one science, gains and losses alike."""
    lines = []
    for start in STARTS[1:]:
        differences = [row for row in results["against_scratch"] if row["start"] == start]
        shown = [f"{row['found']} of {abs(row['gain']):.3f} with {row[results['unit']]:,}"
                 for row in differences if row["found"] != "no difference shown"]  # fmt: skip
        lines.append(f"{start}: {'; '.join(shown) or 'no difference from scratch shown'}")
    return lines


def markdown(config: Config, tasks: dict[str, DownstreamTask], results: dict[str, Any]) -> str:
    """table.md."""
    other = ", ".join(f"{key} {value}" for key, value in config.trunk_settings.items())
    lines = [
        "# What pretraining a shared trunk buys",
        "",
        f"Trunk `{config.trunk}`, width {config.dims[0]}, {other}; {config.pretrain.steps} steps "
        f"of pretraining ({config.objective}) and {config.finetune.steps} of fine-tuning, "
        f"{config.finetune.batch_size} examples each, for every row; {len(config.seeds)} seeds, "
        "mean ± standard deviation. A gain or a loss is one whose 95 % interval of the differences "
        "from scratch, seed by seed, leaves out zero; of many comparisons at that level one in "
        "twenty does so by chance.",
        "",
    ]
    for domain, part in results["sciences"].items():
        base = part["baseline"]
        lines += [f"## {domain}: {part['asked']}", "",
                  f"{part['measure']} ({part['better']} is better) by {part['unit']}; "
                  f"{base['method']}: {base['score']:.3f}.", ""]  # fmt: skip
        for key in ("starts", "objectives", "student", "sizes"):
            if part[key]:
                lines += [of_records(part[key])]
        lines += [f"- {line}" for line in verdicts(part)] + [""]
    lines.append("Made by `sciml run transfer`.")
    return "\n".join(lines) + "\n"


def report(
    config: Config, tasks: dict[str, DownstreamTask], results: dict[str, Any],
    rows: list[dict[str, Any]], out: Path, seconds: float,
) -> None:  # fmt: skip
    """report.html."""
    page = Page(
        "What pretraining a shared trunk buys",
        lead="One trunk, four sciences. Every start of the trunk has the same budget and the same "
        "settings; negative transfer is printed as plainly as a gain.",
        run=out, seeds=config.seeds,
    )  # fmt: skip
    page.heading("Score against labels")
    for domain, q in tasks.items():
        figure, axis = axes()
        for number, start in enumerate(STARTS):
            by_amount = [(a, scores(rows, part="starts", domain=domain, start=start,
                                    amount=a)) for a in dict.fromkeys(q.budgets)]  # fmt: skip
            x = [a for a, s in by_amount if s]
            mean = [np.mean(s) for _, s in by_amount if s]
            spread = [np.std(s) for _, s in by_amount if s]
            axis.errorbar(x, mean, spread, label=start, color=COLOURS[number], capsize=2)
        axis.axhline(q.baseline[1], color="0.5", linestyle=":", label=q.baseline[0])
        axis.set_xscale("log")
        axis.set_xlabel(q.unit)
        axis.set_ylabel(q.metric)
        axis.legend(fontsize=7.5, frameon=False)
        page.figure(figure, f"{domain.capitalize()}: score against labels; bars are standard "
                    "deviations over seeds.", file="results.json")  # fmt: skip
    for domain, part in results["sciences"].items():
        base = part["baseline"]
        page.heading(domain)
        page.text(f"{part['asked']} {part['measure']} by {part['unit']}; {part['better']} is "
                  f"better. {base['method']}: {base['score']:.3f}.")  # fmt: skip
        page.table(part["starts"], "Every start with every number of labels.",
                   file="results.json")  # fmt: skip
        page.text("Against scratch. " + ". ".join(f"**{line}**" for line in verdicts(part)) + ".")
        if part["objectives"]:
            page.table(
                part["objectives"],
                f"Objectives of pretraining, {MIDDLE:.0%} of the labels.",
                file="results.json",
            )
        if part["student"]:
            page.table(part["student"], "Noisy Student on top of the science's own pretraining.",
                       file="results.json")  # fmt: skip
        page.table(part["sizes"], f"Parameters of the trunk, {MIDDLE:.0%} of the labels; the error "
                   "falls as parameters to this power.", file="results.json")  # fmt: skip
    page.heading("How to repeat this")
    page.command(f"sciml run transfer --config {settings_file(out)} --out {out}-again")
    page.text(f"Took {results['seconds']:,} CPU-seconds in all, {seconds:,.0f} s in the last run.")
    page.write(out / "report.html")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
