"""The clock of the time limits: wall-clock time, or CPU time in benchmarks, whose results must not
depend on what else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable

_source: Callable[[], float] = time.perf_counter


def now() -> float:
    """Seconds since an arbitrary moment."""
    return _source()


def use_cpu_time() -> None:
    """From now on the limits of this process are CPU seconds."""
    global _source
    _source = time.process_time
