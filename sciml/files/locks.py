"""One process at a time works in a folder: a lock that names its owner and dies with it.

The owner is a process on a host, known by its number and its start time, because numbers are
reused. What a dead owner of this host left behind, locks and half-written files, is proven
to be abandoned; of another host nothing can be proven, so its lock is respected.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from sciml.errors import InputError, unwritable

NAME = ".sciml.lock"
"""The lock of a folder."""
_held: dict[tuple[int, Path], Owner] = {}  # (process, lock file): a fork holds nothing of it


@dataclass(frozen=True)
class Owner:
    """A process, as a lock names it."""

    host: str
    """Name of the machine and its installation's number."""
    pid: int
    start: str
    """When it began, in the system's own form; empty where the system does not say."""
    since: str = ""
    """When it took the lock, for people."""
    command: str = ""
    job: str = ""
    """Of SLURM: cluster, number of the job, and how often it was queued again."""

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(
            _host(), os.getpid(), _start(os.getpid()) or "",
            time.strftime("%Y-%m-%d %H:%M:%S"), " ".join(sys.argv)[:200],
            _job(),
        )  # fmt: skip

    def is_elsewhere(self) -> bool:
        """Whether it ran on another machine, so that nothing is known of it."""
        return self.host != _host()

    def is_dead(self) -> bool:
        """Whether it surely runs no more: of this machine, and gone or its number reused."""
        job, now = self.job.rpartition("/")[0], _job()
        if job and self.job != now and now.rpartition("/")[0] == job:
            return True  # SLURM queues a job again when all its processes have ended
        if self.is_elsewhere():
            return False
        start = _start(self.pid)
        return start is None or bool(self.start and start and start != self.start)


def _job() -> str:
    names = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_RESTART_COUNT")
    cluster, number, restarts = (os.environ.get(name, "") for name in names)
    return f"{cluster}/{number}/{restarts or 0}" if number else ""


@cache
def _host() -> str:
    machine = ""
    with suppress(OSError):  # machines are cloned with their names
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()[:8]
    return f"{socket.gethostname()}:{machine}" if machine else socket.gethostname()


def _start(pid: int) -> str | None:
    """Start time of a process of this machine; None if it is gone, empty if unknown."""
    if sys.platform == "linux" and os.path.isdir("/proc/self"):
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the name before may hold anything
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (OSError, OverflowError):
        pass
    import subprocess

    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10
        )
        return re.sub(r"\W+", "", done.stdout)
    return ""


def _is_first() -> bool:
    """Whether this process is alone or the first of a group, which takes the group's locks."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def locked(folder: str | os.PathLike[str], *, wait: bool = False) -> AbstractContextManager[None]:
    """A context in which this process alone works in a folder.

    A process may take a lock again that it has; of a group of processes under torchrun the first
    one takes it for all. A folder that was made for the lock and is empty at the end goes with it.

    Args:
        folder: is made if it is missing.
        wait: wait for another process, instead of refusing.

    Raises:
        InputError: another process works there, by name; or the folder cannot be written.
    """
    return _hold(Path(folder) / NAME, Path(folder), wait)


def locked_file(
    path: str | os.PathLike[str], *, wait: bool = False
) -> AbstractContextManager[None]:
    """The same for one file, which need not exist."""
    path = Path(path)
    return _hold(path.with_name(f".{path.name}{NAME}"), path, wait)


@contextmanager
def _hold(lock: Path, path: Path, wait: bool) -> Iterator[None]:
    key = (os.getpid(), lock.resolve())
    if not _is_first() or key in _held:
        yield
        return
    made = make_folder(lock.parent)
    try:
        me = _held[key] = _take(lock, path, wait)
        try:
            yield
        finally:
            del _held[key]
            if _read(lock) == me:
                lock.unlink(missing_ok=True)
    finally:
        remove_empty(made)


def _take(lock: Path, path: Path, wait: bool) -> Owner:
    announced = False
    while True:
        with _guard(lock.parent):
            owner = _read(lock)
            if owner is None and not lock.exists() or owner is not None and owner.is_dead():
                me = Owner.here()
                _write(lock, me, new=owner is None)
                if _read(lock) == me:
                    return me
                owner = _read(lock)
        if not wait:
            raise _busy(lock, path, owner)
        if not announced:
            print(f"sciml: waiting: {_busy(lock, path, owner)}", file=sys.stderr)
            announced = True
        time.sleep(0.5)


def _busy(lock: Path, path: Path, owner: Owner | None) -> InputError:
    if owner is None:
        return InputError(
            "is in use, but its lock cannot be read",
            where=path,
            hint=f"If no process works there, delete {str(lock)!r}",
        )
    host, _, _ = owner.host.partition(":")
    what = f"is in use by process {owner.pid} on {host} since {owner.since} ({owner.command})"
    if owner.is_elsewhere():
        hint = f"If that process is gone, delete {str(lock)!r}; else wait, or choose another place"
    else:
        hint = "Wait until it has ended, or choose another place"
    return InputError(what, where=path, hint=hint)


def _read(lock: Path) -> Owner | None:
    try:
        content = json.loads(lock.read_text(encoding="utf-8"))
        return Owner(str(content["host"]), int(content["pid"]), str(content["start"]),
                     str(content["since"]), str(content["command"]),
                     str(content.get("job", "")))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(lock: Path, owner: Owner, new: bool) -> None:
    """Write a lock atomically; one that another process has made meanwhile stays."""
    part = lock.with_name(f"{lock.name}-{token()}-lock.part")
    try:
        part.write_text(json.dumps(asdict(owner)), encoding="utf-8")
        if not new:
            os.replace(part, lock)
            return
        try:
            os.link(part, lock)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            with suppress(FileExistsError), open(lock, "x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(owner)))
    except OSError as error:
        raise unwritable(lock.parent, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Between looking at a lock and taking it, no other process of this machine does the same."""
    handle = None
    with suppress(ImportError, OSError):  # no such call, or not on this file system
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder; those of it and its parents that were not there, the innermost first.

    Raises:
        InputError: it cannot be made.
    """
    made: list[Path] = []
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        for path in reversed(missing):
            with suppress(FileExistsError):
                path.mkdir()
                made.insert(0, path)
        if not folder.is_dir():
            raise NotADirectoryError(20, "a file is in the way")
    except OSError as error:
        remove_empty(made)
        raise unwritable(folder, error) from error
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove those of some folders that are empty, in this order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def token() -> str:
    """This process in a few letters, for the names of its temporary files."""
    return f"{zlib.crc32(_host().encode()):08x}-{os.getpid()}-{_start(os.getpid()) or 0}"


def left_by_the_dead(path: Path) -> bool:
    """Whether the process whose `token` a file's name holds ran on this machine and is gone."""
    match = re.search(r"([0-9a-f]{8})-(\d+)-(\d+|[A-Za-z]\w+)[-.]", path.name)
    if match is None or match[1] != f"{zlib.crc32(_host().encode()):08x}":
        return False
    return Owner(_host(), int(match[2]), "" if match[3] == "0" else match[3]).is_dead()


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files (`paths.atomic_write`) of dead processes of this machine."""
    for path in folder.rglob(".*-*-*-*.part*"):
        if path.is_file() and left_by_the_dead(path):
            with suppress(OSError):
                path.unlink()
