"""Rigid frames in space: rotations with translations, one a residue or node.

A frame T = (R, t) takes local coordinates to global ones, x -> R x + t (AlphaFold 2, Jumper et al.
2021, supplement section 1.8: algorithm 21 `rigidFrom3Points`, algorithm 23 for the update from a
quaternion). Lengths are in whatever unit the points have.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def rotation_from_quaternion(quaternion: Float[Tensor, "*G 4"]) -> Float[Tensor, "*G 3 3"]:
    """(w, x, y, z), of any non-zero length -> rotation matrix."""
    w, x, y, z = F.normalize(quaternion, dim=-1).unbind(-1)
    rows = [
        w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def quaternion_from_rotation(rotation: Float[Tensor, "*G 3 3"]) -> Float[Tensor, "*G 4"]:
    """Rotation matrix -> unit quaternion (w, x, y, z) with w >= 0.

    Of the four equivalent formulas the one with the largest divisor is taken, so that it is
    exact at half turns too (Shepperd 1978).
    """
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # 4 times the outer product of the quaternion with itself: any row, normalised, is it.
    a, b, c = m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]
    d, e, f = m[..., 1, 2], m[..., 2, 0], m[..., 0, 1]
    outer = torch.stack(
        [
            1 + xx + yy + zz, a - d, b - e, c - f,
            a - d, 1 + xx - yy - zz, c + f, b + e,
            b - e, c + f, 1 - xx + yy - zz, a + d,
            c - f, b + e, a + d, 1 - xx - yy + zz,
        ],
        -1,
    ).unflatten(-1, (4, 4))  # fmt: skip
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    quaternion = F.normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def rotation_from_two(
    e1: Float[Tensor, "*G 3"], e2: Float[Tensor, "*G 3"], epsilon: float = 1e-8
) -> Float[Tensor, "*G 3 3"]:
    """Gram-Schmidt: columns along e1, along e2's part across e1, and along their cross product.

    Args:
        e1: first direction, not zero.
        e2: second direction, not parallel to the first.
        epsilon: squared length below which a direction counts as none; the result is then finite
            but no rotation.
    """

    def unit(v: Tensor) -> Tensor:
        return v * (v.square().sum(-1, keepdim=True) + epsilon**2).rsqrt()

    e1 = unit(e1)
    e2 = unit(e2 - e1 * (e1 * e2).sum(-1, keepdim=True))
    return torch.stack([e1, e2, torch.linalg.cross(e1, e2)], -1)


@dataclass(frozen=True)
class Frames:
    """Frames with any leading shape: x -> rotation @ x + translation.

    rotation: [..., 3, 3]. translation: [..., 3].
    """

    rotation: Float[Tensor, "*G 3 3"]
    translation: Float[Tensor, "*G 3"]

    @classmethod
    def identity(
        cls,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Frames:
        """Frames of the given leading shape that move nothing."""
        rotation = torch.eye(3, dtype=dtype, device=device).expand(*shape, 3, 3)
        return cls(rotation, torch.zeros(*shape, 3, dtype=dtype, device=device))

    @classmethod
    def from_three_points(
        cls,
        first: Float[Tensor, "*G 3"],
        origin: Float[Tensor, "*G 3"],
        last: Float[Tensor, "*G 3"],
    ) -> Frames:
        """Algorithm 21: x axis from `origin` to `last`, `first` in the xy plane.

        For a protein's backbone: (N, C alpha, C).
        """
        return cls(rotation_from_two(last - origin, first - origin), origin)

    @classmethod
    def from_quaternion(
        cls, quaternion: Float[Tensor, "*G 4"], translation: Float[Tensor, "*G 3"]
    ) -> Frames:
        """From (w, x, y, z), not necessarily of unit length, and a translation."""
        return cls(rotation_from_quaternion(quaternion), translation)

    @classmethod
    def from_update(cls, update: Float[Tensor, "*G 6"]) -> Frames:
        """Algorithm 23: quaternion (1, b, c, d), normalised, and a translation: small numbers, a
        small motion."""
        b = update[..., :3]
        quaternion = torch.cat([torch.ones_like(b[..., :1]), b], -1)
        return cls.from_quaternion(quaternion, update[..., 3:])

    def quaternion(self) -> Float[Tensor, "*G 4"]:
        """The rotation as a unit quaternion (w, x, y, z), w >= 0."""
        return quaternion_from_rotation(self.rotation)

    def compose(self, other: Frames) -> Frames:
        """First `other`, then `self`: self.compose(other).apply(x) = self.apply(other.apply(x))."""
        rotation = self.rotation @ other.rotation
        moved = (self.rotation @ other.translation[..., None]).squeeze(-1)
        return Frames(rotation, moved + self.translation)

    def invert(self) -> Frames:
        """The frames that undo these."""
        back = self.rotation.mT
        return Frames(back, -(back @ self.translation[..., None]).squeeze(-1))

    def apply(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """Local to global coordinates.

        Args:
            points: [..., 3], or [..., P, 3] with P points for each frame.
        """
        if points.ndim == self.translation.ndim + 1:
            return points @ self.rotation.mT + self.translation[..., None, :]
        return (self.rotation @ points[..., None]).squeeze(-1) + self.translation

    def invert_apply(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """Global to local coordinates; shapes as in `apply`."""
        if points.ndim == self.translation.ndim + 1:
            return (points - self.translation[..., None, :]) @ self.rotation
        return (self.rotation.mT @ (points - self.translation)[..., None]).squeeze(-1)

    def scale(self, factor: float) -> Frames:
        """The same in another unit of length: translations times `factor`."""
        return Frames(self.rotation, self.translation * factor)

    def detach_rotation(self) -> Frames:
        """Without gradient through the rotation (algorithm 20 line 20 stops it between rounds)."""
        return Frames(self.rotation.detach(), self.translation)

    def __getitem__(self, index: object) -> Frames:
        """Frames selected along the leading axes."""
        where = index if isinstance(index, tuple) else (index,)
        if Ellipsis in where:
            return Frames(
                self.rotation[(*where, slice(None), slice(None))],
                self.translation[(*where, slice(None))],
            )
        return Frames(self.rotation[where], self.translation[where])

    @property
    def shape(self) -> torch.Size:
        """The leading shape."""
        return self.translation.shape[:-1]

    def to(self, *args: object, **kwargs: object) -> Frames:
        """On another device or in another precision, as `Tensor.to`."""
        return Frames(
            self.rotation.to(*args, **kwargs),  # type: ignore[call-overload]
            self.translation.to(*args, **kwargs),  # type: ignore[call-overload]
        )


def stack(frames: list[Frames], dim: int = 0) -> Frames:
    """Frames side by side along a new leading axis (`dim` >= 0)."""
    return Frames(
        torch.stack([f.rotation for f in frames], dim),
        torch.stack([f.translation for f in frames], dim),
    )
