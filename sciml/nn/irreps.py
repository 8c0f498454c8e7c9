"""Representations of O(3): the irreps of a feature, spherical harmonics, Wigner matrices.

Names, signs and normalisation are e3nn's (Geiger and Smidt 2022, arXiv:2207.09453): `"8x0e+4x1o"`
is eight scalars and four vectors, a vector's components are (x, y, z), harmonics of degree l have
squared norm 2 l + 1, real Wigner 3j symbols are `e3nn.o3.wigner_3j`.

Inside the trunks a feature is channel-last: a list with one tensor [..., 2 l + 1, channels]
per irrep, so that every product runs over contiguous channels. e3nn's layout (one vector, channel
first) is converted by `split` and `join`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.nn.constants import constant


class Irrep(NamedTuple):
    """`mul` channels of degree `l` and parity `p` (1 = even "e", -1 = odd "o")."""

    mul: int
    l: int
    p: int

    @property
    def kind(self) -> tuple[int, int]:
        """(l, p)."""
        return self.l, self.p

    @property
    def width(self) -> int:
        """2 l + 1."""
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.mul}x{self.l}{'e' if self.p == 1 else 'o'}"


def parse(irreps: str | Sequence[Irrep] | Any) -> tuple[Irrep, ...]:
    """Irreps from `"64x0e+32x1o"`, from e3nn's `Irreps`, or as they are.

    Raises:
        InputError: a term is not of the form 64x0e.
    """
    if isinstance(irreps, (tuple, list)) and all(isinstance(ir, Irrep) for ir in irreps):
        return tuple(irreps)
    terms = []
    for term in filter(None, str(irreps).replace(" ", "").split("+")):
        match = re.fullmatch(r"(?:(\d+)x)?(\d+)([eo])", term)
        if not match:
            raise InputError(
                f"{term!r} is not an irrep", where=f"irreps {irreps}", hint="Write 64x0e+32x1o"
            )
        mul, degree, parity = match.groups()
        terms.append(Irrep(int(mul or 1), int(degree), 1 if parity == "e" else -1))
    return tuple(term for term in terms if term.mul)


def merged(irreps: Iterable[Irrep]) -> tuple[Irrep, ...]:
    """Each (l, p) once with its channels added up, by l, then natural parity (-1)^l first."""
    channels: dict[tuple[int, int], int] = {}
    for ir in irreps:
        channels[ir.kind] = channels.get(ir.kind, 0) + ir.mul
    kinds = sorted(channels, key=lambda kind: (kind[0], kind[1] != (-1) ** kind[0]))
    return tuple(Irrep(channels[kind], *kind) for kind in kinds)


def dim(irreps: Iterable[Irrep]) -> int:
    """Length of e3nn's vector of these irreps."""
    return sum(ir.mul * ir.width for ir in irreps)


def split(vector: Tensor, irreps: Sequence[Irrep]) -> list[Tensor]:
    """e3nn's vector [..., dim] -> one [..., 2 l + 1, mul] per irrep."""
    pieces = vector.split([ir.mul * ir.width for ir in irreps], dim=-1)
    return [
        piece.unflatten(-1, (ir.mul, ir.width)).transpose(-1, -2)
        for piece, ir in zip(pieces, irreps, strict=True)
    ]


def join(features: Sequence[Tensor]) -> Tensor:
    """One [..., 2 l + 1, mul] per irrep -> e3nn's vector [..., dim]."""
    return torch.cat([feature.transpose(-1, -2).flatten(-2) for feature in features], dim=-1)


_3J: dict[tuple[int, int, int], Tensor] = {}
_NEXT: dict[int, Tensor] = {}
"""Tables that have been computed. Dictionaries, so that a compiled caller looks them up: the
functions that fill them call e3nn, which cannot be traced."""


@torch.compiler.disable
def _fill_3j(l1: int, l2: int, l3: int) -> None:
    from e3nn.o3 import wigner_3j

    _3J[l1, l2, l3] = wigner_3j(l1, l2, l3, dtype=torch.float64)


@torch.compiler.disable
def _fill_next(l: int) -> None:
    below = torch.zeros(2 * l - 1, dtype=torch.float64)
    below[l - 1] = (2 * l - 1) ** 0.5  # at the pole, y, only m = 0 lives
    at_pole = torch.einsum("a,am->m", below, _wigner_3j(l - 1, 1, l)[:, 1])[l]
    _NEXT[l] = _wigner_3j(l - 1, 1, l) * ((2 * l + 1) ** 0.5 / at_pole)


def _wigner_3j(l1: int, l2: int, l3: int) -> Tensor:
    """The real 3j symbols [2 l1 + 1, 2 l2 + 1, 2 l3 + 1], float64."""
    if (l1, l2, l3) not in _3J:
        _fill_3j(l1, l2, l3)
    return _3J[l1, l2, l3]


def _next_degree(l: int) -> Tensor:
    """The table [2 l - 1, 3, 2 l + 1] that makes Y_l of Y_{l-1} and a unit vector, float64."""
    if l not in _NEXT:
        _fill_next(l)
    return _NEXT[l]


def coupling(l1: int, l2: int, l3: int, target: Tensor | None = None) -> Tensor:
    """Clebsch-Gordan coefficients [2 l1 + 1, 2 l2 + 1, 2 l3 + 1] of unit component variance:
    sqrt(2 l3 + 1) times the real Wigner 3j symbol, in the dtype and on the device of `target`."""
    scale = (2 * l3 + 1) ** 0.5
    table = _wigner_3j(l1, l2, l3)
    if target is None or target.device.type == "cpu" or torch.compiler.is_compiling():
        return table * scale if target is None else (table * scale).to(target)
    return constant(table, target.device, target.dtype) * scale


def spherical_harmonics(direction: Tensor, lmax: int) -> list[Tensor]:
    """Real spherical harmonics of unit vectors, by the recursion Y_l ~ (Y_{l-1} x Y_1)_l.

    Args:
        direction: [..., 3] of unit length (or zero, which gives zero for l > 0).
        lmax: highest degree.

    Returns:
        lmax + 1 tensors [..., 2 l + 1] of squared norm 2 l + 1.
    """
    harmonics = [torch.ones_like(direction[..., :1])]
    for l in range(1, lmax + 1):
        table = constant(_next_degree(l), direction.device, direction.dtype)
        # Contract with the previous degree first: [..., 2 l - 1] @ [2 l - 1, 3 (2 l + 1)].
        step = (harmonics[-1] @ table.flatten(1)).unflatten(-1, (3, 2 * l + 1))
        harmonics.append((direction.unsqueeze(-1) * step).sum(-2))
    return harmonics


def wigner_matrices(rotation: Tensor, lmax: int) -> list[Tensor]:
    """Rotations of features of each degree, by the recursion D_l = C^T (D_{l-1} x R) C.

    Polynomial in the entries of the rotation, so there are no angles and no poles.

    Args:
        rotation: [..., 3, 3] proper rotations.
        lmax: highest degree.

    Returns:
        lmax + 1 tensors [..., 2 l + 1, 2 l + 1].
    """
    matrices = [torch.ones_like(rotation[..., :1, :1]), rotation]
    for l in range(2, lmax + 1):
        isometry = coupling(l - 1, 1, l, rotation)  # columns are orthonormal: (2l-1) 3 x (2l+1)
        right = torch.einsum("...bd,cdn->...bcn", rotation, isometry)
        left = torch.einsum("...ac,...bcn->...abn", matrices[-1], right)
        matrices.append(torch.einsum("abm,...abn->...mn", isometry, left))
    return matrices[: lmax + 1]


def aligning_rotation(direction: Tensor) -> Tensor:
    """Rotations [..., 3, 3] that take unit vectors [..., 3] to the y axis, the harmonics' pole.

    The shortest arc; directions in the lower half are first rotated by pi about x, so that the
    denominator 1 + y stays above 1. The jump between the two halves is one of gauge: a
    rotation about the edge, under which an equivariant layer is invariant.
    """
    x, y, z = direction.unbind(-1)
    flip = torch.where(y < 0, -1.0, 1.0).to(direction.dtype)
    y, z = y * flip, z * flip
    share = 1 / (1 + y)
    rows = [
        torch.stack([1 - x * x * share, -x, -x * z * share], -1),
        torch.stack([x, y, z], -1),
        torch.stack([-x * z * share, -z, 1 - z * z * share], -1),
    ]
    turn = torch.stack([torch.ones_like(flip), flip, flip], -1)
    return torch.stack(rows, -2) * turn.unsqueeze(-2)
