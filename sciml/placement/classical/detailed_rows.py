"""The best positions of the cells of one segment of a row, in the order in which they stand.

Kahng, Tucker and Zelikovsky, "Optimization of linear placements for wirelength minimization with
free sites" (ASP-DAC 1999): with the order and all other cells given, only the first and the last
cell of a net in the segment stretch it, so the length is a sum of convex functions of one position
each. Without the widths of the cells before them, positions must not fall: an isotonic regression,
solved exactly by a heap of the slopes' changes. Between two sites the functions are made straight,
so that the best positions are sites.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.detailed_slots import settle, stand
from sciml.placement.classical.detailed_wire import FAST, change, keep, undo


@njit(**FAST)
def _push(at: Any, by: Any, n: int, position: float, slope: float) -> int:
    """Insert into the heap, the largest position on top; returns the new size."""
    k = n
    while k > 0 and at[(k - 1) // 2] < position:
        at[k] = at[(k - 1) // 2]
        by[k] = by[(k - 1) // 2]
        k = (k - 1) // 2
    at[k] = position
    by[k] = slope
    return n + 1


@njit(**FAST)
def _pop(at: Any, by: Any, n: int) -> int:
    """Remove the top of the heap; returns the new size."""
    n -= 1
    position = at[n]
    slope = by[n]
    k = 0
    while 2 * k + 1 < n:
        c = 2 * k + 1
        if c + 1 < n and at[c + 1] > at[c]:
            c += 1
        if at[c] <= position:
            break
        at[k] = at[c]
        by[k] = by[c]
        k = c
    at[k] = position
    by[k] = slope
    return n


@njit(**FAST)
def _bend(at: Any, by: Any, n: int, position: float, slope: float, most: int) -> int:
    """A change of slope between sites is shared by the two beside it, within 0 .. most."""
    if slope == 0:
        return n
    if position <= 0:
        return _push(at, by, n, 0.0, slope)
    if position >= most:
        return _push(at, by, n, float(most), slope)
    low = np.floor(position)
    part = position - low
    if part < 1e-9:
        return _push(at, by, n, low, slope)
    if part > 1 - 1e-9:
        return _push(at, by, n, low + 1, slope)
    n = _push(at, by, n, low, slope * (1 - part))
    return _push(at, by, n, low + 1, slope * part)


@njit(**FAST)
def isotonic(
    bends_start: Any, position: Any, slope: Any, first_slope: Any, now: Any, most: int, out: Any
) -> None:  # fmt: skip
    """out[k] in 0 .. most, not falling with k, with the least sum of convex functions.

    Function k has the slope first_slope[k] <= 0 at the far left, which grows by slope[b] at
    position[b] for b in bends_start[k] .. bends_start[k + 1]. Ties: as near to now[k] as may be.
    """
    cells = now.shape[0]
    at = np.empty(2 * position.shape[0] + 2)
    by = np.empty(2 * position.shape[0] + 2)
    low = np.empty(cells)
    high = np.empty(cells)
    n = 0
    for k in range(cells):
        last = first_slope[k]
        for b in range(bends_start[k], bends_start[k + 1]):
            n = _bend(at, by, n, position[b], slope[b], most)
            last += slope[b]
        # Slopes beyond the minimum do not matter to the cells behind: they are cut to zero.
        high[k] = most
        while last > 1e-9 and n > 0:
            high[k] = at[0]
            if by[0] > last + 1e-9:
                by[0] -= last
                last = 0.0
            else:
                last -= by[0]
                n = _pop(at, by, n)
        low[k] = at[0] if n > 0 else 0.0
        if last < -1e-9:  # it falls to the end
            low[k] = most
            n = _push(at, by, n, float(most), -last)
    limit = float(most)
    for k in range(cells - 1, -1, -1):
        out[k] = min(limit, min(max(float(now[k]), low[k]), high[k]))
        limit = out[k]


@njit(**FAST)
def best_positions(wires: Any, places: Any, slots: Any) -> tuple[float, int]:
    """One pass over all segments: cells to their best sites, in order. Returns (gain, moves)."""
    gain = 0.0
    moves = 0
    nets = wires.weight.shape[0]
    leftmost = np.full(nets, -1, np.int64)
    rightmost = np.full(nets, -1, np.int64)
    longest = slots.counts.max() if slots.counts.shape[0] else 0
    pins = 0
    for s in range(slots.counts.shape[0]):
        here = 0
        for q in range(slots.first[s], slots.first[s] + slots.counts[s]):
            i = slots.slots[q]
            here += wires.pins_start[i + 1] - wires.pins_start[i]
        pins = max(pins, here)
    bends_start = np.zeros(longest + 1, np.int64)
    first_slope = np.zeros(longest)
    now = np.zeros(longest, np.int64)
    out = np.zeros(longest)
    position = np.zeros(2 * pins + 1)
    slope = np.zeros(2 * pins + 1)
    for s in range(slots.counts.shape[0]):
        cells = slots.counts[s]
        if cells == 0:
            continue
        f = slots.first[s]
        for q in range(f, f + cells):
            i = slots.slots[q]
            for o in range(wires.pins_start[i], wires.pins_start[i + 1]):
                net = wires.net[wires.pins[o]]
                if leftmost[net] < 0:
                    leftmost[net] = i
                rightmost[net] = i
        b = 0
        taken = 0
        for q in range(f, f + cells):
            k = q - f
            i = slots.slots[q]
            bends_start[k] = b
            first_slope[k] = 0.0
            now[k] = slots.site[i] - taken
            base = slots.x[s] + slots.half[i] + taken * slots.pitch
            for o in range(wires.pins_start[i], wires.pins_start[i + 1]):
                p = wires.pins[o]
                net = wires.net[p]
                if leftmost[net] != i and rightmost[net] != i:
                    continue
                seen = False
                low = wires.dx[p]
                high = wires.dx[p]
                for r in range(wires.pins_start[i], wires.pins_start[i + 1]):
                    if wires.net[wires.pins[r]] == net:
                        if r < o:
                            seen = True
                        low = min(low, wires.dx[wires.pins[r]])
                        high = max(high, wires.dx[wires.pins[r]])
                if seen:  # one bend for two pins on one net
                    continue
                x0 = np.inf
                x1 = -np.inf
                inner = False
                box = places.box[net]
                if wires.start[net + 1] - wires.start[net] > 8:
                    # Where this segment does not make the box, the box is known.
                    a = places.x[leftmost[net]] - slots.half[leftmost[net]]
                    z = places.x[rightmost[net]] + slots.half[rightmost[net]]
                    if a > box[0] + 1e-6 and z < box[1] - 1e-6:
                        x0 = box[0]
                        x1 = box[1]
                        inner = True
                if not inner:
                    for r in range(wires.start[net], wires.start[net + 1]):
                        j = wires.node[r]
                        if slots.moves[j] and slots.segment[j] == s:
                            continue
                        px = places.x[j] + wires.dx[r]
                        x0 = min(x0, px)
                        x1 = max(x1, px)
                w = wires.weight[net]
                alone = x1 < x0  # no pins elsewhere
                if alone and leftmost[net] == rightmost[net]:
                    continue
                if leftmost[net] == i:
                    first_slope[k] -= w
                    if not alone:
                        position[b] = (x0 - low - base) / slots.pitch
                        slope[b] = w
                        b += 1
                if rightmost[net] == i:
                    position[b] = -1.0 if alone else (x1 - high - base) / slots.pitch
                    slope[b] = w
                    b += 1
            taken += slots.width[i]
        bends_start[cells] = b
        for q in range(f, f + cells):
            i = slots.slots[q]
            for o in range(wires.pins_start[i], wires.pins_start[i + 1]):
                net = wires.net[wires.pins[o]]
                leftmost[net] = -1
                rightmost[net] = -1
        isotonic(
            bends_start, position[:b], slope[:b], first_slope, now[:cells], slots.sites[s] - taken,
            out,
        )  # fmt: skip
        taken = 0
        n = 0
        for q in range(f, f + cells):
            i = slots.slots[q]
            site = int(np.round(out[q - f])) + taken
            taken += slots.width[i]
            if site != slots.site[i]:
                n = stand(slots, places, n, i, s, site)
        if n == 0:
            continue
        delta = change(wires, places, n)
        if delta < -1e-9:
            keep(places)
            settle(slots, places, n)
            gain -= delta
            moves += n
        else:  # only ties, or pins that lie outside their cells
            undo(places, n)
    return gain, moves
