"""Weaver's data configs from the command line: training, prediction, and what they refuse."""

import json

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets import ConfiguredTagger, JetTagger
from sciml.jets.data.io import create
from sciml.jets.weaver.config import WeaverConfig

CONFIG = {
    "selection": "(jet_pt > 520) & (ak.num(c_pt) > 0)",
    "test_time_selection": "jet_pt > 510",
    "preprocess": {"method": "auto", "data_fraction": 1},
    "new_variables": {
        "c_mask": "ak.ones_like(c_pt)",
        "c_logpt": "np.log(c_pt)",
        "c_px": "c_pt * np.cos(c_phi)",
        "c_py": "c_pt * np.sin(c_phi)",
        "c_pz": "c_pt * np.sinh(c_eta)",
        "c_e": "c_pt * np.cosh(c_eta)",
        "wide": "1 - narrow",
    },
    "inputs": {
        "pf_features": {"length": 8, "vars": [["c_logpt"], ["c_eta"], ["c_phi"]]},
        "pf_vectors": {"length": 8, "vars": [[n, None] for n in ("c_px", "c_py", "c_pz", "c_e")]},
        "pf_mask": {"length": 8, "vars": [["c_mask", None]]},
        "jet": {"length": None, "vars": [["jet_pt", 700, 0.005]]},
    },
    "labels": {"type": "simple", "value": ["narrow", "wide"]},
    "observers": ["jet_pt", "event"],
}
TRAINING = ["--trunk.dim", "16", "--trunk.depth", "1", "--trunk.heads", "2",
            "--finetune.steps", "40", "--finetune.batch-size", "32",
            "--background", "wide"]  # fmt: skip


def write_jets(path, jets=400, seed=0, labels=True):
    """Wide and narrow jets of a few constituents."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 9, jets)
    narrow = random.integers(0, 2, jets)
    width = np.repeat(np.where(narrow, 0.05, 0.4), counts)
    total = int(counts.sum())
    columns = {
        "c_pt": ak.unflatten(random.exponential(50, total) + 1, counts),
        "c_eta": ak.unflatten(random.normal(0, width), counts),
        "c_phi": ak.unflatten(random.normal(0, width), counts),
        "jet_pt": random.uniform(500, 1000, jets),
        "event": np.arange(jets),
        "target": np.where(narrow, -2.633, 1.5) + random.normal(0, 0.01, jets),
    }
    if labels:
        columns["narrow"] = narrow
    with create(path) as writer:
        writer.write(columns)
    return columns


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configured")
    write_jets(folder / "jets.parquet")
    (folder / "data.yaml").write_text(yaml.safe_dump(CONFIG))
    arguments = ["--data-config", str(folder / "data.yaml"), "--data", str(folder / "jets.parquet")]
    assert main(["run", "jet_tagging", *arguments, *TRAINING, "--out", str(folder / "run")]) == 0
    return folder


def test_training_learns_and_writes_the_standardisation_back(trained):
    table = pq.read_table(trained / "run" / "predictions.parquet").to_pandas()
    assert {"row", "score_narrow", "score_wide", "label", "jet_pt", "event"} <= set(table)
    assert (table["jet_pt"] > 520).all() and (table["event"] == table["row"]).all()
    right = (table["score_narrow"] > 0.5) == (table["label"] == 0)
    assert right.mean() > 0.85
    fitted = WeaverConfig.load(trained / "run" / "data_config.yaml")
    assert fitted.is_standardised and fitted.inputs["pf_features"].variables[0].center != 0
    assert not WeaverConfig.load(trained / "data.yaml").is_standardised


def test_the_report_has_numbers_inputs_and_the_next_commands(trained):
    page = (trained / "run" / "report.html").read_text()
    for part in ("auc narrow", "c_logpt", "jet_pt &gt; 520", "sciml jets evaluate FILE", "<svg"):
        assert part in page, part
    lines = [
        json.loads(line) for line in (trained / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["auc_narrow"] > 0.9 and any("loss" in line for line in lines)


def test_evaluate_measures_what_the_run_measured(trained, tmp_path, capsys):
    """On the same jets: the selection of a test is here that of training."""
    same = {**CONFIG, "test_time_selection": CONFIG["selection"]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(same))
    write_jets(tmp_path / "test.parquet", seed=5)
    arguments = [
        "--data-config",
        str(tmp_path / "data.yaml"),
        "--data",
        str(trained / "jets.parquet"),
    ]
    arguments += ["--test", str(tmp_path / "test.parquet"), "--out", str(tmp_path / "run")]
    assert main(["run", "jet_tagging", *arguments, *TRAINING]) == 0
    capsys.readouterr()
    call = ["jets", "evaluate", str(tmp_path / "test.parquet"), "--model", str(tmp_path / "run")]
    assert main([*call, "--background", "wide", "-o", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    ours = json.loads((tmp_path / "out.json").read_text())
    of_run = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert ours["auc_narrow"] == of_run["auc_narrow"] and ours["jets"] == of_run["jets"] > 100
    assert "auc_narrow" in printed
    for refused in (["--weight", "event"], ["--calibrate", "x.safetensors"], ["--puppi"]):
        assert main([*call, *refused]) == 2
        assert "data config" in capsys.readouterr().err


def test_onnx_has_the_configs_inputs_and_weavers_preprocessing(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    assert main(["jets", "export", "-o", str(path), "--model", str(trained / "run")]) == 0
    described = json.loads((tmp_path / "preprocess.json").read_text())
    assert set(described["input_names"]) == set(CONFIG["inputs"])
    assert described["output_names"] == ["narrow", "wide"]
    model = ConfiguredTagger.from_pretrained(trained / "run", device="cpu")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch, ours = next(iter(model.stream(trained / "jets.parquet")))
    theirs = session.run(["softmax"], batch.inputs)[0]
    assert np.abs(ours - theirs).max() < 1e-5
    # preprocess.json alone makes the inputs from the variables
    columns = pq.read_table(trained / "jets.parquet")
    eta = ak.from_arrow(columns)["c_eta"][batch.rows]
    info = described["pf_features"]["var_infos"]["c_eta"]
    value = (eta - info["median"]) * info["norm_factor"]
    value = np.clip(
        ak.pad_none(value, described["pf_features"]["var_length"], clip=True),
        info["lower_bound"],
        info["upper_bound"],
    )
    assert np.allclose(
        ak.fill_none(value, info["pad"]), batch.inputs["pf_features"][:, 1], atol=1e-6
    )


def test_values_are_exported_and_evaluated(trained, tmp_path, capsys):
    custom = {**CONFIG, "labels": {"type": "custom", "value": {"shift": "target * 1"}}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(custom))
    data = ["--data-config", str(tmp_path / "data.yaml"), "--data", str(trained / "jets.parquet")]
    few = [*TRAINING[:7], "5", *TRAINING[8:]]
    assert main(["run", "jet_tagging", *data, *few, "--out", str(tmp_path)]) == 0
    assert "shift, predicted against true" in (tmp_path / "report.html").read_text()
    model = ["--model", str(tmp_path)]
    assert main(["jets", "evaluate", str(trained / "jets.parquet"), *model]) == 0
    assert "mean_absolute_error_shift" in capsys.readouterr().out
    pytest.importorskip("onnxruntime")
    assert main(["jets", "export", "-o", str(tmp_path / "m.onnx"), *model]) == 0
    assert "shift" in (tmp_path / "preprocess.json").read_text()


def test_tag_needs_no_labels_and_selects_as_in_a_test(trained, tmp_path):
    columns = write_jets(tmp_path / "new.parquet", jets=50, seed=1, labels=False)
    out = tmp_path / "scores.parquet"
    tag = ["jets", "tag", str(tmp_path / "new.parquet"), "-o", str(out)]
    assert main([*tag, "--model", str(trained / "run")]) == 0
    table = pq.read_table(out).to_pandas()
    assert table["row"].tolist() == np.flatnonzero(columns["jet_pt"] > 510).tolist()
    assert np.allclose(table["score_narrow"] + table["score_wide"], 1, atol=1e-6)
    config = ["--data-config", str(trained / "run" / "data_config.yaml")]
    assert main([*tag, "--model", str(trained / "run"), *config]) == 0
    assert pq.read_table(out).to_pandas().equals(table)
    width = ak.to_numpy(ak.mean(abs(columns["c_eta"]), axis=1))[table["row"]]
    assert np.corrcoef(width, table["score_wide"])[0, 1] > 0.6


def test_an_unfitted_config_is_not_the_models(trained, tmp_path, capsys):
    write_jets(tmp_path / "new.parquet", jets=5)
    arguments = ["--data-config", str(trained / "data.yaml"), "--model", str(trained / "run")]
    out = tmp_path / "o.parquet"
    assert main(["jets", "tag", str(tmp_path / "new.parquet"), "-o", str(out), *arguments]) == 2
    assert "does not have the inputs" in capsys.readouterr().err and not out.exists()


def test_values_are_learned_as_floats(trained, tmp_path):
    custom = {**CONFIG, "labels": {"type": "custom", "value": {"shift": "target * 1"}}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(custom))
    arguments = ["--data-config", str(tmp_path / "data.yaml")]
    data = ["--data", str(trained / "jets.parquet")]
    assert main(["run", "jet_tagging", *arguments, *data, *TRAINING, "--out", str(tmp_path)]) == 0
    model = ConfiguredTagger.from_pretrained(tmp_path)
    assert model.outputs == ("shift",)
    batch, values = next(iter(model.stream(trained / "jets.parquet")))
    assert np.corrcoef(values[:, 0], batch.labels["shift"])[0, 1] > 0.8
    assert values.min() < -1  # GeV and signs survive: not rounded to integers


def test_published_weights_take_the_inputs_of_their_config(weaver_reference, tmp_path):
    options = yaml.safe_load(weaver_reference.configs["kin"].read_text())
    options["observers"] = ["jet_pt"]  # the jets lack the soft-drop mass
    (tmp_path / "kin.yaml").write_text(yaml.safe_dump(options))
    out = tmp_path / "scores.parquet"
    model = ["--model", str(weaver_reference.checkpoints["kin"])]
    config = ["--data-config", str(tmp_path / "kin.yaml")]
    assert main(["jets", "tag", str(weaver_reference.jets), "-o", str(out), *model, *config]) == 0
    table = pq.read_table(out).to_pandas()
    scores = np.stack([table[n] for n in table if n.startswith("score_")], axis=1)
    logits = torch.from_numpy(weaver_reference.net["logits_kin"])
    assert np.abs(scores - logits.softmax(-1).numpy()).max() < 1e-4
    assert "score_QCD" in table


def test_a_model_with_inputs_of_its_own_refuses_a_config(weaver_reference, tmp_path, capsys):
    config = ["--data-config", str(weaver_reference.configs["kin"])]
    out = tmp_path / "scores.parquet"
    assert main(["jets", "tag", str(weaver_reference.jets), "-o", str(out), *config]) == 2
    assert "sciml run jet_tagging --data-config" in capsys.readouterr().err


def test_other_classes_say_how_the_model_is_opened(trained):
    with pytest.raises(InputError, match="ConfiguredTagger.from_pretrained"):
        JetTagger.from_pretrained(trained / "run")
