"""Data sets as Parquet shards: files made alone, by any process or machine, and read by row.

    sciml data make jets --jets 1000000 --shards 100 -o jets               all that are missing
    sciml data make jets --jets 1000000 --shards 100 --shard 7 -o jets     one, in a job of an array

A shard depends on the options, its number and the number of shards, so it comes out the same
wherever and whenever it is made. Its metadata hold the kind of data and the options.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write

KIND, FACTS = b"sciml.kind", b"sciml.facts"
"""Keys of a shard's metadata: the kind of data, the options as JSON."""
PIECEWISE: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 20}
"""How `pyarrow.parquet.ParquetFile` reads piece by piece. As it opens files by itself, what was
read of a file stays in memory until it is closed, and a column of a row group is read at once."""


def name(number: int, count: int) -> str:
    """File name of a shard."""
    return f"part-{number:05d}-of-{count:05d}.parquet"


def to_make(
    out: Path, count: int, only: int | None, facts: Mapping[str, Any]
) -> Iterator[tuple[int, Path]]:
    """(number, path) of the shards that are still to be made.

    Args:
        out: folder of the shards.
        count: how many there are.
        only: make this one alone; None: all.
        facts: the options of the data, without the shard's number.

    Raises:
        InputError: an impossible number, or a shard that was made with other options.
    """
    if count < 1:
        raise InputError(f"must be at least 1, got {count}", where="--shards")
    if only is not None and not 0 <= only < count:
        raise InputError(f"must be 0 to {count - 1}, got {only}", where="--shard")
    wanted = json.loads(json.dumps({**facts, "shards": count}))
    for number in range(count) if only is None else [only]:
        path = Path(out) / name(number, count)
        if not path.exists():
            yield number, path
        elif (found := facts_of(path)) != {**wanted, "shard": number}:
            raise InputError(
                f"was made with other options: {json.dumps(found)}",
                where=path, hint="Delete it or write to another folder",
            )  # fmt: skip


def share(total: int, number: int, count: int) -> range:
    """Which of `total` things belong to a shard: neighbours, as equally many as can be.

    Raises:
        InputError: there are more shards than things.
    """
    if count > total:
        raise InputError(f"must be at most {total}, as many as there are, got {count}",
                         where="--shards")  # fmt: skip
    return range(total * number // count, total * (number + 1) // count)


def write(
    path: Path, kind: str, rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any],
    group: int = 1024,
) -> int:  # fmt: skip
    """Write a shard; its number of rows.

    Args:
        path: the file.
        kind: of data, as `sciml run pretrain --data KIND:PATH` names its reader.
        rows: of the same columns each.
        facts: options that made it, with its number.
        group: rows of a row group, which is the least that can be read.

    Raises:
        InputError: there are no rows, or the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    written, pending, writer = 0, [], None
    with atomic_write(path) as temporary:
        try:
            for row in rows:
                pending.append(row)
                if len(pending) == group:
                    writer = _append(pa, pq, writer, temporary, pending, kind, facts)
                    written, pending = written + group, []
            if pending:
                writer = _append(pa, pq, writer, temporary, pending, kind, facts)
                written += len(pending)
        finally:
            if writer is not None:
                writer.close()
        if not written:
            raise InputError("there is nothing to write", where=path)
    return written


def _append(
    pa: Any, pq: Any, writer: Any, path: Path, rows: list[Any], kind: str, facts: Mapping[str, Any]
) -> Any:
    table = pa.Table.from_pylist(rows)
    if writer is None:
        metadata = {KIND: kind.encode(), FACTS: json.dumps(dict(facts), sort_keys=True).encode()}
        schema = table.schema.with_metadata(metadata)
        writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
    writer.write_table(table.cast(writer.schema))
    return writer


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file as `pyarrow.parquet.ParquetFile`, read piece by piece.

    Raises:
        InputError: the file, or what is read of it in this context, is missing, cut or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True, **PIECEWISE) as file:
            yield file
    except FileNotFoundError:
        raise InputError("does not exist", where=path) from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"is no whole Parquet file ({str(error)[:100]})", where=path) from None


def files(path: Path) -> list[Path]:
    """The Parquet files of a path or folder; empty if there is none."""
    if path.is_dir():
        return sorted(path.glob("*.parquet"))
    return [path] if path.suffix == ".parquet" else []


def _metadata(path: Path) -> dict[bytes, bytes]:
    with opened(path) as file:
        return dict(file.schema_arrow.metadata or {})


def kind(path: Path) -> str:
    """The kind of data of a shard, or of the first in a folder; empty if none is named."""
    found = files(path)
    return _metadata(found[0]).get(KIND, b"").decode() if found else ""


def facts_of(path: Path) -> dict[str, Any]:
    """The options that a shard was made with; empty for other Parquet files."""
    return dict(json.loads(_metadata(path).get(FACTS, b"{}")))


@dataclass(frozen=True)
class Row:
    """A row of a Parquet file; `row[column]` reads it."""

    file: Path
    number: int
    rows: Rows = field(repr=False, compare=False)

    def __getitem__(self, column: str) -> Any:
        return self.rows.value(self, column)

    def __str__(self) -> str:
        return f"{self.file}, row {self.number}"


class Rows(Sequence):
    """The rows of Parquet files, read by row group on access; the last few groups are kept.

    Args:
        paths: the files.
        columns: that rows must have.

    Raises:
        InputError: not Parquet, or a column is missing.
    """

    KEPT = 4

    def __init__(self, paths: Sequence[Path], *columns: str) -> None:
        self.paths, self.columns = list(paths), columns
        counts: list[int] = []
        groups: list[tuple[int, int]] = []  # file and group
        for which, path in enumerate(self.paths):
            with opened(path) as file:
                missing = [c for c in columns if c not in file.schema_arrow.names]
                counts += [file.metadata.row_group(g).num_rows
                           for g in range(file.num_row_groups)]  # fmt: skip
                groups += [(which, g) for g in range(file.num_row_groups)]
            if missing:
                raise InputError(f"lacks the column {missing[0]!r}", where=path)
        self._groups = np.array(groups, np.int64).reshape(-1, 2)
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        # The first row of each file, to name rows as people count them.
        first = np.searchsorted(self._groups[:, 0], np.arange(len(self.paths)))
        self._first = dict(zip(self.paths, self._starts[first].tolist(), strict=True))
        self._held: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> Any:
        at = int(index)
        if not 0 <= at < len(self):
            raise IndexError(index)
        which = int(self._groups[self._group(at), 0])
        return Row(self.paths[which], at - self._first[self.paths[which]], self)

    def _group(self, at: int) -> int:
        return bisect_right(self._starts, at) - 1

    def value(self, row: Row, column: str) -> Any:
        """The value of a column."""
        at = self._first[row.file] + row.number
        group = self._group(at)
        if group not in self._held:
            which, number = self._groups[group].tolist()
            with opened(self.paths[which]) as file:
                self._held[group] = file.read_row_group(number, columns=list(self.columns))
            while len(self._held) > self.KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(group)
        return self._held[group][column][at - int(self._starts[group])].as_py()
