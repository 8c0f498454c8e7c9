"""A file never runs code: weights, settings and folders name the package's own parts alone."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from sciml import trunks
from sciml.cli import main
from sciml.errors import InputError
from sciml.jets.data.sample import shipped
from sciml.jets.tagger import JetTagger

TRUNK = '''
from pathlib import Path

Path({trace!r}).write_text("run")

from dataclasses import dataclass
from torch import nn
from sciml.graph import mean_nodes
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


@dataclass(frozen=True)
class {name}Config(TrunkConfig):
    """None of its own."""


class {name}(Trunk):
    Config = {name}Config
    layout = "dense"

    def __init__(self, config=None):
        super().__init__(config)
        self.linear = nn.Linear(self.dim, self.dim)

    def encode(self, batch):
        x = self.linear(batch.x) * batch.mask[..., None]
        return Encoded(nodes=x, graph=mean_nodes(batch, x))
'''


@pytest.fixture
def gift(tmp_path, monkeypatch):
    """(a module's file, a function that says whether it has run)."""
    trace = tmp_path / "trace"
    path = tmp_path / "gift_from_far.py"
    path.write_text(TRUNK.format(trace=str(trace), name="Gift"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield path, trace.exists
    sys.modules.pop("gift_from_far", None)


def renamed(path, name):
    """A copy of the tagger's file `path` whose header names another trunk."""
    from sciml.files import tensors

    state, header = tensors.read(path)
    described = json.loads(header["jet_tagger"])
    described["network"]["trunk"] = {"name": name, "dim": 8, "pair_dim": 0}
    out = path.with_name("gift.safetensors")
    tensors.write(out, state, {"jet_tagger": json.dumps(described)})
    return out


NAMES = ["gift_from_far:Gift", "gift_from_far.py:Gift", "./gift_from_far.py:Gift", "{}:Gift",
         "gift_from_far:Gift.Config", "sciml.trunks.lorentz.py:X", "os:system", ":", "x:", "sciml",
         "sciml.trunks.base:Trunk"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_header_brings_no_code(gift, name, capsys):
    path, ran = gift
    tagger = JetTagger.build({"name": "pair_transformer", "dim": 8, "heads": 2, "depth": 1}, ["a"])
    model = renamed(tagger.save(path.with_name("model.safetensors")), name.format(path))
    with pytest.raises(InputError, match="gift.safetensors"):
        JetTagger.from_pretrained(model)
    jets = str(shipped("test"))
    assert main(["jets", "tag", jets, "--model", str(model), "-o", "out.parquet"]) == 2
    output = capsys.readouterr().err.splitlines()
    assert len(output) == 1 and "gift.safetensors" in output[0]
    assert not ran() and not path.with_name("out.parquet").exists()


@pytest.mark.parametrize("name", NAMES)
def test_settings_beside_a_trunk_bring_no_code(gift, name):
    path, ran = gift
    trunks.save(trunks.build("pair_transformer", dim=8, heads=2, depth=1), path.parent)
    settings = path.with_name("trunk.yaml")
    settings.write_text(f"trunk: '{name.format(path)}'\nconfig: {{dim: 8}}\n")
    with pytest.raises(InputError, match="trunk.yaml"):
        trunks.load(path.parent)
    assert not ran()


@pytest.mark.parametrize(
    "setting",
    ["trunk: gift_from_far.py:Gift", "trunk: gift_from_far:Gift", "objective: gift_from_far:Gift",
     "reader: ./gift_from_far.py:read", "trunk_settings: {name: 'gift_from_far:Gift'}",
     "objective_settings: {name: 'gift_from_far:Gift'}", "objective: sciml.x.py:Gift",
     "objective: 'sciml./../gift_from_far.py:Gift'"],
)  # fmt: skip
def test_a_settings_file_brings_no_code(gift, setting, capsys):
    path, ran = gift
    settings_path = path.with_name("given.yaml")
    settings_path.write_text(setting + "\n")
    assert main(["run", "pretrain", "--tiny", "--config", str(settings_path), "--out", "out"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not ran() and not path.with_name("out").exists()


def test_one_named_in_the_call_is_loaded(gift, tmp_path):
    """By class, by name, or as one that has been imported; in another process, by name alone."""
    path, ran = gift
    trunk: Any = trunks.build("gift_from_far.py:Gift", dim=8)
    assert ran()
    trunks.save(trunk, tmp_path / "mine")
    again: Any
    for named in (None, type(trunk), "gift_from_far.py:Gift"):
        again = trunks.load(tmp_path / "mine", named)
        assert type(again) is type(trunk)
        assert torch.equal(again.linear.weight, trunk.linear.weight)
    with pytest.raises(InputError, match="holds the trunk 'gift_from_far:Gift'"):
        trunks.load(tmp_path / "mine", "lorentz")
    code = (
        "import sys; from sciml import trunks; from sciml.errors import InputError\n"
        "name = sys.argv[2] if len(sys.argv) > 2 else None\n"
        "try: print(type(trunks.load(sys.argv[1], name)).__name__)\n"
        "except InputError as error: print(error)"
    )
    alone = [sys.executable, "-c", code, str(tmp_path / "mine")]
    output = subprocess.run(alone, capture_output=True, text=True, check=True).stdout
    assert "Your own is named in the call" in output
    with_kind = [*alone, "gift_from_far.py:Gift"]
    assert subprocess.run(with_kind, capture_output=True, text=True, check=True).stdout == "Gift\n"


def test_a_tagger_on_ones_own_trunk_opens_by_its_name(gift, tmp_path):
    tagger: Any = JetTagger.build({"name": "gift_from_far.py:Gift", "dim": 8}, ["a", "b"])
    path = tagger.save(tmp_path / "model.safetensors")
    for trunk in ("gift_from_far.py:Gift", type(tagger.network.trunk), None):
        again: Any = JetTagger.from_pretrained(path, trunk)
        assert torch.equal(again.network.head.weight, tagger.network.head.weight)


def test_help_says_that_naming_code_runs_it(capsys):
    for command in (["run", "pretrain"], ["run", "jet_tagging"], ["jets", "tag"]):
        main([*command, "--help"])
        output = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "which runs" in output or "This runs the code" in output
