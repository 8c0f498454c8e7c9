"""The inputs of a tagger: 17 features per particle, 4 features per pair, and the faults of a jet.

The definitions are those of the JetClass data set and the Particle Transformer (Qu, Li, Qian,
"Particle Transformer for Jet Tagging", arXiv:2202.03772, tables 2 and 3 and equation 3), so that
published weights work on them unchanged. Everything is plain torch: batched, differentiable and
the same on any device.

A raw jet has 16 columns per particle (`columns.COLUMNS`) and 2 per jet (`columns.JET_COLUMNS`),
energies and momenta in GeV, impact parameters in mm. `data.ragged` makes both from awkward arrays.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.jets.data.columns import CHARGE, IDENTITY, JET_COLUMNS, MOMENTUM, POSITION, TRACK

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
TYPE_FEATURES = slice(FEATURES.index("isChargedHadron"), FEATURES.index("isMuon") + 1)
"""The flags of the particle's type among them."""
PAIR_FEATURES = ("ln_kt", "ln_z", "ln_dr", "ln_m2")
FEATURE_SETS: dict[str, tuple[int, ...]] = {
    "full": tuple(range(17)),
    "kinpid": (*range(11), 15, 16),
    "kin": (*range(5), 15, 16),
}
"""Indices into `FEATURES` of each published input set."""
MAX_PARTICLES = 128
"""Constituents used per jet: the leading ones in pT."""

DERIVABLE = frozenset({*POSITION, *JET_COLUMNS})
"""Columns that are computed from the momenta where a file lacks them (`data.ragged`)."""

TINY = 1e-8


class Flag(enum.IntFlag):
    """Faults of one jet, as bits that add up; 0 is a good jet."""

    EMPTY = 1
    """No constituents."""
    NOT_FINITE = 2
    """NaN in a column that the model reads, or infinity in one but impact parameters."""
    ZERO_PT = 4
    """A constituent along the beam, or a jet, with zero transverse momentum."""
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
        there = torch.device(device)
        ahead = there.type != "cpu"  # to an accelerator, nobody needs to wait for the copies
        return Jets(
            *(getattr(self, f.name).to(there, non_blocking=ahead) for f in dataclasses.fields(self))
        )

    def __getitem__(self, rows: Any) -> Jets:
        """The selected jets, cut to the longest of them."""
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
    needs_grad = torch.is_grad_enabled() and (particles.requires_grad or jets.requires_grad)
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    on_cpu = particles.dtype == jets.dtype == torch.float32 and particles.device.type == "cpu"
    # Predictions spend a hundredth of their time here, and loading the kernel takes seconds.
    predicting = torch.is_inference_mode_enabled()
    if on_cpu and not needs_grad and not recorded and not predicting:
        from sciml.jets.data.feature_kernel import compiled_features

        return compiled_features(particles, jets, mask)
    return reference_features(particles, jets, mask)


def reference_features(particles: Tensor, jets: Tensor, mask: Tensor) -> Tensor:
    """`particle_features` in plain torch: any precision and device, with gradients."""
    px, py, _, energy, deta, dphi, d0, d0err, dz, dzerr = particles[..., :CHARGE].unbind(-1)
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
    features = torch.cat([scaled, particles[..., CHARGE:], rest], dim=-1)
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
            `with_kinematics`, computed once per particle instead of once per pair.

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


def columns_to_read(features: tuple[int, ...], available: Sequence[str]) -> list[str]:
    """`needed_columns`, for a file with the columns `available`.

    Derivable columns that the file lacks are left out, and the jet's direction is added for them.
    """
    needed = needed_columns(features)
    names = [name for name in needed if name in available or name not in DERIVABLE]
    if len(names) < len(needed):
        names += [name for name in ("jet_eta", "jet_phi") if name in available]
    return names
