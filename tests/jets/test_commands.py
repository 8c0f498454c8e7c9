"""`sciml jets` from the command line: output, and one line for every fault."""

import json

import awkward as ak
import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.jets import JetTagger
from sciml.jets.data.columns import COLUMNS
from sciml.jets.data.io import create, read_jets

pytestmark = pytest.mark.filterwarnings("ignore:.*more than 128 constituents")
CLASSES = ("QCD", "Hbb", "Tbqq")
TRUNK = {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and a file of 50 jets, one of them empty, one with a NaN."""
    folder = tmp_path_factory.mktemp("jets")
    torch.manual_seed(3)
    JetTagger.build(TRUNK, CLASSES).save(folder / "model.safetensors")
    random = np.random.default_rng(0)
    lengths = random.integers(1, 30, 50)
    lengths[7], lengths[11] = 0, 140
    total = lengths.sum()
    pt, eta, phi = (
        random.exponential(20, total) + 1,
        random.normal(0, 0.3, total),
        random.normal(0, 0.3, total),
    )
    flat = {n: random.uniform(0, 0.1, total) for n in COLUMNS}
    flat["part_px"], flat["part_py"] = pt * np.cos(phi), pt * np.sin(phi)
    flat["part_pz"], flat["part_energy"] = pt * np.sinh(eta), pt * np.cosh(eta) * 1.01
    flat["part_deta"], flat["part_dphi"] = eta, phi
    flat["part_px"][lengths[:20].sum()] = np.nan
    columns = {n: ak.unflatten(v.astype(np.float32), lengths) for n, v in flat.items()}
    columns["jet_pt"], columns["jet_energy"] = np.full(50, 600.0), np.full(50, 700.0)
    columns["event"] = np.arange(50) * 7
    truth = random.integers(0, 3, 50)
    for index, name in enumerate(CLASSES):
        columns[f"label_{name}"] = (truth == index).astype(np.int32)
    for suffix in (".parquet", ".root"):
        with create(folder / f"jets{suffix}") as writer:
            writer.write(columns)
    return folder


def run(*arguments):
    return main(["jets", *map(str, arguments)])


@pytest.mark.parametrize("source", [".parquet", ".root"])
@pytest.mark.parametrize("target", [".parquet", ".root"])
def test_tag(place, tmp_path, capsys, source, target):
    out = tmp_path / f"scores{target}"
    model = place / "model.safetensors"
    arguments = ["tag", place / f"jets{source}", "-o", out, "--model", model, "--step", 8]
    assert run(*arguments, "--keep", "event", "jet_pt") == 0
    scores = read_jets(out)
    assert scores.fields == ["event", "jet_pt", *(f"score_{n}" for n in CLASSES), "flag"]
    assert scores.event.tolist() == [7 * i for i in range(50)]
    bad = np.flatnonzero(np.asarray(scores.flag))
    assert bad.tolist() == [7, 20]
    table = np.stack([np.asarray(scores[f"score_{n}"]) for n in CLASSES], 1)
    assert np.isnan(table[bad]).all() and np.isfinite(np.delete(table, bad, 0)).all()
    expected = JetTagger.from_pretrained(model).predict(place / f"jets{source}")
    assert np.nanmax(np.abs(table - expected)) < 1e-5
    message = capsys.readouterr()
    assert "2 faulty" in message.out + message.err and "1 of 50 jets" in message.out + message.err


def test_tag_is_the_same_whatever_the_step(place, tmp_path):
    model = place / "model.safetensors"
    for step in (1, 50):
        out = tmp_path / f"{step}.parquet"
        run("tag", place / "jets.root", "-o", out, "--model", model, "--step", step)
    one, all_ = (read_jets(tmp_path / f"{s}.parquet") for s in (1, 50))
    for name in one.fields:
        assert np.allclose(one[name], all_[name], atol=1e-5, equal_nan=True)


def test_evaluate(place, tmp_path, capsys):
    arguments = ["evaluate", place / "jets.root", "--model", place / "model.safetensors"]
    assert run(*arguments, "-o", tmp_path / "e.json") == 0
    measured = json.loads((tmp_path / "e.json").read_text())
    assert measured["jets"] == 50 and 0 <= measured["auc_Hbb"] <= 1
    assert f"{measured['auc_Hbb']:.5f}" in capsys.readouterr().out


def test_evaluate_calibrates(place, tmp_path):
    """The written model has the temperature that fits, which fitting again leaves alone."""
    jets, model = tmp_path / "jets.root", place / "model.safetensors"
    columns = read_jets(place / "jets.root")
    columns = {name: columns[name] for name in columns.fields}
    # the untrained model is right on most jets, and far less sure of it than it could be
    best = JetTagger.from_pretrained(model).predict(place / "jets.root").argmax(1)
    truth = np.where(np.arange(50) % 5 < 3, best, np.arange(50) % 3)
    for index, name in enumerate(CLASSES):
        columns[f"label_{name}"] = (truth == index).astype(np.int32)
    with create(jets) as writer:
        writer.write(columns)
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    assert run("evaluate", jets, "--model", model, "--calibrate", first) == 0
    assert run("evaluate", jets, "--model", first, "--calibrate", second) == 0
    before, once, twice = (JetTagger.from_pretrained(path) for path in (model, first, second))
    assert before.temperature == 1 and once.temperature != 1
    assert float(twice.temperature) == pytest.approx(float(once.temperature), rel=1e-2)
    events = read_jets(jets)
    truth = np.stack([np.asarray(events[f"label_{name}"]) for name in CLASSES], 1).argmax(1)
    scores = [tagger.predict(jets) for tagger in (before, once)]
    good = np.isfinite(scores[0]).all(1)
    losses = [-np.log(s[good, truth[good]]).mean() for s in scores]
    assert losses[1] < losses[0]
    assert (scores[0][good].argmax(1) == scores[1][good].argmax(1)).all()


def faults(place, folder):
    """name -> (file, output, more arguments, words that the message must hold)."""
    whole = (place / "jets.root").read_bytes()
    parquet = (place / "jets.parquet").read_bytes()
    cases = {
        "missing": (folder / "no.root", "o.root", [], "no such file"),
        "folder": (folder / "none", "o.root", [], "folder"),
        "empty": (folder / "empty.root", "o.root", [], "empty"),
        "garbage": (folder / "garbage.root", "o.root", [], "not a ROOT"),
        "truncated root": (folder / "cut.root", "o.root", [], "cut.root"),
        "truncated parquet": (folder / "cut.parquet", "o.root", [], "cut.parquet"),
        "unknown model": (place / "jets.root", "o.root", ["--model", "jets-tinny"], "jets-tinny"),
        "no model file": (
            place / "jets.root",
            "o.root",
            ["--model", "./no.safetensors"],
            "no such",
        ),
        "not a model": (place / "jets.root", "o.root", ["--model", str(place / "jets.root")], ""),
        "keep": (place / "jets.root", "o.root", ["--keep", "evnt"], "did you mean 'event'"),
        "keep clash": (place / "jets.root", "o.root", ["--keep", "flag"], "flag"),
        "suffix": (place / "jets.root", "o.csv", [], ".parquet"),
        "unwritable": (place / "jets.root", "/proc/no/o.root", [], "/proc/no"),
        "step": (place / "jets.root", "o.root", ["--step", "0"], "step"),
        "option": (place / "jets.root", "o.root", ["--modle", "x"], "modle"),
    }
    (folder / "none").mkdir()
    (folder / "empty.root").write_bytes(b"")
    (folder / "garbage.root").write_bytes(b"these are not jets" * 100)
    (folder / "cut.root").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.parquet").write_bytes(parquet[: len(parquet) // 2])
    return cases


@pytest.mark.parametrize(
    "name",
    [
        "missing", "folder", "empty", "garbage", "truncated root", "truncated parquet",
        "unknown model", "no model file", "not a model", "keep", "keep clash", "suffix",
        "unwritable", "step", "option",
    ],
)  # fmt: skip
def test_faults_of_the_call_give_one_line_and_no_file(place, tmp_path, capsys, name):
    file, out, more, words = faults(place, tmp_path)[name]
    target = tmp_path / "out" / out if not out.startswith("/") else out
    model = [] if "--model" in more else ["--model", place / "model.safetensors"]
    assert run("tag", file, "-o", target, *model, *more) == 2
    message = capsys.readouterr()
    lines = [line for line in message.err.splitlines() if line.strip()]
    assert len(lines) == 1 and words in lines[0], message.err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
def test_a_missing_branch_is_named_with_the_nearest(place, tmp_path, capsys, suffix):
    events = read_jets(place / "jets.parquet")
    columns = {n.replace("part_d0val", "part_d0"): events[n] for n in events.fields}
    with create(tmp_path / f"jets{suffix}") as writer:
        writer.write(columns)
    out = tmp_path / "o.root"
    model = place / "model.safetensors"
    assert run("tag", tmp_path / f"jets{suffix}", "-o", out, "--model", model) == 2
    message = capsys.readouterr().err
    assert "'part_d0val'" in message and "part_d0" in message and not out.exists()


def test_lists_of_different_lengths_name_the_jet(place, tmp_path, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(place / "jets.parquet")
    lists = table.column("part_py").to_pylist()
    lists[5] = lists[5][:-1]
    position = table.schema.get_field_index("part_py")
    kind = table.schema.field("part_py").type
    pq.write_table(
        table.set_column(position, "part_py", pa.array(lists, kind)), tmp_path / "bad.parquet"
    )
    out = tmp_path / "o.parquet"
    arguments = ["tag", tmp_path / "bad.parquet", "-o", out]
    assert run(*arguments, "--model", place / "model.safetensors") == 2
    message = capsys.readouterr().err
    assert "jet 5" in message and "part_py" in message and not out.exists()


def test_the_input_is_never_replaced(place, capsys):
    before = (place / "jets.root").read_bytes()
    model = place / "model.safetensors"
    assert run("tag", place / "jets.root", "-o", place / "jets.root", "--model", model) == 2
    assert (place / "jets.root").read_bytes() == before


@pytest.mark.parametrize("suffix", [".parquet", ".root"])
def test_a_file_without_jets_gets_an_empty_answer(tmp_path, capsys, suffix):
    import pyarrow.parquet as pq

    from sciml.jets.data.sample import shipped

    pq.write_table(pq.read_table(shipped("test")).slice(0, 0), tmp_path / "none.parquet")
    out = tmp_path / f"scores{suffix}"
    assert main(["jets", "tag", str(tmp_path / "none.parquet"), "-o", str(out)]) == 0
    scores = read_jets(out, ["score_QCD", "flag"])
    assert len(scores) == 0 and "0 jets" in capsys.readouterr().err


def test_export_names_its_output_by_out(place, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    model = place / "model.safetensors"
    assert run("export", "--out", tmp_path / "a.onnx", "--model", model) == 0
    assert "note" not in capsys.readouterr().err
    assert run("export", tmp_path / "b.onnx", "--model", model) == 0
    assert "now named by --out" in capsys.readouterr().err
    assert all((tmp_path / name).exists() for name in ("a.onnx", "b.onnx", "preprocess.json"))
    assert run("export", "--model", model) == 2
    assert "--out" in capsys.readouterr().err


def test_a_mass_regressor_tags_and_is_not_exported(place, tmp_path, capsys):
    from torch import nn

    from sciml import trunks
    from sciml.jets import JetMassRegressor
    from sciml.jets.networks.classifier import TrunkNetwork
    from sciml.jets.networks.embedder import JetEmbedder

    trunk = trunks.build(TRUNK)
    network = TrunkNetwork(JetEmbedder(16, 4), trunk, nn.Linear(16, 2))
    model = JetMassRegressor(network, ("mass", "mass_50")).save(tmp_path / "mass")
    out = tmp_path / "masses.root"
    assert run("tag", place / "jets.root", "-o", out, "--model", model) == 0
    assert read_jets(out).fields == ["mass", "mass_50", "flag"]
    for arguments in (["evaluate", place / "jets.root"], ["export", "-o", tmp_path / "m.onnx"]):
        capsys.readouterr()
        assert run(*arguments, "--model", model) == 2
        assert "masses" in capsys.readouterr().err
