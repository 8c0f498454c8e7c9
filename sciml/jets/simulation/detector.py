"""A parametrised particle-flow detector in the style of the JetClass card.

Each stable particle is propagated through the solenoid (helix for charged ones), tracks are
reconstructed, smeared and get impact parameters, two calorimeters measure towers of energy, and
particle flow combines both: a significant excess of a tower over its tracks becomes a photon or a
neutral hadron; otherwise the tracks are rescaled to the combined energy.

Method: Delphes (arXiv:1307.6346); numbers: the JetClass card (arXiv:2202.03772, repository
jet-universe/jetclass_generation). One property of that card is reproduced, since every JetClass
model has learned it: its last track module sets the track resolution to zero, so that in a tower
without excess the calorimeter alone determines the energy of its charged hadrons.
`measured_tracks=True` gives the statistical combination instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from sciml.config import Range
from sciml.jets.simulation.resolutions import ETA_EDGES, PT_EDGES, SIGMA_D0, SIGMA_DZ

Positive = Range(min=0, exclusive=True)


@dataclass(frozen=True)
class Detector:
    """Constants of the detector. The defaults are those of the JetClass card."""

    field: Annotated[float, Range(min=0)] = 3.8
    """Solenoid field along z [T]; 0 for straight tracks."""
    radius: Annotated[float, Positive] = 1.29
    """Inner radius of the calorimeter [m]."""
    half_length: Annotated[float, Positive] = 3.0
    """Half of the length of the tracking volume [m]."""
    measured_tracks: bool = False
    """Weight tracks by their resolution in particle flow (JetClass: the calorimeter alone)."""
    track_efficiency: Annotated[float, Range(min=0, max=1)] = 1.0
    """Factor on every tracking efficiency."""
    track_resolution: Annotated[float, Range(min=0)] = 1.0
    """Factor on the relative pT resolution of tracks."""
    impact_resolution: Annotated[float, Range(min=0)] = 1.0
    """Factor on the widths of d0 and dz."""
    ecal_resolution: Annotated[float, Range(min=0)] = 1.0
    """Factor on the resolution of the electromagnetic calorimeter."""
    hcal_resolution: Annotated[float, Range(min=0)] = 1.0
    """Factor on the resolution of the hadronic calorimeter."""
    ecal_scale: Annotated[float, Positive] = 1.0
    """Factor on the measured energy of electromagnetic towers."""
    hcal_scale: Annotated[float, Positive] = 1.0
    """Factor on the measured energy of hadronic towers."""
    beam_spot: Annotated[float, Range(min=0)] = 0.0
    """Width of the unmeasured transverse vertex position [mm], added to every d0 of an event."""


DETECTORS: dict[str, Detector] = {
    "jetclass": Detector(),
    "measured": Detector(measured_tracks=True),
    "shifted": Detector(
        track_efficiency=0.93,
        track_resolution=1.5,
        impact_resolution=1.4,
        ecal_resolution=1.3,
        hcal_resolution=1.2,
        ecal_scale=0.98,
        hcal_scale=1.05,
        beam_spot=0.01,
    ),
}
"""Detectors by name: JetClass; the same with measured tracks; a shifted one (a target domain)."""


class Particles(NamedTuple):
    """Stable particles of one event, arrays of one length.

    Momentum and energy in GeV, production vertex in mm, charge in e, PDG code.
    """

    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    energy: NDArray[np.float64]
    mass: NDArray[np.float64]
    charge: NDArray[np.float64]
    pid: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]


class _Constants(NamedTuple):
    field: float
    radius: float
    half_length: float
    measured_tracks: float
    track_efficiency: float
    track_resolution: float
    impact_resolution: float
    ecal_resolution: float
    hcal_resolution: float
    ecal_scale: float
    hcal_scale: float
    beam_spot: float


CANDIDATE = ("px", "py", "pz", "energy", "charge", "pid", "d0val", "d0err", "dzval", "dzerr")
"""Columns of `simulate`'s result. pid: 0 neutral hadron, 22 photon, else the track's PDG code."""

HCAL_EDGES = np.concatenate(
    [
        np.arange(20) * 0.087,
        [1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95],
    ]
)
"""|eta| edges of hadronic towers: 5 degrees wide in phi below 1.653, 10 above."""
_HCAL_FINE = 1.653
_ECAL_STEP, _ECAL_MAX = 0.0174, 2.958


def simulate(
    particles: Particles, detector: Detector, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Particle-flow candidates [n, 10] of one event, columns `CANDIDATE`.

    Args:
        particles: the stable, visible particles of the event.
        detector: its constants.
        rng: source of every fluctuation; its state after the call depends on the event.
    """
    return simulate_with_sources(particles, detector, rng)[0]


def simulate_with_sources(
    particles: Particles, detector: Detector, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`simulate`, and for each candidate the index of the particle that left its track.

    The index is -1 for photons and neutral hadrons, to whose towers many particles contribute.
    """
    constants = _Constants(*(float(getattr(detector, name)) for name in _Constants._fields))
    return _simulate(*particles, constants, rng)


@nb.njit(cache=True)
def propagate(
    px: float, py: float, pz: float, q: float, x: float, y: float, z: float, c: _Constants
) -> tuple[bool, float, float, float, float, float, float]:
    """Propagate one particle from (x, y, z) [mm] to the calorimeter.

    Returns (arrives, eta and phi of the arrival point, px and py [GeV] at the closest approach to
    the beam, d0 [mm], dz [mm]), with d0 = (x py - y px) / pT and dz = z at closest approach.
    """
    x, y, z = x * 1e-3, y * 1e-3, z * 1e-3
    pt = np.hypot(px, py)
    if pt < 3e-5 or np.hypot(x, y) > c.radius or abs(z) > c.half_length:
        return False, 0.0, 0.0, px, py, 0.0, 0.0
    end = c.half_length if pz > 0 else -c.half_length
    if abs(q) < 1e-9 or c.field < 1e-9:
        # Straight line: the larger root of |(x, y) + t (px, py)| = radius.
        b = (px * x + py * y) / pt**2
        t = -b + np.sqrt(b * b - (x * x + y * y - c.radius**2) / pt**2)
        if pz != 0.0:
            t = min(t, (end - z) / pz)
        xc, yc, zc = x + px * t, y + py * t, z + pz * t
        d0 = (x * py - y * px) / pt
        dz = z - b * pz
    else:
        # With signed radius r the position is (xo, yo) + r (-sin phi, cos phi), where phi is the
        # azimuth of the momentum; turning by an angle a > 0 takes phi to phi - sign(r) a and
        # advances z by |r| a pz / pT.
        phi0 = np.arctan2(py, px)
        r = pt / (q * 0.299792458 * c.field)
        sign = 1.0 if r > 0 else -1.0
        slope = abs(r) * pz / pt
        xo, yo = x + r * np.sin(phi0), y - r * np.cos(phi0)
        ro = np.hypot(xo, yo)
        # Closest approach: the point of the circle on the line from its centre to the beam.
        phid = np.arctan2(sign * xo, -sign * yo)
        turn = sign * (phi0 - phid)
        turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
        xd, yd = xo - r * np.sin(phid), yo + r * np.cos(phid)
        px, py = pt * np.cos(phid), pt * np.sin(phid)
        d0 = (xd * py - yd * px) / pt
        dz = z + turn * slope
        # The first of: an end cap; the barrel, where the circle crosses radius.
        angle = (end - z) / slope if pz != 0.0 else np.inf
        if ro > 0.0:
            cosine = (c.radius**2 - ro * ro - r * r) / (2 * abs(r) * ro)
            if abs(cosine) <= 1.0:
                start = np.arctan2(sign * np.cos(phi0), -sign * np.sin(phi0))
                outward, half = np.arctan2(yo, xo), np.arccos(cosine)
                for crossing in (outward + half, outward - half):
                    rotation = sign * (start - crossing)
                    angle = min(angle, rotation - 2 * np.pi * np.floor(rotation / (2 * np.pi)))
        if not np.isfinite(angle):
            return False, 0.0, 0.0, px, py, 0.0, 0.0
        phic = phi0 - sign * angle
        xc, yc, zc = xo - r * np.sin(phic), yo + r * np.cos(phic), z + angle * slope
    rc = np.hypot(xc, yc)
    if rc <= 0.0:
        return False, 0.0, 0.0, px, py, 0.0, 0.0
    return True, np.arcsinh(zc / rc), np.arctan2(yc, xc), px, py, d0 * 1e3, dz * 1e3


@nb.njit(cache=True)
def log_normal(mean: float, sigma: float, rng: np.random.Generator) -> float:
    """A log-normal number with this mean and standard deviation (0 for a mean of 0)."""
    if mean <= 0.0:
        return 0.0
    b = np.sqrt(np.log(1.0 + (sigma / mean) ** 2))
    return np.exp(np.log(mean) - 0.5 * b * b + b * rng.normal())


@nb.njit(cache=True)
def track_efficiency(pid: int, pt: float, eta: float) -> float:
    """Probability that a charged particle leaves a track (pid >= 0: its |PDG code|)."""
    eta = abs(eta)
    if pt <= 0.1 or eta > 2.5:
        return 0.0
    barrel = eta <= 1.5
    if pid == 11:
        if pt <= 1.0:
            return 0.73 if barrel else 0.50
        if pt <= 100.0:
            return 0.95 if barrel else 0.83
        return 0.99 if barrel else 0.90
    if pid == 13:
        if pt <= 1.0:
            return 0.75 if barrel else 0.70
        plateau = 0.99 if barrel else 0.98
        return plateau if pt <= 1000.0 else plateau * np.exp(0.5 - pt * 5e-4)
    if pt <= 1.0:
        return 0.70 if barrel else 0.60
    return 0.95 if barrel else 0.85


@nb.njit(cache=True)
def track_resolution(pid: int, pt: float, eta: float) -> float:
    """Relative pT resolution of a track, at most 1."""
    eta = abs(eta)
    k = 0 if eta <= 0.5 else (1 if eta <= 1.5 else 2)
    if pid == 11:
        a, b = (0.03, 0.05, 0.15)[k], (1.3e-3, 1.7e-3, 3.1e-3)[k]
    elif pid == 13:
        a, b = (0.01, 0.015, 0.025)[k], (1.0e-4, 1.5e-4, 3.5e-4)[k]
    else:
        a, b = (0.06, 0.10, 0.25)[k], (1.3e-3, 1.7e-3, 3.1e-3)[k]
    return min(np.sqrt(a * a + (b * pt) ** 2), 1.0)


@nb.njit(cache=True)
def impact_widths(pt: float, eta: float) -> tuple[float, float]:
    """Widths of d0 and dz [mm] of a track; 0 outside the table."""
    k, j = np.searchsorted(ETA_EDGES, abs(eta)), np.searchsorted(PT_EDGES, pt) - 1
    if k > 2 or j < 0:
        return 0.0, 0.0
    return SIGMA_D0[k, j], SIGMA_DZ[k, j]


@nb.njit(cache=True)
def tower_resolution(ecal: bool, eta: float, energy: float) -> float:
    """Resolution [GeV] of a tower of this energy."""
    eta = abs(eta)
    if not ecal:
        return np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)
    if eta > 2.5:
        return np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    width = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    return width * (1 + 0.64 * eta**2 if eta <= 1.5 else 2.16 + 5.6 * (eta - 2) ** 2)


@nb.njit(cache=True)
def tower(ecal: bool, eta: float, phi: float) -> tuple[int, float, float, float, float]:
    """Number (negative: outside) and edges (eta low, high, phi low, high) of the tower hit."""
    if ecal:
        if abs(eta) >= _ECAL_MAX:
            return -1, 0.0, 0.0, 0.0, 0.0
        i, n = int(np.floor(eta / _ECAL_STEP)), 360
        low, high = i * _ECAL_STEP, (i + 1) * _ECAL_STEP
    else:
        if abs(eta) >= HCAL_EDGES[-1]:
            return -1, 0.0, 0.0, 0.0, 0.0
        k = int(np.searchsorted(HCAL_EDGES, abs(eta), side="right")) - 1
        n = 72 if HCAL_EDGES[k + 1] <= _HCAL_FINE + 1e-9 else 36
        low, high, i = HCAL_EDGES[k], HCAL_EDGES[k + 1], k
        if eta < 0:
            low, high, i = -high, -low, -k - 1
    step = 2 * np.pi / n
    j = min(int(np.floor((phi + np.pi) / step)), n - 1)
    return (i + 200) * 360 + j, low, high, j * step - np.pi, (j + 1) * step - np.pi


@nb.njit(cache=True)
def _calorimeter(ecal, energy, fraction, eta, phi, track, sigma, pt, mass, peta, c, rng):
    """One calorimeter: neutral candidates [k, 3] (energy, eta, phi); rescales `pt` in place.

    energy, fraction, eta, phi: of every particle that arrives. track: which of them left tracks
    that this calorimeter measures (index into pt, mass, peta: the tracks), else -1.
    """
    n = len(energy)
    number = np.empty(n, np.int64)
    for i in range(n):
        number[i] = tower(ecal, eta[i], phi[i])[0] if fraction[i] > 0 else -1
    order = np.argsort(number, kind="mergesort")
    threshold, significance = (0.5, 2.0) if ecal else (1.0, 1.0)
    factor = c.ecal_resolution if ecal else c.hcal_resolution
    scale = c.ecal_scale if ecal else c.hcal_scale
    neutral = np.empty((n, 3))
    count = 0
    first = 0
    while first < n and number[order[first]] < 0:
        first += 1
    while first < n:
        last = first
        deposited, tracked, variance = 0.0, 0.0, 0.0
        _, low, high, left, right = tower(ecal, eta[order[first]], phi[order[first]])
        centre = 0.5 * (low + high)
        while last < n and number[order[last]] == number[order[first]]:
            i = order[last]
            deposited += energy[i] * fraction[i]
            t = track[i]
            if t >= 0:
                e = np.sqrt((pt[t] * np.cosh(peta[t])) ** 2 + mass[t] ** 2)
                tracked += e
                variance += (c.measured_tracks * sigma[t] * e) ** 2
            last += 1
        measured = log_normal(
            deposited * scale, factor * tower_resolution(ecal, centre, deposited), rng
        )
        width = factor * tower_resolution(ecal, centre, measured)
        if measured < threshold or measured < significance * width:
            measured = 0.0
        e_eta, e_phi = rng.uniform(low, high), rng.uniform(left, right)
        excess = max(measured - tracked, 0.0)
        if excess > threshold and excess > significance * np.sqrt(variance + width**2):
            neutral[count, 0], neutral[count, 1], neutral[count, 2] = excess, e_eta, e_phi
            count += 1
        elif tracked > 0.0:
            by_track = 1.0 / variance if variance > 0 else 0.0
            by_tower = 1.0 / width**2 if width > 0 else 0.0
            if by_track + by_tower > 0:
                best = (by_track * tracked + by_tower * measured) / (by_track + by_tower)
                for k in range(first, last):
                    t = track[order[k]]
                    if t >= 0:
                        pt[t] *= best / tracked
        first = last
    return neutral[:count]


@nb.njit(cache=True)
def _simulate(px, py, pz, energy, mass, charge, pid, x, y, z, c, rng):
    n = len(px)
    eta, phi = np.empty(n), np.empty(n)
    arrived = np.zeros(n, np.bool_)
    in_ecal, in_hcal = np.zeros(n), np.zeros(n)
    track = np.full(n, -1, np.int64)
    # tracks: pT, eta, phi, mass, relative resolution, charge, pid, d0, d0err, dz, dzerr
    tracks = np.empty((n, 11))
    particle = np.empty(n, np.int64)  # that left each track
    n_tracks = 0
    spot_x, spot_y = c.beam_spot * rng.normal(), c.beam_spot * rng.normal()
    for i in range(n):
        ok, eta[i], phi[i], pxd, pyd, d0, dz = propagate(
            px[i], py[i], pz[i], charge[i], x[i], y[i], z[i], c
        )
        if not ok:
            continue
        arrived[i] = True
        code = abs(pid[i])
        if code == 11 or code == 22:
            in_ecal[i] = 1.0
        elif code == 310 or code == 3122:
            in_ecal[i], in_hcal[i] = 0.3, 0.7
        elif code != 13:
            in_hcal[i] = 1.0
        if charge[i] == 0:
            continue
        pt = np.hypot(pxd, pyd)
        if rng.random() >= c.track_efficiency * track_efficiency(code, pt, eta[i]):
            continue
        resolution = c.track_resolution * track_resolution(code, pt, eta[i])
        smeared = log_normal(pt, resolution * pt, rng)
        peta, pphi = np.arcsinh(pz[i] / pt), np.arctan2(pyd, pxd)
        s_d0, s_dz = impact_widths(smeared, peta)
        s_d0, s_dz = s_d0 * c.impact_resolution, s_dz * c.impact_resolution
        d0 -= spot_x * np.sin(pphi) - spot_y * np.cos(pphi)
        row = tracks[n_tracks]
        row[0], row[1], row[2], row[3], row[4] = smeared, peta, pphi, mass[i], resolution
        row[5], row[6] = charge[i], pid[i]
        row[7], row[8] = d0 + s_d0 * rng.normal(), s_d0
        row[9], row[10] = dz + s_dz * rng.normal(), s_dz
        track[i] = n_tracks
        particle[n_tracks] = i
        n_tracks += 1
    energy, eta, phi, track = energy[arrived], eta[arrived], phi[arrived], track[arrived]
    in_ecal, in_hcal = in_ecal[arrived], in_hcal[arrived]
    pt = tracks[:n_tracks, 0].copy()
    peta, pmass, sigma = tracks[:n_tracks, 1], tracks[:n_tracks, 3], tracks[:n_tracks, 4]
    none = np.full(len(energy), -1, np.int64)
    photons = _calorimeter(
        True,
        energy,
        in_ecal,
        eta,
        phi,
        np.where(in_ecal == 1.0, track, none),
        sigma,
        pt,
        pmass,
        peta,
        c,
        rng,
    )
    hadrons = _calorimeter(
        False,
        energy,
        in_hcal,
        eta,
        phi,
        np.where(in_hcal == 1.0, track, none),
        sigma,
        pt,
        pmass,
        peta,
        c,
        rng,
    )
    out = np.zeros((n_tracks + len(photons) + len(hadrons), 10))
    source = np.full(len(out), -1, np.int64)
    row_count = 0
    for t in range(n_tracks):
        if pt[t] <= 0.0:  # its tower fell below threshold
            continue
        row = out[row_count]
        row[0], row[1] = pt[t] * np.cos(tracks[t, 2]), pt[t] * np.sin(tracks[t, 2])
        row[2] = pt[t] * np.sinh(tracks[t, 1])
        row[3] = np.sqrt((pt[t] * np.cosh(tracks[t, 1])) ** 2 + tracks[t, 3] ** 2)
        row[4:10] = tracks[t, 5:11]
        source[row_count] = particle[t]
        row_count += 1
    for towers, code in ((photons, 22.0), (hadrons, 0.0)):
        for k in range(len(towers)):
            e, e_eta, e_phi = towers[k]
            row = out[row_count]
            row[0], row[1] = e / np.cosh(e_eta) * np.cos(e_phi), e / np.cosh(e_eta) * np.sin(e_phi)
            row[2], row[3], row[5] = e * np.tanh(e_eta), e, code
            row_count += 1
    return out[:row_count], source[:row_count]
