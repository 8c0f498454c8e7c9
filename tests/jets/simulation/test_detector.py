"""The parametrised detector against independent integrations and its own tables."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from sciml.jets.simulation import detector as d

CONSTANTS = d._Constants(*(float(getattr(d.Detector(), n)) for n in d._Constants._fields))


def integrate(px, py, pz, q, x, y, z, field):
    """The equation of motion integrated: (distance, position, direction) at the closest approach
    nearest to the start, and the position at the calorimeter; metres."""
    momentum = np.array([px, py, pz])
    speed = np.linalg.norm(momentum)
    start = np.concatenate([np.array([x, y, z]) * 1e-3, momentum / speed])
    force = q * 0.299792458 * field / speed

    def motion(_, state):
        u = state[3:]
        return np.concatenate([u, force * np.array([u[1], -u[0], 0.0])])

    def leaves(_, state):
        return max(
            np.hypot(state[0], state[1]) - d.Detector().radius,
            abs(state[2]) - d.Detector().half_length,
        )

    vars(leaves)["terminal"] = True
    forward = solve_ivp(motion, (0, 100), start, events=leaves, rtol=1e-10, atol=1e-12)

    def near(s):
        return solve_ivp(motion, (0, s), start, rtol=1e-10, atol=1e-13).y[:, -1]

    reach = 2 * np.linalg.norm(start[:3]) + 1e-3
    minimum = minimize_scalar(
        lambda s: np.hypot(*near(s)[:2]), bounds=(-reach, reach), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    closest = near(minimum.x)
    return (minimum.fun, closest[:3], closest[3:]), forward.y[:3, -1]


@pytest.mark.parametrize(
    "particle",
    [
        (3.0, 1.0, 0.7, 1.0, 0.4, -0.3, 2.0),
        (-0.9, 0.5, -1.2, -1.0, 1.5, 2.5, -10.0),
        (0.35, -0.3, 0.2, 1.0, 0.1, 0.0, 0.0),
        (-20.0, -30.0, 10.0, -1.0, 5.0, 3.0, 40.0),
    ],
)
def test_helix_agrees_with_stepwise_integration(particle):
    px, py, pz, q, x, y, z = particle
    ok, eta, phi, pxd, pyd, d0, dz = d.propagate(px, py, pz, q, x, y, z, CONSTANTS)
    (distance, closest, u), exit_point = integrate(px, py, pz, q, x, y, z, 3.8)
    assert ok
    assert abs(d0) == pytest.approx(distance * 1e3, abs=1e-4)
    signed = (closest[0] * u[1] - closest[1] * u[0]) / np.hypot(u[0], u[1]) * 1e3
    assert d0 == pytest.approx(signed, abs=1e-4)
    assert dz == pytest.approx(closest[2] * 1e3, abs=1e-3)
    pt = np.hypot(px, py)
    assert np.hypot(pxd, pyd) == pytest.approx(pt)
    assert pxd / pt == pytest.approx(u[0] / np.hypot(u[0], u[1]), abs=1e-5)
    rt = np.hypot(exit_point[0], exit_point[1])
    assert eta == pytest.approx(np.arcsinh(exit_point[2] / rt), abs=1e-5)
    assert np.cos(phi - np.arctan2(exit_point[1], exit_point[0])) > 1 - 1e-9


def test_neutral_particles_fly_straight():
    ok, eta, phi, *_ = d.propagate(2.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, CONSTANTS)
    assert ok and phi == pytest.approx(0.0, abs=1e-12)
    assert eta == pytest.approx(np.arcsinh(0.5))
    # one born outside of the cylinder is not measured
    assert not d.propagate(2.0, 0.0, 1.0, 0.0, 2000.0, 0.0, 0.0, CONSTANTS)[0]


def test_impact_parameter_of_a_displaced_straight_track():
    constants = CONSTANTS._replace(field=0.0)
    # flies along x at y = 0.5 mm: passes the beam at 0.5 mm, at z = 1 mm - 2 mm * slope
    result = d.propagate(4.0, 0.0, 2.0, 1.0, 2.0, 0.5, 1.0, constants)
    assert result[5] == pytest.approx(-0.5)
    assert result[6] == pytest.approx(0.0)


def test_table_of_widths():
    assert d.impact_widths(1.0, 0.5) == (0.0753, 0.1113)
    assert d.impact_widths(1.0, -1.2) == (0.0926, 0.1982)
    assert d.impact_widths(500.0, 2.0) == (0.0137, 0.085)
    assert d.impact_widths(0.1, 0.0) == (0.0, 0.0)
    assert d.impact_widths(10.0, 2.6) == (0.0, 0.0)


@pytest.mark.parametrize("ecal", [True, False])
def test_towers_tile_the_calorimeter(ecal):
    rng = np.random.default_rng(0)
    seen: dict[int, tuple[float, float]] = {}
    for eta, phi in zip(rng.uniform(-2.9, 2.9, 4000), rng.uniform(-np.pi, np.pi, 4000)):
        number, low, high, left, right = d.tower(ecal, eta, phi)
        assert number >= 0 and low <= eta <= high and left <= phi <= right
        assert seen.setdefault(number, (low, left)) == (low, left)
    assert d.tower(ecal, 3.2, 0.0)[0] < 0


def particles(rows):
    """rows of (px, py, pz, mass, charge, pid), all from the origin."""
    table = np.array(rows, float)
    energy = np.sqrt((table[:, :3] ** 2).sum(1) + table[:, 3] ** 2)
    zero = np.zeros(len(rows))
    momenta = table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()
    return d.Particles(
        *momenta, energy, table[:, 3].copy(), table[:, 4].copy(),
        table[:, 5].astype(np.int64), zero, zero, zero,
    )  # fmt: skip


def test_photons_and_neutral_hadrons_are_measured_without_bias():
    rng = np.random.default_rng(1)
    one = particles([(60.0, 0.0, 10.0, 0.0, 0.0, 22), (0.0, 80.0, -5.0, 0.4976, 0.0, 130)])
    photons, hadrons = [], []
    for _ in range(3000):
        out = d.simulate(one, d.Detector(), rng)
        photons += out[out[:, 5] == 22, 3].tolist()
        hadrons += out[out[:, 5] == 0, 3].tolist()
    assert np.mean(photons) == pytest.approx(np.hypot(60, 10), rel=0.01)
    assert np.std(photons) == pytest.approx(d.tower_resolution(True, 0.16, 60.8), rel=0.1)
    assert np.mean(hadrons) == pytest.approx(one.energy[1], rel=0.02)
    assert np.std(hadrons) == pytest.approx(d.tower_resolution(False, -0.06, 80.0), rel=0.1)


def test_tracks_have_charge_identity_and_the_tabulated_smearing():
    rng = np.random.default_rng(2)
    pion = particles([(20.0, 0.0, 3.0, 0.13957, 1.0, 211)])
    # measured tracks: the calorimeter hardly changes a well measured track
    rows = np.concatenate([d.simulate(pion, DETECTOR, rng) for _ in range(4000)])
    tracks = rows[rows[:, 5] == 211]
    assert 0.93 < len(tracks) / 4000 < 0.97
    assert (tracks[:, 4] == 1).all()
    assert np.std(tracks[:, 6]) == pytest.approx(0.0143, rel=0.1)
    assert set(np.round(np.unique(tracks[:, 7]), 4)) <= {0.0143, 0.015, 0.013, 0.0164}
    assert np.std(tracks[:, 8]) == pytest.approx(0.0316, rel=0.1)
    missed = rows[rows[:, 5] == 0]
    assert len(missed) > 100  # those without a track are neutral hadrons
    assert (missed[:, 4] == 0).all() and (missed[:, 6:] == 0).all()


DETECTOR = d.Detector(measured_tracks=True)


def test_jetclass_lets_the_calorimeter_decide():
    """Without a weight for tracks a pion has the energy spread of the calorimeter."""
    pion = particles([(20.0, 0.0, 3.0, 0.13957, 1.0, 211)])
    spread = {}
    for measured in (False, True):
        rng = np.random.default_rng(3)
        detector = d.Detector(measured_tracks=measured, track_efficiency=1.0)
        rows = np.concatenate([d.simulate(pion, detector, rng) for _ in range(3000)])
        spread[measured] = np.std(rows[rows[:, 5] == 211, 3])
    assert spread[False] > 2 * spread[True]


def test_mass_shell_and_determinism():
    rng = np.random.default_rng(4)
    momenta = rng.normal(0, 5, (200, 3))
    kinds = [
        (0.13957, 1, 211),
        (0.0, 0, 22),
        (0.000511, -1, 11),
        (0.10566, 1, -13),
        (0.9396, 0, 2112),
    ]
    event = particles([(*p, *kinds[i % 5]) for i, p in enumerate(momenta)])
    first = d.simulate(event, d.Detector(), np.random.default_rng(5))
    again = d.simulate(event, d.Detector(), np.random.default_rng(5))
    assert np.array_equal(first, again)
    momentum = np.sqrt((first[:, :3] ** 2).sum(1))
    assert (first[:, 3] >= momentum * (1 - 1e-12)).all()
    assert set(np.abs(first[:, 5]).astype(int)) <= {0, 22, 11, 13, 211}


def test_named_detectors_differ():
    assert d.DETECTORS["jetclass"] == d.Detector()
    shifted = dataclasses.asdict(d.DETECTORS["shifted"])
    assert sum(shifted[k] != v for k, v in dataclasses.asdict(d.Detector()).items()) >= 6
