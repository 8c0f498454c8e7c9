"""Checks the unpacked size that the index of a file claims against the size of the file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sciml.files import unpack

BASKETS = 20_000
"""Largest number of baskets of a ROOT file that are checked one by one; forged files are small."""
_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4.0, "FLOAT": 4.0, "INT96": 12.0}


def check_root(path: Path, tree: Any) -> None:
    """Refuse a TTree or RNTuple whose columns unpack to far more than the file.

    Raises:
        InputError: see `sciml.files.unpack.check`.
    """
    size = path.stat().st_size
    if "RNTuple" in type(tree).__name__:
        bits = [column.nbits for column in tree.column_records]
        # One summary of pages per cluster, and in it one per column.
        elements = (
            page.num_elements * bits[number]
            for cluster in tree.page_link_list
            for number, column in enumerate(cluster)
            for page in column.pages
        )
        unpack.check(path, size, sum(elements) // 8)
        return
    branches = list(_branches(tree))
    claimed = sum(int(branch.uncompressed_bytes) for branch in branches)
    if sum(branch.num_baskets for branch in branches) <= BASKETS:
        baskets = sum(
            int(branch.basket_uncompressed_bytes(number))
            for branch in branches
            for number in range(branch.num_baskets)
        )
        claimed = max(claimed, baskets)
    unpack.check(path, size, claimed)


def _branches(parent: Any) -> Iterator[Any]:
    for branch in parent.branches:
        yield branch
        yield from _branches(branch)


def check_parquet(path: Path, metadata: Any) -> None:
    """The same for a Parquet file; a run of one value counts with its length."""
    unpacked = 0.0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            values = column.num_values * _WIDTHS.get(column.physical_type, 8.0)
            unpacked += max(column.total_uncompressed_size, values)
    unpack.check(path, path.stat().st_size, int(unpacked))


def check_hdf5(path: Path, file: Any) -> None:
    """The same for an HDF5 file; elements that were never written are filled in and count, too."""
    sizes: list[int] = []

    def add(_: str, item: Any) -> None:
        if hasattr(item, "shape") and item.shape is not None:
            sizes.append(int(item.size) * int(item.dtype.itemsize))

    file.visititems(add)
    unpack.check(path, path.stat().st_size, sum(sizes))


def check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """The same for an npz file."""
    unpacked = sum(member.file_size for member in archive.infolist())
    unpack.check(path, path.stat().st_size, unpacked)
