"""What enters the Evoformer: sequence, alignment, recycled results, templates, extra sequences.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 3 (input embedder), 4 and 5
(relative positions), 16 and 17 (templates), 32 (recycling). One-hot inputs of linear layers are
table look-ups here, so that no [N, N, classes] array is made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sciml.nn.attention import Attention
from sciml.nn.in_place import slices
from sciml.protein.alphafold.evoformer import PairUpdate
from sciml.protein.io import residues

Features = dict[str, Tensor]
TARGET_CLASSES, MSA_CLASSES, TEMPLATE_CLASSES = 22, 23, 22
MSA_FEATURES = 2 * MSA_CLASSES + 3
"""Class and profile of a cluster, has_deletion, deletion_value and deletion_mean."""
TORSIONS = 7
"""Omega, phi, psi and chi1 to chi4."""
ANGLE_FEATURES = TEMPLATE_CLASSES + 5 * TORSIONS
"""Type of a template residue, sine and cosine of its torsions in both namings, their mask."""
RELATIVE = 32
"""Residue separations beyond this share one class."""
TEMPLATE_BINS = 39


def distance_bins(one: Tensor, other: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Class 1..bins of the distance between points [..., 3], 0 below `low` (algorithm 32).

    The last bin takes everything beyond `high`; the square of a distance is compared with the
    squares of `bins` edges from `low` to `high`.
    """
    edges = torch.linspace(low, high, bins, device=one.device, dtype=torch.float32).square()
    square = (one.float() - other.float()).square().sum(-1)
    return torch.bucketize(square, edges)


def table(linear: nn.Linear, columns: slice | None = None) -> Tensor:
    """Rows to look up [classes + 1, out] for one-hot input; row 0 is for 'no class'."""
    weight = linear.weight if columns is None else linear.weight[:, columns]
    return torch.cat([weight.new_zeros(1, weight.shape[0]), weight.T])


def pseudo_beta(types: Tensor, atoms: Tensor) -> Tensor:
    """CB, or CA in glycine: types [...], atoms [..., 37, 3] -> [..., 3]."""
    glycine = (types == residues.RESIDUES.index("G"))[..., None]
    return torch.where(glycine, atoms[..., 1, :], atoms[..., 3, :])


class InputEmbedder(nn.Module):
    """Algorithms 3 to 5: the initial MSA and pair representations."""

    def __init__(self, msa_dim: int, pair_dim: int) -> None:
        super().__init__()
        self.linear_target_m = nn.Linear(TARGET_CLASSES, msa_dim)
        self.linear_msa = nn.Linear(MSA_FEATURES, msa_dim)
        self.linear_left = nn.Linear(TARGET_CLASSES, pair_dim)
        self.linear_right = nn.Linear(TARGET_CLASSES, pair_dim)
        self.linear_relative = nn.Linear(2 * RELATIVE + 1, pair_dim)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """-> m [B, S, N, c] and z [B, N, N, p], without relative positions."""
        target = features["target_feat"]
        m = self.linear_msa(features["msa_feat"])
        m += self.linear_target_m(target)[:, None]
        left, right = self.linear_left(target), self.linear_right(target)
        return m, left[:, :, None] + right[:, None, :]

    def relative(self, index: Tensor, rows: slice) -> Tensor:
        """Residue numbers [B, N] -> relative positions' part of z, of the given rows."""
        offset = index[:, rows, None] - index[:, None, :]
        offset = offset.clamp(-RELATIVE, RELATIVE) + RELATIVE
        return self.linear_relative.weight.T[offset] + self.linear_relative.bias


class RecyclingEmbedder(nn.Module):
    """Algorithm 32: the last pass's first MSA row, pairs and CB distances."""

    bins, low, high = 15, 3.25, 20.75

    def __init__(self, msa_dim: int, pair_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(self.bins, pair_dim)
        self.layer_norm_m = nn.LayerNorm(msa_dim)
        self.layer_norm_z = nn.LayerNorm(pair_dim)

    def pairs(self, beta: Tensor, pair: Tensor, rows: slice) -> Tensor:
        """CB positions [B, N, 3] and pairs [B, N, N, p] -> part of z, of the given rows."""
        bins = distance_bins(beta[:, rows, None], beta[:, None], self.low, self.high, self.bins)
        return table(self.linear)[bins] + self.linear.bias + self.layer_norm_z(pair[:, rows])


class TemplateEmbedder(nn.Module):
    """Algorithms 16 and 17: each template's pairs through a small stack, then attention over them.

    Args:
        pair_dim: channels of the pairs that attend.
        dim: channels of a template's pairs.
        heads: of the triangle attention.
        head_dim: of the triangle attention.
        attention_heads, attention_head_dim: of the attention over templates.
        hidden: of the triangle multiplication.
        blocks: in the stack.
        msa_dim: channels of the rows that template torsions add to the alignment.
        torsions: whether templates add rows (models 1 and 2).
    """

    low, high = 3.25, 50.75

    def __init__(
        self,
        pair_dim: int,
        dim: int,
        *,
        heads: int,
        head_dim: int,
        attention_heads: int,
        attention_head_dim: int,
        hidden: int,
        blocks: int,
        factor: int,
        msa_dim: int,
        torsions: bool = True,
    ) -> None:
        super().__init__()
        self.linear_pair = nn.Linear(TEMPLATE_BINS + 1 + 2 * TEMPLATE_CLASSES + 3 + 1, dim)
        self.blocks = nn.ModuleList(
            PairUpdate(dim, heads, hidden, head_dim=head_dim, factor=factor, attention_first=True)
            for _ in range(blocks)
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.attention = Attention(
            pair_dim, attention_heads, attention_head_dim, kv_dim=dim, gated=False
        )
        self.linear_angle_1 = nn.Linear(ANGLE_FEATURES, msa_dim) if torsions else None
        self.linear_angle_2 = nn.Linear(msa_dim, msa_dim) if torsions else None

    def forward(self, z: Tensor, features: Features, pair_mask: Tensor | None) -> Tensor:
        """z [B, N, N, p] -> z with what the templates say added (in place without gradients)."""
        present = features["template_mask"] > 0
        if not bool(present.any()):
            return z
        used = [int(t) for t in torch.nonzero(present.any(0))[:, 0]]
        pairs = [self._template(features, t, pair_mask) for t in used]
        stacked = torch.stack(pairs, 3)  # [B, N, N, T, c]
        del pairs
        mask = present[:, used]
        out = z if not torch.is_grad_enabled() else z.clone()
        for b in range(len(z)):
            if not bool(mask[b].any()):
                continue
            for rows in slices(z[b : b + 1], 1, 4 + len(used)):
                here = z[b, rows].flatten(0, 1)[:, None]
                memory = stacked[b, rows].flatten(0, 1)
                if not bool(mask[b].all()):
                    memory = memory[:, mask[b]]
                out[b, rows] += self.attention(here, memory=memory).view_as(z[b, rows])
        return out

    def _template(self, features: Features, t: int, pair_mask: Tensor | None) -> Tensor:
        """One template's pairs [B, N, N, c]."""
        types = features["template_aatype"][:, t]
        beta, has_beta = (features[f"template_pseudo_beta{end}"][:, t] for end in ("", "_mask"))
        atoms = features["template_all_atom_masks"][:, t]
        backbone = atoms[..., 0] * atoms[..., 1] * atoms[..., 2]
        linear, classes = self.linear_pair, TEMPLATE_BINS
        # Inputs: distance bins, CB mask, types of j and i, a unit vector (zero in all published
        # models), backbone mask; all of it only where both backbones are present.
        by_distance = table(linear, slice(0, classes))
        weight = linear.weight
        of_j = weight.T[classes + 1 :][types]
        of_i = weight.T[classes + 1 + TEMPLATE_CLASSES :][types]
        n = types.shape[1]
        z = beta.new_empty((*types.shape, n, weight.shape[0]), dtype=weight.dtype)
        parts = []
        for rows in slices(z, 1, 4):
            bins = distance_bins(beta[:, rows, None], beta[:, None], self.low, self.high, classes)
            part = by_distance[bins] + of_j[:, None] + of_i[:, rows, None]
            both = has_beta[:, rows, None] * has_beta[:, None]
            part = part + both[..., None].to(part.dtype) * weight[:, classes]
            both_backbones = (backbone[:, rows, None] * backbone[:, None])[..., None].to(part.dtype)
            parts.append((part + weight[:, -1]) * both_backbones + linear.bias)
        z = torch.cat(parts, 1)
        del parts
        for block in self.blocks:
            z = block(z, pair_mask)
        return self.layer_norm(z)

    def rows(self, features: Features) -> tuple[Tensor, Tensor]:
        """Torsion rows [B, T, N, c] for the alignment and which cells are real [B, T, N]."""
        types = features["template_aatype"]
        angles, mirrored, mask = torsion_angles(
            types, features["template_all_atom_positions"], features["template_all_atom_masks"]
        )
        onehot = torch.nn.functional.one_hot(types, TEMPLATE_CLASSES).to(angles.dtype)
        x = torch.cat([onehot, angles.flatten(-2), mirrored.flatten(-2), mask], -1)
        first, second = self.linear_angle_1, self.linear_angle_2
        if first is None or second is None:
            empty = x.new_zeros((*types.shape, 1))[:, :0]
            return empty, mask[:, :0, :, 2]
        return second(torch.relu(first(x.to(first.weight.dtype)))), mask[..., 2]


def torsion_angles(types: Tensor, atoms: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Omega, phi, psi and chi1..4 of structures in atom37 layout.

    Args:
        types: [..., N] residue types (beyond 20: unknown).
        atoms: [..., N, 37, 3] [A].
        mask: [..., N, 37].

    Returns:
        (sin, cos) [..., N, 7, 2]; the same with the chi angles of symmetric groups sign by pi;
        [..., N, 7] which angles have all four atoms. Angles that are not defined are not masked.
    """
    types = types.clamp(max=residues.UNKNOWN)
    before = torch.nn.functional.pad(atoms, (0, 0, 0, 0, 1, 0))[..., :-1, :, :]
    before_mask = torch.nn.functional.pad(mask, (0, 0, 1, 0))[..., :-1, :]
    chi_atoms = torch.as_tensor(residues.CHI_ATOMS, device=atoms.device)[types]  # [..., N, 4, 4]
    flat = chi_atoms.flatten(-2)
    chi_xyz = atoms.gather(-2, flat[..., None].expand(*flat.shape, 3)).unflatten(-2, (4, 4))
    chi_mask_of_atoms = mask.gather(-1, flat).unflatten(-1, (4, 4)).prod(-1)
    chi_exists = torch.as_tensor(residues.CHI_MASK, device=atoms.device)[types]
    backbone = torch.stack(
        [
            torch.cat([before[..., 1:3, :], atoms[..., 0:2, :]], -2),  # omega of the bond before
            torch.cat([before[..., 2:3, :], atoms[..., 0:3, :]], -2),
            torch.cat([atoms[..., 0:3, :], atoms[..., 4:5, :]], -2),  # psi from the oxygen
        ],
        -3,
    )
    backbone_mask = torch.stack(
        [
            before_mask[..., 1:3].prod(-1) * mask[..., 0:2].prod(-1),
            before_mask[..., 2] * mask[..., 0:3].prod(-1),
            mask[..., 0:3].prod(-1) * mask[..., 4],
        ],
        -1,
    )
    points = torch.cat([backbone, chi_xyz], -3)  # [..., N, 7, 4, 3]
    angles_mask = torch.cat([backbone_mask, chi_mask_of_atoms * chi_exists], -1)
    first, second, third, fourth = points.unbind(-2)
    x = _unit(third - second)
    y = _unit((first - third) - ((first - third) * x).sum(-1, keepdim=True) * x)
    arm = fourth - third
    pair = torch.stack([(torch.linalg.cross(x, y) * arm).sum(-1), (y * arm).sum(-1)], -1)
    angles = pair / (pair.square().sum(-1, keepdim=True) + 1e-8).sqrt()
    angles = angles * angles.new_tensor([1, 1, -1, 1, 1, 1, 1])[:, None]
    sign = 1 - 2 * torch.as_tensor(residues.CHI_PI_PERIODIC, device=atoms.device)[types]
    sign = torch.nn.functional.pad(sign, (3, 0), value=1.0)
    return angles, angles * sign[..., None].to(angles.dtype), angles_mask


def _unit(vector: Tensor) -> Tensor:
    return vector / (vector.square().sum(-1, keepdim=True) + 1e-8).sqrt()
