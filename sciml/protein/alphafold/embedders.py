"""What enters the Evoformer: sequence, alignment, recycled results, templates, extra sequences.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 3 (input embedder), 4 and 5
(relative positions), 16 and 17 (templates), 32 (recycling). One-hot inputs of linear layers are
table look-ups here, so that no [N, N, classes] array is made.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sciml.nn.attention import Attention
from sciml.nn.constants import constant
from sciml.nn.frames import rotation_from_two
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
CHI_FEATURES = TEMPLATE_CLASSES + 3 * 4
"""Type of a template residue, sine, cosine and mask of its chi angles."""
RELATIVE = 32
"""Residue separations beyond this share one class."""
RELATIVE_COPIES = 2
"""Distances of equal chains in their order beyond this share one class."""
TEMPLATE_BINS = 39
TEMPLATE_INPUTS = (TEMPLATE_BINS, 1, TEMPLATE_CLASSES, TEMPLATE_CLASSES, 1, 1, 1, 1)
"""Channels of a template's pair features in AlphaFold-Multimer: CB distances and mask, types of j
and of i, x, y, z of the direction from i to j, backbone mask."""


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


class LanguageModelEmbedder(nn.Module):
    """In place of algorithm 3: a protein language model's embedding of one sequence.

    The representations are those of a single row, from the sequence and the embedding of each
    residue (SoloSeq, OpenFold; Ahdritz et al., Nature Methods 21, 1514, 2024).
    """

    def __init__(self, embedding_dim: int, msa_dim: int, pair_dim: int) -> None:
        super().__init__()
        self.linear_target_m = nn.Linear(TARGET_CLASSES, msa_dim)
        self.linear_embedding_m = nn.Linear(embedding_dim, msa_dim)
        self.linear_left = nn.Linear(embedding_dim, pair_dim)
        self.linear_right = nn.Linear(embedding_dim, pair_dim)
        self.linear_relative = nn.Linear(2 * RELATIVE + 1, pair_dim)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """-> m [B, 1, N, c] and z [B, N, N, p], without relative positions."""
        embedding = features["seq_embedding"].to(self.linear_left.weight.dtype)
        m = self.linear_embedding_m(embedding) + self.linear_target_m(features["target_feat"])
        left, right = self.linear_left(embedding), self.linear_right(embedding)
        return m[:, None], left[:, :, None] + right[:, None, :]

    def relative(self, features: Features, rows: slice) -> Tensor:
        """Relative positions' part of z, of the given rows (algorithm 4)."""
        index = features["residue_index"]
        offset = (index[:, rows, None] - index[:, None, :]).clamp(-RELATIVE, RELATIVE) + RELATIVE
        return self.linear_relative.weight.T[offset] + self.linear_relative.bias


class InputEmbedder(nn.Module):
    """Algorithms 3 to 5: the initial MSA and pair representations.

    Args:
        msa_dim: channels of the MSA representation.
        pair_dim: channels of the pairs.
        target_classes: channels of `target_feat`.
        chain_positions: relative positions tell apart other chains, chains of another sequence and
            copies of one, as in AlphaFold-Multimer (Evans et al., bioRxiv 2021.10.04.463034).
    """

    def __init__(
        self,
        msa_dim: int,
        pair_dim: int,
        target_classes: int = TARGET_CLASSES,
        *,
        chain_positions: bool = False,
    ) -> None:
        super().__init__()
        self.chain_positions = chain_positions
        self.linear_target_m = nn.Linear(target_classes, msa_dim)
        self.linear_msa = nn.Linear(MSA_FEATURES, msa_dim)
        self.linear_left = nn.Linear(target_classes, pair_dim)
        self.linear_right = nn.Linear(target_classes, pair_dim)
        classes = 2 * RELATIVE + 1
        if chain_positions:
            classes += 2 + 2 * RELATIVE_COPIES + 2
        self.linear_relative = nn.Linear(classes, pair_dim)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """-> m [B, S, N, c] and z [B, N, N, p], without relative positions."""
        target = features["target_feat"]
        m = self.linear_msa(features["msa_feat"])
        m += self.linear_target_m(target)[:, None]
        left, right = self.linear_left(target), self.linear_right(target)
        return m, left[:, :, None] + right[:, None, :]

    def relative(self, features: Features, rows: slice) -> Tensor:
        """Relative positions' part of z, of the given rows."""

        def offsets(key: str, most: int) -> Tensor:
            values = features[key]
            return (values[:, rows, None] - values[:, None, :]).clamp(-most, most) + most

        def same(key: str) -> Tensor:
            return features[key][:, rows, None] == features[key][:, None, :]

        weight, bias = self.linear_relative.weight.T, self.linear_relative.bias
        offset = offsets("residue_index", RELATIVE)
        if not self.chain_positions:
            return weight[offset] + bias
        # One-hot [66], 1 if of the same sequence, one-hot [6]; the last class: another chain.
        other, of_entity = 2 * RELATIVE + 1, 2 * RELATIVE + 2
        entity = same("entity_id")
        copy = offsets("sym_id", RELATIVE_COPIES) + of_entity + 1
        last = of_entity + 1 + 2 * RELATIVE_COPIES + 1
        update = weight[torch.where(same("asym_id"), offset, other)] + bias
        update = update + weight[torch.where(entity, copy, last)]
        return update + entity[..., None].to(update.dtype) * weight[of_entity]


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

    def present(self, features: Features) -> Tensor:
        """[B, T] which templates there are."""
        return features["template_mask"] > 0

    def forward(
        self, z: Tensor, features: Features, pair_mask: Tensor | None, present: Tensor
    ) -> Tensor:
        """z [B, N, N, p] -> z with what the templates say added (in place without gradients).

        `present` [B, T], as of the method, lies on the CPU.
        """
        used = present.any(0).nonzero()[:, 0].tolist()
        if not used:
            return z
        pairs = [self._template(features, t, pair_mask) for t in used]
        stacked = torch.stack(pairs, 3)  # [B, N, N, T, c]
        del pairs
        out = z if not torch.is_grad_enabled() else z.clone()
        for b, of_chain in enumerate(present[:, used]):
            own = of_chain.nonzero()[:, 0].tolist()
            if not own:
                continue
            for rows in slices(z[b : b + 1], 1, 4 + len(used)):
                here = z[b, rows].flatten(0, 1)[:, None]
                memory = stacked[b, rows].flatten(0, 1)
                if len(own) < len(used):
                    memory = torch.stack([memory[:, t] for t in own], 1)
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


class AveragedTemplateEmbedder(nn.Module):
    """AlphaFold-Multimer's: templates' pairs, each with those of the query, are averaged.

    Evans et al., bioRxiv 2021.10.04.463034, section 7.9. What is measured between two chains is
    masked, as every template is of one chain. Empty templates count: they pass the query on.

    Args:
        pair_dim: channels of the query's pairs.
        dim: channels of a template's pairs.
        heads, head_dim: of the triangle attention.
        hidden: of the triangle multiplication.
        blocks: in the stack.
        factor: hidden channels of its transition, over `dim`.
        msa_dim: channels of the rows that template torsions add to the alignment.
        torsions: whether templates add rows.
    """

    low, high = TemplateEmbedder.low, TemplateEmbedder.high

    def __init__(
        self,
        pair_dim: int,
        dim: int,
        *,
        heads: int,
        head_dim: int,
        hidden: int,
        blocks: int,
        factor: int,
        msa_dim: int,
        torsions: bool = True,
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Linear(size, dim) for size in TEMPLATE_INPUTS)
        self.layer_norm_query = nn.LayerNorm(pair_dim)
        self.linear_query = nn.Linear(pair_dim, dim)
        self.blocks = nn.ModuleList(
            PairUpdate(dim, heads, hidden, head_dim=head_dim, factor=factor) for _ in range(blocks)
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.linear_out = nn.Linear(dim, pair_dim)
        self.linear_angle_1 = nn.Linear(CHI_FEATURES, msa_dim) if torsions else None
        self.linear_angle_2 = nn.Linear(msa_dim, msa_dim) if torsions else None

    def present(self, features: Features) -> Tensor:
        """[B, T] which templates are not empty."""
        seen = (features["template_all_atom_masks"] > 0).any(-1)
        return (seen | (features["template_aatype"] > 0)).any(-1)

    def forward(
        self, z: Tensor, features: Features, pair_mask: Tensor | None, present: Tensor
    ) -> Tensor:
        """z [B, N, N, p] -> z with what the templates say added (in place without gradients).

        `present` [B, T], as of the method, lies on the CPU.
        """
        full = present.any(0).tolist()
        query = self.linear_query(self.layer_norm_query(z))
        total: Tensor | None = None
        for t in sorted({t if some else full.index(False) for t, some in enumerate(full)}):
            pairs = self._template(features, t, query)
            for block in self.blocks:
                pairs = block(pairs, pair_mask)
            pairs = self.layer_norm(pairs)
            if not full[t]:  # empty templates are all alike
                pairs = pairs * full.count(False)
            total = pairs if total is None else total + pairs
        assert total is not None  # there is a template at least
        update = self.linear_out(torch.relu(total / len(full)))
        return z + update if torch.is_grad_enabled() else z.add_(update)

    def _template(self, features: Features, t: int, query: Tensor) -> Tensor:
        """What enters the stack for one template, [B, N, N, c]."""
        types = features["template_aatype"][:, t]
        atoms, mask = (features[f"template_all_atom_{k}"][:, t] for k in ("positions", "masks"))
        chain, dtype = features["asym_id"], query.dtype
        glycine = types == residues.RESIDUES.index("G")
        beta, has_beta = pseudo_beta(types, atoms), torch.where(glycine, mask[..., 1], mask[..., 3])
        n, alpha, c = atoms[..., :3, :].unbind(-2)
        rotation = rotation_from_two(c - alpha, n - alpha)
        backbone = mask[..., 0] * mask[..., 1] * mask[..., 2]
        layers = cast(list[nn.Linear], list(self.inputs))
        distance, beta_mask, of_j, of_i, *directions, backbone_mask = layers
        by_distance = table(distance)
        bias = torch.stack([layer.bias for layer in layers]).sum(0)
        axes = torch.cat([layer.weight for layer in directions], 1)  # [c, 3]
        parts = []
        for rows in slices(query, 1, 4):
            same = chain[:, rows, None] == chain[:, None]
            both = has_beta[:, rows, None] * has_beta[:, None] * same
            bins = distance_bins(
                beta[:, rows, None], beta[:, None], self.low, self.high, len(by_distance) - 1
            )
            part = query[:, rows] + by_distance[torch.where(both > 0, bins, 0)] + bias
            part = part + both[..., None].to(dtype) * beta_mask.weight[:, 0]
            part = part + of_j.weight.T[types][:, None] + of_i.weight.T[types][:, rows, None]
            both = backbone[:, rows, None] * backbone[:, None] * same
            apart = alpha[:, None] - alpha[:, rows, None]
            toward = torch.einsum("bixk,bijx->bijk", rotation[:, rows], apart)
            length = toward.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
            toward = (toward / length * both[..., None]).to(dtype)
            part = part + toward @ axes.T + both[..., None].to(dtype) * backbone_mask.weight[:, 0]
            parts.append(part)
        return torch.cat(parts, 1)

    def rows(self, features: Features) -> tuple[Tensor, Tensor]:
        """Rows of chi angles [B, T, N, c] for the alignment, which cells are real [B, T, N]."""
        types = features["template_aatype"]
        angles, _, mask = torsion_angles(
            types, features["template_all_atom_positions"], features["template_all_atom_masks"]
        )
        angles, mask = angles[..., 3:, :], mask[..., 3:]
        first, second = self.linear_angle_1, self.linear_angle_2
        if first is None or second is None:
            return angles.new_zeros((*types.shape, 1))[:, :0], mask[:, :0, :, 0]
        onehot = torch.nn.functional.one_hot(types, TEMPLATE_CLASSES).to(angles.dtype)
        sin, cos = (angles * mask[..., None]).unbind(-1)
        x = torch.cat([onehot, sin, cos, mask], -1)
        return second(torch.relu(first(x.to(first.weight.dtype)))), mask[..., 0]


_TOWARDS_OXYGEN = torch.tensor([1, 1, -1, 1, 1, 1, 1])
"""Psi is measured from the oxygen, opposite the next nitrogen."""


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
    chi_atoms = constant(residues.CHI_ATOMS, atoms.device)[types]  # [..., N, 4, 4]
    flat = chi_atoms.flatten(-2)
    chi_xyz = atoms.gather(-2, flat[..., None].expand(*flat.shape, 3)).unflatten(-2, (4, 4))
    chi_mask_of_atoms = mask.gather(-1, flat).unflatten(-1, (4, 4)).prod(-1)
    chi_exists = constant(residues.CHI_MASK, atoms.device)[types]
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
    angles = angles * constant(_TOWARDS_OXYGEN, angles.device, angles.dtype)[:, None]
    sign = 1 - 2 * constant(residues.CHI_PI_PERIODIC, atoms.device)[types]
    sign = torch.nn.functional.pad(sign, (3, 0), value=1.0)
    return angles, angles * sign[..., None].to(angles.dtype), angles_mask


def _unit(vector: Tensor) -> Tensor:
    return vector / (vector.square().sum(-1, keepdim=True) + 1e-8).sqrt()
