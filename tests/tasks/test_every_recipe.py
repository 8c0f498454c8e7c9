"""Each recipe at its tiny size, through the command line: what a user finds afterwards."""

import json
import re

import pytest

from sciml import recipes
from sciml.cli import main
from sciml.config import read_yaml, to_dict


@pytest.mark.parametrize(
    "name",
    [
        "alphafold_training",
        "circuit_placement",
        "jet_mass",
        "placement_agents",
        "protein_structure",
        "symbolic_math",
        "transfer",
    ],
)
def test_a_tiny_run_leaves_report_metrics_and_settings(name, tmp_path):
    out = tmp_path / "run"
    assert main(["run", name, "--tiny", "--out", str(out)]) == 0
    report = (out / "report.html").read_text(encoding="utf-8")
    assert f"sciml run {name}" in report and "<table>" in report and len(report) > 20_000
    loaded = re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', report)
    assert not [link for link in loaded if "//" in link], "the page must open offline"
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)
    settings = to_dict(recipes.load(name).config(tiny=True))
    assert read_yaml(out / "config.yaml") == settings


def test_every_recipe_is_covered():
    assert set(recipes.names()) == {
        "alphafold_training", "circuit_placement", "flavour_tagging", "jet_mass", "jet_tagging",
        "placement_agents", "pretrain", "protein_structure", "symbolic_math", "transfer",
    }  # fmt: skip
