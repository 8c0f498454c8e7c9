"""Global and vertical moves of detailed placement: cells go to or swap into their optimal region.

FastPlace-DP (Pan, Viswanathan and Chu, ICCAD 2005): the optimal region of a cell is the weighted
median box of its nets. Here a cell is inserted between two others near it, which are pushed aside,
or exchanged with a cell of any width; every trial is measured exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.detailed_slots import (
    LONGEST_PUSH,
    insert,
    put_in,
    room_for,
    settle,
    slot_at,
    take_out,
)
from sciml.placement.classical.detailed_wire import (
    FAST,
    best_region,
    change,
    keep,
    length_at,
    outline,
    undo,
)

TRIALS = 8
"""Places that are measured exactly per cell, the most promising ones."""


@njit(**FAST)
def _offer(offers: Any, gain: Any, value: float, s: int, q: int, site: int) -> None:
    """Keep the TRIALS best offers, sorted; site -1: a swap with the cell of slot q."""
    k = gain.shape[0] - 1
    if value <= gain[k]:
        return
    while k > 0 and gain[k - 1] < value:
        gain[k] = gain[k - 1]
        for t in range(3):
            offers[k, t] = offers[k - 1, t]
        k -= 1
    gain[k] = value
    offers[k, 0] = s
    offers[k, 1] = q
    offers[k, 2] = site


@njit(**FAST)
def _look(
    wires: Any, places: Any, slots: Any, i: int, count: int, now: float, s: int, tx: float,
    nearby: int, offers: Any, gain: Any,
) -> None:  # fmt: skip
    """Offer gaps and partners of segment s near x."""
    w = slots.width[i]
    up = slots.side[slots.cell_class[i], s]
    rows = places.outline
    y = slots.y[s] + slots.half_height
    base = slots.x[s]
    if slots.sites[s] < w:
        return
    wish = int(np.round((tx - slots.half[i] - base) / slots.pitch))
    wish = min(max(wish, 0), slots.sites[s] - w)
    middle = slot_at(slots, s, wish)
    begin = slots.first[s]
    end = begin + slots.counts[s]
    may = room_for(slots, i, s)
    for q in range(max(middle - nearby, begin), min(middle + nearby, end) + 1):
        if may:  # the gap in front of slot q
            a = 0
            if q > begin:
                j = slots.slots[q - 1]
                a = slots.site[j] + slots.width[j]
                if j == i:
                    a -= w
            b = slots.sites[s]
            if q < end:
                j = slots.slots[q]
                b = slots.site[j]
                if j == i:
                    b += w
            if b - a >= w:
                site = min(max(wish, a), b - w)
                x = base + site * slots.pitch + slots.half[i]
                _offer(offers, gain, now - length_at(rows, count, x, y, up), s, q, site)
            else:
                for mode in range(3):
                    site = a if mode == 0 else b - w if mode == 1 else (a + b - w) // 2
                    site = min(max(site, 0), slots.sites[s] - w)
                    x = base + site * slots.pitch + slots.half[i]
                    _offer(offers, gain, now - length_at(rows, count, x, y, up), s, q, site)
        if q < end:
            j = slots.slots[q]
            home = slots.segment[i]
            if j != i and slots.side[slots.cell_class[j], home] != 0:
                if s == home and abs(slots.site[j] - slots.site[i]) < 4 * w:
                    continue  # neighbours are reordered elsewhere
                extra = slots.width[j] - w
                if (
                    slots.used[s] - extra > slots.capacity[s]
                    or slots.used[home] + extra > slots.capacity[home]
                ):
                    continue
                _offer(
                    offers, gain, now - length_at(rows, count, places.x[j], y, up), s, q, -1
                )  # fmt: skip


@njit(**FAST)
def _swap(slots: Any, places: Any, i: int, j: int, q: int, home_slot: int) -> int:
    """Exchange two cells, middle to middle, as a trial."""
    s = slots.segment[j]
    home = slots.segment[i]
    wi = slots.width[i]
    wj = slots.width[j]
    site = min(max(slots.site[j] + (wj - wi) // 2, 0), slots.sites[s] - wi)
    n = insert(slots, places, 0, i, s, q, site, q + 1, False)
    if n < 0:
        return n
    pushed = n > 1
    site = min(max(slots.site[i] + (wi - wj) // 2, 0), slots.sites[home] - wj)
    before = n
    n = insert(slots, places, n, j, home, home_slot, site, home_slot + 1, False)
    if n < 0:
        return n
    # Pushes of both must not meet.
    if s == home and abs(q - home_slot) <= 2 * LONGEST_PUSH + 2 and (pushed or n > before + 1):
        return -(n + 1)
    return n


@njit(**FAST)
def move_cells(
    wires: Any, places: Any, slots: Any, order: Any, reach: int, nearby: int
) -> tuple[float, int]:  # fmt: skip
    """One pass over the cells in this order. Returns (gain, moves).

    reach: rows above and below that are looked at; nearby: slots to either side.
    """
    total = 0.0
    moves = 0
    offers = np.zeros((TRIALS, 3), np.int64)
    gain = np.zeros(TRIALS)
    region = np.zeros(4)
    work = np.zeros((2, 2 * places.outline.shape[0] + 2))
    levels = slots.level_y.shape[0]
    small = 1e-6 * slots.pitch
    for i in order:
        count = outline(wires, places, i, places.outline)
        if count == 0:
            continue
        x = places.x[i]
        y = places.y[i]
        now = length_at(places.outline, count, x, y, places.up[i])
        best_region(places.outline, count, work, region)
        tx = min(max(x, region[0]), region[1])
        ty = min(max(y, region[2]), region[3])
        if now - length_at(places.outline, count, tx, ty, places.up[i]) < small:
            continue
        gain[:] = small
        offers[:] = 0
        offers[:, 1] = -1
        bottom = ty - slots.half_height
        level = np.searchsorted(slots.level_y, bottom)
        low = max(level - reach, 0)
        high = min(level + reach, levels)
        for v in range(low, high):
            a = slots.level_start[v]
            b = slots.level_start[v + 1]
            s = a + np.searchsorted(slots.x[a:b], tx, side="right") - 1
            for t in range(max(s, a), min(s + 2, b)):
                if slots.side[slots.cell_class[i], t] == 0:
                    continue
                away = max(slots.x[t] - tx, tx - slots.x[t] - slots.sites[t] * slots.pitch, 0.0)
                if away < 0.5 * abs(tx - x) + 0.5 * abs(ty - y):
                    _look(wires, places, slots, i, count, now, t, tx, nearby, offers, gain)
        home = slots.segment[i]
        best = -small
        choice = -1
        for k in range(TRIALS):
            if offers[k, 1] < 0:
                break
            n = _try(slots, places, i, offers[k])
            if n < 0:
                undo(places, -n - 1)
                continue
            delta = change(wires, places, n)
            undo(places, n)
            if delta < best:
                best = delta
                choice = k
        if choice < 0:
            continue
        n = _try(slots, places, i, offers[choice])
        change(wires, places, n)
        keep(places)
        s = offers[choice, 0]
        q = offers[choice, 1]
        home_slot = slot_at(slots, home, slots.site[i])
        if offers[choice, 2] < 0:
            j = slots.slots[q]
            slots.slots[q] = i
            slots.slots[home_slot] = j
            extra = slots.width[i] - slots.width[j]
            slots.used[s] += extra
            slots.used[home] -= extra
            slots.segment[i] = s
            slots.segment[j] = home
        else:
            take_out(slots, home_slot)
            if s == home and home_slot < q:
                q -= 1
            put_in(slots, i, s, q)
        settle(slots, places, n)
        total -= best
        moves += 1
    return total, moves


@njit(**FAST)
def _try(slots: Any, places: Any, i: int, offer: Any) -> int:
    if offer[2] < 0:
        home_slot = slot_at(slots, slots.segment[i], slots.site[i])
        return _swap(slots, places, i, slots.slots[offer[1]], offer[1], home_slot)
    return insert(slots, places, 0, i, offer[0], offer[1], offer[2], offer[1], True)
