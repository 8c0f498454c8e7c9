"""Features of pairs of particles from their four-vectors: the sets that weaver-core has.

`pp` (hadron colliders): ln kT, ln z, ln dR, ln m2, ln of minus the squared difference, the cosine
of the second particle in the pair's rest frame, the differences of rapidity and azimuth. `ee`
(lepton colliders): ln m2, cosine and sine of the opening angle, ln kT and ln z of momenta, the Jade
distance. `xyzt` (positions and times): ln of the squared distance, cosine and sine of the
opening angle, difference of time, and of coordinates: rectangular, spherical or cylindrical.

A network reads the first `count` of a set. Only some of them are symmetric (`SYMMETRIC`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from sciml.errors import InputError, unknown
from sciml.jets.data.features import TINY, cylindrical, pair_features, wrap_angle

PairKind = Literal["pp", "ee", "xyzt:rectangular", "xyzt:spherical", "xyzt:cylindrical"]
KINDS = ("pp", "ee", "xyzt:rectangular", "xyzt:spherical", "xyzt:cylindrical")
COUNTS = {"pp": (1, 3, 4, 5, 6, 8), "ee": (1, 3, 5, 6), "xyzt": (1, 3, 4, 7)}
"""Numbers of features that each set can be cut to."""
SYMMETRIC = {"pp": 5, "ee": 6, "xyzt": 3}
"""The first so many features are the same for (i, j) and (j, i)."""


def check(kind: str, count: int) -> None:
    """Raise InputError unless `kind` has a cut to `count` features."""
    if kind not in KINDS:
        raise unknown("kind of pair features", kind[:60], KINDS)
    counts = COUNTS[kind.partition(":")[0]]
    if count not in counts:
        raise InputError(
            f"pair features {kind!r} are {', '.join(map(str, counts))}, the network has {count}"
        )


def symmetric(kind: str, count: int) -> bool:
    """Whether the features of (i, j) are those of (j, i)."""
    return count <= SYMMETRIC[kind.partition(":")[0]]


def features(kind: str, count: int, first: Tensor, second: Tensor) -> Tensor:
    """The first `count` features of pairs: [..., 4] twice, shapes that broadcast -> [..., count].

    Four-vectors are (px, py, pz, E), or (x, y, z, t) for `xyzt`.
    """
    if kind == "pp":
        return _hadron(first, second, count)
    if kind == "ee":
        return _lepton(first, second)[..., :count]
    return _positions(first, second, kind.partition(":")[2])[..., :count]


def _hadron(first: Tensor, second: Tensor, count: int) -> Tensor:
    known = pair_features(first, second)
    if count == 1:
        return known[..., 2:3]
    if count <= 4:
        return known[..., :count]
    spacelike = -_mass2(first - second)
    parts = [known, _log(spacelike)[..., None]]
    if count > 5:
        pair = first + second
        cosine = _dot(_unit(_in_rest_frame(second, pair)), _unit(pair[..., :3]))
        parts.append(cosine[..., None])
    if count > 6:
        _, y_i, phi_i = cylindrical(first)
        _, y_j, phi_j = cylindrical(second)
        parts += [(y_i - y_j)[..., None], wrap_angle(phi_i - phi_j)[..., None]]
    return torch.cat(parts, -1)


def _lepton(first: Tensor, second: Tensor) -> Tensor:
    p_i, p_j = _length(first[..., :3]), _length(second[..., :3])
    cosine, sine = _angle(first[..., :3] / p_i[..., None].clamp(min=TINY),
                          second[..., :3] / p_j[..., None].clamp(min=TINY))  # fmt: skip
    softer = torch.minimum(p_i, p_j)
    jade = first[..., 3] * second[..., 3] * (1 - cosine)
    return torch.stack(
        [
            _log(_mass2(first + second)), cosine, sine, _log(softer * sine),
            _log(softer / (p_i + p_j).clamp(min=TINY)), _log(jade),
        ],
        -1,
    )  # fmt: skip


def _positions(first: Tensor, second: Tensor, coordinates: str) -> Tensor:
    apart = first - second
    r_i, r_j = _length(first[..., :3]), _length(second[..., :3])
    cosine, sine = _angle(first[..., :3] / r_i[..., None].clamp(min=TINY),
                          second[..., :3] / r_j[..., None].clamp(min=TINY))  # fmt: skip
    common = [_log(apart[..., :3].square().sum(-1)), cosine, sine, _asinh(apart[..., 3])]
    if coordinates == "rectangular":
        return torch.stack([*common, *apart[..., :3].unbind(-1)], -1)
    azimuth = wrap_angle(
        torch.atan2(first[..., 1], first[..., 0]) - torch.atan2(second[..., 1], second[..., 0])
    )
    if coordinates == "spherical":
        polar_i, polar_j = (
            torch.acos((p[..., 2] / r.clamp(min=TINY)).clamp(-1, 1))
            for p, r in ((first, r_i), (second, r_j))
        )
        return torch.stack([*common, _asinh(r_i - r_j), polar_i - polar_j, azimuth], -1)
    radius_i, radius_j = _length(first[..., :2]), _length(second[..., :2])
    return torch.stack([*common, _asinh(radius_i - radius_j), azimuth, _asinh(apart[..., 2])], -1)


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=TINY).log()


def _asinh(x: Tensor) -> Tensor:
    if torch.jit.is_tracing():  # the exporter to ONNX has no name for it
        return x.sign() * (x.abs() + (x.square() + 1).sqrt()).log()
    return torch.asinh(x)


def _mass2(p: Tensor) -> Tensor:
    return p[..., 3].square() - _dot(p[..., :3], p[..., :3])


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Sum of products in the order of the axes: what is left of a particle with itself is rounding,
    which is that of weaver-core."""
    first, *others = (a * b for a, b in zip(x.unbind(-1), y.unbind(-1), strict=True))
    return sum(others, first)


def _length(x: Tensor) -> Tensor:
    """The floor keeps the gradient of a zero vector finite."""
    return _root(_dot(x, x).clamp(min=1e-30))


_PORTABLE: ContextVar[bool] = ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Within it, square roots are rounded correctly, as in an exported graph.

    In single precision, the angle of a particle with itself, its kT and the like are rounding
    errors. By default they are those of torch, and of weaver-core, on the same machine; libraries
    round square roots differently.
    """
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def _exact() -> bool:
    return _PORTABLE.get() or torch.jit.is_tracing()


def _root(x: Tensor) -> Tensor:
    if x.dtype == torch.float32 and _exact():
        return x.double().sqrt().to(x.dtype)  # twice rounded is once rounded here
    return x.sqrt()


def _unit(x: Tensor) -> Tensor:
    return x / _length(x)[..., None].clamp(min=TINY)


def _angle(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle between unit vectors."""
    cosine = _dot(first, second).clamp(-1, 1)
    (x1, y1, z1), (x2, y2, z2) = first.unbind(-1), second.unbind(-1)
    cross = [
        _minus(y1, z2, z1, y2),
        _minus(z1, x2, x1, z2),
        _minus(x1, y2, y1, x2),
    ]
    return cosine, _length(torch.stack(cross, -1)).clamp(max=1)


def _minus(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """a b - c d with the first product exact, as a fused multiply-add rounds it.

    Of a particle with itself only rounding is left, whose logarithm the networks are trained with;
    `torch.linalg.cross` has this one on common processors, and other runtimes must have it, too.
    """
    if a.dtype != torch.float32:
        return a * b - c * d
    return (a.double() * b.double() - (c * d).double()).to(a.dtype)


def _in_rest_frame(p: Tensor, frame: Tensor) -> Tensor:
    """The momentum [..., 3] of `p` in the rest frame of `frame`."""
    velocity = -frame[..., :3] / frame[..., 3:].clamp(min=TINY)
    square = _dot(velocity, velocity)[..., None]
    left = (1 - square).clamp(min=TINY)
    gamma = 1 / _root(left) if _exact() else left**-0.5
    along = _dot(p[..., :3], velocity)[..., None]
    ratio = torch.where(square == 0, 0.0, (gamma - 1) / square.clamp(min=1e-30))
    return p[..., :3] + ratio * along * velocity + p[..., 3:] * gamma * velocity
