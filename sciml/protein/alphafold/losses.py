"""AlphaFold's losses: FAPE, torsions, distogram, masked MSA, confidences, violations.

Jumper et al., Nature 596, 583 (2021), supplement 1.9, algorithms 26 to 28. Shapes have a leading
batch dimension; a loss has one value per chain [B], 0 for a chain without the data for it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from sciml.config import Range
from sciml.nn.constants import constant
from sciml.nn.frames import Frames, rotation_from_two
from sciml.protein.alphafold import confidence
from sciml.protein.alphafold.embedders import pseudo_beta, torsion_angles
from sciml.protein.alphafold.model import Output
from sciml.protein.alphafold.structure_module import POSITION_SCALE
from sciml.protein.io import residues

Weight = Annotated[float, Range(min=0)]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms (supplement equation 7); fine-tuning adds the last two."""

    structure: Weight = 1.0
    """Of backbone and side-chain FAPE (half each) with torsions."""
    chi: Weight = 0.5
    """Of the side-chain torsions within it."""
    angle_norm: Weight = 0.01
    """Of the length of raw angle vectors within it."""
    distogram: Weight = 0.3
    """Of the distance classes."""
    masked_msa: Weight = 2.0
    """Of the hidden cells."""
    plddt: Weight = 0.01
    """Of the predicted lDDT."""
    pae: Weight = 0.1
    """Of the predicted aligned error."""
    resolved: Weight = 0.0
    """Of which atoms are resolved (0.01 in fine-tuning)."""
    violation: Weight = 0.0
    """Of bonds, angles and clashes (1.0 in fine-tuning)."""
    chain_centers: Weight = 1.0
    """Of the centres of a complex's chains (AlphaFold-Multimer)."""


@dataclass
class Truth:
    """A known structure in every form that the losses take.

    Attributes:
        types: [B, N].
        atoms, mask: [B, N, 37, 3] [A] and [B, N, 37].
        resolution: [B] [A]; confidences are learned where it lies between 0.1 and 3.
    """

    types: Tensor
    atoms: Tensor
    mask: Tensor
    resolution: Tensor | None = None


def masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """Mean of each chain's values [B, ...] where `mask`, [B]; 0 where there are none."""
    mask = mask.to(value.dtype).expand(value.shape).flatten(1)
    return (value.flatten(1) * mask).sum(1) / mask.sum(1).clamp(min=1e-4)


@functools.cache
def _group_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Of each residue type's rigid groups: the three atoms in atom37 that a frame rests on
    [21, 8, 3], whether it has the group [21, 8], the turn of a symmetric one [21, 8, 3, 3]."""
    base = torch.zeros(21, 8, 3, dtype=torch.long)
    exists = torch.zeros(21, 8)
    half_turn = torch.eye(3).repeat(21, 8, 1, 1)
    base[:, 0] = torch.tensor([0, 1, 2])  # N, CA, C
    base[:, 3] = torch.tensor([1, 2, 4])  # CA, C, O
    exists[:20, 0] = exists[:20, 3] = 1
    for kind in range(20):
        for chi in range(4):
            if residues.CHI_MASK[kind, chi]:
                base[kind, 4 + chi] = torch.as_tensor(residues.CHI_ATOMS[kind, chi, 1:])
                exists[kind, 4 + chi] = 1
                if residues.CHI_PI_PERIODIC[kind, chi]:
                    half_turn[kind, 4 + chi] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return base, exists, half_turn


@functools.cache
def _renamed_order() -> Tensor:
    """[21, 14] for each atom14 slot, that of the atom it swaps names with, or its own."""
    swap = torch.arange(14).repeat(21, 1)
    for letter, pairs in residues.RENAMED.items():
        kind = residues.RESIDUES.index(letter)
        names = residues.ATOM14[kind]
        for one, other in pairs:
            a, b = names.index(one), names.index(other)
            swap[kind, [a, b]] = torch.tensor([b, a])
    return swap


def true_groups(truth: Truth) -> tuple[Frames, Tensor, Tensor]:
    """Frames of the eight rigid groups of a known structure.

    Returns:
        frames [B, N, 8], which exist [B, N, 8], and a matrix [B, N, 8, 3, 3] that turns those of
        symmetric side chains (identity elsewhere).
    """
    device = truth.atoms.device
    types = truth.types.clamp(max=residues.UNKNOWN)
    # [B, N, 8, 3], [B, N, 8] and [B, N, 8, 3, 3]
    chosen, exists, half_turn = (constant(table, device)[types] for table in _group_tables())
    flat = chosen.flatten(2)
    points = truth.atoms.gather(2, flat[..., None].expand(*flat.shape, 3)).unflatten(2, (8, 3))
    present = truth.mask.gather(2, flat).unflatten(2, (8, 3)).prod(-1) * exists
    first, second, third = points.unbind(-2)
    # Backbone: x from CA to C, N in the plane. Others: x along the bond, the next atom in plane.
    rotation = rotation_from_two(second - first, third - second)
    rotation[:, :, 0] = rotation_from_two(
        points[:, :, 0, 2] - points[:, :, 0, 1], points[:, :, 0, 0] - points[:, :, 0, 1]
    )
    eye = torch.eye(3, device=device).expand_as(rotation)
    rotation = torch.where(present[..., None, None] > 0, rotation, eye)
    return Frames(rotation, second), present, half_turn


def fape(
    frames: Frames,
    true_frames: Frames,
    frame_mask: Tensor,
    points: Tensor,
    true_points: Tensor,
    point_mask: Tensor,
    clamp: float | None = 10.0,
    *,
    unit: float = POSITION_SCALE,
    pairs: Tensor | None = None,
) -> Tensor:
    """Algorithm 28: errors of points seen from every frame, over 10 A.

    Args:
        frames, true_frames: [B, F]; frame_mask [B, F].
        points, true_points: [B, P, 3] [A]; point_mask [B, P].
        clamp: largest error that counts [A]; None: no limit.
        unit: of the errors [A].
        pairs: [B, F, P] which frames see which points; None: all.

    Returns:
        [B].
    """

    def local(f: Frames, x: Tensor) -> Tensor:
        moved = x[:, None] - f.translation[:, :, None]
        return torch.einsum("bfji,bfpj->bfpi", f.rotation, moved)

    error = (local(frames, points) - local(true_frames, true_points)).square().sum(-1)
    error = (error + 1e-4).sqrt()
    if clamp is not None:
        error = error.clamp(max=clamp)
    weight = frame_mask[:, :, None] * point_mask[:, None]
    if pairs is not None:
        weight = weight * pairs
    return (error * weight).sum((1, 2)) / (unit * weight.sum((1, 2)).clamp(min=1e-4))


INTERFACE_CLAMP, INTERFACE_UNIT = 30.0, 20.0
"""Of the FAPE between two chains [A] (Evans et al., bioRxiv 2021.10.04.463034, section 7.3)."""
CENTER_SLACK, CENTER_UNIT = 4.0, 20.0
"""How much closer than in truth chains may be at no cost, and unit of what is beyond [A]."""


def backbone_fape(
    frames: Frames, true_frames: Frames, mask: Tensor, clamp: bool, chains: Tensor | None = None
) -> Tensor:
    """FAPE of backbone frames [B, N] and their CA atoms, [B].

    Args:
        frames, true_frames: their translations are the CA atoms [A].
        mask: [B, N] residues whose frame is known.
        clamp: of the errors within a chain.
        chains: [B, N] numbers of a complex's chains; the errors between two of them are then a
            term of their own, with its own clamp and unit.
    """
    points, true_points = frames.translation, true_frames.translation
    arguments = (frames, true_frames, mask, points, true_points, mask)
    limit = 10.0 if clamp else None
    if chains is None:
        return fape(*arguments, limit)
    same = (chains[:, :, None] == chains[:, None]).to(mask.dtype)
    between = fape(*arguments, INTERFACE_CLAMP, unit=INTERFACE_UNIT, pairs=1 - same)
    return fape(*arguments, limit, pairs=same) + between


def chain_center_loss(predicted: Tensor, true: Tensor, mask: Tensor, chains: Tensor) -> Tensor:
    """Centres of chains that are closer than in truth (Evans et al., section 7.3), [B].

    Chains that clash in the middle of training are so driven apart.

    Args:
        predicted, true: CA atoms [B, N, 3] [A].
        mask: [B, N] which are known.
        chains: [B, N] numbers of the chains from 1.
    """
    member = F.one_hot(chains, int(chains.max()) + 1)[..., 1:].to(mask.dtype) * mask[..., None]
    count = member.sum(1)  # [B, C]

    def distances(points: Tensor) -> Tensor:
        centers = torch.einsum("bnc,bni->bci", member, points) / count[..., None].clamp(min=1)
        apart = centers[:, :, None] - centers[:, None]
        return (apart.square().sum(-1) + 1e-8).sqrt()

    missing = (distances(true) - distances(predicted) - CENTER_SLACK).clamp(min=0) / CENTER_UNIT
    present = (count > 0).to(mask.dtype)
    others = 1 - torch.eye(count.shape[1], device=mask.device, dtype=mask.dtype)
    return masked_mean(missing.square(), present[:, :, None] * present[:, None] * others)


def rename_symmetric(
    types: Tensor, predicted: Tensor, atoms: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 26: the naming of symmetric side chains that agrees better with the prediction.

    Args:
        types: [B, N].
        predicted, atoms: [B, N, 14, 3] [A].
        mask: [B, N, 14].

    Returns:
        The truth's atoms and mask under the chosen names, and which residues [B, N] were renamed.
    """
    order = constant(_renamed_order(), types.device)[types.clamp(max=residues.UNKNOWN)]
    moved = order != torch.arange(14, device=types.device)
    swapped = atoms.gather(2, order[..., None].expand(*order.shape, 3))
    swapped_mask = mask.gather(2, order)
    batch, n = types.shape
    fixed = (~moved & (mask > 0)).reshape(batch, 1, n * 14).to(atoms.dtype)

    weight = fixed * (mask * moved).reshape(batch, n * 14, 1).to(atoms.dtype)

    def disagreement(candidate: Tensor) -> Tensor:
        flat = candidate.reshape(batch, n * 14, 3)
        predicted_points = predicted.reshape(batch, n * 14, 3)
        true_distance = torch.cdist(candidate.reshape(batch, n * 14, 3), flat)
        predicted_distance = torch.cdist(predicted_points, predicted_points)
        return ((true_distance - predicted_distance).abs() * weight).view(batch, n, -1).sum(-1)

    renamed = disagreement(swapped) < disagreement(atoms)
    chosen = torch.where(renamed[..., None, None], swapped, atoms)
    return chosen, torch.where(renamed[..., None], swapped_mask, mask), renamed


def structure_loss(
    output: Output,
    truth: Truth,
    real: Tensor,
    weights: LossWeights,
    clamp: bool = True,
    chains: Tensor | None = None,
) -> dict[str, Tensor]:
    """Backbone and side-chain FAPE, torsions, angle lengths; "structure" is their weighted sum.

    Args:
        output: of the network.
        truth: the ca_mask structure.
        real: [B, N] residues that are no padding, resolved or not.
        weights: of the terms.
        clamp: of the backbone FAPE, at 10 A.
        chains: [B, N] numbers of the chains, of a complex.
    """
    types = truth.types.clamp(max=residues.UNKNOWN)
    predicted = output.structure
    true_frames, exists, turn = true_groups(truth)
    backbone = []
    from sciml.nn.frames import rotation_from_quaternion

    for layer in predicted.frames:
        frames = Frames(rotation_from_quaternion(layer[..., :4]), layer[..., 4:])
        backbone.append(backbone_fape(frames, true_frames[:, :, 0], exists[:, :, 0], clamp, chains))
    to37 = constant(residues.ATOM14_TO_37, types.device)[types]
    slots = constant(residues.ATOM14_MASK, types.device)[types]
    atoms = truth.atoms.gather(2, to37[..., None].expand(*to37.shape, 3))
    mask = truth.mask.gather(2, to37) * slots
    with torch.no_grad():
        atoms, mask, renamed = rename_symmetric(types, predicted.atoms[-1].detach(), atoms, mask)
        turned = true_frames.rotation @ turn
        rotation = torch.where(renamed[..., None, None, None], turned, true_frames.rotation)
    batch = len(types)

    def flat(f: Tensor, size: int) -> Tensor:
        return f.reshape(batch, -1, *f.shape[f.ndim - size :])

    side = fape(
        Frames(flat(predicted.group_rotations[-1], 2), flat(predicted.group_origins[-1], 1)),
        Frames(flat(rotation, 2), flat(true_frames.translation, 1)),
        exists.flatten(1),
        flat(predicted.atoms[-1], 1),
        flat(atoms, 1),
        mask.flatten(1),
        10.0,
    )
    true_angles, mirrored, angle_mask = torsion_angles(types, truth.atoms, truth.mask)
    chi, other, chi_mask = true_angles[:, :, 3:], mirrored[:, :, 3:], angle_mask[:, :, 3:]
    angles = predicted.angles[..., 3:, :]
    error = torch.minimum(
        (angles - chi).square().sum(-1), (angles - other).square().sum(-1)
    )  # [L, B, N, 4]
    length = (predicted.raw_angles.square().sum(-1) + 1e-6).sqrt()
    terms = {
        "backbone_fape": torch.stack(backbone).mean(0),
        "side_chain_fape": side,
        "chi": masked_mean(error.transpose(0, 1), chi_mask[:, None]),
        "angle_norm": masked_mean((length - 1).abs().transpose(0, 1), real[:, None, :, None]),
    }
    terms["structure"] = (
        0.5 * terms["backbone_fape"]
        + 0.5 * terms["side_chain_fape"]
        + weights.chi * terms["chi"]
        + weights.angle_norm * terms["angle_norm"]
    )
    return terms


def distogram_loss(logits: Tensor, truth: Truth) -> Tensor:
    """Cross entropy of CB distance classes [B, N, N, bins] (supplement 1.9.8)."""
    beta = pseudo_beta(truth.types, truth.atoms)
    glycine = truth.types == residues.RESIDUES.index("G")
    mask = torch.where(glycine, truth.mask[..., 1], truth.mask[..., 3])
    square = (beta[:, :, None] - beta[:, None]).square().sum(-1)
    edges = confidence.distogram_edges(logits.shape[-1], logits.device).square()
    target = torch.bucketize(square, edges)
    loss = F.cross_entropy(logits.permute(0, 3, 1, 2), target, reduction="none")
    return masked_mean(loss, mask[:, :, None] * mask[:, None])


def masked_msa_loss(logits: Tensor, true: Tensor, hidden: Tensor) -> Tensor:
    """Cross entropy of hidden cells [B, S, N, 23] (supplement 1.9.9)."""
    loss = F.cross_entropy(logits.permute(0, 3, 1, 2), true, reduction="none")
    return masked_mean(loss, hidden)


def _lddt(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """CA lDDT of each residue, [B, N] 0 to 1 (cut-off 15 A)."""
    true_distance, predicted_distance = torch.cdist(true, true), torch.cdist(predicted, predicted)
    eye = torch.eye(mask.shape[1], device=mask.device)
    use = (true_distance < 15) * mask[:, :, None] * mask[:, None] * (1 - eye)
    error = (true_distance - predicted_distance).abs()
    share = sum((error < limit).float() for limit in (0.5, 1, 2, 4)) / 4
    return (1e-10 + (share * use).sum(-1)) / (1e-10 + use.sum(-1))


def _well_resolved(truth: Truth, mask: Tensor) -> Tensor:
    """`mask` [B, ...] of the chains whose resolution says that the experiment can be trusted."""
    if truth.resolution is None:
        return mask
    good = (truth.resolution >= 0.1) & (truth.resolution <= 3.0)
    return mask * good.view(-1, *[1] * (mask.ndim - 1)).to(mask.dtype)


def confidence_losses(output: Output, truth: Truth) -> dict[str, Tensor]:
    """Classes of the lDDT and aligned error that the prediction has (supplement 1.9.6, 1.9.7)."""
    ca, seen = truth.atoms[:, :, 1], truth.mask[:, :, 1]
    mask = _well_resolved(truth, seen)
    with torch.no_grad():
        score = _lddt(output.atoms[:, :, 1], ca, seen)
        bins = output.logits["plddt"].shape[-1]
        target = (score * bins).long().clamp(max=bins - 1)
    loss = F.cross_entropy(output.logits["plddt"].transpose(1, 2), target, reduction="none")
    terms = {"plddt": masked_mean(loss, mask)}
    if "pae" in output.logits:
        frames, exists, _ = true_groups(truth)
        last = output.structure.frames[-1]
        with torch.no_grad():
            from sciml.nn.frames import rotation_from_quaternion

            predicted_frames = Frames(rotation_from_quaternion(last[..., :4]), last[..., 4:])
            real = frames[:, :, 0]

            def local(f: Frames) -> Tensor:
                moved = f.translation[:, None] - f.translation[:, :, None]
                return torch.einsum("bfji,bfpj->bfpi", f.rotation, moved)

            square = (local(predicted_frames) - local(real)).square().sum(-1)
            logits = output.logits["pae"]
            edges = confidence.pae_breaks(logits.shape[-1], square.device).square()
            target = torch.bucketize(square, edges)
        loss = F.cross_entropy(logits.permute(0, 3, 1, 2), target, reduction="none")
        frame_mask = _well_resolved(truth, exists[:, :, 0])
        terms["pae"] = masked_mean(loss, frame_mask[:, :, None] * frame_mask[:, None])
    return terms


def resolved_loss(logits: Tensor, truth: Truth) -> Tensor:
    """Binary cross entropy of which atoms are resolved, [B, N, 37] (supplement 1.9.10)."""
    types = truth.types.clamp(max=residues.UNKNOWN)
    exists = constant(residues.ATOM37_MASK, logits.device)[types]
    loss = F.binary_cross_entropy_with_logits(logits, truth.mask, reduction="none")
    return masked_mean(loss, _well_resolved(truth, exists))


def bonded_numbers(features: Mapping[str, Tensor]) -> Tensor:
    """[B, N] numbers of residues, apart by 1 where a bond may join two: not between chains."""
    index = features["residue_index"]
    return index + CHAIN_STEP * features["asym_id"] if "asym_id" in features else index


CHAIN_STEP = 1_000_000
"""More residues than a chain has."""


def total_loss(
    output: Output,
    truth: Truth,
    features: dict[str, Tensor],
    weights: LossWeights | None = None,
    *,
    clamp: bool = True,
) -> dict[str, Tensor]:
    """All terms and their weighted sum, "loss", each [B].

    Args:
        output: of `AlphaFold.forward`.
        truth: the known structure.
        features: with true_msa [B, S, N] and bert_mask [B, S, N].
        weights: of the terms.
        clamp: clamp the backbone FAPE (in nine of ten training examples).
    """
    with torch.autocast(truth.atoms.device.type, enabled=False):  # lengths need every digit
        return _terms(output, truth, features, weights or LossWeights(), clamp)


def _terms(
    output: Output, truth: Truth, features: dict[str, Tensor], weights: LossWeights, clamp: bool
) -> dict[str, Tensor]:
    from sciml.protein.alphafold.violations import violation_loss

    chains = features.get("asym_id")
    terms = structure_loss(output, truth, features["seq_mask"], weights, clamp, chains)
    if chains is not None:
        points, seen = (output.atoms[:, :, 1], truth.atoms[:, :, 1]), truth.mask[:, :, 1]
        terms["chain_centers"] = chain_center_loss(*points, seen, chains)
    terms["distogram"] = distogram_loss(output.logits["distogram"], truth)
    if "true_msa" in features:
        terms["masked_msa"] = masked_msa_loss(
            output.logits["masked_msa"], features["true_msa"], features["bert_mask"]
        )
    terms |= confidence_losses(output, truth)
    if weights.resolved:
        terms["resolved"] = resolved_loss(output.logits["resolved"], truth)
    if weights.violation:
        terms["violation"] = violation_loss(
            truth.types, output.structure.atoms[-1], features["seq_mask"], bonded_numbers(features)
        )
    loss = sum(
        getattr(weights, name) * terms[name]
        for name in (
            "structure",
            "distogram",
            "masked_msa",
            "plddt",
            "pae",
            "resolved",
            "violation",
            "chain_centers",
        )
        if name in terms
    )
    return {"loss": torch.as_tensor(loss), **terms}
