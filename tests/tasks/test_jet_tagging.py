"""The recipe, through the command line: what it leaves behind, that it repeats itself, resumes."""

import json

import numpy as np
import pytest

from sciml.cli import main
from sciml.jets import JetTagger
from sciml.jets.io import read
from sciml.jets.sample import shipped

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
    found: dict[str, list[float]] = {}
    for line in lines(out):
        if line.get("split") == "train" and line["run"] in GOLDEN:
            found.setdefault(line["run"], []).append(line["loss"])
    for run, losses in GOLDEN.items():
        assert found[run] == pytest.approx(losses, abs=2e-4), run


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
    table = read(out / "predictions.parquet")
    tagger = JetTagger.from_pretrained(out)
    found = np.stack([np.asarray(table[f"pretrained_{n}"]) for n in tagger.classes], 1)
    again = tagger.predict(read(shipped("test")))[np.asarray(table.row)]
    assert np.abs(found - again).max() < 1e-5


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
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and words.lower() in said[0].lower(), said


QUICK = ("--tiny", "--seeds", "0", "--no-compare", "--no-pretraining")


def test_pooled_decorrelated_and_calibrated(tmp_path):
    """Mean of the particles for the class token, DisCo in the loss on turned and smeared views, a
    temperature fitted."""
    folder = tmp_path / "run"
    options = ("--views", "--trunk.class-depth", "0", "--decorrelate", "3", "--calibrate", "0.3")
    assert main(["run", "jet_tagging", *QUICK, *options, "--out", str(folder)]) == 0
    tagger = JetTagger.from_pretrained(folder / "model.safetensors")
    assert not any("class_" in name for name, _ in tagger.network.trunk.named_parameters())
    assert tagger.temperature != 1
    trained = [line for line in lines(folder) if line.get("split") == "train"]
    assert trained and all(0 <= line["disco"] <= 1 for line in trained)
