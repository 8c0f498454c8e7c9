"""Jet observables from the constituents.

Mass, multiplicity, width, momentum sharing, energy correlation ratios C2 and D2 (Larkoski, Salam,
Thaler arXiv:1305.0007; Larkoski, Moult, Neill arXiv:1409.6298), particle types, jet charge and
displaced tracks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.jets.data import columns as col

OBSERVABLES = (
    "pt", "mass", "multiplicity", "width", "pt_dispersion", "leading_share", "five_share",
    "c2", "d2", "e2", "charge", "charged_share", "neutral_share", "photon_share",
    "electron_share", "muon_share", "electrons", "muons", "displaced_d0", "displaced_dz",
    "largest_d0", "second_d0", "third_d0",
)  # fmt: skip


def observables(particles: Tensor, mask: Tensor) -> Tensor:
    """[B, len(OBSERVABLES)] float64 of jets [B, N, 16] with mask [B, N]; energies in GeV."""
    x = particles.double()
    px, py, pz, energy = (x[..., i] * mask for i in (col.PX, col.PY, col.PZ, col.ENERGY))
    pt = torch.hypot(px, py)
    total = pt.sum(1, keepdim=True).clamp(min=1e-9)
    z = pt / total
    angles = x[..., col.ANGLES]
    # angles from the pT-weighted axis, so that the width does not depend on the jet's axis
    angles = angles - (z[..., None] * angles).sum(1, keepdim=True)
    r = angles.norm(dim=-1) * mask
    flow = (z[:, :, None] * z[:, None, :]).sqrt() * torch.cdist(angles, angles)
    e2 = 0.5 * (flow * (z[:, :, None] * z[:, None, :]).sqrt()).sum((1, 2))
    e3 = (flow @ flow @ flow).diagonal(dim1=1, dim2=2).sum(1) / 6
    mass2 = energy.sum(1) ** 2 - px.sum(1) ** 2 - py.sum(1) ** 2 - pz.sum(1) ** 2
    ordered = z.sort(1, descending=True).values
    d0, d0_error = x[..., col.D0].abs(), x[..., col.D0_ERROR].clamp(min=1e-4)
    dz, dz_error = x[..., col.DZ].abs(), x[..., col.DZ_ERROR].clamp(min=1e-4)
    track = mask & (x[..., col.CHARGE] != 0)
    significance = (d0 / d0_error * track).clamp(max=1e3)
    largest = torch.nn.functional.pad(significance, (0, 3)).sort(1, descending=True).values
    kinds = (z[..., None] * x[..., col.TYPES]).sum(1).unbind(1)
    rows = [
        total[:, 0], mass2.clamp(min=0).sqrt(), mask.sum(1).double(), (z * r).sum(1),
        z.square().sum(1).sqrt(), ordered[:, 0], ordered[:, :5].sum(1),
        e3 / e2.square().clamp(min=1e-12), e3 / e2.pow(3).clamp(min=1e-12), e2,
        (z.sqrt() * x[..., col.CHARGE]).sum(1), *kinds, (x[..., col.ELECTRON] * mask).sum(1),
        (x[..., col.MUON] * mask).sum(1), (significance > 3).sum(1).double(),
        ((dz / dz_error > 3) & track).sum(1).double(), *largest[:, :3].unbind(1),
    ]  # fmt: skip
    return torch.stack(rows, dim=1)
