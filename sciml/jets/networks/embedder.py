"""Jets -> the batch of a trunk: particle features, pair features and positions.

Pairs are described as in the Particle Transformer (ln kT, ln z, ln dR, ln m2), but from pT and the
angles relative to the jet's axis. ln m2 of a pair is then that of massless particles, which is not
the logarithm of a rounding error for collinear ones, and nothing depends on where in azimuth the
jet points. Models with published weights use `features.pair_features` instead.

Raw batch, dense layout:
    x     [B, N, 16] | GeV, mm | `columns.COLUMNS`
    jet   [B, 2]     | GeV     | `columns.JET_COLUMNS`
    mask  [B, N] bool
    y     [B] int64  | class, -1 = unknown (optional)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from sciml.errors import unknown
from sciml.graph import dense
from sciml.jets.data import columns as col
from sciml.jets.data.features import FEATURE_SETS, FEATURES, TYPE_FEATURES, Jets, particle_features
from sciml.nn.constants import constant
from sciml.objectives.base import Embedder, changed

if TYPE_CHECKING:
    from torch_geometric.data import Data

FeatureSet = Literal["full", "kinpid", "kin"]

CONTENT = tuple(FEATURES.index(n) for n in FEATURES if n not in ("deta", "dphi", "delta_r"))
"""Features that are hidden in masked modelling; a particle's direction is not."""
KINDS = 5
"""Particle types: charged hadron, neutral hadron, photon, electron, muon."""
KIND_FEATURES = range(TYPE_FEATURES.start, TYPE_FEATURES.stop)

FEATURE_MEAN_SCALE = {
    "log_pt": (0.12, 0.85),
    "log_energy": (0.15, 0.87),
    "log_pt_rel": (0.1, 0.85),
    "log_energy_rel": (0.1, 0.85),
    "delta_r": (0.15, 0.75),
    "charge": (0.0, 0.7),
    "isChargedHadron": (0.47, 0.5),
    "isNeutralHadron": (0.11, 0.31),
    "isPhoton": (0.41, 0.49),
    "isElectron": (0.0, 0.1),
    "isMuon": (0.0, 0.1),
    "tanh_d0": (0.0, 0.2),
    "d0_err": (0.015, 0.03),
    "tanh_dz": (0.0, 0.2),
    "dz_err": (0.04, 0.08),
    "deta": (0.0, 0.2),
    "dphi": (0.0, 0.2),
}
"""Mean and standard deviation of the particle features in generated jets of 500-1000 GeV (for the
rare leptons a larger one). Impact parameters and their errors are small numbers: without scaling, a
network is slow to learn from displaced tracks."""

PAIR_MEAN = (-0.5, -1.7, -1.6, 0.4)
PAIR_SCALE = (1.1, 0.9, 1.1, 2.2)
"""Mean and standard deviation of the four pair features in QCD jets of 500-1000 GeV."""
PAIR_FLOOR = (1e-3, 1e-4, 5e-3, 1e-4)
"""Smallest kT [GeV], z, dR and m2 [GeV^2]: finer than a detector resolves."""


def raw_batch(jets: Jets, labels: Tensor | None = None) -> Data:
    """Padded jets as the raw batch of objectives."""
    from torch_geometric.data import Data

    values = {"x": jets.particles, "jet": jets.jets, "mask": jets.mask}
    return Data(**values) if labels is None else Data(**values, y=labels)


def collate(items: Sequence[Mapping[str, Any]]) -> Data:
    """Single jets -> raw batch; an item has `x` [n, 16], `jet` [2] and perhaps `y`."""
    from sciml.graph import make_dense

    return make_dense(items)


def plane_pairs(pt: Tensor, angles: Tensor) -> Tensor:
    """Standardised pair features from pT [B, N] and (deta, dphi) [B, N, 2]: [B, N, N, 4]."""
    delta = angles[:, :, None] - angles[:, None, :]
    deta = delta[..., 0]
    dphi = (delta[..., 1] + math.pi).remainder(2 * math.pi) - math.pi
    dr = (deta.square() + dphi.square()).clamp(min=PAIR_FLOOR[2] ** 2).sqrt()
    softer, harder = (f(pt[:, :, None], pt[:, None, :]) for f in (torch.minimum, torch.maximum))
    z = softer / (softer + harder)
    # cosh a - cos b without cancellation
    half2 = (deta / 2).square()  # sinh by its series: exact for small angles, and ONNX has it
    sinh2 = half2 * (1 + half2 / 6 * (1 + half2 / 20 * (1 + half2 / 42))).square()
    chord = 2 * (sinh2 + torch.sin(dphi / 2).square())
    mass2 = 2 * softer * harder * chord
    out = [
        (value.clamp(min=floor).log() - mean) / scale
        for value, floor, mean, scale in zip(
            (softer * dr, z, dr, mass2), PAIR_FLOOR, PAIR_MEAN, PAIR_SCALE, strict=True
        )
    ]
    return torch.stack(out, dim=-1)


ONLY_ANGLE = torch.tensor([0.0, 0.0, 1.0, 0.0])


class JetEmbedder(Embedder):
    """Raw jets -> `x` [B, N, dim], `pair` [B, N, N, pair_dim], `pos` (four-momenta), angles.

    A hidden particle keeps its direction, which says where to predict, and nothing else: its
    features become a learned token, and of its pair features only the angle remains.

    Features are standardised by fixed numbers (`FEATURE_MEAN_SCALE`).

    Args:
        dim: width of node features for the trunk.
        pair_dim: width of pair features for the trunk; 4 gives the features as they are, 0 none.
        features: which of the 17 features are used.
    """

    mean: Tensor
    scale: Tensor
    _columns: Tensor
    _content: Tensor
    _hides: Tensor

    def __init__(self, dim: int, pair_dim: int = 0, features: FeatureSet = "full") -> None:
        super().__init__()
        if features not in FEATURE_SETS:
            raise unknown("feature set", features, FEATURE_SETS)
        self.dim, self.pair_dim, self.features = dim, pair_dim, features
        self.columns = FEATURE_SETS[features]
        self.hides = [i for i, feature in enumerate(self.columns) if feature in CONTENT]
        mean, scale = zip(*(FEATURE_MEAN_SCALE[FEATURES[i]] for i in self.columns), strict=True)
        # As buffers: indices given as a list are copied to the device at each use.
        content = [i for i in self.columns if i in CONTENT and i not in KIND_FEATURES]
        self.register_buffer("_content", torch.tensor(content), persistent=False)
        self.register_buffer("_columns", torch.tensor(self.columns), persistent=False)
        self.register_buffer(
            "_hides", torch.tensor(self.hides, dtype=torch.int64), persistent=False
        )
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.network = nn.Sequential(
            nn.Linear(len(self.columns), 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim)
        )
        self.project = nn.Linear(2 * dim, dim)
        self.token = nn.Parameter(torch.randn(len(self.hides)) * 0.5)
        self.pair_token = nn.Parameter(torch.zeros(3))
        self.project_pairs = nn.Linear(4, pair_dim) if pair_dim not in (0, 4) else nn.Identity()

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See the class; the result has the layout and the other keys of `batch`."""
        batch = dense(batch)
        x, mask = batch.x, batch.mask
        features = particle_features(x, batch.jet, mask).index_select(2, self._columns)
        features = (features - self.mean) / self.scale
        if hidden is not None:
            token = torch.where(
                hidden[..., None], self.token, features.index_select(2, self._hides)
            )
            features = features.index_copy(2, self._hides, token)
        dtype = self.project.weight.dtype  # kinematics in single precision, the network in its own
        features = features.to(dtype)
        nodes = self.project(self.network(features)).masked_fill(~mask[..., None], 0.0)
        p4, angles = x[..., col.FOUR_MOMENTUM], x[..., col.ANGLES]
        if hidden is not None:
            p4 = p4.masked_fill(hidden[..., None], 0.0)
        values = {"x": nodes, "pos": p4, "node_points": angles}
        if self.pair_dim:
            px = torch.where(mask, x[..., col.PX], torch.ones_like(x[..., col.PX]))
            pairs = plane_pairs((px.square() + x[..., col.PY].square()).sqrt(), angles)
            if hidden is not None:
                either = hidden[:, :, None] | hidden[:, None, :]
                filler = torch.cat(
                    [self.pair_token[:2], self.pair_token.new_zeros(1), self.pair_token[2:]]
                )
                only_angle = pairs * constant(ONLY_ANGLE, pairs.device, pairs.dtype) + filler
                pairs = torch.where(either[..., None], only_angle, pairs)
            values["pair"] = self.project_pairs(pairs.to(dtype))
        return changed(batch, **values)

    def targets(self, batch: Data) -> dict[str, Tensor]:
        """`content`: pT, energy, charge and track features; `kind`: type (unless `kin`)."""
        features = particle_features(batch.x, batch.jet, batch.mask)
        result = {"content": features.index_select(2, self._content)}
        if self.features != "kin":
            flags = features[..., TYPE_FEATURES]
            kind = flags.argmax(-1)
            result["kind"] = torch.where(flags.amax(-1) > 0, kind, torch.full_like(kind, -1))
        return result

    def target_sizes(self) -> dict[str, int]:
        """Width of `content`, number of kinds."""
        content = sum(i in CONTENT and i not in KIND_FEATURES for i in self.columns)
        return {"content": content} | ({"kind": KINDS} if self.features != "kin" else {})

    def coordinates(self, batch: Data) -> Tensor:
        """(deta, dphi) of every particle, rad."""
        return batch.x[..., col.ANGLES]

    def displaced(self, batch: Data, pos: Tensor) -> Data:
        """See the function."""
        return displaced(batch, pos)


def displaced(batch: Data, angles: Tensor) -> Data:
    """The jets with their particles at `angles` [B, N, 2] from the axis; pT and masses stay."""
    x = batch.x
    pt = torch.hypot(x[..., col.PX], x[..., col.PY]).clamp(min=1e-9)
    axis = (x[..., col.PZ] * batch.mask).sum(1, keepdim=True)
    sign = torch.where(axis < 0, -1.0, 1.0)  # deta was flipped by the sign of the jet's eta
    shift = angles - x[..., col.ANGLES]
    eta = torch.asinh(x[..., col.PZ] / pt) + sign * shift[..., 0]
    phi = torch.atan2(x[..., col.PY], x[..., col.PX]) + shift[..., 1]
    p2 = x[..., col.PX : col.ENERGY].square().sum(-1)
    mass2 = (x[..., col.ENERGY].square() - p2).clamp(min=0)
    pz = pt * torch.sinh(eta)
    energy = (pt.square() + pz.square() + mass2).sqrt()
    moved = torch.stack([pt * phi.cos(), pt * phi.sin(), pz, energy], dim=-1)
    return changed(batch, x=torch.cat([moved, angles, x[..., col.D0 :]], dim=-1))


__all__ = ["FeatureSet", "JetEmbedder", "collate", "displaced", "raw_batch"]
