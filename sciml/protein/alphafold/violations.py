"""Bonds, angles and clashes that no protein has, as a loss and as a count.

Jumper et al., Nature 596, 583 (2021), supplement 1.9.11, equations 44 to 46. Where the released
code departs from that text, the text is followed: the angle CA-C-N is measured by its own standard
deviation (released: the bond's), and of disulfides only cysteines' SG atoms are exempt from
clashes (released: the sixth atom of every residue).
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sciml.nn.constants import constant
from sciml.protein.io import residues

TOLERANCE = 12.0
"""Standard deviations by which a bond or angle may be off."""
OVERLAP = 1.5
"""By how much two atoms may overlap [A]."""


@functools.cache
def _radii() -> Tensor:
    """Van der Waals radii [21, 14] [A] of each residue type, 0 where there is no atom."""
    table = torch.zeros(21, 14)
    for kind, names in enumerate(residues.ATOM14):
        for slot, name in enumerate(names):
            table[kind, slot] = residues.VAN_DER_WAALS[name[0]]
    return table


def bond_violations(types: Tensor, atoms: Tensor, mask: Tensor, index: Tensor) -> dict[str, Tensor]:
    """Faults of each peptide bond, [B, N - 1] in standard deviations beyond the tolerance.

    Args:
        types: [B, N].
        atoms: [B, N, 14, 3] [A]; the first four are N, CA, C, O.
        mask: [B, N] residues that count.
        index: [B, N] residue numbers; only neighbours in number are bonded.
    """
    ca, c = atoms[:, :-1, 1], atoms[:, :-1, 2]
    n, ca_next = atoms[:, 1:, 0], atoms[:, 1:, 1]
    mask = mask * (types < residues.UNKNOWN).to(mask.dtype)  # an unknown residue has no atoms
    bonded = mask[:, :-1] * mask[:, 1:] * (index[:, 1:] - index[:, :-1] == 1).to(atoms.dtype)
    proline = types[:, 1:] == residues.RESIDUES.index("P")
    plain, special = residues.PEPTIDE_BOND, residues.PEPTIDE_BOND_PROLINE
    length = torch.where(proline, special[0], plain[0])
    spread = torch.where(proline, special[1], plain[1])

    def norm(x: Tensor) -> Tensor:
        return (x.square().sum(-1) + 1e-6).sqrt()

    def off(x: Tensor) -> Tensor:
        return (x.square() + 1e-6).sqrt()

    bond = norm(n - c)
    to_ca, to_n, on = ca - c, n - c, ca_next - n
    at_c = (to_ca * to_n).sum(-1) / (norm(to_ca) * bond)
    at_n = (-to_n * on).sum(-1) / (norm(on) * bond)
    faults = {
        "bond": off(bond - length) - TOLERANCE * spread,
        "angle_ca_c_n": off(at_c - residues.COS_CA_C_N[0]) - TOLERANCE * residues.COS_CA_C_N[1],
        "angle_c_n_ca": off(at_n - residues.COS_C_N_CA[0]) - TOLERANCE * residues.COS_C_N_CA[1],
    }
    return {name: F.relu(fault) * bonded for name, fault in faults.items()} | {"bonded": bonded}


def clashes(types: Tensor, atoms: Tensor, mask: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap beyond the tolerance summed over each atom's partners [B, N, 14], and atom count.

    Atoms of one residue, the peptide bond and disulfide bonds are no clashes.
    """
    batch, n = types.shape
    kinds = types.clamp(max=residues.UNKNOWN)
    exists = constant(residues.ATOM14_MASK, types.device)[kinds] * mask[..., None].to(atoms.dtype)
    radii = constant(_radii(), types.device)[kinds].flatten(1)
    flat, present = atoms.reshape(batch, n * 14, 3), exists.flatten(1)
    owner = torch.arange(n, device=types.device).repeat_interleave(14)
    slot = torch.arange(14, device=types.device).repeat(n)
    number = index.repeat_interleave(14, dim=1)
    sulfur = (types == residues.RESIDUES.index("C")).repeat_interleave(14, dim=1) & (slot == 5)
    total = []
    for start in range(0, n * 14, 14 * 32):  # a few residues against all: memory
        part = slice(start, start + 14 * 32)
        gap = (flat[:, part, None] - flat[:, None]).square().sum(-1).add(1e-10).sqrt()
        use = present[:, part, None] * present[:, None] * (owner[part, None] != owner[None])
        step = number[:, None, :] - number[:, part, None]
        forward = (slot[part, None] == 2) & (slot[None] == 0) & (step == 1)
        backward = (slot[part, None] == 0) & (slot[None] == 2) & (step == -1)
        bridge = sulfur[:, part, None] & sulfur[:, None]
        use = use * ~(forward | backward | bridge)
        least = radii[:, part, None] + radii[:, None] - OVERLAP
        total.append((F.relu(least - gap) * use).sum(-1))
    return torch.cat(total, 1).view(batch, n, 14), present.sum(1)


@functools.cache
def _bounds() -> tuple[Tensor, Tensor]:
    """Shortest and longest distances within a residue, [21, 14, 14] [A] each.

    Atoms up to two bonds apart are held by the ideal geometry that the network builds from, so
    that they are exempt; only proline's ring is closed by its torsions and is measured.
    """
    lower, upper = np.zeros((21, 14, 14)), np.full((21, 14, 14), 1e10)
    for kind, names in enumerate(residues.ATOM14[:20]):
        radii = np.array([residues.VAN_DER_WAALS[name[0]] for name in names])
        size = len(names)
        lower[kind, :size, :size] = radii[:, None] + radii - OVERLAP
        near = residues.BONDED[kind].astype(float)
        near += near @ near
        lower[kind, :size, :size][near > 0] = 0
    proline = residues.RESIDUES.index("P")
    at = residues.ATOM14[proline].index
    for one, other, length, spread in residues.PROLINE_RING:
        for a, b in ((at(one), at(other)), (at(other), at(one))):
            lower[proline, a, b] = length - TOLERANCE * spread
            upper[proline, a, b] = length + TOLERANCE * spread
    return torch.as_tensor(lower, dtype=torch.float32), torch.as_tensor(upper, dtype=torch.float32)


def within_residues(types: Tensor, atoms: Tensor, mask: Tensor) -> Tensor:
    """Faults between atoms of one residue, summed over each atom's partners, [B, N, 14] [A].

    As published, each pair counts twice for each of its atoms.
    """
    types = types.clamp(max=residues.UNKNOWN)
    exists = constant(residues.ATOM14_MASK, types.device)[types]
    exists = exists * mask[..., None].to(atoms.dtype)
    lower, upper = (constant(bound, types.device)[types] for bound in _bounds())
    gap = (atoms[..., :, None, :] - atoms[..., None, :, :]).square().sum(-1).add(1e-10).sqrt()
    use = exists[..., :, None] * exists[..., None, :]
    use = use * (1 - torch.eye(14, device=types.device))
    return 2 * ((F.relu(lower - gap) + F.relu(gap - upper)) * use).sum(-1)


def violation_loss(types: Tensor, atoms: Tensor, mask: Tensor, index: Tensor) -> Tensor:
    """Bond, angle and clash faults of each chain [B], between residues and within them."""
    mask = mask.to(atoms.dtype)
    bonds = bond_violations(types, atoms, mask, index)
    count = bonds.pop("bonded").sum(1).clamp(min=1e-6)
    loss = sum(fault.sum(1) / count for fault in bonds.values())
    overlap, atoms_there = clashes(types, atoms, mask, index)
    overlap = overlap + within_residues(types, atoms, mask)
    return torch.as_tensor(loss) + overlap.sum((1, 2)) / (1e-6 + atoms_there)


def count_violations(types: Tensor, atoms: Tensor, mask: Tensor, index: Tensor) -> dict[str, int]:
    """Numbers of broken peptide bonds, bad angles and clashing atoms of a batch."""
    mask = mask.to(atoms.dtype)
    bonds = bond_violations(types, atoms, mask, index)
    overlap, _ = clashes(types, atoms, mask, index)
    within = within_residues(types, atoms, mask)
    return {
        "broken_bonds": int((bonds["bond"] > 0).sum()),
        "bad_angles": int(((bonds["angle_ca_c_n"] > 0) | (bonds["angle_c_n_ca"] > 0)).sum()),
        "clashing_atoms": int((overlap > 0).sum()),
        "atoms_off_within_residues": int((within > 0).sum()),
    }
