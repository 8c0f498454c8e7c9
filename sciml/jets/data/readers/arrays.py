"""Columns as plain arrays: HDF5 data sets or npz members named `part_px`, `jet_pt`, ...

A column of particles has one row per jet, all of one length; padding is left out when jets are
packed (`data.tidy`). The members of an npz are streams: they are read row by row. The fields of a
table of HDF5 are columns of their own: `tracks["pt"]` is `tracks_pt`.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data.readers.base import Reader, array_of, guarded
from sciml.jets.data.readers.npy import header, rows_of


class ArraysReader(Reader):
    """Arrays of one length in an open file.

    Args:
        path: the file.
        format: of the file, for people.
        source: open h5py.File, or zipfile.ZipFile of an npz.
    """

    def __init__(self, path: Path, format: str, source: Any) -> None:
        self.path, self.format, self._source = path, format, source
        self._packed = isinstance(source, zipfile.ZipFile)
        shapes: dict[str, tuple[int, ...]] = {}
        self._field: dict[str, tuple[str, str]] = {}
        with guarded(path, format):
            for name in source.namelist() if self._packed else source:
                if self._packed:
                    with source.open(name) as stream:
                        shape, _ = header(stream)
                    name = name.removesuffix(".npy")
                elif not hasattr(source[name], "shape"):
                    continue
                else:
                    shape = tuple(source[name].shape)
                if not 0 < len(shape) <= 2:
                    continue
                fields = None if self._packed else source[name].dtype.names
                for field in fields or ():
                    self._field[f"{name}_{field}"] = (name, field)
                    shapes[f"{name}_{field}"] = shape
                if not fields:
                    shapes[name] = shape
        if not shapes:
            raise InputError("holds no arrays with a row per jet", where=path)
        most = Counter(shape[0] for shape in shapes.values()).most_common(1)[0][0]
        self._rows = shapes.get("part_px", (most,))[0]
        wrong = [name for name, shape in shapes.items() if shape[0] != self._rows]
        if any(name.startswith("part_") for name in wrong):
            raise InputError(
                f"has {self._rows} rows of 'part_px' and {shapes[wrong[0]][0]} of {wrong[0]!r}",
                where=path,
            )  # columns of another length are of something else
        self.columns = tuple(name for name in shapes if name not in wrong)

    def __len__(self) -> int:
        return self._rows

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        if not self._packed:
            for first in range(start, stop, step):
                part = slice(first, min(first + step, stop))
                yield {name: array_of(self._read(name, part)) for name in columns}
            return
        streams = {n: rows_of(self._source, f"{n}.npy", step, start, stop) for n in columns}
        for _ in range(start, stop, step):
            yield {name: array_of(next(stream)) for name, stream in streams.items()}

    def _read(self, name: str, rows: slice) -> Any:
        if name in self._field:
            table, field = self._field[name]
            return self._source[table].fields(field)[rows]
        return self._source[name][rows]

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        if not self._packed:
            none_of = slice(0, 0)
            return ak.Array({name: array_of(self._read(name, none_of)) for name in columns})
        none: dict[str, NDArray[Any]] = {}
        for name in columns:
            with self._source.open(f"{name}.npy") as stream:
                shape, dtype = header(stream)
            none[name] = np.zeros((0, *shape[1:]), dtype.newbyteorder("="))
        return ak.Array(none)

    def close(self) -> None:
        """Close the file."""
        self._source.close()
