"""The recipe, through the command line: what it leaves behind, that it repeats itself, resumes."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sciml.cli import main
from sciml.jets import JetTagger
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped
from sciml.train import TrainConfig
from tasks import jet_tagging as recipe

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


@pytest.mark.slow
def test_report_opens_in_a_browser(out, visit):
    for width in (1280, 390):
        window, faults = visit(out / "report.html", width)
        assert not faults
        assert window.evaluate("document.documentElement.scrollWidth") <= width
        assert "Pretraining against scratch" in window.content()


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
    """It is one more method, and the model that is kept."""
    file = further_jets(tmp_path / "further.parquet")
    folder = tmp_path / "run"
    options = ("--seeds", "0", "--no-pretraining", "--unlabelled", str(file))
    assert main(["run", "jet_tagging", "--tiny", *options, "--out", str(folder)]) == 0
    methods = [line["method"] for line in lines(folder) if line.get("event") == "score"]
    assert methods == ["scratch", "boosted trees", "student"]
    predictions = read_jets(folder / "predictions.parquet")
    tagger = JetTagger.from_pretrained(folder)
    table = np.stack([np.asarray(predictions[f"student_{n}"]) for n in tagger.classes], 1)
    again = tagger.predict(read_jets(shipped("test")))[np.asarray(predictions.row)]
    assert np.abs(table - again).max() < 1e-5
    assert "Confusion matrix of student." in (folder / "report.html").read_text()


def test_the_labels_of_further_jets_are_not_read_but_their_pairs_are(tmp_path):
    """A student of the same ensemble: its losses depend on who is paired, not on labels."""
    trunk = replace(recipe.Config().trunk, dim=16, depth=1, heads=2, bias_hidden=8)
    training = TrainConfig(steps=10, batch_size=16, log_every=5)
    config = recipe.Config(max_jets=400, trunk=trunk, pretrain=training, student=training)
    train, _ = recipe.read(config)
    labelled = train.subset(range(40))
    file = further_jets(tmp_path / "paired.parquet")
    table = pq.read_table(file)
    column = table.column_names.index("aux_collision")
    others = pa.array(np.arange(300) % 150)  # other partners
    pq.write_table(table.set_column(column, "aux_collision", others), tmp_path / "others.parquet")
    files = (
        file,
        further_jets(tmp_path / "bare.parquet", labels=False),
        tmp_path / "others.parquet",
    )
    random = np.random.default_rng(0)
    ensemble = random.dirichlet(np.ones(len(labelled.classes)), 300).astype(np.float32)
    losses = []
    for path in files:
        further = recipe.Unlabelled.read(replace(config, unlabelled=(str(path),)))
        folder = tmp_path / path.stem
        start = recipe.pretrain(config, train, further, folder)
        _, history = recipe.finetune(config, labelled, start, 0, folder / "s", further, ensemble)
        losses.append([line["loss"] for line in history if "loss" in line])
    assert len(losses[0]) == 2 and losses[0] == losses[1] != losses[2]


def test_a_student_is_decorrelated_and_calibrated_like_the_others(tmp_path):
    """Its further jets have no labels at all."""
    file = further_jets(tmp_path / "further.parquet", labels=False)
    folder = tmp_path / "run"
    options = ("--unlabelled", str(file), "--decorrelate", "3", "--calibrate", "0.3")
    assert main(["run", "jet_tagging", *QUICK, *options, "--out", str(folder)]) == 0
    assert JetTagger.from_pretrained(folder / "model.safetensors").temperature != 1
    trained = [x for x in lines(folder) if x.get("run") == "student-60-0" and "loss" in x]
    assert trained and all(0 <= line["disco"] <= 1 for line in trained)
