"""The functions of `sciml.jets.data.packing` compiled: faster where there are many constituents."""

from __future__ import annotations

import numba as nb
import numpy as np

from sciml.jets.data.columns import ENERGY, PX, PY, PZ
from sciml.jets.data.packing import LARGE, MASS_SHELL


@nb.njit(cache=True)
def kinds_of(px, py, pz, energy, counts, dense):
    """Kind of each row: a particle, a candidate without momentum, or padding.

    Padding, in arrays of fixed length alone: zeros at the end; one negative number in all four
    components (-999), which no particle has; NaN in all four at the end.
    """
    out = np.zeros(len(px), np.int8)
    stop = 0
    for jet in range(len(counts)):
        start, stop = stop, stop + counts[jet]
        tail = dense and len(counts) > 1
        last = dense
        for i in range(stop - 1, start - 1, -1):
            zero = px[i] == 0 and py[i] == 0 and pz[i] == 0
            if zero and energy[i] >= 0:
                out[i] = 2 if tail and energy[i] == 0 else 1
                continue
            tail = False
            if not dense:
                continue
            if last and np.isnan(px[i]) and np.isnan(py[i]):
                if np.isnan(pz[i]) and np.isnan(energy[i]):
                    out[i] = 2
                    continue
            last = False
            value = energy[i]
            if value < 0 and px[i] == value and py[i] == value and pz[i] == value:
                out[i] = 2
    return out


@nb.njit(cache=True)
def pack(columns, counts, ranks, limit, faults, out, flags):
    """Fills the rows of constituents and each jet's flags; all constituents are checked.

    An empty column stands for zeros. The loop runs over the columns of one jet at a time, so that
    the jet's rows stay in the first-level cache.
    """
    not_finite, zero_pt, below = faults
    source = target = 0
    for jet in range(len(counts)):
        count = counts[jet]
        used = min(count, limit)
        rows = out[target : target + used]
        faulty = 0
        for column in range(16):
            values = columns[column]
            if len(values) == 0:
                rows[:, column] = 0
                continue
            part = values[source : source + count]
            zero = np.float32(0)  # stays 0 unless a value is infinite or NaN
            if used == count:
                for i in range(count):
                    rows[i, column] = part[i]
                    zero += part[i] * np.float32(0)
            else:
                for i in range(count):
                    if ranks[source + i] < limit:
                        rows[ranks[source + i], column] = part[i]
                    zero += part[i] * np.float32(0)
            if zero != 0:
                faulty |= not_finite
        for i in range(source, source + count):
            px, py = np.float64(columns[PX][i]), np.float64(columns[PY][i])
            pz, energy = np.float64(columns[PZ][i]), np.float64(columns[ENERGY][i])
            if max(max(abs(px), abs(py)), max(abs(pz), abs(energy))) > LARGE:
                faulty |= not_finite
            pt2 = px * px + py * py
            if pt2 == 0:
                faulty |= zero_pt
            if energy < np.sqrt(pt2 + pz * pz) * (1 - MASS_SHELL):
                faulty |= below
        flags[jet] |= faulty
        source += count
        target += used


@nb.njit(cache=True)
def gather(particles, starts, counts, out):
    """out [B, N, C] gets the particles of each jet, `counts` [B] from `starts` [B] on, then 0."""
    for row in range(len(counts)):
        count = counts[row]
        out[row, :count] = particles[starts[row] : starts[row] + count]
        out[row, count:] = 0
