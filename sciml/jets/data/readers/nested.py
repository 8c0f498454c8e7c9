"""Columns inside structures: a list of structs per jet, a list of jets per event.

Besides flat columns, analyses write `part: list<struct<px, py, ...>>` (one row per jet), columns
of jets that are lists of lists or lists of structs (one row per event), and fields of RNTuples.
Every leaf gets the corresponding flat name (`part_px`, `FatJet_pt`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError
from sciml.jets.data.readers.base import Reader, lengths, plain
from sciml.jets.data.readers.events import ORIGIN, EventReader

_OWN = ("part_", "jet_", "label_", "aux_", "score_")
"""Prefixes of field names that stay unchanged inside a structure."""
_ENERGY = ("energy", "E", "e")
_JET = (
    "pt",
    "eta",
    "phi",
    "energy",
    "mass",
    "nparticles",
    "sdmass",
    "tau1",
    "tau2",
    "tau3",
    "tau4",
)


@dataclass(frozen=True)
class Leaf:
    """Location of a column: the field it is read from, the path inside it, and its list depth."""

    source: str
    path: tuple[str, ...] = ()
    depth: int = 0

    def of(self, rows: Any) -> ak.Array:
        """The column of rows that have its source."""
        values = rows[self.source]
        for step in self.path:
            values = values[step]
        return values


def leaves(empty: ak.Array) -> dict[str, Leaf]:
    """Every column of rows of this type, by its flat name.

    Args:
        empty: a record array; only its type matters.
    """
    columns: dict[str, Leaf] = {}
    for source in empty.fields:
        _walk(columns, empty[source], Leaf(source), source)
    return columns


def _walk(columns: dict[str, Leaf], values: ak.Array, leaf: Leaf, name: str) -> None:
    fields = [] if values.layout.is_tuple else values.fields
    depth = values.ndim - 1
    if not fields:
        columns.setdefault(name, Leaf(leaf.source, leaf.path, depth))
        return
    inside = {field: values[field] for field in fields}
    particles = {"px", "py", "pz"} <= set(fields) and any(e in fields for e in _ENERGY)
    jets = depth > 0 and any(v.fields or v.ndim - 1 > depth for v in inside.values())
    for field, value in inside.items():
        if field.startswith(_OWN):
            new = field
        elif particles:
            new = f"part_{'energy' if field in _ENERGY else field}"
        elif jets and not value.fields:
            new = f"jet_{field}" if field in _JET else field
        else:
            new = f"{name}_{field}" if name else field
        _walk(columns, value, Leaf(leaf.source, (*leaf.path, field)), new)


def by_jet(reader: Reader, columns: dict[str, Leaf]) -> Reader:
    """The reader itself if its rows are jets; one that unpacks them if they are events."""
    if any(leaf.depth > 1 for name, leaf in columns.items() if name.startswith("part_")):
        return EventRows(reader, columns)
    return reader


class EventRows(EventReader):
    """The jets of a file with a row per event, whose columns of particles are lists of lists.

    `event_index` and `jet_index` locate a jet; the values of an event are repeated for each of its
    jets.
    """

    def __init__(self, inner: Reader, columns: dict[str, Leaf]) -> None:
        self.format = inner.format
        structures = {v.source for n, v in columns.items() if n.startswith("part_") and v.path}
        self._of_jets = {
            name
            for name, leaf in columns.items()
            if leaf.depth > 0 and (name.startswith(_OWN) or leaf.source in structures)
        }
        self.columns = (*columns, *ORIGIN)
        counter = min(self._of_jets, key=lambda name: columns[name].depth)
        counts = [lengths(rows[counter]) for rows in inner.iterate([counter])]
        super().__init__(inner, np.concatenate(counts) if counts else np.zeros(0, np.int64))

    def _rows(self, columns: list[str], first: int, last: int) -> dict[str, Any]:
        out: dict[str, Any] = dict(self._origin(first, last))
        event = out[ORIGIN[0]] - first
        counts = np.diff(self._offsets[first : last + 1])
        names = [name for name in columns if name not in ORIGIN]
        parts = list(self._inner.iterate(names, last - first, first, last)) if names else []
        rows: Any = ak.concatenate(parts) if parts else None
        for name in names:
            if name not in self._of_jets:
                out[name] = rows[name][event]
                continue
            if (bad := np.flatnonzero(lengths(rows[name]) != counts)).size:
                at = int(bad[0])
                raise InputError(
                    f"event {first + at} has {counts[at]} jets, but "
                    f"{lengths(rows[name])[at]} values of {name!r}",
                    where=self.path,
                )
            out[name] = ak.flatten(rows[name], axis=1)
        return {name: out[name] for name in columns}

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        rows = self._inner.empty([name for name in columns if name not in ORIGIN])
        out = {}
        for name in columns:
            values = np.zeros(0, np.int64) if name in ORIGIN else rows[name]
            out[name] = ak.flatten(values, axis=1) if name in self._of_jets else values
        return ak.Array(out)


def in_memory(rows: ak.Array) -> Reader:
    """A reader of an awkward array of jets of any of these structures."""
    if rows.ndim > 1:  # a list of records per event
        rows = ak.Array({"": rows})
    columns = leaves(rows[:0])
    return by_jet(_Memory(rows, columns), columns)


class _Memory(Reader):
    """A reader of an array in memory."""

    format = "array"

    def __init__(self, rows: ak.Array, columns: dict[str, Leaf]) -> None:
        self.path, self._all, self._leaves = Path("events"), rows, columns
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self._all)

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        for first in range(start, stop, step):
            rows = self._all[first : min(first + step, stop)]
            yield {name: plain(self._leaves[name].of(rows)) for name in columns}

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        return ak.Array({name: self._leaves[name].of(self._all)[:0] for name in columns})
