"""Files behind a URL, read piece by piece through fsspec: http, https, root (XRootD), s3, gs, ...

A `RemoteFile` stands in the place of a `Path`: it has a name and a size, and opens as a binary file
in which one can seek. A server that cannot send a piece of a file sends all of it, once, to a
temporary file.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sciml.data.on_disk import identity
from sciml.errors import InputError, MissingExtra

T = TypeVar("T")

_URL = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_EXTRAS = {"root": ("fsspec_xrootd", "xrootd"), "http": ("aiohttp", "hep"),
           "https": ("aiohttp", "hep")}  # fmt: skip
"""Package and extra of sciml that a protocol needs."""


def is_url(path: Any) -> bool:
    """Whether this is the URL of a file, and no path."""
    return isinstance(path, str) and _URL.match(path) is not None


class RemoteFile:
    """A file behind a URL.

    Args:
        url: its address; its user name and password, if it has any, are never shown.

    Raises:
        InputError: an unknown protocol, or one whose package is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self._copy: Path | None = None
        protocol = url.partition("://")[0].rpartition("::")[2].lower()
        try:
            self._system, self._name = self._try(lambda: fsspec.core.url_to_fs(url))
        except ImportError as error:
            if protocol in _EXTRAS:
                package, extra = _EXTRAS[protocol]
                raise MissingExtra(package, extra, f"reading {protocol}:// files") from error
            raise InputError(str(error), where=str(self)) from error

    def __str__(self) -> str:
        return re.sub(r"(?<=://)[^/@]*@", "", self.url)

    @property
    def name(self) -> str:
        """The last part of the URL, without its query."""
        return posixpath.basename(urlsplit(self.url).path)

    @property
    def stem(self) -> str:
        """`name` without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The suffix of `name`."""
        return posixpath.splitext(self.name)[1]

    def is_dir(self) -> bool:
        """No: a URL is of one file."""
        return False

    def stat(self) -> Any:
        """The size, as `st_size`."""
        size = self._try(lambda: self._system.size(self._name))
        return SimpleNamespace(st_size=self.whole().stat().st_size if size is None else int(size))

    def open(self) -> Any:
        """The file, open for reading, in which one can seek.

        Raises:
            InputError: there is no such file, or the server cannot be reached.
        """
        if self._copy is None:
            try:
                file = self._try(lambda: self._system.open(self._name, "rb"), (ValueError, OSError))
                end = file.seek(0, 2)
                file.seek(max(0, end - 1))
                file.read(1)
                file.seek(0)
                return file
            except FileNotFoundError as error:
                raise self._refusal(error) from error
            except (ValueError, OSError, NotImplementedError, TypeError):
                pass  # the server sends files as a whole
        return open(self.whole(), "rb")

    def whole(self) -> Path:
        """A temporary copy, which is removed with this object."""
        if self._copy is None:
            number, name = tempfile.mkstemp(prefix="sciml-", suffix=self.suffix)
            os.close(number)
            weakref.finalize(self, Path(name).unlink, missing_ok=True)
            self._try(lambda: self._system.get_file(self._name, name))
            self._copy = Path(name)
        return self._copy

    def _try(self, action: Callable[[], T], also: tuple[type[Exception], ...] = ()) -> T:
        """The result of a call to fsspec, whose errors depend on the protocol's package."""
        try:
            return action()
        except ImportError:
            raise
        except also:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> InputError:
        cause = error.__cause__ or error
        if isinstance(error, FileNotFoundError) and "Connect" not in type(cause).__name__:
            return InputError("no such file", where=self)
        reason = " ".join(str(cause).split())[:120].replace(self.url, str(self))
        return InputError(
            f"cannot be reached ({reason or type(cause).__name__})", where=self,
            hint="Check the address and the connection, then run the same command again",
        )  # fmt: skip


def identity_of(path: Any) -> list[Any]:
    """`sciml.data.on_disk.identity`, of remote files, too: their URL and size."""
    if isinstance(path, RemoteFile):
        return [path.url, path.stat().st_size]
    return identity(path)


def opened(path: Any) -> Any:
    """What libraries open: the path of a local file, an open file or temporary copy of a remote."""
    if not isinstance(path, RemoteFile):
        return path
    file = path.open()
    if isinstance(file, io.BufferedReader):  # of the copy
        file.close()
        return path.whole()
    return file
