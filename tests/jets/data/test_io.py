"""Readers of every format against what was written, and writers against readers."""

import zipfile

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from sciml.errors import InputError
from sciml.jets.data import io
from sciml.jets.data.ragged import to_dense
from sciml.jets.data.readers.base import plain
from sciml.jets.data.sample import shipped


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return io.read_jets(shipped("test"))[:300]


def write(path, events, step=97):
    with io.create(path) as writer:
        for first in range(0, len(events), step):
            writer.write(events[first : first + step])
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
def test_round_trip_and_ranges(tmp_path, jets, suffix):
    path = write(tmp_path / f"jets{suffix}", jets)
    back = io.read_jets(path)
    assert set(jets.fields) <= set(back.fields)
    for name in jets.fields:
        assert back[name].type == jets[name].type, name
        assert ak.all(back[name] == jets[name]), name
    with io.open_jets(path) as reader:
        assert len(reader) == 300
        for start, stop, step in ((0, None, 1000), (13, 250, 7), (299, 300, 5), (5, 5, 1)):
            parts = list(reader.iterate(["jet_pt", "part_px"], step, start, stop))
            assert all(len(part) <= step for part in parts)
            joined = np.concatenate([ak.to_numpy(p.jet_pt) for p in parts] or [np.zeros(0)])
            assert np.array_equal(joined, ak.to_numpy(jets.jet_pt[start:stop]))
    assert io.read_jets([path, path], ["jet_pt"]).fields == ["jet_pt"]
    assert len(io.read_jets(str(tmp_path / "je*"), ["jet_pt"])) == 300


def test_root_branches_as_jetclass_has_them(tmp_path, jets):
    """std::vector<float> branches, as written by ROOT itself, and RNTuple."""
    path = tmp_path / "ntuple.root"
    data = {n: jets[n] for n in ("part_px", "part_energy", "jet_pt", "label_QCD")}
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("tree", {n: a.type.content for n, a in data.items()})
        ntuple.extend(data)
    back = io.read_jets(path)
    for name in data:
        assert ak.all(back[name] == jets[name]), name
    with io.open_jets(path) as reader:
        parts = list(reader.iterate(["part_px"], 70, 10, 200))
    assert ak.all(ak.concatenate(parts).part_px == jets.part_px[10:200])


def test_several_trees_need_a_name(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for name in ("one", "other"):
            file.mktree(name, {"jet_pt": np.float32})
            file[name].extend({"jet_pt": np.arange(3, dtype=np.float32)})
    with pytest.raises(InputError, match="one, other"):
        io.open_jets(path)
    with pytest.raises(InputError, match="other"):
        io.open_jets(path, tree="othr")
    assert len(io.read_jets(path, tree="other")) == 3


def top_tagging(path, rows=7, size=10):
    """A table as pandas writes it: blocks of columns, their names pickled beside them."""
    rng = np.random.default_rng(0)
    names = [f"{axis}_{i}" for i in range(size) for axis in ("E", "PX", "PY", "PZ")]
    names += ["truthE", "truthPX", "truthPY", "truthPZ"]
    block = np.zeros((rows, len(names)), np.float32)
    counts = rng.integers(0, size + 1, rows)
    for row, count in enumerate(counts):
        for i in range(count):
            p = rng.normal(0, 10, 3)
            block[row, 4 * i : 4 * i + 4] = [np.linalg.norm(p), *p]
    ints = np.stack([np.zeros(rows, int), rng.integers(0, 2, rows)], axis=1)
    dtype = [("index", "i8"), ("values_block_0", "f4", (len(names),)), ("values_block_1", "i8", 2)]
    table = np.zeros(rows, dtype)
    table["values_block_0"], table["values_block_1"] = block, ints

    def pickled(words):  # protocol 0, as Python 2 wrote the published files
        return np.bytes_(("(lp0\n" + "".join(f"V{w}\np1\na" for w in words) + ".").encode())

    with h5py.File(path, "w") as file:
        data = file.create_dataset("table/table", data=table)
        data.attrs["values_block_0_kind"] = pickled(names)
        data.attrs["values_block_1_kind"] = pickled(["ttv", "is_signal_new"])
    return block, counts, ints[:, 1]


def test_top_tagging(tmp_path):
    block, counts, signal = top_tagging(tmp_path / "train.h5")
    events = io.read_jets(tmp_path / "train.h5")
    assert ak.num(events.part_px).tolist() == counts.tolist()
    assert events.label_Tbqq.tolist() == signal.tolist()
    assert (events.label_QCD + events.label_Tbqq).tolist() == [1] * 7
    for row, count in enumerate(counts):
        assert np.allclose(events.part_pz[row], block[row, 3 : 4 * count : 4])
    assert events.truthE.tolist() == block[:, 40].tolist()
    with io.open_jets(tmp_path / "train.h5") as reader:
        parts = list(reader.iterate(["part_energy"], 2, 1, 6))
    assert ak.all(ak.concatenate(parts).part_energy == events.part_energy[1:6])


def test_jetnet(tmp_path):
    rng = np.random.default_rng(1)
    particles = np.zeros((5, 30, 4), np.float32)
    counts = [30, 4, 0, 9, 1]
    for jet, count in enumerate(counts):
        angles, pt = rng.normal(0, 0.1, (count, 2)), rng.uniform(0.01, 0.1, (count, 1))
        particles[jet, :count] = np.concatenate([angles, pt, np.ones((count, 1))], axis=1)
    features = np.array(
        [[1000, 0.5, 120, 30], [900, -1, 50, 4]] * 2 + [[800, 0, 10, 1]], np.float32
    )
    with h5py.File(tmp_path / "t.hdf5", "w") as file:
        file["particle_features"], file["jet_features"] = particles, features
    events = io.read_jets(tmp_path / "t.hdf5")
    assert ak.num(events.part_px).tolist() == counts
    assert events.label_Tbqq.tolist() == [1] * 5 and events.label_QCD.tolist() == [0] * 5
    pt = np.hypot(events.part_px, events.part_py)
    assert np.allclose(pt[1], particles[1, :4, 2] * 900, rtol=1e-5)
    assert np.allclose(events.part_deta[1], -particles[1, :4, 0], atol=1e-6)
    assert np.allclose(np.arcsinh(events.part_pz[0] / pt[0]), particles[0, :, 0] + 0.5, atol=1e-4)


def test_energyflow(tmp_path):
    rng = np.random.default_rng(2)
    x = np.zeros((6, 9, 4))
    counts = [3, 9, 1, 5, 0, 2]
    codes = [22, 211, -211, 130, 11, -13, 2212, 321, 2112]
    for jet, count in enumerate(counts):
        for i in range(count):
            x[jet, i] = [rng.exponential(20) + 0.1, rng.normal(), rng.uniform(0, 6), codes[i]]
    y = np.array([1.0, 0, 1, 1, 0, 0])
    np.savez_compressed(tmp_path / "QG_jets.npz", X=x, y=y)
    events = io.read_jets(tmp_path / "QG_jets.npz")
    assert ak.num(events.part_px).tolist() == counts
    assert events.label_quark.tolist() == [1, 0, 1, 1, 0, 0]
    order = np.argsort(-x[1, :, 0])
    pt = np.hypot(events.part_px[1], events.part_py[1])
    assert np.allclose(pt, x[1, order, 0], rtol=1e-5)
    energy, pz = np.asarray(events.part_energy[1], float), np.asarray(events.part_pz[1], float)
    assert np.allclose(0.5 * np.log((energy + pz) / (energy - pz)), x[1, order, 1], atol=1e-3)
    charge = dict(zip(codes, [0, 1, -1, 0, -1, 1, 1, 1, 0], strict=True))
    assert events.part_charge[1].tolist() == [charge[c] for c in np.array(codes)[order]]
    assert (events.part_isPhoton[1] == (np.array(codes)[order] == 22)).tolist() == [True] * 9
    with io.open_jets(tmp_path / "QG_jets.npz") as reader:
        parts = list(reader.iterate(["part_px", "label_gluon"], 2, 1, 6))
    assert ak.all(ak.concatenate(parts).part_px == events.part_px[1:6])
    assert ak.concatenate(parts).label_gluon.tolist() == [1, 0, 0, 1, 1]


def test_energyflow_does_not_unpickle(tmp_path):
    np.savez(tmp_path / "bad.npz", X=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        io.open_jets(tmp_path / "bad.npz")
    with zipfile.ZipFile(tmp_path / "none.npz", "w") as archive:
        archive.writestr("Z.npy", b"")
    with pytest.raises(InputError, match="no array X"):
        io.open_jets(tmp_path / "none.npz")


def nanoaod(path, jets, events=5):
    """The jets of a sample as PFNano stores them: candidates of an event, links, two jets each."""
    jets = jets[: 2 * events]
    rng = np.random.default_rng(3)
    pt = np.hypot(jets.part_px, jets.part_py)
    fields = {
        "pt": pt,
        "eta": np.arcsinh(jets.part_pz / pt),
        "phi": np.arctan2(jets.part_py, jets.part_px),
        "mass": np.sqrt(
            np.maximum(jets.part_energy**2 - jets.part_px**2 - jets.part_py**2 - jets.part_pz**2, 0)
        ),
        "d0": jets.part_d0val / -10,
        "d0Err": jets.part_d0err / 10,
        "dz": jets.part_dzval / 10,
        "dzErr": jets.part_dzerr / 10,
        "charge": ak.values_astype(jets.part_charge, np.int32),
        "pdgId": ak.values_astype(
            22 * jets.part_isPhoton
            + 130 * jets.part_isNeutralHadron
            + (211 * jets.part_isChargedHadron + 11 * jets.part_isElectron + 13 * jets.part_isMuon),
            np.int32,
        ),
    }
    tables: dict[str, list] = {key: [] for key in fields}
    owner, index = [], []
    for event in range(events):
        pair = slice(2 * event, 2 * event + 2)
        both = {k: ak.to_numpy(ak.flatten(v[pair])) for k, v in fields.items()}
        size = len(both["pt"])
        shuffle = rng.permutation(size + 3)  # three candidates belong to no jet
        for key, values in both.items():
            column = np.zeros(size + 3, values.dtype)
            column[shuffle[:size]] = values
            tables[key].append(column)
        first = len(fields["pt"][2 * event])
        owner.append((np.arange(size) >= first).astype(np.int32))
        index.append(shuffle[:size].astype(np.int32))
    columns = {"PFCands": ak.zip({k: ak.Array(v) for k, v in tables.items()})}
    columns["FatJetPFCands"] = ak.zip({"jetIdx": ak.Array(owner), "pFCandsIdx": ak.Array(index)})
    mass = np.sqrt(np.maximum(jets.jet_energy**2 - (jets.jet_pt * np.cosh(jets.jet_eta)) ** 2, 0))
    fat = {"pt": jets.jet_pt, "eta": jets.jet_eta, "phi": jets.jet_phi, "mass": mass}
    fat |= {"msoftdrop": jets.jet_sdmass, "tau1": jets.jet_tau1}
    columns["FatJet"] = ak.zip({k: ak.unflatten(v, [2] * events) for k, v in fat.items()})
    columns["run"] = np.full(events, 17)
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {n: ak.Array(a).type.content for n, a in columns.items()})
        tree.extend(columns)
    return jets


def test_nanoaod(tmp_path, jets):
    jetclass = nanoaod(tmp_path / "nano.root", jets)
    events = io.read_jets(tmp_path / "nano.root")
    assert len(events) == 10
    assert events.event_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert events.jet_index.tolist() == [0, 1] * 5 and events.run.tolist() == [17] * 10
    assert ak.all(events.jet_nparticles == ak.num(jetclass.part_px))
    for name in ("px", "py", "pz", "energy"):
        got, want = events[f"part_{name}"], jetclass[f"part_{name}"]
        assert ak.all(abs(got - want) < 2e-4 * jetclass.part_energy + 1e-4), name
    for name in ("d0val", "d0err", "dzval", "dzerr"):
        got, want = events[f"part_{name}"], jetclass[f"part_{name}"]
        assert ak.all(abs(got - want) < 1e-5 * abs(want) + 1e-6), name
    for name in ("charge", "isChargedHadron", "isNeutralHadron", "isPhoton", "isMuon"):
        assert ak.all(events[f"part_{name}"] == jetclass[f"part_{name}"]), name
    assert np.allclose(events.jet_energy, jetclass.jet_energy, rtol=1e-5)
    assert np.allclose(events.jet_sdmass, jetclass.jet_sdmass)
    assert ak.all(events.FatJet_tau1 == events.jet_tau1)
    with io.open_jets(tmp_path / "nano.root") as reader:
        for step in (1, 3, 4):
            parts = list(reader.iterate(["part_px", "jet_index"], step, 1, 9))
            assert all(len(part) <= step for part in parts)
            assert ak.all(ak.concatenate(parts).part_px == events.part_px[1:9])
    assert (to_dense(events).flags == 0).all()


def test_nanoaod_with_a_broken_link(tmp_path, jets):
    nanoaod(tmp_path / "nano.root", jets)
    with uproot.open(tmp_path / "nano.root") as file:
        old = file["Events"].arrays()
    counters = {"nPFCands", "nFatJet", "nFatJetPFCands"}
    columns = {n: old[n] for n in old.fields if n not in counters}
    columns["FatJetPFCands_pFCandsIdx"] = columns["FatJetPFCands_pFCandsIdx"] + 10_000
    grouped = {}
    for prefix in ("PFCands", "FatJetPFCands", "FatJet"):
        members = [n for n in columns if n.rpartition("_")[0] == prefix]
        grouped[prefix] = ak.zip({n.rpartition("_")[2]: columns[n] for n in members})
    with uproot.recreate(tmp_path / "bad.root") as file:
        tree = file.mktree("Events", {n: a.type.content for n, a in grouped.items()})
        tree.extend(grouped)
    with pytest.raises(InputError, match="event 0 links candidate"):
        io.read_jets(tmp_path / "bad.root")


def test_delphes_written_by_root(fixture_file, fixture_script):
    path = fixture_file("jets/delphes.root")
    script = fixture_script("root_delphes")
    made = script.events()
    jets = [(event["candidates"], jet) for event in made for jet in event["jets"]]
    events = io.read_jets(path)
    assert events.event_index.tolist() == [i for i, e in enumerate(made) for _ in e["jets"]]
    for row, (candidates, jet) in enumerate(jets):
        members = [candidates[i] for i in jet["members"]]
        real = np.array([c["PT"] > 0 for c in members])  # what has no momentum is dropped later
        vectors = np.array([script.four_vector(c) for c in members])
        for axis, name in enumerate(("px", "py", "pz", "energy")):
            values = ak.to_numpy(events[f"part_{name}"][row])
            assert np.allclose(values[real], vectors[real, axis], rtol=1e-5, atol=1e-4), name
        for name, leaf in (("d0val", "D0"), ("dzerr", "ErrorDZ"), ("charge", "Charge")):
            assert np.allclose(events[f"part_{name}"][row], [c[leaf] for c in members])
        assert events.part_isPhoton[row].tolist() == [c["PID"] == 22 for c in members]
        assert events.jet_pt[row] == pytest.approx(np.hypot(*vectors[:, :2].sum(0)), rel=1e-5)
        assert events.jet_sdmass[row] == pytest.approx(jet["groomed_mass"], rel=1e-4)
        assert events.jet_tau1[row] == pytest.approx(jet["tau"][0], rel=1e-6)
    with io.open_jets(path) as reader:
        parts = list(reader.iterate(["part_px"], 3, 2, 9))
    assert ak.all(ak.concatenate(parts).part_px == events.part_px[2:9])
    with pytest.raises(InputError, match="JetAK8"):
        io.open_jets(path, collection="JetAK9")


def test_delphes(shared):
    path = shared / "data" / "jets" / "events_delphes_example.root"
    events = io.read_jets(path)
    assert len(events) == 22
    total = np.hypot(ak.sum(events.part_px, axis=1), ak.sum(events.part_py, axis=1))
    assert np.allclose(total, events.jet_pt, rtol=1e-3)  # links are right
    assert ak.all(ak.num(events.part_px) == events.jet_nparticles)
    assert ak.all(events.jet_tau2 <= events.jet_tau1)
    with io.open_jets(path) as reader:
        parts = list(reader.iterate(["part_px"], 3, 2, 20))
    assert ak.all(ak.concatenate(parts).part_px == events.part_px[2:20])
    with pytest.raises(InputError, match="JetAK8"):
        io.open_jets(path, collection="JetAK9")


def test_missing_columns_name_the_nearest(tmp_path, jets):
    path = write(tmp_path / "jets.parquet", jets[["part_px", "jet_pt"]])
    with pytest.raises(InputError, match="'part_px'.*'jet_pt'") as caught:
        io.read_jets(path, ["part_pxx", "jt_pt"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
def test_writers_leave_nothing_behind(tmp_path, jets, suffix):
    path = tmp_path / f"out{suffix}"
    with pytest.raises(RuntimeError), io.create(path) as writer:
        writer.write({"x": np.arange(3)})
        raise RuntimeError
    with pytest.raises(InputError, match="length"), io.create(path) as writer:
        writer.write({"x": np.arange(3), "y": np.arange(4)})
    with pytest.raises(InputError, match="follow"), io.create(path) as writer:
        writer.write({"x": np.arange(3)})
        writer.write({"y": np.arange(3)})
    with pytest.raises(InputError, match="nothing"), io.create(path):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="parquet or"):
        io.create(tmp_path / "out.csv").__enter__()
    with pytest.raises(InputError, match="folder"):
        (tmp_path / f"folder{suffix}").mkdir()
        io.create(tmp_path / f"folder{suffix}").__enter__()


def test_unknown_format_and_patterns(tmp_path, jets):
    path = write(tmp_path / "jets.parquet", jets[["jet_pt"]])
    with pytest.raises(InputError, match="parquet"):
        io.open_jets(path, format="parket")
    with pytest.raises(InputError, match="no file matches"):
        io.expand(str(tmp_path / "*.root"))
    with pytest.raises(InputError, match="no such file"):
        io.read_jets(tmp_path / "jetts.parquet")


def test_plain_keeps_places_and_types():
    assert plain(ak.Array([1.0, None])).tolist()[0] == 1.0
    assert np.isnan(plain(ak.Array([1.0, None]))[1])
    lists = plain(ak.Array([[1.0, None], None, []]))
    assert ak.num(lists).tolist() == [2, 0, 0] and np.isnan(lists[0][1])
    assert str(plain(ak.Array([[1], []])).type) == "2 * var * int64"


def test_bounded_memory(tmp_path):
    """A file of 60 MB is read with far less than its size."""
    import tracemalloc

    rng = np.random.default_rng(0)
    for suffix in (".parquet", ".root"):
        path = tmp_path / f"large{suffix}"
        with io.create(path) as writer:
            for _ in range(15):
                counts = np.full(2000, 250)
                column = ak.unflatten(rng.random(500_000).astype(np.float32), counts)
                writer.write({"part_px": column, "part_py": column})
        tracemalloc.start()
        total = sum(float(ak.sum(b.part_px)) for b in io.iterate(path, ["part_px"], 500))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == pytest.approx(0.5 * 15 * 500_000, rel=1e-2)
        assert peak < 15e6, suffix
