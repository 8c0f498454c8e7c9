"""Jets in Parquet: one row per jet or per event; columns are lists, or structures of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq

from sciml.data.shards import PIECEWISE
from sciml.jets.data.readers.base import Reader, guarded, plain
from sciml.jets.data.readers.index_sizes import check_parquet
from sciml.jets.data.readers.nested import leaves
from sciml.jets.data.remote import opened

LIMIT = 64 << 20
"""Largest string [bytes] and container in the metadata: damage there must not cost gigabytes."""


class ParquetReader(Reader):
    """A Parquet file, read in batches of rows."""

    format = "Parquet"

    def __init__(self, path: Path) -> None:
        self.path = path
        with guarded(path, self.format):
            self._file = pq.ParquetFile(
                opened(path),
                thrift_string_size_limit=LIMIT,
                thrift_container_size_limit=LIMIT,
                page_checksum_verification=True,
                **PIECEWISE,
            )
            check_parquet(path, self._file.metadata)
            self._rows = int(self._file.metadata.num_rows)
            schema = self._file.schema_arrow  # its `empty_table` would import pandas
            self._none = ak.from_arrow(pa.Table.from_batches([], schema), highlevel=True)
            if not self._none.fields or "" in self._file.schema_arrow.names:
                # rows that are no records have a column without a name
                self._none = ak.Array({"": self._none})
            self._leaves = leaves(self._none)
            self.columns = tuple(self._leaves)

    def __len__(self) -> int:
        return self._rows

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        groups, first, skip = [], 0, None
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if first + rows > start and first < stop:
                groups.append(group)
                skip = start - first if skip is None else skip
            first += rows
        left, skip = stop - start, skip or 0
        sources = list(dict.fromkeys(self._leaves[name].source for name in columns))
        for batch in self._file.iter_batches(
            batch_size=step,
            row_groups=groups,
            columns=None if "" in sources else sources,
            use_threads=False,
        ):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            batch = batch.slice(skip, left)
            skip = 0
            left -= batch.num_rows
            rows = {
                name: ak.from_arrow(batch.column(batch.schema.get_field_index(name)))
                for name in sources
            }
            yield {name: plain(self._leaves[name].of(rows)) for name in columns}
            del batch, rows  # before the next ones are read
            if left <= 0:
                return

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        return ak.Array({name: plain(self._leaves[name].of(self._none)) for name in columns})

    def close(self) -> None:
        self._file.close()
