"""Usable jets are tagged whatever their file keeps beside particles; real faults stay named."""

import awkward as ak
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.jets.data.columns import COLUMNS, MOMENTUM
from sciml.jets.data.features import Flag, pair_features
from sciml.jets.data.io import create
from sciml.jets.data.ragged import to_ragged


def altered(columns, name, jet, place, value):
    lists = [list(x) for x in ak.to_list(columns[name])]
    lists[jet][place] = value
    return columns | {name: ak.values_astype(ak.Array(lists), np.float32)}


PADDINGS = {"zero": 0.0, "NaN": np.nan, "-1": -1.0, "-99": -99.0, "-999": -999.0}


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(any),
    spare=st.integers(0, 4),
    kind=st.sampled_from(sorted(PADDINGS)),
    seed=st.integers(0, 99),
)
def test_padding_of_any_kind_is_no_particle(jets, lengths, spare, kind, seed):
    columns = jets(lengths, seed)
    width = max(lengths) + spare
    padded = {
        n: ak.to_numpy(ak.fill_none(ak.pad_none(v, width), PADDINGS[kind])).astype(np.float32)
        for n, v in columns.items()
    }
    ragged, dense = to_ragged(columns), to_ragged(padded)
    assert dense.counts.tolist() == lengths
    assert np.array_equal(ragged.particles, dense.particles)
    assert np.array_equal(ragged.flags, dense.flags)
    assert not dense.dropped.any() and not dense.repaired.any()


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
@pytest.mark.parametrize("kind", ["zero", "-999", "NaN"])
def test_padded_files_have_the_scores_of_ragged_ones(jets, small_tagger, tmp_path, suffix, kind):
    columns = jets([3, 9, 1, 5, 7])
    fill = PADDINGS[kind]
    padded = {n: ak.fill_none(ak.pad_none(v, 12), fill) for n, v in columns.items()}
    padded = {n: ak.values_astype(v, np.float32) for n, v in padded.items()}
    with create(tmp_path / f"padded{suffix}") as writer:
        writer.write(padded)
    got = small_tagger.predict(tmp_path / f"padded{suffix}")
    assert (got.flags == 0).all()
    assert np.abs(got.probabilities - small_tagger.predict(columns)).max() < 1e-6
    for step in (1, 2):  # the last piece may be a single jet
        parts = [
            s.probabilities for _, s in small_tagger.stream(tmp_path / f"padded{suffix}", step=step)
        ]
        assert np.abs(np.concatenate(parts) - got.probabilities).max() < 1e-6


def test_candidates_without_momentum_are_dropped_and_counted(jets, small_tagger):
    columns = jets([4, 6, 5])
    want = small_tagger.predict(columns)
    more = {}
    for name, values in columns.items():
        extra = 0.14 if name == "part_energy" else 0.0 if name in MOMENTUM else 0.3
        lists = ak.to_list(values)
        lists[1] = [extra, *lists[1], extra]
        more[name] = ak.values_astype(ak.Array(lists), np.float32)
    with pytest.warns(UserWarning, match="2 candidates without momentum were left out of 1 of 3"):
        got = small_tagger.predict(more)
    assert got.dropped.tolist() == [0, 2, 0] and (got.flags == 0).all()
    assert np.abs(got.probabilities - want).max() < 1e-6


@pytest.mark.parametrize("bits", [10, 7])
@pytest.mark.parametrize("stored", ["as it is", "converted since"])
def test_energies_below_momentum_by_the_rounding_of_16_bits(jets, small_tagger, bits, stored):
    columns = jets([20, 30, 25], mass=0.0)
    if bits == 10:
        small = {n: ak.values_astype(v, np.float16) for n, v in columns.items()}
        if stored == "converted since":
            small = {n: ak.values_astype(v, np.float32) for n, v in small.items()}
    else:  # bfloat16 is always read as float32
        flat = {n: torch.tensor(ak.to_numpy(ak.flatten(v))) for n, v in columns.items()}
        small = {
            n: ak.unflatten(v.bfloat16().float().numpy(), [20, 30, 25]) for n, v in flat.items()
        }
    with pytest.warns(UserWarning, match="were repaired"):
        got = small_tagger.predict(small)
    assert (got.flags == 0).all() and got.repaired.sum() > 5
    assert np.isfinite(got.probabilities).all()
    assert np.abs(got.probabilities - small_tagger.predict(columns)).max() < 0.05


def test_faults_that_no_rounding_explains_stay_named(jets, small_tagger):
    columns = jets([5, 5, 5, 5, 5, 6])
    columns = altered(columns, "part_px", 0, 4, np.nan)
    energy = float(columns["part_energy"][1][2])
    columns = altered(columns, "part_energy", 1, 2, energy * 0.98)
    columns = altered(columns, "part_energy", 2, 0, -999.0)
    for name in ("part_px", "part_py"):
        columns = altered(columns, name, 3, 1, 0.0)
    for name in MOMENTUM:  # in lists of different lengths this is no padding
        columns = altered(columns, name, 4, 4, np.nan)
    flags = small_tagger.predict(columns).flags
    assert flags[0] & Flag.NOT_FINITE and flags[1] == Flag.ENERGY_BELOW_MOMENTUM
    assert flags[2] & Flag.ENERGY_BELOW_MOMENTUM and flags[3] & Flag.ZERO_PT
    assert flags[4] & Flag.NOT_FINITE and flags[5] == 0


def test_a_particle_of_nan_momentum_among_jets_of_one_length_is_a_fault(jets, small_tagger):
    columns = jets([4, 4, 4])
    for name in MOMENTUM:
        columns = altered(columns, name, 1, 3, np.nan)
    assert (small_tagger.predict(columns).flags & Flag.NOT_FINITE).astype(bool).tolist() == [
        0,
        1,
        0,
    ]


@pytest.mark.parametrize("name", ["part_d0val", "part_d0err", "part_dzval", "part_dzerr"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_impact_parameter_saturates(jets, small_tagger, name, value):
    columns = altered(jets([5, 7]), name, 0, 2, value)
    with pytest.warns(UserWarning, match="1 values of 1 of 2 jets were repaired"):
        got = small_tagger.predict(columns)
    large = small_tagger.predict(altered(jets([5, 7]), name, 0, 2, np.copysign(1e5, value)))
    assert got.repaired.tolist() == [1, 0] and (got.flags == 0).all()
    assert np.array_equal(got.probabilities, large)


def test_a_mass_of_minus_rounding_is_finite_everywhere(jets, small_tagger):
    """m2 = -4e-12: E and |p| of double precision, E one rounding below."""
    columns = {n: ak.values_astype(v, np.float64) for n, v in jets([6, 8], mass=0.0).items()}
    p = np.sqrt(columns["part_px"] ** 2 + columns["part_py"] ** 2 + columns["part_pz"] ** 2)
    columns["part_energy"] = np.sqrt(p**2 - 4e-12)
    got = small_tagger.predict(columns)
    assert (got.flags == 0).all() and np.isfinite(got.probabilities).all()


def test_the_angle_between_particles_goes_round():
    """(eta 0, phi 3.1) and (eta 0, phi -3.1) are 2 pi - 6.2 apart."""
    p4 = torch.tensor([[np.cos(phi), np.sin(phi), 0.0, 1.0] for phi in (3.1, -3.1)])
    dr = pair_features(p4[:1].double(), p4[1:].double())[0, 2].exp()
    assert float(dr) == pytest.approx(2 * np.pi - 6.2, abs=1e-9)
    one = {n: ak.Array([[0.0, 0.0]]) for n in COLUMNS[6:]}
    one |= {n: ak.Array([p4[:, i].tolist()]) for i, n in enumerate(MOMENTUM)}
    angles = to_ragged(one).particles[:, 5]
    assert abs(angles[0] - angles[1]) == pytest.approx(2 * np.pi - 6.2, abs=1e-5)
