"""`sciml run pretrain` through the command line, on graphs of a user's own."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from sciml import trunks
from sciml.cli import main

SMALL = [
    "--dim",
    "8",
    "--pair-dim",
    "4",
    "--train.steps",
    "6",
    "--train.batch-size",
    "8",
    "--train.validate-every",
    "3",
    "--train.log-every",
    "2",
    "--train.device",
    "cpu",
    "--max-held-out",
    "12",
]
PAIR = ["--trunk-settings", "{depth: 1, heads: 2, bias_hidden: 4, class_depth: 1}"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Two kinds of point clouds, told apart by their size in space."""
    folder = tmp_path_factory.mktemp("graphs")
    random = np.random.default_rng(0)
    for i in range(60):
        n = random.integers(4, 9)
        np.savez(
            folder / f"{i:03d}.npz",
            x=random.normal(size=(n, 3)),
            pos=random.normal(size=(n, 3)) * (1 + 2 * (i % 2)),
            y=i % 2,
        )
    return folder


def run(graphs, out, *arguments) -> int:
    return main(["run", "pretrain", "--data", str(graphs), "--out", str(out), *SMALL, *arguments])


@pytest.mark.parametrize("objective", ["masked", "jepa", "simclr", "denoising"])
def test_writes_a_trunk_that_loads_and_has_learned(graphs, tmp_path, objective):
    out = tmp_path / objective
    assert run(graphs, out, "--objective", objective, *PAIR) == 0
    trunk = trunks.load(out / "trunk")
    torch.manual_seed(0)
    fresh = trunks.build(trunk.config)
    assert trunk.dim == 8
    assert any(not torch.equal(a, b) for a, b in zip(trunk.parameters(), fresh.parameters()))
    facts = json.loads((out / "pretrained.json").read_text())
    assert facts["examples"] == 60 and 0 <= facts["pretrained"]["linear_auc"] <= 1
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    checks = [r for r in records if r["split"] == "valid"]
    assert [r["step"] for r in checks] == [3, 6] and "linear_auc" in checks[0]
    page = (out / "report.html").read_text()
    assert "Probes of the embeddings" in page and "trunks.load" in page
    assert (out / "embedder.safetensors").exists()


def test_the_same_command_resumes_and_goes_on_from_a_trunk(graphs, tmp_path):
    out = tmp_path / "run"
    fast = [*PAIR, "--probe-examples", "0"]
    assert run(graphs, out, *fast) == 0
    before = (out / "trunk" / "trunk.safetensors").read_bytes()
    assert run(graphs, out, *fast) == 0
    assert (out / "trunk" / "trunk.safetensors").read_bytes() == before
    assert (
        run(
            graphs,
            tmp_path / "on",
            "--start",
            str(out / "trunk"),
            "--objective",
            "vicreg",
            "--probe-examples",
            "0",
        )
        == 0
    )


USERS_TRUNK = '''
from dataclasses import dataclass
from torch import nn
from sciml.graph import mean_nodes
from sciml.trunks.base import Encoded, Trunk, TrunkConfig

@dataclass(frozen=True)
class MeanFieldConfig(TrunkConfig):
    """Settings."""
    depth: int = 2
    """Layers."""

class MeanField(Trunk):
    """Each node receives the mean of all."""
    Config = MeanFieldConfig
    layout = "dense"

    def __init__(self, config=None):
        super().__init__(config)
        self.layers = nn.ModuleList(nn.Linear(self.dim, self.dim) for _ in range(config.depth))

    def encode(self, batch):
        x = batch.x
        for layer in self.layers:
            x = x + layer(x + mean_nodes(batch, x)[:, None]).relu()
        x = x.masked_fill(~batch.mask[..., None], 0)
        return Encoded(x, mean_nodes(batch, x))
'''

USERS_OBJECTIVE = '''
from dataclasses import dataclass
import torch
from torch import nn

class Norm(nn.Module):
    """Graph embeddings of norm one."""
    @dataclass(frozen=True)
    class Config:
        """Settings."""
        size: float = 1.0
        """Wanted norm."""

    def __init__(self, trunk, embedder, config, *, augment=None):
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config

    def forward(self, batch):
        graph = self.trunk(self.embedder(batch)).graph
        return {"loss": (graph.norm(dim=1) - self.config.size).square().mean(),
                "count": torch.tensor(float(len(graph)))}
'''


def test_trunk_objective_and_reader_by_import_path(graphs, tmp_path, monkeypatch):
    (tmp_path / "mean_field.py").write_text(USERS_TRUNK)
    (tmp_path / "my_objectives.py").write_text(USERS_OBJECTIVE)
    (tmp_path / "my_reader.py").write_text(
        "from sciml.objectives.graphs import read_graphs\n"
        "def read(path):\n    return read_graphs(path)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    trunk = f"{tmp_path / 'mean_field.py'}:MeanField"
    assert run(graphs, tmp_path / "a", "--trunk", trunk, "--objective", "masked") == 0
    assert type(trunks.load(tmp_path / "a" / "trunk")).__name__ == "MeanField"
    assert (
        run(
            graphs,
            tmp_path / "b",
            "--trunk",
            trunk,
            "--objective",
            "my_objectives:Norm",
            "--objective-settings",
            "{size: 2.0}",
            "--reader",
            "my_reader:read",
            "--probe-examples",
            "0",
        )
        == 0
    )


@pytest.mark.parametrize("objective", ["rotation", "jigsaw"])
def test_jets_pretrain_by_what_is_done_to_their_eta_phi_plane(tmp_path, objective):
    arguments = ["--objective", objective, "--tiny", "--train.steps", "2"]
    out = ["--out", str(tmp_path), "--train.device", "cpu"]
    assert main(["run", "pretrain", *out, *arguments]) == 0
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    ways = {"rotation": 4, "jigsaw": 24}[objective]
    first = next(r for r in records if r["split"] == "train")
    assert 0.3 * math.log(ways) < first["loss"] < 2 * math.log(ways)


@pytest.mark.parametrize("objective", ["masked", "jepa", "simclr", "denoising"])
@pytest.mark.parametrize("trunk", ["pair_transformer", "message_passing", "lorentz"])
def test_shipped_jets_pretrain_each_trunk_by_one_word(tmp_path, trunk, objective):
    out = tmp_path / "out"
    arguments = ["--trunk", trunk, "--objective", objective, "--probe-examples", "0"]
    pairs = ["--pair-dim", "4" if trunk == "pair_transformer" else "0", "--train.steps", "2"]
    small = ["--tiny", "--max-held-out", "16", "--train.device", "cpu"]
    assert main(["run", "pretrain", "--out", str(out), *small, *arguments, *pairs]) == 0
    assert trunks.name_of(type(trunks.load(out / "trunk"))) == trunk


def test_next_token_asks_for_a_trunk_that_does_not_look_ahead(graphs, tmp_path):
    assert run(graphs, tmp_path / "out", *PAIR, "--objective", "next_token") == 0
    config: Any = trunks.load(tmp_path / "out" / "trunk").config
    assert config.causal


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--objective", "maskd"], "Did you mean 'masked'"),
        (["--trunk", "pair_transfomer"], "Did you mean 'pair_transformer'"),
        (["--objective-settings", "{fractoin: 1}"], "did you mean `fraction`"),
        (
            ["--objective", "next_token", "--trunk", "message_passing", "--trunk-settings", "{}"],
            "looks ahead",
        ),
        (["--reader", "nowhere:read"], "cannot import the reader"),
        (["--objective", "moco", "--objective-settings", "{queue: 0}"], "`queue` must be >= 1"),
        (["--trunk-settings", "{depht: 1}"], "did you mean `depth`"),
    ],
)
def test_mistakes_end_in_one_line_and_2(graphs, tmp_path, capsys, arguments, expected):
    assert run(graphs, tmp_path / "out", *PAIR, *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert expected in error


def test_files_that_nothing_reads(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.xyz").write_text("")
    for data, message in (
        (tmp_path / "data", "nothing reads .xyz"),
        (tmp_path / "none", "neither a file, a folder nor a data card"),
    ):
        assert run(data, tmp_path / f"out-{data.name}", *PAIR) == 2
        assert message in capsys.readouterr().err
    assert (
        main(
            [
                "run",
                "pretrain",
                "--data",
                f"graphs:{tmp_path / 'data'}",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "no .npz file" in capsys.readouterr().err


def test_help_shows_the_settings(capsys):
    with contextlib.suppress(SystemExit):  # as argparse does after --help
        assert main(["run", "pretrain", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--objective" in shown and "--held-out" in shown and "data card" in shown
