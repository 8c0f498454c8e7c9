"""Arrays that lie in files: written piece by piece, read where they are indexed.

Nothing stays mapped: what is read is copied, so the memory of a process does not grow with the
pages that it has touched. A store is a folder of such arrays that gets its name when it is whole,
and is made once for a key (the files it was made of and the options).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sciml.errors import InputError, unwritable
from sciml.files import kept
from sciml.files.locks import left_by_the_dead, token
from sciml.paths import existing_file

DONE = "done"
"""File of a store with its options and the sizes of its arrays; written last."""


class OnDisk:
    """The rows of a file, read on access: `array[i]`, `array[i:j]`, `array[indices]`.

    Processes may share it, and it may be sent to others: it holds no place in the file.

    Args:
        path: the file, rows end to end.
        dtype: of a value, in the machine's byte order.
        row: shape of a row.
        start: bytes before the first row.
        rows: how many there are; None: as many as the file holds.
    """

    def __init__(
        self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = (), start: int = 0,
        rows: int | None = None,
    ) -> None:  # fmt: skip
        self.path, self.dtype, self.row, self.start = path, np.dtype(dtype), tuple(row), start
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._width = self.dtype.itemsize * int(np.prod(row, dtype=int))
        self._close = os.close  # what `os` is may be gone when the interpreter ends
        held = (os.fstat(self._file).st_size - start) // self._width
        self._rows = held if rows is None else rows

    def __del__(self) -> None:
        if hasattr(self, "_rows"):
            self._close(self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return OnDisk, (self.path, self.dtype, self.row, self.start, self._rows)

    def __len__(self) -> int:
        return self._rows

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (self._rows, *self.row)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._rows)
            if step != 1:
                return self[np.arange(start, stop, step)]
            return self._read(start, max(stop - start, 0))
        if np.ndim(key) == 0:
            at = int(key) + (self._rows if key < 0 else 0)
            if not 0 <= at < self._rows:
                raise IndexError(f"index {key} is out of range for {self._rows} rows")
            return self._read(at, 1)[0]
        return np.asarray(self._mapped()[np.asarray(key)])  # the mapping ends here

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def tolist(self) -> list[Any]:
        """All rows as Python numbers."""
        return list(self[:].tolist())

    def _mapped(self) -> NDArray[Any]:
        if not self._rows:
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.start, self.shape)

    def _read(self, start: int, count: int) -> NDArray[Any]:
        content = bytearray(count * self._width)
        done = 0
        while done < len(content):
            place = self.start + start * self._width + done
            piece = os.pread(self._file, len(content) - done, place)
            if not piece:
                raise InputError("ended while it was read", where=self.path)
            content[done : done + len(piece)] = piece
            done += len(piece)
        return np.frombuffer(content, self.dtype).reshape(count, *self.row)


def stored(path: Path) -> dict[str, OnDisk]:
    """The arrays of an .npz file that `numpy.savez` wrote, read where they lie in it.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the file is damaged or compressed, or an array
            is not one of numbers in C order.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        if (damaged := archive.testzip()) is not None:  # in pieces, with their checksums
            raise ValueError(f"{damaged} is damaged")
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            file.seek(member.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)  # a name, extra fields
            np.lib.format.read_magic(file)  # 1.0, unless a header has more than 64 kB
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if dtype.kind not in "biuf" or not dtype.isnative or not shape or fortran:
                raise ValueError(f"{member.filename} is an array of {dtype} and shape {shape}")
            name = member.filename.removesuffix(".npy")
            arrays[name] = OnDisk(path, dtype, tuple(shape[1:]), file.tell(), int(shape[0]))
    return arrays


def identity(path: Path) -> list[Any]:
    """What tells a file from another, and from itself after a change: name, size and time."""
    status = existing_file(path).stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def key_of(options: Mapping[str, Any]) -> str:
    """A name for a store that is made with these options."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:20]


Columns = Mapping[str, tuple[DTypeLike, tuple[int, ...]]]
"""Name -> number format and shape of a row."""


def whole(folder: Path, columns: Columns) -> dict[str, OnDisk] | None:
    """The arrays of a store, or None where it has not been made; a damaged one is removed."""
    if not (folder / DONE).exists():
        return None
    try:
        sizes = kept.read(folder / DONE).get("sizes")
        if sizes == {name: (folder / f"{name}.bin").stat().st_size for name in columns}:
            return {n: OnDisk(folder / f"{n}.bin", *columns[n]) for n in columns}
    except (OSError, ValueError):
        pass
    kept.warn(f"{folder} is damaged and is rebuilt")
    shutil.rmtree(folder, ignore_errors=True)
    return None


class Writer:
    """Arrays that grow on disk, in a folder that gets its name when they are complete.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.folder, self.columns = folder, dict(columns)
        for old in folder.parent.glob(f"{folder.name}.*.part"):
            if left_by_the_dead(old):
                shutil.rmtree(old, ignore_errors=True)
        self.temporary = folder.with_name(f"{folder.name}.{token()}.part")
        try:
            self.temporary.mkdir(parents=True)
            self.files = {name: open(self.temporary / f"{name}.bin", "wb") for name in columns}
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror})",
                where=folder.parent,
                hint="Name another cache folder, or set SCIML_CACHE",
            ) from error

    def append(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to some arrays.

        Raises:
            InputError: the disk is full.
        """
        try:
            for name, array in rows.items():
                kind = np.dtype(self.columns[name][0])
                self.files[name].write(np.ascontiguousarray(array, kind).tobytes())
        except OSError as error:
            raise unwritable(self.temporary, error) from error

    def finish(self, options: Mapping[str, Any]) -> dict[str, OnDisk]:
        """Give the folder its name, and open the arrays.

        Raises:
            InputError: the disk is full.
        """
        try:
            for file in self.files.values():
                file.flush()
                os.fsync(file.fileno())
                file.close()
        except OSError as error:
            raise unwritable(self.temporary, error) from error
        sizes = {n: (self.temporary / f"{n}.bin").stat().st_size for n in self.files}
        kept.write(self.temporary / DONE, {**options, "sizes": sizes})
        try:
            self.temporary.rename(self.folder)
        except OSError:  # another process was faster with the same data
            if not (self.folder / DONE).exists():
                raise
            self.discard()
        return {n: OnDisk(self.folder / f"{n}.bin", *self.columns[n]) for n in self.columns}

    def discard(self) -> None:
        """Leave nothing."""
        for file in self.files.values():
            with suppress(OSError):  # a full disk takes not even what is left in the buffer
                file.close()
        shutil.rmtree(self.temporary, ignore_errors=True)


class Spill:
    """Rows that stay in memory while they are few, and go to a store once they exceed `memory`.

    Use as a context: an exception inside leaves nothing on disk.

    Args:
        folder: of the store.
        columns: of the arrays.
        memory: bytes.
    """

    def __init__(self, folder: Path, columns: Columns, memory: int) -> None:
        self.folder, self.columns, self.memory = folder, columns, memory
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
        self._writer: Writer | None = None
        self._size = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._writer is not None:
            self._writer.discard()

    def append(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to some arrays."""
        if self._writer is None:
            for name, array in rows.items():
                self._parts[name].append(array)
                self._size += array.nbytes
            if self._size <= self.memory:
                return
            self._writer = Writer(self.folder, self.columns)
            for name, arrays in self._parts.items():
                for array in arrays:
                    self._writer.append({name: array})
            self._parts.clear()
        else:
            self._writer.append(rows)

    def finish(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays: of numpy, or (all of them) on disk."""
        if self._writer is not None:
            return dict(self._writer.finish(options))
        empty = {n: np.zeros((0, *row), kind) for n, (kind, row) in self.columns.items()}
        return {
            name: (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(
                self.columns[name][0], copy=False
            ) if parts else empty[name]
            for name, parts in self._parts.items()
        }  # fmt: skip


def made_once(
    folder: Path,
    columns: Columns,
    options: Mapping[str, Any],
    fill: Callable[[Spill], None],
    memory: int,
) -> dict[str, Any]:
    """The arrays that `fill` appends, from the store of these options where there is one.

    Of the processes of a group (torchrun) one fills a store, and the others wait for it.

    Args:
        folder: of all such stores.
        columns: of the arrays.
        options: what the arrays are made of.
        fill: appends them.
        memory: bytes above which they lie on disk.
    """
    place = folder / key_of(options)
    found = whole(place, columns)
    if found is None:
        with _one_at_a_time(place):
            found = whole(place, columns)
            if found is None:
                with Spill(place, columns, memory) as spill:
                    fill(spill)
                    return spill.finish(options)
    return dict(found)


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    """One process of a group at a time; the lock of a process that dies is free."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(f".{place.name}.lock"), "w") as file:
        with suppress(
            OSError
        ):  # file systems without locks: each process fills its own, one is kept
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
