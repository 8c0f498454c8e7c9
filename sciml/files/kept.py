"""Files that a run resumes from: JSON that carries a digest, rows appended one by one.

A file that is read back decides what a rerun does, so a changed byte must not pass for a result:
each object holds a digest of its own text under the key `check`. Objects without one (written by
version 0.1) are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from sciml.errors import InputError, unwritable
from sciml.paths import atomic_write

CHECK = "check"
T = TypeVar("T")


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(values: dict[str, Any], **style: Any) -> str:
    """The JSON text of `values` with their digest; `style` is for `json.dumps`."""
    return json.dumps(values | {CHECK: _check(values)}, **style)


def unseal(text: str | bytes) -> dict[str, Any]:
    """The values that were sealed; an object without a digest as it is.

    Raises:
        ValueError: it is no JSON object, or was changed since.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("is no JSON object")
    if CHECK in values and values.pop(CHECK) != _check(values):
        raise ValueError("was changed after it was written")
    return values


def _check(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def write(path: Path, values: dict[str, Any], **style: Any) -> None:
    """Write one sealed object as a file.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(seal(values, **style), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """The object in a file of `write`.

    Raises:
        ValueError, OSError: there is no such object, or it was changed.
    """
    return unseal(path.read_bytes())


def warn(text: str) -> None:
    """A line of warning on stderr, not wrapped in a narrow terminal; `--quiet` leaves it."""
    from sciml.train.log import console

    before, console.quiet = console.quiet, False
    console.print(f"warning: {text}", soft_wrap=True, markup=False)
    console.quiet = before


def digests(folder: Path, *files: Path) -> dict[str, str]:
    """Names and sha256 of finished files below a folder, for `intact`."""
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def intact(folder: Path, files: dict[str, str]) -> bool:
    """Whether files still have these digests; warns of the first that has not."""
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            fault = "damaged" if path.exists() else "missing"
            warn(f"{path} is {fault}: what it holds is made again")
            return False
    return True


def once(path: Path, read: Callable[[Path], T], make: Callable[[Path], object]) -> T:
    """The content of a file, which `make` writes first where it is missing or damaged.

    For content that depends on the settings alone. A damaged file is replaced with a warning.
    """
    if path.exists():
        try:
            return read(path)
        except Exception as error:  # whatever a reader makes of bytes that are not its format
            what = error.what if isinstance(error, InputError) else str(error)
            warn(f"{path} is damaged ({what[:200] or type(error).__name__}) and is made again")
    make(path)
    return read(path)


def append(file: FileIO, line: str) -> bytes:
    """Append a line to a file opened with "ab" and no buffer, completely or not at all.

    Returns:
        its bytes.

    Raises:
        InputError: it cannot be written; the file is as long as before.
    """
    data = (line + "\n").encode()
    before = os.fstat(file.fileno()).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before)
        raise unwritable(file.name, error) from error
    return data


class Rows:
    """Rows of a file, one sealed JSON object per line, appended one by one.

    `rows` begins with those of an earlier run. Half a line that an interruption left is cut off;
    rows that were changed are left out, with a warning, to be measured again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        content = path.read_bytes() if path.exists() else b""
        complete, _, half = content.rpartition(b"\n")
        damaged, lines = [], []
        for number, line in enumerate(complete.split(b"\n") if complete else [], 1):
            try:
                self.rows.append(unseal(line))
                lines.append(line)
            except ValueError:  # which undecodable text raises, too
                damaged.append(number)
        if damaged:
            shown = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
            warn(f"{path}: line {shown} is damaged and left out; what it held is done again")
        if damaged or half:
            with atomic_write(path) as part:
                part.write_bytes(b"".join(line + b"\n" for line in lines))

    def has(self, key: dict[str, Any]) -> bool:
        """Whether a row holds these values."""
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row.

        Raises:
            InputError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                append(file, seal(row))
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.rows.append(row)
