"""Jets by any trunk through the command line: pretrained by one recipe, fine-tuned by the other."""

import json

import pytest

from sciml.cli import main
from sciml.jets import JetTagger
from sciml.jets.data.sample import shipped

OWN = '''"""Nodes that receive the mean of their jet."""

from dataclasses import dataclass

import torch
from torch import nn

from sciml.graph import mean_nodes
from sciml.nn.layers import zero_padding
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


@dataclass(frozen=True)
class Config(TrunkConfig):
    """Settings."""

    dim: int = 16
    """Width."""


class MyTrunk(Trunk):
    """Two layers of messages."""

    Config = Config
    layout = "dense"

    def __init__(self, config=None):
        super().__init__(config)
        self.layers = nn.ModuleList(nn.Linear(2 * self.dim, self.dim) for _ in range(2))

    @property
    def symmetries(self):
        return ("permutation",)

    def encode(self, batch):
        x = batch.x
        for layer in self.layers:
            mean = mean_nodes(batch, x)[:, None].expand_as(x)
            x = x + layer(torch.cat([x, mean], -1)).relu()
        x = zero_padding(x, batch.mask)
        return Encoded(nodes=x, graph=mean_nodes(batch, x))
'''


def finetune(out, *arguments):
    small = ["--tiny", "--seeds", "0", "--no-compare", "--trunk.dim", "16"]
    return main(["run", "jet_tagging", *small, "--out", str(out), *arguments])


def test_a_trunk_of_ones_own_pretrains_and_fine_tunes(tmp_path):
    (tmp_path / "my_trunk.py").write_text(OWN)
    name = f"{tmp_path}/my_trunk.py:MyTrunk"
    pretraining = ["run", "pretrain", "--tiny", "--trunk", name, "--objective", "masked"]
    assert main([*pretraining, "--out", str(tmp_path / "pretrained")]) == 0
    assert finetune(tmp_path / "tuned", "--start", str(tmp_path / "pretrained")) == 0
    tagger = JetTagger.from_pretrained(tmp_path / "tuned" / "model.safetensors")
    assert type(tagger.network.trunk).__name__ == "MyTrunk"
    assert tagger.predict(shipped("test")).shape[1] == len(tagger.classes)
    lines = (tmp_path / "tuned" / "metrics.jsonl").read_text().splitlines()
    scores = [record for record in map(json.loads, lines) if record.get("event") == "score"]
    assert [record["method"] for record in scores] == ["pretrained"]


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["message_passing", "lorentz"])
def test_another_trunk_by_one_line(tmp_path, trunk):
    assert finetune(tmp_path / trunk, "--start", trunk, "--no-pretraining") == 0
    tagger = JetTagger.from_pretrained(tmp_path / trunk / "model.safetensors")
    assert type(tagger.network.trunk).__name__.lower() == trunk.replace("_", "")


def test_pretrained_on_something_else_is_refused(tmp_path, capsys):
    from sciml import trunks
    from sciml.paths import atomic_write

    trunks.save(trunks.build("pair_transformer", dim=16, pair_dim=4), tmp_path / "trunk")
    import torch
    from safetensors.torch import save_file

    with atomic_write(tmp_path / "embedder.safetensors") as temporary:
        save_file({"other": torch.zeros(2)}, str(temporary))
    assert finetune(tmp_path / "out", "--start", str(tmp_path)) == 2
    assert "does not hold an embedder of jets" in capsys.readouterr().err
