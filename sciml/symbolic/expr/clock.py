"""The clock of the time limits: wall-clock time, or CPU time in benchmarks, whose results must not
depend on what else the machine does."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_source: Callable[[], float] = time.perf_counter


class TimeUp(BaseException):
    """A block of `at_most` takes too long; not an `Exception`, lest a library swallow it."""


def now() -> float:
    """Seconds since an arbitrary moment."""
    return _source()


def use_cpu_time() -> None:
    """From now on the limits of this process are CPU seconds."""
    global _source
    _source = time.process_time


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the block after seconds of this clock; only the main thread can be interrupted.

    Blocks may be nested: an inner one does not extend the time of an outer one.

    Raises:
        TimeUp: when they are over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wall = _source is not time.process_time
    timer, number = (
        (signal.ITIMER_REAL, signal.SIGALRM) if wall else (signal.ITIMER_PROF, signal.SIGPROF)
    )

    fired = False

    def stop(*_: Any) -> None:
        nonlocal fired
        fired = True
        raise TimeUp

    started = now()
    outer = signal.getitimer(timer)[0]
    previous = signal.signal(number, stop)
    signal.setitimer(timer, max(min(seconds, outer) if outer else seconds, 1e-3))
    try:
        yield
    except SystemError as error:  # of compiled code that was interrupted in a call back
        if not fired:
            raise
        raise TimeUp from error
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, previous)
        if outer:
            signal.setitimer(timer, max(outer - (now() - started), 1e-3))
