"""Where the package's own files are, from a wheel or a checkout, and how files are written.

A wheel carries `tasks/` and `data_cards/` inside the package; a checkout has them beside it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml.errors import FULL, InputError, unwritable
from sciml.files.locks import make_folder, remove_empty, token

PACKAGE = Path(__file__).resolve().parent


def _carried(name: str) -> Path:
    inside, beside = PACKAGE / name, PACKAGE.parent / name
    return inside if inside.is_dir() else beside


def tasks_dir() -> Path:
    """The recipes: `NAME.py` and `NAME.yaml`."""
    return _carried("tasks")


def data_cards_dir() -> Path:
    """The data cards: `NAME.md`."""
    return _carried("data_cards")


def weights_dir() -> Path:
    """The shipped models: `NAME.safetensors` and the model card `NAME.md`."""
    return PACKAGE / "weights"


def cache_dir() -> Path:
    """Downloads and generated data; `SCIML_CACHE` overrides the user's cache folder."""
    base = os.environ.get("SCIML_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sciml"


def existing_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """`path` as a readable file.

    Raises:
        InputError: it is missing (the most similar name in its folder is proposed), is a folder
            or may not be read.
    """
    from sciml.errors import nearest

    path = Path(path)
    if path.is_dir():
        raise InputError(f"is a folder, a {what} is needed", where=path)
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else None
        close = nearest(path.name, (p.name for p in folder.iterdir())) if folder else []
        hint = f"Did you mean {str(path.parent / close[0])!r}?" if close else None
        raise InputError(f"no such {what}", where=path, hint=hint)
    if not os.access(path, os.R_OK):
        raise InputError(f"this {what} may not be read", where=path, hint="Check its permissions")
    return path


def keep_apart(out: Path | None, *inputs: Path | str | None) -> None:
    """Refuse to overwrite the inputs of a command.

    Raises:
        InputError: `out` is one of the inputs, by whatever path.
    """
    for path in inputs:
        if out is not None and path is not None and out.exists() and Path(path).exists():
            if out.samefile(path) and out.is_file():
                raise InputError("the output would replace the input", where=out)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` only when the block succeeds.

    The file is flushed to the disk before the rename, so that a crash, a kill or a full disk
    leaves either the old file or the new one, never part of it. The temporary name holds which
    process it belongs to (`locks.remove_leftovers`).

    Raises:
        InputError: the folder cannot be created or written, or the disk is full.
    """
    path = Path(path)
    made = make_folder(path.parent)
    temporary: Path | None = None
    try:
        try:
            handle, name = tempfile.mkstemp(
                prefix=f".{path.stem[:40]}-{token()}-",
                suffix=f".part{path.suffix}",
                dir=path.parent,
            )
            os.close(handle)
            temporary = Path(name)
        except OSError as error:
            raise unwritable(path, error) from error
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        try:
            os.replace(temporary, path)
        except OSError as error:  # a folder of this name
            raise unwritable(path, error) from error
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in FULL or error.errno == errno.EROFS:
            raise unwritable(path, error) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        remove_empty(made)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; not every file system allows a folder to be synchronised."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
