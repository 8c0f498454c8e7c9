"""Other views of a jet: what contrastive objectives compare, and the noise of noised training.

`augment` draws views from the symmetries of a jet and the resolution of a detector. Better ones
come from the simulation, which can shower one hard collision twice:

    sciml data make jets --views 2 -o pairs.parquet
    sciml run pretrain --data pairs.parquet --objective simclr

Such jets differ in all that shower, hadronisation, decays and detector do by chance; what they
share is what a tagger wants to know. No label is used (re-simulation: Harris, Kagan, Krupa, Maier,
Woodward 2024, arXiv:2403.07066).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.graph import dense
from sciml.jets.networks import embedder
from sciml.objectives.base import Examples, changed

if TYPE_CHECKING:
    from torch_geometric.data import Data

FASTEST = 2.0
"""The most by which a view's pT is larger or smaller than that of the jet."""


def augment(batch: Data) -> Data:
    """Another view of the jets: boosted, turned and mirrored, smeared, soft particles lost.

    What a jet is does not depend on how fast it flies, but two showers of one collision share pT
    and eta, and would be told from others by them. See `boosted`, `turned` and `smeared`.
    """
    return boosted(smeared(turned(batch)))


def turned(batch: Data) -> Data:
    """The jets turned about their axis by a random angle, half of them mirrored: a turn of the
    plane (deta, dphi). All random numbers come from torch's global generator."""
    batch = dense(batch)
    x = batch.x
    angle = torch.rand(len(x), device=x.device) * (2 * math.pi)
    mirror = torch.where(torch.rand(len(x), device=x.device) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    turn = turn * torch.stack([torch.ones_like(mirror), mirror], 1)[:, None, :]
    return embedder.displaced(batch, torch.einsum("bij,bnj->bni", turn, x[..., 4:6]))


def smeared(batch: Data) -> Data:
    """The jets with momenta smeared by 5 %, and without a tenth of the particles below 5 GeV.

    All random numbers come from torch's global generator.
    """
    batch = dense(batch)
    x, mask = batch.x, batch.mask
    pt = torch.hypot(x[..., 0], x[..., 1])
    lost = (torch.rand(pt.shape, device=x.device) < 0.1) & (pt < 5.0)
    keep = mask & ~lost
    keep = torch.where(keep.any(1, keepdim=True), keep, mask)
    smear = torch.exp(0.05 * torch.randn(pt.shape, device=x.device))[..., None]
    return changed(batch, x=torch.cat([x[..., :4] * smear, x[..., 4:]], -1), mask=keep)


def boosted(batch: Data) -> Data:
    """The jets at pT and eta of other jets of the batch (pT within a factor `FASTEST`).

    Along its own axis a jet is boosted in the collinear limit: momenta grow by as much as angles
    shrink, so that masses stay (to 4 % where a jet is wide). Along the beam the boost is exact.
    The sign of eta stays. All random numbers come from torch's global generator.
    """
    batch = dense(batch)
    jet, mask = batch.jet, batch.mask
    px, py, pz, _ = (batch.x[..., :4] * mask[..., None]).sum(1).unbind(-1)
    eta = torch.asinh(pz / torch.hypot(px, py).clamp(min=1e-9))
    another = torch.randperm(len(jet), device=jet.device)
    faster = (jet[another, 0] / jet[:, 0].clamp(min=1e-9)).clamp(1 / FASTEST, FASTEST)[:, None]
    x = embedder.displaced(batch, batch.x[..., 4:6] / faster[..., None]).x
    p4 = x[..., :4] * faster[..., None]
    shift = torch.where(eta < 0, -1.0, 1.0) * eta[another].abs() - eta
    along = p4[..., 2] * shift.cosh()[:, None] + p4[..., 3] * shift.sinh()[:, None]
    mass2 = (p4[..., 3].square() - p4[..., :3].square().sum(-1)).clamp(min=0)
    energy = (mass2 + p4[..., :2].square().sum(-1) + along.square()).sqrt()
    moved = torch.stack([p4[..., 0], p4[..., 1], along, energy], -1)
    before, after = ((e * mask).sum(1) for e in (batch.x[..., 3], energy))
    whole = torch.stack([jet[:, 0] * faster[:, 0], jet[:, 1] * after / before.clamp(min=1e-9)], 1)
    return changed(batch, x=torch.cat([moved, x[..., 4:]], -1), jet=whole)


def other_detector(batch: Data) -> Data:
    """The jets as a detector drawn at random for each of them would see them.

    For training that shall carry over to other detectors. A detector has energy scales of photons
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
    electromagnetic = (x[..., 13] + x[..., 14]) > 0
    track = (x[..., 10] != 0) & ~electromagnetic
    scale = torch.where(track, uniform(0.98, 1.02), uniform(0.9, 1.1))
    scale = torch.where(electromagnetic, uniform(0.9, 1.1), scale)
    spread = uniform(0.0, 0.15) * torch.where(track, 0.2, 1.0)
    p4 = x[..., :4] * (scale * torch.exp(spread * noise[..., 0]))[..., None]
    blur = uniform(0.0, 1.5)
    d0 = x[..., 6] + noise[..., 1] * blur * x[..., 7].clamp(0.0, 0.05)
    dz = x[..., 8] + noise[..., 2] * blur * x[..., 9].clamp(0.0, 0.05)
    seen = mask & (torch.rand(mask.shape, device=x.device) >= uniform(0.0, 0.15))
    seen = torch.where(seen.any(1, keepdim=True), seen, mask)
    parts = [p4, x[..., 4:6], d0[..., None], x[..., 7:8], dz[..., None], x[..., 9:]]
    return changed(batch, x=torch.cat(parts, -1), mask=seen)


class Views(Sequence[Any]):
    """Each jet of `jets` with another of its collision as `other`; itself where it is alone.

    Args:
        jets: items as `embedder.collate` takes them.
        collisions: [len(jets)] the number of each jet's collision.
    """

    def __init__(self, jets: Examples, collisions: NDArray[Any]) -> None:
        self.jets = jets
        self.others = next_of_group(collisions)

    def __len__(self) -> int:
        return len(self.jets)

    def __getitem__(self, index: Any) -> Any:
        return {**self.jets[index], "other": self.jets[int(self.others[index])]}


def next_of_group(groups: NDArray[Any]) -> NDArray[np.int64]:
    """[n] the place of the next member of each one's group, after the last the first again."""
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
