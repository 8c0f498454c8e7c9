"""Slices of one large tensor worked on at once, each by one core from beginning to end.

torch splits every single operation over the cores and waits for all of them after each. Where a
slice goes through many operations it is better off on one core, whose cache then holds it, and
the cores wait for one another only at the end; a core that has other work just takes fewer slices.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import torch

_cores: ContextVar[int] = ContextVar("cores", default=0)


@contextlib.contextmanager
def by_slices(device: torch.device) -> Iterator[None]:
    """Within, on a CPU without gradients, only `for_each` uses several cores.

    The small operations between slices would otherwise wake torch's own threads, which then wait
    for more work at full speed and take the cores from the slices.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or torch.is_grad_enabled():
        yield
        return
    token = _cores.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _cores.reset(token)


def cores() -> int:
    """How many cores `for_each` uses here."""
    return _cores.get() or torch.get_num_threads()


def for_each(parts: Sequence[slice], work: Callable[[slice], None], device: torch.device) -> None:
    """Call `work` on every part, in parallel on a CPU when gradients are off.

    Args:
        parts: must not depend on one another.
        work: writes its result where it belongs.
        device: of the tensors.
    """
    threads = min(cores(), len(parts))
    parallel = device.type == "cpu" and threads > 1 and not torch.is_grad_enabled()
    if not parallel or torch.is_autocast_enabled(device.type):
        for part in parts:
            work(part)
        return
    queue = iter(parts)

    def run() -> None:
        with torch.no_grad():
            for part in queue:  # the next one that no thread has taken
                work(part)

    pool = _pool(cores(), os.getpid())
    for done in [pool.submit(run) for _ in range(threads)]:
        done.result()


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads in which torch uses one core; a forked process makes its own."""
    before = torch.get_num_threads()
    together = threading.Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first call sets the process-wide number
        torch.set_num_threads(1)  # of this thread and of threads that start later
        together.wait()

    pool = ThreadPoolExecutor(threads, "sciml-slices", start)
    for _ in range(threads):
        pool.submit(int)
    together.wait()
    torch.set_num_threads(before)
    return pool
