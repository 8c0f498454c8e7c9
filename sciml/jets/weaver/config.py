"""weaver's YAML data configs: selection, new variables, model inputs, labels, observers, weights.

    config = WeaverConfig.load("JetClass_full.yaml")
    for batch in config.iterate("*.root", step=1000):
        batch.inputs["pf_features"]      # [B, 17, 128] float32

The meaning of every key is that of weaver-core 0.5 (github.com/hqucms/weaver-core): an input
variable is (x - centre) * scale, clipped, where a centre is given; lists are cut and padded (`wrap`
repeats them, `constant` appends a value); weights flatten two variables in each class.
Formulas are evaluated by `sciml.jets.data.expressions`, never by `eval`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, nearest
from sciml.jets.data import expressions
from sciml.jets.data.io import Reader, expand, open_jets
from sciml.jets.weaver.event_weights import Weights, weights
from sciml.jets.weaver.inputs import Input, Variable, read_input, tensor
from sciml.paths import atomic_write, existing_file

KEYS = (
    "treename", "selection", "test_time_selection", "preprocess", "new_variables", "inputs",
    "labels", "observers", "monitor_variables", "weights", "bucketing", "branch_magic",
    "file_magic",
)  # fmt: skip


@dataclass
class Batch:
    """The inputs of a model for some jets, with labels and weights."""

    inputs: dict[str, NDArray[np.float32]]
    """name -> [B, variables, length]."""
    labels: dict[str, NDArray[Any]]
    """name -> [B]; `_label_`, the class, for labels of type simple; of type custom, integers
    are int64 and other values float, as the formula gives them."""
    observers: dict[str, Any]
    weights: NDArray[np.float32] | None
    rows: NDArray[np.int64]
    """Row of each jet in its file."""


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
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Content of the file."""

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
            # standardised configs with histograms have 10,000 lines: libyaml, where it is built
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            options = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"is not YAML ({reason})", where=path) from error
        return cls.from_options(options, path)

    @classmethod
    def from_options(cls, options: Any, path: Path) -> WeaverConfig:
        """A config from the content of its file; `path` is for messages.

        Raises:
            InputError: see `load`.
        """
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
            str(name): read_input(name, entry, auto, stored, path)
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
            options=dict(options),
        )
        config.columns(train=True)
        config.columns(train=False)
        return config

    def _used(self, train: bool) -> list[str]:
        """Variables of inputs, labels, observers, weights and selection, as named there."""
        used = [v.name for entry in self.inputs.values() for v in entry.variables]
        for formula in self.labels.values():
            used += expressions.names(formula, self.path)
        used += self.observers
        if train and self.weights:
            used += self.weights.names(self.path)
        selection = self.selected_by(train)
        used += expressions.names(selection, self.path) if selection else []
        return list(dict.fromkeys(used))

    def selected_by(self, train: bool) -> str | None:
        """The formula that selects jets in training or in a test; None: all jets."""
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

        for name in self._used(train):
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
        selection = self.selected_by(train)
        rows = np.arange(len(events))
        if selection:
            passing = expressions.evaluate(selection, columns, f"{self.path}: selection")
            rows = np.flatnonzero(np.broadcast_to(ak.to_numpy(passing).astype(bool), len(events)))
        arrays = {
            name: ak.Array(np.full(len(events), value) if np.isscalar(value) else value)
            for name, value in columns.items()
        }
        table = ak.zip(arrays, depth_limit=1)
        return (table[rows] if selection else table), rows

    def batch(self, events: ak.Array, train: bool = True) -> Batch:
        """Inputs, labels, observers and weights of the `events` that pass the selection.

        Raises:
            InputError: a missing column, a formula that does not work, a jet of no or of several
                classes; or variables without centre and scale (`standardise`).
        """
        self._check_standardised()
        table, rows = self.table(events, train)
        labels: dict[str, NDArray[Any]] = {}
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
                labels[name] = self._target(name, value, len(table))
        return Batch(
            inputs={name: tensor(entry, table, self.path) for name, entry in self.inputs.items()},
            labels=labels,
            observers={name: table[name] for name in self.observers},
            weights=self.weights.of(table, self.path) if train and self.weights else None,
            rows=rows,
        )

    def _target(self, name: str, value: Any, jets: int) -> NDArray[Any]:
        """The values of a custom label: floats stay floats."""
        try:
            target = np.asarray(
                ak.to_numpy(ak.Array([value] * jets if np.isscalar(value) else value))
            )
            if target.dtype.kind not in "biuf":
                raise ValueError(f"values of type {target.dtype}")
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(
                f"the label {name!r} is not one number per jet ({reason})", where=self.path
            ) from error
        return target if target.dtype.kind == "f" else target.astype(np.int64)

    def _check_standardised(self) -> None:
        unknown = [v.name for entry in self.inputs.values() for v in entry.variables if v.auto]
        if unknown:
            shown = ", ".join(unknown[:4]) + (", ..." if len(unknown) > 4 else "")
            raise InputError(
                f"centre and scale of {shown} are to be computed from jets (method: auto)",
                where=self.path,
                hint="Call `standardise` first, or write them into a config once with "
                f"`sciml jets standardise {self.path.name} FILES -o OUT.yaml`",
            )

    def iterate(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        step: int = 2000,
        train: bool = True,
    ) -> Iterator[Batch]:
        """Batches of all files, in order; `step` jets are read at a time."""
        for path in expand(paths):
            with self._open(path) as reader:
                first = 0
                for events in reader.iterate(self.columns(train), step):
                    batch = self.batch(events, train)
                    batch.rows = batch.rows + first
                    first += len(events)
                    yield batch

    def columns_of_first(
        self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    ) -> set[str]:
        """Names of the columns of the first file."""
        with self._open(expand(paths)[0]) as reader:
            return set(reader.columns)

    def _open(self, path: Path) -> Reader:
        """A file of jets; `treename` is of ROOT files, as in weaver."""
        return open_jets(path, tree=self.tree if path.suffix == ".root" else None)

    def standardise(self, events: ak.Array, train: bool = True) -> None:
        """Find centre and scale of `auto` variables from jets: median and the wider 34 % side."""
        table, _ = self.table(events, train)
        if not len(table):
            raise InputError("no jet passes the selection", where=self.path)
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the config with the fitted centres, scales and weights, as weaver does.

        weaver and `load` read them (`preprocess: params`, `weights: reweight_hists`).

        Args:
            path: the file.
        """
        import yaml

        with atomic_write(Path(path)) as temporary:
            text = yaml.safe_dump(self.fitted_options(), sort_keys=False)
            temporary.write_text(text, encoding="utf-8")

    def fitted_options(self) -> dict[str, Any]:
        """The content of the file with the fitted centres, scales and weights."""
        params = {
            v.name: {
                "length": entry.length,
                "pad_mode": entry.pad_mode,
                "center": "auto" if v.auto else v.center,
                "scale": v.scale,
                "min": v.low,
                "max": v.high,
                "pad_value": v.pad,
            }
            for entry in self.inputs.values()
            for v in entry.variables
        }
        options = {key: value for key, value in self.options.items() if value is not None}
        options["preprocess"] = {**(options.get("preprocess") or {}), "params": params}
        if self.weights and self.weights.histograms:
            histograms = {name: h.tolist() for name, h in self.weights.histograms.items()}
            options["weights"] = {**options["weights"], "reweight_hists": histograms}
        return options

    @property
    def is_standardised(self) -> bool:
        """Whether centre and scale of every variable are known."""
        return not any(v.auto for entry in self.inputs.values() for v in entry.variables)

    @property
    def has_classes(self) -> bool:
        """Whether the labels are classes (type simple), not values to predict."""
        return bool(self.classes)

    def prepare(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        """Standardise and find the weights where that is to be done, from a share of the jets."""
        unweighted = self.weights and not self.weights.branches and not self.weights.histograms
        if self.is_standardised and not unweighted:
            return
        jets = self.sample(paths)
        self.standardise(jets)
        if unweighted:
            self.find_weights(jets)

    def sample(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> ak.Array:
        """The first jets of every file, a share of `preprocess: data_fraction`, for `standardise`.

        Raises:
            InputError: see `sciml.jets.data.io.open_jets`; or no jets.
        """
        share = float((self.options.get("preprocess") or {}).get("data_fraction") or 0.1)
        parts = []
        for path in expand(paths):
            with self._open(path) as reader:
                stop = max(1, int(share * len(reader)))
                parts += list(reader.iterate(self.columns(), stop=stop))
        if not parts:
            raise InputError("no jets to find centre and scale from", where=self.path)
        return ak.concatenate(parts)

    def find_weights(self, events: ak.Array) -> None:
        """Compute weights that are not precomputed from jets (see `weaver.event_weights`)."""
        if self.weights:
            self.weights.find(self.table(events)[0], self.path)


def _mapping(options: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = options.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{key!r} must be a mapping, got {type(value).__name__}", where=path)
    return value
