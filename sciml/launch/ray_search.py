"""What Ray Tune is given for a sweep: the values of the trials, progress, and when to give up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune

from sciml.files import kept
from sciml.launch.ray_metric import Metric
from sciml.launch.ray_space import Dimension, draws, flags
from sciml.launch.ray_trial import WORST
from sciml.train.log import Bar, console


def search(
    kind: str, dimensions: Sequence[Dimension], trials: int, seed: int, mode: str, config: Any,
    record: Path,
) -> tuple[Any, dict[str, Any], int]:  # fmt: skip
    """(search algorithm or None, parameter space, number of trials) for Ray Tune.

    A trial's configuration is `point`: its `number`, `values` by setting, `flags` of `sciml run`.

    Args:
        kind: random, asha or bayes.
        dimensions, trials, seed: as for `draws`.
        mode: min or max.
        config: the recipe's settings.
        record: of `bayes`, file with the values proposed so far, which are proposed again.
    """
    if kind == "bayes":
        return _bayes(dimensions, seed, mode, config, record), {}, trials
    points = [
        {"number": number, "values": values, "flags": flags(values, config)}
        for number, values in enumerate(draws(dimensions, trials, seed))
    ]
    return None, {"point": tune.grid_search(points)}, len(points)


def _bayes(
    dimensions: Sequence[Dimension], seed: int, mode: str, config: Any, record: Path
) -> Any:  # fmt: skip
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    proposed: list[dict[str, Any]] = kept.read(record)["values"] if record.exists() else []
    names = [dimension.name for dimension in dimensions]

    class Proposals(OptunaSearch):
        """Optuna's proposals, numbered and kept in a file."""

        count = 0

        def suggest(self, trial_id: str) -> dict[str, Any] | None:
            raw: dict[str, Any] | None = super().suggest(trial_id)
            if raw is None:
                return None
            values = {name: raw[name] for name in names}
            for dimension in dimensions:  # choices go to Optuna by their positions
                if dimension.choices:
                    values[dimension.name] = dimension.choices[raw[dimension.name]]
            number, self.count = self.count, self.count + 1
            if number >= len(proposed):
                proposed.append({name: raw[name] for name in names})
                kept.write(record, {"values": proposed})
            point = {"number": number, "values": values, "flags": flags(values, config)}
            return {"point": point}

    return Proposals(
        {dimension.name: _domain(dimension) for dimension in dimensions},
        metric="metric", mode=mode, seed=seed, points_to_evaluate=list(proposed) or None,
    )  # fmt: skip


def _domain(dimension: Dimension) -> Any:
    if dimension.choices:
        return tune.choice(list(range(len(dimension.choices))))
    if dimension.integer:
        low, high = int(dimension.low), int(dimension.high) + 1
        return tune.lograndint(low, high) if dimension.log else tune.randint(low, high)
    make = tune.loguniform if dimension.log else tune.uniform
    return make(dimension.low, dimension.high)


class Progress(tune.Callback):
    """A line and a tick of the bar for each trial that ends."""

    def __init__(self, bar: Bar, metric: Metric) -> None:
        self.bar, self.metric = bar, metric

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Ray Tune calls it."""
        end = trial.last_result or {}
        shown = ", ".join(
            f"{name} {value}" for name, value in trial.config["point"]["values"].items()
        )
        last = float(end.get("metric", WORST))
        shown_last = f"{last:.6g}" if abs(last) < WORST else "is not finite"
        value = end.get("refused") or f"{self.metric} {shown_last}"
        number = trial.config["point"]["number"]
        console.print(f"trial {number} ({shown}): {value}", soft_wrap=True)
        self.bar.advance()


class WithoutMetric(tune.Stopper):
    """Ends a sweep at the first trial that finished without a record of the metric."""

    def __init__(self) -> None:
        self.without = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Ray Tune asks after each result."""
        self.without = self.without or bool(result.get("without"))
        return False

    def stop_all(self) -> bool:
        """Ray Tune asks whether all is to end."""
        return self.without
