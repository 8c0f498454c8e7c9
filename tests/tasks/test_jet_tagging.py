"""The recipe, through the command line: what it leaves behind, that it repeats itself, resumes."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sciml.cli import main
from sciml.jets import JetTagger
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped

GOLDEN = {
    "pretrained-60-0": [2.02728, 1.92486],
    "scratch-60-0": [1.72813, 1.68376],
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "tiny"
    assert main(["run", "jet_tagging", "--tiny", "--out", str(folder)]) == 0
    return folder


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_files(out):
    for name in (
        "report.html", "metrics.jsonl", "config.yaml", "predictions.parquet", "model.safetensors"
    ):  # fmt: skip
        assert (out / name).is_file(), name


def test_loss_sequence(out):
    """Any change of data, features, network, sampling or optimiser shows here."""
    by_split: dict[str, list[float]] = {}
    for line in lines(out):
        if line.get("split") == "train" and line["run"] in GOLDEN:
            by_split.setdefault(line["run"], []).append(line["loss"])
    for run, losses in GOLDEN.items():
        assert by_split[run] == pytest.approx(losses, abs=2e-4), run


def test_three_methods_three_seeds_the_same_labels(out):
    scores = [line for line in lines(out) if line.get("event") == "score"]
    assert {(s["method"], s["seed"]) for s in scores} == {
        (method, seed)
        for method in ("pretrained", "scratch", "boosted trees")
        for seed in (0, 1, 2)
    }
    assert {s["labels"] for s in scores} == {60}
    assert all(0 <= s["accuracy"] <= 1 and 0 <= s["mean_auc"] <= 1 for s in scores)
    trees = [s["mean_auc"] for s in scores if s["method"] == "boosted trees"]
    assert min(trees) > 0.6  # observables of 60 jets are worth something


def test_predictions_are_those_of_the_saved_model(out):
    table = read_jets(out / "predictions.parquet")
    tagger = JetTagger.from_pretrained(out)
    scores = np.stack([np.asarray(table[f"pretrained_{n}"]) for n in tagger.classes], 1)
    again = tagger.predict(read_jets(shipped("test")))[np.asarray(table.row)]
    assert np.abs(scores - again).max() < 1e-5


def test_report_is_one_page_that_needs_nothing_else(out):
    page = (out / "report.html").read_text()
    for words in ("Label efficiency", "Confusion", "sciml run jet_tagging --config", "<svg"):
        assert words in page
    assert "<script src" not in page and '<link rel="stylesheet"' not in page
    assert page.count("pretrained") > 3 and "scratch" in page


@pytest.mark.parametrize("width", [1280, 390])
def test_report_opens_in_a_browser(out, browse, width):
    seen = browse(out / "report.html", width)
    assert "Jet tagging with few labels" in seen and "Pretraining against scratch" in seen


def test_the_same_command_goes_on_where_it_stopped(out):
    """Finished trainings are not done again; the scores come out the same."""
    before = [x for x in lines(out) if x.get("event") == "score"]
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/checkpoints/*")}
    assert main(["run", "jet_tagging", "--tiny", "--out", str(out)]) == 0
    assert [x for x in lines(out) if x.get("event") == "score"] == before
    assert {p: p.stat().st_mtime_ns for p in out.glob("runs/*/checkpoints/*")} == stamps


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--background", "QCDD"], "did you mean 'QCD'"),
        (["--finetune.lrr", "1"], "lr"),
        (["--finetune.lr", "-1"], "lr"),
        (["--data", "/no/such/file.root"], "no such file"),
        (["--classes", "QCD", "Tbqqq"], "Tbqq"),
    ],
)
def test_faults_are_one_line(tmp_path, capsys, arguments, words):
    assert main(["run", "jet_tagging", "--tiny", "--out", str(tmp_path / "o"), *arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and words.lower() in errors[0].lower(), errors


QUICK = ("--tiny", "--seeds", "0", "--no-compare", "--no-pretraining")


def test_pooled_decorrelated_and_calibrated(tmp_path):
    """Mean of the particles for the class token, DisCo in the loss on turned and smeared views, a
    temperature fitted."""
    folder = tmp_path / "run"
    options = ("--views", "--trunk.class-depth", "0", "--decorrelate", "3", "--calibrate", "0.3")
    assert main(["run", "jet_tagging", *QUICK, *options, "--out", str(folder)]) == 0
    tagger = JetTagger.from_pretrained(folder / "model.safetensors")
    trunk = tagger.network.get_submodule("trunk")
    assert not any("class_" in name for name, _ in trunk.named_parameters())
    assert tagger.temperature != 1
    trained = [line for line in lines(folder) if line.get("split") == "train"]
    assert trained and all(0 <= line["disco"] <= 1 for line in trained)


def further_jets(path, labels=True):
    """Jets of the sample, in pairs as of one collision; perhaps without their labels."""
    table = pq.read_table(shipped("test")).slice(0, 300)
    table = table.append_column("aux_collision", pa.array(np.arange(300) // 2))
    if not labels:
        table = table.drop_columns([n for n in table.column_names if n.startswith("label_")])
    pq.write_table(table, path)
    return path


def test_a_student_learns_from_what_the_others_say_of_further_jets(tmp_path):
    """It is one more method and the model that is kept; labels of the further jets are not read."""
    losses = []
    for labels in (True, False):
        file = further_jets(tmp_path / f"{labels}.parquet", labels)
        folder = tmp_path / str(labels)
        command = ["run", "jet_tagging", "--tiny", "--seeds", "0", "--unlabelled", str(file)]
        assert main([*command, "--out", str(folder)]) == 0
        found = lines(folder)
        methods = [line["method"] for line in found if line.get("event") == "score"]
        assert methods == ["pretrained", "scratch", "boosted trees", "student"]
        losses.append([x["loss"] for x in found if x.get("run") == "student-60-0" and "loss" in x])
        predictions = read_jets(folder / "predictions.parquet")
        tagger = JetTagger.from_pretrained(folder)
        table = np.stack([np.asarray(predictions[f"student_{n}"]) for n in tagger.classes], 1)
        again = tagger.predict(read_jets(shipped("test")))[np.asarray(predictions.row)]
        assert np.abs(table - again).max() < 1e-5
        assert "Rows sum to one; student." in (folder / "report.html").read_text()
    assert len(losses[0]) == 2 and losses[0] == losses[1]
    # the two jets of a pair share a label: with other partners there are other labels
    table = pq.read_table(tmp_path / "True.parquet")
    column = table.column_names.index("aux_collision")
    table = table.set_column(column, "aux_collision", pa.array(np.arange(300) % 150))
    pq.write_table(table, tmp_path / "apart.parquet")
    command[-1] = str(tmp_path / "apart.parquet")
    assert main([*command, "--out", str(tmp_path / "apart")]) == 0
    other = [x["loss"] for x in lines(tmp_path / "apart") if x.get("run") == "student-60-0"]
    assert other[:2] != losses[0]


def test_a_student_is_decorrelated_and_calibrated_like_the_others(tmp_path):
    file = further_jets(tmp_path / "further.parquet")
    folder = tmp_path / "run"
    options = ("--unlabelled", str(file), "--decorrelate", "3", "--calibrate", "0.3")
    assert main(["run", "jet_tagging", *QUICK, *options, "--out", str(folder)]) == 0
    assert JetTagger.from_pretrained(folder / "model.safetensors").temperature != 1
    trained = [x for x in lines(folder) if x.get("run") == "student-60-0" and "loss" in x]
    assert trained and all(0 <= line["disco"] <= 1 for line in trained)
