"""Which rectangles overlap, and which lie inside a union of rectangles.

For the checker of legality alone, which shares no code with the placers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

TOLERANCE = 1e-6
"""Least overlap that counts [design units]."""
MAX_PAIRS = 100_000
"""Pairs that are listed; of more, every node that overlaps another is listed once."""


@njit(cache=True)
def _pairs(
    x0: Any, x1: Any, y0: Any, y1: Any, order: Any, start: Any, item: Any, bucket: Any,
    tolerance: float, out: Any,
) -> tuple[int, float]:  # fmt: skip
    """Overlapping pairs among rectangles that are sorted by x0 in horizontal strips."""
    n = 0
    area = 0.0
    for b in range(start.shape[0] - 1):
        for p in range(start[b], start[b + 1]):
            i = order[item[p]]
            for q in range(p + 1, start[b + 1]):
                j = order[item[q]]
                if x0[j] >= x1[i] - tolerance:
                    break
                dy = min(y1[i], y1[j]) - max(y0[i], y0[j])
                # A pair that shares several strips is counted in the first one only.
                if dy > tolerance and max(bucket[i], bucket[j]) == b:
                    dx = min(x1[i], x1[j]) - x0[j]
                    if dx > tolerance:
                        if n < out.shape[0]:
                            out[n, 0] = min(i, j)
                            out[n, 1] = max(i, j)
                        n += 1
                        area += dx * dy
                        if n >= 1000000:
                            return n, area
    return n, area


@njit(cache=True)
def _overlapped(
    x0: Any, x1: Any, y0: Any, y1: Any, order: Any, start: Any, item: Any, tolerance: float,
    furthest: Any, overlapped: Any,
) -> None:  # fmt: skip
    """overlapped[i]: rectangle i overlaps another; searched both ways, to the first hit."""
    for b in range(start.shape[0] - 1):
        reach = -np.inf
        for p in range(start[b], start[b + 1]):
            reach = max(reach, x1[order[item[p]]])
            furthest[p] = reach
        for p in range(start[b], start[b + 1]):
            i = order[item[p]]
            if overlapped[i]:
                continue
            for q in range(p + 1, start[b + 1]):
                j = order[item[q]]
                if x0[j] >= x1[i] - tolerance:
                    break
                if min(y1[i], y1[j]) - max(y0[i], y0[j]) > tolerance and (
                    min(x1[i], x1[j]) - x0[j] > tolerance
                ):
                    overlapped[i] = overlapped[j] = True
                    break
            q = p - 1
            while not overlapped[i] and q >= start[b] and furthest[q] > x0[i] + tolerance:
                j = order[item[q]]
                if min(y1[i], y1[j]) - max(y0[i], y0[j]) > tolerance and (
                    min(x1[i], x1[j]) - x0[i] > tolerance
                ):
                    overlapped[i] = overlapped[j] = True
                q -= 1


def overlapping(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray, strip: float
) -> tuple[int, float, np.ndarray, np.ndarray]:
    """(number of overlapping pairs, area, up to `MAX_PAIRS` of them [n, 2], which overlap [N]).

    Counting ends at a million pairs; the last result [N] bool is complete all the same.
    """
    out = np.zeros((1000, 2), np.int64)
    overlapped = np.zeros(len(x), bool)
    if len(x) < 2:
        return 0, 0.0, out[:0], overlapped
    x0, x1, y0, y1 = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    strip = max(strip, (y1.max() - y0.min()) / 4096, 1e-12)
    low = np.floor((y0 - y0.min()) / strip + 1e-9).astype(np.int64)
    high = np.maximum(np.ceil((y1 - y0.min()) / strip - 1e-9).astype(np.int64), low + 1)
    order = np.argsort(x0, kind="stable")
    spans = (high - low)[order]
    item = np.repeat(np.arange(len(x)), spans)
    offset = np.arange(len(item)) - np.repeat(np.cumsum(spans) - spans, spans)
    strips = low[order][item] + offset
    by_strip = np.argsort(strips, kind="stable")
    start = np.searchsorted(strips[by_strip], np.arange(strips.max() + 2))
    args = (x0, x1, y0, y1, order, start, item[by_strip])
    n, area = _pairs(*args, low, TOLERANCE, out)
    if n > len(out):
        out = np.zeros((min(n, MAX_PAIRS), 2), np.int64)
        n, area = _pairs(*args, low, TOLERANCE, out)
    if n > len(out):
        _overlapped(*args, TOLERANCE, np.empty(len(item)), overlapped)
    overlapped[out[: min(n, len(out))].ravel()] = True
    return int(n), float(area), out[: min(n, len(out))], overlapped


def inside_union(boxes: np.ndarray, union: np.ndarray, tolerance: float) -> np.ndarray:
    """Which boxes [N, 4] lie in a union of boxes [K, 4]."""
    t = tolerance
    inside = np.zeros(len(boxes), bool)
    for x0, y0, x1, y1 in union:
        inside |= (
            (boxes[:, 0] >= x0 - t) & (boxes[:, 1] >= y0 - t)
            & (boxes[:, 2] <= x1 + t) & (boxes[:, 3] <= y1 + t)
        )  # fmt: skip
    if len(union) > 1:
        for i in np.flatnonzero(~inside):
            left = [tuple(boxes[i])]
            for piece in union:
                left = [part for box in left for part in _minus(box, piece, t)]
            inside[i] = not left
    return inside


def _minus(box: tuple[float, ...], other: np.ndarray, t: float) -> list[tuple[float, ...]]:
    """Up to four boxes: one box without another, slivers thinner than t dropped."""
    x0, y0, x1, y1 = box
    a, b, c, d = other
    if a >= x1 or c <= x0 or b >= y1 or d <= y0:
        return [box]
    parts = [(x0, y0, min(a, x1), y1), (max(c, x0), y0, x1, y1)]
    low, high = max(x0, a), min(x1, c)
    parts += [(low, y0, high, min(b, y1)), (low, max(d, y0), high, y1)]
    return [p for p in parts if p[2] - p[0] > t and p[3] - p[1] > t]


def touching(boxes: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices of the boxes [N, 4] that overlap one box."""
    x0, y0, x1, y1 = other
    return np.flatnonzero(
        (np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0) > tolerance)
        & (np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0) > tolerance)
    )
