"""Rigid frames in space: rotations with translations, one per residue or node.

A frame T = (R, t) takes local coordinates to global ones, x -> R x + t (AlphaFold 2, Jumper et al.
2021, supplement section 1.8; `rotation_from_two` is the heart of algorithm 21, rigidFrom3Points).
Lengths are in whatever unit the points have.
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

    def __getitem__(self, index: tuple[slice | int, ...]) -> Frames:
        """Frames selected along leading axes."""
        return Frames(self.rotation[index], self.translation[index])
