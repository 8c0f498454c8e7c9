"""The inputs of weaver's data configs: variables, how they are standardised, cut and padded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numba as nb
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError

_PAD_MODES = ("constant", "wrap")


@dataclass(frozen=True)
class Variable:
    """One row of an input."""

    name: str
    center: float | None = None
    """Subtracted; None: neither shifted nor clipped."""
    scale: float = 1.0
    low: float = -5.0
    high: float = 5.0
    pad: float = 0.0
    auto: bool = False
    """Centre and scale are still to be computed from data (`WeaverConfig.standardise`)."""


@dataclass(frozen=True)
class Input:
    """One tensor for the model: variables x length."""

    variables: tuple[Variable, ...]
    length: int | None
    """Particles; None: as many as the longest jet of the batch has, or numbers of the jet itself,
    without an axis of particles."""
    pad_mode: str


def read_input(name: str, entry: Any, auto: bool, stored: Mapping[str, Any], path: Path) -> Input:
    """One entry of `inputs`, checked; `stored`: `preprocess: params`."""
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
        center = values[0] if len(row) > 1 else ("auto" if auto else None)
        scale, low, high, pad = (
            default if len(row) <= k + 2 else float(row[k + 2])
            for k, default in enumerate((1.0, -5.0, 5.0, 0.0))
        )
        if isinstance(params := stored.get(row[0]), dict):
            center, scale = params.get("center"), float(params.get("scale", scale))
            low, high = float(params.get("min", low)), float(params.get("max", high))
            pad = float(params.get("pad_value", pad))
        find = center == "auto" and not (name.endswith("_mask") or str(row[0]).endswith("_mask"))
        number = None if center in (None, "auto") else float(center)
        variables.append(Variable(str(row[0]), number, scale, low, high, pad, find))
    return Input(tuple(variables), length, mode)


def tensor(entry: Input, table: ak.Array, path: Path) -> NDArray[np.float32]:
    """[B, variables, length]: standardised, clipped, cut, padded; NaN becomes 0.

    Variables of the jet itself without a `length` have no axis of particles: [B, variables], and
    [B] for one, as in weaver.
    """
    per_jet = all(table[v.name].ndim == 1 for v in entry.variables)
    columns = [_ragged(table[v.name]) for v in entry.variables]
    offsets = columns[0][1]
    length = entry.length or max(1, int(np.diff(offsets).max(initial=1)))
    out = np.empty((len(table), len(columns), length), np.float32)
    for k, (v, (flat, own)) in enumerate(zip(entry.variables, columns, strict=True)):
        if not np.array_equal(own, offsets):
            raise InputError(
                f"{entry.variables[0].name!r} and {v.name!r} have lists of different length",
                where=path,
            )
        numbers = (0.0 if v.center is None else v.center, v.scale, v.low, v.high, v.pad)
        _fill(
            out[:, k], flat, offsets, np.array(numbers, np.float32), v.center is not None,
            entry.pad_mode == "wrap",
        )  # fmt: skip
    if per_jet:  # weaver replaces infinities here, but not in lists
        np.nan_to_num(out, copy=False)
        if entry.length is None:
            return out[:, 0, 0] if len(columns) == 1 else out[:, :, 0]
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
    """One variable of one input: [jets, length]."""
    center, scale, low, high, pad = numbers
    zero = np.float32(0)
    for row in range(out.shape[0]):
        first, count = offsets[row], offsets[row + 1] - offsets[row]
        for i in range(out.shape[1]):
            if i >= count and not (wrap and count > 0):
                out[row, i] = zero if wrap else pad
                continue
            value = flat[first + (i % count if i >= count else i)]
            if standardise:
                value = min(max((value - center) * scale, low), high)
            out[row, i] = zero if np.isnan(value) else value
