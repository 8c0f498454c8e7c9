"""A handle on a process that can be killed: solving and verifying run there, with time and memory
limits.

A signal handler could not limit the time (it fails off the main thread and inside a long call into
C); a process can always be ended. The parent sends one line of JSON per job (`jobs`) and reads
messages back; `worker_process` is the other side.
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.symbolic.jobs import Job

GRACE = 0.5
"""Seconds over the limit after which a worker is killed."""
START_UP = 120.0
"""Seconds that the process may take to load."""


class Worker:
    """One child process; started when first used, restarted after it had to be killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._buffer = b""
        self._ready = False

    def launch(self) -> None:
        """Start the child without waiting for it, so that it loads while the caller does."""
        with self._lock:
            self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "sciml.symbolic.worker_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
            )
            self._buffer, self._ready = b"", False
            atexit.register(self.close)
        return self._child

    def _start(self) -> subprocess.Popen[bytes]:
        child = self._launch()
        if not self._ready:
            for _ in self._messages(START_UP):
                break
            self._ready = True
        return child

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

    def ask(self, job: Job, seconds: float) -> tuple[dict[str, Any] | None, list[dict]]:
        """The final message (None when the child was killed or died) and the interim ones.

        Args:
            job: the problem.
            seconds: wall-clock seconds after which the child is killed, beside those that a library
                takes to load.
        """
        from sciml.symbolic.jobs import to_json  # not before the child is launched

        with self._lock:
            child = self._start()
            if child.stdin is None:
                raise RuntimeError("the worker has no input")
            child.stdin.write(json.dumps(to_json(job)).encode() + b"\n")
            child.stdin.flush()
            interim: list[dict] = []
            for message in self._messages(seconds + GRACE):
                if message.get("final"):
                    return message, interim
                if not message.get("ready"):  # of a child that took longer to start than START_UP
                    interim.append(message)
            self.close()
            return None, interim

    def _messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        child = self._child
        if child is None or child.stdout is None:
            return
        left, end = seconds, time.monotonic() + seconds
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                message = json.loads(line)
                if "loading" not in message:
                    yield message
                elif message["loading"]:  # a library: not of the time of the problem
                    left, end = end - time.monotonic(), time.monotonic() + START_UP
                else:
                    end = time.monotonic() + left
                continue
            wait = end - time.monotonic()
            if wait <= 0 or not select.select([child.stdout], [], [], wait)[0]:
                return
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                return
            self._buffer += data


_shared: Worker | None = None


def shared() -> Worker:
    """The worker that all calls without one of their own use."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared
