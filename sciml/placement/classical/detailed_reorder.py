"""Local reordering: the best order of three neighbours in a row, by trying all six."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.detailed_slots import settle, stand
from sciml.placement.classical.detailed_wire import FAST, change, keep, undo


@njit(**FAST)
def reorder_cells(wires: Any, places: Any, slots: Any) -> tuple[float, int]:
    """One pass over windows of three neighbours. Returns (gain, moves).

    Each order stands where the window began, or at the left or right end of its space.
    """
    orders = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    gain = 0.0
    moves = 0
    for s in range(slots.counts.shape[0]):
        begin = slots.first[s]
        end = begin + slots.counts[s]
        for q in range(begin, end - 1):
            n = min(3, end - q)
            total = 0
            for t in range(n):
                total += slots.width[slots.slots[q + t]]
            low = 0
            if q > begin:
                low = slots.site[slots.slots[q - 1]] + slots.width[slots.slots[q - 1]]
            high = slots.sites[s]
            if q + n < end:
                high = slots.site[slots.slots[q + n]]
            slack = high - low - total
            old = slots.site[slots.slots[q]]
            best = -1e-6 * slots.pitch
            choice = -1
            for o in range(6 if n == 3 else 2):
                for mode in range(3 if slack > 0 else 1):
                    first = low if mode == 1 else low + slack if mode == 2 else old
                    if mode == 0:
                        first = min(max(first, low), low + slack)
                        if o == 0:
                            continue
                    elif first == min(max(old, low), low + slack):
                        continue
                    moved = _arrange(slots, places, s, q, n, orders, o, first)
                    delta = change(wires, places, moved)
                    undo(places, moved)
                    if delta < best:
                        best = delta
                        choice = 3 * o + mode
            if choice < 0:
                continue
            mode = choice % 3
            first = low if mode == 1 else low + slack if mode == 2 else old
            first = min(max(first, low), low + slack)
            moved = _arrange(slots, places, s, q, n, orders, choice // 3, first)
            change(wires, places, moved)
            keep(places)
            settle(slots, places, moved)
            for t in range(n):
                slots.slots[q + t] = places.cells[t]
            gain -= best
            moves += moved
    return gain, moves


@njit(**FAST)
def _arrange(
    slots: Any, places: Any, s: int, q: int, n: int, orders: Any, o: int, first: int
) -> int:  # fmt: skip
    """The cells of a window in another order from site `first` on, as a trial."""
    moved = 0
    for t in range(n):
        i = slots.slots[q + orders[o, t]] if n == 3 else slots.slots[q + (t if o == 0 else 1 - t)]
        moved = stand(slots, places, moved, i, s, first)
        first += slots.width[i]
    return moved
