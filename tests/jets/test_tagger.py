"""JetTagger: order, faults, memory, symmetries, files, published weights."""

import math
import warnings

import awkward as ak
import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data.columns import COLUMNS
from sciml.jets.data.features import Flag
from sciml.jets.data.io import create
from sciml.jets.inference import passes

TRUNK = {"name": "pair_transformer", "dim": 16, "depth": 2, "heads": 2, "pair_dim": 4}
CLASSES = ("QCD", "Hbb", "Tbqq")


def events_of(lengths, seed=0):
    """JetClass-like columns of jets with these numbers of constituents."""
    random = np.random.default_rng(seed)
    total = int(sum(lengths))
    pt = random.exponential(15, total) + 0.5
    eta, phi = random.normal(0.6, 0.2, total), random.normal(-2.0, 0.2, total)
    flat = {n: np.zeros(total) for n in COLUMNS}
    flat["part_px"], flat["part_py"] = pt * np.cos(phi), pt * np.sin(phi)
    flat["part_pz"] = pt * np.sinh(eta)
    flat["part_energy"] = pt * np.cosh(eta) * 1.001
    flat["part_deta"], flat["part_dphi"] = eta - 0.6, phi + 2.0
    for name in COLUMNS[6:10]:
        flat[name] = random.uniform(0, 0.1, total)
    kind = random.integers(0, 5, total)
    flat["part_charge"] = np.where(kind == 0, 1.0, 0.0)
    for place, name in enumerate(COLUMNS[11:]):
        flat[name] = (kind == place).astype(float)
    columns = {n: ak.unflatten(v.astype(np.float32), lengths) for n, v in flat.items()}
    columns["jet_pt"] = np.full(len(lengths), 600, np.float32)
    columns["jet_energy"] = np.full(len(lengths), 720, np.float32)
    columns["jet_eta"] = np.full(len(lengths), 0.6)
    columns["jet_phi"] = np.full(len(lengths), -2.0)
    columns["event"] = np.arange(len(lengths))
    return ak.Array(columns)


@pytest.fixture(scope="module")
def tagger():
    torch.manual_seed(1)
    return JetTagger.build(TRUNK, CLASSES).eval()


def with_column(events, name, jet, particle, value):
    flat = ak.to_numpy(ak.flatten(events[name])).copy()
    counts = ak.to_numpy(ak.num(events[name]))
    flat[counts[:jet].sum() + particle] = value
    return ak.with_field(events, ak.unflatten(flat, counts), name)


def test_probabilities_in_input_order(tagger):
    events = events_of([5, 40, 1, 17, 90, 33])
    scores = tagger.predict(events)
    assert scores.shape == (6, 3) and scores.dtype == np.float32
    assert np.allclose(scores.sum(1), 1, atol=1e-6)
    for i in range(6):
        assert np.abs(tagger.predict(events[i : i + 1])[0] - scores[i]).max() < 1e-5


def test_order_of_particles_does_not_matter(tagger):
    events = events_of([12, 30])
    shuffled = {}
    random = np.random.default_rng(1)
    order = ak.Array([random.permutation(12), random.permutation(30)])
    for name in events.fields:
        shuffled[name] = events[name][order] if name.startswith("part_") else events[name]
    difference = tagger.predict(ak.Array(shuffled)) - tagger.predict(events)
    assert np.abs(difference).max() < 1e-5


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("angle", [0.7, 2.0, math.pi, -3.0])
def test_rotation_about_the_beam_does_not_matter(tagger, angle, derived):
    """Across +-pi, too; with relative angles from the file or computed from the momenta."""
    events = events_of([12, 30, 60])
    turned = ak.with_field(
        events, events.part_px * math.cos(angle) - events.part_py * math.sin(angle), "part_px"
    )
    turned = ak.with_field(
        turned, events.part_px * math.sin(angle) + events.part_py * math.cos(angle), "part_py"
    )
    if derived:
        absent = ("part_deta", "part_dphi", "jet_eta", "jet_phi")
        keep = [n for n in events.fields if n not in absent]
        events, turned = events[keep], turned[keep]
    assert np.abs(tagger.predict(turned) - tagger.predict(events)).max() < 1e-5


def test_faulty_jets_keep_their_place(tagger):
    events = events_of([5, 0, 5, 5, 5, 5])
    events = with_column(events, "part_pz", 2, 1, np.inf)
    events = with_column(events, "part_px", 3, 0, 0.0)
    events = with_column(events, "part_py", 3, 0, 0.0)
    events = with_column(events, "part_energy", 4, 2, 0.01)
    scores = tagger.predict(events)
    assert scores.flags.tolist()[0] == scores.flags.tolist()[5] == 0
    assert scores.flags[1] == Flag.EMPTY and scores.flags[2] & Flag.NOT_FINITE
    assert scores.flags[3] & Flag.ZERO_PT and scores.flags[4] & Flag.ENERGY_BELOW_MOMENTUM
    assert np.isnan(scores.probabilities).all(1).tolist() == [False, True, True, True, True, False]
    good = tagger.predict(events[[0, 5]])
    assert np.abs(scores.probabilities[[0, 5]] - good).max() < 1e-5


def test_long_jets_use_the_leading_particles_and_are_counted(tagger):
    events = events_of([150, 10, 129])
    with pytest.warns(UserWarning, match="2 of 3 jets have more than 128"):
        scores = tagger.predict(events)
    pt = np.hypot(events.part_px, events.part_py)
    lead = ak.argsort(pt, ascending=False)[:, :128]
    cut = {n: events[n][lead] if n.startswith("part_") else events[n] for n in events.fields}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(tagger.predict(ak.Array(cut)) - scores).max() < 1e-5


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
def test_files_and_arrays_agree(tagger, tmp_path, suffix):
    events = events_of([5, 40, 17, 3] * 5)
    path = tmp_path / f"jets{suffix}"
    with create(path) as writer:
        writer.write(events)
    assert np.abs(tagger.predict(path) - tagger.predict(events)).max() < 1e-6
    pieces = [s.probabilities for _, s in tagger.stream(path, step=7)]
    assert [len(p) for p in pieces] == [7, 7, 6]
    assert np.abs(np.concatenate(pieces) - tagger.predict(events)).max() < 1e-5


def test_a_mapping_of_columns(tagger):
    events = events_of([5, 4])
    columns = {name: events[name] for name in events.fields}
    assert np.array_equal(tagger.predict(columns), tagger.predict(events))


def test_no_jets(tagger):
    assert tagger.predict(events_of([5])[:0]).shape == (0, 3)


def test_bounded_memory(tagger):
    """A pass never sees more pairs than allowed, however long the jets."""
    lengths = torch.tensor([128] * 100 + [1] * 3 + [64] * 50)
    rows_of_passes = list(passes(lengths))
    assert sorted(torch.cat(rows_of_passes).tolist()) == list(range(153))
    for rows in rows_of_passes:
        assert len(rows) * max(16, int(lengths[rows].max())) ** 2 <= 1 << 19


def test_saved_and_loaded(tagger, tmp_path):
    events = events_of([9, 20])
    tagger.save(tmp_path / "m.safetensors", notes={"seed": "1"})
    again = JetTagger.from_pretrained(tmp_path / "m.safetensors")
    assert again.classes == CLASSES
    assert np.array_equal(again.predict(events), tagger.predict(events))
    assert not again.training


def test_wrong_files_are_refused(tagger, tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds no jet tagger"):
        JetTagger.from_pretrained(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 30)
    with pytest.raises(InputError, match="not a readable safetensors"):
        JetTagger.from_pretrained(tmp_path / "broken.safetensors")
    with pytest.raises(InputError, match="unknown model"):
        JetTagger.from_pretrained("jets-tinny")
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        tagger.save(tmp_path / "m.pt")


def test_weaver_weights_on_raw_jets(weaver_reference, tmp_path):
    stored = weaver_reference.net
    events = ak.from_parquet(weaver_reference.jets)[:60]
    rows = ak.to_numpy(ak.num(events.part_px) <= 128)  # longer jets warn
    events = events[rows]
    for variant, checkpoint in weaver_reference.checkpoints.items():
        tagger = JetTagger.from_weaver(checkpoint)
        assert len(tagger.classes) == 10
        expected = torch.from_numpy(stored[f"logits_{variant}"][:60][rows]).softmax(-1).numpy()
        assert np.abs(tagger.predict(events) - expected).max() < 1e-4
    tagger.save(tmp_path / "net.safetensors")
    again = JetTagger.from_pretrained(tmp_path / "net.safetensors")
    assert np.array_equal(again.predict(events), tagger.predict(events))
    tagger.to_weaver(tmp_path / "net.pt")
    assert JetTagger.from_weaver(tmp_path / "net.pt").classes == tagger.classes


def test_weaver_tensors_need_a_weaver_network(tagger, tmp_path):
    with pytest.raises(InputError, match="from_weaver"):
        tagger.weaver_logits(None, torch.zeros(1, 17, 4), torch.zeros(1, 4, 4), torch.ones(1, 1, 4))
    with pytest.raises(InputError, match="weaver has no model like TrunkNetwork"):
        tagger.to_weaver(tmp_path / "x.pt")


def test_kinematic_model_needs_no_tracks():
    tagger = JetTagger.build(TRUNK, CLASSES, features="kin").eval()
    events = events_of([8, 3])
    names = [n for n in events.fields if n.startswith("jet_") or n in COLUMNS[:4]]
    kinematic = events[names]
    assert np.abs(tagger.predict(kinematic) - tagger.predict(events)).max() < 1e-4
    with pytest.raises(InputError, match="part_d0val"):
        JetTagger.build(TRUNK, CLASSES).predict(kinematic)


def test_shipped_model_on_shipped_jets():
    """Jets it was not trained on: the sample's test part has a seed of its own."""
    from sciml.jets import metrics
    from sciml.jets.data.sample import JetSample, shipped

    tagger = JetTagger.from_pretrained("jets-tiny")
    sample = JetSample.read(shipped("test"), classes=tagger.classes)
    measured = metrics.evaluate(tagger.predict(sample), sample.y, tagger.classes, bootstraps=2)
    values = {name: value for name, value in measured.items() if isinstance(value, float)}
    assert values["auc_Tbqq"] > 0.985 and values["auc_Hbb"] > 0.985
    assert values["auc_Wqq"] > 0.93 and values["accuracy"] > 0.75


def test_shipped_kinematic_model_on_momenta_alone():
    from sciml.jets import metrics
    from sciml.jets.data.columns import MOMENTUM
    from sciml.jets.data.io import read_jets
    from sciml.jets.data.sample import shipped

    tagger = JetTagger.from_pretrained("jets-kin-small")
    labels = [f"label_{name}" for name in tagger.classes]
    events = read_jets(shipped("test"), [*MOMENTUM, *labels])[:800]
    truth = np.stack([np.asarray(events[name]) for name in labels], 1).argmax(1)
    measured = metrics.evaluate(tagger.predict(events), truth, tagger.classes, bootstraps=2)
    assert float(measured["auc_Tbqq"]) > 0.96 and float(measured["auc_Hgg"]) > 0.9  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "trunk",
    [TRUNK, {"name": "message_passing", "dim": 16, "depth": 1}, {"name": "lorentz", "dim": 16},
     {"name": "particle_net"}, {"name": "sequence", "dim": 16}],
    ids=lambda trunk: trunk["name"],
)  # fmt: skip
def test_predictions_do_not_depend_on_the_class_of_the_batch(trunk):
    """Shipped trunks take a light batch, which gives what torch_geometric's `Data` gives."""
    from sciml.jets.data.ragged import to_dense
    from sciml.jets.networks.embedder import raw_batch

    torch.manual_seed(0)
    tagger = JetTagger.build(trunk, CLASSES).eval()
    jets = to_dense(events_of([9, 9, 9]))
    light = tagger._batch(jets)
    assert type(light).__module__ == "sciml.graph"
    with torch.inference_mode():
        assert torch.equal(tagger(light), tagger(raw_batch(jets)))
