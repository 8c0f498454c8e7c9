"""Views of a jet: augmentations for contrastive objectives and for training with noise.

`augment` draws views from the symmetries of a jet and the resolution of a detector. Better ones
come from the simulation, which can shower one hard-scatter event twice:

    sciml data make jets --views 2 -o pairs.parquet
    sciml run pretrain --data pairs.parquet --objective simclr

Such jets differ in the random parts of shower, hadronisation, decays and detector, and share the
hard process that a tagger is to recognise. No label is used (re-simulation: Harris, Kagan, Krupa,
Maier, Woodward 2024, arXiv:2403.07066).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.graph import dense
from sciml.jets.data import columns as col
from sciml.jets.networks import embedder
from sciml.objectives.base import Examples, changed

if TYPE_CHECKING:
    from torch_geometric.data import Data

MAX_PT_SCALE = 2.0
"""Largest factor between the pT of a view and that of the jet."""


def augment(batch: Data) -> Data:
    """Another view of the jets: boosted, rotated and mirrored, smeared, soft particles lost.

    The class of a jet does not depend on its pT and eta, but two showers of one event share both,
    and could be recognised by them. See `boosted`, `rotated` and `smeared`.
    """
    return boosted(smeared(rotated(batch)))


def rotated(batch: Data) -> Data:
    """The jets rotated about their axis by a random angle, in the plane (deta, dphi); half of them
    mirrored. All random numbers come from torch's global generator."""
    batch = dense(batch)
    x = batch.x
    angle = torch.rand(len(x), device=x.device) * (2 * math.pi)
    mirror = torch.where(torch.rand(len(x), device=x.device) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    rotation = rotation * torch.stack([torch.ones_like(mirror), mirror], 1)[:, None, :]
    return embedder.displaced(batch, torch.einsum("bij,bnj->bni", rotation, x[..., col.ANGLES]))


def smeared(batch: Data) -> Data:
    """The jets with momenta smeared by 5 %, and without a tenth of the particles below 5 GeV.

    All random numbers come from torch's global generator.
    """
    batch = dense(batch)
    x, mask = batch.x, batch.mask
    pt = torch.hypot(x[..., col.PX], x[..., col.PY])
    lost = (torch.rand(pt.shape, device=x.device) < 0.1) & (pt < 5.0)
    keep = mask & ~lost
    keep = torch.where(keep.any(1, keepdim=True), keep, mask)
    smear = torch.exp(0.05 * torch.randn(pt.shape, device=x.device))[..., None]
    return changed(
        batch, x=torch.cat([x[..., col.FOUR_MOMENTUM] * smear, x[..., col.DETA :]], -1), mask=keep
    )


def boosted(batch: Data) -> Data:
    """The jets at pT and eta of other jets of the batch (pT within a factor `MAX_PT_SCALE`).

    Along its own axis a jet is boosted in the collinear limit: momenta grow by as much as angles
    shrink, so that masses stay (to 4 % where a jet is wide). Along the beam the boost is exact.
    The sign of eta stays. All random numbers come from torch's global generator.
    """
    batch = dense(batch)
    jet, mask = batch.jet, batch.mask
    px, py, pz, _ = (batch.x[..., col.FOUR_MOMENTUM] * mask[..., None]).sum(1).unbind(-1)
    eta = torch.asinh(pz / torch.hypot(px, py).clamp(min=1e-9))
    another = torch.randperm(len(jet), device=jet.device)
    scale = jet[another, 0] / jet[:, 0].clamp(min=1e-9)
    scale = scale.clamp(1 / MAX_PT_SCALE, MAX_PT_SCALE)[:, None]
    x = embedder.displaced(batch, batch.x[..., col.ANGLES] / scale[..., None]).x
    p4 = x[..., col.FOUR_MOMENTUM] * scale[..., None]
    shift = torch.where(eta < 0, -1.0, 1.0) * eta[another].abs() - eta
    pz = p4[..., col.PZ] * shift.cosh()[:, None] + p4[..., col.ENERGY] * shift.sinh()[:, None]
    mass2 = (p4[..., col.ENERGY].square() - p4[..., : col.ENERGY].square().sum(-1)).clamp(min=0)
    energy = (mass2 + p4[..., : col.PZ].square().sum(-1) + pz.square()).sqrt()
    moved = torch.stack([p4[..., col.PX], p4[..., col.PY], pz, energy], -1)
    before, after = ((e * mask).sum(1) for e in (batch.x[..., col.ENERGY], energy))
    jet = torch.stack([jet[:, 0] * scale[:, 0], jet[:, 1] * after / before.clamp(min=1e-9)], 1)
    return changed(batch, x=torch.cat([moved, x[..., col.DETA :]], -1), jet=jet)


def other_detector(batch: Data) -> Data:
    """The jets as measured by another detector, drawn at random for each jet.

    For training that is to carry over to other detectors. A detector has energy scales of photons
    and electrons, and of neutral hadrons (within 10 %), of tracks (within 2 %), a further smearing
    of momenta (up to 15 %; a fifth of it for tracks) and of impact parameters (up to 1.5 of their
    errors, 0.05 mm at most), and loses up to 15 % of its particles. Directions stay. All random
    numbers come from torch's global generator.
    """
    batch = dense(batch)
    x, mask = batch.x, batch.mask

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(x), 1, device=x.device)

    noise = torch.randn(*mask.shape, 3, device=x.device)
    electromagnetic = (x[..., col.PHOTON] + x[..., col.ELECTRON]) > 0
    track = (x[..., col.CHARGE] != 0) & ~electromagnetic
    scale = torch.where(track, uniform(0.98, 1.02), uniform(0.9, 1.1))
    scale = torch.where(electromagnetic, uniform(0.9, 1.1), scale)
    spread = uniform(0.0, 0.15) * torch.where(track, 0.2, 1.0)
    p4 = x[..., col.FOUR_MOMENTUM] * (scale * torch.exp(spread * noise[..., 0]))[..., None]
    blur = uniform(0.0, 1.5)
    d0 = x[..., col.D0] + noise[..., 1] * blur * x[..., col.D0_ERROR].clamp(0.0, 0.05)
    dz = x[..., col.DZ] + noise[..., 2] * blur * x[..., col.DZ_ERROR].clamp(0.0, 0.05)
    measured = mask & (torch.rand(mask.shape, device=x.device) >= uniform(0.0, 0.15))
    measured = torch.where(measured.any(1, keepdim=True), measured, mask)
    x = x.clone()
    x[..., col.FOUR_MOMENTUM], x[..., col.D0], x[..., col.DZ] = p4, d0, dz
    return changed(batch, x=x, mask=measured)


PILE_UP_PT = 1.0
"""Mean pT [GeV] of a neutral particle of another collision."""


def piled_up(batch: Data, most: int = 40, radius: float = 0.8) -> Data:
    """The jets with neutral particles of other collisions of the same bunch crossing.

    For training that is to carry over to more pile-up than was simulated; their tracks are taken to
    be left out (charged-hadron subtraction). Each jet gets from none to `most` of them, evenly on
    its disc of `radius`, with exponential pT (`PILE_UP_PT`), half of them photons. The jet's pT and
    energy grow by theirs. All random numbers come from torch's global generator.
    """
    batch = dense(batch)
    x, mask, jet = batch.x, batch.mask, batch.jet
    shape, device = (len(x), most), x.device
    count = (torch.rand(len(x), 1, device=device) * (most + 1)).long()
    there = torch.arange(most, device=device) < count
    p4 = (x[..., col.FOUR_MOMENTUM] * mask[..., None]).sum(1)
    eta = torch.asinh(p4[:, 2] / torch.hypot(p4[:, 0], p4[:, 1]).clamp(min=1e-9))[:, None]
    phi = torch.atan2(p4[:, 1], p4[:, 0])[:, None]
    away = radius * torch.rand(shape, device=device).sqrt()
    angle = 2 * math.pi * torch.rand(shape, device=device)
    deta, dphi = away * angle.cos(), away * angle.sin()
    pt = -PILE_UP_PT * torch.rand(shape, device=device).clamp(min=1e-6).log()
    photon = (torch.rand(shape, device=device) < 0.5).to(x.dtype)
    new = x.new_zeros(*shape, x.shape[-1])
    there_eta, there_phi = eta + torch.where(eta > 0, deta, -deta), phi + dphi
    new[..., col.PX], new[..., col.PY] = pt * there_phi.cos(), pt * there_phi.sin()
    new[..., col.PZ], new[..., col.ENERGY] = pt * there_eta.sinh(), pt * there_eta.cosh()
    new[..., col.DETA], new[..., col.DPHI] = deta, dphi
    new[..., col.PHOTON], new[..., col.NEUTRAL_HADRON] = photon, 1 - photon
    new = new * there[..., None]
    total = new[..., col.FOUR_MOMENTUM].sum(1)
    grown = torch.hypot(p4[:, 0] + total[:, 0], p4[:, 1] + total[:, 1])
    grown = grown / torch.hypot(p4[:, 0], p4[:, 1]).clamp(min=1e-9)
    jet = torch.stack([jet[:, 0] * grown, jet[:, 1] + total[:, 3]], 1)
    return changed(batch, x=torch.cat([x, new], 1), mask=torch.cat([mask, there], 1), jet=jet)


class Views(Sequence[Any]):
    """Each jet of `jets` with another of its event as `other`; itself where it is alone.

    Args:
        jets: items as `embedder.collate` takes them.
        event_ids: [len(jets)] hard-scatter event ids.
    """

    def __init__(self, jets: Examples, event_ids: NDArray[Any]) -> None:
        self.jets = jets
        self.others = next_of_group(event_ids)

    def __len__(self) -> int:
        return len(self.jets)

    def __getitem__(self, index: Any) -> Any:
        return {**self.jets[index], "other": self.jets[int(self.others[index])]}


def next_of_group(groups: NDArray[Any]) -> NDArray[np.int64]:
    """[n] index of the next member of each one's group; after the last the first again."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    size = np.diff(np.r_[first, len(ordered)])
    following = np.arange(1, len(ordered) + 1)
    following[first + size - 1] = first
    out = np.empty(len(order), np.int64)
    out[order] = order[following]
    return out


def collate(items: Sequence[Mapping[str, Any]]) -> Data:
    """Items of `Views` -> the raw batch, with the batch of the other jets as `other`."""
    batch = embedder.collate([{k: v for k, v in item.items() if k != "other"} for item in items])
    batch.other = embedder.collate([item["other"] for item in items])
    return batch


def __getattr__(name: str) -> Any:
    if name == "turned":
        warnings.warn("views.turned is now views.rotated", DeprecationWarning, stacklevel=2)
        return rotated
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
