"""Branch maps, PUPPI weights and lists of files: the scores are those of our own columns."""

import json
import re
import shlex

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets.data.io import create, open_jets, read_jets
from sciml.jets.data.sample import shipped

MAP = {
    "part_px": "cands_pt * np.cos(cands_phi)",
    "part_py": "cands_pt * np.sin(cands_phi)",
    "part_pz": "cands_pt * np.sinh(cands_eta)",
    "part_energy": "cands_e",
    "part_charge": "cands_q",
    "part_d0val": "cands_dxy * 10",
    "part_d0err": 0,
    "jet_pt": "fj_pt / 1000",
}
COPIED = ("dzval", "dzerr", "isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron",
          "isMuon")  # fmt: skip


@pytest.fixture(scope="module")
def jets():
    return read_jets(shipped("test"))[:12]


@pytest.fixture(scope="module")
def want(jets, small_tagger):
    """Scores of the jets, of which part_d0err is 0 and the jet's energy is that of its parts."""
    columns = {n: jets[n] for n in jets.fields if n.startswith("part_")}
    columns |= {"part_d0err": jets.part_px * 0, "jet_pt": jets.jet_pt}
    return small_tagger.predict(columns).probabilities


@pytest.fixture(scope="module")
def foreign(jets):
    """The same jets in branches of other names."""
    pt = np.hypot(jets.part_px, jets.part_py)
    columns = {
        "cands_pt": pt, "cands_phi": np.arctan2(jets.part_py, jets.part_px),
        "cands_eta": np.arcsinh(jets.part_pz / pt), "cands_e": jets.part_energy,
        "cands_q": jets.part_charge, "cands_dxy": jets.part_d0val / 10,
        "fj_pt": jets.jet_pt * 1000,
    }  # fmt: skip
    return columns | {f"cands_{name}": jets[f"part_{name}"] for name in COPIED}


@pytest.fixture(scope="module")
def place(tmp_path_factory, foreign, jets, small_tagger):
    folder = tmp_path_factory.mktemp("mapped")
    mapping = MAP | {f"part_{name}": f"cands_{name}" for name in COPIED}
    (folder / "map.json").write_text(json.dumps(mapping))
    (folder / "map.yaml").write_text("".join(f"{k}: {v}\n" for k, v in mapping.items()))
    for suffix in (".root", ".parquet"):
        with create(folder / f"jets{suffix}") as writer:
            writer.write(foreign)
    counts = (3, 0, 4, 5)
    per_event = {n: ak.unflatten(v, counts) for n, v in foreign.items()}
    ak.to_parquet(ak.zip(per_event, depth_limit=1), folder / "events.parquet")
    longest = int(ak.max(ak.num(foreign["cands_pt"])))
    padded = {n: ak.to_numpy(ak.fill_none(ak.pad_none(v, longest), 0)).astype(np.float32)
              for n, v in foreign.items() if v.ndim == 2}  # fmt: skip
    with h5py.File(folder / "table.h5", "w") as file:
        fields = {n.removeprefix("cands_"): v for n, v in padded.items()}
        table = np.zeros((12, longest), [(n, ">f4") for n in fields])
        for name, values in fields.items():
            table[name] = values
        file["cands"] = table
        file["fj_pt"] = ak.to_numpy(foreign["fj_pt"])
        file["about"] = np.zeros(3)
    np.savez(folder / "arrays.npz", fj_pt=ak.to_numpy(foreign["fj_pt"]), **padded)
    small_tagger.save(folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("mapping", ["map.json", "map.yaml"])
@pytest.mark.parametrize(
    "name", ["jets.root", "jets.parquet", "events.parquet", "table.h5", "arrays.npz"]
)
def test_a_branch_map_gives_the_scores_of_our_columns(place, small_tagger, want, name, mapping):
    scores = small_tagger.predict(place / name, branch_map=place / mapping)
    assert not scores.flags.any() and np.abs(scores - want).max() < 2e-5


def test_other_branches_are_kept_by_their_names(place, tmp_path):
    arguments = ["jets", "tag", place / "events.parquet", "-o", tmp_path / "o.root", "--keep",
                 "event_index", "jet_pt", "--branch-map", place / "map.yaml", "--model",
                 place / "model.safetensors"]  # fmt: skip
    assert main(list(map(str, arguments))) == 0
    assert read_jets(tmp_path / "o.root").event_index.tolist() == [0] * 3 + [2] * 4 + [3] * 5


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ("part_pxx: cands_pt", "part_px"), ("part_px: cands_pT", "cands_pt"),
        ("part_px: open('x')", "not allowed"), ("part_px: [1, 2]", "a branch, a formula"),
        ("{}", "maps no column"), ("1", "mapping"), ("part_px: cands_pt +", "not a formula"),
        ("a-b: cands_pt", "no name"), ("part_px: 0", "no momentum"),
        ("part_px: cands_pt", "part_py"), ("part_px: fj_pt", "part_py"),
    ],
)  # fmt: skip
def test_faults_of_a_map_are_one_line(place, tmp_path, capsys, mapping, words):
    (tmp_path / "m.yaml").write_text(mapping)
    arguments = ["jets", "tag", place / "jets.root", "-o", tmp_path / "o.root", "--branch-map",
                 tmp_path / "m.yaml", "--model", place / "model.safetensors"]  # fmt: skip
    assert main(list(map(str, arguments))) == 2
    message = capsys.readouterr().err.strip()
    assert words in message and len(message.splitlines()) == 1
    assert not (tmp_path / "o.root").exists()


@pytest.fixture(scope="module")
def puppi(tmp_path_factory, fixture_file, fixture_script):
    """PFNano whose candidates have PUPPI weights, and the sum of the weighted ones per jet."""
    folder = tmp_path_factory.mktemp("puppi")
    fixture_script("jet_files").write(folder, fixture_file("jets/jets.parquet"))
    with uproot.open(folder / "n_candIdx.root") as file:
        tree = {name: file["Events"][name].array() for name in file["Events"].keys()}
    random = np.random.default_rng(0)
    counts = ak.num(tree["PFCands_pt"])
    weights = random.choice([0.0, 0.25, 0.5, 1.0], int(ak.sum(counts)))
    groups: dict[str, dict[str, ak.Array]] = {}
    plain = {}
    for name, values in tree.items():
        prefix, _, rest = name.partition("_")
        if rest and values.ndim > 1:
            groups.setdefault(prefix, {})[rest] = values
        elif not name.startswith("n"):
            plain[name] = values
    groups["PFCands"]["puppiWeight"] = ak.values_astype(ak.unflatten(weights, counts), np.float32)
    table = {n: ak.zip(fields) for n, fields in groups.items()} | plain
    with uproot.recreate(folder / "puppi.root") as file:
        file.mktree("Events", {n: v.type.content for n, v in table.items()}).extend(table)
    return folder


def test_puppi_weights_scale_momenta(puppi, small_tagger):
    columns = ["part_px", "part_py", "part_energy", "part_puppi"]
    with open_jets(puppi / "puppi.root") as reader:
        raw = reader.iterate(columns).__next__()
    with open_jets(puppi / "puppi.root", puppi=True) as reader:
        weighted = reader.iterate(columns).__next__()
    for name in columns[:3]:
        total = ak.sum(raw[name] * raw.part_puppi, axis=1)
        assert np.allclose(ak.sum(weighted[name], axis=1), total, rtol=1e-5, atol=1e-3)
    gone = int(ak.sum(raw.part_puppi == 0))
    with pytest.warns(UserWarning, match=f"{gone} candidates without momentum"):
        scores = small_tagger.predict(puppi / "puppi.root", puppi=True)
    assert not scores.flags.any()
    assert np.abs(scores - small_tagger.predict(puppi / "puppi.root")).max() > 1e-4


def found(pattern, message):
    """What a message proposes."""
    match = re.search(pattern, message)
    assert match, message
    return match[1]


def test_the_next_step_of_an_error_works(puppi, place, tmp_path, capsys):
    """Options that messages propose are taken, and the command then goes on."""
    model = ["--model", str(place / "model.safetensors")]
    out = ["-o", str(tmp_path / "o.parquet")]

    def refused(*arguments):
        capsys.readouterr()
        assert main(["jets", *map(str, arguments)]) == 2
        message = capsys.readouterr().err.strip()
        assert len(message.splitlines()) == 1
        return message

    message = refused("tag", puppi / "two_trees.root", *out, *model)
    option = found(r"`(--\w+)`", message)
    tree = found(r"several trees: (\w+)", message)
    assert main(["jets", "tag", str(puppi / "two_trees.root"), *out, *model, option, tree]) == 0

    message = refused("tag", puppi / "two_trees.root", *out, *model, option, "trian")
    tree = found(r"Did you mean '(\w+)'", message)
    assert main(["jets", "tag", str(puppi / "two_trees.root"), *out, *model, option, tree]) == 0

    message = refused("tag", puppi / "n_AK4.root", *out, *model, "--collection", "Jets")
    name = found(r"Did you mean '(\w+)'", message)
    file = str(puppi / "n_AK4.root")
    assert main(["jets", "tag", file, *out, *model, "--collection", name]) == 0

    message = refused("tag", puppi / "top_le.h5", *out)
    name = found(r"The model ([\w-]+) reads", message)
    assert main(["jets", "tag", str(puppi / "top_le.h5"), *out, "--model", name]) == 0

    message = refused("tag", place / "jets.root", *out, *model, "--branch-map",
                      place / "map.yaml", "--puppi")  # fmt: skip
    option = found(r"`(--[\w-]+) MAP.yaml`", message)
    column = found(r"named as `(\w+)`", message)
    text = (place / "map.yaml").read_text() + f"{column}: cands_isPhoton * 0.5 + 0.5\n"
    (tmp_path / "more.yaml").write_text(text)
    more = [option, str(tmp_path / "more.yaml"), "--puppi"]
    assert main(["jets", "tag", str(place / "jets.root"), *out, *model, *more]) == 0

    jets = read_jets(shipped("test"))[:300]
    unlabelled = {n: jets[n] for n in jets.fields if not n.startswith("label_")}
    with create(tmp_path / "data.parquet") as writer:
        writer.write(unlabelled)
    with create(tmp_path / "LABELLED.parquet") as writer:
        writer.write(jets)
    message = refused("tag", tmp_path / "data.parquet", *out, *model, "--wp", 0.5)
    command = shlex.split(found(r"`sciml (jets working-points [^`]*)`", message))
    files = {name: str(tmp_path / name) for name in ("LABELLED", "wp.json")}
    files["LABELLED"] += ".parquet"
    command = [files.get(word, word) for word in command]
    assert main([*command, *model, "--wp", "0.5"]) == 0
    option = found(r"add `(--[\w-]+) wp.json`", message)
    data = str(tmp_path / "data.parquet")
    assert main(["jets", "tag", data, *out, *model, "--wp", "0.5", option,
                 str(tmp_path / "wp.json")]) == 0  # fmt: skip


def test_several_files_and_patterns_are_one_data_set(place, small_tagger, tmp_path):
    once = small_tagger.predict(place / "jets.root", branch_map=place / "map.yaml")
    (tmp_path / "a").mkdir()
    for name in ("a/1.root", "a/2.root", "b.root"):
        (tmp_path / name).write_bytes((place / "jets.root").read_bytes())
    sources = ([tmp_path / "a", tmp_path / "b.root"], str(tmp_path / "**/*.root"),
               [str(tmp_path / "a" / "*.root"), tmp_path / "b.root"])  # fmt: skip
    for source in sources:
        scores = small_tagger.predict(source, branch_map=place / "map.yaml")
        assert np.array_equal(scores, np.concatenate([once] * 3))
    with pytest.raises(InputError, match="no file matches"):
        open_jets([tmp_path / "b.root", str(tmp_path / "*.h5")])
    with pytest.raises(InputError, match="no file of jets was given"):
        open_jets([])
