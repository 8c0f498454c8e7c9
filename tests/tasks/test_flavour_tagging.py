"""The recipe of flavour tagging, through the command line: its losses, report, scores and model."""

import json
import re

import numpy as np
import pytest

from sciml.cli import main
from sciml.jets import FlavourTagger
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped

GOLDEN = {"all-heads": [2.81618, 2.29514, 3.2061], "class-alone": [1.37453, 1.31434, 1.52216]}
"""Training losses of the tiny run, every eighth step."""


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flavours") / "run"
    options = ("--control", "--fit.device", "cpu", "--fit.precision", "fp32")
    assert main(["run", "flavour_tagging", "--tiny", *options, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_loss_sequence(lines):
    losses: dict[str, list[float]] = {}
    for line in lines:
        if line.get("split") == "train":
            losses.setdefault(line["run"].rsplit("-", 2)[0], []).append(line["loss"])
    assert set(losses) == {"all-heads", "class-alone", "shuffled"}
    for run, expected in GOLDEN.items():
        np.testing.assert_allclose(losses[run], expected, rtol=5e-3)


def test_scores_and_report(out, lines):
    scores = {line["method"]: line for line in lines if line.get("event") == "score"}
    alone = scores["class alone"]
    assert set(scores["all heads"]) > set(alone) == set(scores["shuffled"])
    for row in scores.values():
        assert 0 < row["auc_b_light"] < 1 and row["rejection_c_77"] >= 1
    every = scores["all heads"]
    for level in (16, 50, 84):
        assert abs(every[f"coverage_{level}"] - level / 100) < 0.2
    assert every["origin_accuracy"] > 0.5 and every["pt_resolution"] < 0.3
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "sciml run flavour_tagging --config" in report and "cross entropy of the class" in report
    assert not [u for u in re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', report) if "//" in u]


def test_the_saved_model_tags_files(out, tmp_path, capsys):
    model = str(out / "model.safetensors")
    scores = tmp_path / "scores.parquet"
    files = [str(shipped("flavours")), "-o", str(scores), "--model", model]
    assert main(["jets", "tag", *files, "--keep", "label_b", "aux_truth_pt"]) == 0
    written = read_jets(scores)
    tagger = FlavourTagger.from_pretrained(model)
    flavours = tagger.predict(shipped("flavours"))
    assert flavours.classes == ("b", "c", "tau", "light", "gluon")
    np.testing.assert_allclose(written["score_b"], flavours.probabilities[:, 0], rtol=1e-4)
    np.testing.assert_allclose(written["pt_84"], flavours.pt[:, 2], rtol=1e-4)
    assert main(["jets", "evaluate", str(shipped("flavours")), "--model", model]) == 2
    assert main(["jets", "tag", str(shipped("test")), "-o", str(scores), "--model", model]) == 0
    capsys.readouterr()
    arguments = ["run", "flavour_tagging", "--tiny", "--out", str(tmp_path / "o")]
    assert main([*arguments, "--data", str(shipped("test"))]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and "part_origin" in errors[0]
