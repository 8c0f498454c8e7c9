"""The 17 particle features in one compiled pass over the particles, padding left out.

`features.particle_features` calls it on a CPU where no gradient is needed; its plain-torch path
defines the features, and a test holds the two equal. Written for speed: one logarithm per particle
and quantity, and tanh by an exponential in double precision.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
import torch
from torch import Tensor

from sciml.jets.data import columns as col


def compiled_features(particles: Tensor, jets: Tensor, mask: Tensor) -> Tensor:
    """[B, N, 16], [B, 2] float32 and [B, N] bool -> [B, N, 17] float32."""
    out = np.empty((*mask.shape, 17), np.float32)
    _fill(particles.numpy(force=True), jets.numpy(force=True), mask.numpy(), out)
    return torch.from_numpy(out)


@nb.njit(inline="always")
def _within(value, low, high):
    """NaN stays NaN."""
    return low if value < low else (high if value > high else value)


@nb.njit(inline="always")
def _tanh(value):
    """tanh of a float32, exact to single precision."""
    if value == 0:  # neutral particles have no track
        return value
    return np.float32(1.0 - 2.0 / (math.exp(2.0 * np.float64(value)) + 1.0))


@nb.njit(cache=True, error_model="numpy")
def _fill(particles, jets, mask, out):
    for jet in range(len(particles)):
        jet_pt, jet_energy = np.log(jets[jet, 0]), np.log(jets[jet, 1])
        for index in range(particles.shape[1]):
            features = out[jet, index]  # in the order of `features.FEATURES`
            if not mask[jet, index]:
                features[:] = 0
                continue
            raw = particles[jet, index]
            px, py = np.float64(raw[col.PX]), np.float64(raw[col.PY])
            deta, dphi = np.float64(raw[col.DETA]), np.float64(raw[col.DPHI])
            pt, energy = 0.5 * np.log(np.float32(px * px + py * py)), np.log(raw[col.ENERGY])
            features[0] = _within((pt - 1.7) * 0.7, -5.0, 5.0)
            features[1] = _within((energy - 2.0) * 0.7, -5.0, 5.0)
            features[2] = _within((pt - jet_pt + 4.7) * 0.7, -5.0, 5.0)
            features[3] = _within((energy - jet_energy + 4.7) * 0.7, -5.0, 5.0)
            features[4] = _within((math.sqrt(deta * deta + dphi * dphi) - 0.2) * 4.0, -5.0, 5.0)
            for column in range(6):  # charge and the five types
                features[5 + column] = raw[col.CHARGE + column]
            features[11] = _tanh(raw[col.D0])
            features[12] = _within(raw[col.D0_ERROR], 0.0, 1.0)
            features[13] = _tanh(raw[col.DZ])
            features[14] = _within(raw[col.DZ_ERROR], 0.0, 1.0)
            features[15], features[16] = raw[col.DETA], raw[col.DPHI]
