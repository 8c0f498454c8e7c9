"""Columns under other names, and momenta scaled by PUPPI weights.

A branch map says which branch, or which formula over branches, is one of our columns:

    part_px: cands_pt * np.cos(cands_phi)
    part_py: cands_pt * np.sin(cands_phi)
    part_pz: cands_pt * np.sinh(cands_eta)
    part_energy: cands_energy
    part_charge: cands_q
    jet_pt: jet_pt_raw
    part_dzval: 0

What a formula may call is listed in `sciml.jets.data.expressions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from sciml.config import read_yaml
from sciml.errors import InputError, unknown
from sciml.jets.data import expressions
from sciml.jets.data.columns import COLUMNS, JET_MOMENTUM, MOMENTUM
from sciml.jets.data.readers.base import Reader, array_of, plain, require
from sciml.jets.data.readers.nested import Leaf, by_jet

PUPPI = "part_puppi"
"""Column of the PUPPI weights of particles (Bertolini et al. 2014, arXiv:1407.6013)."""
QUANTITIES = (*COLUMNS, *JET_MOMENTUM, PUPPI)


def read_map(path: Path) -> dict[str, str]:
    """A branch map: our column -> branch or formula, from YAML or JSON.

    Raises:
        InputError: no mapping of names to text or numbers, or an unknown column of particles.
    """
    mapping = {}
    for name, formula in read_yaml(path).items():
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name)):
            raise InputError(f"{name!r} is no name of a column", where=path)
        if str(name).startswith("part_") and name not in QUANTITIES:
            raise unknown("column of particles", str(name), QUANTITIES, where=path)
        if isinstance(formula, bool) or not isinstance(formula, str | int | float):
            raise InputError(f"{name!r} must be a branch, a formula or a number", where=path)
        mapping[str(name)] = str(formula)
    if not mapping:
        raise InputError("maps no column", where=path, hint="For example: part_px: cands_px")
    return mapping


def mapped(inner: Reader, mapping: Mapping[str, str], where: Any) -> Reader:
    """The reader of jets whose rows may be events, with the columns of a branch map."""
    reader = MappedReader(inner, mapping, where)
    return by_jet(reader, reader.leaves)


class MappedReader(Reader):
    """A reader with more columns, made of those of another.

    Args:
        inner: the reader of the branches.
        mapping: see `read_map`.
        where: the file of the map, for messages.

    Raises:
        InputError: a branch that does not exist, or a formula that is not allowed.
    """

    def __init__(self, inner: Reader, mapping: Mapping[str, str], where: Any) -> None:
        self.path, self.format, self._inner = inner.path, inner.format, inner
        self._mapping, self._where = dict(mapping), where
        self._needed = {
            name: [formula] if formula in inner.columns else expressions.names(formula, where)
            for name, formula in mapping.items()
        }
        shown = f"{inner.path} (branch map {where})"
        require(list(dict.fromkeys(sum(self._needed.values(), []))), inner.columns, shown)
        self.columns = (*mapping, *(name for name in inner.columns if name not in mapping))
        self.hint = f"{where} can map it to a branch of the file: {', '.join(inner.columns[:8])}"
        none = self.empty(list(mapping))
        self.leaves = {name: Leaf(name, (), none[name].ndim - 1) for name in mapping}
        for name, leaf in getattr(inner, "_leaves", {}).items():
            self.leaves.setdefault(name, Leaf(name, (), leaf.depth))

    def __len__(self) -> int:
        return len(self._inner)

    def _sources(self, columns: list[str]) -> list[str]:
        names = [name for column in columns for name in self._needed.get(column, [column])]
        if any(name.startswith("part_") for name in columns) and not names:
            names = [self._needed[n][0] for n in self._needed if self._needed[n]][:1]
        return list(dict.fromkeys(names)) or [self._inner.columns[0]]

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        names = list(dict.fromkeys([*columns, *self._shape_of(columns)]))
        for rows in self._inner.iterate(self._sources(names), step, start, stop):
            yield self._values(rows, names, columns)

    def _shape_of(self, columns: list[str]) -> list[str]:
        """A column of particles that gives the lengths of constant ones."""
        constant = [n for n in columns if n in self._needed and not self._needed[n]]
        if not any(name.startswith("part_") for name in constant):
            return []
        lists = [n for n in MOMENTUM if self._needed.get(n) or n in self._inner.columns]
        if not lists:
            raise InputError("maps a constant, but no momentum of particles", where=self._where)
        return lists[:1]

    def _values(self, rows: Any, names: list[str], columns: list[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in names:
            formula = self._mapping.get(name)
            if formula is None:
                values[name] = rows[name]
            elif formula in self._inner.columns:
                values[name] = rows[formula]
            else:
                inputs = {n: rows[n] for n in self._needed[name]}
                values[name] = expressions.evaluate(formula, inputs, f"{self._where}: {name}")
        shape = self._shape_of(columns)
        for name in columns:
            value = values[name]
            if isinstance(value, int | float | np.number):
                if name.startswith("part_"):
                    values[name] = ak.full_like(values[shape[0]], value, dtype=np.float32)
                else:
                    values[name] = np.full(len(rows), value, np.float32)
        return {name: plain(array_of(values[name])) for name in columns}

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        names = list(dict.fromkeys([*columns, *self._shape_of(columns)]))
        rows = self._inner.empty(self._sources(names))
        return ak.Array(self._values(rows, names, columns))

    def close(self) -> None:
        """Close the file."""
        self._inner.close()


class PuppiReader(Reader):
    """Momenta of particles times their PUPPI weights, which a column `part_puppi` holds.

    Raises:
        InputError: the file has no such weights.
    """

    def __init__(self, inner: Reader) -> None:
        self.path, self.format, self._inner = inner.path, inner.format, inner
        self.columns, self.hint = inner.columns, inner.hint
        require(
            [PUPPI], inner.columns, inner.path,
            f"The branch of the weights is named as `{PUPPI}` in a map: `--branch-map MAP.yaml`",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._inner)

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        scaled = [name for name in columns if name in MOMENTUM]
        names = list(dict.fromkeys([*columns, *([PUPPI] if scaled else [])]))
        for rows in self._inner.iterate(names, step, start, stop):
            out = {name: rows[name] for name in columns}
            for name in scaled:
                out[name] = ak.values_astype(rows[name] * rows[PUPPI], np.float32)
            yield out

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        return self._inner.empty(columns)

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
