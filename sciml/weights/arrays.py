"""npz files of weights: sizes are compared with the zip directory before an array is read.

An array's header claims a shape and a type; the zip directory says how many bytes its member has,
and of these how many are in the file. The three must agree, so that no read takes more than a
small multiple of the file.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as form
from numpy.typing import NDArray

from sciml.errors import InputError

RATIO = 16
"""Maximum bytes of arrays per byte of the file: weights hardly compress."""
SPARE = 1 << 24
"""Bytes of arrays that a file may hold whatever its size."""
MAX_MEMBERS = 100_000


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what a damaged npz file raises into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize raise a dozen kinds
        message = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"is not a readable npz file ({message})", where=path) from None


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of an npz file, checked, by their headers alone.

    Raises:
        InputError: an array is no dense array of floating-point numbers, or its size differs from
            its header; or the file is no npz file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    with readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total, size = sum(member.file_size for member in members), path.stat().st_size
        if total > RATIO * size + SPARE or len(members) > MAX_MEMBERS:
            raise InputError(f"holds {total} bytes of arrays in {size} bytes", where=path)
        if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
            raise InputError("is compressed in a way that numpy does not write", where=path)
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in shapes:
                raise InputError(f"holds two arrays {name[:120]!r}", where=path)
            shapes[name] = _shape(path, name, archive, member)
    return shapes


def numbers(where: object, name: str, array: Any) -> NDArray[np.float32]:
    """An array in single precision and this machine's byte order.

    Raises:
        InputError: it holds NaN or infinity.
    """
    with np.errstate(over="ignore"):
        value = np.ascontiguousarray(array, np.float32).reshape(np.shape(array))
        finite = bool(np.isfinite(value.sum(dtype=np.float64)))
    if not finite and not bool(np.isfinite(value).all()):
        raise InputError(f"the array {name[:120]!r} holds NaN or infinity", where=where)
    return value


def _shape(
    path: Path, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[int, ...]:
    """A member's shape, if its type is one of numbers and its bytes are those of the shape."""
    with archive.open(member) as stream:
        version = form.read_magic(stream)
        header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, _, dtype = header(stream)
        available = member.file_size - stream.tell()
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        raise InputError(f"the array {name[:120]!r} is of the type {dtype}", where=path)
    if any(type(n) is not int or n < 1 for n in shape):
        raise InputError(f"the array {name[:120]!r} is empty: {shape}"[:200], where=path)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != available:
        raise InputError(
            f"the array {name[:120]!r} claims {claimed} bytes by its shape, {available} are there",
            where=path,
        )
    return shape
