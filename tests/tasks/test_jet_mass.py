"""The recipe of the jet mass, through the command line: what it writes, what its model answers."""

import json

import numpy as np

from sciml.cli import main
from sciml.jets.data.io import read_jets
from sciml.jets.data.sample import shipped


def test_masses_and_quantiles_of_unseen_jets(tmp_path, capsys):
    folder = tmp_path / "run"
    options = ("--quantiles", "0.1", "0.9", "--fit.steps", "60")
    assert main(["run", "jet_mass", "--tiny", *options, "--out", str(folder)]) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    score = [line for line in lines if line.get("event") == "score"][0]
    assert set(score) == {"event", "seed", "bias", "resolution", "coverage_10", "coverage_90"}
    assert "sciml run jet_mass --config" in (folder / "report.html").read_text()
    events = read_jets(folder / "predictions.parquet")
    table = {name: np.asarray(events[name]) for name in events.fields}
    truth = table["jet_sdmass"]
    assert (truth > 0).all() and (table["mass_10"] <= table["mass_90"]).all()
    assert np.corrcoef(np.log(truth), np.log(table["mass"]))[0, 1] > 0.1
    # the saved model tags files, and gives what the recipe wrote
    scores = tmp_path / "masses.parquet"
    model = str(folder / "model.safetensors")
    assert main(["jets", "tag", str(shipped("test")), "-o", str(scores), "--model", model]) == 0
    tagged = np.asarray(read_jets(scores)["mass"])[table["row"].astype(int)]
    np.testing.assert_allclose(tagged, table["mass"], rtol=1e-3)
    assert main(["jets", "evaluate", str(shipped("test")), "--model", model]) == 2
    assert "masses" in capsys.readouterr().err


def test_a_missing_target_is_one_line(tmp_path, capsys):
    arguments = ["run", "jet_mass", "--tiny", "--target", "jet_sdmas", "--out", str(tmp_path / "o")]
    assert main(arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and "jet_sdmass" in errors[0]
