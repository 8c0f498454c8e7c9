"""Several files as one data set of jets; a folder may have the hive layout of Spark and Dask."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError
from sciml.jets.data.readers.base import Reader

ENDINGS = (".parquet", ".pq", ".root", ".h5", ".hdf5", ".npz")


def files_of(folder: Path) -> list[Path]:
    """The files of jets of a folder and its subfolders, sorted by path.

    Raises:
        InputError: there are none.
    """
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in ENDINGS
        and file.is_file()
        and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    )
    if not files:
        raise InputError(f"is a folder without files of jets ({', '.join(ENDINGS)})", where=folder)
    return files


class FilesReader(Reader):
    """Files one after the other, with the columns that all have.

    A subfolder `era=2018` is a column `era` of its files, of integers if all values are.

    Args:
        shown: the folder or pattern, for messages.
        files: the files, in order.
        open_file: opens one file.
        below: the folder whose subfolders are such columns, if any.
    """

    format = "folder"

    def __init__(
        self, shown: Any, files: Sequence[Any], open_file: Callable[[Any], Reader],
        below: Path | None = None,
    ) -> None:  # fmt: skip
        self.path, self._open, self._files = shown, open_file, list(files)
        self._sizes: list[int] = []
        columns: list[tuple[str, ...]] = []
        for file in self._files:
            with open_file(file) as reader:
                self._sizes.append(len(reader))
                columns.append(reader.columns)
        self._own = [name for name in columns[0] if all(name in other for other in columns)]
        keys = {} if below is None else _partitions(below, self._files)
        self._keys = {name: values for name, values in keys.items() if name not in self._own}
        self.columns = (*self._own, *self._keys)

    def __len__(self) -> int:
        return sum(self._sizes)

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        before = 0
        for number, (file, size) in enumerate(zip(self._files, self._sizes, strict=True)):
            low, high = max(start - before, 0), min(stop - before, size)
            before += size
            if low >= high:
                continue
            own = [name for name in columns if name in self._own]
            with self._open(file) as reader:
                for rows in reader.iterate(own or self._own[:1], step, low, high):
                    yield {
                        name: rows[name]
                        if name in own
                        else np.full(len(rows), self._keys[name][number])
                        for name in columns
                    }

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        own = [name for name in columns if name in self._own]
        with self._open(self._files[0]) as reader:
            rows = reader.empty(own)
        return ak.Array({n: rows[n] if n in own else np.array(self._keys[n])[:0] for n in columns})


def _partitions(folder: Path, files: list[Path]) -> dict[str, list[Any]]:
    """Keys of subfolders like `era=2018`, with one value per file."""
    partitions: dict[str, list[Any]] = {}
    for file in files:
        for part in file.relative_to(folder).parts[:-1]:
            key, equals, value = part.partition("=")
            if equals and key:
                partitions.setdefault(key, []).append(value)
    columns = {key: values for key, values in partitions.items() if len(values) == len(files)}
    for key, values in columns.items():
        if all(re.fullmatch(r"-?\d{1,18}", value) for value in values):
            columns[key] = [int(value) for value in values]
    return columns
