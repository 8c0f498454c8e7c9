"""Structures, events, folders and byte orders: the jets of the flat file, wherever one starts."""

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets.data import io
from sciml.jets.data.columns import COLUMNS

COUNTS = (2, 0, 3, 1)
"""Jets of each event."""


@pytest.fixture(scope="module")
def flat(jets):
    columns = jets([4, 1, 9, 3, 7, 2], seed=4)
    columns["jet_pt"] = np.arange(6) + 500.0
    columns["label_QCD"] = np.arange(6) % 2
    return columns


def of_events(columns):
    return {name: ak.unflatten(values, COUNTS) for name, values in columns.items()}


def layouts(columns):
    """name -> rows in that structure."""
    part = {n.removeprefix("part_"): v for n, v in columns.items() if n.startswith("part_")}
    jet = {n: v for n, v in columns.items() if not n.startswith("part_")}
    short = {**part, "E": part["energy"]}
    del short["energy"]
    events = of_events(columns)
    return {
        "list of structs": ak.Array({"part": ak.zip(part), **jet}),
        "list of structs named otherwise": ak.Array({"pfcands": ak.zip(short), **jet}),
        "struct of lists": ak.Array({"part": ak.zip(part, depth_limit=1), **jet}),
        "events of lists": ak.Array({**events, "run": np.arange(4)}),
        "events of structs": ak.zip(events, depth_limit=2),
        "events of named structs": ak.Array({"jets": ak.zip(events, depth_limit=2)}),
        "events of jets of particles": ak.Array(
            {
                "fatjet": ak.zip(
                    {
                        "pt": events["jet_pt"],
                        "label_QCD": events["label_QCD"],
                        "particles": ak.unflatten(ak.zip(part), COUNTS),
                    },
                    depth_limit=2,
                )
            }
        ),
    }


LAYOUTS = [
    "list of structs", "list of structs named otherwise", "struct of lists", "events of lists",
    "events of structs", "events of named structs", "events of jets of particles",
]  # fmt: skip


def same(got, columns):
    assert len(got) == len(columns["jet_pt"])
    for name, values in columns.items():
        assert ak.to_list(got[name]) == ak.to_list(values), name


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_parquet_of_any_structure(tmp_path, flat, name, rows):
    array = layouts(flat)[name]
    ak.to_parquet(array, tmp_path / "x.parquet", row_group_size=rows)
    names = list(flat)
    same(io.read_jets(tmp_path / "x.parquet", names), flat)
    with io.open_jets(tmp_path / "x.parquet") as reader:
        assert len(reader) == 6 and set(names) <= set(reader.columns)
        for start, stop, step in ((0, None, 2), (1, 5, 1), (2, 6, 3), (5, 6, 9), (3, 3, 1)):
            parts = list(reader.iterate(names, step, start, stop))
            rest = {n: v[start:stop] for n, v in flat.items()}
            if parts:
                same(ak.concatenate(parts), rest)
            else:
                assert start == stop
        none = reader.empty(names)
        assert len(none) == 0 and none.part_px.ndim == 2 and none.jet_pt.ndim == 1
        if name.startswith("events"):
            place = reader.columns[-2:]
            assert place == ("event_index", "jet_index")
            got = io.read_jets(
                tmp_path / "x.parquet", [*place, *["run"] * (name == "events of lists")]
            )
            assert got.event_index.tolist() == [0, 0, 2, 2, 2, 3]
            assert got.jet_index.tolist() == [0, 1, 0, 1, 2, 0]
            if name == "events of lists":
                assert got.run.tolist() == [0, 0, 2, 2, 2, 3]


@pytest.mark.parametrize("name", LAYOUTS)
def test_arrays_of_any_structure_are_tagged(flat, small_tagger, name):
    want = small_tagger.predict(flat)
    assert np.abs(small_tagger.predict(layouts(flat)[name]) - want).max() < 1e-6


def test_events_whose_columns_disagree_are_named(tmp_path, flat):
    events = of_events(flat)
    events["jet_pt"] = ak.Array([[1.0, 2.0], [], [3.0], [4.0]])
    ak.to_parquet(ak.Array(events), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="event 2 has"):
        io.read_jets(tmp_path / "x.parquet", ["part_px", "jet_pt"])


def test_rntuples_of_events_and_structures(tmp_path, flat):
    events = of_events({n: v for n, v in flat.items() if n.startswith(("part_", "jet_"))})
    array = {n: ak.values_astype(v, np.float32) for n, v in events.items()}
    with uproot.recreate(tmp_path / "n.root") as file:
        file.mkrntuple("tree", {n: v.type.content for n, v in array.items()}).extend(array)
    got = io.read_jets(tmp_path / "n.root")
    assert got.event_index.tolist() == [0, 0, 2, 2, 2, 3]
    same(got[[*array]], {n: flat[n] for n in array})


def test_trees_by_name_from_the_command_line(tmp_path, flat, small_tagger, capsys):
    small_tagger.save(tmp_path / "m.safetensors")
    types = {n: ak.Array(v).type.content for n, v in flat.items()}
    with uproot.recreate(tmp_path / "two.root") as file:
        for name, rows in (("train", 6), ("test", 2)):
            file.mktree(name, types).extend({n: ak.Array(v[:rows]) for n, v in flat.items()})
    command = ["jets", "tag", str(tmp_path / "two.root"), "-o", str(tmp_path / "o.parquet")]
    command += ["--model", str(tmp_path / "m.safetensors")]
    assert main(command) == 2
    assert "train, test" in (message := capsys.readouterr().err) and "--tree" in message
    assert main([*command, "--tree", "test"]) == 0
    assert len(io.read_jets(tmp_path / "o.parquet")) == 2
    assert main([*command, "--tree", "tset"]) == 2
    assert "test" in capsys.readouterr().err
    assert main([*command, "--tree", "test", "--collection", "Jet"]) == 2
    assert main([*command[:2], str(tmp_path / "o.parquet"), "-o", "x.root", "--tree", "t"]) == 2
    assert "no ROOT file" in capsys.readouterr().err
    assert small_tagger.predict(tmp_path / "two.root", tree="train").shape == (6, 2)


def nano(flat, *, jets="FatJet", cands="PFCands", index="pFCandsIdx", light=False):
    """Events of nanoAOD: candidates, jets, and links between them in no order."""
    pt = np.hypot(flat["part_px"], flat["part_py"])
    table = {
        "pt": pt,
        "eta": np.arcsinh(flat["part_pz"] / pt),
        "phi": np.arctan2(flat["part_py"], flat["part_px"]),
        "mass": 0 * pt + 0.14,
        "pdgId": ak.values_astype(22 + 0 * pt, np.int32),
    }
    if not light:
        table |= {"d0": -flat["part_d0val"] / 10, "d0Err": flat["part_d0err"] / 10}
        table |= {"dz": flat["part_dzval"] / 10, "dzErr": flat["part_dzerr"] / 10}
        table["charge"] = ak.values_astype(flat["part_charge"], np.int32)
    by_event = {n: ak.flatten(ak.unflatten(v, COUNTS), axis=2) for n, v in table.items()}
    number = np.concatenate([np.arange(count) for count in COUNTS])  # of a jet in its event
    owner = ak.flatten(ak.unflatten(number + 0 * flat["part_px"], COUNTS), axis=2)
    order = ak.argsort(by_event["phi"])  # the table of links is in another order
    links = {
        "jetIdx": ak.values_astype(owner[order], np.int32),
        index: ak.values_astype(ak.local_index(by_event["pt"])[order], np.int32),
    }
    eta = np.full(6, 0.6)
    four = {"pt": flat["jet_pt"], "eta": eta, "phi": eta - 2, "mass": eta * 100}
    return {
        cands: ak.zip(by_event),
        f"{jets}{cands}": ak.zip(links),
        jets: ak.zip({n: ak.unflatten(v.astype(np.float32), COUNTS) for n, v in four.items()}),
        "event": np.arange(4),
    }


@pytest.mark.parametrize("kind", ["tree", "ntuple"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jets": "Jet"},
        {"jets": "JetAK15", "index": "candIdx"},
        {"cands": "PFCand", "index": "pfCandIdx"},
        {"cands": "PFCand", "index": "pfCandIdx", "light": True},
    ],
)
def test_nanoaod_by_any_of_its_names(tmp_path, flat, kind, options):
    rows = nano(flat, **options)
    with uproot.recreate(tmp_path / "n.root") as file:
        make = file.mktree if kind == "tree" else file.mkrntuple
        make("Events", {n: ak.Array(v).type.content for n, v in rows.items()}).extend(rows)
    got = io.read_jets(tmp_path / "n.root")
    assert got.event_index.tolist() == [0, 0, 2, 2, 2, 3]
    assert got.jet_pt.tolist() == flat["jet_pt"].tolist()
    order = ak.argsort(np.hypot(flat["part_px"], flat["part_py"]), ascending=False)
    for name in ("part_px", "part_pz", "part_energy"):
        assert ak.all(abs(got[name] - flat[name][order]) < 1e-3 * (1 + abs(flat[name][order])))
    if options.get("light"):
        assert "part_d0val" not in got.fields and ak.all(got.part_charge == 0)
    else:
        assert ak.all(got.part_charge == flat["part_charge"][order])


def test_several_linked_collections_need_a_name(tmp_path, flat):
    rows = nano(flat, jets="Jet")
    rows |= {n: v for n, v in nano(flat, jets="Jet15").items() if n.startswith("Jet15")}
    with uproot.recreate(tmp_path / "n.root") as file:
        tree = file.mktree("Events", {n: ak.Array(v).type.content for n, v in rows.items()})
        tree.extend(rows)
    with pytest.raises(InputError, match="Jet, Jet15.*--collection"):
        io.open_jets(tmp_path / "n.root")
    assert len(io.read_jets(tmp_path / "n.root", collection="Jet15")) == 6
    with pytest.raises(InputError, match="Jet15"):
        io.open_jets(tmp_path / "n.root", collection="Jet16")


def test_nanoaod_without_candidates_says_so(tmp_path, flat, small_tagger):
    rows = {n: v for n, v in nano(flat).items() if "PFCands" not in n}
    rows["LHEPart"] = rows["FatJet"]
    with uproot.recreate(tmp_path / "n.root") as file:
        tree = file.mktree("Events", {n: ak.Array(v).type.content for n, v in rows.items()})
        tree.extend(rows)
    with pytest.raises(InputError, match="no particle-flow candidates"):
        small_tagger.predict(tmp_path / "n.root")
    assert len(io.read_jets(tmp_path / "n.root", ["FatJet_pt"])) == 4


def test_a_folder_is_a_data_set(tmp_path, flat, small_tagger):
    array = ak.Array({n: v for n, v in flat.items()})
    for era, part, rows in (
        (2018, "b", slice(4, 6)),
        (2017, "a", slice(0, 1)),
        (2018, "a", slice(1, 4)),
    ):
        folder = tmp_path / f"era={era}" / "kind=data"
        folder.mkdir(parents=True, exist_ok=True)
        ak.to_parquet(array[rows], folder / f"{part}.parquet")
    (tmp_path / "_metadata").write_bytes(b"x")
    (tmp_path / ".hidden.parquet").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    got = io.read_jets(tmp_path, [*flat, "era", "kind"])
    same(got, flat)
    assert got.era.tolist() == [2017, *[2018] * 5] and got.kind.tolist() == ["data"] * 6
    with io.open_jets(tmp_path) as reader:
        parts = list(reader.iterate(["jet_pt", "era"], 2, 0, 5))
        assert ak.concatenate(parts).jet_pt.tolist() == flat["jet_pt"][:5].tolist()
        assert reader.empty(["part_px", "era"]).part_px.ndim == 2
    assert np.abs(small_tagger.predict(tmp_path) - small_tagger.predict(flat)).max() < 1e-6
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="without files of jets"):
        io.open_jets(tmp_path / "none")


@pytest.mark.parametrize("order", ["<", ">"])
def test_hdf5_and_npz_in_any_byte_order(tmp_path, order):
    """The kinds of files that other libraries write on other machines."""
    names = [f"{axis}_{i}" for i in range(3) for axis in ("E", "PX", "PY", "PZ")]
    data = np.zeros(
        2, [("values_block_0", order + "f4", (12,)), ("values_block_1", order + "i8", 1)]
    )
    data["values_block_0"] = [[5, 3, 4, 0, *[0] * 8], [13, 3, 4, 12, 5, 0, 3, 4, *[0] * 4]]
    data["values_block_1"] = [[1], [0]]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        table = file.create_dataset("table/table", data=data)
        for block, words in ((0, names), (1, ["is_signal_new"])):
            listed = "(lp0\n" + "".join(f"V{word}\np1\na" for word in words) + "."
            table.attrs[f"values_block_{block}_kind"] = np.bytes_(listed.encode())
    got = io.read_jets(tmp_path / "x.h5")
    assert got.part_energy.tolist() == [[5], [13, 5]] and got.part_pz.tolist() == [[0], [12, 4]]
    assert got.label_Tbqq.tolist() == [1, 0]
    x = np.abs(np.random.default_rng(0).normal(size=(3, 4, 4))) + 1
    x[..., 3] = 211
    np.savez(
        tmp_path / "x.npz", X=x.astype(order + "f8"), y=np.array([1, 0, 1]).astype(order + "i8")
    )
    np.savez(tmp_path / "n.npz", X=x, y=np.array([1, 0, 1]))
    one, two = io.read_jets(tmp_path / "n.npz"), io.read_jets(tmp_path / "x.npz")
    for name in one.fields:
        assert ak.to_list(one[name]) == ak.to_list(two[name]), name


def test_a_table_of_fixed_size_lists(tmp_path, flat, small_tagger):
    """Arrow's fixed-size lists, padded with zeros: the scores of the ragged columns."""
    arrays = {}
    for name in flat:
        if name in COLUMNS:
            dense = ak.to_numpy(ak.fill_none(ak.pad_none(flat[name], 12), 0)).astype(np.float32)
            arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(dense.ravel()), 12)
    pq.write_table(pa.table(arrays), tmp_path / "x.parquet")
    ragged = {n: v for n, v in flat.items() if n in COLUMNS}
    got = small_tagger.predict(tmp_path / "x.parquet")
    assert np.abs(got.probabilities - small_tagger.predict(ragged)).max() < 1e-6
    assert not got.dropped.any()


@pytest.mark.filterwarnings("ignore:.*were repaired")
@pytest.mark.parametrize("kind", ["h5", "npz"])
@pytest.mark.parametrize("fill", [0, -999, np.nan])
@pytest.mark.parametrize("order", ["<f4", ">f4", "<f2"])
def test_arrays_of_one_length_by_their_names(tmp_path, flat, small_tagger, kind, fill, order):
    dense = {
        n: ak.to_numpy(ak.fill_none(ak.pad_none(v, 12), fill)).astype(order)
        for n, v in flat.items()
        if n in COLUMNS
    }
    path = tmp_path / f"x.{kind}"
    if kind == "npz":
        np.savez_compressed(path, **dense, label_QCD=np.arange(6) > 2)
    else:
        with h5py.File(path, "w") as file:
            for name, values in dense.items():
                file[name] = values
            file["label_QCD"] = np.arange(6) > 2
    ragged = {n: ak.values_astype(v, order[1:]) for n, v in flat.items() if n in COLUMNS}
    got = small_tagger.predict(path)
    assert not got.flags.any() and not got.dropped.any()
    assert np.abs(got.probabilities - small_tagger.predict(ragged)).max() < 1e-6
    for step in (1, 4):
        parts = [s.probabilities for _, s in small_tagger.stream(path, step=step)]
        assert np.abs(np.concatenate(parts) - got.probabilities).max() < 1e-6
    with io.open_jets(path) as reader:
        parts = list(reader.iterate(["label_QCD", "part_px"], 2, 1, 6))
        assert ak.concatenate(parts).label_QCD.tolist() == [False, False, True, True, True]
        assert reader.empty(["part_px", "label_QCD"]).part_px.ndim == 2
