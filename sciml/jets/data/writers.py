"""Streaming writers of jets, to Parquet and to ROOT.

A file appears under its name only when it is complete (`sciml.paths.atomic_write`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError, load_extra
from sciml.paths import atomic_write

SUFFIXES = (".parquet", ".root")
"""Suffixes of files that can be written."""


class Writer:
    """Appends batches of columns; the first batch settles names and types."""

    def __init__(self, path: Path, kind: str, metadata: Mapping[str, str] | None = None) -> None:
        self.rows = 0
        self._path, self._kind = path, kind
        self._metadata = dict(metadata or {})
        self._names: tuple[str, ...] = ()
        self._sink: Any = None
        self._file: Any = None
        self._groups: dict[str, list[str]] = {}

    def write(self, columns: Mapping[str, Any] | ak.Array) -> None:
        """Append rows.

        Args:
            columns: name -> numpy or awkward array, one entry (number or list) a jet; or a record
                array. Names and types must be those of the first batch.

        Raises:
            InputError: other columns than in the first batch, columns of different length, or a
                type that cannot be written.
        """
        names = tuple(columns.fields if isinstance(columns, ak.Array) else columns)
        arrays = {name: ak.Array(columns[name]) for name in names}
        sizes = {len(array) for array in arrays.values()}
        if len(sizes) != 1:
            raise InputError(f"columns of different length: {sorted(sizes)}", where="writer")
        if self._sink is None:
            self._names = names
        elif names != self._names:
            raise InputError(f"columns {names} follow columns {self._names}", where="writer")
        try:
            if self._kind == ".parquet":
                self._write_parquet(arrays)
            else:
                self._write_root(arrays)
        except (TypeError, NotImplementedError) as error:
            raise InputError(
                f"cannot be written to {self._kind[1:]}: {error}", where="columns"
            ) from error
        self.rows += sizes.pop()

    def _write_parquet(self, arrays: dict[str, ak.Array]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: ak.to_arrow(array, extensionarray=False, list_to32=True)
            for name, array in arrays.items()
        }
        if self._sink is None:
            schema = pa.schema(
                [pa.field(name, column.type) for name, column in columns.items()],
                metadata=self._metadata or None,
            )
            split = [leaf for name, column in columns.items() if (leaf := _split(name, column))]
            dictionary = [leaf for leaf in _leaves(columns) if leaf not in split]
            self._sink = pq.ParquetWriter(
                self._path,
                schema,
                compression="zstd",
                compression_level=9,
                write_page_checksum=True,
                use_dictionary=dictionary or False,
                column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
            )
        table = pa.table(
            [column.cast(self._sink.schema.field(n).type) for n, column in columns.items()],
            schema=self._sink.schema,
        )
        self._sink.write_table(table)

    def _write_root(self, arrays: dict[str, ak.Array]) -> None:
        uproot = load_extra("uproot", "jets", "writing ROOT files")
        if self._sink is None:
            self._file = uproot.recreate(self._path, compression=uproot.ZSTD(3))
            self._groups = _groups(arrays)
        grouped = {member for group in self._groups.values() for member in group}
        columns = {name: array for name, array in arrays.items() if name not in grouped}
        for prefix, members in self._groups.items():
            columns[prefix] = ak.zip({n.removeprefix(prefix + "_"): arrays[n] for n in members})
        if self._sink is None:
            types = {name: array.type.content for name, array in columns.items()}
            self._sink = self._file.mktree("tree", types)
        self._sink.extend(columns)

    def close(self) -> None:
        """Finish the file."""
        if self._sink is not None and self._kind == ".parquet":
            self._sink.close()
        if self._file is not None:
            self._file.close()


def _leaf(name: str, column: Any) -> str:
    return f"{name}.list.element" if column.type.num_fields else name


def _leaves(columns: dict[str, Any]) -> list[str]:
    return [_leaf(name, column) for name, column in columns.items()]


def _split(name: str, column: Any) -> str | None:
    """The Parquet path of a column of floats with many distinct values. Byte stream split makes it
    compress twice as well; a column of few values does better with a dictionary."""
    import pyarrow as pa

    values = column.flatten() if column.type.num_fields else column
    many = len(values) > 64 and len(values[:4096].unique()) > 0.1 * min(len(values), 4096)
    return _leaf(name, column) if pa.types.is_floating(values.type) and many else None


def _groups(arrays: dict[str, ak.Array]) -> dict[str, list[str]]:
    """Lists that share their lengths, by common prefix: they get one counter branch in ROOT."""
    out: dict[str, list[str]] = {}
    for prefix in ("part", "aux_decay"):
        members = [n for n, a in arrays.items() if n.startswith(prefix + "_") and a.ndim == 2]
        if len(members) > 1:
            counts = [ak.to_numpy(ak.num(arrays[name])) for name in members]
            if all(np.array_equal(counts[0], count) for count in counts):
                out[prefix] = members
    return out


@contextmanager
def create(
    path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Iterator[Writer]:
    """A `Writer` to a .parquet or .root file (a TTree `tree`).

    The file appears when the block ends without an error, and not before.

    Args:
        path: the file.
        metadata: notes to keep in a Parquet file.

    Raises:
        InputError: another ending, or the place cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"must end in {' or '.join(SUFFIXES)}", where=path)
    if path.is_dir():
        raise InputError("is a folder, a file is needed", where=path)
    with atomic_write(path) as temporary:
        writer = Writer(temporary, path.suffix, metadata)
        try:
            yield writer
        finally:
            writer.close()
        if not writer.rows and writer._sink is None:
            raise InputError("nothing was written", where=path)
