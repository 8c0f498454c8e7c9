"""Nets as two-pin segments: a rectilinear Steiner tree over the global cells of their pins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.cost.wirelength import steiner_points, steiner_tree


@njit(cache=True, nogil=True)
def _segments(
    start: Any, row: Any, column: Any, most: int, mark: Any, columns: int, out: Any
) -> tuple[int, int]:
    """Fill `out` [S, 4] (row, column, row, column). Returns (segments, nets left out)."""
    count = 0
    left_out = 0
    for n in range(start.shape[0] - 1):
        pins = start[n + 1] - start[n]
        if pins < 2:
            continue
        room = pins + steiner_points(pins)
        x = np.empty(room)
        y = np.empty(room)
        k = 0
        for i in range(start[n], start[n + 1]):
            cell = row[i] * columns + column[i]
            if mark[cell] != n:
                mark[cell] = n
                y[k] = row[i]
                x[k] = column[i]
                k += 1
        if k < 2:
            continue
        if k > most:
            left_out += 1
            continue
        one = np.empty(room, np.int64)
        two = np.empty(room, np.int64)
        edges = steiner_tree(x, y, k, one, two)[1]
        for e in range(edges):
            a = one[e]
            b = two[e]
            if x[a] == x[b] and y[a] == y[b]:
                continue
            out[count, 0] = int(y[a])
            out[count, 1] = int(x[a])
            out[count, 2] = int(y[b])
            out[count, 3] = int(x[b])
            count += 1
    return count, left_out


def segments(
    net_start: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int], most: int
) -> tuple[np.ndarray, int]:
    """([S, 4] ends of segments as row, column, row, column; nets in more than `most` cells).

    Args:
        net_start: first pin of every net [M + 1]; row, column: global cell of every pin [P].
        shape: rows and columns of the grid.
    """
    room = 2 * len(row) + 1
    out = np.empty((room, 4), np.int32)
    mark = np.full(shape[0] * shape[1], -1, np.int64)
    count, left_out = _segments(net_start, row, column, most, mark, shape[1], out)
    return out[:count].copy(), left_out
