"""A process that can be killed: solving and verifying run in it, with time and memory limits.

The parent sends one JSON line a problem and reads one a message back; expressions travel as lists
of nodes (`wire`), never as code. A signal handler could not do this (it fails off the main thread
and inside a long call into C); a process can always be ended.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from sciml.errors import InputError
from sciml.symbolic import jobs

MEMORY = 1_900_000_000
"""Bytes of data that a worker may hold."""
GRACE = 0.5
"""Seconds over the limit after which a worker is killed."""


class Worker:
    """One child process; started when first used, restarted after it had to be killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._buffer = b""

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "sciml.symbolic.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
            )
            self._buffer = b""
            atexit.register(self.close)
            for _ in self._messages(120.0):
                break  # ready
        return self._child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._child = None

    def ask(self, job: dict[str, Any], seconds: float) -> tuple[dict[str, Any] | None, list[dict]]:
        """The final message (None when the child was killed or died) and the ones before it."""
        with self._lock:
            child = self._start()
            if child.stdin is None:
                raise RuntimeError("the worker has no input")
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            before: list[dict] = []
            for message in self._messages(seconds + GRACE):
                if message.get("final"):
                    return message, before
                if not message.get("ready"):  # a slow start, heard of only now
                    before.append(message)
            self.close()
            return None, before

    def _messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        child = self._child
        if child is None or child.stdout is None:
            return
        end = time.monotonic() + seconds
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                yield json.loads(line)
                continue
            left = end - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                return
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                return
            self._buffer += data


_shared: Worker | None = None


def shared() -> Worker:
    """The worker of this process."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def main() -> None:
    """Read problems from standard input until it closes."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    sys.setrecursionlimit(6000)
    _limit()

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")

    send({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = jobs.run(job, send)
        except MemoryError:
            answer = {"status": "timeout", "how": "out of memory"}
        except (InputError, RecursionError, ArithmeticError, ValueError) as error:
            answer = {"status": "no_answer", "how": f"{type(error).__name__}: {error}"[:300]}
        send({**answer, "final": True})


if __name__ == "__main__":
    main()
