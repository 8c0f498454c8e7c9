"""The structure module: from pair and single representations to atoms.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 20 (structure module), 22
(invariant point attention), 23 (backbone update), 24 and 25 (all-atom coordinates). Frames are a
rotation matrix [..., 3, 3] and a translation [..., 3]; the module works in units of 10 A (20 A in
AlphaFold-Multimer).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.constants import constant
from sciml.nn.frames import rotation_from_quaternion
from sciml.nn.in_place import slices
from sciml.protein.io import residues

POSITION_SCALE = 10.0


@dataclass
class StructureModuleOutput:
    """Output of the structure module, the results of all layers stacked along the first axis.

    Attributes:
        single: [B, N, c] the last layer's representation.
        frames: [L, B, N, 7] unit quaternion and translation [A] of every backbone.
        angles: [L, B, N, 7, 2] (sin, cos) of omega, phi, psi, chi1..4.
        raw_angles: the same before their length was made 1.
        group_rotations: [L, B, N, 8, 3, 3] of the rigid groups.
        group_origins: [L, B, N, 8, 3] [A].
        atoms: [L, B, N, 14, 3] [A].
    """

    single: Tensor
    frames: Tensor
    angles: Tensor
    raw_angles: Tensor
    group_rotations: Tensor
    group_origins: Tensor
    atoms: Tensor


class InvariantPointAttention(nn.Module):
    """Algorithm 22: attention over distances of points that each residue places in its frame.

    The point part of the logits, sum_p |R_i q_ip + t_i - (R_j k_jp + t_j)|^2, is written out into
    squares and a product, so that no [heads, N, N, points, 3] array is made.

    `separate`: queries, keys and values have projections of their own, the scalars' without bias,
    as in AlphaFold-Multimer.
    """

    def __init__(
        self,
        dim: int,
        pair_dim: int,
        heads: int = 12,
        scalar_qk: int = 16,
        scalar_v: int = 16,
        point_qk: int = 4,
        point_v: int = 8,
        *,
        separate: bool = False,
    ) -> None:
        super().__init__()
        self.separate = separate
        self.heads, self.scalar_qk, self.scalar_v = heads, scalar_qk, scalar_v
        self.point_qk, self.point_v = point_qk, point_v
        self.linear_q = nn.Linear(dim, heads * scalar_qk, bias=not separate)
        self.linear_q_points = nn.Linear(dim, heads * point_qk * 3)
        if separate:
            self.linear_k = nn.Linear(dim, heads * scalar_qk, bias=False)
            self.linear_v = nn.Linear(dim, heads * scalar_v, bias=False)
            self.linear_k_points = nn.Linear(dim, heads * point_qk * 3)
            self.linear_v_points = nn.Linear(dim, heads * point_v * 3)
        else:
            self.linear_kv = nn.Linear(dim, heads * (scalar_qk + scalar_v))
            self.linear_kv_points = nn.Linear(dim, heads * (point_qk + point_v) * 3)
        self.linear_b = nn.Linear(pair_dim, heads)
        self.head_weights = nn.Parameter(torch.full((heads,), math.log(math.e - 1)))
        out = heads * (scalar_v + 4 * point_v + pair_dim)
        self.linear_out = nn.Linear(out, dim)

    def pair_logits(self, z: Tensor, norm: nn.Module | None = None) -> Tensor:
        """[B, N, N, c] -> [B, H, N, N]: the same in every layer, the weights being shared.

        `norm`: normalises `z`, a few rows at a time.
        """
        if norm is None:
            return self.linear_b(z).permute(0, 3, 1, 2) * (1 / 3) ** 0.5
        logits = z.new_empty(len(z), self.heads, *z.shape[1:3])
        for rows in slices(z, 1, 2):
            logits[:, :, rows] = self.pair_logits(norm(z[:, rows]))
        return logits

    def forward(
        self,
        s: Tensor,
        z: Tensor,
        rotation: Tensor,
        translation: Tensor,
        mask: Tensor,
        pair_logits: Tensor,
        norm: nn.Module | None = None,
    ) -> Tensor:
        """s [B, N, c], z [B, N, N, p], frames, mask [B, N] -> update of s.

        `norm`: normalises `z`, a few rows at a time.
        """
        batch, n, _ = s.shape
        heads = self.heads

        def scalars(linear: nn.Linear) -> Tensor:
            return linear(s).view(batch, n, heads, -1).transpose(1, 2)

        def points(linear: nn.Linear) -> Tensor:
            local = linear(s).view(batch, n, 3, heads, -1).permute(0, 3, 1, 4, 2)  # B H N P 3
            return (
                torch.einsum("bnij,bhnpj->bhnpi", rotation, local) + translation[:, None, :, None]
            )

        q, q_points = scalars(self.linear_q), points(self.linear_q_points)
        if self.separate:
            k, v = scalars(self.linear_k), scalars(self.linear_v)
            k_points, v_points = points(self.linear_k_points), points(self.linear_v_points)
        else:
            k, v = scalars(self.linear_kv).split([self.scalar_qk, self.scalar_v], -1)
            both_points = points(self.linear_kv_points)
            k_points, v_points = both_points.split([self.point_qk, self.point_v], -2)
        scale = F.softplus(self.head_weights) * (1 / (3 * self.point_qk * 4.5)) ** 0.5
        # Squared distances by direct subtraction, one point at a time: |a|^2 - 2ab + |b|^2 would
        # cancel to nothing for points far from the origin.
        square = s.new_zeros(batch, heads, n, n)
        for point in range(self.point_qk):
            for axis in range(3):
                query, key = q_points[:, :, :, point, axis], k_points[:, :, :, point, axis]
                apart = query[..., :, None] - key[..., None, :]
                square = torch.addcmul(square, apart, apart)
        logits = torch.matmul(q * (1 / (3 * self.scalar_qk)) ** 0.5, k.mT)
        logits = logits - 0.5 * scale[:, None, None] * square + pair_logits
        both = mask[:, :, None] * mask[:, None, :]
        logits = logits - 1e5 * (1 - both[:, None].to(logits.dtype))
        weights = logits.softmax(-1)

        out = [torch.matmul(weights, v).transpose(1, 2).flatten(2)]
        placed = torch.matmul(weights, v_points.flatten(-2)).view(batch, heads, n, -1, 3)
        back = placed - translation[:, None, :, None]
        local = torch.einsum("bnji,bhnpj->bihnp", rotation, back)  # into the frame of residue n
        local = local.permute(0, 1, 3, 2, 4).reshape(batch, 3, n, -1)
        out += [local[:, 0], local[:, 1], local[:, 2]]
        out.append((local.square().sum(1) + 1e-8).sqrt())
        weights = weights.transpose(1, 2)  # [B, N, H, N]
        if norm is None:
            over_pairs = torch.matmul(weights, z)  # [B, N, H, p]
        else:
            over_pairs = torch.cat(
                [weights[:, rows] @ norm(z[:, rows]) for rows in slices(z, 1, 2)], 1
            )
        out.append(over_pairs.flatten(2))
        return self.linear_out(torch.cat(out, -1))


class AngleResNet(nn.Module):
    """Algorithm 20, lines 11 to 14: torsion angles from the single representations.

    (sin, cos) move by what the raw vector moves, over its length: where that is short, as with
    random parameters, rounding is magnified. Two implementations then agree on the raw vectors as
    they do elsewhere, and on single sines by as much less as those are short.
    """

    def __init__(self, dim: int, input_dim: int, hidden: int = 128, blocks: int = 2) -> None:
        super().__init__()
        self.linear_in = nn.Linear(dim, hidden)
        self.linear_initial = nn.Linear(input_dim, hidden)
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)])
            for _ in range(blocks)
        )
        self.linear_out = nn.Linear(hidden, 14)

    def forward(self, s: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, c] twice -> unit (sin, cos) [B, N, 7, 2] and the same before normalising."""
        x = self.linear_in(F.relu(s)) + self.linear_initial(F.relu(initial))
        for pair in self.layers:
            first, second = pair.children()
            x = x + second(F.relu(first(F.relu(x))))
        raw = self.linear_out(F.relu(x)).unflatten(-1, (7, 2))
        return raw / raw.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt(), raw


class AtomBuilder(nn.Module):
    """Algorithm 24: rigid groups rotated by the torsion angles, and the ideal atoms in them."""

    default_frames: Tensor
    group: Tensor
    local: Tensor
    exists: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, table in (
            ("default_frames", residues.DEFAULT_FRAMES),
            ("group", residues.ATOM14_GROUP),
            ("local", residues.ATOM14_LOCAL),
            ("exists", residues.ATOM14_MASK),
        ):
            self.register_buffer(name, torch.as_tensor(table), persistent=False)

    def forward(
        self, types: Tensor, rotation: Tensor, origin: Tensor, angles: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Residue types [B, N], backbone frames [A], (sin, cos) [B, N, 7, 2] -> groups and atoms.

        Returns:
            rotations [B, N, 8, 3, 3], origins [B, N, 8, 3], atoms [B, N, 14, 3].
        """
        types = types.clamp(max=residues.UNKNOWN)
        frames = self.default_frames[types].to(rotation.dtype)
        base, shift = frames[..., :3, :3], frames[..., :3, 3]
        # Algorithm 25: a turn by the angle about the x axis; the backbone group is not rotated.
        sin = F.pad(angles[..., 0], (1, 0))
        cos = F.pad(angles[..., 1], (1, 0), value=1.0)
        y_axis = cos[..., None] * base[..., 1] + sin[..., None] * base[..., 2]
        z_axis = cos[..., None] * base[..., 2] - sin[..., None] * base[..., 1]
        rotated = torch.stack([base[..., 0], y_axis, z_axis], -1)
        rotations, origins = list(rotated.unbind(2)), list(shift.unbind(2))
        for chi in (5, 6, 7):  # chi2..4 hang on the group before them
            origins[chi] = _apply(rotations[chi - 1], origins[chi]) + origins[chi - 1]
            rotations[chi] = rotations[chi - 1] @ rotations[chi]
        group_rotations = rotation[:, :, None] @ torch.stack(rotations, 2)
        group_origins = _apply(rotation[:, :, None], torch.stack(origins, 2)) + origin[:, :, None]
        group = self.group[types]
        chosen = group[..., None].expand(*group.shape, 3)
        of_atom = group_rotations.gather(2, chosen[..., None].expand(*chosen.shape, 3))
        atoms = _apply(of_atom, self.local[types].to(rotation.dtype))
        atoms = (atoms + group_origins.gather(2, chosen)) * self.exists[types][..., None]
        return group_rotations, group_origins, atoms


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of (w, x, y, z), [..., 4]."""
    w, x, y, z = a.unbind(-1)
    p, q, r, t = b.unbind(-1)
    return torch.stack(
        [
            w * p - x * q - y * r - z * t,
            w * q + x * p + y * t - z * r,
            w * r - x * t + y * p + z * q,
            w * t + x * r - y * q + z * p,
        ],
        -1,
    )


def _apply(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation @ vector[..., None])[..., 0]


class StructureModule(nn.Module):
    """Algorithm 20: frames start at the origin and are refined by layers with shared weights."""

    def __init__(
        self,
        single_dim: int = 384,
        pair_dim: int = 128,
        dim: int = 384,
        *,
        heads: int = 12,
        scalar_qk: int = 16,
        scalar_v: int = 16,
        point_qk: int = 4,
        point_v: int = 8,
        angle_dim: int = 128,
        angle_blocks: int = 2,
        separate: bool = False,
        position_scale: float = POSITION_SCALE,
        layers: int = 8,
        transition_layers: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.layers, self.position_scale = layers, position_scale
        self.layer_norm_s = nn.LayerNorm(single_dim)
        self.layer_norm_z = nn.LayerNorm(pair_dim)
        self.linear_in = nn.Linear(single_dim, dim)
        self.ipa = InvariantPointAttention(
            dim, pair_dim, heads, scalar_qk, scalar_v, point_qk, point_v, separate=separate
        )
        self.layer_norm_ipa = nn.LayerNorm(dim)
        self.transition = nn.ModuleList(nn.Linear(dim, dim) for _ in range(transition_layers))
        self.layer_norm_transition = nn.LayerNorm(dim)
        self.linear_update = nn.Linear(dim, 6)
        self.angles = AngleResNet(dim, single_dim, angle_dim, angle_blocks)
        self.build_atoms = AtomBuilder()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, single: Tensor, pair: Tensor, types: Tensor, mask: Tensor
    ) -> StructureModuleOutput:
        """Fold.

        Args:
            single: [B, N, c].
            pair: [B, N, N, p].
            types: [B, N] residue types.
            mask: [B, N], 1 or True where real.
        """
        initial = self.layer_norm_s(single)
        # Without gradients the pairs are normalised again in every layer, not kept twice.
        lean = not torch.is_grad_enabled()
        z, norm = (pair, self.layer_norm_z) if lean else (self.layer_norm_z(pair), None)
        logits = self.ipa.pair_logits(z, norm)
        s = self.linear_in(initial)
        wide = torch.promote_types(s.dtype, torch.float32)
        quaternion = s.new_zeros((*s.shape[:2], 4), dtype=wide)
        quaternion[..., 0] = 1
        translation = s.new_zeros((*s.shape[:2], 3), dtype=wide)
        results: list[tuple[Tensor, ...]] = []
        for _ in range(self.layers):
            rotation = rotation_from_quaternion(quaternion)
            s = s + self.ipa(s, z, rotation, translation, mask, logits, norm)
            s = self.layer_norm_ipa(self.dropout(s))
            hidden = s
            for number, linear in enumerate(self.transition):
                hidden = linear(F.relu(hidden) if number else hidden)
            s = self.layer_norm_transition(self.dropout(s + hidden))
            # Algorithm 23: the update's quaternion is (1, b, c, d), not yet of length 1.
            turn, step = self.linear_update(s).to(wide).split(3, -1)
            quaternion = quaternion + quaternion_multiply(quaternion, F.pad(turn, (1, 0)))
            quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
            translation = translation + _apply(rotation, step)
            rotation = rotation_from_quaternion(quaternion)
            angles, raw = self.angles(s, initial)
            groups = self.build_atoms(
                types, rotation, translation * self.position_scale, angles.to(wide)
            )
            frames = torch.cat([quaternion, translation * self.position_scale], -1)
            results.append((frames, angles, raw, *groups))
            quaternion = quaternion.detach()  # rotations of later layers send no gradient back
        return StructureModuleOutput(
            s, *(torch.stack(parts) for parts in zip(*results, strict=True))
        )


def atom14_to_atom37(atoms: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms [B, N, 14, 3] and types [B, N] -> [B, N, 37, 3] and which exist [B, N, 37]."""
    types = types.clamp(max=residues.UNKNOWN)
    slots = constant(residues.ATOM37_TO_14, atoms.device)[types]
    exists = constant(residues.ATOM37_MASK, atoms.device)[types]
    spread = atoms.gather(-2, slots[..., None].expand(*slots.shape, 3))
    return spread * exists[..., None], exists
