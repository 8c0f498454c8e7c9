"""Small-radius jets of the generator: selection, flavours, the truth of tracks, pile-up."""

from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest

pytest.importorskip("pythia8mc")
pytest.importorskip("fastjet")

from sciml.cli import main
from sciml.jets.data.columns import FLAVOURS, ORIGINS
from sciml.jets.data.flavours import FlavourSample
from sciml.jets.simulation import flavour_table as table
from sciml.jets.simulation import flavour_truth as truth
from sciml.jets.simulation import pileup


@pytest.fixture(scope="module")
def events():
    """Jets of top quarks."""
    return ak.from_arrow(table.jets_of_chunk("ttbar", 0, 120, 3))


def test_selection_kinematics_and_labels(events):
    assert ak.all((events.jet_pt > 20) & (events.jet_pt < 300) & (abs(events.jet_eta) < 2.5))
    pt = np.hypot(events.part_px, events.part_py)
    assert ak.all(pt[:, 1:] <= pt[:, :-1] * (1 + 1e-6))
    # ghosts have added nothing to the momentum of a jet
    for axis, part in (("px", np.cos), ("py", np.sin)):
        total = ak.sum(events["part_" + axis], axis=1)
        assert np.allclose(total, events.jet_pt * part(events.jet_phi), atol=0.01)
    distance = ak.to_numpy(ak.flatten(np.hypot(events.part_deta, events.part_dphi)))
    assert np.mean(distance < 0.46) > 0.995 and distance.max() < 0.8  # soft ones may lie outside
    labels = np.stack([ak.to_numpy(events[f"label_{name}"]) for name in FLAVOURS])
    assert (labels.sum(0) == 1).all() and (labels.sum(1)[[0, 3, 4]] > 5).all()
    matched = ak.to_numpy(events.aux_truth_pt) > 0
    response = ak.to_numpy(events.jet_pt)[matched] / ak.to_numpy(events.aux_truth_pt)[matched]
    assert matched.mean() > 0.9 and 0.8 < np.median(response) < 1.2
    assert len(set(ak.to_list(events.aux_collision))) < len(events)


def test_tracks_have_origins_and_vertices(events):
    track = ak.flatten(events.part_charge) != 0
    origin, vertex = ak.flatten(events.part_origin), ak.flatten(events.part_vertex)
    assert ak.all((origin >= 0) == track) and ak.all((vertex >= 0) == track)
    counts = np.bincount(ak.to_numpy(origin[track]), minlength=len(ORIGINS))
    assert (counts[[truth.PRIMARY, truth.FROM_B, truth.FROM_BC]] > 0).all()
    assert counts[truth.PILE_UP] == 0 and ak.all(events.aux_pileup == 0)
    d0 = abs(ak.flatten(events.part_d0val)) / np.maximum(ak.flatten(events.part_d0err), 1e-6)
    primary, heavy = origin == truth.PRIMARY, origin == truth.FROM_B
    assert ak.mean(d0[primary] > 3) < 0.02 < 0.2 < ak.mean(d0[heavy] > 3)
    assert ak.all(vertex[primary] == 0)
    # heavy flavour is in jets of heavy flavour
    from_b = ak.any(events.part_origin == truth.FROM_B, axis=1)
    assert ak.mean(events.label_b[from_b]) > 0.8
    assert ak.mean(from_b[events.label_b == 1]) > 0.8


def test_fewer_jets_are_a_prefix():
    few, more = (table.jets_of_chunk("ttbar", 0, n, 3) for n in (5, 25))
    assert few.equals(more.slice(0, 5))


@pytest.mark.slow
def test_pile_up_adds_tracks_of_its_own(monkeypatch):
    monkeypatch.setattr(pileup, "POOL", 40)
    events = ak.from_arrow(table.jets_of_chunk("ttbar", 0, 60, 3, pileup=10.0))
    track = ak.flatten(events.part_charge) != 0
    origin = ak.flatten(events.part_origin)[track]
    added = origin == truth.PILE_UP
    assert 0.005 < ak.mean(added) < 0.5 and 3 < ak.mean(events.aux_pileup) < 17
    dz = abs(ak.flatten(events.part_dzval)[track])
    assert ak.all(dz < pileup.MAX_DZ) and ak.mean(dz[added]) > 3 * ak.mean(dz[~added])
    vertex = ak.flatten(events.part_vertex)[track]
    assert ak.mean(vertex[added] == 0) < 0.1


def test_the_last_decay_decides_the_origin():
    chain = [(511, truth.FROM_B), (413, truth.FROM_B), (421, truth.FROM_BC), (310, truth.OTHER)]
    origin = truth.PRIMARY
    for code, expected in chain:
        origin = truth._origin(code, origin)
        assert origin == expected
    assert truth._origin(421, truth.PRIMARY) == truth.FROM_C
    assert truth._origin(15, truth.PRIMARY) == truth.FROM_TAU
    assert truth._origin(15, truth.FROM_B) == truth.FROM_B
    assert truth._origin(24, truth.PRIMARY) == truth.PRIMARY


def test_the_heaviest_ghost_decides_and_among_partons_the_hardest():
    kinds = np.array([3, 4, 1, 0, -1])
    ghosts = truth.Ghosts(np.zeros((5, 4)), kinds, np.array([30.0, 50.0, 2e6, 3e6, 70.0]))
    for members, flavour in (([0], 3), ([0, 1], 4), ([0, 1, 2], 1), ([2, 3, 1], 0), ([], -1)):
        assert truth.flavour(ghosts, np.array(members, int)) == flavour
    assert truth.flavour(ghosts, np.array([0, 4])) == -1  # a heavy parton without its hadron


def test_a_tau_that_decays_to_a_lepton_is_no_ghost():
    def particle(code, px):
        return SimpleNamespace(
            idAbs=lambda: code, px=lambda: px, py=lambda: 0.0, pz=lambda: 0.0, e=lambda: px
        )

    record = [particle(211, 8.0), particle(16, 5.0), particle(13, 9.0), particle(211, 3.0)]
    daughters = {"hadrons": [0, 1], "muon": [2, 1], "soft": [3, 1]}
    decay = {
        name: SimpleNamespace(daughterList=lambda rows=rows: rows)
        for name, rows in daughters.items()
    }
    ghost = truth._hadronic_tau(record, decay["hadrons"])
    assert ghost is not None and ghost[:2] == (8.0, 0.0)
    assert truth._hadronic_tau(record, decay["muon"]) is None
    assert truth._hadronic_tau(record, decay["soft"]) is None


def test_vertices_are_numbered_from_the_primary_one():
    points = np.array([[0, 0, 0.05], [1, 0, 0], [1, 0.05, 0], [5, 0, 0], [0, 0, 0]])
    tracks = np.array([True, True, True, True, False])
    assert table.vertices(points, tracks).tolist() == [0, 1, 1, 2, -1]


def test_the_command_writes_what_the_reader_reads(tmp_path, capsys):
    out = tmp_path / "jets.parquet"
    command = ["data", "make", "flavour-jets", "--processes", "ttbar", "--jets", "30"]
    assert main([*command, "--compact", "-o", str(out)]) == 0
    sample = FlavourSample.read(out)
    assert len(sample) == 30 and sample.classes == FLAVOURS
    assert int(sample.ptr[-1]) == len(sample.origin) == len(sample.particles)
    one, other = sample.split(0.4, 0)
    assert len(one) + len(other) == 30 and not set(one.event) & set(other.event)
    mixed = sample.shuffled(0)
    assert (mixed.origin >= 0).equal(sample.origin >= 0) and mixed.y.equal(sample.y)
    assert mixed.origin.sort().values.equal(sample.origin.sort().values)
    assert not mixed.origin.equal(sample.origin)
    capsys.readouterr()
    assert main([*command[:4], "ttbra", "-o", str(out)]) == 2
    assert "ttbar" in capsys.readouterr().err
