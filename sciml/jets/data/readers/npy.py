"""Arrays inside an npz, which are compressed as streams: read row by row, never as a whole."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 1 << 33
"""Largest array [bytes]: a damaged header must not promise more."""


def header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in .npy format; refuses pickled objects and absurd sizes."""
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    number = np.issubdtype(dtype, np.number) or dtype.kind == "b"
    if dtype.hasobject or (fortran and len(shape) > 1) or not number:
        raise ValueError(f"an array of {dtype}, order {'F' if fortran else 'C'}")
    if any(n < 0 for n in shape) or np.prod(shape, dtype=float) * dtype.itemsize > LIMIT:
        raise ValueError(f"an array of shape {shape}")
    return shape, dtype


def rows_of(
    archive: zipfile.ZipFile, member: str, step: int, start: int, stop: int
) -> Iterator[NDArray[Any]]:
    """Rows start .. stop - 1 of one array, at most `step` at a time."""
    with archive.open(member) as stream:
        shape, dtype = header(stream)
        row_bytes = int(np.prod(shape[1:], dtype=int)) * dtype.itemsize
        left = start * row_bytes
        while left > 0:
            skipped = len(stream.read(min(left, 1 << 22)))
            if not skipped:
                raise EOFError(f"the array {member} ends early")
            left -= skipped
        for first in range(start, stop, step):
            rows = min(step, stop - first)
            data = stream.read(rows * row_bytes)
            if len(data) < rows * row_bytes:
                raise EOFError(f"the array {member} ends early")
            yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])
