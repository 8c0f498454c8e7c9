"""Attacks on a tagger that stay within what the world allows, found by gradient or by trying.

A jet is changed in one of three ways, each of a strength s:

resolution  momenta by at most s times the detector's resolution, tracks' impact parameters by at
            most s times their errors
soft        five more photons anywhere in the jet, each of at most s GeV
collinear   the five hardest photons and neutral hadrons become two each, at most 0.02 s apart in
            eta and phi; the pairs have their momentum (but for the mass of the pair)

The jet's axis and momentum follow. Within these boxes `gradient` descends the margin of the right
class by the sign of its gradient (projected gradient descent, Madry et al. 2018, arXiv:1706.06083),
`search` keeps what random changes of a random part make worse (after Andriushchenko et al. 2020,
arXiv:1912.00049; no gradient, as many passes), and `random` is one draw: what noise alone does.
Each jet keeps the worst that was seen, so that more steps never look safer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from sciml.errors import InputError, unknown
from sciml.graph import dense
from sciml.jets.data import columns as col
from sciml.objectives.base import changed

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.tagger import JetTagger

Kind = Literal["resolution", "soft", "collinear"]
Method = Literal["random", "search", "gradient"]
EMISSIONS = 5
"""Soft photons that are added, and constituents that are split."""
RADIUS, APART = 0.8, 0.02
"""Of the cone that soft photons are in, and how far a collinear pair is apart at strength 1."""
CHANGED = 0.3
"""Share of the numbers that a step of the search draws anew."""
SMALLEST = 1e-3
"""pT [GeV] of the softest photon."""


def resolution(x: Tensor) -> Tensor:
    """[..., ] relative momentum resolution of constituents [..., 16]: of tracks, photons and
    electrons, and neutral hadrons, by the parametrisation of `sciml.jets.simulation.detector`."""
    from sciml.jets.simulation.detector import tower_resolution, track_resolution

    flat = x.detach().reshape(-1, x.shape[-1]).cpu().double().numpy()
    out = []
    for row in flat:
        pt = max((row[col.PX] ** 2 + row[col.PY] ** 2) ** 0.5, 1e-9)
        eta, energy = float(torch.asinh(torch.tensor(row[col.PZ] / pt))), max(row[col.ENERGY], 1e-9)
        if row[col.CHARGE] != 0 and not row[col.ELECTRON]:
            out.append(track_resolution(13 if row[col.MUON] else 211, pt, eta))
        else:
            shower = bool(row[col.PHOTON] or row[col.ELECTRON])
            out.append(tower_resolution(shower, eta, energy) / energy)
    return torch.tensor(out, dtype=x.dtype, device=x.device).clamp(0.0, 0.5).view(x.shape[:-1])


def applied(batch: Data, kind: Kind, strength: float, box: Tensor, width: Tensor) -> Data:
    """The raw batch with a change of this strength.

    Args:
        batch: dense raw batch.
        kind, strength: see the module.
        box: numbers within [-1, 1]: [B, N, 3] for momentum, d0 and dz of each constituent, or
            [B, EMISSIONS, 3] for the size of each emission and its two angles.
        width: [B, N] resolutions, of `resolution`.
    """
    x, mask = batch.x, batch.mask
    p4 = x[..., col.FOUR_MOMENTUM]
    if kind == "resolution":
        scale = 1 + strength * width * box[..., :1].squeeze(-1)
        d0 = x[..., col.D0] + strength * x[..., col.D0_ERROR] * box[..., 1]
        dz = x[..., col.DZ] + strength * x[..., col.DZ_ERROR] * box[..., 2]
        after = torch.cat([
            p4 * scale.clamp(min=0.05)[..., None], x[..., col.ANGLES], d0[..., None],
            x[..., col.D0_ERROR, None], dz[..., None], x[..., col.DZ_ERROR :],
        ], -1)  # fmt: skip
        return with_jet(batch, torch.where(mask[..., None], after, x), mask)
    if kind == "soft":
        pt = SMALLEST + (strength - SMALLEST) * 0.5 * (1 + box[..., 0])
        angles = RADIUS * box[..., 1:] / 2**0.5  # within the cone
        new = _photons(batch, pt, angles)
        new_mask = torch.ones(new.shape[:2], dtype=torch.bool, device=x.device)
        return with_jet(batch, torch.cat([x, new], 1), torch.cat([mask, new_mask], 1))
    return _split(batch, strength, box)


def _eta_phi(p4: Tensor) -> tuple[Tensor, Tensor]:
    pt = torch.hypot(p4[..., col.PX], p4[..., col.PY]).clamp(min=1e-9)
    return torch.asinh(p4[..., col.PZ] / pt), torch.atan2(p4[..., col.PY], p4[..., col.PX])


def _axis(batch: Data) -> tuple[Tensor, Tensor, Tensor]:
    """[B, 1] eta, phi of the jets, and the sign by which their deta is flipped."""
    eta, phi = _eta_phi((batch.x[..., col.FOUR_MOMENTUM] * batch.mask[..., None]).sum(1))
    return eta[:, None], phi[:, None], torch.where(eta < 0, -1.0, 1.0)[:, None]


def _momenta(pt: Tensor, eta: Tensor, phi: Tensor) -> Tensor:
    """Massless four-momenta [..., 4]."""
    return torch.stack([pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()], -1)


def _photons(batch: Data, pt: Tensor, angles: Tensor) -> Tensor:
    """[B, K, 16] photons of pT [B, K] at angles [B, K, 2] from the axis."""
    eta, phi, sign = _axis(batch)
    p4 = _momenta(pt, eta + sign * angles[..., 0], phi + angles[..., 1])
    rest = batch.x.new_zeros(*pt.shape, len(col.COLUMNS) - col.D0)
    rest[..., col.PHOTON - col.D0] = 1
    return torch.cat([p4, angles, rest], -1)


def _split(batch: Data, strength: float, box: Tensor) -> Data:
    """The hardest neutral constituents as two each: shares of pT z and 1 - z, with the same sum."""
    x, mask = batch.x, batch.mask
    neutral = mask & ((x[..., col.PHOTON] + x[..., col.NEUTRAL_HADRON]) > 0)
    pt = torch.hypot(x[..., col.PX], x[..., col.PY]) * neutral
    count = min(EMISSIONS, x.shape[1])
    hardest, places = pt.topk(count, 1)
    real = hardest > 0
    box = box[:, :count]
    share = 0.25 + 0.25 * box[..., :1]  # of the softer one: 0 to a half
    gap = APART * strength * box[..., 1:] / 2**0.5
    parents = x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))
    sign = _axis(batch)[2]
    children = []
    # Moved against each other so that the sum of their momenta points where it did.
    for part, shift in ((share, gap * (1 - share)), (1 - share, -gap * share)):
        eta, phi = _eta_phi(parents)
        eta, phi = eta + sign * shift[..., 0], phi + shift[..., 1]
        p4 = _momenta(hardest * part[..., 0], eta, phi)
        children.append(
            torch.cat([p4, parents[..., col.ANGLES] + shift, parents[..., col.D0 :]], -1)
        )
    # A constituent that is not there stays what it was; its second half is padding.
    kept = torch.where(real[..., None], children[1], parents)
    after = x.scatter(1, places[..., None].expand_as(kept), kept)
    return with_jet(batch, torch.cat([after, children[0]], 1), torch.cat([mask, real], 1))


def with_jet(before: Data, x: Tensor, mask: Tensor) -> Data:
    """The batch with constituents `x`; the jet's momentum, and angles from its axis, follow."""
    old = (before.x[..., col.FOUR_MOMENTUM] * before.mask[..., None]).sum(1)
    new = (x[..., col.FOUR_MOMENTUM] * mask[..., None]).sum(1)
    sign = _axis(before)[2]
    (eta_0, phi_0), (eta_1, phi_1) = _eta_phi(old), _eta_phi(new)
    turn = torch.remainder(phi_1 - phi_0 + torch.pi, 2 * torch.pi) - torch.pi
    shift = torch.stack([sign[:, 0] * (eta_1 - eta_0), turn], -1)[:, None]
    angles = x[..., col.ANGLES] - shift
    pt = torch.hypot(new[:, 0], new[:, 1]) / torch.hypot(old[:, 0], old[:, 1]).clamp(min=1e-9)
    jet = before.jet * torch.stack([pt, new[:, 3] / old[:, 3].clamp(min=1e-9)], -1)
    x = torch.cat([x[..., : col.DETA], angles, x[..., col.D0 :]], -1)
    return changed(before, x=torch.where(mask[..., None], x, 0.0), mask=mask, jet=jet)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """[B] logit of the right class less the largest other; below 0 is wrong."""
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return right - others.amax(1)


def attack(
    tagger: JetTagger,
    batch: Data,
    labels: Tensor,
    kind: Kind,
    strength: float,
    method: Method = "gradient",
    *,
    steps: int = 10,
    seed: int = 0,
) -> tuple[Data, Tensor]:
    """Change jets so that the tagger gets them wrong.

    Args:
        tagger: in evaluation mode.
        batch: raw batch of jets.
        labels: [B] int64, indices of the right classes among the tagger's.
        kind, strength, method: see the module; a strength of 0 changes nothing.
        steps: passes of the network of "search" and "gradient".
        seed: of all random numbers.

    Returns:
        the changed jets, those with the smallest margin seen, and these margins [B].

    Raises:
        InputError: an unknown kind or method, a strength below 0, or no steps.
    """
    for what, value, names in (("kind", kind, Kind), ("method", method, Method)):
        if value not in get_args(names):
            raise unknown(f"{what} of attack", value, get_args(names))
    if not strength >= 0 or steps < 1:
        raise InputError(f"`strength` must be at least 0 and `steps` 1, got {strength}, {steps}")
    batch = dense(batch)
    if strength == 0:
        with torch.no_grad():
            return batch, margin(tagger(batch), labels)
    width = resolution(batch.x) if kind == "resolution" else torch.zeros_like(batch.x[..., 0])
    jets, n = batch.mask.shape
    generator = torch.Generator().manual_seed(seed)

    def drawn() -> Tensor:
        size = n if kind == "resolution" else EMISSIONS
        return (2 * torch.rand(jets, size, 3, generator=generator) - 1).to(batch.x.device)

    best, worst = drawn(), torch.full((jets,), torch.inf, device=batch.x.device)
    box = best
    for step in range(1 if method == "random" else steps):
        if method == "search" and step:
            again = torch.rand(jets, box.shape[1], 1, generator=generator).to(box.device) < CHANGED
            box = torch.where(again, drawn(), best)
        with torch.set_grad_enabled(method == "gradient"):
            box = box.detach().requires_grad_(method == "gradient")
            margins = margin(tagger(applied(batch, kind, strength, box, width)), labels)
        lower = margins.detach() < worst
        best = torch.where(lower[:, None, None], box.detach(), best)
        worst = torch.where(lower, margins.detach(), worst)
        if method == "gradient":
            (gradient,) = torch.autograd.grad(margins.sum(), box)
            box = (box.detach() - 2.5 / steps * gradient.sign()).clamp(-1, 1)
    return applied(batch, kind, strength, best, width), worst


def robustness(
    tagger: JetTagger, batch: Data, labels: Tensor, *, kinds: tuple[Kind, ...],
    strengths: tuple[float, ...], steps: int = 10, seed: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row per kind and strength: accuracy of the jets as they are, after one random change, and
    after what search and gradient found (a jet also counts as wrong if it was so unchanged)."""
    with torch.no_grad():
        plain = margin(tagger(dense(batch)), labels)
    rows = []
    for kind in kinds:
        for strength in strengths:
            row: dict[str, Any] = {"kind": kind, "strength": strength,
                                   "unchanged": float((plain > 0).float().mean())}  # fmt: skip
            for method in get_args(Method):
                _, margins = attack(tagger, batch, labels, kind, strength, method,
                                    steps=steps, seed=seed)  # fmt: skip
                if method != "random":
                    margins = torch.minimum(margins, plain)
                row[method] = float((margins > 0).float().mean())
            rows.append(row)
    return rows
