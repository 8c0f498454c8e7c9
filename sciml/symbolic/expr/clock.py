"""The clock that time limits are measured on: the wall's, or a processor's where measurements must
not depend on what else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable

_source: Callable[[], float] = time.perf_counter


def now() -> float:
    """Seconds; only differences mean anything."""
    return _source()


def count_processor_time() -> None:
    """From here on this process is limited by the processor seconds that it uses."""
    global _source
    _source = time.process_time
