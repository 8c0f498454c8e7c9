"""The sum of the k largest of some values that change little from call to call.

Density and congestion are means over the worst cells of a grid. Instead of sorting, the
threshold of the last call is corrected until k values lie above it: two or three vectorised passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FAST: dict[str, Any] = {
    "cache": True,
    "fastmath": {"contract", "nsz", "reassoc", "nnan"},
    "error_model": "numpy",
    # Nothing here allocates: without reference counts, passing the two tuples costs nothing.
    "_nrt": False,
    "nogil": True,
}
INLINE = {**FAST, "forceinline": True}
"""For small functions that take the two large tuples: passing those takes longer than the work."""


@njit(**FAST)
def _above(v: Any, t: float) -> tuple[int, float]:
    """Count and sum of the values above t (one vectorised pass)."""
    n = 0
    total = 0.0
    for i in range(v.shape[0]):
        z = v[i]
        if z > t:
            n += 1
            total += z
    return n, total


@njit(**FAST)
def _as_double(bits: Any) -> float:
    return np.int64(bits).view(np.float64)


@njit(**FAST)
def _around(v: Any, bits: Any, t: float) -> tuple[float, float]:
    """The least value above t and the largest not above it.

    `bits` are the same numbers seen as int64: positive doubles keep their order, and compilers
    vectorise minima of integers only.
    """
    least = np.int64(9218868437227405311)  # the largest double
    most = np.int64(0)
    for i in range(v.shape[0]):
        b = bits[i]
        if v[i] > t:
            least = min(least, b)
        else:
            most = max(most, b)
    return _as_double(least), _as_double(most)


@njit(**FAST)
def top_sum(v: Any, bits: Any, k: int, level: Any, which: int, limit: float) -> float:
    """The sum of the k largest values, or a lower bound of it that already exceeds `limit`.

    Corrects the last threshold until k values lie above it. Values are never negative but for
    rounding; many may be equal (usage is a multiple of one net).
    """
    t = level[which, 0]
    gap = level[which, 1]
    low = 0.0  # more than k values are above it
    high = 1e300  # fewer than k
    n_low = v.shape[0]
    n_high = 0
    n, total = _above(v, t)
    if n < k:
        with_equal, _ = _above(v, np.nextafter(t, -1.0))
        if with_equal >= k:
            return total + (k - n) * t
    for step in range(80):
        if n == k:
            level[which, 0] = t
            return total
        if n > k:
            # The k largest have at least the mean of the n largest.
            if total * k > limit * n:
                level[which, 0] = t
                return total * k / n
            low = t
            n_low = n
        else:
            high = t
            n_high = n
        if abs(n - k) < 4 or step > 50:
            least, most = _around(v, bits, t)
            if n > k:
                after, rest = _above(v, least)
                if after <= k:
                    level[which, 0] = least
                    return rest + (k - after) * least
                t, n, total = least, after, rest
            else:
                t = np.nextafter(most, -1.0)
                after, rest = _above(v, t)
                if after >= k:
                    level[which, 0] = most
                    return total + (k - n) * most
                n, total = after, rest
            continue
        if high < 1e300 and low > 0:
            share = (n_low - k + 0.5) / (n_low - n_high + 1.0)
            t = low + (high - low) * (share if step % 2 else 0.5)
        else:
            t = max(t + (n - k) * gap * 2.0**step, 0.0)
        n, total = _above(v, t)
    # Does not happen in practice: from the top, one distinct value at a time.
    t = 1e300
    n = 0
    total = 0.0
    while n < k:
        _, most = _around(v, bits, t)
        t = np.nextafter(most, -1.0)
        after, _ = _above(v, t)
        total += most * (min(after, k) - n)
        n = after
    return total
