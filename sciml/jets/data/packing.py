"""Constituents are sorted into kinds, copied and checked: in numpy, or compiled where it pays.

Loading compiled code takes about two seconds of a processor, and five the first time, so fewer than
`MANY` constituents go through numpy. `sciml.jets.data.packing_kernel` has the same functions; a
test holds both equal bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.jets.data.columns import COLUMNS, ENERGY, PX, PY, PZ

MANY = 1 << 18
"""Constituents from which on compiled code pays."""
LARGE = 1e18
"""GeV: squares beyond this do not fit into single precision, which is as bad as an infinity."""
MASS_SHELL = 1e-4
"""Relative amount by which E may lie below |p|: single precision leaves E of a massless particle
1e-7 below |p|."""

REAL, NOTHING, PADDING = 0, 1, 2
"""Kinds of rows: a particle, a candidate without momentum, padding."""


def kinds_of(
    px: NDArray[Any], py: NDArray[Any], pz: NDArray[Any], energy: NDArray[Any],
    counts: NDArray[np.int64], dense: bool,
) -> NDArray[np.int8]:  # fmt: skip
    """Kind of each row: a particle, a candidate without momentum, or padding.

    Padding, in arrays of fixed length alone: zeros at the end; one negative number in all four
    components (-999), which no particle has; NaN in all four at the end.

    Args:
        px, py, pz, energy: [S] of the constituents, jets end to end.
        counts: [n] constituents per jet.
        dense: the rows come from an array of fixed length.
    """
    if compiled := _compiled(len(px)):
        return compiled.kinds_of(px, py, pz, energy, counts, dense)
    zero = (px == 0) & (py == 0) & (pz == 0) & (energy >= 0)
    out = np.where(zero, NOTHING, REAL).astype(np.int8)
    if not dense:
        return out
    nan = np.isnan(px) & np.isnan(py) & np.isnan(pz) & np.isnan(energy)
    if len(counts) > 1:
        out[zero & (energy == 0) & _last(zero, counts)] = PADDING
    out[nan & _last(zero | nan, counts)] = PADDING
    out[(energy < 0) & (px == energy) & (py == energy) & (pz == energy)] = PADDING
    return out


def _last(chosen: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all later rows of the jet are chosen."""
    others = np.cumsum(~chosen)
    ends = np.concatenate([[0], others])[np.cumsum(counts)]
    return others == np.repeat(ends, counts)


def pack(
    columns: tuple[NDArray[np.float32], ...], counts: NDArray[np.int64],
    ranks: NDArray[np.int64], limit: int, faults: tuple[int, int, int],
    out: NDArray[np.float32], flags: NDArray[np.int64],
) -> None:  # fmt: skip
    """Fills the rows of constituents and each jet's flags; all constituents are checked.

    Args:
        columns: of `COLUMNS`, each [S], or empty for zeros.
        counts: [n] constituents per jet.
        ranks: [S] rank of each within its jet, or empty if none has more than `limit`.
        limit: constituents to keep per jet.
        faults: flags of what is not finite, without pT, below its momentum.
        out: [kept, 16], filled.
        flags: [n], to which faults are added.
    """
    if compiled := _compiled(int(counts.sum())):
        return compiled.pack(columns, counts, ranks, limit, faults, out, flags)
    jet, place = _places(counts)
    rank = ranks if len(ranks) else place
    keep = rank < limit
    used = np.minimum(counts, limit)
    target = (np.cumsum(used) - used)[jet] + rank
    target = target[keep]
    finite = np.ones(len(jet), bool)
    for index in range(len(COLUMNS)):
        values = columns[index]
        if len(values):
            out[target, index] = values[keep]
            finite &= np.isfinite(values)
        else:
            out[:, index] = 0
    px, py, pz, energy = (columns[i].astype(np.float64) for i in (PX, PY, PZ, ENERGY))
    with np.errstate(over="ignore", invalid="ignore"):
        pt2 = px * px + py * py
        below = energy < np.sqrt(pt2 + pz * pz) * (1 - MASS_SHELL)
        for component in (px, py, pz, energy):
            finite &= ~(np.abs(component) > LARGE)
    for fault, faulty in zip(faults, (~finite, pt2 == 0, below), strict=True):
        flags[np.unique(jet[faulty])] |= fault


def gather(
    particles: NDArray[np.float32], starts: NDArray[np.int64], counts: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Jets that lie at `starts` of [S, 16] rows into `out` [n, N, 16], padded with zeros."""
    if compiled := _compiled(out.shape[0] * out.shape[1]):
        return compiled.gather(particles, starts, counts, out)
    out[...] = 0
    jet, place = _places(counts)
    out[jet, place] = particles[starts[jet] + place]


def _places(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Jet of each constituent, and its place there."""
    jet = np.repeat(np.arange(len(counts)), counts)
    return jet, np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)


def _compiled(rows: int) -> Any:
    """The compiled functions, where they pay."""
    if rows < MANY:
        return None
    from sciml.jets.data import packing_kernel

    return packing_kernel
