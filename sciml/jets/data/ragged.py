"""From the columns of a file to arrays for a model: checked, flagged, packed without padding.

`to_ragged` puts the constituents of jets end to end, a row of `columns.COLUMNS` each; `to_dense`
pads the same.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.errors import InputError, nearest
from sciml.jets.data.columns import COLUMNS, JET_COLUMNS, MOMENTUM, POSITION, PX, PY
from sciml.jets.data.features import (
    DERIVABLE,
    FEATURE_SETS,
    MAX_PARTICLES,
    Flag,
    Jets,
    needed_columns,
)
from sciml.jets.data.packing import gather, pack
from sciml.jets.data.tidy import tidy

BEYOND, SOME = 14_000.0, 10
"""Median pT [GeV] beyond what a collider gives, of at least so many jets."""


@dataclass
class Ragged:
    """Jets end to end.

    particles: [S, 16] float32, `columns.COLUMNS`, at most `limit` per jet.
    counts: [n] int64 constituents of each jet in `particles`.
    jets: [n, 2] float32, `columns.JET_COLUMNS`.
    flags: [n] int64, `features.Flag` bits.
    cut: [n] int64, constituents beyond the limit that were left out.
    dropped, repaired: [n] int64, see `sciml.jets.data.tidy`.
    """

    particles: NDArray[np.float32]
    counts: NDArray[np.int64]
    jets: NDArray[np.float32]
    flags: NDArray[np.int64]
    cut: NDArray[np.int64]
    dropped: NDArray[np.int64]
    repaired: NDArray[np.int64]


def to_ragged(
    events: Any,
    *,
    features: tuple[int, ...] = FEATURE_SETS["full"],
    limit: int = MAX_PARTICLES,
    where: object = None,
) -> Ragged:
    """Packed arrays from jagged columns, with the faults of every jet noted.

    Padding and candidates without momentum are left out and rounding is repaired
    (`sciml.jets.data.tidy`). Jets with more than `limit` constituents keep the leading ones in pT.
    Missing `part_deta`, `part_dphi` and jet columns are computed (from `jet_eta`, `jet_phi` where
    the file has them, otherwise from the sum of the constituents).

    Args:
        events: awkward record array, or a mapping from column name to (jagged) array.
        features: which of `features.FEATURES` the model reads; columns for others may be missing.
        limit: constituents to keep.
        where: the file, for messages.

    Raises:
        InputError: a missing column (the nearest ones are named), or columns of one jet that
            differ in length.
    """
    import awkward as ak

    fields = tuple(events.fields if isinstance(events, ak.Array) else events)
    needed = needed_columns(features)
    for name in needed:
        if name not in fields and name not in DERIVABLE:
            close = nearest(name, fields)
            hint = (
                "The nearest columns are " + ", ".join(close)
                if close
                else ("It has " + ", ".join(fields[:20]) if fields else "It has no columns")
            )
            raise InputError(f"no column {name!r}", where=where, hint=hint)

    with np.errstate(over="ignore", invalid="ignore"):
        counts, flat = _flatten(events, [n for n in needed if n in fields], where)
        tidied = tidy(counts, flat, COLUMNS)
        counts, flat = tidied.counts, tidied.flat
        _derive(events, fields, flat, counts)
        jet = np.stack([flat.pop(name) for name in JET_COLUMNS], axis=1).astype(np.float32)
    if len(jet) >= SOME and float(np.median(jet[:, 0])) > BEYOND:
        warnings.warn(
            "most jets have pT above 14 TeV: momenta must be in GeV, these look like MeV",
            stacklevel=2,
        )
    nothing = np.zeros(0, np.float32)
    columns = tuple(_read_only(flat.get(n, nothing)) for n in COLUMNS)
    used = np.minimum(counts, limit)
    particles = np.empty((int(used.sum()), len(COLUMNS)), np.float32)
    flags = np.where(counts == 0, int(Flag.EMPTY), 0).astype(np.int64)
    faults = (int(Flag.NOT_FINITE), int(Flag.ZERO_PT), int(Flag.ENERGY_BELOW_MOMENTUM))
    ranks = _ranks(columns[PX], columns[PY], counts, limit)
    pack(columns, counts, ranks, limit, faults, particles, flags)
    nonempty = counts > 0
    flags[nonempty & ~np.isfinite(jet).all(1)] |= Flag.NOT_FINITE
    flags[nonempty & (jet[:, 0] <= 0)] |= Flag.ZERO_PT
    flags[nonempty & (jet[:, 1] <= 0)] |= Flag.ENERGY_BELOW_MOMENTUM
    return Ragged(particles, used, jet, flags, counts - used, tidied.dropped, tidied.repaired)


def to_dense(
    events: Any,
    *,
    features: tuple[int, ...] = FEATURE_SETS["full"],
    limit: int = MAX_PARTICLES,
    where: object = None,
) -> Jets:
    """`to_ragged` as padded tensors."""
    return dense(to_ragged(events, features=features, limit=limit, where=where))


def dense(packed: Ragged) -> Jets:
    """Packed jets as padded tensors."""
    starts = np.concatenate([[0], np.cumsum(packed.counts)])[:-1]
    particles, mask = padded(packed.particles, starts, packed.counts)
    return Jets(
        torch.from_numpy(particles),
        torch.from_numpy(packed.jets),
        torch.from_numpy(mask),
        torch.from_numpy(packed.flags),
        torch.from_numpy(packed.cut),
    )


def padded(
    particles: NDArray[np.float32], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Jets that lie at `starts` of packed [S, 16] rows, as [B, N, 16] and their mask [B, N]."""
    width = max(1, int(counts.max(initial=0)))
    out = np.empty((len(counts), width, particles.shape[1]), np.float32)
    gather(particles, starts, counts, out)
    return out, np.arange(width) < counts[:, None]


def _read_only(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 and read-only: arrays of files may be, and compiled code needs one type for all."""
    view = np.ascontiguousarray(values, np.float32).view()
    view.flags.writeable = False
    return view


def _flatten(
    events: Any, names: list[str], where: object
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Constituents per jet, and every column as one flat array, float32 (per jet: float64)."""
    import awkward as ak

    counts: np.ndarray | None = None
    flat: dict[str, np.ndarray] = {}
    for name in names:
        column = events[name]
        if not isinstance(column, ak.Array):
            column = ak.Array(column)
        try:
            if name in JET_COLUMNS:
                flat[name] = ak.to_numpy(column).astype(np.float64)
                continue
            sizes, values = lists(column)
            values = values.astype(np.float32, copy=False)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"column {name!r} holds {column.type}, not numbers"
                + ("" if name in JET_COLUMNS else " in one list per jet"),
                where=where,
            ) from error
        if sizes.min(initial=0) < 0 or int(sizes.sum()) != len(values):
            raise InputError(f"the lists of column {name!r} do not add up", where=where)
        if counts is None:
            counts, first = sizes, name
        elif len(sizes) != len(counts) or (sizes != counts).any():
            jet = int(np.argmax(sizes != counts)) if len(sizes) == len(counts) else None
            what = (
                f"columns {first!r} and {name!r} differ in length"
                if jet is None
                else f"jet {jet} has {counts[jet]} values of {first!r} and {sizes[jet]} of {name!r}"
            )
            raise InputError(what, where=where, hint="Every particle column needs the same lengths")
        flat[name] = values
    if counts is None:
        raise InputError("no particle columns", where=where)
    return counts, flat


def lists(column: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths and flat values of a jagged awkward array; without a copy of a compact one.

    Raises:
        TypeError, ValueError: it is not a list of numbers per jet.
    """
    import awkward as ak

    layout = column.layout
    if layout.is_list:
        packed = layout.to_ListOffsetArray64(True)
        if packed.content.is_numpy and packed.content.purelist_depth == 1:
            offsets = np.asarray(packed.offsets.data)
            return np.diff(offsets), np.asarray(packed.content.data)[: offsets[-1]]
    sizes = ak.to_numpy(ak.num(column, axis=1)).astype(np.int64, copy=False)
    return sizes, ak.to_numpy(ak.flatten(column, axis=1))


def _derive(
    events: Any, fields: tuple[str, ...], flat: dict[str, NDArray[Any]], counts: NDArray[np.int64]
) -> None:
    """Adds the columns that the file lacks and that can be computed."""
    missing = [n for n in (*POSITION, *JET_COLUMNS) if n not in flat]
    if not missing:
        return
    row = np.repeat(np.arange(len(counts)), counts)
    px, py, pz, energy = (flat[name].astype(np.float64) for name in MOMENTUM)
    total = [np.bincount(row, weights=v, minlength=len(counts)) for v in (px, py, pz, energy)]
    with np.errstate(divide="ignore", invalid="ignore"):
        derived = {"jet_pt": np.hypot(total[0], total[1]), "jet_energy": total[3]}
        if {"jet_eta", "jet_phi"} <= set(fields):
            axis_eta = np.asarray(events["jet_eta"], np.float64)
            axis_phi = np.asarray(events["jet_phi"], np.float64)
        else:
            axis_eta = np.arcsinh(total[2] / derived["jet_pt"])
            axis_phi = np.arctan2(total[1], total[0])
        if set(POSITION) & set(missing):
            eta = np.arcsinh(pz / np.hypot(px, py))
            sign = np.where(axis_eta < 0, -1.0, 1.0)
            derived["part_deta"] = (eta - axis_eta[row]) * sign[row]
            dphi = np.arctan2(py, px) - axis_phi[row]
            derived["part_dphi"] = (dphi + np.pi) % (2 * np.pi) - np.pi
    for name in missing:
        flat[name] = derived[name]


def _ranks(
    px: NDArray[np.float32], py: NDArray[np.float32], counts: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """Rank of each constituent by falling pT in jets that are too long; empty if none is."""
    if not (counts > limit).any():
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    rank = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    with np.errstate(over="ignore", invalid="ignore"):
        pt = np.nan_to_num(np.hypot(px.astype(np.float64), py.astype(np.float64)), nan=np.inf)
    for jet in np.flatnonzero(counts > limit):
        span = slice(starts[jet], starts[jet + 1])
        rank[span][np.argsort(-pt[span], kind="stable")] = np.arange(counts[jet])
    return rank
