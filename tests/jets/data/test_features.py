"""Features against published inputs, faults of jets, and the symmetries features must have."""

import math

import awkward as ak
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.jets.data.columns import COLUMNS
from sciml.jets.data.features import (
    FEATURE_SETS,
    FEATURES,
    Flag,
    all_pairs,
    needed_columns,
    pair_features,
    particle_features,
    reference_features,
)
from sciml.jets.data.ragged import to_dense, to_ragged


def toy_events(lengths, seed=0):
    """Jets of massive particles around a common axis, all columns present."""
    rng = np.random.default_rng(seed)
    total = int(sum(lengths))
    pt = rng.exponential(20, total) + 0.5
    eta, phi = rng.normal(0.5, 0.2, total), rng.normal(3.0, 0.2, total)
    mass = rng.uniform(0.1, 0.5, total)
    values = {
        "part_px": pt * np.cos(phi),
        "part_py": pt * np.sin(phi),
        "part_pz": pt * np.sinh(eta),
    }
    values["part_energy"] = np.sqrt(pt**2 * np.cosh(eta) ** 2 + mass**2)
    values["part_deta"], values["part_dphi"] = eta - 0.5, phi - 3.0
    for name in COLUMNS[6:]:
        values[name] = rng.normal(size=total)
    events = {name: ak.unflatten(v.astype(np.float32), lengths) for name, v in values.items()}
    jets = {"jet_pt": rng.uniform(500, 900, len(lengths)).astype(np.float32)}
    jets["jet_energy"] = jets["jet_pt"] * 1.2
    return ak.Array(events | jets)


def replaced(events, name, flat):
    counts = ak.num(events["part_px"])
    return ak.with_field(events, ak.unflatten(np.asarray(flat, np.float32), counts), name)


def test_features_equal_the_published_inputs(weaver_reference):
    stored = weaver_reference.net
    jets = to_dense(ak.from_parquet(weaver_reference.jets))
    mask = stored["mask"][:, 0] > 0
    assert (jets.mask.numpy() == mask[:, : jets.mask.shape[1]]).all()
    ours = particle_features(jets.particles, jets.jets, jets.mask).numpy()
    theirs = stored["features"].transpose(0, 2, 1)
    assert np.abs(ours[mask] - theirs[mask]).max() < 1e-5
    for name in ("kin", "kinpid"):
        assert FEATURE_SETS[name] == tuple(stored[f"features_{name}_idx"])
    assert int((jets.cut > 0).sum()) == 1 and int(jets.flags.max()) == 0


@pytest.mark.parametrize("n", [1, 2, 5, 17, 40])
def test_pair_features_equal_the_published_values(weaver_reference, n):
    stored = {k: v.numpy() for k, v in weaver_reference.part.items()}
    row = int(np.flatnonzero(stored["lengths"] == n)[0])
    p4 = torch.from_numpy(stored["vectors"][row, :, :n].T.copy())
    ours = all_pairs(p4[None])[0].permute(2, 0, 1).numpy()
    theirs = stored[f"pair_features_n{n}"]
    # Delta R is a difference of angles in single precision: the smaller, the less sure.
    rounding = 4 * np.finfo(np.float32).eps / np.exp(theirs[2])
    apart = ~np.eye(n, dtype=bool)
    assert (np.abs(ours[:3] - theirs[:3]) < 1e-5 + rounding)[:, apart].all()
    assert np.abs(ours[:3] - theirs[:3])[:, ~apart].max() < 1e-5
    # ln m2 of (nearly) massless collinear pairs is round-off: compare where it is not
    firm = theirs[3] > math.log(1e-2)
    assert np.abs(ours[3] - theirs[3])[firm].max(initial=0) < 1e-2


def test_pair_features_by_hand():
    a = torch.tensor([3.0, 4.0, 0.0, 6.0], dtype=torch.float64)
    b = torch.tensor([-10.0, 0.0, 0.0, 10.0], dtype=torch.float64)
    dphi = math.pi - math.atan2(4, 3)
    expected = [math.log(5 * dphi), math.log(5 / 15), math.log(dphi), math.log(256 - 49 - 16)]
    assert torch.allclose(pair_features(a, b), torch.tensor(expected, dtype=torch.float64))


def test_gradients_of_equal_directions_are_finite():
    p4 = torch.tensor([[3.0, 4.0, 1.0, 6.0], [6.0, 8.0, 2.0, 12.0]], requires_grad=True)
    all_pairs(p4[None]).sum().backward()
    assert p4.grad is not None and torch.isfinite(p4.grad).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(-math.pi, math.pi), st.integers(0, 1000))
def test_pairs_do_not_change_under_rotation_about_the_beam(angle, seed):
    generator = torch.Generator().manual_seed(seed)
    p3 = torch.randn(1, 12, 3, generator=generator, dtype=torch.float64) * 20
    p4 = torch.cat([p3, (p3.square().sum(-1, keepdim=True) + 1).sqrt()], -1)
    turn = torch.eye(4, dtype=torch.float64)
    turn[0, 0] = turn[1, 1] = math.cos(angle)
    turn[0, 1], turn[1, 0] = -math.sin(angle), math.sin(angle)
    assert torch.allclose(all_pairs(p4), all_pairs(p4 @ turn.T), atol=1e-6)


def test_padding_and_order_do_not_matter():
    jets = to_dense(toy_events([5, 3]))
    features = particle_features(jets.particles, jets.jets, jets.mask)
    assert (features[1, 3:] == 0).all()
    alone = to_dense(toy_events([5, 3])[1:])
    assert alone.mask.shape == (1, 3)
    again = particle_features(alone.particles, alone.jets, alone.mask)
    assert torch.equal(features[1:, :3], again)


def test_the_compiled_features_are_those_of_the_reference():
    random = torch.Generator().manual_seed(0)
    particles = torch.randn(6, 30, 16, generator=random)
    particles[..., :3] *= 30
    particles[..., 3] = particles[..., :3].norm(dim=-1) + 0.1
    particles[..., 6:10] *= torch.logspace(-6, 2, 30)[:, None]
    jets = torch.rand(6, 2, generator=random) * 900 + 100
    mask = torch.rand(6, 30, generator=random) < 0.7  # holes, too
    mask[5] = False
    ours = particle_features(particles, jets, mask)
    exact = reference_features(particles.double(), jets.double(), mask)
    assert (ours - exact).abs().max() < 1e-6 and (ours[~mask] == 0).all()
    assert (ours - reference_features(particles, jets, mask)).abs().max() < 2e-6
    # of a faulty jet too: infinities at the same bounds, NaN in the same places
    particles[0, :8] = 0
    particles[1, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, -1.0])[:, None]
    jets[2], jets[3] = 0, torch.nan
    ours, theirs = (f(particles, jets, mask) for f in (particle_features, reference_features))
    assert torch.allclose(ours, theirs, atol=2e-6, equal_nan=True) and ours.isnan().any()
    # with a gradient it is the reference itself
    inputs = particles[4:5].requires_grad_()
    particle_features(inputs, jets[4:5], mask[4:5]).sum().backward()
    assert inputs.grad is not None


@pytest.mark.parametrize("offsets", [[0, 3, 1, 5], [0, 3, 5, 9]])
def test_lists_that_do_not_add_up_are_refused(offsets):
    """Values of a damaged file must not reach compiled code, which does not check them."""
    events = toy_events([3, 2, 4])
    layout = ak.contents.ListOffsetArray(
        ak.index.Index64(np.array(offsets)), ak.contents.NumpyArray(np.ones(5, np.float32))
    )
    columns = {name: events[name] for name in events.fields} | {"part_px": ak.Array(layout)}
    with pytest.raises(InputError, match="part_px"):
        to_ragged(columns)


def test_faults_are_flagged_and_keep_their_place():
    events = toy_events([4, 0, 4, 4, 4, 4])
    px = ak.to_numpy(ak.flatten(events.part_px)).copy()
    py = ak.to_numpy(ak.flatten(events.part_py)).copy()
    energy = ak.to_numpy(ak.flatten(events.part_energy)).copy()
    px[4] = np.nan  # jet 2
    px[9] = py[9] = 0.0  # jet 3
    energy[13] *= 0.9 * np.sqrt(px[13] ** 2 + py[13] ** 2) / energy[13]  # jet 4
    for name, flat in (("part_px", px), ("part_py", py), ("part_energy", energy)):
        events = replaced(events, name, flat)
    flags = to_dense(events).flags.tolist()
    assert flags[0] == flags[5] == 0
    assert flags[1] == Flag.EMPTY
    assert flags[2] == Flag.NOT_FINITE
    assert flags[3] == Flag.ZERO_PT
    assert flags[4] == Flag.ENERGY_BELOW_MOMENTUM


def test_a_fault_in_a_column_the_model_does_not_read_is_no_fault():
    events = toy_events([3, 3])
    events = replaced(events, "part_d0val", [np.nan, 0, 0, 0, 0, 0])
    assert to_dense(events).flags.tolist() == [Flag.NOT_FINITE, 0]
    assert to_dense(events, features=FEATURE_SETS["kin"]).flags.tolist() == [0, 0]


def test_long_jets_keep_the_leading_in_pt():
    events = toy_events([150, 20])
    jets = to_dense(events, limit=128)
    assert jets.cut.tolist() == [22, 0] and jets.mask.sum(1).tolist() == [128, 20]
    pt = np.hypot(events.part_px, events.part_py)
    leading = np.sort(ak.to_numpy(pt[0]))[::-1][:128]
    ours = torch.hypot(jets.particles[0, :, 0], jets.particles[0, :, 1]).numpy()
    assert np.allclose(np.sort(ours)[::-1], leading)


def test_derived_columns_equal_the_stored_ones(weaver_reference):
    events = ak.from_parquet(weaver_reference.jets)
    whole = to_dense(events)
    names = [n for n in events.fields if n not in ("part_deta", "part_dphi")]
    derived = to_dense(events[names])
    assert (whole.particles[..., 4:6] - derived.particles[..., 4:6]).abs().max() < 1e-5


def test_a_missing_column_is_named_with_the_nearest():
    events = toy_events([3])
    renamed = {n.replace("part_energy", "part_enrgy"): events[n] for n in events.fields}
    with pytest.raises(InputError, match="part_energy.*part_enrgy"):
        to_dense(renamed)


def test_a_jagged_mismatch_names_the_jet_and_the_column():
    events = toy_events([3, 4])
    columns = {n: events[n] for n in events.fields}
    columns["part_py"] = ak.Array([[1.0, 2.0, 3.0], [1.0]])
    with pytest.raises(InputError, match="jet 1 has 4 values of 'part_px' and 1 of 'part_py'"):
        to_dense(columns)


def test_needed_columns_follow_the_choice_of_features():
    assert "part_d0val" not in needed_columns(FEATURE_SETS["kinpid"])
    assert "part_charge" in needed_columns(FEATURE_SETS["kinpid"])
    assert "part_charge" not in needed_columns(FEATURE_SETS["kin"])
    assert len(FEATURES) == 17 and set(needed_columns(FEATURE_SETS["full"])) > set(COLUMNS)


def test_no_jets_at_all():
    jets = to_dense(toy_events([3])[:0])
    assert len(jets) == 0 and jets.particles.shape == (0, 1, 16)
