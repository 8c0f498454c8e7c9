"""Multivectors of space-time [..., 16]: products, norms and linear maps that boosts commute with.

The 16 components are those of the blades 1, e_t, e_x, e_y, e_z, e_tx, ..., e_xyz, e_txyz, by grade
and then in lexicographic order, with the metric (+, -, -, -). The names of the layers are those of
Spinner et al., "Lorentz-Equivariant Geometric Algebra Transformers for High-Energy Physics",
arXiv:2405.14806, section 3.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

BLADES = tuple(blade for grade in range(5) for blade in itertools.combinations(range(4), grade))
"""The blades as products of axes (t, x, y, z)."""
GRADE = torch.tensor([len(blade) for blade in BLADES])
METRIC = (1.0, -1.0, -1.0, -1.0)


def _product(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
    """Sign and blade of the product of two blades."""
    sign, axes = 1.0, list(first + second)
    for end in range(len(axes) - 1, 0, -1):  # each exchange of two axes changes the sign
        for i in range(end):
            if axes[i] > axes[i + 1]:
                axes[i], axes[i + 1], sign = axes[i + 1], axes[i], -sign
    out: list[int] = []
    for axis in axes:
        if out and out[-1] == axis:
            sign *= METRIC[out.pop()]
        else:
            out.append(axis)
    return sign, tuple(out)


def _tables() -> tuple[Tensor, Tensor]:
    index, signs = torch.zeros(16, 16, dtype=torch.int64), torch.zeros(16, 16)
    for j, first in enumerate(BLADES):
        for k, second in enumerate(BLADES):
            sign, blade = _product(first, second)
            index[BLADES.index(blade), j], signs[BLADES.index(blade), j] = k, sign
    return index, signs


PARTNER, SIGN = _tables()
"""[16, 16]: component i of a product is the sum over j of SIGN[i, j] x_j y_PARTNER[i, j]."""
REVERSAL = torch.tensor([(-1.0) ** (g * (g - 1) // 2) for g in GRADE.tolist()])
INNER = torch.tensor([_product(blade[::-1], blade)[0] for blade in BLADES])
"""Signs of the inner product <x, y>, the scalar part of reverse(x) y."""


def geometric_product(x: Tensor, y: Tensor) -> Tensor:
    """The product of multivectors [..., 16]."""
    partner, sign = PARTNER.to(x.device), SIGN.to(x)
    return (sign * y[..., partner] * x[..., None, :]).sum(-1)


def _maps() -> Tensor:
    """[10, 16, 16]: projections on the grades, then these followed by the dual, x e_txyz."""
    maps = torch.zeros(10, 16, 16)
    for k, blade in enumerate(BLADES):
        grade = len(blade)
        maps[grade, k, k] = 1.0
        sign, dual = _product(blade, BLADES[-1])
        maps[5 + grade, BLADES.index(dual), k] = sign
    return maps


MAPS = _maps()


class EquivariantNorm(nn.Module):
    """Multivectors of one mean square (the absolute value of each grade's), scalars of LayerNorm.

    Args:
        channels, scalars: with a gain per channel and grade, and per scalar; 0: without.
    """

    def __init__(self, channels: int = 0, scalars: int = 0) -> None:
        super().__init__()
        gains = channels > 0
        self.weight_mv = nn.Parameter(torch.ones(channels, 5)) if gains else None
        self.weight_s = nn.Parameter(torch.ones(scalars)) if gains else None

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[..., channels, 16], [..., scalars] -> the same."""
        grades = torch.nn.functional.one_hot(GRADE, 5).to(x) * INNER.to(x)[:, None]
        square = (x.square() @ grades).abs().sum(-1, keepdim=True).mean(-2, keepdim=True)
        x = x * square.clamp(min=0.01).rsqrt()
        s = None if s is None else torch.nn.functional.layer_norm(s, s.shape[-1:])
        if self.weight_mv is not None and self.weight_s is not None:
            x = x * self.weight_mv[:, GRADE.to(x.device)]
            s = None if s is None else s * self.weight_s
        return x, s


class EquivariantLinear(nn.Module):
    """The linear maps of multivectors and scalars that commute with boosts and rotations.

    Args:
        channels: multivectors in and out.
        scalars: scalars in and out; 0: none.
        maps: 10, or 5 for those that commute with mirrors, too.
        bias: with a constant scalar part.
    """

    def __init__(
        self, channels: tuple[int, int], scalars: tuple[int, int], maps: int, bias: bool = True
    ) -> None:
        super().__init__()
        mix = 2 if maps == 10 else 1  # scalars mix with the pseudoscalars, too, if mirrors count
        self.weight = nn.Parameter(torch.empty(channels[1], channels[0], maps))
        nn.init.uniform_(self.weight, -(channels[0] ** -0.5), channels[0] ** -0.5)
        own_bias = bias and not scalars[0]
        self.bias = nn.Parameter(torch.zeros(channels[1], 1)) if own_bias else None
        self.s2mvs = nn.Linear(scalars[0], mix * channels[1], bias) if scalars[0] else None
        self.mvs2s = nn.Linear(mix * channels[0], scalars[1], bias) if scalars[1] else None
        self.s2s = nn.Linear(*scalars, bias=False) if all(scalars) else None
        self.parts = [0, 15][:mix]

    def forward(self, x: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[..., in, 16], [..., scalars in] -> [..., out, 16], [..., scalars out]."""
        maps = MAPS[: self.weight.shape[-1]].to(x)
        whole = torch.einsum("yxa,aij->yixj", self.weight, maps)
        out = torch.nn.functional.linear(x.flatten(-2), whole.flatten(0, 1).flatten(1))
        out = out.unflatten(-1, (-1, 16))
        added = None
        if self.s2mvs is not None:
            added = self.s2mvs(s).unflatten(-1, (-1, len(self.parts)))
        elif self.bias is not None:
            added = self.bias
        if added is not None:
            places = torch.zeros(added.shape[-1], 16).to(x)
            places[range(added.shape[-1]), self.parts[: added.shape[-1]]] = 1
            out = out + added @ places
        if self.mvs2s is None:
            return out, None
        scalars = self.mvs2s(x[..., self.parts].flatten(-2))
        return out, scalars if self.s2s is None else scalars + self.s2s(s)
