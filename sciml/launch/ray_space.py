"""What a sweep varies: `train.lr=1e-4,1e-3`, `trunk.depth=2:8`, `train.lr=1e-5:1e-2:log`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from sciml import config as settings
from sciml import recipes
from sciml.errors import InputError, unknown


@dataclass(frozen=True)
class Dimension:
    """One setting and the values that it may take: `choices`, or all from `low` to `high`.

    Attributes:
        name: dotted name of the setting.
        choices: the values; empty for a range.
        low, high: limits of a range, both included.
        log: a range is drawn uniformly in the logarithm.
        integer: a range of integers.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False

    def draw(self, random: np.random.Generator) -> Any:
        """A value at random."""
        if self.choices:
            return self.choices[random.integers(len(self.choices))]
        if self.log:
            value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
            return min(max(round(value), self.low), self.high) if self.integer else value
        if self.integer:
            return int(random.integers(int(self.low), int(self.high) + 1))
        return float(random.uniform(self.low, self.high))


def parse(texts: Sequence[str], config: Any) -> list[Dimension]:
    """The dimensions that `--over` names, each limit and choice checked against the settings.

    Args:
        texts: NAME=VALUE,VALUE or NAME=LOW:HIGH or NAME=LOW:HIGH:log.
        config: the recipe's settings.

    Raises:
        InputError: an unknown setting, a value that it cannot take, or another form.
    """
    types = recipes._dotted(type(config))
    former = settings.former_flags(type(config))
    dimensions: list[Dimension] = []
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        name = former.get(name, name)
        if not equals or not values.strip():
            raise InputError(f"--over {text!r} must be NAME=VALUE,VALUE or NAME=LOW:HIGH[:log]")
        if name not in types:
            raise unknown("setting", name, types, where="--over")
        if name in (dimension.name for dimension in dimensions):
            raise InputError(f"--over names {name} twice")
        dimension = _dimension(name, values, types[name])
        for value in dimension.choices or (dimension.low, dimension.high):
            settings.replace(config, {name: value}, where=f"--over {text}")
        dimensions.append(dimension)
    return dimensions


def _dimension(name: str, text: str, kind: Any) -> Dimension:
    parts = text.split(":")
    numbers = [_number(part, kind) for part in parts[:2]]
    is_range = len(parts) == 2 or (len(parts) == 3 and parts[2].strip() == "log")
    if is_range and None not in numbers:
        low, high = (float(number) for number in numbers if number is not None)
        log = len(parts) == 3
        if not low < high:
            raise InputError(f"--over {name}={text}: the range must ascend")
        if log and low <= 0:
            raise InputError(f"--over {name}={text}: a range in the logarithm must be > 0")
        integer = kind is not float and all(isinstance(number, int) for number in numbers)
        cast: Any = int if integer else float
        return Dimension(name, (), cast(low), cast(high), log, integer)
    try:
        choices = text.split(",") if kind is str else yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise InputError(f"--over {name}={text} is not valid YAML") from error
    if kind is float:
        choices = [_number(str(choice), kind) or choice for choice in choices]
    return Dimension(name, tuple(choices))


def _number(text: str, kind: Any) -> float | int | None:
    try:
        return float(text) if kind is float else int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return None


def draws(dimensions: Sequence[Dimension], trials: int, seed: int) -> list[dict[str, Any]]:
    """The values of each trial: every combination once where these are few enough, else at random.

    Trial i is the same, however many trials follow it.

    Args:
        dimensions: what varies.
        trials: largest number of trials.
        seed: of the random values.
    """
    names = [dimension.name for dimension in dimensions]
    if math.prod(len(d.choices) or trials + 1 for d in dimensions) <= trials:
        rows = itertools.product(*(dimension.choices for dimension in dimensions))
        return [dict(zip(names, row, strict=True)) for row in rows]
    return [
        {d.name: d.draw(random) for d in dimensions}
        for random in (np.random.default_rng([seed, number]) for number in range(trials))
    ]


def flags(values: Mapping[str, Any], config: Any) -> list[str]:
    """Values as options of `sciml run`."""
    types = recipes._dotted(type(config))
    return [
        f"--{name}={value if types[name] is str else json.dumps(value)}"
        for name, value in values.items()
    ]
