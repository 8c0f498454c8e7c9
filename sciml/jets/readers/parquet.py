"""Jets in Parquet: one row a jet, particle columns as lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import pyarrow.parquet as pq

from sciml.jets.readers.base import Reader, guarded, plain

LIMIT = 64 << 20
"""Largest string [bytes] and container in the metadata: damage there must not cost gigabytes."""


class ParquetReader(Reader):
    """A Parquet file, read in batches of rows."""

    format = "Parquet"

    def __init__(self, path: Path) -> None:
        self.path = path
        with guarded(path, self.format):
            self._file = pq.ParquetFile(
                path,
                thrift_string_size_limit=LIMIT,
                thrift_container_size_limit=LIMIT,
                page_checksum_verification=True,
            )
            self._rows = int(self._file.metadata.num_rows)
            self.columns = tuple(self._file.schema_arrow.names)

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
        for batch in self._file.iter_batches(
            batch_size=step, row_groups=groups, columns=columns, use_threads=False
        ):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            batch = batch.slice(skip, left)
            skip = 0
            left -= batch.num_rows
            yield {
                name: plain(ak.from_arrow(batch.column(batch.schema.get_field_index(name))))
                for name in columns
            }
            if left <= 0:
                return

    def close(self) -> None:
        self._file.close()
