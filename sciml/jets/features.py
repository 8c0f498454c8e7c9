"""What a tagger sees of a jet: 17 features a particle, 4 features a pair, and the faults of a jet.

The definitions are those of the JetClass data set and the Particle Transformer (Qu, Li, Qian,
"Particle Transformer for Jet Tagging", arXiv:2202.03772, tables 2 and 3 and equation 3), so that
published weights work on them unchanged. Everything is plain torch: batched, differentiable and
the same on any device.

A raw jet is 16 columns a particle (`COLUMNS`) and 2 a jet (`JET_COLUMNS`), energies and momenta in
GeV, impact parameters in mm. `to_dense` turns awkward arrays into padded tensors.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError, nearest

MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
POSITION = ("part_deta", "part_dphi")
TRACK = ("part_d0val", "part_d0err", "part_dzval", "part_dzerr")
IDENTITY = (
    "part_charge",
    "part_isChargedHadron",
    "part_isNeutralHadron",
    "part_isPhoton",
    "part_isElectron",
    "part_isMuon",
)
COLUMNS = (*MOMENTUM, *POSITION, *TRACK, *IDENTITY)
"""Columns of the raw particle tensor, in order; one list per jet in the files."""
JET_COLUMNS = ("jet_pt", "jet_energy")
"""Columns of the raw jet tensor: transverse momentum and energy of the jet, GeV."""

FEATURES = (
    "log_pt",
    "log_energy",
    "log_pt_rel",
    "log_energy_rel",
    "delta_r",
    *(name.removeprefix("part_") for name in IDENTITY),
    "tanh_d0",
    "d0_err",
    "tanh_dz",
    "dz_err",
    "deta",
    "dphi",
)
"""The 17 particle features, in the order of the published models."""
PAIR_FEATURES = ("ln_kt", "ln_z", "ln_dr", "ln_m2")
FEATURE_SETS: dict[str, tuple[int, ...]] = {
    "full": tuple(range(17)),
    "kinpid": (*range(11), 15, 16),
    "kin": (*range(5), 15, 16),
}
"""Which of the 17 each published input set uses."""
MAX_PARTICLES = 128
"""Constituents used of a jet: the leading ones in pT."""

TINY = 1e-8
_MASS_SHELL = 1e-4  # relative: single precision leaves E of a massless particle 1e-7 below |p|


class Flag(enum.IntFlag):
    """What is wrong with one jet; 0 is a good jet. The bits add up."""

    EMPTY = 1
    """No constituents."""
    NOT_FINITE = 2
    """NaN or infinity in a column that the model reads."""
    ZERO_PT = 4
    """A constituent, or the jet, with zero transverse momentum."""
    ENERGY_BELOW_MOMENTUM = 8
    """A constituent with E < |p| by more than rounding."""


@dataclasses.dataclass
class Jets:
    """Padded jets on one device.

    Shapes, with B jets of at most N constituents:
        particles: [B, N, 16] float32 | GeV, mm | `COLUMNS`; zero where padded.
        jets: [B, 2] float32 | GeV | `JET_COLUMNS`.
        mask: [B, N] bool | True for a constituent.
        flags: [B] int64 | `Flag` bits.
        cut: [B] int64 | constituents beyond the limit that were left out.
    """

    particles: Tensor
    jets: Tensor
    mask: Tensor
    flags: Tensor
    cut: Tensor

    def __len__(self) -> int:
        return len(self.particles)

    def to(self, device: torch.device | str) -> Jets:
        return Jets(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))

    def __getitem__(self, rows: Any) -> Jets:
        """The chosen jets, cut to the longest of them."""
        picked = [getattr(self, f.name)[rows] for f in dataclasses.fields(self)]
        longest = max(1, int(picked[2].sum(1).max())) if len(picked[2]) else 1
        picked[0], picked[2] = picked[0][:, :longest], picked[2][:, :longest]
        return Jets(*picked)

    @property
    def lengths(self) -> Tensor:
        return self.mask.sum(1)


def particle_features(particles: Tensor, jets: Tensor, mask: Tensor) -> Tensor:
    """The 17 features of every particle (zero where `mask` is False).

    Args:
        particles: [B, N, 16], `COLUMNS`.
        jets: [B, 2], `JET_COLUMNS`.
        mask: [B, N] bool.

    Returns:
        [B, N, 17], `FEATURES`; the first five within [-5, 5], the errors within [0, 1].
    """
    px, py, _, energy, deta, dphi, d0, d0err, dz, dzerr = particles[..., :10].unbind(-1)
    jet_pt, jet_energy = jets[:, None, 0], jets[:, None, 1]
    one = torch.ones_like(px)
    # padding gets harmless values, so that its gradient is zero and not NaN
    pt, energy = (
        torch.where(mask, px, one).square().add(py.square()).sqrt(),
        torch.where(mask, energy, one),
    )
    dr = (deta.square() + dphi.square()).clamp(min=1e-16).sqrt()
    scaled = torch.stack(
        [
            (pt.log() - 1.7) * 0.7,
            (energy.log() - 2.0) * 0.7,
            ((pt / jet_pt).log() + 4.7) * 0.7,
            ((energy / jet_energy).log() + 4.7) * 0.7,
            (dr - 0.2) * 4.0,
        ],
        dim=-1,
    ).clamp(-5.0, 5.0)
    track = [d0.tanh(), d0err.clamp(0.0, 1.0), dz.tanh(), dzerr.clamp(0.0, 1.0)]
    rest = torch.stack([*track, deta, dphi], dim=-1)
    features = torch.cat([scaled, particles[..., 10:16], rest], dim=-1)
    return features.masked_fill(~mask[..., None], 0.0)


def cylindrical(p4: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Transverse momentum [GeV], rapidity and azimuth of four-momenta [..., 4] (px, py, pz, E)."""
    px, py, pz, energy = p4.unbind(-1)
    rapidity = 0.5 * torch.log(1 + (2 * pz) / (energy - pz).clamp(min=1e-20))
    return (px.square() + py.square()).sqrt(), rapidity, torch.atan2(py, px)


def wrap_angle(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def with_kinematics(p4: Tensor) -> Tensor:
    """[..., 4] four-momenta -> [..., 7]: px, py, pz, E, pT, rapidity, azimuth."""
    return torch.cat([p4, torch.stack(cylindrical(p4), dim=-1)], dim=-1)


def pair_features(first: Tensor, second: Tensor) -> Tensor:
    """ln kT, ln z, ln dR and ln m2 of pairs of four-momenta.

    ln m2 of a particle with itself, and of collinear massless particles, is the logarithm of a
    rounding error in any precision; the published models were trained with it, so it is kept.

    Args:
        first, second: [..., 4] (px, py, pz, E) in GeV, of shapes that broadcast; or [..., 7] from
            `with_kinematics`, which saves work when a particle is in many pairs.

    Returns:
        [..., 4], `PAIR_FEATURES`, each the logarithm of a number not below 1e-8.
    """
    if first.shape[-1] == 4:
        first, second = with_kinematics(first), with_kinematics(second)
    px, py, pz, energy = (first[..., :4] + second[..., :4]).unbind(-1)
    pt_i, y_i, phi_i = first[..., 4:].unbind(-1)
    pt_j, y_j, phi_j = second[..., 4:].unbind(-1)
    dr2 = (y_i - y_j).square() + wrap_angle(phi_i - phi_j).square()
    dr = dr2.clamp(min=1e-30).sqrt()  # the floor keeps the gradient of equal directions finite
    softer = torch.minimum(pt_i, pt_j)
    mass2 = energy.square() - (px.square() + py.square() + pz.square())
    z = softer / (pt_i + pt_j).clamp(min=TINY)
    return torch.stack([softer * dr, z, dr, mass2], dim=-1).clamp(min=TINY).log()


def all_pairs(p4: Tensor) -> Tensor:
    """`pair_features` of every ordered pair: [B, N, 4] -> [B, N, N, 4] (symmetric)."""
    particles = with_kinematics(p4)
    return pair_features(particles[:, :, None], particles[:, None, :])


def needed_columns(features: tuple[int, ...]) -> tuple[str, ...]:
    """The file columns that a model with this choice of `FEATURES` reads."""
    names = {FEATURES[index] for index in features}
    needed = [*MOMENTUM, *POSITION]
    for name, column in zip(("tanh_d0", "d0_err", "tanh_dz", "dz_err"), TRACK, strict=True):
        if name in names:
            needed.append(column)
    needed += [column for column in IDENTITY if column.removeprefix("part_") in names]
    return (*needed, *JET_COLUMNS)


def to_dense(
    events: Any,
    *,
    features: tuple[int, ...] = FEATURE_SETS["full"],
    limit: int = MAX_PARTICLES,
    where: object = None,
) -> Jets:
    """Padded tensors from jagged columns, with the faults of every jet noted.

    Jets with more than `limit` constituents keep the leading ones in pT. Missing `part_deta`,
    `part_dphi` and jet columns are computed (from `jet_eta`, `jet_phi` where the file has them,
    otherwise from the sum of the constituents).

    Args:
        events: awkward record array, or a mapping from column name to (jagged) array.
        features: which of `FEATURES` the model reads; columns for others may be missing.
        limit: constituents to keep.
        where: the file, for messages.

    Raises:
        InputError: a missing column (the nearest ones are named), or columns of one jet that
            differ in length.
    """
    import awkward as ak

    fields = tuple(events.fields if isinstance(events, ak.Array) else events)
    needed = needed_columns(features)
    derivable = {*POSITION, *JET_COLUMNS}
    for name in needed:
        if name not in fields and name not in derivable:
            close = nearest(name, fields)
            hint = (
                "The nearest columns are " + ", ".join(close)
                if close
                else ("It has " + ", ".join(fields[:20]) if fields else "It has no columns")
            )
            raise InputError(f"no column {name!r}", where=where, hint=hint)

    counts, flat = _flatten(events, [n for n in needed if n in fields], where)
    jets, width = len(counts), max(1, int(min(counts.max(initial=0), limit)))
    row = np.repeat(np.arange(jets), counts)
    _derive(events, fields, flat, row, jets)

    rank = _ranks(flat, counts, limit)
    keep = rank < limit
    dense = np.zeros((jets, width, len(COLUMNS)), np.float32)
    for index, name in enumerate(COLUMNS):
        if name in flat:
            dense[row[keep], rank[keep], index] = flat[name][keep]
    mask = np.arange(width) < counts[:, None]
    jet = np.stack([flat[name] for name in JET_COLUMNS], axis=1).astype(np.float32)
    return Jets(
        torch.from_numpy(dense),
        torch.from_numpy(jet),
        torch.from_numpy(mask),
        torch.from_numpy(_flags(flat, row, counts, jet)),
        torch.from_numpy(np.maximum(counts - limit, 0)),
    )


def _flatten(
    events: Any, names: list[str], where: object
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Constituents per jet, and every column as one flat float64 array."""
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
            sizes = ak.to_numpy(ak.num(column, axis=1)).astype(np.int64)
            values = ak.to_numpy(ak.flatten(column, axis=1)).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"column {name!r} holds {column.type}, not numbers"
                + ("" if name in JET_COLUMNS else " in one list per jet"),
                where=where,
            ) from error
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


def _derive(
    events: Any, fields: tuple[str, ...], flat: dict[str, np.ndarray], row: np.ndarray, jets: int
) -> None:
    """Adds the columns that can be computed and the file lacks."""
    missing = [n for n in (*POSITION, *JET_COLUMNS) if n not in flat]
    if not missing:
        return
    total = [np.bincount(row, weights=flat[name], minlength=jets) for name in MOMENTUM]
    with np.errstate(divide="ignore", invalid="ignore"):
        derived = {"jet_pt": np.hypot(total[0], total[1]), "jet_energy": total[3]}
        if {"jet_eta", "jet_phi"} <= set(fields):
            axis_eta = np.asarray(events["jet_eta"], np.float64)
            axis_phi = np.asarray(events["jet_phi"], np.float64)
        else:
            axis_eta = np.arcsinh(total[2] / derived["jet_pt"])
            axis_phi = np.arctan2(total[1], total[0])
        pt = np.hypot(flat["part_px"], flat["part_py"])
        eta = np.arcsinh(flat["part_pz"] / pt)
        sign = np.where(axis_eta < 0, -1.0, 1.0)
        derived["part_deta"] = (eta - axis_eta[row]) * sign[row]
        dphi = np.arctan2(flat["part_py"], flat["part_px"]) - axis_phi[row]
        derived["part_dphi"] = (dphi + np.pi) % (2 * np.pi) - np.pi
    for name in missing:
        flat[name] = derived[name]


def _ranks(flat: dict[str, np.ndarray], counts: np.ndarray, limit: int) -> np.ndarray:
    """The place of every particle: as it came, or by falling pT where the jet is too long."""
    starts = np.concatenate([[0], np.cumsum(counts)])
    rank = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    pt = np.nan_to_num(np.hypot(flat["part_px"], flat["part_py"]), nan=np.inf)
    for jet in np.flatnonzero(counts > limit):
        span = slice(starts[jet], starts[jet + 1])
        rank[span][np.argsort(-pt[span], kind="stable")] = np.arange(counts[jet])
    return rank


def _flags(
    flat: dict[str, np.ndarray], row: np.ndarray, counts: np.ndarray, jet: np.ndarray
) -> np.ndarray:
    """`Flag` bits of every jet."""
    jets = len(counts)
    px, py, pz, energy = (flat[name] for name in MOMENTUM)
    flags = np.where(counts == 0, Flag.EMPTY, 0).astype(np.int64)

    def mark(flag: Flag, particle: np.ndarray) -> None:
        flags[np.bincount(row[particle], minlength=jets) > 0] |= flag

    particles = np.stack([v for name, v in flat.items() if name not in JET_COLUMNS])
    # float32 is what the model reads: squares beyond its range are as bad as an infinity
    large = np.abs(np.stack([px, py, pz, energy])) > 1e18
    mark(Flag.NOT_FINITE, (~np.isfinite(particles)).any(0) | large.any(0))
    full = counts > 0
    flags[full & ~np.isfinite(jet).all(1)] |= Flag.NOT_FINITE
    pt2 = px**2 + py**2
    mark(Flag.ZERO_PT, pt2 == 0)
    flags[full & (jet[:, 0] <= 0)] |= Flag.ZERO_PT
    with np.errstate(invalid="ignore"):
        mark(Flag.ENERGY_BELOW_MOMENTUM, energy < np.sqrt(pt2 + pz**2) * (1 - _MASS_SHELL))
    flags[full & (jet[:, 1] <= 0)] |= Flag.ENERGY_BELOW_MOMENTUM
    return flags
