"""Compressed files are read as a stream, and no further than a file of their size can honestly be.

A few megabytes of gzip can stand for gigabytes, of bzip2 for terabytes. What unpacks to more than
`FLOOR` bytes and to more than `RATIO` times its own size, or to more than `LIMIT` bytes, is
refused; `SCIML_UNPACK_LIMIT`, in bytes, takes the place of both limits.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from sciml.errors import InputError
from sciml.paths import existing_file

FLOOR = 1 << 24
"""Bytes that anything may unpack to."""
RATIO = 200
"""Times its own size that a larger file may unpack to; text of these sciences has 3 to 60."""
LIMIT = 1 << 36
"""Bytes that no file may unpack to."""
SETTING = "SCIML_UNPACK_LIMIT"
XZ_MEMORY = 1 << 28
"""Bytes that the dictionary of an xz file may take; `xz -9` needs 65 MB."""
STEP = 1 << 20

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def allowed(packed: int) -> int:
    """Bytes that a file or a part of one with `packed` bytes may unpack to.

    Raises:
        InputError: the setting is no number of bytes.
    """
    text = os.environ.get(SETTING, "").strip().upper().removesuffix("B").removesuffix("I")
    if not text:
        return min(max(FLOOR, RATIO * packed), LIMIT)
    unit = text[-1:] if text[-1:] in _UNITS else ""
    number = text.removesuffix(unit).strip()
    if not number.isdecimal():
        raise InputError(f"must be a number of bytes such as 20G, got {text!r}", where=SETTING)
    return int(number) << _UNITS[unit]


def check(path: object, packed: int, unpacked: int) -> None:
    """Refuse more than a file can honestly hold: what came out of it, or what its index claims.

    Args:
        path: the file, for the message.
        packed: bytes that are there.
        unpacked: bytes that they stand for.

    Raises:
        InputError: they stand for too many.
    """
    if unpacked > allowed(packed):
        raise InputError(
            f"unpacks to {_size(unpacked)} or more from {_size(packed)}, which no honest file does",
            where=path,
            hint=f"If it is one, set the environment variable {SETTING} to a size such as 20G",
        )


def _size(count: int) -> str:
    for unit, shift in (("GB", 30), ("MB", 20), ("kB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.3g} {unit}"
    return f"{count} bytes"


class _Unpacked(io.RawIOBase):
    """The bytes that a compressed file stands for; faults of the compression are the file's."""

    def __init__(self, path: Path, raw: BinaryIO, stream: BinaryIO) -> None:
        self._path, self._raw, self._stream = path, raw, stream
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(min(len(buffer), STEP))
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"cannot be read ({error})", where=self._path) from error
        self._given += len(data)
        check(self._path, self._raw.tell(), self._given)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._raw.close()  # which the stream above it leaves open
        super().close()


def open_binary(path: str | os.PathLike[str]) -> io.BufferedReader:
    """The file's bytes, unpacked if it is gzip, xz or bzip2 (told by its first bytes).

    Raises:
        InputError: no such file; while reading: a broken archive, or one that unpacks to more
            than `allowed`.
    """
    path = existing_file(path)
    raw = cast(BinaryIO, open(path, "rb"))
    magic = raw.read(6)
    raw.seek(0)
    stream: Any
    if magic[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=raw)
    elif magic == b"\xfd7zXZ\x00":
        stream = _Xz(raw)
    elif magic[:3] == b"BZh":
        stream = bz2.BZ2File(raw)
    elif magic[:4] == b"\x28\xb5\x2f\xfd" or magic[:4] == b"PK\x03\x04":
        raw.close()
        kind = "zip" if magic[:1] == b"P" else "Zstandard"
        raise InputError(f"is a {kind} archive", where=path, hint="Unpack it first")
    else:
        return io.BufferedReader(cast(io.RawIOBase, raw), STEP)
    return io.BufferedReader(_Unpacked(path, raw, stream), STEP)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole content of a file, unpacked; see `open_binary`."""
    try:
        with open_binary(path) as stream:
            return stream.read()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error


class _Xz:
    """An xz file, one stream or several, whose dictionary has a limit."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self._unpacker.eof:
                rest = self._unpacker.unused_data or self._raw.read(STEP // 16)
                if not rest.strip(b"\0"):  # padding may follow a stream
                    return b""
                self._unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
                data = self._unpacker.decompress(rest.lstrip(b"\0"), size)
            else:
                more = self._raw.read(STEP // 16) if self._unpacker.needs_input else b""
                if self._unpacker.needs_input and not more:
                    raise EOFError("it ends early")
                data = self._unpacker.decompress(more, size)
            if data:
                return data

    def close(self) -> None:
        pass
