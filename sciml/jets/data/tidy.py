"""Rows of a file that are not particles, and rounding: padding, candidates without momentum.

A jet is usable although its file pads every jet to one length, keeps candidates of no momentum
(Delphes with pile-up subtraction), stores numbers in 16 bits, writes an infinite impact parameter
where there is no error, or NaN or -999 where there is no track. What is left out or repaired here
is counted; what no rounding explains (NaN momentum, E far below |p|) stays unchanged, for
`sciml.jets.data.ragged` to flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.jets.data.columns import MOMENTUM, TRACK
from sciml.jets.data.packing import MASS_SHELL, NOTHING, PADDING, REAL, kinds_of

SATURATED = 1e6
"""mm: replaces an infinite impact parameter; the features (tanh, clip) are the same."""
NO_TRACK = -99.0
"""mm: track parameters of a neutral candidate at or below this, or NaN, say that it has no track;
they become 0, as in JetClass."""
COARSEST = 7
"""Fewest bits behind the leading one that count as a way of storing numbers (bfloat16)."""


@dataclass
class Tidied:
    """Columns of real particles alone.

    Attributes:
        counts: [n] int64 constituents per jet.
        flat: every column end to end.
        dropped: [n] int64, candidates without momentum that were left out; padding is not counted.
        repaired: [n] int64, values made usable: energies raised to |p|, infinite impact parameters,
            track parameters of neutral candidates.
    """

    counts: NDArray[np.int64]
    flat: dict[str, NDArray[Any]]
    dropped: NDArray[np.int64]
    repaired: NDArray[np.int64]


def tidy(
    counts: NDArray[np.int64], flat: dict[str, NDArray[Any]], columns: tuple[str, ...]
) -> Tidied:
    """See the module.

    Args:
        counts: constituents per jet.
        flat: columns of particles (float32, end to end) and of jets; the four of momentum are
            among them.
        columns: names of the columns of particles.
    """
    # All jets of one length: an array of fixed length, padded to it.
    dense = len(counts) > 0 and counts[0] > 0 and bool((counts == counts[0]).all())
    dropped = np.zeros(len(counts), np.int64)
    px, py, pz, energy = (flat[name] for name in MOMENTUM)
    kinds = kinds_of(px, py, pz, energy, counts, dense)
    if kinds.any():
        _spare_nan(kinds, flat, [n for n in columns if n in flat and n not in MOMENTUM])
        keep = kinds == REAL
        row = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(row[keep], minlength=len(counts))
        dropped = np.bincount(row[kinds == NOTHING], minlength=len(dropped))
        flat = {n: v[keep] if n in columns else v for n, v in flat.items()}
    repaired = np.zeros(len(counts), np.int64)
    neutral = flat["part_charge"] == 0 if "part_charge" in flat else np.zeros(0, bool)
    for name in TRACK:
        if name in flat and len(neutral) and (absent := neutral & without_track(flat[name])).any():
            flat[name] = np.where(absent, flat[name].dtype.type(0), flat[name])
            repaired += _per_jet(absent, counts)
        if name in flat and (infinite := np.isinf(flat[name])).any():
            value = np.where(infinite, np.copysign(SATURATED, flat[name]), flat[name])
            flat[name] = value.astype(flat[name].dtype)
            repaired += _per_jet(infinite, counts)
    _raise_energies(flat, counts, repaired)
    return Tidied(counts, flat, dropped, repaired)


def without_track(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which track parameters are written where there is no track."""
    return np.isnan(values) | (values <= NO_TRACK) & np.isfinite(values)


def _per_jet(chosen: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(np.repeat(np.arange(len(counts)), counts)[chosen], minlength=len(counts))


def _spare_nan(kinds: NDArray[np.int8], flat: dict[str, NDArray[Any]], others: list[str]) -> None:
    """A row of NaN with a real value in another column is a fault and not padding."""
    rows = np.flatnonzero((kinds == PADDING) & np.isnan(flat[MOMENTUM[0]]))
    for name in others:
        value = flat[name][rows]
        kinds[rows[np.nan_to_num(value) > 0]] = REAL


def _raise_energies(
    flat: dict[str, NDArray[Any]], counts: NDArray[np.int64], repaired: NDArray[np.int64]
) -> None:
    """E = |p| where E lies below |p| by no more than the precision of the file explains."""
    px, py, pz, energy = (flat[name].astype(np.float64, copy=False) for name in MOMENTUM)
    p2 = px * px + py * py + pz * pz
    below = energy < np.sqrt(p2) * (1 - MASS_SHELL)
    if not below.any():
        return
    rounding = [_rounding(flat[name]) for name in MOMENTUM]
    explained = below & (energy >= np.sqrt(p2) * (1 - 1.1 * (rounding[3] + max(rounding[:3]))))
    if explained.any():
        raised = np.where(explained, np.sqrt(p2), energy)
        flat[MOMENTUM[3]] = raised.astype(flat[MOMENTUM[3]].dtype)
        repaired += _per_jet(explained, counts)


def _rounding(values: NDArray[Any]) -> float:
    """Largest relative rounding error of numbers that were stored with fewer bits.

    float16 has 10 bits behind the leading one, and 13 zeros follow in single precision: what all
    values have in common tells how they were stored, even in a file that was converted since.
    """
    finite = values[np.isfinite(values)].astype(np.float32)
    union = int(np.bitwise_or.reduce(finite.view(np.uint32) & 0x7FFFFF, initial=0))
    bits = 23 if union & 1 else 23 - ((union & -union).bit_length() - 1 if union else 23)
    return 2.0 ** -(max(bits, COARSEST) + 1)
