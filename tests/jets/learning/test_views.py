"""Other views of a jet: what stays, what changes, and which jets are views of one collision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import objectives, trunks
from sciml.graph import select
from sciml.jets.data import columns as col
from sciml.jets.data.features import particle_features
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.pretraining import read_jets
from sciml.jets.learning.views import (
    Views,
    augment,
    boosted,
    collate,
    next_of_group,
    other_detector,
    piled_up,
    rotated,
    smeared,
)
from sciml.jets.networks.embedder import JetEmbedder
from sciml.jets.networks.embedder import collate as single

SAMPLE = JetSample.read(shipped("test"), max_jets=300)


@pytest.fixture
def batch():
    """Two hundred generated jets."""
    return single([SAMPLE[i] for i in range(200)])


def of_lengths(lengths, first=0):
    """Generated jets cut to so many particles."""
    items = [SAMPLE[first + i] for i in range(len(lengths))]
    return single([{**item, "x": item["x"][:n]} for item, n in zip(items, lengths, strict=True)])


def whole(batch):
    """Mass, pT and eta of the sum of a jet's particles."""
    total = (batch.x[..., :4] * batch.mask[..., None]).sum(1).double()
    pt = torch.hypot(total[:, 0], total[:, 1])
    mass = (total[:, 3].square() - total[:, :3].square().sum(1)).clamp(min=0).sqrt()
    return mass, pt, torch.asinh(total[:, 2] / pt)


def test_a_boost_changes_pt_and_eta_but_not_mass_nor_what_is_displaced(batch):
    torch.manual_seed(0)
    mass, pt, eta = whole(batch)
    view = boosted(batch)
    new_mass, new_pt, new_eta = whole(view)
    ratio = new_mass / mass
    assert (ratio.log().abs().median() < 0.02) and (ratio.log().abs() < 0.2).double().mean() > 0.97
    for old, new in ((pt, new_pt), (eta.abs(), new_eta.abs())):
        assert abs(np.corrcoef(old, new)[0, 1]) < 0.25  # those of another jet
        assert float(new.mean()) == pytest.approx(float(old.mean()), rel=0.05)
    assert (eta * new_eta > 0)[new_eta.abs() > 0.1].all()  # rapidity is not quite pseudorapidity
    # what the jet's own columns say is what its particles add up to
    assert torch.allclose(view.jet[:, 0].double(), new_pt, rtol=0.1)
    energy = (view.x[..., 3] * view.mask).sum(1)
    assert torch.allclose(view.jet[:, 1], energy, rtol=0.1)
    assert torch.equal(view.x[..., 6:], batch.x[..., 6:]) and torch.equal(view.mask, batch.mask)


def test_a_boost_along_the_beam_is_exact_and_one_jet_alone_stays(batch):
    alone = select(batch, torch.tensor([0]))
    view = boosted(alone)
    assert torch.allclose(view.x, alone.x, rtol=1e-4, atol=1e-3)
    pair = select(batch, torch.tensor([0, 0]))
    half = -0.5 * whole(pair)[2][1].float()  # the second one at half the rapidity
    pz, energy = pair.x[1, :, 2].clone(), pair.x[1, :, 3].clone()
    pair.x[1, :, 2] = pz * half.cosh() + energy * half.sinh()
    pair.x[1, :, 3] = energy * half.cosh() + pz * half.sinh()
    pair.jet[1, 1] = pair.x[1, :, 3].sum()
    mass, pt, eta = whole(pair)
    for seed in range(4):
        torch.manual_seed(seed)
        new_mass, new_pt, new_eta = whole(boosted(pair))
        assert torch.allclose(new_mass, mass, rtol=1e-3) and torch.allclose(new_pt, pt, rtol=1e-4)
        swapped = not torch.allclose(new_eta, eta, atol=1e-3)
        assert torch.allclose(new_eta, eta.flip(0) if swapped else eta, atol=0.02)


def test_turns_keep_all_angles_between_particles(batch):
    torch.manual_seed(0)
    view = rotated(batch)
    both = batch.mask[:, :, None] & batch.mask[:, None, :]
    old, new = (torch.cdist(b.x[..., 4:6], b.x[..., 4:6])[both] for b in (batch, view))
    assert torch.allclose(old, new, atol=1e-3)
    assert not torch.allclose(batch.x[..., 4:6], view.x[..., 4:6], atol=1e-2)


def test_smearing_is_of_five_per_cent_and_never_empties_a_jet():
    jets = of_lengths((7, 4, 1))
    for _ in range(20):
        view = smeared(jets)
        assert view.mask.any(1).all()
        ratio = view.x[..., 0][jets.mask] / jets.x[..., 0][jets.mask]
        assert (ratio.log().abs() < 0.3).all()


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_features_of_any_view_are_finite(lengths, seed):
    torch.manual_seed(seed)
    view = augment(of_lengths(lengths, seed))
    assert view.mask.any(1).all()
    assert (view.jet > 0).all()
    assert particle_features(view.x, view.jet, view.mask).isfinite().all()


def test_another_detector_changes_energies_and_tracks_but_not_directions():
    torch.manual_seed(0)
    batch = of_lengths((7, 4, 1))
    for _ in range(20):
        view = other_detector(batch)
        assert view.mask.any(1).all() and not (view.mask & ~batch.mask).any()
        old, new = batch.x[view.mask], view.x[view.mask]
        ratio = new[:, :4] / old[:, :4]
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-5)
        assert ((ratio - 1).abs() < 1).all() and not torch.equal(old, new)
        assert torch.equal(new[:, 4:6], old[:, 4:6]) and torch.equal(new[:, 9:], old[:, 9:])
        assert ((new[:, 6] - old[:, 6]).abs() < 0.05 * 1.5 * 6).all()


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_the_next_of_a_group_goes_round_each_group(groups):
    groups = np.array(groups, np.int64)
    following = next_of_group(groups)
    assert sorted(following) == list(range(len(groups)))
    for group in set(groups.tolist()):
        members = np.flatnonzero(groups == group)
        at, seen = members[0], []
        for _ in members:
            seen.append(int(at))
            at = following[at]
        assert sorted(seen) == members.tolist()


def test_contrast_compares_the_jets_of_a_collision():
    """Equal jets as views are recognised among others; shuffled partners are not."""
    sample = SAMPLE.subset(range(64))
    right = Views(sample, np.arange(len(sample)))
    wrong = Views(sample, np.zeros(len(sample)))
    assert right[3]["other"]["x"] is not None and torch.equal(right[3]["other"]["x"], right[3]["x"])
    assert not torch.equal(wrong[3]["other"]["x"].sum(), wrong[3]["x"].sum())
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    settings = {"name": "simclr", "temperature": 0.1}
    embedder = JetEmbedder(16, 4)
    module = objectives.build(settings)(trunk, embedder, augment=lambda batch: batch)

    def matched_share(views):
        return float(module(collate([views[i] for i in range(64)]))["accuracy"])

    assert matched_share(right) == 1.0 and matched_share(wrong) < 0.2
    for name in ("moco", "vicreg"):
        module = objectives.build(name)(trunk, embedder, augment=augment)
        assert module(collate([right[i] for i in range(32)]))["loss"].isfinite()


def test_files_of_several_views_become_a_corpus_of_pairs(tmp_path):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    from sciml.jets.simulation.generate import make

    out = tmp_path / "pairs.parquet"
    make(("Wqq", "QCD"), 20, 3, 1, out, views=2)
    corpus = read_jets(tmp_path)
    assert len(corpus.dataset) == 20
    assert isinstance(corpus.dataset, Views) and corpus.labels is not None
    others = corpus.dataset.others
    assert np.array_equal(others[others], np.arange(20)) and (others != np.arange(20)).all()
    assert np.array_equal(corpus.labels[others], corpus.labels)  # one collision, one class
    batch = corpus.collate([corpus.dataset[i] for i in range(6)])
    assert len(batch.x) == len(batch.other.x) == 6
    assert not torch.equal(batch.jet, batch.other.jet)
    plain = read_jets(shipped("test"))
    assert "other" not in plain.dataset[0]


def test_piled_up_jets_have_more_neutral_particles_and_momentum(batch):
    torch.manual_seed(0)
    other = piled_up(batch, most=20)
    added = other.x[:, batch.x.shape[1] :]
    there = other.mask[:, batch.x.shape[1] :]
    assert torch.equal(other.x[:, : batch.x.shape[1]], batch.x)
    assert 0 <= int(there.sum(1).min()) < 4 and 16 < int(there.sum(1).max()) <= 20
    assert (added[~there] == 0).all() and (added[..., col.CHARGE] == 0).all()
    assert (added[there][:, [col.PHOTON, col.NEUTRAL_HADRON]].sum(1) == 1).all()
    assert (added[there][:, col.ANGLES].norm(dim=-1) < 0.8).all()
    total = (other.x[..., col.FOUR_MOMENTUM] * other.mask[..., None]).sum(1)
    before = (batch.x[..., col.FOUR_MOMENTUM] * batch.mask[..., None]).sum(1)
    assert torch.allclose(other.jet[:, 1] - batch.jet[:, 1], total[:, 3] - before[:, 3], atol=1e-2)
    ratio = torch.hypot(total[:, 0], total[:, 1]) / torch.hypot(before[:, 0], before[:, 1])
    assert torch.allclose(other.jet[:, 0] / batch.jet[:, 0], ratio, rtol=1e-4)
    # the angles are those of the momenta, seen from the old axis
    eta = torch.asinh(before[:, 2] / torch.hypot(before[:, 0], before[:, 1]))[:, None]
    own = torch.asinh(added[..., 2] / torch.hypot(added[..., 0], added[..., 1]).clamp(min=1e-9))
    deta = torch.where(eta > 0, own - eta, eta - own)
    assert torch.allclose(deta[there], added[..., col.DETA][there], atol=1e-3)
