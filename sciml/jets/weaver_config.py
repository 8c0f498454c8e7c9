"""weaver's YAML data configs: selection, new variables, model inputs, labels, observers, weights.

    config = WeaverConfig.load("JetClass_full.yaml")
    for batch in config.iterate("*.root", step=1000):
        batch.inputs["pf_features"]      # [B, 17, 128] float32

The meaning of every key is that of weaver-core 0.5 (github.com/hqucms/weaver-core): an input
variable is (x - centre) * scale, clipped, where a centre is given; lists are cut and padded (`wrap`
repeats them, `constant` appends a value); weights flatten two variables in each class.
Formulas are worked out by `sciml.jets.expressions`, never by `eval`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numba as nb
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, nearest
from sciml.jets import expressions
from sciml.jets.io import expand, open_jets
from sciml.jets.weaver_weights import Weights, weights
from sciml.paths import existing_file

KEYS = (
    "treename", "selection", "test_time_selection", "preprocess", "new_variables", "inputs",
    "labels", "observers", "monitor_variables", "weights", "bucketing", "branch_magic",
    "file_magic",
)  # fmt: skip
_PAD_MODES = ("constant", "wrap")


@dataclass(frozen=True)
class Variable:
    """One row of an input."""

    name: str
    center: float | None = None
    """Subtracted; None: taken as it is, unclipped."""
    scale: float = 1.0
    low: float = -5.0
    high: float = 5.0
    pad: float = 0.0
    auto: bool = False
    """Centre and scale are to be found from the data (`WeaverConfig.standardise`)."""


@dataclass(frozen=True)
class Input:
    """One tensor for the model: variables x length."""

    variables: tuple[Variable, ...]
    length: int | None
    """Particles; None: as many as the longest jet of the batch has."""
    pad_mode: str


@dataclass
class Batch:
    """What a model gets of some jets."""

    inputs: dict[str, NDArray[np.float32]]
    """name -> [B, variables, length]."""
    labels: dict[str, NDArray[np.int64]]
    """name -> [B]; `_label_` for labels of type simple."""
    observers: dict[str, Any]
    weights: NDArray[np.float32] | None
    rows: NDArray[np.int64]
    """Place of each jet in its file."""


@dataclass
class WeaverConfig:
    """A data config, checked."""

    path: Path
    tree: str | None
    selection: str | None
    test_selection: str | None
    formulas: dict[str, str]
    inputs: dict[str, Input]
    labels: dict[str, str]
    """Output name -> formula; for type simple the one name `_label_`."""
    classes: tuple[str, ...]
    """Label columns of type simple, in the order of the classes."""
    observers: tuple[str, ...]
    weights: Weights | None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeaverConfig:
        """Read and check a data config.

        Raises:
            InputError: not YAML, an unknown key (the nearest is named), a wrong type, a formula
                that is not allowed, or variables that are defined in a circle.
        """
        import yaml

        path = existing_file(path, "data config")
        try:
            options = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"is not YAML ({reason})", where=path) from error
        if not isinstance(options, dict):
            raise InputError("is not a data config: it must be a mapping", where=path)
        for key in options:
            if key not in KEYS:
                close = nearest(str(key), KEYS)
                hint = f"Did you mean {close[0]!r}?" if close else f"Choose from: {', '.join(KEYS)}"
                raise InputError(f"unknown key {key!r}", where=path, hint=hint)
        for key in ("branch_magic", "file_magic"):
            if options.get(key):
                raise InputError(f"{key!r} is not supported", where=path)
        try:
            return cls._build(path, {k: v for k, v in options.items() if v is not None})
        except InputError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"is not a data config ({reason})", where=path) from error

    @classmethod
    def _build(cls, path: Path, options: Mapping[str, Any]) -> WeaverConfig:
        formulas = {
            str(name): str(formula)
            for name, formula in _mapping(options, "new_variables", path).items()
            if str(name) != str(formula)
        }
        preprocess = _mapping(options, "preprocess", path)
        auto = str(preprocess.get("method", "manual")).lower().startswith("auto")
        stored = preprocess.get("params") or {}
        inputs = {
            str(name): _input(name, entry, auto, stored, path)
            for name, entry in _mapping(options, "inputs", path).items()
        }
        if not inputs:
            raise InputError("defines no inputs", where=path)
        entry = _mapping(options, "labels", path)
        kind, value = entry.get("type", "simple"), entry.get("value", [])
        classes: tuple[str, ...] = ()
        labels: dict[str, str] = {}
        if kind == "simple" and isinstance(value, list):
            classes = tuple(map(str, value))
            labels = {"_label_": f"[{', '.join(classes)}]"} if classes else {}
        elif kind == "custom" and isinstance(value, dict):
            labels = {str(name): str(formula) for name, formula in value.items()}
        else:
            raise InputError(
                "labels must be of type simple (with a list) or custom (with a mapping)", where=path
            )
        observers = [*(options.get("observers") or ()), *(options.get("monitor_variables") or ())]
        config = cls(
            path=path,
            tree=options.get("treename"),
            selection=options.get("selection"),
            test_selection=options.get("test_time_selection"),
            formulas=formulas,
            inputs=inputs,
            labels=labels,
            classes=classes,
            observers=tuple(map(str, observers)),
            weights=weights(options.get("weights"), path),
        )
        config.columns(train=True)
        config.columns(train=False)
        return config

    def _wanted(self, train: bool) -> list[str]:
        """Variables that are needed in the end, before formulas are followed."""
        wanted = [v.name for entry in self.inputs.values() for v in entry.variables]
        for formula in self.labels.values():
            wanted += expressions.names(formula, self.path)
        wanted += self.observers
        if train and self.weights:
            wanted += self.weights.names(self.path)
        selection = self._selection(train)
        wanted += expressions.names(selection, self.path) if selection else []
        return list(dict.fromkeys(wanted))

    def _selection(self, train: bool) -> str | None:
        return self.selection if train or not self.test_selection else self.test_selection

    def columns(self, train: bool = True) -> tuple[str, ...]:
        """The columns to read from the file."""
        return tuple(name for name in self._order(train) if name not in self.formulas)

    def _order(self, train: bool) -> list[str]:
        """All variables, each after those that its formula needs."""
        done: dict[str, None] = {}

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in done:
                return
            if name in above:
                circle = " -> ".join((*above[above.index(name) :], name))
                raise InputError(f"variables are defined in a circle: {circle}", where=self.path)
            if name in self.formulas:
                for needed in expressions.names(self.formulas[name], f"{self.path}: {name}"):
                    visit(needed, (*above, name))
            done[name] = None

        for name in self._wanted(train):
            visit(name, ())
        return list(done)

    def table(self, events: ak.Array, train: bool = True) -> tuple[ak.Array, NDArray[np.int64]]:
        """Selected jets with all variables, and their rows among `events`."""
        columns: dict[str, Any] = {}
        for name in self._order(train):
            if name in self.formulas:
                where = f"{self.path}: {name}"
                columns[name] = expressions.evaluate(self.formulas[name], columns, where)
            elif name in events.fields:
                columns[name] = events[name]
            else:
                close = nearest(name, (*events.fields, *self.formulas))
                hint = f"Did you mean {close[0]!r}?" if close else None
                raise InputError(f"needs a column {name!r}", where=self.path, hint=hint)
        selection = self._selection(train)
        rows = np.arange(len(events))
        if selection:
            chosen = expressions.evaluate(selection, columns, f"{self.path}: selection")
            rows = np.flatnonzero(np.broadcast_to(ak.to_numpy(chosen).astype(bool), len(events)))
        arrays = {
            name: ak.Array(np.full(len(events), value) if np.isscalar(value) else value)
            for name, value in columns.items()
        }
        whole = ak.zip(arrays, depth_limit=1)
        return (whole[rows] if selection else whole), rows

    def batch(self, events: ak.Array, train: bool = True) -> Batch:
        """Everything the model gets of `events` that pass the selection."""
        table, rows = self.table(events, train)
        labels: dict[str, NDArray[np.int64]] = {}
        for name, formula in self.labels.items():
            if self.classes:
                flags = np.stack([ak.to_numpy(table[c]) for c in self.classes], axis=1)
                number = (flags != 0).sum(1)
                if train and (number != 1).any():
                    jet = int(np.argmax(number != 1))
                    raise InputError(
                        f"jet {rows[jet]} has {number[jet]} of the labels "
                        f"{', '.join(self.classes)}",
                        where=self.path,
                        hint="Every selected jet needs exactly one",
                    )
                labels[name] = flags.argmax(1).astype(np.int64)
            else:
                value = expressions.evaluate(
                    formula, {k: table[k] for k in table.fields}, f"{self.path}: {name}"
                )
                labels[name] = ak.to_numpy(value).astype(np.int64)
        return Batch(
            inputs={name: _tensor(entry, table, self.path) for name, entry in self.inputs.items()},
            labels=labels,
            observers={name: table[name] for name in self.observers},
            weights=self.weights.of(table, self.path) if train and self.weights else None,
            rows=rows,
        )

    def iterate(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        step: int = 2000,
        train: bool = True,
    ) -> Iterator[Batch]:
        """Batches of all files, in order; `step` jets are read at a time."""
        for path in expand(paths):
            with open_jets(path, tree=self.tree) as reader:
                first = 0
                for events in reader.iterate(self.columns(train), step):
                    batch = self.batch(events, train)
                    batch.rows = batch.rows + first
                    first += len(events)
                    yield batch

    def standardise(self, events: ak.Array) -> None:
        """Find centre and scale of `auto` variables from jets: median and the wider 34 % side."""
        table, _ = self.table(events)
        for name, entry in self.inputs.items():
            variables = []
            for v in entry.variables:
                if v.auto:
                    values = np.nan_to_num(ak.to_numpy(ak.flatten(table[v.name], axis=None)))
                    low, middle, high = np.percentile(values, [16, 50, 84])
                    width = max(high - middle, middle - low)
                    v = Variable(
                        v.name, float(middle), float(1 / width) if width else 1.0, v.low, v.high,
                        v.pad,
                    )  # fmt: skip
                variables.append(v)
            self.inputs[name] = Input(tuple(variables), entry.length, entry.pad_mode)

    def find_weights(self, events: ak.Array) -> None:
        """Find weights that are not precomputed, from jets (see `sciml.jets.weaver_weights`)."""
        if self.weights:
            self.weights.find(self.table(events)[0], self.path)


def _mapping(options: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = options.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{key!r} must be a mapping, got {type(value).__name__}", where=path)
    return value


def _input(name: str, entry: Any, auto: bool, stored: Mapping[str, Any], path: Path) -> Input:
    where = f"{path}: inputs: {name}"
    if not isinstance(entry, dict) or not isinstance(entry.get("vars"), list):
        raise InputError("must have a list `vars`", where=where)
    for key in entry:
        if key not in ("vars", "length", "pad_mode"):
            raise InputError(f"unknown key {key!r}", where=where)
    mode = str(entry.get("pad_mode", "constant")).lower()
    if mode not in _PAD_MODES:
        raise InputError(f"pad_mode must be constant or wrap, got {mode!r}", where=where)
    if name.endswith("_mask") and mode != "constant":
        raise InputError("a mask must be padded with a constant", where=where)
    length = entry.get("length")
    if length is not None and (not isinstance(length, int) or not 0 < length <= 100_000):
        raise InputError(f"length must be a whole number > 0, got {length!r}", where=where)
    variables = []
    for row in entry["vars"]:
        row = row if isinstance(row, list) else [row]
        values = [*row[1:], *[None] * 5][:5]
        given = len(row) > 1
        center = values[0] if given else ("auto" if auto else None)
        scale, low, high, pad = (
            default if len(row) <= k + 2 else float(row[k + 2])
            for k, default in enumerate((1.0, -5.0, 5.0, 0.0))
        )
        if isinstance(known := stored.get(row[0]), dict):
            center, scale = known.get("center"), float(known.get("scale", scale))
            low, high = float(known.get("min", low)), float(known.get("max", high))
            pad = float(known.get("pad_value", pad))
        find = center == "auto" and not name.endswith("_mask")
        number = None if center in (None, "auto") else float(center)
        variables.append(Variable(str(row[0]), number, scale, low, high, pad, find))
    return Input(tuple(variables), length, mode)


def _tensor(entry: Input, table: ak.Array, path: Path) -> NDArray[np.float32]:
    """[B, variables, length]: standardised, clipped, cut, padded; NaN becomes 0."""
    columns = [_ragged(table[v.name]) for v in entry.variables]
    offsets = columns[0][1]
    length = entry.length or max(1, int(np.diff(offsets).max(initial=1)))
    out = np.empty((len(table), len(columns), length), np.float32)
    for k, (v, (flat, mine)) in enumerate(zip(entry.variables, columns, strict=True)):
        if not np.array_equal(mine, offsets):
            raise InputError(
                f"{entry.variables[0].name!r} and {v.name!r} have lists of different length",
                where=path,
            )
        numbers = (0.0 if v.center is None else v.center, v.scale, v.low, v.high, v.pad)
        _fill(
            out[:, k], flat, offsets, np.array(numbers, np.float32), v.center is not None,
            entry.pad_mode == "wrap",
        )  # fmt: skip
    return out


def _ragged(values: ak.Array) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Flat float32 values and offsets of an array of lists; of numbers: lists of one."""
    if values.ndim == 1:
        flat = ak.to_numpy(values).astype(np.float32)
        return flat, np.arange(len(flat) + 1)
    layout = values.layout
    if not isinstance(layout, ak.contents.ListOffsetArray):
        layout = ak.to_packed(values).layout
    layout = layout.to_ListOffsetArray64(True)
    offsets = np.asarray(layout.offsets.data)
    flat = ak.to_numpy(ak.Array(layout.content[: offsets[-1]]))
    return flat.astype(np.float32, copy=False), offsets


@nb.njit(cache=True)
def _fill(out, flat, offsets, numbers, standardise, wrap):
    """One variable of one input, a row a jet."""
    center, scale, low, high, pad = numbers
    zero = np.float32(0)
    for row in range(out.shape[0]):
        first, count = offsets[row], offsets[row + 1] - offsets[row]
        for place in range(out.shape[1]):
            if place >= count and not (wrap and count > 0):
                out[row, place] = zero if wrap else pad
                continue
            value = flat[first + (place % count if place >= count else place)]
            if standardise:
                value = min(max((value - center) * scale, low), high)
            out[row, place] = zero if np.isnan(value) else value
