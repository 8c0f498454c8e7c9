"""Runs a numba kernel over ranges of rows, with as many threads as torch uses.

The kernels are compiled with `nogil=True` and write disjoint rows, so plain threads suffice:
numba's own `parallel=True` keeps an OpenMP pool that does not survive the fork of a data loader.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

SMALL = 2048
"""Fewer rows than this are not worth a thread."""


def over_rows(kernel: Callable[..., None], rows: int, *arguments: object) -> None:
    """Call `kernel(start, stop, *arguments)` on ranges that cover 0..rows."""
    threads = min(torch.get_num_threads(), max(1, rows // SMALL))
    if threads == 1:
        kernel(0, rows, *arguments)
        return
    # Four ranges per thread even out segments of unequal length.
    bounds = torch.linspace(0, rows, 4 * threads + 1).long().tolist()
    with ThreadPoolExecutor(threads) as pool:
        for done in [
            pool.submit(kernel, start, stop, *arguments)
            for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
        ]:
            done.result()
