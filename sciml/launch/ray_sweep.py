"""`sciml sweep`: a recipe with many settings, chosen and stopped early by Ray Tune.

Each trial is an ordinary run in OUT/trials, with its own checkpoints. A sweep that was killed goes
on by the same command: the trials report again what their folders hold, so that Ray Tune decides as
before, and nothing of Ray's is kept. Asynchronous successive halving (ASHA) is that of Li et al.,
"A System for Massively Parallel Hyperparameter Tuning", 2020.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml import config as settings
from sciml import recipes
from sciml.errors import InputError, load_extra
from sciml.files import claims, locks
from sciml.files.jsons import dumps
from sciml.launch import ray_cluster, ray_space
from sciml.launch.ray_metric import Metric
from sciml.paths import atomic_write
from sciml.train.log import Bar, console

if TYPE_CHECKING:
    from sciml.launch.ray_space import Dimension
    from sciml.launch.ray_trial import Plan

HELP = """usage: sciml sweep RECIPE --over NAME=VALUES [--over ...] --out FOLDER [any setting]

Run a recipe with many settings and compare the runs on one page, FOLDER/report.html.

  --over NAME=A,B,C         the setting NAME takes these values
  --over NAME=LOW:HIGH      any value between, of integers an integer
  --over NAME=LOW:HIGH:log  the same, uniform in the logarithm
  --search random           values at random, or each combination once where --trials suffices
  --search asha             the same; a trial that does worse than others after as many
                            records is stopped (asynchronous successive halving)
  --search bayes            values from a model of the trials before (Optuna's TPE; extra: bayes)
  --trials N                largest number of trials (10); a larger one goes on
  --metric [DIR/][SPLIT.]NAME
                            record of metrics.jsonl that is compared (valid.loss); DIR is a part
                            of the run, SPLIT is valid or train
  --mode min|max            whether small or large values are good (min)
  --reduction R, --grace N  asha: of R trials about one goes on (3), not before N records (1)
  --seed S                  of the values (0)
  --parallel N              trials at a time (1)
  --cpus N, --gpus G        processors (default: all, shared by the trials) and GPUs of a trial
  --out FOLDER              where everything goes; the same command goes on there

Trials run on the Ray cluster of RAY_ADDRESS, else on this machine. Each is what `sciml run RECIPE`
gives with its settings and as many threads, bit for bit. Which trials asha stops, and what bayes
proposes, depends on the order of their records, which is fixed for --parallel 1. `sciml run RECIPE
--help` shows every setting. Needs the extra: ray.
"""
SEARCHES = ("random", "asha", "bayes")
FAILURES = 3
"""How often a trial is started again whose worker died."""
LONGEST = 1_000_000
"""Records of a trial, at most: ASHA wants a limit."""


@dataclass(frozen=True)
class Sweep:
    """What a folder with a sweep is claimed with; more trials may follow in it."""

    recipe: str
    settings: dict[str, Any]
    over: tuple[str, ...]
    search: str
    metric: str
    mode: str
    reduction: float
    grace: int
    seed: int


def main(arguments: Sequence[str]) -> int:
    """Run `sciml sweep ARGUMENTS`; 1 if a trial failed.

    Raises:
        MissingExtra: Ray, or Optuna for `--search bayes`, is not installed.
        InputError: a wrong argument, another sweep in the folder, or no trial has the metric.
    """
    if not arguments or {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    chosen, own = _options(arguments[1:])
    recipe = recipes.load(arguments[0])
    request = recipes.parse(recipe, own)
    if request.launcher:
        raise InputError("a sweep has no --launcher: it always runs on Ray")
    dimensions = ray_space.parse(chosen.over, request.config)
    if not dimensions:
        raise InputError("a sweep needs at least one --over", hint="`sciml sweep --help` says more")
    metric = Metric.parse(chosen.metric)
    load_extra("ray", "ray", "`sciml sweep`")
    if chosen.search == "bayes":
        load_extra("optuna", "bayes", "`--search bayes`")
    kept_settings = settings.to_dict(request.config)
    sweep = Sweep(
        recipe.name, kept_settings, tuple(chosen.over), chosen.search, str(metric), chosen.mode,
        chosen.reduction, chosen.grace, chosen.seed,
    )  # fmt: skip
    command = shlex.join(["sciml", "sweep", *arguments])
    out = chosen.out
    with locks.locked(out), claims.unless_refused(out):
        claims.claim(out, "sweep", sweep, command)
        rows = _run(recipe, request, dimensions, metric, chosen, out.resolve())
        ranked = _ranked(rows, chosen.mode)
        with atomic_write(out / "results.json") as part:
            part.write_text(dumps({"metric": str(metric), "trials": rows}, indent=1) + "\n")
        from sciml.launch.ray_page import write_page

        write_page(out, recipe.name, command, dimensions, metric, chosen.mode, ranked)
    return _say(ranked, metric, out)


def _options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--over", action="append", default=[])
    parser.add_argument("--search", default="random", choices=SEARCHES)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--metric", default="valid.loss")
    parser.add_argument("--mode", default="min", choices=("min", "max"))
    parser.add_argument("--reduction", type=float, default=3.0)
    parser.add_argument("--grace", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=0)
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--out", type=Path)
    try:
        chosen, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise InputError(str(error), hint="`sciml sweep --help` says more") from error
    if chosen.out is None:
        raise InputError("a sweep needs a folder", hint="Name it with --out")
    least = {"trials": 1, "grace": 1, "parallel": 1, "cpus": 0, "gpus": 0, "seed": 0}
    for name, low in least.items():
        if not getattr(chosen, name) >= low:
            raise InputError(f"--{name} must be >= {low}, got {getattr(chosen, name)}")
    if not 1 < chosen.reduction < math.inf:
        raise InputError(f"--reduction must be > 1, got {chosen.reduction}")
    return chosen, rest


def _run(
    recipe: recipes.Recipe, request: recipes.Request, dimensions: list[Dimension], metric: Metric,
    chosen: argparse.Namespace, out: Path,
) -> list[dict[str, Any]]:  # fmt: skip
    """All trials to their ends; a row for each, in order."""
    cpus = chosen.cpus or max(1, (os.cpu_count() or 1) // chosen.parallel)
    cluster = ray_cluster.cluster("`sciml sweep`", cpus * chosen.parallel, library="ray.tune")
    with cluster as ray:
        from ray import tune

        from sciml.launch import ray_search, ray_trial

        ray_cluster.require(ray, "a trial", 1, cpus, chosen.gpus)
        plan = ray_trial.Plan(
            recipe.name if recipe.name in recipes.names() else str(recipe.path),
            request.arguments, metric, chosen.mode, out / "trials", cpus, os.getcwd(),
        )  # fmt: skip
        scratch = out / ".tune"  # Ray's own notes, which nobody reads
        shutil.rmtree(scratch, ignore_errors=True)
        (out / "trials").mkdir(exist_ok=True)
        search, space, trials = ray_search.search(
            chosen.search, dimensions, chosen.trials, chosen.seed, chosen.mode, request.config,
            out / "values.json",
        )  # fmt: skip
        scheduler = None
        if chosen.search == "asha":
            scheduler = tune.schedulers.ASHAScheduler(
                time_attr="reports", max_t=LONGEST, grace_period=chosen.grace,
                reduction_factor=chosen.reduction,
            )  # fmt: skip
        with Bar("trials", trials) as bar:
            results = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(ray_trial.Trial, plan=plan),
                    {"cpu": cpus, "gpu": chosen.gpus},
                ),
                param_space=space,
                tune_config=tune.TuneConfig(
                    metric="metric", mode=chosen.mode, search_alg=search,
                    num_samples=1 if search is None else trials,
                    scheduler=scheduler, max_concurrent_trials=chosen.parallel,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="tune", storage_path=str(scratch), verbose=0, log_to_file=False,
                    failure_config=tune.FailureConfig(max_failures=FAILURES),
                    callbacks=[ray_search.Progress(bar, metric)],
                    stop=ray_search.WithoutMetric(),
                ),
            ).fit()  # fmt: skip
        shutil.rmtree(scratch, ignore_errors=True)
    found = [results[i] for i in range(len(results))]
    ends = [(r.config["point"] if r.config else {}, r.metrics or {}, r.error) for r in found]
    for _, end, _ in ends:
        if end.get("without"):
            raise InputError(str(end["refused"]), where=f"--metric {metric}")
    rows = [_row(plan, config, end, error) for config, end, error in ends]
    if not any(row["reports"] for row in rows) and (refused := [r for r in rows if r["refused"]]):
        raise InputError(f"every trial was refused, the first one: {refused[0]['refused']}")
    return sorted(rows, key=lambda row: row["trial"])


def _row(
    plan: Plan, config: dict[str, Any], end: dict[str, Any], error: Exception | None
) -> dict[str, Any]:
    number, reports = config["number"], int(end.get("reports", 0))
    values = [r[plan.metric.name] for r in plan.metric.records(plan.folder(number))[:reports]]
    refused = end.get("refused")
    finished = plan.finished(number)
    status = "failed" if error else "refused" if refused else "finished" if finished else "stopped"
    return {
        "trial": number,
        "values": config["values"],
        "status": status,
        "reports": reports,
        "step": end.get("step"),
        "last": float(values[-1]) if values and not (refused or error) else None,
        "curve": values,
        "refused": refused or (str(error).strip().rpartition("\n")[2] if error else None),
        "folder": str(plan.folder(number).relative_to(plan.trials.parent)),
    }


def _ranked(rows: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    """Rows by their last value, the best first; those without one at the end."""
    sign = 1 if mode == "min" else -1

    def key(row: dict[str, Any]) -> float:
        last = row["last"]
        return math.inf if last is None or math.isnan(last) else sign * last

    return sorted(rows, key=key)


def _say(ranked: list[dict[str, Any]], metric: Metric, out: Path) -> int:
    best = ranked[0]
    if best["last"] is not None:
        shown = ", ".join(f"{name} {value}" for name, value in best["values"].items())
        print(f"best: {out / best['folder']}: {metric} {best['last']:.6g} ({shown})")
    console.print(f"the comparison: {out / 'report.html'}", soft_wrap=True)
    failed = [row for row in ranked if row["status"] == "failed"]
    for row in failed:
        console.print(f"trial {row['trial']} failed: {row['refused']}", soft_wrap=True)
    return 1 if failed else 0
