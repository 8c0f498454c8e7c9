"""Downloads that resume and are checked before anything is used."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from sciml.data.card import DataCard, File
from sciml.errors import InputError
from sciml.files.kept import sha256
from sciml.files.locks import locked_file
from sciml.paths import PACKAGE, cache_dir
from sciml.train.log import Bar, console

CHUNK = 1 << 20


def folder(card: DataCard) -> Path:
    """The folder of a card's files on this machine."""
    return cache_dir() / "data" / card.name


def local(card: DataCard, file: File) -> Path:
    """The path of one file: inside the package if embedded, else in the cache."""
    embedded = PACKAGE / file.contentUrl
    if file.contentUrl and "://" not in file.contentUrl and embedded.is_file():
        return embedded
    return folder(card) / file.name


def get(card: DataCard) -> list[Path]:
    """All files of a card on disk, downloaded where needed and verified.

    Raises:
        InputError: the data is made, not downloaded; the server fails; the disk is full; or the
            sha256 differs (the file is then deleted).
    """
    if not any(file.contentUrl for file in card.distribution):
        raise InputError(
            f"the data {card.name!r} is generated, not downloaded",
            hint=f"Make it: {card.command or f'sciml data make {card.name}'}",
        )
    return [fetch(file, local(card, file)) for file in card.distribution]


def fetch(file: File, path: Path) -> Path:
    """One file at `path`; a partial download (`.part`) is continued."""
    if path.exists():
        _verify(file, path, delete=False)
        return path
    if "://" not in file.contentUrl:
        raise InputError(f"the embedded file {file.contentUrl!r} is missing; reinstall sciml")
    with locked_file(path, wait=True):  # several processes may want the same file
        if not path.exists():
            part = path.with_name(path.name + ".part")
            _download(file, part)
            _verify(file, part, delete=True)
            os.replace(part, path)
    return path


def _download(file: File, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    if file.contentSize and have == file.contentSize:
        return
    request = urllib.request.Request(file.contentUrl, headers={"User-Agent": "sciml"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            resumed = answer.status == 206
            have = have if resumed else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            with open(part, "ab" if resumed else "wb") as target:
                with Bar(f"get {file.name} [bytes]", total or None, have) as bar:
                    while chunk := answer.read(CHUNK):
                        target.write(chunk)
                        bar.advance(len(chunk))
            if total and bar.done < total:
                raise InputError(
                    f"the connection ended after {bar.done:,} of {total:,} bytes",
                    where=file.contentUrl,
                    hint="Run the same command again: it goes on from there",
                )
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # The partial file has the full length: the digest decides.
            return
        raise InputError(
            f"the server says {error.code} {error.reason}", where=file.contentUrl
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"cannot be reached ({reason})",
            where=file.contentUrl,
            hint=f"Check the network, or put the file at {part.with_suffix('')}",
        ) from error
    except OSError as error:
        free = shutil.disk_usage(part.parent).free
        raise InputError(
            f"cannot be written ({error.strerror}; {free / 1e9:.1f} GB free)", where=part
        ) from error


def _verify(file: File, path: Path, delete: bool) -> None:
    size = path.stat().st_size
    if not file.sha256 and file.contentSize and size != file.contentSize:
        raise InputError(f"has {size:,} bytes, must have {file.contentSize:,}", where=path,
                         hint="Delete it and get it again")  # fmt: skip
    if not file.sha256:
        console.print(f"{file.name}: no sha256 is published, the content is not verified")
        return
    digest = sha256(path)
    if digest != file.sha256:
        if delete:
            path.unlink()
        raise InputError(
            f"sha256 is {digest}, must be {file.sha256}",
            where=path,
            hint="It was deleted; get it again" if delete else "Delete it and get it again",
        )
