"""Independent-set matching: cells of equal width that share no net exchange places optimally.

NTUplace3 (Chen et al., IEEE TCAD 2008): the length of such cells' wires is a sum of one term per
cell and place, so the best exchange is an assignment problem, solved exactly by shortest augmenting
paths (Jonker and Volgenant 1987).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.detailed_slots import settle, slot_at, stand
from sciml.placement.classical.detailed_wire import (
    FAST,
    change,
    keep,
    length_at,
    outline,
    undo,
)

SET = 40
"""Cells of one assignment problem, at most."""
LARGE = 32
"""Nets of more pins do not make cells dependent; what they change is measured afterwards."""
NEVER = 1e15


@njit(**FAST)
def assign(cost: Any, n: int, place: Any) -> None:
    """place[i] = the column of row i, so that the sum of cost[i, place[i]] is least."""
    u = np.zeros(n + 1)
    v = np.zeros(n + 1)
    row = np.zeros(n + 1, np.int64)
    way = np.zeros(n + 1, np.int64)
    nearest = np.empty(n + 1)
    done = np.empty(n + 1, np.bool_)
    for i in range(1, n + 1):
        row[0] = i
        column = 0
        nearest[:] = np.inf
        done[:] = False
        while True:
            done[column] = True
            r = row[column]
            step = np.inf
            following = 0
            for j in range(1, n + 1):
                if not done[j]:
                    reduced = cost[r - 1, j - 1] - u[r] - v[j]
                    if reduced < nearest[j]:
                        nearest[j] = reduced
                        way[j] = column
                    if nearest[j] < step:
                        step = nearest[j]
                        following = j
            for j in range(n + 1):
                if done[j]:
                    u[row[j]] += step
                    v[j] -= step
                else:
                    nearest[j] -= step
            column = following
            if row[column] == 0:
                break
        while column != 0:
            row[column] = row[way[column]]
            column = way[column]
    for j in range(1, n + 1):
        place[row[j] - 1] = j - 1


@njit(**FAST)
def match_cells(
    wires: Any, places: Any, slots: Any, order: Any, bin_of: Any
) -> tuple[float, int]:  # fmt: skip
    """One pass over the cells in this order, by bins of cells of equal width and near each other.

    bin_of [order]: sets do not reach over bins. Returns (gain, moves).
    """
    gain = 0.0
    moves = 0
    mark = np.full(wires.weight.shape[0], -1, np.int64)
    members = np.zeros(SET, np.int64)
    cost = np.zeros((SET, SET))
    place = np.zeros(SET, np.int64)
    segment = np.zeros(SET, np.int64)
    site = np.zeros(SET, np.int64)
    slot = np.zeros(SET, np.int64)
    number = 0
    k = 0
    while k < order.shape[0]:
        end = k
        while end < order.shape[0] and bin_of[end] == bin_of[k]:
            end += 1
        begin = k
        k = end
        while begin < end:
            number += 1
            n = 0
            while begin < end and n < SET:
                i = order[begin]
                begin += 1
                free = True
                for o in range(wires.pins_start[i], wires.pins_start[i + 1]):
                    net = wires.net[wires.pins[o]]
                    if mark[net] == number and wires.start[net + 1] - wires.start[net] <= LARGE:
                        free = False
                        break
                if not free:
                    continue
                for o in range(wires.pins_start[i], wires.pins_start[i + 1]):
                    mark[wires.net[wires.pins[o]]] = number
                members[n] = i
                n += 1
            if n < 2:
                continue
            for a in range(n):
                i = members[a]
                segment[a] = slots.segment[i]
                site[a] = slots.site[i]
                slot[a] = slot_at(slots, segment[a], site[a])
            for a in range(n):
                i = members[a]
                count = outline(wires, places, i, places.outline)
                here = length_at(places.outline, count, places.x[i], places.y[i], places.up[i])
                for b in range(n):
                    j = members[b]
                    up = slots.side[slots.cell_class[i], segment[b]]
                    if up == 0:
                        cost[a, b] = NEVER
                    else:
                        cost[a, b] = (
                            length_at(places.outline, count, places.x[j], places.y[j], up) - here
                        )
            assign(cost, n, place)
            expected = 0.0
            for a in range(n):
                expected += cost[a, place[a]]
            if expected > -1e-6 * slots.pitch:
                continue
            moved = 0
            for a in range(n):
                if place[a] != a:
                    moved = stand(
                        slots, places, moved, members[a], segment[place[a]], site[place[a]]
                    )
            delta = change(wires, places, moved)
            if delta > -1e-6 * slots.pitch:
                undo(places, moved)
                continue
            keep(places)
            settle(slots, places, moved)
            for a in range(n):
                slots.slots[slot[place[a]]] = members[a]
                slots.segment[members[a]] = segment[place[a]]
            gain -= delta
            moves += moved
    return gain, moves


def matching_bins(
    slots: Any, cells: np.ndarray, x: np.ndarray, y: np.ndarray, bins: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """(cells in order of width and place, bin of each); bins are squares, shifted by `shift`."""
    column = np.floor((x[cells] + shift) / bins).astype(np.int64)
    row = np.floor((y[cells] + shift) / bins).astype(np.int64)
    order = np.lexsort((column, row, slots.width[cells]))
    keys = np.stack([slots.width[cells], row, column], 1)[order]
    new = np.concatenate([[True], (keys[1:] != keys[:-1]).any(1)])
    return cells[order], np.cumsum(new)
