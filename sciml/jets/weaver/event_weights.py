"""The weights of weaver's data configs: precomputed, or from two-dimensional histograms.

flat: in each class every bin of the two variables counts the same, as far as the rarest
`threshold` per cent of the bins allow; ref: each class gets the shape of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data import expressions


@dataclass
class Weights:
    """Event weights of a data config."""

    branches: tuple[str, ...] = ()
    """Precomputed: the weight is their product."""
    method: str = "flat"
    variables: dict[str, list[float]] = field(default_factory=dict)
    """Two variables and their bin edges."""
    classes: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()
    threshold: float = 10.0
    discard: bool = True
    """Jets outside of the bins get no weight."""
    base: str | None = None
    histograms: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def names(self, where: object) -> list[str]:
        """The variables that the weights need."""
        base = expressions.names(self.base, where) if self.base else []
        return [*self.branches, *self.variables, *self.classes, *base]

    def find(self, table: ak.Array, where: object) -> None:
        """Histograms of weights from jets (nothing to do for precomputed ones).

        Raises:
            InputError: a class without jets in the bins.
        """
        if self.branches:
            return
        values = [ak.to_numpy(table[name]).astype(float) for name in self.variables]
        bins = [np.asarray(edges, float) for edges in self.variables.values()]
        if not self.discard:
            values = [np.clip(v, b.min(), b.max()) for v, b in zip(values, bins, strict=True)]
        base = self._base(table, where)
        raw: dict[str, NDArray[np.float64]] = {}
        shape: dict[str, NDArray[np.float64]] = {}
        for name in self.classes:
            members = ak.to_numpy(table[name]) == 1
            x, y = values[0][members], values[1][members]
            raw[name] = np.histogram2d(x, y, bins=bins)[0]
            shape[name] = np.histogram2d(x, y, bins=bins, weights=base[members])[0]
            if not raw[name].sum():
                raise InputError(f"no jet of {name!r} lies in the bins of the weights", where=where)
        events: dict[str, float] = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, class_weight in zip(self.classes, self.class_weights, strict=True):
                if self.method == "flat":
                    filled = shape[name][shape[name] > 0]
                    filled = filled[filled > 0.01 * np.median(filled)]
                    ratio, upper = np.percentile(filled, self.threshold) / shape[name], 1.0
                else:
                    ratio = np.nan_to_num(raw[self.classes[0]] / shape[name], posinf=0)
                    upper = float(np.percentile(ratio[ratio > 0], 100 - self.threshold))
                weights = np.clip(np.nan_to_num(ratio / upper, posinf=0), 0, 1)
                self.histograms[name] = weights.astype(np.float32)
                events[name] = float((raw[name] * weights).sum()) / class_weight
        smallest = 0.9 * min(events.values())
        for name in self.classes:
            self.histograms[name] = self.histograms[name] * np.float32(smallest / events[name])
        if self.base:  # products with it are to be at most 1, but for the largest `threshold` %
            largest = np.percentile(self.of(table, where), 100 - self.threshold)
            if not largest > 0:
                raise InputError("the base weights of most jets are zero", where=where)
            for name in self.classes:
                self.histograms[name] = self.histograms[name] / np.float32(largest)

    def of(self, table: ak.Array, where: object) -> NDArray[np.float32]:
        """The weight of every jet [B].

        Raises:
            InputError: weights from histograms that have not been computed yet.
        """
        if self.branches:
            product = np.ones(len(table), np.float32)
            for name in self.branches:
                product = product * ak.to_numpy(table[name]).astype(np.float32)
            return product
        if not self.histograms:
            raise InputError(
                "the weights of this config have not been computed",
                where=where,
                hint="Call find_weights with some jets first",
            )
        inside = np.ones(len(table), bool)
        index = []
        for name, edges in self.variables.items():
            values = ak.to_numpy(table[name]).astype(float)
            if self.discard:
                inside &= (values >= min(edges)) & (values <= max(edges))
            index.append(np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 2))
        out = np.zeros(len(table), np.float32)
        for name in self.classes:
            members = (ak.to_numpy(table[name]) == 1) & inside
            out[members] = self.histograms[name][index[0][members], index[1][members]]
        return (out * self._base(table, where)).astype(np.float32)

    def _base(self, table: ak.Array, where: object) -> NDArray[np.float64]:
        if not self.base:
            return np.ones(len(table))
        columns = {name: table[name] for name in table.fields}
        return ak.to_numpy(expressions.evaluate(self.base, columns, where)).astype(np.float64)


def weights(entry: Any, path: Path) -> Weights | None:
    """The `weights` section of a data config, checked; None if it is empty."""
    if not entry:
        return None
    where = f"{path}: weights"
    if not isinstance(entry, dict):
        raise InputError("must be a mapping", where=where)
    if entry.get("use_precomputed_weights"):
        return Weights(branches=tuple(map(str, entry["weight_branches"])))
    method = str(entry.get("reweight_method", "flat"))
    if method not in ("flat", "ref"):
        raise InputError(f"reweight_method must be flat or ref, got {method!r}", where=where)
    variables = {str(k): [float(e) for e in v] for k, v in entry["reweight_vars"].items()}
    if len(variables) != 2 or any(len(v) < 2 for v in variables.values()):
        raise InputError("reweight_vars must be two variables with bin edges each", where=where)
    classes = tuple(map(str, entry["reweight_classes"]))
    class_weights = tuple(map(float, entry.get("class_weights") or [1.0] * len(classes)))
    if len(class_weights) != len(classes):
        raise InputError(
            f"{len(classes)} reweight_classes and {len(class_weights)} class_weights", where=where
        )
    histograms = {
        str(k): np.asarray(v, np.float32) for k, v in (entry.get("reweight_hists") or {}).items()
    }
    return Weights(
        method=method,
        variables=variables,
        classes=classes,
        class_weights=class_weights,
        threshold=float(entry.get("reweight_threshold", 10)),
        discard=bool(entry.get("reweight_discard_under_overflow", True)),
        base=entry.get("reweight_basewgt"),
        histograms=histograms,
    )
